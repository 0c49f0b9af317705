"""Checkpoints of `gdcore.fit`: all that a run needs to go on after its process is gone, in one `gdcore.container`.

Every so many seconds, between two epochs, the state is copied; a thread packs and writes the copy while training goes on.
What is stored is what `Run.resume` goes on from: parameters, the optimizer's memory, how the learning rate was found, the best
model so far, the history. `gdcore.fingerprints` says whether it belongs to the run that wants to go on from it.
"""

from __future__ import annotations

import json
import math
import os
import queue
import threading
import time
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gdcore import container, fingerprints
from gdcore.arguments import yes_or_no
from gdcore.container import FileError
from gdcore.loop import history_of
from gdcore.run import Checkpoint, CheckpointWarning, History, Method

if TYPE_CHECKING:
    from gdcore._types import Array, Floats

FORMAT = container.Format("gdcore-checkpoint", "1", "checkpoint")
_META = container.COMMON | {"status", "method", "why", "epoch", "configuration", "data", "environment"}
_NUMBERS = ("loss", "norm", "ceiling", "quick", "best", "waited", "tol", "judged")  # of the array of this name, in order
_PAUSE = 0.2  # seconds that a call of a backend takes at most, about, where somebody wants to look between two
_JOIN = 512  # pieces of history that are joined at once: for so long other threads wait


def keeper(checkpoint: Any, resume: Any) -> Keeper | None:
    """Who keeps a run's checkpoint, from the arguments of `fit`."""
    resume = yes_or_no(resume, "resume")
    if checkpoint is None:
        if resume:
            raise ValueError("resume=True needs checkpoint=, the file to go on from")
        return None
    return Keeper(checkpoint if isinstance(checkpoint, Checkpoint) else Checkpoint(checkpoint), resume)


class Stored(NamedTuple):
    """What a checkpoint holds."""

    history: History
    state: Any
    method: Method
    status: str
    """Why the run had ended; "running" where it had not."""
    loss: float
    norm: float
    ceiling: float


class _Copy(NamedTuple):
    """A training between two epochs."""

    epoch: int
    pieces: int
    stored: Stored


