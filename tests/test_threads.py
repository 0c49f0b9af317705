"""Threads, forks and signals: the same bits, no hang, nothing left behind, and Ctrl-C between two epochs."""

import itertools
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from equivalence import many_rows, problem, stable_lr, start

import gdcore
from gdcore import fit, threads
from gdcore.backends import kernel, reference

TASKS = Path("/proc/self/task")
D = 40
N = 3 * many_rows(D)  # several chunks, and four times the work from which on threads share it


def descended(n_threads=3, epochs=3, d=D, n=N):
    """The bytes of the weights after some epochs of a problem that several threads share."""
    p = problem(n, d)
    W, b, G, gb, history, done = start(kernel, p, epochs)
    kernel.descend(p.X, p.Y, W, b, G, gb, stable_lr(p.X), epochs, history, done, p.sample_weight, n_threads=n_threads)
    return W.tobytes() + b.tobytes() + G.tobytes() + gb.tobytes() + history[:2].tobytes()


def native_threads():
    """How many threads this process has, where that can be seen."""
    return len(list(TASKS.iterdir())) if TASKS.exists() else 0


def threads_at_rest():
    """How many there are once those of earlier tests have left: the number has not changed for 50 ms."""
    count, since = native_threads(), time.monotonic()
    while time.monotonic() < since + 0.05:
        time.sleep(0.005)
        if native_threads() != count:
            count, since = native_threads(), time.monotonic()
    return count


