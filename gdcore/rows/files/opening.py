"""From paths to a table: who reads the files."""

from __future__ import annotations

import difflib
import os
import stat
from typing import TYPE_CHECKING

from gdcore import checks
from gdcore.rows.arrow import TableError, arrow
from gdcore.rows.files.folders import Found, find, kinds_of
from gdcore.rows.files.readers import READERS, ending, opened
from gdcore.rows.files.several import Several
from gdcore.rows.files.sources import NO_MARKS, File, Form, Marks, Source

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gdcore._types import Path


def open_source(
    paths: Path | Iterable[Path],
    delimiter: str | None = None,
    decimal: str | None = None,
    marks: Marks = NO_MARKS,
    comment: str | None = None,
) -> Source:
    """The table in a file, in all tables of a folder by name, or in several files, whose columns have to be the same.

    Raises
    ------
    TableError
        It is no table that can be read.
    ValueError
        The delimiter, the decimal point or the comment cannot be one.
    ImportError
        pyarrow is missing.
    """
    arrow()
    for name, character in (("delimiter", delimiter), ("decimal", decimal)):
        if character is None or (name == "delimiter" and character == "blanks"):
            continue
        also = ", or blanks" if name == "delimiter" else ""
        wanted = f"one ASCII character, no letter, digit, sign or quote{also}"
        checks.text(character, name, wanted)
        if len(character) != 1 or not character.isascii() or character.isalnum() or character in '"\r\n\0+-':
            raise ValueError(checks.must_be(name, wanted, repr(character)))
    if comment is not None:
        wanted = "what lines begin with that are none of the table, as '#'"
        if not checks.text(comment, "comment", wanted) or not comment.isprintable() or '"' in comment:
            raise ValueError(checks.must_be("comment", wanted, repr(comment)))
    files, remarks = find(paths)
    if not files:
        raise TableError("no file is given")
    form = Form(delimiter, decimal, comment, marks)
    sources = [_open(file, form) for file in files]
    for name, kind in kinds_of(files).items():
        for file, one in zip(files, sources, strict=True):
            one.add_constant(name, kind, file.values[name])
    source: Source = sources[0] if len(sources) == 1 else Several(sources, _folder(files))
    source.remarks = [*source.remarks, *remarks]
    return source


def _folder(files: list[Found]) -> str | None:
    """The name of the folder of all of them, where the names of folders in it are values."""
    roots = {os.path.abspath(file.path.removesuffix(file.label)) for file in files}
    return os.path.basename(roots.pop()) if len(roots) == 1 and files[0].values else None


def _open(file: Found, form: Form) -> File:
    path, label = file.path, file.label
    if path == "-" or path.startswith("/dev/"):
        raise TableError(f"{path} is no file, and a table is read more than once: write it to a file first, and give that one")
    try:
        path.encode()
    except UnicodeEncodeError:
        raise TableError(f"{path!a}: the file's name is not UTF-8; give the file another name") from None
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            what = "is a pipe or a device, and a table is read more than once"
            raise TableError(f"{path} {what}: write it to a file first, and give that one")
        if os.path.getsize(path) == 0:
            raise TableError(f"{label} is empty: it has no bytes at all; make it again")
        if ending(path) not in READERS:
            raise TableError(f"{label}: gdcore reads {', '.join(READERS)} files, by their ending; give it the right one")
        with open(path, "rb"):  # whether it can be opened at all, in the system's words
            pass
        source = opened(path, label, form)
        source.decimal, source.declared, source.marks = form.decimal or ".", form.decimal is not None, form.marks
    except FileNotFoundError:
        folder = os.path.dirname(path) or "."
        near = difflib.get_close_matches(label, os.listdir(folder) if os.path.isdir(folder) else [], 1)
        raise TableError(f"there is no file {path}" + (f"; did you mean {near[0]}?" if near else "")) from None
    except OSError as error:
        raise TableError(f"{path} cannot be read: {error.strerror or 'it is damaged, or cut off; make it again'}") from None
    return source
