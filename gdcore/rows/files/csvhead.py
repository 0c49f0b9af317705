"""What the first bytes and the first line of a CSV file tell: that it is none, or how it is to be read."""

from __future__ import annotations

import re

import numpy as np

from gdcore.messages import Message, Option
from gdcore.rows.arrow import TableError
from gdcore.rows.files.sources import shortened
from gdcore.rows.written import is_number

COMMENTS = ("#", "%", "!", "*", "@")
"""What comments begin with, mostly."""
_LOOKED_AT = 20  # lines
_UTF_32 = "UTF-32, not UTF-8: convert it, for example with iconv -f utf-32 -t utf-8"
_UTF_16 = "UTF-16, not UTF-8: convert it, for example with iconv -f utf-16 -t utf-8"
_OTHERS = (
    (b"\xff\xfe\0\0", _UTF_32),
    (b"\0\0\xfe\xff", _UTF_32),
    (b"\xff\xfe", _UTF_16),
    (b"\xfe\xff", _UTF_16),
    (b"PAR1", "a Parquet file, not CSV: give it the ending .parquet"),
    (b"ARROW1", "a Feather file, not CSV: give it the ending .feather"),
    (b"PK\x03\x04", "a zip archive or an Excel workbook, not CSV: unpack it, or save it as CSV"),
    (b"\x1f\x8b", "compressed by gzip: give it the ending .csv.gz"),
    (b"\x93NUMPY", "a NumPy array, not CSV: give it the ending .npy"),
)


def check_bytes(head: bytes, label: str) -> None:
    """TableError where these are not the first bytes of text in UTF-8."""
    for mark, name in _OTHERS:
        if head.startswith(mark):
            raise TableError(f"{label} is {name}")
    if b"\0" in head:
        line = head[: head.index(b"\0")].count(b"\n") + 1
        what = "a NUL byte, which text does not have: the file is damaged, or no CSV in UTF-8"
        raise TableError(f"{label}, line {line}: {what}")
    if b"\r" in head and b"\n" not in head:
        how = "convert them, for example with tr '\\r' '\\n'"
        raise TableError(f"{label}: its lines end in lone CR characters; {how}")


def leading_zeros(head: bytes, delimiter: str) -> bool:
    """Whether a value may begin with 0 and another digit, with a sign or without.

    >>> [leading_zeros(head, ",") for head in (b"a,b\\n7,1\\n07,1\\n", b"a,b\\n7,-01\\n", b"a,b\\n100,0.5\\n10-01,2\\n")]
    [True, True, False]
    """
    edges = np.zeros(256, bool)
    edges[[*b' \t\n\r\f\v"', *delimiter.encode()]] = True
    codes = np.frombuffer(b"  " + head, np.uint8)
    at = 2 + np.flatnonzero((codes[2:-1] == ord("0")) & (codes[3:] >= ord("0")) & (codes[3:] <= ord("9")))
    signed = (codes[at - 1] == ord("+")) | (codes[at - 1] == ord("-"))
    return bool((edges[codes[at - 1]] | edges[codes[at - 1 - signed]]).any())


def in_blanks(head: bytes, delimiter: str) -> bool:
    """Whether blanks are between the values, and nothing else can be: the first lines have no other delimiter and no quotation
    mark, as many values each, two at least, and somewhere more than one blank between two of them.

    >>> in_blanks(b"x   y\\n1.5 2\\n", ","), in_blanks(b"x y\\n1.5 2\\n", ","), in_blanks(b"full  name\\nAda\\n", ",")
    (True, False, False)
    """
    text = head.decode("utf-8-sig", "replace")
    lines = [line for line in text.split("\n", _LOOKED_AT)[:_LOOKED_AT] if line.strip()]
    if len(lines) < 2 or any(mark in line for line in lines for mark in (delimiter, *',;|"')):
        return False
    return _width(lines) > 1 and any(re.search(r"\S[ \t]*  [ \t]*\S|\S[ \t]*\t[ \t]+\S", line) for line in lines)


def _width(lines: list[str]) -> int:
    """How many values with blanks between them each line has; 0 where not all have as many."""
    widths = {len(line.split()) for line in lines}
    return widths.pop() if len(widths) == 1 else 0


def check_names(names: list[str], second: list[str], delimiter: str, where: str) -> None:
    """TableError where these are no column names; ``second``: the record behind them, where they begin like a comment."""
    if not any(name.strip() for name in names):
        raise TableError(f"{where}: there are no column names; the first line has to name the columns")
    for other in ";\t|,":
        if len(names) == 1 and other != delimiter and other in names[0]:
            raise TableError(
                Message(f"{where}: ", _one_column(names[0], "a tabulator is" if other == "\t" else f"{other!r} is", other))
            )
    if names[0][:1] in COMMENTS and (len(names) == 1 or len(second) != len(names)):
        what = f"{shortened(delimiter.join(names))!r} is taken for the column names"
        raise TableError(Message(f"{where}: {what}; ", Option("comment", names[0][0]), " skips lines that begin so"))
    if len(names) == 1 and "  " in names[0].strip():
        raise TableError(Message(f"{where}: ", _one_column(names[0], "blanks are", "blanks")))
    if all(is_number(name.strip()) for name in names) and names != [str(j) for j in range(len(names))]:
        what = f"{shortened(', '.join(names))} are numbers; the first line has to name the columns: put one there"
        raise TableError(f"{where}: {what}")


def _one_column(name: str, found: str, delimiter: str) -> Message:
    """That all of a line is taken for one name, and what may be between several."""
    what = f"the only column would be {shortened(name)!r}; if {found} between the values, say "
    return Message(what, Option("delimiter", delimiter))