def eventually(condition, seconds=30.0):
    """Whether a condition comes true in time; the kernel's list of threads lags a little behind a join."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.001)
    return False


# ----------------------------------------------------------------------------------------------------------------- threads


def test_eight_threads_at_once():
    p = problem(N, D)
    wanted = [x.tobytes() for x in kernel.gradient(*p.arrays())]
    barrier, wrong = threading.Barrier(8), []

    def work():
        barrier.wait()
        for n_threads in range(50):
            found = kernel.gradient(*p.arrays(), n_threads=1 + n_threads % 3)
            if [x.tobytes() for x in found] != wanted:
                wrong.append(n_threads)

    workers = [threading.Thread(target=work) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert not any(worker.is_alive() for worker in workers)
    assert wrong == []


@pytest.mark.skipif(not TASKS.exists(), reason="only Linux lists a process's threads")
@pytest.mark.parametrize("d", [3, 20, 40])
def test_helpers_work_and_leave(d):
    """While a call with four threads runs there are three more; afterwards there are none."""
    p = problem(3 * many_rows(d), d)
    state = start(kernel, p, 10_000)
    W, b, G, gb, history, done = state
    before, stop = threads_at_rest(), threading.Event()

    def work():
        while not stop.is_set() and done[0] < 10_000:
            kernel.descend(p.X, p.Y, W, b, G, gb, 1e-6, 20, history, done, p.sample_weight, n_threads=4)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        helpers_seen = eventually(lambda: native_threads() == before + 1 + 3)
    finally:
        stop.set()
        worker.join(30)
    assert helpers_seen
    assert eventually(lambda: native_threads() == before)


@pytest.mark.skipif(not TASKS.exists(), reason="only Linux lists a process's threads")
def test_small_work_is_not_shared():
    p = problem(50, 3)
    state = start(kernel, p, 10**6)
    W, b, G, gb, history, done = state
    before, seen = threads_at_rest(), []
    worker = threading.Thread(
        target=kernel.descend,
        args=(p.X, p.Y, W, b, G, gb, 1e-6, 10**6, history, done),
        kwargs={"n_threads": 8},
    )
    worker.start()
    while worker.is_alive():
        seen.append(native_threads())
    worker.join()
    assert done[0] == 10**6
    assert seen
    assert max(seen) <= before + 1


# ------------------------------------------------------------------------------------------------------------------ forks


def in_a_fork(work):
    """The exit status of a forked child that does `work`: 0 where it returns True; a child that hangs fails the test."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 and later warn of forks of threaded processes
        child = os.fork()
    if child == 0:
        status = 2
        try:
            status = 0 if work() else 1
        finally:
            os._exit(status)
    ended = []
    if not eventually(lambda: ended.append(os.waitpid(child, os.WNOHANG)) or ended[-1][0] == child, 30):
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        pytest.fail("the child still hung after 30 s")
    return os.waitstatus_to_exitcode(ended[-1][1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
def test_forks_after_a_pass():
    wanted = descended()
    for _ in range(8):
        assert in_a_fork(lambda: descended() == wanted) == 0
        assert descended() == wanted


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
def test_nested_forks():
    wanted = descended()
    assert in_a_fork(lambda: in_a_fork(lambda: descended() == wanted) == 0 and descended() == wanted) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
def test_forks_in_the_middle_of_a_pass():
    """Another thread is inside the kernel, with helpers, at the moment of the fork."""
    wanted, stop, wrong = descended(), threading.Event(), []

    def work():
        while not stop.is_set():
            if descended(epochs=3) != wanted:
                wrong.append(True)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        statuses = [in_a_fork(lambda: descended() == wanted) for _ in range(5)]
    finally:
        stop.set()
        worker.join(30)
    assert statuses == [0] * 5
    assert not wrong
    assert not worker.is_alive()


def test_a_spawned_process():
    wanted = descended()
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply_async(descended).get(60) == wanted


# ---------------------------------------------------------------------------------------------------------------- signals

INTERRUPTED = """
import json, signal, sys, time
import numpy as np
from equivalence import problem, stable_lr, start
import gdcore
from gdcore.backends import kernel, reference

signal.signal(signal.SIGINT, signal.default_int_handler)
n, d, epochs, n_threads = map(int, sys.argv[1:])
p = problem(n, d)
lr = stable_lr(p.X) / 100
_, _, G, gb, _, done = start(kernel, p, 1)
W, b, history = p.weights.copy(), p.bias.copy(), np.zeros((3, epochs))

def run(state, epochs):
    W, b, G, gb, history, done = state
    return kernel.descend(p.X, p.Y, W, b, G, gb, lr, epochs, history, done, p.sample_weight, n_threads=n_threads)

state, caught = (W, b, G, gb, history, done), None
try:
    print("ready", flush=True)
    run(state, epochs)
except KeyboardInterrupt:
    caught = time.monotonic()
whole = int(done[0])
again = start(kernel, p, max(whole, 1))
run(again, whole)
same = all(one.tobytes() == other.tobytes() for one, other in zip(state[:4], again[:4]))
history_same = np.array_equal(history[:2, :whole], again[4][:2, :whole]) and not history[:, whole : whole + 1000].any()
went_on = run(state, 2) == "epochs" and done[0] == whole + 2
print(json.dumps([caught, whole, same, bool(history_same), bool(went_on)]))
"""


@pytest.mark.skipif(os.name != "posix", reason="signals are sent differently here")
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "n, d, epochs, n_threads", [(60_000, 40, 10**6, 3), (6, 1, 3 * 10**7, 1)], ids=["big, three threads", "tiny"]
)
def test_ctrl_c(tmp_path, record_property, n, d, epochs, n_threads, seed):
    """It comes at a random moment, is answered in 200 ms (a loaded machine gets ten seconds), and leaves whole epochs."""
    path = os.pathsep.join(filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-c", INTERRUPTED, *map(str, (n, d, epochs, n_threads))]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        try:
            ready = child.stdout.readline()
            time.sleep(random.Random(seed).uniform(0.02, 0.4))
            sent = time.monotonic()
            child.send_signal(signal.SIGINT)
            output, errors = child.communicate(timeout=60)
        finally:
            child.kill()
    assert (ready, child.returncode) == ("ready\n", 0), errors
    caught, whole, same, history_same, went_on = json.loads(output)
    assert caught is not None, f"it finished {whole} epochs before the signal"
    assert whole < epochs
    record_property("milliseconds until KeyboardInterrupt", round(1000 * (caught - sent), 1))
    print(f"Ctrl-C answered after {1000 * (caught - sent):.1f} ms, in epoch {whole + 1}")
    assert caught - sent < 10
    assert same, f"not the weights of {whole} whole epochs"
    assert history_same
    assert went_on


def test_an_interrupted_epoch_of_the_reference_is_undone():
    """KeyboardInterrupt at each line that runs in three epochs: the state is always that of whole epochs."""
    p, wrong = problem(50, 3), {}

    def run(epochs, at=None):
        """The state after some epochs, or after the interrupt at the line that is executed as number ``at``."""
        W, b, G, gb, history, done = start(reference, p, 3)
        lines = []

        def trace(frame, event, _):
            if frame.f_code.co_filename != reference.__file__ or frame.f_code.co_name == "_restore":
                return None
            if event == "line":
                lines.append(frame.f_lineno)
                if len(lines) == at:
                    raise KeyboardInterrupt
            return trace

        previous = sys.gettrace()
        sys.settrace(trace)
        try:
            reference.descend(p.X, p.Y, W, b, G, gb, 0.01, epochs, history, done, p.sample_weight)
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(previous)
        return lines, int(done[0]), [array.tobytes() for array in (W, b, G, gb)]

    wanted = [run(epochs)[2] for epochs in range(4)]
    lines = len(run(3)[0])
    assert lines > 30
    for at in range(1, lines + 1):
        executed, done, state = run(3, at)
        if state != wanted[done]:
            wrong[executed[at - 1]] = done
    assert not wrong, f"interrupted at these lines of reference.py, it does not leave whole epochs: {sorted(wrong)}"


class Alarm(Exception):
    pass


@pytest.fixture
def alarm():
    """Calls a handler every 10 ms, as a signal; it gets no arguments."""
    previous = signal.getsignal(signal.SIGALRM)

    def start_alarm(handler):
        signal.signal(signal.SIGALRM, lambda *_: handler())
        signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)

    yield start_alarm
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, previous)


