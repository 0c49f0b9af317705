"""Mini-batches, losses and small networks against other libraries and the speed of memory, with one thread.

- Mini-batches: one epoch of linear regression, mean squared error, no bias; batches in the order of the rows, and shuffled,
  which includes drawing the order. A slow rival does a part of an epoch a turn, and its time is scaled.
- Losses: a full-batch epoch (forward, loss, gradient, update) against `kernel.read`, what reading X once costs, and
  against the NumPy reference.
- Networks: one shuffled epoch in batches against the same network, optimizer and start in PyTorch.

Each of the three runs in a process of its own, where BLAS and the rivals have one thread as well. What is timed has first
taken the same steps as the reference, and the weights were compared.
"""

import argparse
import statistics
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

from benchmarks import measure
from benchmarks.measure import Document, Row, Table, number
from benchmarks.rivals import Array
from gdcore import losses, optimizers
from gdcore.backends import kernel, reference
from gdcore.models.mlp import MLP

COLUMNS = 100
BATCH_SIZES = (1, 32, 256)
ADAM_BATCH_SIZE = 256
LEARNING_RATE = {"sgd": 0.01, "adam": 0.001}
LOSSES = {"logistic": {}, "huber": {"delta": 0.25}, "mae": {}, "quantile": {"tau": 0.3}}
LOSS_COLUMNS = (50, 100, 500)
SOFTMAX_COLUMNS, CLASSES = 100, 10
NETWORKS = (([30, 64, 1], "logistic"), ([784, 512, 10], "softmax"))
NETWORK_BATCH = 256
LABELS = {"numpy": "NumPy", "pytorch": "PyTorch", "sklearn": "scikit-learn"}

TARGETS: dict[str, Any] = {
    # At least this many times as fast, by batch size; in order and shuffled.
    "batches": {
        1: {"sklearn": 2.5},
        32: {"numpy": 6.0, "pytorch": 80.0},
        256: {"numpy": 4.0, "pytorch": 15.0},
    },
    # At most this many times the seconds of the epoch in order, and of SGD's.
    "shuffled_over_in_order": 1.3,
    "adam_over_sgd": 1.5,
    # Share of the read bandwidth, losses with one output.
    "share": 0.75,
    "softmax": {"numpy": 2.0},
    "networks": {"30-64-1": {"pytorch": 3.0}, "784-512-10": {"pytorch": 0.9}},
}

# Largest difference from what the reference does, relative to it, both as norms. Adam divides gradients by their own
# size, so that in float32 a gradient that is all rounding moves a weight as far as any other.
TOLERANCE = {"float64": 1e-9, "float32": 0.02}


@dataclass(frozen=True)
class Sizes:
    """How much to measure."""

    rows: int
    loss_bytes: int
    network_steps: tuple[int, ...]  # an epoch of each network
    part_steps: int  # of a slow rival, in one turn
    checked_steps: int
    rounds: int
    least_seconds: float


FULL = Sizes(200_000, 400_000_000, (200, 20), part_steps=500, checked_steps=200, rounds=5, least_seconds=2.0)
QUICK = Sizes(10_000, 4_000_000, (20, 3), part_steps=100, checked_steps=20, rounds=2, least_seconds=0.0)


# --------------------------------------------------------------------------------------------------------- command line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``python -m benchmarks training``."""
    measure.add_json_argument(parser)
    parser.add_argument("--quick", action="store_true", help="small arrays: to try the benchmark, not to judge gdcore")


def run(args: argparse.Namespace) -> None:
    """Measures everything, prints the rows of each part as soon as they are known, the shortfalls last."""
    configuration = {"quick": args.quick, "threads": 1, "sizes": asdict(_sizes(args.quick)), "targets": TARGETS}
    parts = (
        (measure.in_subprocess(f"benchmarks.training:{part}", {"quick": args.quick}, threads=1), training_tables)
        for part in ("measure_batches", "measure_losses", "measure_networks")
    )
    measure.perform(args, "training", configuration, parts, shortfalls, where, "its arrays fit in caches")


def _sizes(quick: bool) -> Sizes:
    return QUICK if quick else FULL


# ------------------------------------------------------------------------------------------------------ who does epochs


