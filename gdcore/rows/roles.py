"""What the columns of a table are to be: features, target, weights, codes or dates; none that it has not, none twice."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gdcore.messages import Message, Option
from gdcore.rows import dates
from gdcore.rows.arrow import TableError
from gdcore.rows.columns import KINDS
from gdcore.rows.files.sources import Source
from gdcore.rows.moments import MOST_COLUMNS
from gdcore.rows.split import column_of

if TYPE_CHECKING:
    from gdcore.losses import Loss
    from gdcore.rows.missing import Policy


@dataclass(frozen=True)
class Roles:
    """What the columns of a table are to be.

    Attributes
    ----------
    used : list of str
        The features.
    target, weights : str or None
    loss : Loss or None
        What was asked for; None: the target decides.
    policy : Policy
        What becomes of missing values.
    codes, moments : frozenset of str
        The features that are categories whatever they look like, and those that are dates of which numbers are made.
    unseen : str
        What becomes of categories that are new.
    by : tuple of str
        The column, where it is one, that says which rows test.
    """

    used: list[str]
    target: str | None
    weights: str | None
    loss: Loss | None
    policy: Policy
    codes: frozenset[str]
    moments: frozenset[str]
    unseen: str
    by: tuple[str, ...] = ()

    @property
    def own(self) -> list[str]:
        """Target and weights."""
        return [name for name in (self.target, self.weights) if name is not None]

    @property
    def read(self) -> list[str]:
        """All columns that are looked at."""
        return [*dict.fromkeys([*self.used, *self.own, *self.by])]


def roles_of(
    source: Source,
    target: str | None,
    loss: Loss | None,
    policy: Policy,
    unseen: str,
    index: str,
    *,
    features: list[str],
    exclude: list[str],
    weights: str | None,
    codes: list[str],
    moments: list[str],
    split: str | None,
) -> tuple[Roles, list[str]]:
    """The roles that are asked for, and what is to be told of them. The source reads its columns so from here on."""
    own = [name for name in (target, weights) if name is not None]
    asked = {"target": own[: target is not None], "weights": own[target is not None :], "features": features}
    asked["exclude"] = exclude
    looks = {"categorical": codes, "dates": moments}
    for role, names in (asked | looks | {"missing": [name for name, _ in policy.named]}).items():
        for name in names:
            if name not in source.kinds:
                raise TableError(unknown(name, source, f" ({role})"))
    for groups in (asked, looks):
        _check_once(groups, source)
    for name in codes:
        if name not in (*own, *exclude):
            if source.kinds[name] in dates.KINDS and not source.inferred:
                what = f"{source.label}: column {name} holds dates or times, and no codes; "
                raise TableError(Message(what, Option("dates", [name]), " takes it"))
            source.read_as(name, "category")
    for name in moments:
        if name in (*own, *exclude):
            raise TableError(Message(f"{source.label}: column {name} is no feature; leave it out of ", Option("dates")))
        if source.kinds[name] not in dates.KINDS:
            if source.kinds[name] not in ("text", "empty") and not source.inferred:
                what = f"column {name} is {source.kinds[name]}, and no date"
                takes = Option("dates"), " takes dates, times, and text such as 2024-12-31"
                raise TableError(Message(f"{source.label}: {what}; ", *takes))
            source.read_as(name, "date")
    by = _split_by(split, source, target)
    tells = [name for name in by if source.kinds[name] in ("text", *dates.KINDS) and name not in moments]
    labels = [name for name in source.index if index == "drop" and name not in (*own, *exclude, *features)]
    used = [name for name in features or source.kinds if name not in {*own, *exclude, *labels, *tells}]
    if not used:
        raise TableError(f"{source.label}: no column is left to learn from; the table needs another than the target")
    check_width(source, len(used))
    source.look([*used, *own])
    _check_kinds(source, [*used, *own], weights)
    for name, _ in policy.named:
        if name not in (*used, *own):
            raise TableError(Message(f"{source.label}: column {name} is not used; leave it out of ", Option("missing")))
    roles = Roles(used, target, weights, loss, policy, frozenset(codes), frozenset(moments), unseen, by)
    return roles, [*_left_out(source, labels), *_zeros(source, roles)]


def _split_by(split: str | None, source: Source, target: str | None) -> tuple[str, ...]:
    column = column_of(split, source)
    if column is None:
        return ()
    if column not in source.kinds:
        raise TableError(unknown(column, source, " (split)"))
    if column == target:
        raise TableError(f"{source.label}: column {column} is the target, and cannot say which rows test; give another one")
    return (column,)


def _left_out(source: Source, labels: list[str]) -> list[str]:
    if not labels:
        return []
    which = f"column {labels[0]} is" if len(labels) == 1 else f"columns {', '.join(labels)} are"
    what = f"{source.label}: {which} the rows' index, which tells nothing, and left out; "
    return [Message(what, Option("index", "keep"), " takes it as well")]


def _zeros(source: Source, roles: Roles) -> list[str]:
    """That numbers have leading zeros, as codes have."""
    found = [(name, text) for name, text in source.zeros.items() if name in roles.used and source.kinds[name] == "integer"]
    return [
        Message(
            f"{source.label}: column {name} has numbers that begin with 0, such as {text}, as codes do; ",
            Option("categorical", [name]),
            " takes them as categories",
        )
        for name, text in found
    ]


def _check_kinds(source: Source, names: list[str], weights: str | None) -> None:
    for name in names:
        if (kind := source.kinds[name]) not in KINDS:
            what = f"column {name} is {kind}, and neither numbers, booleans nor text"
            advice = "; leave it out with ", Option("exclude", [name])
            raise TableError(Message(f"{source.label}: {what}", *advice), {name: what})
    if weights is not None and source.kinds[weights] in dates.KINDS:
        raise TableError(f"{source.label}: column {weights} holds dates, and weights are numbers; give another one")


def check_width(source: Source, columns: int) -> None:
    """TableError where there are too many."""
    if columns > MOST_COLUMNS:
        many = f"{columns:,} columns to learn from, and gdcore takes up to {MOST_COLUMNS:,}"
        raise TableError(Message(f"{source.label} has {many}; choose with ", Option("features"), " or ", Option("exclude")))


def _check_once(groups: dict[str, list[str]], source: Source) -> None:
    """No column is two things at once."""
    roles: dict[str, str] = {}
    for role, names in groups.items():
        for name in names:
            if name in roles:
                twice = f"named twice in {role}" if roles[name] == role else f"named in both {roles[name]} and {role}"
                raise TableError(f"{source.label}: column {name} is {twice}; once is enough")
            roles[name] = role


def unknown(name: str, source: Source, role: str = "") -> str:
    """That the table has no such column, and which it may be."""
    near = [other for other in source.kinds if other.lower() == name.lower()]
    near += difflib.get_close_matches(name, source.kinds, 1, 0.5)
    some = ", ".join(list(source.kinds)[:12]) + (", …" if len(source.kinds) > 12 else "")
    if len(source.kinds) == 1 and name in some.split():
        what = f"{source.label} has the column {some!r} only{role}; if blanks are between the values, say "
        return Message(what, Option("delimiter", "blanks"))
    return f"{source.label} has no column {name}{role}; " + (f"did you mean {near[0]}?" if near else f"there are {some}")
