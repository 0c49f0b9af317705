"""What the commands do: each in its file, which is imported when it is called."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import warnings
from typing import TYPE_CHECKING, Any

from gdcore.cli import flags
from gdcore.cli.terminal import harmless

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator


def run(options: Namespace) -> int:
    """Runs a command; its exit status. KeyboardInterrupt says what is left after Ctrl-C."""
    try:
        with _told():
            status: int = importlib.import_module(f"gdcore.cli.{options.command}").run(options)
            return status
    except KeyboardInterrupt as interrupt:
        kept = getattr(options, "checkpoint", None)
        left = f"; its state is in {kept}: --resume goes on from there" if kept and os.path.exists(kept) else ""
        raise KeyboardInterrupt(f"interrupted{f' {interrupt}' if str(interrupt) else ''}{left}") from None


def explain(error: BaseException) -> int:
    """Says in one line what the caller can mend; the exit status."""
    text = flags.of(error)
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    print(harmless(f"gdcore: {text or type(error).__name__}"), file=sys.stderr)
    return 2


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Warnings are lines on stderr."""

    def show(message: Any, *rest: Any, **more: Any) -> None:  # always a warning, whose text may have parts
        over = "\r\x1b[K" if sys.stderr.isatty() else ""  # in the place of a progress bar, which is drawn anew
        print(over + harmless(f"gdcore: warning: {flags.of(message)}"), file=sys.stderr)

    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = show
        yield
