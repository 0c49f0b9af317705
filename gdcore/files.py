"""What is stored: a model in one file, written so that a crash leaves the old file or the new one, and read with suspicion.

A model file is a safetensors file: eight bytes with the header's length, the header (JSON), the arrays' bytes. The header's
metadata say what the arrays are: a format and its version, the kind of model, activation and loss, and, where the model has
them, column names, a card and how it was trained. ``sha256`` there is the checksum of the whole file, taken while its own 64
digits are zeros; that place and meaning stay the same in every later version. No pickle: reading a file runs nothing in it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import stat
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from gdcore import losses, rows
from gdcore.mlp import ACTIVATIONS, MLP, Layer
from gdcore.models import Linear
from gdcore.run import Run

if TYPE_CHECKING:
    from gdcore._types import Array

    Path = str | os.PathLike[str]

VERSION = "1"
HEADER = 2 << 20  # bytes that a header may have
VALUES = 250_000  # commas and brackets in a JSON text: they bound the memory that its values take
_CHECKSUM = re.compile(rb'"sha256":"([0-9a-f]{64})"')
_PARTS = ("weights", "bias")
_REQUIRED = {"format", "version", "kind", "loss", "gdcore", "saved", "sha256"}
_ATTRIBUTES = {"columns": list, "card": dict, "training": dict}
_OTHERS = {
    b"PK\x03\x04": "a zip archive, as .npz and PyTorch's files are", b"\x80": "a Python pickle", b"\x93NUMPY": "a NumPy array",
    b"\x1f\x8b": "compressed with gzip", b"PAR1": "a Parquet table",
}  # fmt: skip


class FileError(ValueError):
    """The file is not a model that gdcore saved, or it is damaged, or of a later version; the message says which."""


def save(model_or_run: Linear | MLP | Run, path: Path) -> None:
    """Saves a model in one file: whole or not at all, see `write`.

    Parameters
    ----------
    model_or_run : Linear, MLP or Run
        Of a run the model is saved, and how it was trained. A model's own ``columns`` (list of names) and ``card`` (dict of
        what JSON can hold) go with it, where it has them.
    path : str or path
        A file that is there is replaced.

    Raises
    ------
    TypeError
        It is something else.
    ValueError
        It would not come back as it is: a value that is not finite, a loss of your own, a card that JSON cannot hold.
    OSError
        The file cannot be written; what was there is unchanged.
    ImportError
        safetensors is missing; the message says how to install it.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(Linear([2.0], bias=1.0), f"{folder}/line.safetensors")
    ...     load(f"{folder}/line.safetensors").predict([[10.0]])
    array([21.])
    """
    model = model_or_run.model if isinstance(model_or_run, Run) else model_or_run
    if type(model) not in (Linear, MLP):
        raise TypeError(f"save takes a gdcore.Linear, a gdcore.MLP or the Run of one, found {type(model).__name__}")
    try:
        data = _pack(model, model_or_run if isinstance(model_or_run, Run) else None)
        _model(*_parse(data))  # what is saved can be loaded
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"this model cannot be saved: {error}") from error
    write(path, data)


def load(path: Path) -> Linear | MLP:
    """The model that `save` wrote: it predicts the same bits.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    Linear or MLP
        With its loss, with ``columns`` and ``card`` where it had them, and with ``training``, a dict, where a run was saved.

    Raises
    ------
    FileError
        A ValueError: it is not exactly what `save` wrote.
    OSError
        It cannot be read.
    ImportError
        safetensors is missing.
    """
    try:
        return _model(*_parse(_read(path)))
    except FileError as error:
        raise FileError(f"{os.fspath(path)} cannot be loaded: {error}") from None


def write(path: Path, data: bytes) -> None:
    """Writes a file whole or not at all: after a crash the old file is there, or the new one, never a part.

    A temporary file beside it is written and brought to the disk, takes the file's name, and the folder is brought to the
    disk. Where the path is a link, the file it leads to is replaced. A file that is replaced passes on its permissions. A
    process that is killed meanwhile can leave a hidden ``.gdcore-*`` file there, which may be deleted.

    Raises
    ------
    OSError
        Of the kind that the system reported; it says whether what was there is unchanged, as nearly always.
    """
    target = os.path.realpath(path)
    folder = os.path.dirname(target)
    stem = f"{folder}/.gdcore-{os.urandom(8).hex()}"
    temporary, former = stem + ".tmp", stem + ".old"
    replaced = False
    try:
        old = os.stat(target) if os.path.exists(target) else None
        if old and not stat.S_ISREG(old.st_mode):
            raise OSError(errno.EISDIR if stat.S_ISDIR(old.st_mode) else errno.EINVAL, "a folder or a device is there")
        _fill(temporary, data, old and stat.S_IMODE(old.st_mode))
        directory = os.open(folder, os.O_RDONLY)
        try:
            if old:
                with contextlib.suppress(OSError):  # not every file system lets a file have two names
                    os.link(target, former)
            os.replace(temporary, target)
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
        state = "it is there, but a power failure may undo it" if replaced else "what was there before is unchanged"
        missing = error.errno == errno.ENOENT and not os.path.isdir(folder)
        why = f"there is no folder {folder}" if missing else error.strerror or str(error)
        raise OSError(error.errno, f"the file was not written ({state}): {why}", target) from error
    finally:
        for name in (temporary, former):
            with contextlib.suppress(OSError):
                os.unlink(name)


def _fill(path: str, data: bytes, mode: int | None) -> None:
    """A new file with those bytes and permissions, on the disk."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        if mode is not None and stat.S_IMODE(os.fstat(file).st_mode) != mode:
            os.fchmod(file, mode)
        rest = memoryview(data)
        while rest:
            written = os.write(file, rest)
            if written <= 0:
                raise OSError(errno.ENOSPC, "the system takes only a part of the bytes")
            rest = rest[written:]
        os.fsync(file)
    finally:
        os.close(file)  # can fail too: some file systems report here that they could not write


