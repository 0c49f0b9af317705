"""Writes one of each kind of file that gdcore stores, and what such a file is to give, with the gdcore that is imported:

    python tests/make_stored.py FOLDER

Those in data/stored were written by the first version that stored files, 0.1.0. They stay as they are: `test_stored.py` asks
every later version to load them, or to say in one sentence that it cannot, and which version wrote them.

The rows are multiples of 1/8, made without rounding, so that they are the same on every machine.
"""

import json
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np

import gdcore

I, J = np.arange(48)[:, None], np.arange(3)[None, :]
X = ((I * 7 + J * 11 + I * J) % 13 - 6) / 4
Y = X @ [1.5, -0.5, 0.25] + 0.75 + ((I[:, 0] * 5) % 7 - 3) / 8
LABELS = (Y > 0.5).astype(float)
CLASSES = np.digitize(Y, [0.0, 1.5]).astype(float)
HELD = (X[:12] + 0.125, Y[:12])

NETWORK = gdcore.MLP([3, 2, 1], "tanh")
NETWORK.layers[0].weights[:] = [[0.5, -0.25], [0.125, 0.75], [-0.5, 0.25]]
NETWORK.layers[0].bias[:] = [0.25, -0.125]
NETWORK.layers[1].weights[:] = [[0.75], [-1.0]]
NETWORK.layers[1].bias[:] = [0.5]

MODELS = {
    "linear": lambda: gdcore.Linear([1.5, -0.5, 0.25], bias=0.75),
    "float32": lambda: gdcore.Linear(np.array([[1.5, 2.0], [-0.5, 0.0], [0.25, 1.0]], np.float32), None),
    "network": lambda: NETWORK,
    "run": lambda: gdcore.fit(X, Y, loss=gdcore.losses.quantile(0.75), lr=0.05, epochs=20),
    "classes": lambda: gdcore.fit(X, CLASSES, loss="softmax", l2=0.125),
}

RUNS = {
    "descent": (Y, {"lr": 0.125, "schedule": gdcore.schedules.step(4, 0.5), "l1": 0.0625, "method": "stream"}),
    "batches": (
        LABELS,
        {"lr": 0.125, "loss": "logistic", "optimizer": gdcore.Adam(betas=(0.75, 0.9375)), "batch_size": 8, "l2": 0.0625},
    ),
    "patience": (Y, {"lr": 0.0625, "validation": HELD, "patience": 5, "optimizer": gdcore.SGD(momentum=0.5)}),
    "exact": (Y, {"lr": 0.0625, "method": "exact"}),
    "newton": (LABELS, {"loss": "logistic", "l2": 0.0625}),
    "accelerated": (CLASSES, {"loss": "softmax", "optimizer": "nesterov", "l2": 0.0625}),
    "network": (Y[:, None], {"lr": 0.0625, "model": NETWORK, "optimizer": "rmsprop"}),
}
"""Of each checkpoint the targets and the options: it was written after `BEFORE` epochs, and goes on to `AFTER`."""
BEFORE, AFTER = 3, 6

_FLATS = [(20 + 5 * i, ("Bonn", "Ulm", "Kiel")[i % 3], i % 3 * 25) for i in range(30)]
TABLE = "area,town,rent\n" + "".join(f"{area},{town},{140 + 8 * area + more}\n" for area, town, more in _FLATS)
TRAIN = (
    "train",
    "rent.csv",
    "--target",
    "rent",
    "--missing",
    "mean",
    "--test-size",
    "0",
    "--out",
    "table.safetensors",
    "--quiet",
)


def numbers(model):
    """A model's numbers, in the order of its file."""
    parts = [model] if isinstance(model, gdcore.Linear) else model.layers
    arrays = [array for part in parts for array in (part.weights, part.bias) if array is not None]
    return [np.asarray(array).tolist() for array in arrays]


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    gives = {"models": {}, "runs": {}}
    for name, make in MODELS.items():
        made = make()
        gdcore.save(made, folder / f"{name}.safetensors")
        model = made.model if isinstance(made, gdcore.Run) else made
        gives["models"][name] = numbers(model)
    for name, (targets, options) in RUNS.items():
        gdcore.fit(X, targets, epochs=BEFORE, checkpoint=folder / f"{name}.ckpt", **options)
        whole = gdcore.fit(X, targets, epochs=AFTER, **options)
        gives["runs"][name] = {"numbers": numbers(whole.model), "loss": whole.history.loss.tolist(), "status": whole.status}
    (folder / "rent.csv").write_text(TABLE)
    subprocess.run([sys.executable, "-m", "gdcore", *TRAIN], cwd=folder, check=True)
    (folder / "rent.csv").unlink()
    gives["models"]["table"] = numbers(gdcore.load(folder / "table.safetensors"))
    (folder / "gives.json").write_text(json.dumps(gives) + "\n")


if __name__ == "__main__":
    warnings.simplefilter("ignore", gdcore.ConvergenceWarning)
    main(Path(sys.argv[1]).absolute())
