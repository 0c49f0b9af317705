"""What the commands do: each in its file, which is imported when it is called."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import sys
import warnings
from typing import TYPE_CHECKING, Any

from gdcore.cli.terminal import harmless

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator

_FLAGS = {"n_threads": "--threads", "batch_size": "--batch-size", "sample_weight": "--weights", "resume=True": "--resume",
          "give l2 a value": "give --l2 a value"}  # fmt: skip
_OPTIONS = ("lr", "precondition", "optimizer", "tol", "epochs", "seed", "l1", "l2", "loss")


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
    text = str(error).replace(" The run up to there is .run of this error.", "")
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    print(harmless(f"gdcore: {on_the_command_line(text) or type(error).__name__}"), file=sys.stderr)
    return 2


def on_the_command_line(text: str) -> str:
    """A message in one line, with options as they are written here.

    >>> on_the_command_line("batch_size must be between 1 and 320, found 400; lr='auto' chooses")
    '--batch-size must be between 1 and 320, found 400; --lr auto chooses'
    >>> on_the_command_line("an l2 penalty, as l2=0.01, gives finite ones")
    'an l2 penalty, as --l2 0.01, gives finite ones'
    """
    text = " ".join(text.split())
    for python, here in _FLAGS.items():
        text = re.sub(rf"\b{python}(?!\w)", here, text)
    text = re.sub(r"\b(l[12])=(\d+(?:\.\d+)?)", r"--\1 \2", text)
    return re.sub(rf"\b({'|'.join(_OPTIONS)})='([\w-]+)'", r"--\1 \2", text)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Warnings are lines on stderr."""

    def show(message: Any, *rest: Any, **more: Any) -> None:
        over = "\r\x1b[K" if sys.stderr.isatty() else ""  # in the place of a progress bar, which is drawn anew
        print(over + harmless(f"gdcore: warning: {on_the_command_line(str(message))}"), file=sys.stderr)

    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = show
        yield