def _sync_folder(directory: int) -> None:
    try:
        os.fsync(directory)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some file systems do not do it for folders
            raise


def _read(path: Path) -> bytes:
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # opening a pipe would wait; a folder has its own error
        raise FileError("it is a device or a pipe, not a file")
    with open(path, "rb") as file:
        start = file.read(8 + HEADER)
        _header(start, os.fstat(file.fileno()).st_size)  # before the rest is read, which may be long
        return start + file.read()


def _header(start: bytes, size: int) -> tuple[int, dict[str, str]]:
    """Where the arrays begin, and the metadata; from a file's first bytes and its size."""
    length = int.from_bytes(start[:8], "little")
    end = 8 + length
    if size < 8 or length > HEADER or end > size:
        other = next((name for magic, name in _OTHERS.items() if start.startswith(magic)), f"cut off after {size} bytes")
        other = f"too long in its header, {length} bytes" if HEADER < length <= size else other if size else "empty"
        raise FileError(f"it is {other}: this is no model file, or a damaged one")
    try:
        entries = _json(start[8:end].decode(), "its header")
    except UnicodeDecodeError:
        raise FileError("its header is not UTF-8: the file is damaged") from None
    meta = entries.pop("__metadata__", None) if isinstance(entries, dict) else None
    if not isinstance(meta, dict) or meta.get("format") != "gdcore" or not all(type(value) is str for value in meta.values()):
        raise FileError("it is no gdcore model: its metadata do not say format 'gdcore'")
    try:
        told = end + max(int(entry["data_offsets"][1]) for entry in entries.values())
    except (ValueError, TypeError, LookupError, OverflowError):
        raise FileError("its header does not say where its arrays are") from None
    if told != size:
        raise FileError(f"its header tells of {told} bytes, and it has {size}: the file is damaged")
    return end, meta


def _json(text: str, what: str) -> Any:
    """What the JSON text holds, where no name comes twice in an object."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(made := dict(pairs)) != len(pairs):
            raise ValueError("a name comes twice")
        return made

    if sum(map(text.count, ",[{")) > VALUES:
        raise FileError(f"{what} has more than {VALUES} values")
    try:
        return json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise FileError(f"{what} is not valid JSON ({str(error)[:80]}): the file is damaged") from None


def _digest(data: bytes, at: int) -> str:
    """SHA-256 of the file, with zeros for the 64 digits that begin at ``at``."""
    view = memoryview(data)
    digest = hashlib.sha256(view[:at])
    digest.update(b"0" * 64)
    digest.update(view[at + 64 :])
    return digest.hexdigest()


def _library() -> Any:
    try:
        import safetensors.numpy
    except ImportError:
        raise ImportError("model files need safetensors, which is not installed: pip install 'gdcore[files]'") from None
    return safetensors


def _pack(model: Any, run: Run | None) -> bytes:
    """A model file's bytes."""
    from gdcore import __version__

    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    meta = {"format": "gdcore", "version": VERSION, "gdcore": __version__, "saved": now, "sha256": "0" * 64}
    if type(model) is Linear:
        meta["kind"] = "linear"
        arrays = {"weights": model.weights} | ({} if model.bias is None else {"bias": model.bias})
    else:
        meta |= {"kind": "mlp", "activation": model.activation}
        arrays = {f"layers.{i}.{part}": getattr(layer, part) for i, layer in enumerate(model.layers) for part in _PARTS}
    arrays = {name: np.asarray(rows.floating(array, name), order="C") for name, array in arrays.items()}
    meta["loss"] = "" if model.loss is None else model.loss.name
    if model.loss is not None and model.loss.parameter:
        meta["parameter"] = repr(float(model.loss.parameter))
    stored: dict[str, Any] = {name: getattr(model, name, None) for name in _ATTRIBUTES}
    if run is not None:  # run.gap is not asked for: it takes passes over the data
        loss, norm = (float(value) if np.isfinite(value) else None for value in (run.loss, run.gradient_norm))
        stored["training"] = {
            "status": run.status, "epochs": run.epochs, "loss": loss, "gradient_norm": norm, "method": run.method[:],
            "why": run.method.why, "gdcore": __version__, "date": now,
        }  # fmt: skip
    for name, value in stored.items():
        if value is not None:
            meta[name] = json.dumps(value, ensure_ascii=False, allow_nan=False)
            if json.loads(meta[name]) != value:
                raise ValueError(f"its {name} would come back changed from JSON, which has lists, and names that are strings")
    data: bytes = _library().numpy.save(arrays, meta)
    mark = _CHECKSUM.search(data)
    assert mark is not None, "safetensors writes headers in another form than gdcore knows"
    at = mark.start(1)
    return b"".join((data[:at], _digest(data, at).encode(), data[at + 64 :]))


