"""The rivals: one full-batch epoch of linear regression, forward, loss, gradient and update, in other libraries.

All have the same loss, ‖Y − Ŷ‖²/n, the same start, the same learning rate and no bias; each has the settings that were
fastest when tried on shapes from d = 5 to d = 1000. A constructor raises ImportError where its library is missing.
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from gdcore.backends import kernel, reference

Array = NDArray[Any]


class Contender(ABC):
    """Something that does an epoch: gdcore's kernel, or a rival of it."""

    name: ClassVar[str]
    label: ClassVar[str]
    same_formula: ClassVar[bool] = True  # False: another algorithm, whose gradient is not comparable
    dtypes: ClassVar[tuple[str, ...]] = ("float32", "float64")
    threaded: ClassVar[bool] = True  # False: has one thread, and is measured beside one thread only

    def __init__(self, X: Array, Y: Array, weights: Array, lr: float, threads: int) -> None:
        """X (n, d), Y (n, 1), weights (d, 1), which are copied."""
        self.X, self.Y, self.weights, self.lr, self.threads = X, Y, weights.copy(), lr, threads
        self.samples = len(X)  # an epoch that visits fewer is scaled up by the caller

    @abstractmethod
    def epoch(self) -> object:
        """One epoch; the weights change."""

    def last_gradient(self) -> Array:
        """The gradient of the last epoch, (d, 1)."""
        raise NotImplementedError


class _Backend(Contender):
    backend: ClassVar[Any]  # a module: gdcore.backends.kernel or reference
    gradient: Array

    def epoch(self) -> object:
        loss, self.gradient, _ = self.backend.loss_gradient(self.X, self.Y, self.weights, None, None, self.threads)
        self.backend.update(self.weights, self.gradient, self.lr)
        return loss

    def last_gradient(self) -> Array:
        return self.gradient


class Kernel(_Backend):
    """gdcore's kernel."""

    name, label = "kernel", "gdcore"
    backend: ClassVar[Any] = kernel


class Reference(_Backend):
    """gdcore's NumPy reference: plain formulas, temporaries and all."""

    name, label = "reference", "reference"
    backend: ClassVar[Any] = reference


class NumPy(Contender):
    """NumPy with every output allocated once: two passes over X."""

    name, label = "numpy", "NumPy"

    def __init__(self, X: Array, Y: Array, weights: Array, lr: float, threads: int) -> None:
        super().__init__(X, Y, weights, lr, threads)
        self.residual = np.empty_like(Y)
        self.gradient = np.empty_like(self.weights)
        self.step = np.empty_like(self.weights)

    def epoch(self) -> object:
        n = len(self.X)
        np.matmul(self.X, self.weights, out=self.residual)
        np.subtract(self.residual, self.Y, out=self.residual)
        loss = np.vdot(self.residual, self.residual) / n
        np.matmul(self.X.T, self.residual, out=self.gradient)
        np.multiply(self.gradient, 2 / n, out=self.gradient)
        np.multiply(self.gradient, self.lr, out=self.step)
        np.subtract(self.weights, self.step, out=self.weights)
        return loss

    def last_gradient(self) -> Array:
        return self.gradient