class Contender(ABC):
    """One that does epochs in batches: linear, mean squared error, no bias, from zeros."""

    name: ClassVar[str]
    batch_sizes: ClassVar[tuple[int, ...]] = BATCH_SIZES
    in_parts: ClassVar[tuple[int, ...]] = ()  # batch sizes at which an epoch takes too long

    def __init__(self, X: Array, Y: Array, batch_size: int, shuffled: bool, part_steps: int) -> None:
        """X (n, d), Y (n, 1)."""
        self.X, self.Y, self.batch_size, self.shuffled = X, Y, batch_size, shuffled
        self.lr = LEARNING_RATE["sgd"]
        self.epochs_begun = 0
        self.part_rows = min(len(X), part_steps * batch_size) if batch_size in self.in_parts else len(X)
        self.order: Any = None
        self.drawn = shuffled
        self.starts = self._starts()

    @abstractmethod
    def epoch(self) -> None:
        """One epoch, or a part of one: `part_rows` rows, beginning where the last part ended."""

    @abstractmethod
    def weights(self) -> Array:
        """The weights now, (d,)."""

    def new_order(self) -> Any:
        """An order of the rows for an epoch that begins."""
        raise NotImplementedError

    def draw(self) -> None:
        """Draws the order of an epoch that begins, where it is shuffled and not given."""
        if self.drawn:
            self.order = self.new_order()

    def give_order(self, order: Array) -> None:
        """The order of the next epochs, instead of drawing it."""
        self.order, self.drawn = order, False

    def _starts(self) -> Iterator[int]:
        while True:
            self.draw()
            self.epochs_begun += 1
            yield from range(0, len(self.X), self.batch_size)

    def batches(self) -> Iterator[slice]:
        """Rows, or places in the order, of the batches of one turn."""
        left = self.part_rows
        while left > 0:
            low = next(self.starts)
            high = min(low + self.batch_size, len(self.X))
            left -= high - low
            yield slice(low, high)


class Gdcore(Contender):
    """gdcore's kernel, a call for each epoch."""

    name = "gdcore"

    def __init__(
        self,
        X: Array,
        Y: Array,
        batch_size: int,
        shuffled: bool,
        part_steps: int,
        optimizer: str = "sgd",
        backend: Any = kernel,
    ) -> None:
        super().__init__(X, Y, batch_size, shuffled, part_steps)
        self.backend = backend
        self.buffer = np.empty(len(X), np.intp)
        self.W = np.zeros((X.shape[1], 1), X.dtype)
        self.lr = LEARNING_RATE[optimizer]
        rule = optimizers.get(optimizer)
        self.options = {
            "optimizer": rule.rule,
            "state": np.zeros((rule.slots, self.W.size), X.dtype) if rule.slots else None,
            "steps": np.zeros(1, np.int64),
        }
        self.history = np.empty((3, 1))

    def new_order(self) -> Array:
        self.backend.permutation(self.buffer, 0, self.epochs_begun)
        return self.buffer

    def epoch(self) -> None:
        self.draw()
        self.epochs_begun += 1
        status = self.backend.descend_batches(
            self.X, self.Y, self.W, None, self.lr, self.batch_size, self.history, np.zeros(1, np.int64),
            order=self.order, **self.options,
        )  # fmt: skip
        if status != "epochs":
            raise SystemExit(f"batches of {self.batch_size}: the epoch ended as {status!r}")

    def weights(self) -> Array:
        return self.W[:, 0].copy()


class NumPy(Contender):
    """NumPy, every output allocated once; a shuffled batch is copied together by `np.take`."""

    name = "numpy"

    def __init__(self, X: Array, Y: Array, batch_size: int, shuffled: bool, part_steps: int) -> None:
        super().__init__(X, Y, batch_size, shuffled, part_steps)
        self.y = Y[:, 0]
        self.w = np.zeros(X.shape[1], X.dtype)
        self.gradient = np.empty_like(self.w)
        self.residuals = np.empty(batch_size, X.dtype)
        self.rows, self.targets = np.empty((batch_size, X.shape[1]), X.dtype), np.empty(batch_size, X.dtype)
        self.rng = np.random.default_rng(0)

    def new_order(self) -> Array:
        return self.rng.permutation(len(self.X))

    def epoch(self) -> None:
        X, y, w, gradient = self.X, self.y, self.w, self.gradient
        for batch in self.batches():
            m = batch.stop - batch.start
            residual = self.residuals[:m]
            if self.shuffled:
                chosen = self.order[batch]
                # "clip" writes to out directly, "raise" by way of a buffer.
                rows = np.take(X, chosen, axis=0, out=self.rows[:m], mode="clip")
                target = np.take(y, chosen, out=self.targets[:m], mode="clip")
            else:
                rows, target = X[batch], y[batch]
            np.dot(rows, w, out=residual)
            np.subtract(residual, target, out=residual)
            np.dot(residual, rows, out=gradient)
            np.multiply(gradient, self.lr * 2 / m, out=gradient)
            np.subtract(w, gradient, out=w)

    def weights(self) -> Array:
        return self.w.copy()


