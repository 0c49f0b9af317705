"""What stands here lives in `gdcore.store.files`; this path stays for those who import it."""

from gdcore.container import FileError
from gdcore.store.files import load, save

__all__ = ["FileError", "load", "save"]
