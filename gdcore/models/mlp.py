"""Small networks, whose backward pass is derived by hand, layer by layer.

A layer is A ← φ(A·W + b), with the activation φ after every layer but the last. The derivation, for one layer with input A,
Z = A·W + b and output φ(Z), from the gradient D = ∂loss/∂φ(Z) that comes from above:

- ∂loss/∂Z = D ∘ φ'(Z), element by element;
- Z_ij = Σ_l A_il W_lj + b_j, so ∂loss/∂W_lj = Σ_i A_il ∂loss/∂Z_ij: ∇W = Aᵀ·∂loss/∂Z, and ∇b = Σ over rows of ∂loss/∂Z;
- ∂loss/∂A_il = Σ_j ∂loss/∂Z_ij W_lj: what goes down is ∂loss/∂Z·Wᵀ.

φ' is written with the output a = φ(z), which the forward pass keeps: 1 for identity, 1 where a > 0 for relu, 1 − a² for tanh,
a(1 − a) for sigmoid.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from gdcore.backends import loops, reference
from gdcore.checks import must_be, one_of
from gdcore.models.linear import mean, probabilities
from gdcore.rows import arrays
from gdcore.rows.coded import Coded
from gdcore.rows.tables import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gdcore._types import JSON, Array, ArrayLike, DTypeLike, Floats
    from gdcore.backends.backend import Backend
    from gdcore.losses import Loss
    from gdcore.optimizers.base import Rule

ACTIVATIONS = ("identity", "relu", "tanh", "sigmoid")
_APART = 32  # numbers: more than a vector register holds


class Layer:
    """A layer's parameters, as plain arrays: ``weights`` (inputs, outputs) and ``bias`` (outputs,)."""

    def __init__(self, weights: ArrayLike, bias: ArrayLike) -> None:
        self.weights = np.array(arrays.floating(weights, "weights"))
        self.bias = np.array(arrays.floating(bias, "bias")).astype(self.weights.dtype)
        if self.weights.ndim != 2 or self.bias.shape != self.weights.shape[1:]:
            raise ValueError(
                f"a layer has weights (inputs, outputs) and bias (outputs,), found {self.weights.shape} and {self.bias.shape}"
            )

    def __repr__(self) -> str:
        return f"Layer({self.weights.shape[0]} → {self.weights.shape[1]})"