class Keeper:
    """Keeps the checkpoint of one `gdcore.loop.Training`."""

    def __init__(self, checkpoint: Checkpoint, resume: bool) -> None:
        self.path, self._every, self._resume = checkpoint.path, checkpoint.seconds, resume
        self.seconds = min(_PAUSE, self._every / 4)
        """So often it wants to look."""
        self._thread: threading.Thread | None = None
        self._copies: queue.SimpleQueue[tuple[Any, _Copy] | None] = queue.SimpleQueue()  # for the thread; None ends it
        self._busy = False
        self._writing = threading.Lock()
        self._written = -1  # the epoch that the file has
        self._failure: BaseException | None = None
        self._warned = False
        self._data: dict[str, Any] | None = None

    # Before the first epoch ------------------------------------------------------------------------------------------------

    def open(self, t: Any) -> Stored | None:
        """What the file holds, if it is a checkpoint of this run; None where there is no file."""
        container.library()
        self._configuration = fingerprints.configuration(t)
        if not os.path.exists(self.path):
            folder = os.path.dirname(os.path.abspath(self.path))
            if not os.path.isdir(folder):
                raise FileNotFoundError(f"checkpoint cannot be written: there is no folder {folder}")
            return None
        try:
            arrays, meta = container.read(FORMAT, self.path)
            if set(meta) != _META:
                raise FileError("its metadata have a name missing or too many")
            configuration, data = (container.json_of(meta[name], f"its {name}") for name in ("configuration", "data"))
        except FileError as error:
            raise FileError(f"{self.path} is there, and cannot be gone on from: {error}") from None
        if not self._resume:
            raise ValueError(
                f"{self.path} is there: the checkpoint of a run at epoch {meta['epoch'][:20]}, written {meta['saved'][:20]}; "
                "resume=True goes on from it; for a new run delete it, or give another path"
            )
        self._check(t, meta, configuration, data)
        try:
            stored = _stored(t, arrays, meta)
        except (ValueError, TypeError, LookupError) as error:
            raise FileError(f"{self.path} cannot be gone on from: it holds no state of this run: {error}") from None
        self._written = len(stored.history) and int(stored.history.epoch[-1])
        return stored

    def _check(self, t: Any, meta: dict[str, str], configuration: dict[str, str], data: dict[str, Any]) -> None:
        """ValueError where the file is of another run."""
        if changed := fingerprints.changes(configuration, self._configuration):
            raise ValueError(
                f"{self.path} is the checkpoint of a run with other options: {'; '.join(changed)}. Go on with those that it "
                "had, or give another path"
            )
        here = fingerprints.environment()
        self._data = fingerprints.data(t, meta["method"])
        same = meta["environment"] == here
        if changed := fingerprints.data_changes(data, self._data, same):
            raise ValueError(
                f"{self.path} is the checkpoint of a run on other data: {'; '.join(changed)}. Go on with the data that it "
                "had, or give another path"
            )
        if not same:
            warnings.warn(
                f"{self.path} was written by {meta['environment'][:200]}; this is {here}: the run goes on, but its bits are "
                "no longer those of one run",
                CheckpointWarning,
                stacklevel=5,
            )

    def begin(self, t: Any, stored: Stored | None) -> None:
        """Before the first epoch of this call."""
        self._parts = [stored.history if stored else History.empty()]
        self._joined = 0  # pieces of history that are in the parts
        self._status = stored.status if stored else None
        if self._data is None:
            self._data = fingerprints.data(t, t.method)
        self._next = time.monotonic() + self._every

    # Between epochs, and after the last ------------------------------------------------------------------------------------

    def look(self, t: Any) -> None:
        """Writes, if it is time to and no writing is still going on."""
        self._warn(6)
        now = time.monotonic()
        if now < self._next or self._busy:
            return
        self._next = now + self._every
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="gdcore-checkpoint")
            self._thread.start()
        copy = self._copy(t, "running")
        self._busy = True
        self._copies.put((t, copy))  # which does not wait for the thread to begin

    def finish(self, t: Any, status: str) -> None:
        """Writes the state that the run ended with; after `close`."""
        self._warn(5)
        if self._status is not None and not t.done and status in (self._status, "epochs"):
            return  # the file has it already
        self._failure, self._warned = None, False
        self._try(t, self._copy(t, status))
        self._warn(5)

    def close(self, t: Any) -> None:
        """Ends the thread, after a writing that is going on."""
        self._copies.put(None)
        if self._thread is not None and self._thread.is_alive():
            self._thread.join()

    def _work(self) -> None:
        while (copy := self._copies.get()) is not None:
            self._try(*copy)
            self._busy = False

    def _copy(self, t: Any, status: str) -> _Copy:
        # The pieces of history are not copied: those that are filled do not change.
        stored = Stored(self._parts[0], t.state.copy(), t.method, status, t.loss, t.norm, t.ceiling)
        return _Copy(t.first + t.done, len(t.pieces), stored)

    def _try(self, t: Any, copy: _Copy) -> None:
        try:
            with self._writing:
                if copy.epoch < self._written:
                    return
                container.write(self.path, self._pack(t, copy))
                self._written = copy.epoch
        except Exception as error:  # whatever it is, it must not end the training, and is told
            self._failure = error

    def _warn(self, level: int) -> None:
        if self._failure is None or self._warned:
            return
        self._warned = True
        there = f"the one there is of epoch {self._written}" if self._written >= 0 else "there is none"
        warnings.warn(
            f"the checkpoint was not written ({there}); the training goes on. {type(self._failure).__name__}: {self._failure}",
            CheckpointWarning,
            stacklevel=level,
        )

    def _pack(self, t: Any, copy: _Copy) -> bytes:
        while self._joined < copy.pieces:
            last = min(self._joined + _JOIN, copy.pieces)
            self._parts.append(history_of(t.pieces[self._joined : last]))
            self._joined = last
        self._parts = [History.joined(self._parts)]
        stored = copy.stored._replace(history=self._parts[0])
        meta = {
            "status": stored.status,
            "method": stored.method[:],
            "why": stored.method.why,
            "epoch": str(copy.epoch),
            "configuration": json.dumps(self._configuration, ensure_ascii=False),
            "data": json.dumps(self._data, ensure_ascii=False),
            "environment": fingerprints.environment(),
        }
        return container.pack(FORMAT, _arrays(stored), meta)


