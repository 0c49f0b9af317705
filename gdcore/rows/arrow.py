"""What every reader of tables needs: pyarrow, and the error that tells of a table."""

from __future__ import annotations

from typing import Any


class TableError(ValueError):
    """A table cannot be used as it is: the message names the file, the place in it, and what to do.

    Attributes
    ----------
    columns : dict
        Columns that cannot be used, and why, where it is about such.
    """

    def __init__(self, message: str, columns: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.columns = columns or {}


def arrow() -> Any:
    """pyarrow."""
    try:
        import pyarrow
        import pyarrow.compute
    except ImportError:
        raise ImportError("reading tables needs pyarrow, which is not installed: pip install 'gdcore[cli]'") from None
    return pyarrow