class MLP:
    """A network of fully connected layers, whose sizes are ``sizes``: inputs, hidden layers, outputs.

    Parameters
    ----------
    sizes : sequence of int
        At least two: ``[d, h1, …, k]``.
    activation : {"identity", "relu", "tanh", "sigmoid"}
        After every layer but the last.
    seed : int
        Weights and biases begin uniform between ±1/√inputs, as PyTorch's Linear does.
    dtype : {"float64", "float32"}

    Attributes
    ----------
    layers : list of Layer
        Each with ``weights`` (inputs, outputs) and ``bias`` (outputs,), plain arrays that can be read and set.

    Examples
    --------
    >>> MLP([2, 4, 1], activation="tanh", seed=0)
    MLP([2, 4, 1], activation='tanh')
    >>> MLP([2, 4, 1]).predict([[0.0, 1.0], [1.0, 0.0]]).shape
    (2, 1)
    """

    columns: list[str]
    card: dict[str, JSON]
    """Both as `Linear`'s."""

    def __init__(self, sizes: Sequence[int], activation: str = "relu", seed: int = 0, dtype: DTypeLike = np.float64) -> None:
        if len(sizes) < 2 or any(isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1 for n in sizes):
            raise ValueError(must_be("sizes", "at least two positive integers", repr([*sizes])))
        self.activation = one_of(activation, "activation", ACTIVATIONS)
        self.loss: Loss | None = None
        rng = np.random.default_rng(seed)
        self.layers = []
        for inputs, outputs in pairwise(sizes):
            bound = 1 / np.sqrt(inputs)
            weights = rng.uniform(-bound, bound, (inputs, outputs)).astype(dtype)
            self.layers.append(Layer(weights, rng.uniform(-bound, bound, outputs).astype(dtype)))

    @property
    def sizes(self) -> list[int]:
        """Inputs, hidden layers, outputs."""
        return [len(self.layers[0].weights)] + [layer.weights.shape[1] for layer in self.layers]

    def predict(self, X: ArrayLike | Table, n_threads: int | None = None) -> Array:
        """Ŷ (n, k), also for k = 1, or with a link the mean: see `Linear.predict`.

        ``n_threads`` is there because `Linear` has it; NumPy's BLAS decides for itself.
        """
        return mean(self.linear_predictor(X), self.loss)

    def linear_predictor(self, X: ArrayLike | Table | Coded, n_threads: int | None = None) -> Array:
        """What the last layer gives (n, k), as `predict` gives it for losses without a link."""
        if isinstance(X, Table):
            return np.concatenate([self.linear_predictor(piece.X) for piece in X.pieces(1)])
        X = X.expanded() if isinstance(X, Coded) else arrays.table(X)
        self.check_columns(X)
        network = Network(self, X.dtype)
        flat, _ = self.parameters(X.dtype)
        out: Array = network.forward(network.views(flat), X)[-1]
        if not np.isfinite(out).all():
            arrays.check_finite(X, "X")
        return out

    def predict_proba(self, X: ArrayLike | Table) -> Array:
        """Probabilities: see `Linear.predict_proba`."""
        return probabilities(self.linear_predictor(X), self.loss)

    # What training needs of a model ----------------------------------------------------------------------------------------

    def check_columns(self, X: Array | Coded, name: str = "X") -> None:
        if X.shape[1] != self.sizes[0]:
            raise ValueError(f"{name} has {X.shape[1]} columns, but the network has {self.sizes[0]} inputs")

    @property
    def outputs(self) -> tuple[int, ...]:
        return (self.sizes[-1],)

    @property
    def state_size(self) -> int:
        """How many numbers a row of an optimizer's state has: one for each parameter."""
        return sum(layer.weights.size + layer.bias.size for layer in self.layers)

    def parameters(self, dtype: DTypeLike) -> tuple[Array, None]:
        """All parameters, copied, as one column (p, 1): layer after layer, weights before bias."""
        pieces = [a.ravel() for layer in self.layers for a in (layer.weights, layer.bias)]
        flat = arrays.cast(np.concatenate(pieces), np.dtype(dtype), "the network's parameters")
        arrays.check_finite(flat, "the network's parameters")
        return np.array(flat).reshape(-1, 1), None

    def with_parameters(self, weights: Array, bias: Array | None) -> MLP:
        """A network of this one's form with other parameters, given as `parameters` gives them, and copied."""
        model = MLP.__new__(MLP)
        model.activation, model.loss = self.activation, self.loss
        model.layers = [Layer(W, b) for W, b in Network(self, weights.dtype).views(weights)]
        return model

    def by_layer(self, weights: Array, bias: Array | None) -> list[tuple[Array, Array]]:
        """Parameters, or their gradients, as `parameters` gives them: one pair a layer, shaped as its weights and its bias."""
        return Network(self, weights.dtype).views(weights)

    def engine(self, backend: Backend, dtype: DTypeLike) -> Network:
        """What runs its epochs, with the functions of a backend."""
        return Network(self, dtype, backend)

    def __repr__(self) -> str:
        return f"MLP({self.sizes}, activation={self.activation!r})"


