"""``--cv K``: every row tests once, a model that has not seen it; ``--repeats`` draws the folds anew."""

from __future__ import annotations

import contextlib
import warnings
from typing import TYPE_CHECKING, Any

from gdcore.cli.fits import fitted
from gdcore.messages import Message, said
from gdcore.rows.arrow import TableError
from gdcore.rows.split import Fold, Order

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator

    from gdcore.cli.bars import Bars
    from gdcore.rows.filetable import FileTable
    from gdcore.scores import Scores


def scored(table: FileTable, options: Namespace, wish: dict[str, Any], bars: Bars) -> list[Scores]:
    """The scores of each fold of each repetition, on the rows that it held out."""
    found = []
    wish = wish | {"checkpoint": None, "resume": False, "progress": False}
    with _each_once():
        for repeat in range(options.repeats):
            order = Order(table.source, options.seed + repeat, options.target, options.stratify)
            if order.rows < 2 * options.cv:
                what = f"--cv {options.cv} wants two rows a fold, and there are {order.rows:,}"
                raise TableError(f"{table.source.label}: {what}; take fewer folds")
            for which in range(options.cv):
                bars.reading(f"fold {repeat * options.cv + which + 1} of {options.repeats * options.cv}")
                test = fitted(table.again(Fold(order, options.cv, which)), options, wish).test
                if test is None:
                    what = f"in every row of fold {which + 1} of {options.cv} a value is missing"
                    raise TableError(f"{table.source.label}: {what}, so that none can test; take fewer folds")
                found.append(test)
    return found


@contextlib.contextmanager
def _each_once() -> Iterator[None]:
    """What several fits warn of is told once, and of how many."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    kinds: dict[type[Warning], list[str]] = {}
    for warning in caught:
        assert isinstance(warning.message, Warning)  # never the text alone
        kinds.setdefault(warning.category, []).append(said(warning.message))
    for kind, messages in kinds.items():
        several = f" (the first of {len(messages)} such warnings of the folds)" if len(messages) > 1 else " (of a fold)"
        warnings.warn(Message(messages[0], several), kind, stacklevel=2)
