"""The lines of a CSV file as pyarrow can read them: without comments, and with one tabulator where several blanks are."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import BinaryIO

    from _typeshed import WriteableBuffer

_BLOCK = 1 << 20  # bytes that are read at a time
_BLANKS = re.compile(rb'"(?:[^"\n]|"")*"|[ \t]+')


class Lines(io.RawIOBase):
    """A stream whose lines are those of another one, each at its place: a comment leaves an empty line.

    Parameters
    ----------
    stream : binary stream
        It is closed with this one.
    comment : str or None
        What lines begin with that are left out.
    blanks : bool
        Whether any number of blanks and tabulators, outside of quotation marks, is one tabulator, and none at either end of a
        line.

    Examples
    --------
    >>> Lines(io.BytesIO(b"# made\\nx   y\\n 1  2.5\\n"), "#", True).read()
    b'\\nx\\ty\\n1\\t2.5\\n'
    """

    def __init__(self, stream: BinaryIO, comment: str | None, blanks: bool) -> None:
        self.stream, self.blanks = stream, blanks
        self.mark = (comment or "").encode()
        self.comments = re.compile(rb"^" + re.escape(self.mark) + rb"[^\r\n]*", re.MULTILINE)
        self.rest, self.ready = b"", b""
        self.begun = self.ended = False

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        if not self.closed:
            self.stream.close()
        super().close()

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        into = memoryview(buffer).cast("B")
        while not self.ready and not self.ended:
            self.ready = self._next()
        count = min(len(into), len(self.ready))
        into[:count] = self.ready[:count]
        self.ready = self.ready[count:]
        return count

    def read(self, size: int = -1, /) -> bytes:
        """As many bytes as are asked for, unless there are no more."""
        parts: list[bytes] = []
        while size != 0 and not (self.ended and not self.ready):
            if not self.ready:
                self.ready = self._next()
            part = self.ready if size < 0 else self.ready[:size]
            self.ready = self.ready[len(part) :]
            size -= len(part) if size > 0 else 0
            parts.append(part)
        return b"".join(parts)

    def _next(self) -> bytes:
        """Some whole lines."""
        block: bytes = self.stream.read(_BLOCK)
        if not self.begun:
            block, self.begun = block.removeprefix(b"\xef\xbb\xbf"), True
        self.ended = not block
        end = len(block) if self.ended else block.rfind(b"\n") + 1
        lines, self.rest = self.rest + block[:end] if end or self.ended else b"", block[end:] if end else self.rest + block
        if self.mark and (lines.startswith(self.mark) or b"\n" + self.mark in lines):
            lines = self.comments.sub(b"", lines)
        return self._joined(lines) if self.blanks else lines

    def _joined(self, lines: bytes) -> bytes:
        def tab(match: re.Match[bytes]) -> bytes:
            return match[0] if match[0].startswith(b'"') else b"\t"

        if b'"' not in lines:
            return b"\n".join(b"\t".join(line.split()) for line in lines.split(b"\n"))
        return b"\n".join(_BLANKS.sub(tab, line.strip(b" \t\r")) for line in lines.split(b"\n"))
