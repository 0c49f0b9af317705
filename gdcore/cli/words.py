"""What is written on the command line, and what it means."""

from __future__ import annotations

import contextlib
import warnings
from typing import TYPE_CHECKING, Any

from gdcore.cli import flags
from gdcore.rows.filetable import TableWarning

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def overheard() -> Iterator[list[str]]:
    """The warnings that are told meanwhile, as they are told, but for the table's, which are its notes: for who looks at the
    page or the model later."""
    told: list[str] = []
    tell = warnings.showwarning

    def show(message: Any, category: type[Warning], *rest: Any, **more: Any) -> None:
        if not issubclass(category, TableWarning):
            told.append(flags.of(message))
        tell(message, category, *rest, **more)

    warnings.showwarning = show
    try:
        yield told
    finally:
        warnings.showwarning = tell


def hidden(text: str) -> list[int] | None:
    """The hidden layers of a network, or None for a linear model.

    >>> hidden("mlp:64,32")
    [64, 32]
    """
    if text == "linear":
        return None
    kind, _, sizes = text.partition(":")
    try:
        layers = [int(size) for size in sizes.split(",")]
    except ValueError:
        layers = [0]
    if kind != "mlp" or min(layers) < 1:
        raise ValueError(f"--model {text}: there is linear, and mlp:64,32 for a network with hidden layers of 64 and 32")
    return layers
