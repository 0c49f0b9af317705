"""Who reads which kind of file: to add a kind, write a module with an `opened` and enter its endings here."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gdcore.rows.files.sources import File, Form

READERS = {
    ".csv": "csvfile", ".tsv": "csvfile", ".txt": "csvfile", ".parquet": "parquet", ".feather": "feather", ".arrow": "feather",
    ".npy": "npy",
}  # fmt: skip
"""By the ending of a file's name: the module beside this one that reads such files."""


def ending(path: str) -> str:
    """Of a file's name, without that of compression."""
    name = os.path.basename(path).lower()
    return os.path.splitext(name.removesuffix(".gz"))[1]


def opened(path: str, label: str, form: Form) -> File:
    """The table in a file of such an ending; errors of opening and reading it come through. The module is imported here."""
    file: File = importlib.import_module(f"gdcore.rows.files.{READERS[ending(path)]}").opened(path, label, form)
    return file
