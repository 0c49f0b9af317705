"""Files that gdcore stores: arrays and text under one checksum, written so that a crash leaves the old file or the new one,
and read with suspicion.

A container is a safetensors file: eight bytes with the header's length, the header (JSON), the arrays' bytes. The header's
metadata, names and values that are text, tell the format and its version. ``sha256`` there is the checksum of the whole file,
taken while its own 64 digits are zeros; that place and meaning stay the same in every later version. No pickle: reading a
file runs nothing in it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import math
import os
import re
import stat
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from gdcore import schema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _typeshed import ReadableBuffer

    from gdcore._types import Array, Path

HEADER = 2 << 20  # bytes that a header may have
VALUES = 250_000  # commas and brackets in a JSON text: they bound the memory that its values take
COMMON = {"format", "version", "gdcore", "saved", "sha256"}
"""The metadata that every container has."""

_DEPTH = 100  # lists and dicts within each other: what shows them need not go deeper
_CHECKSUM = re.compile(rb'"sha256":"([0-9a-f]{64})"')
_OTHERS = {
    b"PK\x03\x04": "a zip archive, as .npz and PyTorch's files are", b"\x80": "a Python pickle", b"\x93NUMPY": "a NumPy array",
    b"\x1f\x8b": "compressed with gzip", b"PAR1": "a Parquet table",
}  # fmt: skip
_BUFFER = 1 << 20
_PERMISSIONS = 0o777  # to read, write and run; not to become somebody else


class FileError(ValueError):
    """The file is not one that gdcore stored, or it is damaged, or of a later version; the message says which."""


class Format:
    """A kind of container: ``name`` and ``version`` stand in its metadata, ``noun`` is what messages call it."""

    def __init__(self, name: str, version: str, noun: str) -> None:
        self.name, self.version, self.noun = name, version, noun


MODEL = Format("gdcore", "1", "model")
"""Of models and of estimators: the kind in their metadata tells which."""


# Writing -----------------------------------------------------------------------------------------------------------------


class Own:
    """The path of a file that this program writes again and again: it is replaced only while it is as this program left it.

    Parameters
    ----------
    path : str
        What is there now is this program's.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._own = {_identity(path)}

    def __fspath__(self) -> str:
        return self.path

    @property
    def there(self) -> bool:
        """Whether a file was there at the start, or has been written since."""
        return self._own != {()}

    def replace(self, temporary: str, target: str) -> None:
        """`os.replace`, or TakenError."""
        found = _identity(target)
        if found and found not in self._own:
            raise TakenError(f"{self.path} is no longer the file that was left there")
        # Both, for it may fail, be undone, or be struck by a signal.
        self._own = {found, _identity(temporary)}
        os.replace(temporary, target)


class TakenError(Exception):
    """Another program has written where this one was going to."""


