"""From paths to a table: which files there are, and who reads them."""

from __future__ import annotations

import difflib
import importlib
import os
import stat
from typing import TYPE_CHECKING

from gdcore.several import Several
from gdcore.sources import NO_MARKS, Marks, Source, TableError, arrow

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gdcore.sources import Path

READERS = {".csv": "csvfile", ".tsv": "csvfile", ".txt": "csvfile", ".parquet": "binary", ".npy": "binary"}
"""The module that reads files with such an ending."""


def open_source(
    paths: Path | Iterable[Path], delimiter: str | None = None, decimal: str | None = None, marks: Marks = NO_MARKS
) -> Source:
    """The table in a file, in all tables of a folder by name, or in several files, whose columns have to be the same.

    Raises
    ------
    TableError
        It is no table that can be read.
    ValueError
        The delimiter or the decimal point cannot be one.
    ImportError
        pyarrow is missing.
    """
    arrow()
    for name, character in (("delimiter", delimiter or ","), ("decimal", decimal or ".")):
        if len(character) != 1 or not character.isascii() or character.isalnum() or character in '"\r\n\0+-':
            raise ValueError(f"{name} must be one ASCII character, no letter, digit, sign or quote, found {character!r}")
    sources = [_open(file, delimiter, decimal, marks) for file in files_of(paths)]
    if not sources:
        raise TableError("no file is given")
    return sources[0] if len(sources) == 1 else Several(sources)


def files_of(paths: Path | Iterable[Path]) -> list[str]:
    """The paths of the files, those in a folder for a folder; whether they are there is not looked at."""
    given = [os.fspath(paths)] if isinstance(paths, (str, os.PathLike)) else [os.fspath(path) for path in paths]
    return [file for path in given for file in _files(path)]


def _files(path: str) -> list[str]:
    if not os.path.isdir(path):
        return [path]
    try:
        files = sorted(entry.path for entry in os.scandir(path) if entry.is_file() and _ending(entry.name) in READERS)
    except OSError as error:
        raise TableError(f"{path} cannot be read: {error.strerror}") from None
    files = [file for file in files if not os.path.basename(file).startswith((".", "_"))]  # such are no data, by custom
    if not files:
        raise TableError(f"{path} is a folder without a {', '.join(READERS)} file: give a file, or a folder of tables")
    return files


def _ending(path: str) -> str:
    name = os.path.basename(path).lower()
    return os.path.splitext(name.removesuffix(".gz"))[1]


def _open(path: str, delimiter: str | None, decimal: str | None, marks: Marks) -> Source:
    label = os.path.basename(path)
    ending = _ending(path)
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
        if ending not in READERS:
            raise TableError(f"{label}: gdcore reads {', '.join(READERS)} files, by their ending; give it the right one")
        with open(path, "rb"):  # whether it can be opened at all, in the system's words
            pass
        source: Source = importlib.import_module(f"gdcore.{READERS[ending]}").opened(
            path, ending, delimiter, decimal or ".", marks
        )  # fmt: skip
        source.decimal, source.declared, source.marks = decimal or ".", decimal is not None, marks
    except FileNotFoundError:
        folder = os.path.dirname(path) or "."
        near = difflib.get_close_matches(label, os.listdir(folder) if os.path.isdir(folder) else [], 1)
        raise TableError(f"there is no file {path}" + (f"; did you mean {near[0]}?" if near else "")) from None
    except OSError as error:
        raise TableError(f"{path} cannot be read: {error.strerror or 'it is damaged, or cut off; make it again'}") from None
    return source
