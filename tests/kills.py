"""Training killed again and again, and gone on with from its checkpoint: does it end as if nothing had happened?

    python tests/kills.py [RANDOM] [INSIDE]

kills at 300 random moments and at 100 places inside the saving; test_checkpoints.py kills less often. After every kill the
checkpoint, if there is one, must load; a run that was let go to its end must have the bits of one that was never killed.
Needs `os.fork`.
"""

import glob
import os
import pickle
import random
import signal
import sys
import tempfile
import time

import numpy as np

import gdcore
from gdcore import container
from gdcore.training import checkpoints

NAMES = ("open", "fstat", "write", "fsync", "close", "link", "replace", "unlink")


def jobs():
    """Name → what the run is of: a second or so of training each."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3000, 12))
    y = X @ rng.normal(size=12) + rng.normal(size=3000)
    labels = (y > 0).astype(float)
    part = (X[:300], labels[:300])
    return {
        "stream": ((X, y), {"lr": 1e-4, "epochs": 8000, "method": "stream", "optimizer": gdcore.SGD(momentum=0.9)}),
        "batches": ((X, y), {"lr": 1e-4, "epochs": 250, "batch_size": 64, "optimizer": "adam", "seed": 3}),
        "network": (
            (X, labels, gdcore.MLP([12, 8, 1], seed=1), "logistic"),
            {"epochs": 250, "optimizer": "adamw", "batch_size": 300, "validation": part, "patience": 200},
        ),
        "auto": (
            (X, labels, None, "logistic"),
            {"epochs": 400, "l1": 1e-4, "tol": 0.0, "callback": lambda epoch: time.sleep(1e-3)},
        ),
    }


def result(run):
    """All that must be the same."""
    model = [array.tobytes() for array in run.model.parameters(np.float64) if array is not None]
    history = [run.history[name].tobytes() for name in gdcore.History.NAMES if name != "seconds"]
    return model, history, run.status, run.loss, repr(run.gradient_norm), str(run.method)


class Kill:
    """The module os, whose call number ``left`` of those that save kills the process, before or after it did its work."""

    def __init__(self, left, before):
        self.left, self.before = left, before

    def __getattr__(self, name):
        value = getattr(os, name)
        if name not in NAMES:
            return value

        def call(*arguments, **options):
            self.left -= 1
            if self.left >= 0:
                return value(*arguments, **options)
            try:
                if not self.before:
                    value(*arguments, **options)
            finally:
                os.kill(os.getpid(), signal.SIGKILL)

        return call


def child(work):
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    return pid


def ended(pid):
    """Whether it came to its end; it may have been killed, and nothing else."""
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code in (0, -signal.SIGKILL), f"exit status {code}"
    return code == 0


def work(job, path, out, system=None):
    arguments, options = job
    if system is not None:
        container.os = system
    run = gdcore.fit(*arguments, **options, checkpoint=gdcore.Checkpoint(path, 0.01), resume=True)
    with open(out, "wb") as file:
        pickle.dump(result(run), file)


def check(path):
    """Whether there is a checkpoint: it loads, or this raises."""
    if not os.path.exists(path):
        return False
    container.read(checkpoints.FORMAT, path)
    return True


def main(at_random=300, inside=100, seed=0):
    random.seed(seed)
    counts = {"at random": 0, "inside": 0, "runs": 0, "gone on from a checkpoint": 0}
    with tempfile.TemporaryDirectory() as folder:
        path, out = os.path.join(folder, "run"), os.path.join(folder, "result")
        work_of = jobs()
        names = list(work_of)
        wanted = {}
        for name, (arguments, options) in work_of.items():

            def alone(arguments=arguments, options=options):
                with open(out, "wb") as file:
                    pickle.dump(result(gdcore.fit(*arguments, **options)), file)

            assert ended(child(alone))
            with open(out, "rb") as file:
                wanted[name] = pickle.load(file)
        while counts["at random"] < at_random or counts["inside"] < inside:
            name, killed = names[counts["runs"] % len(names)], 0
            while True:
                there = check(path)
                counts["gone on from a checkpoint"] += there and killed > 0
                within = counts["inside"] < inside and (counts["at random"] >= at_random or random.random() < 0.25)
                spare = killed >= 12 or (counts["inside"] >= inside and counts["at random"] >= at_random)
                system = Kill(random.randrange(40), random.random() < 0.5) if within and not spare else None
                pid = child(lambda name=name, system=system: work(work_of[name], path, out, system))
                if system is None and not spare:
                    time.sleep(random.uniform(0.0, 0.12))
                    os.kill(pid, signal.SIGKILL)
                if ended(pid):
                    break
                counts["inside" if within else "at random"] += 1
                killed += 1
            with open(out, "rb") as file:
                assert pickle.load(file) == wanted[name], f"{name}: other bits after {killed} kills"
            assert check(path)
            counts["runs"] += 1
            for left in [path, out, *glob.glob(os.path.join(folder, ".gdcore-*"))]:
                os.unlink(left)
    return counts


if __name__ == "__main__":
    print(main(*map(int, sys.argv[1:])))