def _identity(path: str) -> tuple[int, ...]:
    """By what the file there is known as the same one; empty where there is none."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return ()
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


def write(path: Path | Own, data: bytes) -> None:
    """Writes a file whole or not at all: see `replacing`."""
    with replacing(path) as file:
        file.write(data)


@contextlib.contextmanager
def replacing(path: Path | Own) -> Iterator[io.BufferedIOBase]:
    """A file to write to, which takes the place of ``path`` when the block ends; with an exception, nothing is changed.

    After a crash the old file is there, or the new one, never a part: a temporary file beside it is written and brought to
    the disk, takes the file's name, and the folder is brought to the disk. Where the path is a link, the file it leads to is
    replaced. A file that is replaced passes on its permissions. A process that is killed meanwhile can leave a hidden
    ``.gdcore-*`` file there, which may be deleted.

    Yields
    ------
    binary file
        Its ``name`` is the temporary file's path. The block may close it.

    Raises
    ------
    TakenError
        The path is an `Own`, and another program has written there; nothing is changed.
    OSError
        Of the kind that the system reported; it says whether what was there is unchanged, as nearly always. Those of the
        block's own are passed on as they are.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing(f"{folder}/lines") as file:
    ...         for line in (b"one", b"two"):
    ...             _ = file.write(line)
    ...     pathlib.Path(f"{folder}/lines").read_bytes()
    b'onetwo'
    """
    target = os.path.realpath(path)
    folder = os.path.dirname(target)
    stem = f"{folder}/.gdcore-{os.urandom(8).hex()}"
    temporary, former = stem + ".tmp", stem + ".old"
    replaced = theirs = False
    place = path if isinstance(path, Own) else os
    raw: _Temporary | None = None
    try:
        old = os.stat(target) if os.path.exists(target) else None
        if old and not stat.S_ISREG(old.st_mode):
            raise OSError(errno.EISDIR if stat.S_ISDIR(old.st_mode) else errno.EINVAL, "a folder or a device is there")
        raw = _Temporary(temporary, old and old.st_mode & _PERMISSIONS)
        file = io.BufferedWriter(raw, _BUFFER)
        theirs = True
        yield file
        if not file.closed:
            file.flush()
        theirs = False
        raw.close()
        directory = os.open(folder, os.O_RDONLY)
        try:
            if old:
                with contextlib.suppress(OSError):  # not every file system lets a file have two names
                    os.link(target, former)
            place.replace(temporary, target)
            replaced = True
            _sync_folder(directory)
        except OSError:
            if replaced:
                os.replace(former, target) if old else os.unlink(target)
                replaced = False
            raise
        finally:
            with contextlib.suppress(OSError):
                os.close(directory)
    except OSError as error:
        if theirs and (raw is None or error is not raw.failure):
            raise
        state = "it is there, but a power failure may undo it" if replaced else "what was there before is unchanged"
        missing = error.errno == errno.ENOENT and not os.path.isdir(folder)
        why = f"there is no folder {folder}" if missing else error.strerror or str(error)
        raise OSError(error.errno, f"the file was not written ({state}): {why}", target) from error
    finally:
        if raw is not None:
            raw.abandon()
        for name in (temporary, former):
            with contextlib.suppress(OSError):
                os.unlink(name)


class _Temporary(io.RawIOBase):
    """A new file, whose bytes are on the disk when it is closed."""

    failure: OSError | None = None
    """What went wrong here, and not in the block that writes."""
    _file = -1

    def __init__(self, path: str, mode: int | None) -> None:
        self.name = path
        # Who may not read the file that is replaced cannot open this one either, not for a moment.
        first = 0o666 if mode is None else 0o600
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, first)
        if mode is not None:
            try:
                os.fchmod(self._file, mode)
            except BaseException:
                self.abandon()
                raise

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._file

    def write(self, data: ReadableBuffer) -> int:
        rest = memoryview(data).cast("B")
        size = len(rest)
        with self._noted():
            while rest:
                written = os.write(self._file, rest)
                if written <= 0:
                    raise OSError(errno.ENOSPC, "the system takes only a part of the bytes")
                rest = rest[written:]
        return size

    def close(self) -> None:
        if self._file < 0:
            super().close()
            return
        with self._noted():
            os.fsync(self._file)
            super().close()
            file, self._file = self._file, -1
            os.close(file)  # can fail too: some file systems report here that they could not write

    def abandon(self) -> None:
        """Closes it, if it is not closed, whatever becomes of its bytes."""
        file, self._file = self._file, -1
        super().close()
        if file >= 0:
            with contextlib.suppress(OSError):
                os.close(file)

    @contextlib.contextmanager
    def _noted(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.failure = error
            raise


def _sync_folder(directory: int) -> None:
    try:
        os.fsync(directory)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some file systems do not do it for folders
            raise


def pack(kind: Format, arrays: dict[str, Array], meta: dict[str, str]) -> bytes:
    """A container's bytes; the metadata that every container has are added."""
    from gdcore import __version__

    common = {"format": kind.name, "version": kind.version, "gdcore": __version__, "saved": now(), "sha256": "0" * 64}
    data: bytes = library().numpy.save(arrays, common | meta)
    mark = _CHECKSUM.search(data)
    assert mark is not None, "safetensors writes headers in another form than gdcore knows"
    at = mark.start(1)
    return b"".join((data[:at], _digest(data, at).encode(), data[at + 64 :]))


