"""The spectrum: what one small matrix says of gradient descent before anyone trains.

For a linear model with loss curvature c, H = c·X̃ᵀX̃/n + l2·I, X̃ = [X, 1] where there is a bias, bounds the Hessian
everywhere; for mse it is the Hessian. Gradient descent with learning rate lr multiplies the error along each eigenvector of H
by 1 − lr·λ in every epoch. So it diverges where lr > 2/λmax, and its slowest direction is that of λmin.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from gdcore import losses, threads
from gdcore.backends import BACKENDS
from gdcore.checks import number, one_of, yes_or_no
from gdcore.facts import metric
from gdcore.rows import arrays, cluster
from gdcore.rows.moments import MOST_COLUMNS, Moments, check
from gdcore.rows.piecewise import loss_sums
from gdcore.rows.tables import Table, fold, moments_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from gdcore._types import Array, Floats
    from gdcore.rows.tables import Piece

_EPS = float(np.finfo(np.float64).eps)
_INSIDE, _OUTSIDE = 1e-12, 1e-9  # shares of the means that certainly are rounding, and certainly are not
_STEPS = 40  # of Lanczos, at most


class Spectrum:
    """The eigenvalues of H, and what follows from them. Made by `spectrum`; ``a + b`` is that of both tables' rows.

    Attributes
    ----------
    largest : float
        λmax.
    smallest : float or None
        The smallest eigenvalue that is not zero. It, and what follows from it, is None where H is not known (very many
        columns), or where rounding hides which eigenvalues are zero (`clear` is then False).
    condition : float or None
        λmax/λmin: about so many epochs make one digit, divided by 2.3/2.
    rank : int or None
        How many eigenvalues are not zero, of ``size``.
    lr_limit : float
        2/λmax: above it gradient descent diverges.
    lr_best : float or None
        2/(λmax + λmin): where the slowest and the fastest direction shrink alike.
    error : float
        Bound on what is missing in λmax: 0 but for very many columns, whose λmax comes from Lanczos steps.
    shares : float64 array (d,)
        Of each column, its share of λmax's direction; with that of the bias they sum to 1.
    worst_columns : list of int
        The columns with the largest shares, largest first, up to five: those that keep the learning rate small.
    """

    def __init__(self, moments: Moments | None, bias: bool, loss: losses.Loss, l2: float, found: Any = None) -> None:
        self.moments, self.bias, self.loss, self.l2 = moments, bias, loss, l2
        self.curvature = _bound_of(loss)
        self._found = found  # (λmax, error, direction) by Lanczos, where moments is None

    @functools.cached_property
    def _top(self) -> tuple[float, float, Floats]:
        if self._found is not None:
            top: tuple[float, float, Floats] = self._found
            return top
        values, vectors = self._eigen
        return float(values[-1]), 0.0, vectors[:, -1]

    @functools.cached_property
    def _eigen(self) -> tuple[Floats, Floats]:
        return np.linalg.eigh(self.matrix)

    @property
    def matrix(self) -> Floats:
        """H (d, d), or (d + 1, d + 1) with the bias last; ValueError where d is above `MOST_COLUMNS`."""
        if self.moments is None:
            raise ValueError(f"H is not known: it would have more than {MOST_COLUMNS:,} columns")
        d, m = self.moments.columns, self.moments.of_columns()
        H = np.empty((d + self.bias, d + self.bias))
        H[:d, :d] = self.curvature * (m.scatter / m.total + np.outer(m.mean, m.mean)) + self.l2 * np.eye(d)
        if self.bias:
            H[d, :d] = H[:d, d] = self.curvature * m.mean
            H[d, d] = self.curvature
        return H

    @functools.cached_property
    def eigenvalues(self) -> Floats | None:
        """All eigenvalues of H, the smallest first, those that are zero as 0; None where H is not known or not `clear`.

        Squares of the singular values of a factor of H whose rows are sorted by their length: each has nearly all its digits,
        however small it is beside the largest one.
        """
        if not self.clear:
            return None
        rank, factor = self._rank, self._factor
        values = np.zeros(len(factor))
        if rank:
            graded = factor[np.argsort(-np.linalg.norm(factor, axis=1), kind="stable")]
            found = np.linalg.svd(np.linalg.qr(graded.T, mode="r"), compute_uv=False)
            values[len(values) - rank :] = found[:rank][::-1] ** 2
            values[-1] = self.largest
        return values

    @functools.cached_property
    def _split(self) -> tuple[Floats, Floats, metric.Inverse]:
        """A = c·C + l2·I, C the covariance of the columns; their means; and A⁻¹."""
        assert self.moments is not None
        m = self.moments.of_columns()
        C, mean = metric.covariance(m, True)
        A = self.curvature * C + self.l2 * np.eye(len(C))
        return A, mean, metric.inverse(A)

    @functools.cached_property
    def _rank(self) -> int | None:
        """A's rank, and 1 for the bias; without one for the means, where they stand out of what the columns span."""
        A, mean, found = self._split
        if not found.clear:
            return None
        if self.bias or found.rank == len(A):
            return found.rank + self.bias
        lengths = np.sqrt(np.diag(A))
        if (mean[lengths == 0] != 0).any():
            return found.rank + 1
        scaled = float(np.linalg.norm(mean / np.where(lengths > 0, lengths, 1.0)))
        share = float(np.linalg.norm(found.null.T @ mean)) / scaled if scaled > 0 else 0.0
        return None if _INSIDE < share < _OUTSIDE else found.rank + (share >= _OUTSIDE)

    @property
    def _factor(self) -> Floats:
        """F such that FFᵀ has H's eigenvalues.

        With A = RRᵀ, H = F₀F₀ᵀ for F₀ = [R, √c·μ], and with the bias [[R, √c·μ], [0, √c]]. Large means would drown the rest,
        but that their direction can be turned into one coordinate, and this one and the bias so that only one of both has it.
        """
        A, mean, found = self._split
        R = _root(A, found.rank)
        d, size = len(A), float(np.linalg.norm(mean))
        if size > 0:
            # Householder's reflection that leaves of μ its last coordinate alone
            v = mean / size
            v[-1] += math.copysign(1, v[-1])
            R = R - np.outer(v, (2 / (v @ v)) * (v @ R))
        F = np.zeros((d + self.bias, R.shape[1] + 1))
        F[:d, :-1] = R
        whole = math.hypot(size, self.bias)
        F[d - 1, -1] = math.sqrt(self.curvature) * whole
        if self.bias:
            F[d, :-1] = R[d - 1] / whole
            F[d - 1, :-1] *= size / whole
        return F

    @property
    def clear(self) -> bool:
        """Whether float64 can tell which eigenvalues are zero."""
        return self.moments is not None and self._rank is not None

    @property
    def size(self) -> int:
        """How many eigenvalues there are: d, and one for the bias."""
        return len(self._top[2])

    @property
    def largest(self) -> float:
        return self._top[0]

    @property
    def error(self) -> float:
        return self._top[1]

    @property
    def smallest(self) -> float | None:
        values = self.eigenvalues
        if values is None:
            return None
        positive = values[values > 0]
        return float(positive[0]) if len(positive) else 0.0

    @property
    def rank(self) -> int | None:
        return self._rank if self.moments is not None else None

    @property
    def condition(self) -> float | None:
        if self.smallest is None:
            return None
        return self.largest / self.smallest if self.smallest > 0 else math.inf

    @property
    def lr_limit(self) -> float:
        top = self.largest + self.error
        return 2 / top if top > 0 else math.inf

    @property
    def lr_best(self) -> float | None:
        if self.smallest is None:
            return None
        both = self.largest + self.smallest
        return 2 / both if both > 0 else math.inf

    @property
    def shares(self) -> Floats:
        vector = self._top[2]
        squares: Floats = vector * vector
        return squares[: len(squares) - self.bias]

    @property
    def worst_columns(self) -> list[int]:
        order = np.argsort(-self.shares, kind="stable")[:5]
        return [int(column) for column in order if self.shares[column] >= 0.01 * self.shares[order[0]]]

    def epochs_to(self, tol: float = 1e-3, lr: float | None = None) -> float | None:
        """Epochs of gradient descent until the error in the slowest direction is ``tol`` times what it was.

        ln(tol) / ln max|1 − lr·λ|, over the eigenvalues λ that are not zero.

        Parameters
        ----------
        tol : float
            Between 0 and 1: 0.001 asks for three digits.
        lr : float, optional
            Learning rate; default `lr_best`.

        Returns
        -------
        int, inf or None
            inf where lr is at the limit or past it; None where the smallest eigenvalue is not known.

        Examples
        --------
        >>> import gdcore
        >>> celsius = [[0.0], [20.0], [40.0], [60.0], [80.0], [100.0]]
        >>> gdcore.spectrum(celsius).epochs_to(0.001 / 32, lr=0.0001)    # b: from 32 away to 0.001 away
        163038
        """
        tol = number(tol, "tol", above=0, below=1)
        lr = None if lr is None else number(lr, "lr", above=0)
        if self.smallest is None or self.lr_best is None:
            return None
        if lr is None:
            lr, fast = self.lr_best, 0.0  # at the best lr the fastest direction is as slow as the slowest
        else:
            fast = lr * self.largest - 1
        if not fast < 1:
            return math.inf
        slow = -lr * self.smallest  # by log1p: 1 − lr·λ would round it away
        rate = max(math.log1p(slow) if slow > -1 else -math.inf, math.log(fast) if fast > 0 else -math.inf)
        return max(1, math.ceil(math.log(tol) / rate)) if rate > -math.inf else 1

    def batch_lr(self, batch_size: int) -> float:
        """The learning rate for batches of b rows drawn at random: 1/L_b, the expected smoothness.

        L_b = n(b − 1)/(b(n − 1))·λmax + (n − b)/(b(n − 1))·(c·max‖x̃‖² + l2): Gower, Loizou, Qian, Sailanbayev, Shulgin and
        Richtárik 2019, "SGD: General Analysis and Improved Rates".
        """
        top = self.largest + self.error
        if self.moments is None:
            return 1 / top
        n, b = self.moments.rows, batch_size
        if n > 1:
            row = self.curvature * (self.moments.largest_row + self.bias) + self.l2
            top = n * (b - 1) / (b * (n - 1)) * top + (n - b) / (b * (n - 1)) * row
        return 1 / top if top > 0 else 1.0

    def __add__(self, other: Spectrum) -> Spectrum:
        """Of both tables' rows together: the moments add up."""
        if not isinstance(other, Spectrum):
            return NotImplemented
        mine, its = (self.bias, self.loss, self.l2), (other.bias, other.loss, other.l2)
        if mine != its:
            raise ValueError(f"spectra of different problems do not add up: bias, loss and l2 are {mine} and {its}")
        if self.moments is None or other.moments is None:
            raise ValueError(f"spectra of more than {MOST_COLUMNS:,} columns do not add up: their matrices are not known")
        if self.moments.columns != other.moments.columns:
            raise ValueError(f"spectra of {self.moments.columns} and {other.moments.columns} columns do not add up")
        return Spectrum(self.moments + other.moments, self.bias, self.loss, self.l2)

    def column_names(self) -> str:
        """The worst columns as text."""
        return ", ".join(f"{column} ({self.shares[column]:.0%})" for column in self.worst_columns)

    def __repr__(self) -> str:
        if self.smallest is None:
            bound = f" (at most {self.error:.2g} more)" if self.error else ""
            rest = "not known" if self.moments is None else "lost in rounding"
            return f"Spectrum(largest {self.largest:.4g}{bound}, lr limit {self.lr_limit:.4g}; the rest is {rest})"
        deficient = f", rank {self.rank} of {self.size}" if self.rank != self.size else ""
        epochs = self.epochs_to(1e-3)
        return (
            f"Spectrum(λ from {self.smallest:.4g} to {self.largest:.4g}, condition {self.condition:.4g}{deficient}; "
            f"lr limit {self.lr_limit:.4g}, best {self.lr_best:.4g}; {epochs:,} epochs for 3 digits at best; "
            f"worst columns {self.column_names()})"
        )

    def plot(self, ax: Any = None) -> Any:
        """The error against epochs for an lr too small, the best one, and one past the limit: `gdcore.plots.spectrum`."""
        from gdcore import drawing

        return drawing.spectrum(self, ax=ax)


