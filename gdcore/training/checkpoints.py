"""Checkpoints of `gdcore.fit`: all that a run needs to go on after its process is gone, in one `gdcore.container`.

Every so many seconds, between two epochs, the state is copied; a thread packs and writes the copy while training goes on, and
ends with it.
What is stored is what `Run.resume` goes on from: parameters, the optimizer's memory, how the learning rate was found, the best
model so far, the history. `gdcore.training.fingerprints` says whether it belongs to the run that wants to go on from it.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gdcore import container, schema
from gdcore.checks import yes_or_no
from gdcore.container import FileError
from gdcore.descent.course import history_of
from gdcore.descent.state import like
from gdcore.messages import Message, Option, joined
from gdcore.notices import CheckpointWarning, warn
from gdcore.rows.ahead import ending
from gdcore.run import MOST_EPOCHS, Checkpoint, History, Method
from gdcore.training import fingerprints

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gdcore._types import Array, Path
    from gdcore.descent.course import Course
    from gdcore.descent.objective import Evaluation
    from gdcore.descent.options import Options
    from gdcore.descent.plan import Choice
    from gdcore.descent.problem import Problem
    from gdcore.descent.state import OwnT, State
    from gdcore.training.validation import Validation

FORMAT = container.Format("gdcore-checkpoint", "1", "checkpoint")
_META = container.COMMON | {"status", "method", "why", "epoch", "configuration", "data", "environment"}
_NUMBERS = 8  # loss, gradient norm, ceiling, and those of the state
_HISTORY = "history."
_STATUS = ("running", "epochs", "converged", "early_stopped", "interrupted")
_CONFIGURATION = schema.mapping(schema.text)
_PAUSE = 0.2  # seconds that a call of a backend takes at most, about, where somebody wants to look between two
_JOIN = 512  # pieces of history that are joined at once: for so long other threads wait


def keeper(checkpoint: Path | Checkpoint | None, resume: bool) -> Keeper | None:
    """Who keeps a run's checkpoint, from the arguments of `fit`."""
    resume = yes_or_no(resume, "resume")
    if checkpoint is None:
        if resume:
            raise ValueError(Message(Option("resume", True), " needs ", Option("checkpoint"), ", the file to go on from"))
        return None
    return Keeper(checkpoint if isinstance(checkpoint, Checkpoint) else Checkpoint(checkpoint), resume)


class Stored:
    """What a checkpoint of this run holds."""

    def __init__(self, name: str, arrays: dict[str, Array], meta: dict[str, str]) -> None:
        self._name = name
        with self._told():
            for known, names in (("method", ("stream", "gram", "exact")), ("status", _STATUS)):
                if meta[known] not in names:
                    raise ValueError(f"its {known} {meta[known][:20]!a} is unknown")
            self.method = Method(meta["method"], meta["why"])
            self.status = meta["status"]
            """Why the run had ended; "running" where it had not."""
            self.history = _history(arrays)
            like(arrays, "numbers", np.empty(_NUMBERS))
            self.loss, self.norm, self.ceiling, *self._numbers = arrays["numbers"].tolist()
        self._arrays = {key: array for key, array in arrays.items() if key != "numbers" and not key.startswith(_HISTORY)}

    @property
    def epoch(self) -> int:
        """The last one."""
        return int(self.history.epoch[-1]) if len(self.history) else 0

    def state(self, fresh: State[OwnT]) -> State[OwnT]:
        """The state, of the kind of ``fresh``."""
        with self._told():
            return fresh.from_arrays(self._arrays, self._numbers)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (ValueError, LookupError) as error:
            raise FileError(f"{self._name} cannot be gone on from: it holds no state of this run: {error}") from None


class _Copy(NamedTuple):
    """A run between two epochs."""

    epoch: int
    status: str
    state: State[Any]
    found: Evaluation
    pieces: int


class Case(NamedTuple):
    """What of a run its checkpoint is known by."""

    problem: Problem
    choice: Choice
    options: Options
    validation: Validation | None

    @property
    def configuration(self) -> dict[str, str]:
        """The options that the result depends on."""
        weights = None if self.validation is None else self.validation.sample_weight
        return fingerprints.configuration(self.problem, self.choice, self.options, weights)

    def data(self, method: str) -> dict[str, Any]:
        """What tells the rows."""
        validation = None if self.validation is None else (self.validation.X, self.validation.Y)
        return fingerprints.data(self.problem, method, validation)