class BlockedNumPy(Contender):
    """NumPy over blocks of rows that stay in cache between forward and gradient: one pass over X, as the kernel."""

    name, label = "numpy-blocks", "NumPy in blocks"
    BLOCK_BYTES = 1 << 19  # of 128 KB … 2 MB the fastest at most shapes

    def __init__(self, X: Array, Y: Array, weights: Array, lr: float, threads: int) -> None:
        super().__init__(X, Y, weights, lr, threads)
        row_bytes = X.shape[1] * X.itemsize
        self.block = max(1, self.BLOCK_BYTES // row_bytes)
        self.residual = np.empty(self.block, X.dtype)
        self.part = np.empty(X.shape[1], X.dtype)
        self.gradient = np.empty(X.shape[1], X.dtype)

    def epoch(self) -> object:
        X, y, w, n = self.X, self.Y[:, 0], self.weights[:, 0], len(self.X)
        loss = 0.0
        self.gradient[:] = 0
        for start in range(0, n, self.block):
            rows = X[start : start + self.block]
            residual = self.residual[: len(rows)]
            np.dot(rows, w, out=residual)
            np.subtract(residual, y[start : start + self.block], out=residual)
            loss += float(np.dot(residual, residual))
            np.dot(residual, rows, out=self.part)
            np.add(self.gradient, self.part, out=self.gradient)
        self.gradient *= 2 / n
        w -= self.lr * self.gradient
        return loss / n

    def last_gradient(self) -> Array:
        return self.gradient[:, None]


class PyTorch(Contender):
    """PyTorch autograd, eager; X and Y are NumPy's memory."""

    name, label = "pytorch", "PyTorch"

    def __init__(self, X: Array, Y: Array, weights: Array, lr: float, threads: int) -> None:
        import torch

        super().__init__(X, Y, weights, lr, threads)
        torch.set_num_threads(threads)
        self.torch: Any = torch
        self.tensors = torch.from_numpy(X), torch.from_numpy(Y)[:, 0]
        self.w: Any = torch.from_numpy(self.weights)[:, 0].requires_grad_()

    def epoch(self) -> object:
        x, y = self.tensors
        # A product with a vector is a little faster than torch.nn.functional.linear with one output.
        loss = self.torch.nn.functional.mse_loss(self.torch.mv(x, self.w), y)
        loss.backward()
        with self.torch.no_grad():
            self.w -= self.lr * self.w.grad
        self.gradient, self.w.grad = self.w.grad, None
        return loss.item()

    def last_gradient(self) -> Array:
        return np.asarray(self.gradient)[:, None]


class JAX(Contender):
    """JAX: one compiled step on the CPU, X and Y put on the device once."""

    name, label = "jax", "JAX"

    def __init__(self, X: Array, Y: Array, weights: Array, lr: float, threads: int) -> None:
        import jax
        import jax.numpy as jnp

        super().__init__(X, Y, weights, lr, threads)
        jax.config.update("jax_enable_x64", True)  # without it float64 becomes float32

        def loss(w: Any, x: Any, y: Any) -> Any:
            return jnp.mean(jnp.square(x @ w - y))

        def step(w: Any, x: Any, y: Any) -> Any:
            value, gradient = jax.value_and_grad(loss)(w, x, y)
            return value, gradient, w - lr * gradient

        self.jax = jax
        self.device_arrays = jnp.asarray(X), jnp.asarray(Y)
        self.w = jnp.asarray(self.weights)
        self.step = jax.jit(step).lower(self.w, *self.device_arrays).compile()

    def epoch(self) -> object:
        loss, self.gradient, self.w = self.jax.block_until_ready(self.step(self.w, *self.device_arrays))
        return float(loss)

    def last_gradient(self) -> Array:
        return np.asarray(self.gradient)


class ScikitLearn(Contender):
    """scikit-learn has no full-batch epoch; the nearest is one epoch of SGDRegressor, an update at every sample."""

    name, label, same_formula = "sklearn-sgd", "scikit-learn SGD", False
    dtypes, threaded = ("float64",), False
    MOST_BYTES = 100_000_000  # enough rows to time, and no more

    def __init__(self, X: Array, Y: Array, weights: Array, lr: float, threads: int) -> None:
        from sklearn.linear_model import SGDRegressor

        rows = max(1, self.MOST_BYTES // (X.shape[1] * X.itemsize))
        super().__init__(X[:rows], Y[:rows], weights, lr, threads)
        self.model = SGDRegressor(
            penalty=None,
            learning_rate="constant",
            eta0=1 / X.shape[1],  # a step per sample: the learning rate of a full batch would diverge
            max_iter=1,
            tol=None,
            shuffle=False,
            fit_intercept=False,
        )

    def epoch(self) -> object:
        return self.model.fit(self.X, self.Y[:, 0])


# In the order in which they are kept where time is short.
RIVALS: tuple[type[Contender], ...] = (Reference, NumPy, PyTorch, JAX, BlockedNumPy, ScikitLearn)
LABELS = {rival.name: rival.label for rival in RIVALS}