class PyTorch(Contender):
    """PyTorch, eager: autograd and torch.optim.SGD; a shuffled batch is indexed by a piece of a permutation."""

    name = "pytorch"
    in_parts = (1, 32)

    def __init__(self, X: Array, Y: Array, batch_size: int, shuffled: bool, part_steps: int) -> None:
        import torch

        super().__init__(X, Y, batch_size, shuffled, part_steps)
        torch.set_num_threads(1)
        self.torch: Any = torch
        self.x, self.y = torch.from_numpy(X), torch.from_numpy(Y)[:, 0]
        self.w: Any = torch.zeros(X.shape[1], dtype=self.x.dtype, requires_grad=True)
        self.optimizer = torch.optim.SGD([self.w], lr=self.lr)

    def give_order(self, order: Array) -> None:
        self.order, self.drawn = self.torch.from_numpy(order), False

    def new_order(self) -> Any:
        return self.torch.randperm(len(self.X))

    def epoch(self) -> None:
        torch, mse_loss = self.torch, self.torch.nn.functional.mse_loss
        for batch in self.batches():
            rows = self.order[batch] if self.shuffled else batch
            self.optimizer.zero_grad()
            mse_loss(torch.mv(self.x[rows], self.w), self.y[rows]).backward()
            self.optimizer.step()

    def weights(self) -> Array:
        return self.w.detach().numpy().copy()


class ScikitLearn(Contender):
    """scikit-learn's SGDRegressor, always batches of one row; its loss is half the square, its learning rate double."""

    name = "sklearn"
    batch_sizes = (1,)

    def __init__(self, X: Array, Y: Array, batch_size: int, shuffled: bool, part_steps: int) -> None:
        from sklearn.linear_model import SGDRegressor

        super().__init__(X, Y, batch_size, shuffled, part_steps)
        self.model = SGDRegressor(
            penalty=None,
            learning_rate="constant",
            eta0=2 * self.lr,
            max_iter=1,
            tol=None,
            shuffle=shuffled,
            fit_intercept=False,
            random_state=0,
        )

    def epoch(self) -> None:
        self.model.fit(self.X, self.Y[:, 0])

    def weights(self) -> Array:
        return np.asarray(self.model.coef_).copy()


RIVALS: tuple[type[Contender], ...] = (NumPy, PyTorch, ScikitLearn)


def error_of(found: Array, truth: Array) -> float:
    """Norm of the difference, relative to the norm of what is true; infinite where either is not finite."""
    error = float(np.linalg.norm(found.astype(np.float64) - truth) / np.linalg.norm(truth))
    return error if np.isfinite(error) else np.inf


# ----------------------------------------------------------------------------------------------------------- mini-batches


def measure_batches(quick: bool) -> list[Row]:
    """Epochs in batches, in order and shuffled, and with Adam."""
    sizes = _sizes(quick)
    rng = np.random.default_rng(0)
    X = rng.random((sizes.rows, COLUMNS)) - 0.5
    Y = rng.random((sizes.rows, 1))
    return [row for batch_size in BATCH_SIZES for row in _measure_batch_size(X, Y, batch_size, sizes)]