class Keeper:
    """Keeps the checkpoint of one run."""

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

    def open(self, case: Case) -> Stored | None:
        """What the file holds, if it is a checkpoint of this run; None where there is no file."""
        container.library()
        self._configuration = case.configuration
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
            there = (
                f"{self.name} is there: the checkpoint of a run at epoch {meta['epoch'][:20]}, written {meta['saved'][:20]}"
            )
            advice = " goes on from it; for a new run delete it, or give another path"
            raise ValueError(Message(there, "; ", Option("resume", True), advice))
        self._check(case, meta, configuration, data)
        stored = Stored(self.name, arrays, meta)
        self._written = stored.epoch
        return stored

    def _check(self, case: Case, meta: dict[str, str], configuration: dict[str, str], data: dict[str, Any]) -> None:
        """ValueError where the file is of another run."""
        if changed := fingerprints.changes(configuration, self._configuration):
            other = f"{self.name} is the checkpoint of a run with other options: "
            advice = ". Go on with those that it had, or give another path"
            raise ValueError(Message(other, joined("; ", changed), advice))
        here = fingerprints.environment()
        self._data = case.data(meta["method"])
        same = meta["environment"] == here
        if changed := fingerprints.data_changes(data, self._data, same):
            raise ValueError(
                f"{self.name} is the checkpoint of a run on other data: {'; '.join(changed)}. Go on with the data that it "
                "had, or give another path"
            )
        if not same:
            warn(
                f"{self.name} was written by {meta['environment'][:200]}; this is {here}: the run goes on, but its bits are "
                "no longer those of one run",
                CheckpointWarning,
            )

    def begin(self, case: Case, course: Course[Any], method: Method, ceiling: float, stored: Stored | None) -> None:
        """Before the first epoch of this call."""
        self._method, self._ceiling = method, ceiling
        # The history that is joined, and how many pieces of it: one assignment changes both, wherever a signal strikes.
        self._joined = (course.before, 0)
        self._status = stored.status if stored else None
        if self._data is None:
            self._data = case.data(method)
        self._next = time.monotonic() + self._every

    # Between epochs, and after the last ------------------------------------------------------------------------------------

    def look(self, course: Course[Any]) -> None:
        """Writes, if it is time to and no writing is still going on."""
        self._warn()
        now = time.monotonic()
        if now < self._next or self._busy or self._lost or ending(threading.current_thread()):
            return
        self._next = now + self._every
        copy = self._copy(course, "running")
        # Not a daemon: the interpreter waits for what is being written.
        self._thread = threading.Thread(target=self._try, args=(course, copy), name="gdcore-checkpoint", daemon=False)
        try:
            self._thread.start()
        except RuntimeError as error:
            self._news["alone"] = f"the training waits for each writing of the checkpoint: {error}"
            self._try(course, copy)

    def finish(self, course: Course[Any], status: str) -> None:
        """Writes the state that the run ended with."""
        self.close(course)
        self._warn()
        if self._status is not None and not course.done and status in (self._status, "epochs"):
            return  # the file has it already
        self._news.pop("failure", None)
        self._told.discard("failure")
        self._try(course, self._copy(course, status))
        self._warn()

    def close(self, course: Course[Any]) -> None:
        """Waits for a writing that is going on."""
        if self._busy and self._thread is not None:
            self._thread.join()

    @property
    def _busy(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _copy(self, course: Course[Any], status: str) -> _Copy:
        # The pieces of history are not copied: those that are filled do not change.
        state, found, pieces, epoch = course.now
        return _Copy(epoch, status, state.copy(), found, pieces)

    def _try(self, course: Course[Any], copy: _Copy) -> None:
        try:
            if copy.epoch >= self._written and not self._lost:
                container.write(self._own, self._pack(course, copy))
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

    def _warn(self) -> None:
        for kind, message in list(self._news.items()):
            if kind not in self._told:
                self._told.add(kind)
                warn(message, CheckpointWarning)

    def _pack(self, course: Course[Any], copy: _Copy) -> bytes:
        history, joined = self._joined
        parts = [history]
        while joined < copy.pieces:
            last = min(joined + _JOIN, copy.pieces)
            parts.append(history_of(course.pieces[joined:last]))
            joined = last
        history = History.joined(parts)
        self._joined = history, joined
        meta = {
            "status": copy.status,
            "method": self._method[:],
            "why": self._method.why,
            "epoch": str(copy.epoch),
            "configuration": json.dumps(self._configuration, ensure_ascii=False),
            "data": json.dumps(self._data, ensure_ascii=False),
            "environment": fingerprints.environment(),
        }
        numbers = [copy.found.loss, copy.found.norm, self._ceiling, *copy.state.numbers()]
        arrays = copy.state.to_arrays() | {"numbers": np.array(numbers, np.float64)}
        arrays |= {f"{_HISTORY}{name}": history[name] for name in History.NAMES}
        arrays[f"{_HISTORY}start"] = np.array(history.start)
        return container.pack(FORMAT, {name: container.plain(array) for name, array in arrays.items()}, meta)


def _history(arrays: dict[str, Array]) -> History:
    """The history that a checkpoint holds; ValueError where its epochs do not follow each other."""
    epochs = arrays[f"{_HISTORY}epoch"]
    for name in History.NAMES:
        like(arrays, f"{_HISTORY}{name}", np.empty(len(epochs), np.int64 if name == "epoch" else np.float64))
    if len(epochs) and not (epochs[0] >= 1 and (np.diff(epochs) > 0).all() and epochs[-1] <= MOST_EPOCHS):
        raise ValueError("the epochs of its history do not follow each other")
    start = (
        like(arrays, f"{_HISTORY}start", np.array(0.0)) if f"{_HISTORY}start" in arrays else math.nan
    )  # of earlier versions
    return History(float(start), **{name: arrays[f"{_HISTORY}{name}"].copy() for name in History.NAMES})