class Network:
    """The functions of a backend, for a network: its parameters are one column ``weights`` (p, 1), its ``bias`` is None.

    The products are NumPy's, in buffers that are used again; losses and optimizers are the backend's.
    """

    def __init__(self, model: MLP, dtype: DTypeLike, backend: Backend = reference) -> None:
        self.sizes, self.activation, self.backend = model.sizes, model.activation, backend
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        self.permutation = backend.permutation
        self.penalised = np.concatenate([np.repeat([True, False], [n * m, m]) for n, m in pairwise(self.sizes)])[:, None]
        self._buffers: dict[int, list[Array]] = {}

    def views(self, flat: Array) -> list[tuple[Array, Array]]:
        """Each layer's W (inputs, outputs) and b (outputs,), as views of the one column of parameters."""
        layers, start = [], 0
        for inputs, outputs in pairwise(self.sizes):
            end = start + inputs * outputs
            layers.append((flat[start:end, 0].reshape(inputs, outputs), flat[end : end + outputs, 0]))
            start = end + outputs
        return layers

    def forward(self, layers: list[tuple[Array, Array]], X: Array) -> list[Array]:
        """Outputs of all layers: X, then A = φ(A·W + b), without φ for the last."""
        outputs = [X]
        buffers = self._buffers.get(len(X))
        if buffers is None:
            self._buffers.clear() if len(self._buffers) > 2 else None
            buffers = self._buffers[len(X)] = [np.empty((len(X), m), self.dtype) for m in self.sizes[1:]]
        for i, (W, b) in enumerate(layers):
            A = np.matmul(outputs[-1], W, out=buffers[i] if i + 1 < len(layers) else None)
            A += b
            if i + 1 < len(layers):
                self._activate(A)
            outputs.append(A)
        return outputs

    def _activate(self, A: Array) -> None:
        if self.activation == "relu":
            np.maximum(A, 0, out=A)
        elif self.activation == "tanh":
            np.tanh(A, out=A)
        elif self.activation == "sigmoid":
            # σ(z) = ½ + ½·tanh(z/2): never overflows
            A *= 0.5
            np.tanh(A, out=A)
            A *= 0.5
            A += 0.5

    def _times_slope(self, D: Array, A: Array) -> None:
        # forward   A = φ(Z)
        # backward  ∂loss/∂Z = D ∘ φ'(Z), φ' by its value A
        if self.activation == "relu":
            # Not D *= A > 0: what NumPy needs for two dtypes at once it takes where it cannot raise MemoryError.
            np.copyto(D, 0, where=A <= 0)
        elif self.activation == "tanh":
            D *= 1 - A * A
        elif self.activation == "sigmoid":
            D *= A * (1 - A)

    def loss_gradient(
        self,
        X: Array,
        Y: Array,
        weights: Array,
        bias: None = None,
        sample_weight: Array | None = None,
        n_threads: int = 1,
        loss: str = "mse",
        parameter: float = 0.0,
        l1: float = 0.0,
        l2: float = 0.0,
    ) -> tuple[float, Array, None]:
        """The objective and its gradient (p, 1); penalties take the weights, not the biases."""
        gradient = np.empty_like(weights)
        value = self._back_propagate(X, Y, weights, sample_weight, loss, parameter, gradient)
        if l1 or l2:
            value += self.penalties(weights, l1, l2)
            gradient = self._with_l2(gradient, weights, l2)
        return value, gradient, None

    def _back_propagate(
        self, X: Array, Y: Array, weights: Array, sample_weight: Array | None, loss: str, parameter: float, gradient: Array
    ) -> float:
        """The loss; its gradient is written to ``gradient``."""
        layers = self.views(weights)
        made = self.views(gradient)
        outputs = self.forward(layers, X)
        value, D = self._derivative(outputs[-1], Y, sample_weight, loss, parameter)
        for i in range(len(layers) - 1, -1, -1):
            W, _ = layers[i]
            dW, db = made[i]
            # forward   Z = A·W + b
            # backward  ∇W = Aᵀ·∂loss/∂Z,  ∇b = Σ ∂loss/∂Z,  ∂loss/∂A = ∂loss/∂Z·Wᵀ
            np.matmul(outputs[i].T, D, out=dW)
            np.sum(D, axis=0, out=db)
            if i:
                D = D @ W.T
                self._times_slope(D, outputs[i])
        return value

    def loss(
        self,
        X: Array,
        Y: Array,
        weights: Array,
        bias: None = None,
        sample_weight: Array | None = None,
        n_threads: int = 1,
        loss: str = "mse",
        parameter: float = 0.0,
        l1: float = 0.0,
        l2: float = 0.0,
    ) -> float:
        """The objective, without going back."""
        value = self._derivative(self.forward(self.views(weights), X)[-1], Y, sample_weight, loss, parameter)[0]
        return value + self.penalties(weights, l1, l2)

    def _derivative(
        self, out: Array, Y: Array, sample_weight: Array | None, loss: str, parameter: float
    ) -> tuple[float, Array]:
        """Mean loss of the predictions ``out`` (n, k), and ∂loss/∂out (n, k)."""
        # With room before it: a vector loop whose input ends just before its output adds up in another order.
        slope = np.empty(_APART + out.size, self.dtype)[_APART:].reshape(out.shape[::-1])
        value, total = self.backend.derivatives_of(
            np.ascontiguousarray(out.T), np.ascontiguousarray(Y.T), _contiguous(sample_weight), slope, loss, parameter
        )
        slope /= self.dtype.type(total)
        return float(value / total), slope.T

    def gradient_norm(self, weights: Array, gradient: Array, bias_gradient: None = None, l1: float = 0.0) -> float:
        """Norm of the gradient; with l1 that of the smallest subgradient, in which biases have no part in l1."""
        if l1 == 0:
            return float(self.backend.gradient_norm(weights, gradient, None, 0.0))
        free = ~self.penalised
        return float(
            np.hypot(
                self.backend.gradient_norm(weights[self.penalised][:, None], gradient[self.penalised][:, None], None, l1),
                np.linalg.norm(gradient[free].astype(np.float64)),
            )
        )

    def _advance(
        self, weights: Array, gradient: Array, how: tuple[float, Rule, Array | None, int], decimals: int | None, l1: float
    ) -> None:
        lr, optimizer, state, number = how
        self.backend.step(weights[:, 0], gradient[:, 0], lr, optimizer, state, number, decimals)
        if l1 > 0:
            np.copyto(weights, loops.shrunk(weights, lr * l1), where=self.penalised)

    def advance(self, weights: Array, gradient: Array, lr: float, l1: float) -> None:
        """A step of plain gradient descent, in ``weights``."""
        self._advance(weights, gradient, (lr, ("sgd", reference.PLAIN), None, 1), None, l1)

    def descend(
        self,
        X: Array,
        Y: Array,
        weights: Array,
        bias: None,
        gradient: Array,
        bias_gradient: None,
        lr: float | Floats,
        epochs: int,
        history: Floats,
        done: Array,
        sample_weight: Array | None = None,
        tol: float = -1.0,
        decimals: int | None = None,
        n_threads: int = 1,
        loss: str = "mse",
        parameter: float = 0.0,
        l1: float = 0.0,
        l2: float = 0.0,
        optimizer: Rule = ("sgd", reference.PLAIN),
        state: Array | None = None,
        steps: Array | None = None,
        ceiling: float = np.inf,
    ) -> str:
        """Full-batch epochs: see `gdcore.backends.reference.descend`."""
        return loops.descend(
            lambda: self.loss_gradient(X, Y, weights, None, sample_weight, 1, loss, parameter, l1, l2),
            lambda grad, _: self.gradient_norm(weights, grad, None, l1),
            lambda *step: self._advance(weights, gradient, step, decimals, l1),
            weights, None, gradient, None, lr, epochs, history, done, tol, optimizer, state, steps, ceiling,
        )  # fmt: skip

    def descend_batches(
        self,
        X: Array,
        Y: Array,
        weights: Array,
        bias: None,
        lr: float,
        batch_size: int,
        history: Floats,
        done: Array,
        order: Array | None = None,
        sample_weight: Array | None = None,
        decimals: int | None = None,
        n_threads: int = 1,
        loss: str = "mse",
        parameter: float = 0.0,
        l1: float = 0.0,
        l2: float = 0.0,
        optimizer: Rule = ("sgd", reference.PLAIN),
        state: Array | None = None,
        steps: Array | None = None,
    ) -> str:
        """One epoch in batches: see `gdcore.backends.reference.descend_batches`."""
        gradient = np.empty_like(weights)

        def evaluate(rows: Array | slice, s: Array | None) -> tuple[float, Array, None]:
            # Into one buffer for the whole epoch: fresh memory for every batch costs more than the arithmetic.
            return self._back_propagate(X[rows], Y[rows], weights, s, loss, parameter, gradient), gradient, None

        return loops.descend_batches(
            evaluate,
            lambda grad, _, *step: self._advance(weights, self._with_l2(grad, weights, l2), step, decimals, l1),
            lambda: self.penalties(weights, l1, l2),
            len(X), weights, None, lr, batch_size, history, done, order, sample_weight, optimizer, state, steps,
        )  # fmt: skip

    def _with_l2(self, gradient: Array, weights: Array, l2: float) -> Array:
        return np.add(gradient, self.dtype.type(l2) * weights, out=gradient.copy(), where=self.penalised) if l2 else gradient

    def penalties(self, weights: Array, l1: float, l2: float) -> float:
        """(l2/2)·‖W‖² + l1·‖W‖₁ over all layers' weights."""
        w = weights[self.penalised].astype(np.float64)
        return l2 / 2 * float(np.sum(w * w)) + l1 * float(np.sum(np.abs(w)))


def _contiguous(array: Array | None) -> Array | None:
    return None if array is None else np.ascontiguousarray(array)