def _root(A: Floats, rank: int) -> Floats:
    """R (d, rank) with RRᵀ = A, whose rows are as long as A's diagonal says: small ones lose nothing beside large ones."""
    scale = np.sqrt(np.diag(A))
    scale = np.where(scale > 0, scale, 1.0)
    S = A / scale / scale[:, None]
    if rank == len(S):
        root = np.linalg.cholesky(S)
    else:
        values, vectors = np.linalg.eigh(S)
        root = vectors[:, len(S) - rank :] * np.sqrt(values[len(S) - rank :])
    rows: Floats = scale[:, None] * root
    return rows


def _bound_of(loss: losses.Loss) -> float:
    """The loss's curvature bound; ValueError where it has none."""
    if loss.curvature is None:
        why = "its slope jumps" if loss.kinked else "its class tells none"
        raise ValueError(f"{loss.name} has no curvature bound, and so no spectrum: {why}")
    return loss.curvature


def spectrum(
    X: Any,
    bias: bool = True,
    loss: str | losses.Loss = "mse",
    l2: float = 0.0,
    sample_weight: Any = None,
    *,
    backend: str = "kernel",
    n_threads: int | None = None,
    delta: float | None = None,
    tau: float | None = None,
) -> Spectrum:
    """Which learning rate diverges, which is best, and how many epochs are needed: one pass over X, before anyone trains.

    Parameters
    ----------
    X : array (n, d), float32 or float64
        As for `fit`; not copied. Or a `gdcore.rows.tables.Table`, whose weights of rows count, or rows in Dask, see
        `gdcore.distributed`.
    bias : bool
        Whether the model has a bias.
    loss : str or Loss
        One with a curvature bound: mse, huber, logistic, softmax.
    l2 : float
        The penalty that shall be trained with.
    sample_weight : array (n,), optional
        Likewise.
    backend, n_threads, delta, tau
        As for `fit`.

    Returns
    -------
    Spectrum
        With more than 8,000 columns only λmax is known, by up to 40 passes; nor is more known where columns are so nearly
        dependent that rounding hides it.

    Raises
    ------
    ValueError, TypeError
        Naming the argument; for losses without a curvature bound.

    Examples
    --------
    >>> import gdcore
    >>> celsius = [[0.0], [20.0], [40.0], [60.0], [80.0], [100.0]]
    >>> s = gdcore.spectrum(celsius)
    >>> round(s.condition), round(s.lr_limit, 6), s.worst_columns
    (11528, 0.000273, [0])
    >>> s
    Spectrum(λ from 0.6362 to 7335, condition 1.153e+04; lr limit 0.0002727, best 0.0002727; 39,817 epochs for 3 digits at \
best; worst columns 0 (100%))
    >>> a, b = gdcore.spectrum(celsius[:2]), gdcore.spectrum(celsius[2:])
    >>> round((a + b).condition)
    11528
    """
    chosen = losses.get(loss, delta=delta, tau=tau)
    _bound_of(chosen)
    bias, l2 = yes_or_no(bias, "bias"), number(l2, "l2")
    one_of(backend, "backend", tuple(BACKENDS))
    s = None
    if cluster.lazy(X):
        X = cluster.Cluster(X, None, sample_weight, n_threads=n_threads)
    elif isinstance(X, Table):
        if sample_weight is not None:
            raise TypeError(f"sample_weight comes with the table: found {type(sample_weight).__name__}")
    else:
        X = arrays.table(X)
        s = None if sample_weight is None else arrays.weights_of_rows(sample_weight, X)
    return of(X, s, bias, chosen, l2, backend, threads.resolve(n_threads))


