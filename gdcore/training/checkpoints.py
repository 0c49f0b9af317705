"""Checkpoints of `gdcore.fit`: all that a run needs to go on after its process is gone, in one `gdcore.store.container`.

Every so many seconds, between two epochs, the state is copied; a thread packs and writes the copy while training goes on, and
ends with it.
What is stored is what `Run.resume` goes on from: parameters, the optimizer's memory, how the learning rate was found, the best
model so far, the history. `gdcore.store.fingerprints` says whether it belongs to the run that wants to go on from it.
"""

from __future__ import annotations

import json
import math
import os
import threading
import time
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gdcore import schema
from gdcore.checks import yes_or_no
from gdcore.notices import CheckpointWarning
from gdcore.rows.ahead import ending
from gdcore.rows.arrays import check_finite
from gdcore.run import MOST_EPOCHS, Checkpoint, History, Method
from gdcore.store import container, fingerprints
from gdcore.store.container import FileError
from gdcore.training.loop import history_of

if TYPE_CHECKING:
    from gdcore._types import Array, Floats

FORMAT = container.Format("gdcore-checkpoint", "1", "checkpoint")
_META = container.COMMON | {"status", "method", "why", "epoch", "configuration", "data", "environment"}
_NUMBERS = ("loss", "norm", "ceiling", "quick", "best", "waited", "tol", "judged")  # of the array of this name, in order
_STATUS = ("running", "epochs", "converged", "early_stopped", "interrupted")
_CONFIGURATION = schema.mapping(schema.text)
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
    """Keeps the checkpoint of one `gdcore.training.loop.Training`."""

    def __init__(self, checkpoint: Checkpoint, resume: bool) -> None:
        self.name, self._every, self._resume = checkpoint.path, checkpoint.seconds, resume
        self.path = os.path.abspath(checkpoint.path)  # once: the working folder may change
        self.seconds = min(_PAUSE, self._every / 4)
        """So often it wants to look."""
        self._thread: threading.Thread | None = None
        self._written = -1  # the epoch that the file has
        self._lost = False  # the file is another's now
        self._news: dict[str, str] = {}  # what is to be warned of, by its kind
        self._told: set[str] = set()  # kinds that were
        self._data: dict[str, Any] | None = None

    # Before the first epoch ------------------------------------------------------------------------------------------------

    def open(self, t: Any) -> Stored | None:
        """What the file holds, if it is a checkpoint of this run; None where there is no file."""
        container.library()
        self._configuration = fingerprints.configuration(t)
        self._own = container.Own(self.path)
        if not self._own.there:
            folder = os.path.dirname(self.path)
            if not os.path.isdir(folder):
                raise FileNotFoundError(f"checkpoint cannot be written: there is no folder {folder}")
            return None
        try:
            arrays, meta = container.read(FORMAT, self.path)
            if set(meta) != _META:
                raise FileError("its metadata have a name missing or too many")
            configuration = container.json_of(meta["configuration"], "its configuration", _CONFIGURATION)
            data = container.json_of(meta["data"], "its data", fingerprints.DATA, finite=False)
        except FileError as error:
            raise FileError(f"{self.name} is there, and cannot be gone on from: {error}") from None
        if not self._resume:
            raise ValueError(
                f"{self.name} is there: the checkpoint of a run at epoch {meta['epoch'][:20]}, written {meta['saved'][:20]}; "
                "resume=True goes on from it; for a new run delete it, or give another path"
            )
        self._check(t, meta, configuration, data)
        try:
            stored = _stored(t, arrays, meta)
        except (ValueError, LookupError) as error:
            raise FileError(f"{self.name} cannot be gone on from: it holds no state of this run: {error}") from None
        self._written = len(stored.history) and int(stored.history.epoch[-1])
        return stored

    def _check(self, t: Any, meta: dict[str, str], configuration: dict[str, str], data: dict[str, Any]) -> None:
        """ValueError where the file is of another run."""
        if changed := fingerprints.changes(configuration, self._configuration):
            raise ValueError(
                f"{self.name} is the checkpoint of a run with other options: {'; '.join(changed)}. Go on with those that it "
                "had, or give another path"
            )
        here = fingerprints.environment()
        self._data = fingerprints.data(t, meta["method"])
        same = meta["environment"] == here
        if changed := fingerprints.data_changes(data, self._data, same):
            raise ValueError(
                f"{self.name} is the checkpoint of a run on other data: {'; '.join(changed)}. Go on with the data that it "
                "had, or give another path"
            )
        if not same:
            warnings.warn(
                f"{self.name} was written by {meta['environment'][:200]}; this is {here}: the run goes on, but its bits are "
                "no longer those of one run",
                CheckpointWarning,
                stacklevel=5,
            )

    def begin(self, t: Any, stored: Stored | None) -> None:
        """Before the first epoch of this call."""
        # The history that is joined, and how many pieces of it: one assignment changes both, wherever a signal strikes.
        self._joined = (t.history, 0)
        self._status = stored.status if stored else None
        if self._data is None:
            self._data = fingerprints.data(t, t.method)
        self._next = time.monotonic() + self._every

    # Between epochs, and after the last ------------------------------------------------------------------------------------

    def look(self, t: Any) -> None:
        """Writes, if it is time to and no writing is still going on."""
        self._warn(6)
        now = time.monotonic()
        if now < self._next or self._busy or self._lost or ending(threading.current_thread()):
            return
        self._next = now + self._every
        copy = self._copy(t, "running")
        # Not a daemon: the interpreter waits for what is being written.
        self._thread = threading.Thread(target=self._try, args=(t, copy), name="gdcore-checkpoint", daemon=False)
        try:
            self._thread.start()
        except RuntimeError as error:
            self._news["alone"] = f"the training waits for each writing of the checkpoint: {error}"
            self._try(t, copy)

    def finish(self, t: Any, status: str) -> None:
        """Writes the state that the run ended with."""
        self.close(t)
        self._warn(5)
        if self._status is not None and not t.done and status in (self._status, "epochs"):
            return  # the file has it already
        self._news.pop("failure", None)
        self._told.discard("failure")
        self._try(t, self._copy(t, status))
        self._warn(5)

    def close(self, t: Any) -> None:
        """Waits for a writing that is going on."""
        if self._busy and self._thread is not None:
            self._thread.join()

    @property
    def _busy(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _copy(self, t: Any, status: str) -> _Copy:
        # The pieces of history are not copied: those that are filled do not change.
        stored = Stored(self._joined[0], t.state.copy(), t.method, status, t.loss, t.norm, t.ceiling)
        return _Copy(t.first + t.done, len(t.pieces), stored)

    def _try(self, t: Any, copy: _Copy) -> None:
        try:
            if copy.epoch >= self._written and not self._lost:
                container.write(self._own, self._pack(t, copy))
                self._written = copy.epoch
        except container.TakenError:
            self._lost = True
            self._news["lost"] = (
                f"{self.name} is no longer the file that this run wrote: another run or program has replaced it. It is left "
                f"as it is, and this run, at epoch {copy.epoch}, is kept nowhere; the training goes on"
            )
        except Exception as error:  # whatever it is, it must not end the training, and is told
            there = f"the one there is of epoch {self._written}" if self._written >= 0 else "there is none"
            told = f"the checkpoint was not written ({there}); the training goes on"
            self._news["failure"] = f"{told}. {type(error).__name__}: {error}"

    def _warn(self, level: int) -> None:
        for kind, message in list(self._news.items()):
            if kind not in self._told:
                self._told.add(kind)
                warnings.warn(message, CheckpointWarning, stacklevel=level)

    def _pack(self, t: Any, copy: _Copy) -> bytes:
        history, joined = self._joined
        parts = [history]
        while joined < copy.pieces:
            last = min(joined + _JOIN, copy.pieces)
            parts.append(history_of(t.pieces[joined:last]))
            joined = last
        self._joined = History.joined(parts), joined
        stored = copy.stored._replace(history=self._joined[0])
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
    arrays["history.start"] = np.array(stored.history.start)
    return {name: container.plain(array) for name, array in arrays.items() if array is not None}


def _stored(t: Any, arrays: dict[str, Array], meta: dict[str, str]) -> Stored:
    """What `_arrays` made the arrays of; ValueError where they are not those of a run of this training."""
    method = Method(meta["method"], meta["why"])
    for name, known_ones in (("method", ("stream", "gram", "exact")), ("status", _STATUS)):
        if meta[name] not in known_ones:
            raise ValueError(f"its {name} {meta[name][:20]!a} is unknown")
    state = t.fresh_state(method)
    known = {f"history.{name}" for name in History.NAMES} | {"numbers"}
    epochs = arrays["history.epoch"]
    for name in History.NAMES:
        _like(arrays, f"history.{name}", np.empty(len(epochs), np.int64 if name == "epoch" else np.float64))
    if len(epochs) and not (epochs[0] >= 1 and (np.diff(epochs) > 0).all() and epochs[-1] <= MOST_EPOCHS):
        raise ValueError("the epochs of its history do not follow each other")
    start = math.nan
    if "history.start" in arrays:  # not in those of earlier versions
        start = float(_like(arrays, "history.start", np.array(math.nan)))
        known.add("history.start")
    _like(arrays, "numbers", np.empty(len(_NUMBERS)))
    number = dict(zip(_NUMBERS, arrays["numbers"].tolist(), strict=True))
    if not 0 <= number["waited"] <= MOST_EPOCHS:
        raise ValueError(f"the epochs that it has waited are {number['waited']}")
    for name in ("weights", "bias", "memory", "steps", "scalars"):
        if getattr(state, name) is not None:
            setattr(state, name, _like(arrays, name, getattr(state, name)))
            known.add(name)
    if number["best"] < math.inf:
        bias = None if state.bias is None else _like(arrays, "best.bias", state.bias)
        state.best = (number["best"], _like(arrays, "best.weights", state.weights), bias)
        known |= {"best.weights", "best.bias"} if bias is not None else {"best.weights"}
    if "origin.facts" in arrays:
        p = (t.d + t.has_bias, t.outputs)
        facts = _like(arrays, "origin.facts", np.empty(arrays["origin.facts"].size))
        first = _like(arrays, "origin.first", np.array(0))
        delta, u = (_like(arrays, f"origin.{name}", np.empty(p)) for name in ("delta", "u"))
        state.origin = (facts, int(first), (delta, u))
        known |= {"origin.facts", "origin.first", "origin.delta", "origin.u"}
    if set(arrays) != known:
        raise ValueError(f"its arrays are {sorted(arrays)}, not {sorted(known)}"[:300])
    for name in ("weights", "bias", "memory", "best.weights", "best.bias"):
        if name in arrays:
            check_finite(arrays[name], name)
    state.quick, state.waited = number["quick"], int(number["waited"])
    state.judged = None if math.isnan(number["tol"]) else (number["tol"], bool(number["judged"]))
    history = History(start, **{name: arrays[f"history.{name}"].copy() for name in History.NAMES})
    return Stored(history, state, method, meta["status"], number["loss"], number["norm"], number["ceiling"])


def _like(arrays: dict[str, Array], name: str, wanted: Array | Floats) -> Array:
    """The array of that name, if it has the shape and dtype that are wanted."""
    array = arrays[name]
    if (array.shape, array.dtype) != (wanted.shape, wanted.dtype):
        raise ValueError(f"{name} has shape {array.shape} and dtype {array.dtype}, not {wanted.shape} and {wanted.dtype}")
    return array
