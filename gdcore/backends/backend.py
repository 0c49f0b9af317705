"""The functions that both backends have, as type checkers see them; `gdcore.backends.reference` says what each does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from gdcore._types import Array, Floats
    from gdcore.losses import Loss
    from gdcore.optimizers.base import Rule

    Ends = tuple[Floats, Floats]


class Backend(Protocol):
    """`kernel` or `reference`."""

    def predict(self, X: Array, weights: Array, bias: Array | None, out: Array, n_threads: int = 1) -> None: ...

    def moments(
        self, X: Array, Y: Array | None, sample_weight: Array | None, shift: Floats, n_threads: int = 1,
        carried: Floats | None = None,
    ) -> Floats: ...  # fmt: skip

    def whole_rows(self, X: Array, Y: Array | None = None, outputs: int = 1, moments: bool = False) -> int: ...

    def permutation(self, out: Array, seed: int, epoch: int) -> None: ...

    def derivatives_of(
        self, raw: Array, Y: Array, sample_weight: Array | None, out: Array, loss: str | Loss = "mse", parameter: float = 0.0,
        smoothing: float = 0.0,
    ) -> tuple[float, float]: ...  # fmt: skip

    def loss(
        self, X: Array, Y: Array, weights: Array, bias: Array | None, sample_weight: Array | None = None, n_threads: int = 1,
        loss: str | Loss = "mse", parameter: float = 0.0, l1: float = 0.0, l2: float = 0.0,
    ) -> float: ...  # fmt: skip

    def loss_gradient(
        self, X: Array, Y: Array, weights: Array, bias: Array | None, sample_weight: Array | None = None, n_threads: int = 1,
        loss: str | Loss = "mse", parameter: float = 0.0, l1: float = 0.0, l2: float = 0.0, smoothing: float = 0.0,
    ) -> tuple[float, Array, Array | None]: ...  # fmt: skip

    def partial(
        self, X: Array, Y: Array, weights: Array, bias: Array | None, sample_weight: Array | None = None, n_threads: int = 1,
        loss: str | Loss = "mse", parameter: float = 0.0, smoothing: float = 0.0, carried: Floats | None = None,
    ) -> Floats: ...  # fmt: skip

    def settled(
        self, sums: Floats, weights: Array, bias: Array | None, l1: float = 0.0, l2: float = 0.0
    ) -> tuple[float, Array, Array | None]: ...

    def gradient_norm(
        self, weights: Array, gradient: Array, bias_gradient: Array | None, l1: float = 0.0, bounds: Ends | None = None
    ) -> float: ...

    def lasso(
        self, A: Floats, q: Floats, w: Floats, l1: float, sweeps: int = 1000, tol: float = 1e-14, bounds: Ends | None = None
    ) -> None: ...

    def step(
        self, parameters: Array, gradient: Array, lr: float, optimizer: Rule, state: Array | None, number: int,
        decimals: int | None = None,
    ) -> None: ...  # fmt: skip

    def descend(
        self, X: Array, Y: Array, weights: Array, bias: Array | None, gradient: Array, bias_gradient: Array | None,
        lr: float | Floats, epochs: int, history: Floats, done: Array, sample_weight: Array | None = None, tol: float = -1.0,
        decimals: int | None = None, n_threads: int = 1, loss: str | Loss = "mse", parameter: float = 0.0, l1: float = 0.0,
        l2: float = 0.0, optimizer: Rule = ..., state: Array | None = None, steps: Array | None = None, ceiling: float = ...,
        bounds: Ends | None = None,
    ) -> str: ...  # fmt: skip

    def descend_batches(
        self, X: Array, Y: Array, weights: Array, bias: Array | None, lr: float, batch_size: int, history: Floats, done: Array,
        order: Array | None = None, sample_weight: Array | None = None, decimals: int | None = None, n_threads: int = 1,
        loss: str | Loss = "mse", parameter: float = 0.0, l1: float = 0.0, l2: float = 0.0, optimizer: Rule = ...,
        state: Array | None = None, steps: Array | None = None, bounds: Ends | None = None,
    ) -> str: ...  # fmt: skip
