"""What the commands do: each in its file, which is imported when it is called."""

from __future__ import annotations

import contextlib
import importlib
import sys
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator


def run(options: Namespace) -> int:
    """Runs a command; its exit status."""
    with _told():
        status: int = importlib.import_module(f"gdcore.commands.{options.command}").run(options)
        return status


def explain(error: BaseException) -> int:
    """Says in one line what the caller can mend; the exit status."""
    text = " ".join(str(error).split())
    for python, here in ((" The run up to there is .run of this error.", ""), ("lr='auto'", "--lr auto")):
        text = text.replace(python, here)
    if isinstance(error, OSError) and error.strerror and error.filename:
        text = f"{error.filename}: {error.strerror}"
    print(f"gdcore: {text or type(error).__name__}", file=sys.stderr)
    return 2


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Warnings are lines on stderr."""

    def show(message: Any, *rest: Any, **more: Any) -> None:
        print(f"gdcore: warning: {message}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = show
        yield