def of(
    X: Array | Table, sample_weight: Array | None, bias: bool, loss: losses.Loss, l2: float, backend: str, n_threads: int
) -> Spectrum:
    """`spectrum` of checked arguments."""
    columns = len(X.names) if isinstance(X, Table) else X.shape[1]  # a table's shape may have to be counted
    if columns > MOST_COLUMNS and isinstance(X, Table) and not X.far:
        raise ValueError(f"a table's spectrum is for up to {MOST_COLUMNS:,} columns, found {columns:,}; leave some out")
    if columns <= MOST_COLUMNS:
        moments = moments_of(X, None, sample_weight, n_threads, backend, target=False)
        if not moments.finite and not isinstance(X, Table):
            arrays.check_finite(X, "X")
        check(moments, None if isinstance(X, Table) else X)
        return Spectrum(moments, bias, loss, l2)
    found = largest_eigenvalue(X, sample_weight, bias, loss, l2, backend, n_threads)
    return Spectrum(None, bias, loss, l2, found)


def largest_eigenvalue(
    X: Array | Table, sample_weight: Array | None, bias: bool, loss: losses.Loss, l2: float, backend: str, n_threads: int,
    steps: int = _STEPS,
) -> tuple[float, float, Floats]:  # fmt: skip
    """λmax of H, a bound on its error, and its direction, by Lanczos steps of one pass each.

    H·v is the gradient of mse with targets 0 at weights v, times c/2. The bound is that of the residual, ‖Hv − θv‖, plus
    rounding: an eigenvalue lies so near θ (Parlett 1980, "The Symmetric Eigenvalue Problem"); that it is the largest one is
    certain but for a start that stands at right angles to its direction.
    """
    d = len(X.names) if isinstance(X, Table) else X.shape[1]
    times = hessian_times(X, sample_weight, bias, backend, n_threads)
    half = (loss.curvature or 0.0) / 2

    def product(v: Floats) -> Floats:
        gradient, bias_gradient = times(v[:d], float(v[d]) if bias else None)
        result = half * np.concatenate([gradient, bias_gradient])
        result[:d] += l2 * v[:d]
        return result

    return lanczos(product, d + bias, float(np.finfo(X.dtype).eps), steps)


