"""The next item is made while the last one is worked with; and how long a thread of gdcore's own may run."""

from __future__ import annotations

import queue
import threading
import weakref
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

_LOOK = 0.1  # seconds from one look to the next, whether the interpreter is about to end
_OVER = object()


def ending(asker: threading.Thread) -> bool:
    """Whether nobody will wait any more for what is done for that thread: the program ends, and does not wait for it.

    The interpreter stops such threads anywhere, also within frames of C++ or Rust, which cannot bear that: the process would
    abort. So a thread of gdcore's own is never a daemon, but ends when this is true, and the interpreter waits for it.
    """
    return not threading.main_thread().is_alive() and (asker.daemon or not asker.is_alive())


class Ahead(Generic[T]):
    """An iterator whose items are made by a thread, before they are wanted; errors come where the item would.

    No line of Python runs when it is let go of: a signal that came meanwhile would be handled there, and its
    KeyboardInterrupt lost. The thread sees that nobody holds this any more, and ends by itself.

    Parameters
    ----------
    items : iterator
        Used by one thread at a time; closed at the end, where it can be.
    depth : int
        So many items are made before they are wanted.
    after : Reader, optional
        Of items that must not be made at the same time: whatever still reads there ends first.
    each : callable, optional
        Called by who takes the items: before each of them is given, and at the end.

    Attributes
    ----------
    reader : Reader
        Who makes the items. It can be kept: it does not keep this.

    >>> list(Ahead(iter("abc")))
    ['a', 'b', 'c']
    """

    def __init__(
        self, items: Iterator[T], depth: int = 2, after: Reader | None = None, each: Callable[[], Any] | None = None
    ) -> None:
        self.reader = Reader(items, depth, self, after)
        self._each = each
        self._begun = self._over = self._here = False

    def __iter__(self) -> Ahead[T]:
        return self

    def __next__(self) -> T:
        if self._over:
            raise StopIteration
        self._over = True  # unless an item is given whole: after an exception there is no next one
        if not self._begun:
            self._here = not self.reader.begin()
            self._begun = True
        item, error = self.reader.made() if self._here else self.reader.taken()
        if item is _OVER and not self._here:
            self.reader.join()  # it has nothing more to do
        if error is not None:
            raise error
        if self._each is not None:
            self._each()
        if item is _OVER:
            raise StopIteration
        self._over = False
        given: T = item
        return given

    def close(self) -> None:
        """Ends it, and the thread: after the item that is being made."""
        self._over = True
        self.reader.end()
        if self._here or not self._begun:
            self.reader.close()


class Reader(threading.Thread):
    """The thread that makes the items of one `Ahead`."""

    def __init__(self, items: Iterator[Any], depth: int, consumer: Ahead[Any], after: Reader | None) -> None:
        super().__init__(name="gdcore-ahead", daemon=False)
        self._items, self._after = items, after
        self._asker = threading.current_thread()
        # Queues in C, which a signal strikes before or after, never within.
        self._ready: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()
        self._room: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for _ in range(depth):
            self._room.put(None)
        self._ended = False
        # The callback, in C as well, wakes the thread.
        self._consumer = weakref.ref(consumer, self._room.put)

    # For who takes the items -----------------------------------------------------------------------------------------------

    def begin(self) -> bool:
        """Starts the thread; False where none can be started."""
        self._asker = threading.current_thread()
        if self._asker is threading.main_thread() and not self._asker.is_alive():
            return self._alone()  # a function of `atexit` asks: threads are started no more
        while ending(self._asker):
            threading.Event().wait(_LOOK)  # until the interpreter stops the thread that asks
        try:
            self.start()
        except RuntimeError:  # the system has no more
            return self._alone()
        return True

    def _alone(self) -> bool:
        after, self._after = self._after, None
        if after is not None:
            after.end()
        return False

    def taken(self) -> tuple[Any, BaseException | None]:
        """The next item, or what went wrong instead."""
        self._asker = threading.current_thread()
        while True:
            try:
                found = self._ready.get(timeout=1.0)
            except queue.Empty:
                if self.is_alive() or not self._ready.empty() or ending(self._asker):
                    continue  # it is being made; or the interpreter is about to stop the thread that asks
                raise RuntimeError(
                    "the rows are no longer read: another pass over the table has begun, or the process has been forked"
                ) from None
            self._room.put(None)
            return found

    def made(self) -> tuple[Any, BaseException | None]:
        """The next item, made here."""
        try:
            return next(self._items, _OVER), None
        except BaseException:
            self.close()
            raise

    def end(self) -> None:
        """Has the thread end, and waits for it."""
        self._ended = True
        self._room.put(None)
        if self.ident is not None and self is not threading.current_thread():
            self.join()

    def close(self) -> None:
        """Closes the items, where they can be closed."""
        close = getattr(self._items, "close", None)
        if close is not None:
            close()

    # The thread ------------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        last: tuple[Any, BaseException | None] | None = (_OVER, None)
        try:
            after, self._after = self._after, None
            if after is not None:
                after.end()
            del after
            for item in self._items:
                if not self._room_for_one():
                    last = None
                    return
                self._ready.put((item, None))
                del item
        except BaseException as error:
            last = _OVER, error
        finally:
            self.close()
            if last is not None:
                self._ready.put(last)

    def _room_for_one(self) -> bool:
        """Waits until one more item may be made; False where none is wanted any more."""
        while not (self._ended or self._consumer() is None or ending(self._asker)):
            try:
                self._room.get(timeout=_LOOK)
            except queue.Empty:
                continue
            return not (self._ended or self._consumer() is None)
        return False
