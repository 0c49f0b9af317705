"""A progress bar for `gdcore.fit`: tqdm's, which is imported when the first one is shown."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from gdcore.descent.course import LOSS, VALIDATION

if TYPE_CHECKING:
    from collections.abc import Callable

    from gdcore._types import ProgressBar
    from gdcore.descent.course import Course

_EVERY = 0.1  # seconds from one look to the next


class Bar:
    """Shows epochs, the loss, and the validation loss where there is one.

    Parameters
    ----------
    kind : True or a class
        True: tqdm on stderr. Another class is called and used as ``tqdm.tqdm`` is.
    first, epochs : int
        Epochs done already, and epochs in all.
    """

    seconds = _EVERY
    """So often it wants to look."""

    def __init__(self, kind: bool | Callable[..., ProgressBar], first: int, epochs: int) -> None:
        made = kind if callable(kind) else library()
        self._bar = made(total=epochs, initial=first, unit="epoch", mininterval=0, miniters=1)
        self._shown, self._last = first, time.monotonic()

    def look(self, course: Course[Any]) -> None:
        """Shows how far it is, unless it has just done so."""
        now = time.monotonic()
        if now - self._last >= _EVERY:
            self._last = now
            self._show(course)

    def close(self, course: Course[Any]) -> None:
        """Shows the end, whatever the end is."""
        try:
            self._show(course)
        finally:
            self._bar.close()

    def _show(self, course: Course[Any]) -> None:
        reached, last = course.epoch, course.last
        if reached == self._shown or last is None:
            return
        loss, validation_loss = float(last[LOSS]), float(last[VALIDATION])
        told = {"loss": f"{loss:.6g}"} | ({} if math.isnan(validation_loss) else {"validation_loss": f"{validation_loss:.6g}"})
        self._bar.set_postfix(told, refresh=False)
        self._bar.update(reached - self._shown)
        self._shown = reached


def library() -> Callable[..., ProgressBar]:
    """tqdm's class."""
    try:
        from tqdm import tqdm
    except ImportError:
        raise ImportError("a progress bar needs tqdm, which is not installed: pip install 'gdcore[cli]'") from None
    # A bar of its own kind, so that tqdm starts no thread that watches it.
    return type("tqdm", (tqdm,), {"monitor_interval": 0})