def hessian_times(
    X: Array | Table, sample_weight: Array | None, bias: bool, backend: str, n_threads: int
) -> Callable[[Floats, float | None], tuple[Floats, Floats]]:
    """mse's Hessian times (w, b), in one pass: the gradient there of mse with targets 0."""

    def times(w: Floats, b: float | None) -> tuple[Floats, Floats]:
        weights, bias_array = w[:, None].astype(X.dtype), None if b is None else np.array([b], X.dtype)
        part = functools.partial(_without_targets, backend=backend, weights=weights, bias=bias_array)
        multiple = BACKENDS[backend].whole_rows(np.empty((1, len(w)), X.dtype), None, 1)
        sums = fold(X, None, sample_weight, part, n_threads, multiple=multiple)
        _, gradient, bias_gradient = BACKENDS[backend].settled(sums, weights, bias_array)
        both = gradient[:, 0].astype(np.float64), np.zeros(0) if b is None else bias_gradient.astype(np.float64)
        if not (np.isfinite(both[0]).all() and np.isfinite(both[1]).all()):
            if not isinstance(X, Table):
                arrays.check_finite(X, "X")
            raise ValueError(f"the squares of X overflow {X.dtype}: scale its columns")
        return both

    return times


def _without_targets(piece: Piece, n_threads: int, carried: Floats | None = None, **how: Any) -> Floats:
    zeros = np.broadcast_to(np.zeros((), piece.X.dtype), (len(piece.X), 1))
    return loss_sums(piece._replace(Y=zeros), n_threads, carried, **how)


