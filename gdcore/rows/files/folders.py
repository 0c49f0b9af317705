"""Which files a path means: itself, the tables of a folder, or those of folders whose names are values, as year=2024."""

from __future__ import annotations

import os
import re
import urllib.parse
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from gdcore.checks import must_be
from gdcore.rows.arrow import TableError
from gdcore.rows.files.readers import READERS, ending

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gdcore._types import Path

_NOTHING = "__HIVE_DEFAULT_PARTITION__"  # the folder of rows without a value


class Found(NamedTuple):
    """A file of a table."""

    path: str
    label: str
    """Its name in messages."""
    values: dict[str, str | None]
    """Of columns whose values are in the names of its folders: text, as it stands there; None where it is missing."""


def files_of(paths: Path | Iterable[Path]) -> list[str]:
    """The paths of the files, those in a folder for a folder; whether they are there is not looked at."""
    return [file.path for file in find(paths)[0]]


def find(paths: Path | Iterable[Path]) -> tuple[list[Found], list[str]]:
    """The files, and what is to be told of folders."""
    given = _given(paths)
    if given is None:
        kind = type(paths)
        package = "" if kind.__module__ == "builtins" else f"{kind.__module__.split('.')[0]}."
        advice = "; a table in memory is trained with as it is: gdcore.fit(frame[columns], frame[target])"
        raise TypeError(must_be("paths", "the path of a file, or several", f"{package}{kind.__name__}", advice))
    found: list[Found] = []
    remarks: list[str] = []
    for path in given:
        if os.path.isdir(path):
            files, told = _folder(path)
            found, remarks = found + files, remarks + told
        else:
            found.append(Found(path, os.path.basename(path), {}))
    return found, remarks


def _given(paths: Path | Iterable[Path]) -> list[str] | None:
    """The paths; None where they are none, as of a table in memory, of which a loop may take the names for paths."""
    if isinstance(paths, (str, os.PathLike)):
        return [os.fspath(paths)]
    if isinstance(paths, Mapping) or len(getattr(paths, "shape", ())) > 1:
        return None
    try:
        return [os.fspath(path) for path in paths]
    except TypeError:
        return None


def _folder(path: str) -> tuple[list[Found], list[str]]:
    """The tables in a folder, by name; where it has none, those of the folders in it whose names are values."""
    files, folders = _entries(path)
    if not files and folders and all("=" in name for name in folders) and (tables := _partitions(path, "", {})):
        return tables, []
    full = [folder for name in folders for folder in _full(os.path.join(path, name))]
    these = " ".join(full[:3]) + (", …" if len(full) > 3 else "")
    if files:
        tables = [Found(os.path.join(path, name), name, {}) for name in files]
        told = f"{path}: the tables of folders in it are not read; to read them as well, give these folders too: {these}"
        return tables, [told] if full else []
    if full:
        raise TableError(f"{path} has tables in folders only; give these folders: {these}")
    raise TableError(f"{path} is a folder without a {', '.join(READERS)} file: give a file, or a folder of tables")


def _partitions(root: str, inner: str, values: dict[str, str | None]) -> list[Found]:
    files, folders = _entries(os.path.join(root, inner))
    found = [Found(os.path.join(root, inner, name), os.path.join(inner, name), values) for name in files]
    for name in folders:
        key, equals, value = name.partition("=")
        if not equals:
            if _full(os.path.join(root, inner, name)):
                where = os.path.join(root, inner)
                raise TableError(f"{where}: the folder {name} has tables, and no name such as year=2024; rename it")
            continue
        column, text = urllib.parse.unquote(key), None if value == _NOTHING else urllib.parse.unquote(value)
        found += _partitions(root, os.path.join(inner, name), values | {column: text})
    return found


def _full(path: str) -> list[str]:
    """The folders, this one or within it, that have a table."""
    files, folders = _entries(path)
    return [path] * bool(files) + [full for name in folders for full in _full(os.path.join(path, name))]


def _entries(path: str) -> tuple[list[str], list[str]]:
    """The names of the tables in a folder, and of the folders; what begins with a point or a line is no data, by custom."""
    try:
        entries = sorted((entry for entry in os.scandir(path) if entry.name[0] not in "._"), key=lambda entry: entry.name)
    except OSError as error:
        raise TableError(f"{path} cannot be read: {error.strerror}") from None
    files = [entry.name for entry in entries if entry.is_file() and ending(entry.name) in READERS]
    return files, [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]


def kinds_of(files: list[Found]) -> dict[str, str]:
    """The kinds of the columns whose values are in folders' names: integers or dates where all are, else text.

    Raises
    ------
    TableError
        Where not every file has the same.
    """
    names = list(files[0].values) if files else []
    for file in files:
        if sorted(file.values) != sorted(names):
            other = f"{file.label} and {files[0].label} lie in folders of different depth or other names"
            raise TableError(f"{other}; tables that are read as one need the same columns")
    kinds = {}
    for name in names:
        texts = [text for file in files if (text := file.values[name]) is not None]
        kinds[name] = "text"
        for kind, pattern in (("integer", r"-?(?:0|[1-9][0-9]{0,17})"), ("date", r"[0-9]{4}-[01][0-9]-[0-3][0-9]")):
            if texts and all(re.fullmatch(pattern, text) for text in texts):
                kinds[name] = kind
    return kinds
