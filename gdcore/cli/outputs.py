"""The files that a command writes: what would fail at the end is found at the beginning; what is read is never replaced."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def check(outputs: Mapping[str, str | None], inputs: Mapping[str, str], endings: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Of the files that are to be written those that are there, and will be replaced; ValueError where one cannot be written.

    Parameters
    ----------
    outputs : dict
        The path behind each option, where there is one.
    inputs : dict
        For each path that is read, what it is.
    endings : dict
        How the name behind an option may end.
    """
    taken: dict[str, str] = {}
    for option, path in outputs.items():
        if path is None:
            continue
        wanted = endings.get(option)
        if wanted is not None and os.path.splitext(path)[1].lower() not in wanted:
            raise ValueError(f"{option} {path}: the file's name must end in {' or '.join(wanted)}")
        folder = os.path.dirname(os.path.abspath(path))
        if not os.path.isdir(folder):
            raise ValueError(f"{option} {path}: there is no folder {folder}")
        if os.path.isdir(path):
            raise ValueError(f"{option} {path}: that is a folder, and a file is wanted")
        for other, what in inputs.items():
            if _same(path, other):
                raise ValueError(f"{option} {path}: that is {what}, which is only read; give another name")
        for other, name in taken.items():
            if _same(path, other):
                raise ValueError(f"{option} {path}: that is the file of {name} too")
        taken[path] = option
    return [path for path in taken if os.path.exists(path)]


def _same(one: str, other: str) -> bool:
    """Whether both are one file, or will be, through links of both kinds as well."""
    if os.path.exists(one) and os.path.exists(other):
        return os.path.samefile(one, other)
    return os.path.realpath(one) == os.path.realpath(other)


def told(path: str, replaced: list[str]) -> str:
    """The path for who reads what was written.

    >>> told("a.png", []), told("a.png", ["a.png"])
    ('a.png', 'a.png (replaced)')
    """
    return f"{path} (replaced)" if path in replaced else path