def lanczos(times: Callable[[Floats], Floats], size: int, eps: float, steps: int = _STEPS) -> tuple[float, float, Floats]:
    """The largest eigenvalue of a symmetric matrix given by its products, a bound on its error, and its direction."""
    v = np.random.default_rng(0).normal(size=size)
    v /= np.linalg.norm(v)
    basis: list[Floats] = [v]
    alphas: list[float] = []
    betas: list[float] = []
    theta = residual = math.inf
    vector = v
    for step in range(min(steps, size)):
        product = times(basis[-1])
        alphas.append(float(product @ basis[-1]))
        for _ in range(2):  # against all: rounding brings back what was taken off once
            for q in basis:
                product = product - (product @ q) * q
        betas.append(float(np.linalg.norm(product)))
        values, vectors = np.linalg.eigh(np.diag(alphas) + np.diag(betas[:-1], 1) + np.diag(betas[:-1], -1))
        theta, coordinates = float(values[-1]), vectors[:, -1]
        residual = abs(betas[-1] * float(coordinates[-1]))
        vector = np.stack(basis, axis=1) @ coordinates
        if residual <= 1e-6 * theta or step + 1 == size or betas[-1] <= 1e-12 * theta:
            break
        basis.append(product / betas[-1])
    return theta, residual + 4 * eps * theta, vector / np.linalg.norm(vector)