# The state as arrays --------------------------------------------------------------------------------------------------------


def _arrays(stored: Stored) -> dict[str, Array]:
    state = stored.state
    tol, judged = (math.nan, 0.0) if state.judged is None else state.judged
    numbers = (stored.loss, stored.norm, stored.ceiling, state.quick, state.best[0], state.waited, tol, judged)
    arrays = {
        "weights": state.weights, "bias": state.bias, "memory": state.memory, "steps": state.steps, "scalars": state.scalars,
        "numbers": np.array(numbers, np.float64),
    }  # fmt: skip
    if state.best[0] < math.inf:
        arrays |= {"best.weights": state.best[1], "best.bias": state.best[2]}
    if state.origin is not None:
        facts, first, (delta, u) = state.origin
        arrays |= {"origin.facts": facts, "origin.first": np.array(first), "origin.delta": delta, "origin.u": u}
    arrays |= {f"history.{name}": stored.history[name] for name in History.NAMES}
    return {name: container.plain(array) for name, array in arrays.items() if array is not None}


def _stored(t: Any, arrays: dict[str, Array], meta: dict[str, str]) -> Stored:
    """What `_arrays` made the arrays of; ValueError where they are not those of a run of this training."""
    method = Method(meta["method"], meta["why"])
    if method not in ("stream", "gram", "exact"):
        raise ValueError(f"its method {method[:20]!a} is unknown")
    state = t.fresh_state(method)
    known = {f"history.{name}" for name in History.NAMES} | {"numbers"}
    length = len(arrays["history.epoch"])
    for name in History.NAMES:
        _like(arrays, f"history.{name}", np.empty(length, np.int64 if name == "epoch" else np.float64))
    _like(arrays, "numbers", np.empty(len(_NUMBERS)))
    number = dict(zip(_NUMBERS, arrays["numbers"].tolist(), strict=True))
    for name in ("weights", "bias", "memory", "steps", "scalars"):
        if getattr(state, name) is not None:
            setattr(state, name, _like(arrays, name, getattr(state, name)))
            known.add(name)
    if number["best"] < math.inf:
        bias = None if state.bias is None else _like(arrays, "best.bias", state.bias)
        state.best = (number["best"], _like(arrays, "best.weights", state.weights), bias)
        known |= {"best.weights", "best.bias"} if bias is not None else {"best.weights"}
    if "origin.facts" in arrays:
        facts, first, delta, u = (arrays[f"origin.{name}"] for name in ("facts", "first", "delta", "u"))
        state.origin = (facts, int(first), (delta, u))
        known |= {"origin.facts", "origin.first", "origin.delta", "origin.u"}
    if set(arrays) != known:
        raise ValueError(f"its arrays are {sorted(arrays)}, not {sorted(known)}"[:300])
    state.quick, state.waited = number["quick"], int(number["waited"])
    state.judged = None if math.isnan(number["tol"]) else (number["tol"], bool(number["judged"]))
    history = History(**{name: arrays[f"history.{name}"].copy() for name in History.NAMES})
    return Stored(history, state, method, meta["status"], number["loss"], number["norm"], number["ceiling"])


def _like(arrays: dict[str, Array], name: str, wanted: Array | Floats) -> Array:
    """The array of that name, if it has the shape and dtype that are wanted."""
    array = arrays[name]
    if (array.shape, array.dtype) != (wanted.shape, wanted.dtype):
        raise ValueError(f"{name} has shape {array.shape} and dtype {array.dtype}, not {wanted.shape} and {wanted.dtype}")
    return array