@pytest.mark.parametrize("n_threads", [1, 3])
def test_signal_handlers_run_during_a_call(alarm, n_threads):
    """A handler that raises nothing changes nothing."""
    p, epochs = problem(N, D), 3000
    states = [start(kernel, p, epochs) for _ in range(2)]
    seen = []
    for (W, b, G, gb, history, done), listening in zip(states, (False, True), strict=True):
        if listening:
            alarm(lambda done=done: seen.append(int(done[0])))
        kernel.descend(p.X, p.Y, W, b, G, gb, 1e-6, epochs, history, done, p.sample_weight, n_threads=n_threads)
        assert done[0] == epochs
    assert any(0 < epoch < epochs for epoch in seen)
    assert [a.tobytes() for a in states[0][:4]] == [a.tobytes() for a in states[1][:4]]


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("call", ["predict", "loss", "loss_gradient"])
def test_an_exception_of_a_handler_leaves_a_pass(alarm, call, n_threads):
    """A pass over 2³⁶ rows, which takes a minute or so, is left when the handler raises."""
    n = 2**36
    X, Y = np.broadcast_to(np.float32(1), (n, 1)), np.broadcast_to(np.float32(2), (n, 1))
    W = np.ones((1, 1), np.float32)
    out = np.lib.stride_tricks.as_strided(np.zeros((1, 1), np.float32), (n, 1), (0, 0))

    def handler():
        signal.setitimer(signal.ITIMER_REAL, 0)
        raise Alarm

    arguments = (X, W, None, out) if call == "predict" else (X, Y, W, None)
    before, began = threads_at_rest(), time.monotonic()
    with pytest.raises(Alarm):  # noqa: PT012
        alarm(handler)
        getattr(kernel, call)(*arguments, n_threads=n_threads)
    assert time.monotonic() - began < 10
    assert eventually(lambda: native_threads() == before)


@pytest.mark.parametrize(
    ("said", "wanted"),
    [("3", 3), (" 2 ,1", 2), ("0004", 4), ("1024", 1024), ("1025", 1024), ("99999999999", 1024), ("9" * 5000, 1024)],
)
def test_every_source_of_a_thread_count_has_the_same_most(monkeypatch, said, wanted):
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert threads.resolve(None) == wanted
    assert threads.resolve(10**30) == 1024


@pytest.mark.parametrize("said", ["", "0", "000", "-1", "many", "\N{SUPERSCRIPT TWO}", "1.5"])
def test_what_is_no_count_of_threads_says_nothing(monkeypatch, said):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    wanted = threads.resolve(None)
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert threads.resolve(None) == wanted


def test_a_fit_with_a_count_past_every_int(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "99999999999")
    assert fit([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0]).status == "converged"


# Ctrl-C after the last epoch ---------------------------------------------------------------------------------------------

RNG = np.random.default_rng(2)
ROWS = RNG.normal(size=(60, 3))
TARGETS = ROWS @ [1.0, -2.0, 0.5] + 0.3 + RNG.normal(size=60) / 3
WATCHED = {"validation": (ROWS[:20], -TARGETS[:20]), "patience": 2}
ENDS = {
    "batches": {"lr": 0.05, "batch_size": 7, "epochs": 4},
    "batches, best kept": {"lr": 0.05, "batch_size": 7, "epochs": 9, **WATCHED},
    "all rows, best kept": {"lr": 0.05, "epochs": 9, "method": "stream", **WATCHED},
    "second moments": {"lr": 0.05, "epochs": 50, "method": "gram"},
    "by formula": {"lr": 0.05, "epochs": 50, "method": "exact"},
    "auto": {"loss": "huber"},
    "network": {"model": gdcore.MLP([3, 4, 1], seed=1), "epochs": 5},
}


