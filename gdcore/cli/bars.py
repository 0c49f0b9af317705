"""What is going on, as one bar on a terminal: rows while they are read, then epochs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from gdcore.training import progress

if TYPE_CHECKING:
    from argparse import Namespace

    from gdcore._types import ProgressBar


class Bars:
    """One bar at a time. Nothing is shown with --quiet, with --json, or where stderr is no terminal.

    Attributes
    ----------
    shown : bool
    """

    def __init__(self, options: Namespace) -> None:
        self.shown = not options.quiet and not options.json and sys.stderr.isatty()
        self._made = progress.library() if self.shown else None
        self._bar: ProgressBar | None = None
        self._what: dict[str, Any] | None = None

    def __enter__(self) -> Bars:
        return self

    def __exit__(self, *rest: object) -> None:
        self._next(None)

    def reading(self, what: str, rows: int | None = None) -> None:
        """From now on rows are read, so many of them where that is known."""
        self._next({"desc": what, "total": rows, "unit": " rows", "unit_scale": True})

    def rows(self, count: int) -> None:
        """So many rows have been read; while epochs are counted, that is not shown."""
        if self._what is None or self._made is None:
            return
        if self._bar is None:
            self._bar = self._made(**self._what, leave=False)
        if self._bar.total is not None and self._bar.n + count > self._bar.total:
            self._bar.reset()  # once more from the first row on
        self._bar.update(count)

    def epochs(self, **options: object) -> ProgressBar:
        """tqdm's bar for `gdcore.fit`, in the place of the one before."""
        self._next(None)
        assert self._made is not None
        self._bar = self._made(**options, desc="training", leave=False)
        return self._bar

    def _next(self, what: dict[str, Any] | None) -> None:
        bar, self._bar, self._what = self._bar, None, what
        if bar is not None:
            bar.close()