def _parse(data: bytes) -> tuple[dict[str, Array], dict[str, str]]:
    """Arrays and metadata of a whole file."""
    end, meta = _header(data[: 8 + HEADER], len(data))
    marks = list(_CHECKSUM.finditer(data, 8, end))
    if len(marks) != 1 or marks[0][1].decode() != meta.get("sha256") or _digest(data, marks[0].start(1)) != meta["sha256"]:
        raise FileError("its checksum does not agree with what it holds: the file is damaged")
    if meta.get("version") != VERSION:
        from gdcore import __version__

        wrote, version = (ascii(meta.get(name, ""))[1:41].rstrip("'") for name in ("gdcore", "version"))
        raise FileError(
            f"gdcore {wrote} wrote it, in version {version} of the format; this is gdcore {__version__}, which reads version "
            f"{VERSION}: pip install --upgrade gdcore"
        )
    library = _library()
    try:
        return library.numpy.load(data), meta
    except (library.SafetensorError, ValueError, TypeError, KeyError, OverflowError) as error:
        raise FileError(f"its arrays cannot be read: {str(error)[:200]!a}") from None


def _model(arrays: dict[str, Array], meta: dict[str, str]) -> Linear | MLP:
    """The model of a file's arrays and metadata, or FileError where anything is missing, too many or wrong."""
    model: Linear | MLP
    layers = len(arrays) // 2
    linear = meta.get("kind") == "linear"
    wanted = {f"layers.{i}.{part}" for i in range(layers) for part in _PARTS}
    try:
        if meta.get("kind") not in ("linear", "mlp"):
            raise ValueError("it has no known kind")
        if not arrays or set(arrays) != ({*_PARTS[: len(arrays)]} if linear else wanted):
            raise ValueError(f"its arrays are not those of a model of kind {meta['kind']}")
        given = set(meta) - {*_ATTRIBUTES, "parameter"}
        if given != (_REQUIRED if linear else _REQUIRED | {"activation"}):
            raise ValueError("its metadata have a name missing or too many")
        if {array.dtype for array in arrays.values()} not in ({np.dtype("f4")}, {np.dtype("f8")}):
            raise ValueError("its arrays must be all float32 or all float64")
        for name, array in arrays.items():
            rows.check_finite(array, name)
        if linear:
            model = Linear(arrays["weights"], arrays.get("bias"))
        else:
            if meta["activation"] not in ACTIVATIONS:
                raise ValueError(f"activation {meta['activation'][:40]!a} is unknown")
            model = MLP.__new__(MLP)  # MLP() would draw random numbers
            model.activation = meta["activation"]
            model.layers = [Layer(*(arrays[f"layers.{i}.{part}"] for part in _PARTS)) for i in range(layers)]
            if 0 in model.sizes or [len(layer.weights) for layer in model.layers] != model.sizes[:-1]:
                raise ValueError(f"its layers do not fit together: {model.layers}")
        model.loss = _loss(meta["loss"], meta.get("parameter"))
        for name, kind in _ATTRIBUTES.items():
            if name in meta:
                value = _json(meta[name], name)
                if type(value) is not kind or (kind is list and not all(type(column) is str for column in value)):
                    raise ValueError(f"its {name} must be a {'list of strings' if kind is list else 'dict'}")
                setattr(model, name, value)
    except (ValueError, TypeError) as error:
        raise FileError(f"it holds no model that works: {str(error)[:300]}") from None
    return model


def _loss(name: str, parameter: str | None) -> losses.Loss | None:
    """The loss with the parameter that stands in a file."""
    if not name and parameter is None:
        return None
    loss = losses.get(name)
    if parameter is not None and loss.parameter:  # huber or quantile
        loss = losses.LOSSES[name](float(parameter))
    if parameter != (repr(loss.parameter) if loss.parameter else None):
        raise ValueError(f"loss {name} cannot have the parameter {str(parameter)[:40]!a}")
    return loss
