"""What becomes of a missing value: a policy for each kind of column, and for columns by their names."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass

from gdcore import checks
from gdcore.messages import Message, Option

NUMBERS = ("mean", "median", "indicator")
"""The policies that only numbers can have."""
_MISSING = Option("missing")
POLICIES = ("error", "drop", *NUMBERS, "category")


@dataclass(frozen=True)
class Policy:
    """What becomes of missing values.

    "error", or "drop", which leaves their rows out, are for every column; "mean", "median" and "indicator", the mean and a
    column of 0 and 1 beside it, for numbers; "category", a category of its own, for text. Where numbers are filled and nothing
    is said of text, missing text is a category. Where any column is filled or dropped, rows without a target are left out.

    Attributes
    ----------
    general : tuple of str
        What columns have that are not named: one policy for numbers, one for text, and one for the rest, at most.
    named : tuple of (str, str)
        Columns, and what each has.
    """

    general: tuple[str, ...] = ()
    named: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, asked: str | Mapping[str, str]) -> Policy:
        """From a text with commas, or from a dict of columns.

        >>> policy = Policy.of("median,drop,city=category")
        >>> policy.of_column("age", text=False), policy.of_column("name", text=True), policy.of_column("city", text=True)
        ('median', 'drop', 'category')
        >>> Policy.of({"age": "median"}).text
        'age=median'
        """
        general: list[str] = []
        named: dict[str, str] = {}
        if isinstance(asked, str):
            for part in next(csv.reader([asked], skipinitialspace=True), []):
                name, equals, word = part.rpartition("=")
                if not equals:
                    general.append(_policy(part.strip()))
                elif name in named:
                    raise ValueError(Message(_MISSING, f" has column {name} twice; once is enough"))
                else:
                    named[name] = _policy(word.strip())
        elif isinstance(asked, Mapping):
            named = {
                checks.text(name, "missing", "a dict of columns by their names"): _policy(word) for name, word in asked.items()
            }
        else:
            raise TypeError(checks.must_be("missing", "a text such as 'median,drop', or a dict of columns", repr(asked)))
        for group, which in ((NUMBERS, "numbers"), (("error", "drop"), "all columns")):
            found = [word for word in dict.fromkeys(general) if word in group]
            if len(found) > 1:
                other = f"give some columns their own, as in COLUMN={found[1]}"
                raise ValueError(Message(_MISSING, f" has both {found[0]} and {found[1]} for {which}; {other}"))
        return cls(tuple(dict.fromkeys(general)), tuple(named.items()))

    @property
    def text(self) -> str:
        """As `of` reads it."""
        return _line([*self.general, *(f"{name}={word}" for name, word in self.named)]) or "error"

    @property
    def rest(self) -> str:
        """What a row's weight has, and columns of a kind for which nothing is said."""
        return "drop" if "drop" in self.general else "error"

    def of_column(self, name: str, text: bool) -> str:
        """What a feature has."""
        filled = next((word for word in self.general if word in NUMBERS), None)
        if (word := dict(self.named).get(name)) is not None:
            return word
        if not text:
            return filled or self.rest
        said = "drop" in self.general or "error" in self.general
        return "category" if "category" in self.general or (filled and not said) else self.rest

    def of_target(self, name: str) -> str:
        """What the target has: its row is left out, or it is an error."""
        word = dict(self.named).get(name)
        if word in NUMBERS or word == "category":
            raise ValueError(_own(name, "target", word))
        return word or ("drop" if "error" not in self.general and (self.general or self.named) else "error")

    def of_weights(self, name: str) -> str:
        """What the row's weight has."""
        word = dict(self.named).get(name, self.rest)
        if word not in ("error", "drop"):
            raise ValueError(_own(name, "weights", word))
        return word


def _policy(word: str) -> str:
    if word not in POLICIES:
        choices = f"{', '.join(POLICIES[:-1])} or {POLICIES[-1]}"
        raise ValueError(checks.must_be("missing", f"{choices}, or COLUMN=one of them", repr(word)))
    return word


def _own(name: str, role: str, word: str) -> Message:
    """That the target or the weights cannot have a policy."""
    return Message(_MISSING, f": {name} is the {role}, whose rows are left out (drop) or an error, found {word!r}")


def one_column(name: str, word: str) -> str:
    """The policy of one column, as `Policy.of` reads it.

    >>> one_column("age", "mean"), one_column("age, years", "mean")
    ('age=mean', '"age, years=mean"')
    """
    return _line([f"{name}={word}"])


def _line(words: list[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(words)
    return line.getvalue()