def now() -> str:
    """The time, as it stands in files."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


# Reading -----------------------------------------------------------------------------------------------------------------


def read(kind: Format, path: Path) -> tuple[dict[str, Array], dict[str, str]]:
    """Arrays and metadata of the file at ``path``; FileError without its name where it is not whole."""
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # opening a pipe would wait; a folder has its own error
        raise FileError("it is a device or a pipe, not a file")
    with open(path, "rb") as file:
        start = file.read(8 + HEADER)
        _header(kind, start, os.fstat(file.fileno()).st_size)  # before the rest is read, which may be long
        return parse(kind, start + file.read())


def parse(kind: Format, data: bytes) -> tuple[dict[str, Array], dict[str, str]]:
    """Arrays and metadata of a whole file's bytes."""
    end, meta = _header(kind, data[: 8 + HEADER], len(data))
    marks = list(_CHECKSUM.finditer(data, 8, end))
    if len(marks) != 1 or marks[0][1].decode() != meta.get("sha256") or _digest(data, marks[0].start(1)) != meta["sha256"]:
        raise FileError("its checksum does not agree with what it holds: the file is damaged")
    if meta.get("version") != kind.version:
        from gdcore import __version__

        wrote, version = (ascii(meta.get(name, ""))[1:41].rstrip("'") for name in ("gdcore", "version"))
        raise FileError(
            f"gdcore {wrote} wrote it, in version {version} of the format; this is gdcore {__version__}, which reads version "
            f"{kind.version}: pip install -U gdcore"
        )
    safetensors = library()
    try:
        return safetensors.numpy.load(data), meta
    except (safetensors.SafetensorError, ValueError, TypeError, KeyError, OverflowError) as error:
        raise FileError(f"its arrays cannot be read: {str(error)[:200]!a}") from None


def _header(kind: Format, start: bytes, size: int) -> tuple[int, dict[str, str]]:
    """Where the arrays begin, and the metadata; from a file's first bytes and its size."""
    length = int.from_bytes(start[:8], "little")
    end = 8 + length
    if size < 8 or length > HEADER or end > size:
        other = next((name for magic, name in _OTHERS.items() if start.startswith(magic)), f"cut off after {size} bytes")
        other = f"too long in its header, {length} bytes" if HEADER < length <= size else other if size else "empty"
        raise FileError(f"it is {other}: this is no {kind.noun} file, or a damaged one")
    try:
        entries = json_of(start[8:end].decode(), "its header", schema.anything, finite=False)
    except UnicodeDecodeError:
        raise FileError("its header is not UTF-8: the file is damaged") from None
    meta = entries.pop("__metadata__", None) if isinstance(entries, dict) else None
    if not isinstance(meta, dict) or meta.get("format") != kind.name or not all(type(value) is str for value in meta.values()):
        raise FileError(f"it is no gdcore {kind.noun}: its metadata do not say format {kind.name!r}")
    try:
        told = end + max(int(entry["data_offsets"][1]) for entry in entries.values())
    except (ValueError, TypeError, LookupError, OverflowError):
        raise FileError("its header does not say where its arrays are") from None
    if told != size:
        raise FileError(f"its header tells of {told} bytes, and it has {size}: the file is damaged")
    return end, meta


def json_of(text: str, what: str, wanted: schema.Check, finite: bool = True) -> Any:
    """What the JSON text holds, where no name comes twice in an object and the schema lets it through.

    ``finite``: NaN and infinity, which are no JSON but which Python writes and reads, are refused.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(made := dict(pairs)) != len(pairs):
            raise ValueError("a name comes twice")
        return made

    def read(digits: str) -> float:
        value = float(digits)
        if finite and not math.isfinite(value):
            raise ValueError(f"{digits[:20]} is not finite")
        return value

    if sum(map(text.count, ",[{")) > VALUES:
        raise FileError(f"{what} has more than {VALUES} values")
    try:
        value = json.loads(text, object_pairs_hook=unique, parse_float=read, parse_constant=read)
    except (ValueError, RecursionError) as error:
        raise FileError(f"{what} is not valid JSON ({str(error)[:80]}): the file is damaged") from None
    if schema.depth(value) > _DEPTH:
        raise FileError(f"{what} has more than {_DEPTH} lists and objects within each other")
    try:
        wanted(value, what)
    except ValueError as error:
        raise FileError(str(error)) from None
    return value


def _digest(data: bytes, at: int) -> str:
    """SHA-256 of the file, with zeros for the 64 digits that begin at ``at``."""
    view = memoryview(data)
    digest = hashlib.sha256(view[:at])
    digest.update(b"0" * 64)
    digest.update(view[at + 64 :])
    return digest.hexdigest()


def library() -> Any:
    """safetensors."""
    try:
        import safetensors.numpy
    except ImportError:
        raise ImportError("stored files need safetensors, which is not installed: pip install 'gdcore[files]'") from None
    return safetensors


def plain(array: Array) -> Array:
    """The array as containers keep it: its rows one after the other."""
    return np.asarray(array, order="C")