class InterruptAtTheEnd:
    """Raises KeyboardInterrupt as that line of gdcore is about to run, counted from the end of the last epoch on."""

    def __init__(self, count):
        self.left, self.struck, self.running = count, None, False

    def __call__(self, frame, event, argument):
        code = frame.f_code
        if "gdcore" not in code.co_filename or self.struck is not None:
            return None
        if code.co_qualname == "Drive.epochs":
            self.running = True
            return self.descending
        return self.line if self.running and guarded(frame) else None

    def descending(self, frame, event, argument):
        return self.descending

    def line(self, frame, event, argument):
        if event == "line" and self.struck is None:
            self.left -= 1
            if self.left < 0:
                self.struck = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
                raise KeyboardInterrupt
        return self.line

    def run(self, *arguments, **options):
        before = sys.gettrace()
        sys.settrace(self)
        try:
            return gdcore.fit(*arguments, **options)
        finally:
            sys.settrace(before)


def guarded(frame, of=("Conclusion.conclude",)):
    """Whether it belongs to what comes after the last epoch."""
    while frame is not None:
        if frame.f_code.co_qualname in of:
            return True
        frame = frame.f_back
    return False


def outcome(run):
    history = [run.history[name].tobytes() for name in run.history.NAMES if name != "seconds"]
    return [array.tobytes() for array in run.model.parameters(np.float64) if array is not None], history


@pytest.mark.parametrize("kept", [False, True], ids=["", "checkpoint"])
@pytest.mark.parametrize("name", ENDS)
def test_ctrl_c_after_the_last_epoch_keeps_the_run(tmp_path, monkeypatch, name, kept):
    """At every line of the passes after it: the run is what was done, and a checkpoint has it."""
    monkeypatch.setattr(os, "fsync", lambda file: None)
    options, path = {"n_threads": 1, **ENDS[name]}, tmp_path / "run.ckpt"
    wanted, broken, places = gdcore.fit(ROWS, TARGETS, **options), [], 0
    for count in range(0, 10_000, 7 if kept else 1):
        striking = InterruptAtTheEnd(count)
        run = striking.run(ROWS, TARGETS, **options, **({"checkpoint": path} if kept else {}))
        if striking.struck is None:
            break
        places += 1
        same_loss = run.loss == wanted.loss or (np.isnan(run.loss) and ("batches" in name or "best" in name))
        near = abs(run.loss - wanted.loss) <= 1e-9 * wanted.loss and name in ("second moments", "by formula")
        if run.status != "interrupted" or outcome(run) != outcome(wanted) or not (same_loss or near):
            broken.append(f"{striking.struck}: {run}")
        if kept:
            again = gdcore.fit(ROWS, TARGETS, **options, checkpoint=path, resume=True)
            if outcome(again) != outcome(wanted) or again.loss != wanted.loss:
                broken.append(f"{striking.struck}, gone on with: {again}")
            path.unlink()
    assert places > 10
    assert broken == []


def test_ctrl_c_in_the_passes_of_a_divergence_keeps_the_run():
    options = {"lr": 5.0, "epochs": 1000, "method": "stream", "n_threads": 1}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(gdcore.DivergenceError) as caught:
            gdcore.fit(ROWS, TARGETS, **options)
        for count in itertools.count(0, 3):
            striking = InterruptAtTheEnd(count)
            try:
                run = striking.run(ROWS, TARGETS, **options)
            except gdcore.DivergenceError:
                assert striking.struck is None
                break
            assert (run.status, outcome(run)) == ("interrupted", outcome(caught.value.run)), striking.struck
    assert count > 10


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers here")
@pytest.mark.parametrize("name", ["batches, best kept", "second moments", "network"])
def test_ctrl_c_at_random_times_gives_the_run(monkeypatch, name):
    """A signal at any time from the first epoch to the last pass: the state is that of whole epochs."""
    X, Y = np.repeat(ROWS, 300, axis=0), np.repeat(TARGETS, 300)
    options = {"n_threads": 2, **ENDS[name], "epochs": 6}
    if "validation" in options:
        options["validation"] = (X[:6000], Y[:6000])  # so that the best one is often the last
    states = [outcome(gdcore.fit(X, Y, **options | {"epochs": epochs})) for epochs in range(7)]
    began = time.perf_counter()
    gdcore.fit(X, Y, **options)
    whole, moments, struck = time.perf_counter() - began, random.Random(3), []

    def strike(number, frame):
        if guarded(frame, ("Drive.epochs", "Conclusion.conclude")):
            struck.append(guarded(frame))
            raise KeyboardInterrupt
        signal.setitimer(signal.ITIMER_REAL, 1e-4)  # not yet, or no more

    previous = signal.signal(signal.SIGALRM, strike)
    try:
        for _ in range(40):
            before = len(struck)
            signal.setitimer(signal.ITIMER_REAL, moments.uniform(0, whole))
            run = gdcore.fit(X, Y, **options)
            signal.setitimer(signal.ITIMER_REAL, 0)
            assert run.status == ("interrupted" if len(struck) > before else "epochs")
            assert outcome(run) == states[run.epochs]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert struck