def _measure_batch_size(X: Array, Y: Array, batch_size: int, sizes: Sizes) -> list[Row]:
    # All of one batch size take turns: in order, shuffled, Adam.
    measure.progress(f"batches of {batch_size}")
    contenders: dict[tuple[str, str, bool], Contender] = {}
    errors: dict[tuple[str, str, bool], float | None] = {}
    left_out: dict[str, str] = {}
    settings = [("sgd", False), ("sgd", True)] + ([("adam", False)] if batch_size == ADAM_BATCH_SIZE else [])
    for optimizer, shuffled in settings:
        # The reference takes a few steps; the last batch is smaller.
        m = min(len(X), sizes.checked_steps * batch_size + batch_size // 2)
        order = np.random.default_rng(1).permutation(m) if shuffled else None
        truth = _weights_after(Gdcore(X[:m], Y[:m], batch_size, shuffled, m, optimizer, reference), order)
        ours = _weights_after(Gdcore(X[:m], Y[:m], batch_size, shuffled, m, optimizer), order)
        key = ("gdcore", optimizer, shuffled)
        errors[key] = error_of(ours, truth)
        if not errors[key] <= TOLERANCE["float64"]:
            raise SystemExit(f"the kernel is wrong by {errors[key]:.1e} in batches of {batch_size}, {optimizer}: not timed")
        contenders[key] = Gdcore(X, Y, batch_size, shuffled, sizes.part_steps, optimizer)
        for kind in RIVALS if optimizer == "sgd" else ():
            if batch_size not in kind.batch_sizes:
                left_out[kind.name] = "has batches of one row only"
                continue
            try:
                checked = kind(X[:m], Y[:m], batch_size, shuffled, m)
                key = (kind.name, optimizer, shuffled)
                # scikit-learn's order is its own; its epoch in order is checked.
                own_order = shuffled and kind is ScikitLearn
                errors[key] = None if own_order else error_of(_weights_after(checked, order), truth)
            except ImportError as error:
                left_out[kind.name] = f"not importable: {error}"
                continue
            found = errors[key]
            if found is not None and not found <= TOLERANCE["float64"]:
                left_out[kind.name] = f"disagrees: relative error {found:.1e}"
                measure.progress(f"batches of {batch_size}: {kind.name} {left_out[kind.name]}")
                continue
            contenders[key] = kind(X, Y, batch_size, shuffled, sizes.part_steps)

    tasks = {" ".join(map(str, key)): contender.epoch for key, contender in contenders.items()}
    for task in tasks.values():
        task()
    measured = measure.interleaved(tasks, sizes.rounds, sizes.least_seconds)
    times: dict[tuple[str, str, bool], list[float]] = {}
    for (key, contender), values in zip(contenders.items(), measured.values(), strict=True):
        scale = max(1.0, len(X) / contender.part_rows)
        times[key] = [scale * t for t in values]

    rows = []
    plain = times["gdcore", "sgd", False]
    for optimizer, shuffled in settings:
        mine = {name: values for (name, *rest), values in times.items() if rest == [optimizer, shuffled]}
        steps = -(-len(X) // batch_size)
        row = {"kind": "batches", "batch_size": batch_size, "optimizer": optimizer, "shuffled": shuffled}
        row |= {"rows": len(X), "columns": X.shape[1], "steps": steps, **_timed(mine, steps)}
        if (optimizer, shuffled) != ("sgd", False):
            row["over_plain"] = measure.median_ratio(mine["gdcore"], plain)
        row["error"] = {name: error for (name, *rest), error in errors.items() if rest == [optimizer, shuffled]}
        rows.append(row | {"left_out": left_out if optimizer == "sgd" else {}})
    return rows


def _weights_after(contender: Contender, order: Array | None) -> Array:
    # The weights after one epoch in that order.
    if order is not None:
        contender.give_order(order)
    contender.epoch()
    return contender.weights()


def _timed(times: dict[str, list[float]], steps: int) -> Row:
    # What every row has of its times.
    seconds = {name: statistics.median(values) for name, values in times.items()}
    return {
        "rounds": len(times["gdcore"]),
        "seconds": seconds,
        "steps_per_second": {name: steps / seconds[name] for name in ("gdcore", *LABELS) if name in seconds},
        "speedup": {name: measure.median_ratio(times[name], times["gdcore"]) for name in LABELS if name in times},
    }


# ------------------------------------------------------------------------------------------------------------ losses


def measure_losses(quick: bool) -> list[Row]:
    """Full-batch epochs of the losses, the loss of several outputs last."""
    sizes = _sizes(quick)
    # One buffer for all shapes, as generating it costs as much as several epochs.
    values = np.random.default_rng(0).random(sizes.loss_bytes // 8)
    values -= 0.5
    rows = []
    for d in LOSS_COLUMNS:
        X = values[: len(values) // d * d].reshape(-1, d)
        rows += [_measure_loss(X, loss, 1, sizes) for loss in LOSSES]
        rows += [_measure_loss(X, "softmax", CLASSES, sizes)] if d == SOFTMAX_COLUMNS else []
    return rows


def _measure_loss(X: Array, name: str, outputs: int, sizes: Sizes) -> Row:
    n, d = X.shape
    measure.progress(f"{name}, d = {d}, {n:,} rows")
    loss = losses.LOSSES[name](**LOSSES.get(name, {}))
    rng = np.random.default_rng(d)
    start = rng.random((d, outputs)) - 0.5
    if name == "softmax":
        Y = rng.integers(0, outputs, (n, 1)).astype(X.dtype)
    else:
        Y = rng.random((n, 1))
        Y = (Y < 0.5).astype(X.dtype) if name == "logistic" else Y
    options = {"loss": loss.name, "parameter": loss.parameter}

    def epoch_of(backend: Any) -> Callable[[], object]:
        weights = start.copy()

        def epoch() -> object:
            value, gradient, _ = backend.loss_gradient(X, Y, weights, None, None, 1, **options)
            backend.update(weights, gradient, LEARNING_RATE["sgd"])
            return value

        return epoch

    truth = reference.loss_gradient(X, Y, start, None, None, 1, **options)
    found = kernel.loss_gradient(X, Y, start, None, None, 1, **options)
    error = max(abs(found[0] - truth[0]) / abs(truth[0]), error_of(found[1], truth[1]))
    if not error <= TOLERANCE["float64"]:
        raise SystemExit(f"the kernel is wrong by {error:.1e} for {name}, d = {d}: not timed")
    tasks: dict[str, Callable[[], object]] = {
        "gdcore": epoch_of(kernel),
        "read": lambda: kernel.read(X, 1),
        "numpy": epoch_of(reference),
    }
    for task in tasks.values():
        task()
    times = measure.interleaved(tasks, sizes.rounds, sizes.least_seconds)
    row = {"kind": "loss", "loss": name, "parameter": loss.parameter, "outputs": outputs, "rows": n, "columns": d}
    row |= {"bytes": X.nbytes, "steps": 1, **_timed(times, 1)}
    row["gigabytes_per_second"] = {key: X.nbytes / row["seconds"][key] / 1e9 for key in ("gdcore", "read")}
    return row | {"share": measure.median_ratio(times["read"], times["gdcore"]), "error": {"gdcore": error}}


# ----------------------------------------------------------------------------------------------------------- networks


def measure_networks(quick: bool) -> list[Row]:
    """Shuffled epochs of the networks, each with both optimizers and in both dtypes."""
    sizes = _sizes(quick)
    return [
        _measure_network(layers, loss, optimizer, dtype, steps, sizes)
        for (layers, loss), steps in zip(NETWORKS, sizes.network_steps, strict=True)
        for dtype in ("float64", "float32")
        for optimizer in ("sgd", "adam")
    ]


class Network:
    """gdcore's network: an epoch is what `gdcore.fit` does in one."""

    def __init__(self, model: MLP, X: Array, Y: Array, loss: str, optimizer: str, backend: Any = kernel) -> None:
        self.X, self.Y, self.loss, self.lr = X, Y, loss, LEARNING_RATE[optimizer]
        self.W, _ = model.parameters(X.dtype)
        self.engine = model.engine(backend, X.dtype)
        self.order = np.empty(len(X), np.intp)
        self.epochs_begun = 0
        rule = optimizers.get(optimizer)
        self.options = {
            "optimizer": rule.rule,
            "state": np.zeros((rule.slots, self.W.size), X.dtype) if rule.slots else None,
            "steps": np.zeros(1, np.int64),
        }
        self.history = np.empty((3, 1))

    def epoch(self) -> None:
        """One epoch in a new order."""
        self.engine.permutation(self.order, 0, self.epochs_begun)
        self.epochs_begun += 1
        self.epoch_in(self.order)

    def epoch_in(self, order: Array) -> None:
        """One epoch in a given order."""
        status = self.engine.descend_batches(
            self.X, self.Y, self.W, None, self.lr, NETWORK_BATCH, self.history, np.zeros(1, np.int64),
            order=order, loss=self.loss, **self.options,
        )  # fmt: skip
        if status != "epochs":
            raise SystemExit(f"a network with {self.loss}: the epoch ended as {status!r}")

    def parameters(self) -> Array:
        """All parameters, (p,)."""
        return self.W[:, 0].copy()


class TorchNetwork:
    """The same in PyTorch: nn.Sequential, the loss on logits, torch.optim."""

    def __init__(self, model: MLP, X: Array, Y: Array, loss: str, optimizer: str) -> None:
        import torch

        torch.set_num_threads(1)
        self.torch: Any = torch
        self.x = torch.from_numpy(X)
        modules: list[Any] = []
        for layer in model.layers:
            linear = torch.nn.Linear(*layer.weights.shape, dtype=self.x.dtype)
            with torch.no_grad():
                linear.weight.copy_(torch.from_numpy(layer.weights.T.copy()))
                linear.bias.copy_(torch.from_numpy(layer.bias))
            modules += [linear, torch.nn.ReLU()]
        self.model = torch.nn.Sequential(*modules[:-1])
        if loss == "softmax":
            self.loss: Any = torch.nn.CrossEntropyLoss()
            self.y = torch.from_numpy(Y[:, 0].astype(np.int64))
        else:
            self.loss = torch.nn.BCEWithLogitsLoss()
            self.y = torch.from_numpy(Y)
        kinds = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}
        self.optimizer = kinds[optimizer](self.model.parameters(), lr=LEARNING_RATE[optimizer])

    def epoch(self) -> None:
        """One epoch in a new order."""
        self._epoch(self.torch.randperm(len(self.x)))

    def epoch_in(self, order: Array) -> None:
        """One epoch in a given order."""
        self._epoch(self.torch.from_numpy(order))

    def _epoch(self, order: Any) -> None:
        for low in range(0, len(order), NETWORK_BATCH):
            rows = order[low : low + NETWORK_BATCH]
            self.optimizer.zero_grad()
            self.loss(self.model(self.x[rows]), self.y[rows]).backward()
            self.optimizer.step()

    def parameters(self) -> Array:
        """All parameters, (p,), in gdcore's order."""
        pieces = [p.detach().numpy() for p in self.model.parameters()]
        return np.concatenate([p.T.ravel() for p in pieces])


def _measure_network(layers: list[int], loss: str, optimizer: str, dtype: str, steps: int, sizes: Sizes) -> Row:
    measure.progress(f"network {_form(layers)}, {optimizer}, {dtype}")
    n = steps * NETWORK_BATCH
    rng = np.random.default_rng(0)
    X = rng.random((n, layers[0]), dtype=np.dtype(dtype).type) - np.dtype(dtype).type(0.5)
    # Classes that can be learnt.
    scores = X[:, : layers[-1]]
    Y = (scores[:, :1] > 0 if loss == "logistic" else scores.argmax(axis=1)[:, None]).astype(dtype)
    model = MLP(layers, "relu", seed=0, dtype=dtype)

    m = min(n, 2 * NETWORK_BATCH + NETWORK_BATCH // 2)
    order = rng.permutation(m)
    begin = model.parameters(np.float64)[0][:, 0]

    def moved(network: Network | TorchNetwork) -> Array:
        network.epoch_in(order)
        return network.parameters() - begin

    checked = X[:m], Y[:m], loss, optimizer
    truth = moved(Network(model, *checked, reference))
    errors = {"gdcore": error_of(moved(Network(model, *checked)), truth)}
    if not errors["gdcore"] <= TOLERANCE[dtype]:
        raise SystemExit(f"gdcore is wrong by {errors['gdcore']:.1e} in network {_form(layers)}, {dtype}: not timed")
    tasks: dict[str, Callable[[], object]] = {"gdcore": Network(model, X, Y, loss, optimizer).epoch}
    left_out = {}
    try:
        errors["pytorch"] = error_of(moved(TorchNetwork(model, *checked)), truth)
        if errors["pytorch"] <= TOLERANCE[dtype]:
            tasks["pytorch"] = TorchNetwork(model, X, Y, loss, optimizer).epoch
        else:
            left_out["pytorch"] = f"disagrees: relative error {errors['pytorch']:.1e}"
            measure.progress(f"network {_form(layers)}: pytorch {left_out['pytorch']}")
    except ImportError as error:
        left_out["pytorch"] = f"not importable: {error}"
    for task in tasks.values():
        task()
    times = measure.interleaved(tasks, sizes.rounds, sizes.least_seconds)
    row = {"kind": "network", "layers": layers, "loss": loss, "optimizer": optimizer, "dtype": dtype}
    row |= {"batch_size": NETWORK_BATCH, "rows": n, "steps": steps, **_timed(times, steps)}
    return row | {"error": errors, "left_out": left_out}


def _form(layers: Iterable[int]) -> str:
    return "-".join(map(str, layers))


# ----------------------------------------------------------------------------------------------------------- shortfalls


def shortfalls(row: Row) -> list[str]:
    """Where a row misses its target or loses to a rival, one text each."""
    kind = row["kind"]
    found = []
    targets: dict[str, float] = {}
    if kind == "batches":
        targets = TARGETS["batches"][row["batch_size"]]
        if "over_plain" in row:
            name, beside = ("shuffled_over_in_order", "in order") if row["shuffled"] else ("adam_over_sgd", "SGD")
            if row["over_plain"] > TARGETS[name]:
                found.append(f"{row['over_plain']:.2f} of {beside} > {TARGETS[name]:.1f}")
    elif kind == "loss":
        targets = TARGETS["softmax"] if row["loss"] == "softmax" else {}
        if row["outputs"] == 1 and row["share"] < TARGETS["share"]:
            found.append(f"share {row['share']:.2f} < {TARGETS['share']:.2f}")
    else:
        targets = TARGETS["networks"][_form(row["layers"])]
    for name, speedup in row["speedup"].items():
        target = targets.get(name)
        if target is not None and speedup < target:
            found.append(f"{LABELS[name]} × {speedup:.2f} < {target:.1f}")
        elif target is None and speedup < 1:
            found.append(f"{LABELS[name]} is faster, × {speedup:.2f}")
    return found


def where(row: Row) -> str:
    """A row's name, in the table and in the list of shortfalls."""
    if row["kind"] == "batches":
        order = "shuffled" if row["shuffled"] else "in order"
        return f"batches of {row['batch_size']}, {order}, {_OPTIMIZERS[row['optimizer']]}"
    if row["kind"] == "loss":
        return f"{row['loss']}, d = {row['columns']}" + (f", {row['outputs']} classes" if row["outputs"] > 1 else "")
    return f"network {_form(row['layers'])}, {_OPTIMIZERS[row['optimizer']]}, {row['dtype']}"


_OPTIMIZERS = {"sgd": "SGD", "adam": "Adam"}


# --------------------------------------------------------------------------------------------------------------- tables


def training_tables(content: Document) -> list[Table]:
    """One table, a line for each row."""
    rows = content["rows"]
    rivals = [name for name in LABELS if any(name in row["speedup"] for row in rows)]
    head = ["", "rows", "ms an epoch", "steps/s", "share", "cost", *(f"× {LABELS[name]}" for name in rivals)]
    lines = [
        [
            where(row),
            f"{row['rows']:,}",
            number(1e3 * row["seconds"]["gdcore"]),
            number(row["steps_per_second"]["gdcore"]),
            number(row.get("share")),
            number(row.get("over_plain")),
            *(number(row["speedup"].get(name)) for name in rivals),
            "; ".join(row["shortfalls"]),
        ]
        for row in rows
    ]
    note = (
        "share: of the bandwidth of reading X; cost: time over that in order with SGD; × a rival: its time over gdcore's, "
        "above 1 gdcore is faster. NumPy is the preallocated loop for batches, the reference for full-batch losses."
    )
    title = f"Training, one thread, float64 where not named; batches: d = {COLUMNS}, mse; networks: batches of {NETWORK_BATCH}"
    return [Table(title, [*head, "short of target"], lines, note)] if rows else []


def summary_tables(content: Document) -> list[Table]:
    """For the README: a line for each row, in bold what misses its target."""
    rows = [row for row in content["rows"] if row["kind"] != "network" or row["dtype"] == "float64"]
    rows = [row for row in rows if row["kind"] != "loss" or row["columns"] == LOSS_COLUMNS[0] or row["shortfalls"]]
    rivals = [name for name in LABELS if any(name in row["speedup"] for row in rows)]
    lines = []
    for row in rows:
        short = " ".join(row["shortfalls"])
        cells = [f"**{number(row.get('share'))}**" if "share" in short else number(row.get("share"))]
        for name in rivals:
            cell = number(row["speedup"].get(name))
            cells.append(f"**{cell}**" if LABELS[name] in short else cell)
        lines.append([where(row), number(1e3 * row["seconds"]["gdcore"]), *cells, ""])
    head = ["", "ms an epoch", "share", *(f"× {LABELS[name]}" for name in rivals), ""]
    return [Table("One thread", head, lines)] if rows else []


TABLES: dict[str, Callable[[Document], list[Table]]] = {
    "training": training_tables,
    "training-summary": summary_tables,
    "training-shortfalls": measure.shortfall_tables,
}
