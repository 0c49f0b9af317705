"""What gdcore's answers are judged by: objectives in long double, and minimisers of them. Nothing of gdcore is used here.

A `Problem` is (1/Σs) Σ sᵢ·ℓ(xᵢ·w + b; yᵢ) + l1·‖W‖₁ + (l2/2)·‖W‖², summed over outputs; the bias is not penalised. Its
objective is computed in long double. The minimisers work on standardised columns, in which a weight's penalties become those
of its column. Directions come from float64, for every point is judged in long double: a wrong direction can only fail to find
a better point. What they find need not be the best: any better point convicts.

- mse, huber, logistic, softmax: Newton's method with a line search, on the face of the signs where there is an l1 penalty.
- mae and quantile: a linear program (l2 = 0) or a quadratic one by an interior-point method (l2 > 0), and then the face on
  which residuals are 0, solved exactly: the solution of a program is a vertex or lies on such a face.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from typing import Any

import numpy as np
from scipy.optimize import linprog

LD = np.longdouble
KINKED = ("mae", "quantile")
Point = tuple[Any, Any]  # W (d, k), b (k,), long double; without a bias b is 0


@dataclasses.dataclass(frozen=True)
class Problem:
    """X (n, d), Y (n, k), or (n, 1) labels for softmax; p the rows' shares of the weights, which sum to 1."""

    X: Any
    Y: Any
    p: Any
    loss: str
    parameter: float
    l1: Any
    l2: Any
    bias: bool
    k: int

    @classmethod
    def of(
        cls, X: Any, Y: Any, weights: Any, loss: str, parameter: float, l1: float, l2: float, bias: bool, k: int
    ) -> Problem:
        s = np.ones(len(X), LD) if weights is None else np.asarray(weights, LD)
        Y = np.asarray(Y, LD).reshape(len(X), -1)
        return cls(np.asarray(X, LD), Y, s / s.sum(), loss, parameter, LD(l1), LD(l2), bias, k)

    def point(self, weights: Any, bias: Any) -> Point:
        """Parameters as (d, k) and (k,)."""
        b = np.zeros(self.k, LD) if bias is None else np.asarray(bias, LD).reshape(self.k)
        return np.asarray(weights, LD).reshape(self.X.shape[1], self.k), b

    @property
    def zeros(self) -> Point:
        return np.zeros((self.X.shape[1], self.k), LD), np.zeros(self.k, LD)

    def penalty(self, W: Any) -> Any:
        return self.l1 * np.abs(W).sum() + self.l2 / 2 * (W * W).sum()

    def raw(self, point: Point) -> Any:
        W, b = point
        return self.X @ W + b

    def objective(self, point: Point) -> Any:
        return (self.p * rows_loss(self.raw(point), self.Y, self.loss, self.parameter)).sum() + self.penalty(point[0])

    def rounding(self, point: Point, eps: float) -> Any:
        """How far the objective is from what arithmetic of this eps makes of it at a point.

        A prediction is a sum of d + 1 products, each of parameters that are rounded themselves, from which the target is
        taken: at most d + 3 roundings by eps/2 of Σ|x||w| + |b| + |y|. ℓ is convex, so that predictions off by δ change it by
        at most the larger of ℓ(ŷ + δ) − ℓ(ŷ) and ℓ(ŷ − δ) − ℓ(ŷ), which holds at a kink and where the slope is 0 as well. For
        softmax the worst is y's own prediction lower and the others higher. Summing adds roundings of the objective itself.
        """
        W, b = point
        raw = self.raw(point)
        size = np.abs(self.X) @ np.abs(W) + np.abs(b)
        if self.loss == "softmax":
            away = np.ones_like(raw)
            away[np.arange(len(raw)), labels(self.Y)] = -1
            signs = (away,)
        else:
            signs = (np.ones_like(raw), -np.ones_like(raw))
            if self.loss != "logistic":
                size = size + np.abs(self.Y)
        off = (self.X.shape[1] + 3) * LD(eps) / 2 * size
        there = rows_loss(raw, self.Y, self.loss, self.parameter)
        worst = np.maximum.reduce([rows_loss(raw + sign * off, self.Y, self.loss, self.parameter) for sign in signs])
        return (self.p * (worst - there)).sum() + (self.X.shape[1] + 3) * LD(eps) / 2 * self.objective(point)

    def constant(self) -> Any:
        """The lowest objective without weights: by the best bias alone where there is one, or its infimum."""
        if not self.bias:
            return self.objective(self.zeros)
        total = LD(0)
        if self.loss in ("logistic", "softmax"):
            if self.loss == "softmax":
                shares = [np.array([self.p[labels(self.Y) == c].sum() for c in range(self.k)])]
            else:
                shares = [np.array([self.p @ y, self.p @ (1 - y)]) for y in self.Y.T]
            return sum((-(q[q > 0] * np.log(q[q > 0])).sum() for q in shares), LD(0))
        for y in self.Y.T:
            bare = dataclasses.replace(self, X=np.zeros((len(y), 0), LD), Y=y[:, None], k=1)
            starts = [np.atleast_1d(self.p @ y)] if self.loss == "mse" else [np.atleast_1d(value) for value in np.unique(y)]
            at = [(bare.objective((np.zeros((0, 1), LD), b)), b) for b in starts]
            low, b = min(at, key=lambda pair: pair[0])
            if self.loss == "huber":
                alone = _Smooth(bare, np.ones((len(y), 1), LD), np.zeros(1, LD), np.zeros(1, LD))
                low = min(low, _newton(alone, b[:, None], STEPS)[0])
            total += low
        return total


def labels(Y: Any) -> Any:
    return Y[:, 0].astype(np.intp)


def rows_loss(raw: Any, Y: Any, loss: str, parameter: float) -> Any:
    """ℓ of each row, summed over outputs: plain formulas."""
    if loss == "softmax":
        others = raw - np.take_along_axis(raw, labels(Y)[:, None], axis=1)
        others[np.arange(len(raw)), labels(Y)] = -np.inf
        return np.logaddexp(LD(0), np.logaddexp.reduce(others, axis=1))  # log(1 + Σ e^(ŷ_c − ŷ_y)), without cancellation
    if loss == "logistic":
        return np.logaddexp(LD(0), np.where(Y > 0.5, -raw, raw)).sum(axis=1)
    r = raw - Y
    if loss == "mse":
        return (r * r).sum(axis=1)
    if loss == "mae":
        return np.abs(r).sum(axis=1)
    if loss == "huber":
        size, delta = np.abs(r), LD(parameter)
        return np.where(size <= delta, r * r / 2, delta * (size - delta / 2)).sum(axis=1)
    assert loss == "quantile", loss
    return np.maximum(-LD(parameter) * r, (1 - LD(parameter)) * r).sum(axis=1)


def slopes(raw: Any, Y: Any, loss: str, parameter: float) -> Any:
    """∂ℓ/∂ŷ (n, k) of the smooth losses."""
    if loss == "softmax":
        result = _softmax(raw)
        result[np.arange(len(raw)), labels(Y)] = 0
        result[np.arange(len(raw)), labels(Y)] = -result.sum(axis=1)  # p_y − 1, without cancellation
        return result
    if loss == "logistic":
        away = np.where(Y > 0.5, -raw, raw)
        e = np.exp(-np.abs(away))
        return np.where(Y > 0.5, -1, 1) * np.where(away > 0, 1, e) / (1 + e)
    r = raw - Y
    return 2 * r if loss == "mse" else np.clip(r, -LD(parameter), LD(parameter))


def _softmax(raw: Any) -> Any:
    e = np.exp(raw - raw.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


# ------------------------------------------------------------------------------------------------------------- the minimisers


STEPS = 100


def minimise(problem: Problem, known: Point) -> Point:
    """The lowest point found: of a known one, of what is below zeros, and where there is a kink near a program's solution."""
    start = _by_output(problem, _program) if problem.loss in (*KINKED, "huber") else problem.zeros
    return lowest(problem, [known, start, *improved(problem, [start])])


def improved(problem: Problem, starts: list[Point], steps: int = STEPS) -> list[Point]:
    """Each start, gone on from: down by Newton's method, or onto a nearby face of mae and quantile."""
    if problem.loss in KINKED:
        return [_by_output(problem, _face, start) for start in starts]
    descended = functools.partial(_descended, steps=steps)
    if problem.loss == "softmax":
        return [descended(problem, start) for start in starts]
    return [_by_output(problem, descended, start) for start in starts]


def lowest(problem: Problem, points: list[Point]) -> Point:
    values = [problem.objective(point) for point in points]
    return points[int(np.argmin([value if np.isfinite(value) else LD(np.inf) for value in values]))]


def _by_output(problem: Problem, how: Any, start: Point | None = None) -> Point:
    """Outputs, which do not meet in these losses, one by one."""
    W, b = problem.zeros
    for c in range(problem.k):
        one = dataclasses.replace(problem, Y=problem.Y[:, c : c + 1], k=1)
        rest = () if start is None else ((start[0][:, c : c + 1], start[1][c : c + 1]),)
        w, beta = how(one, *rest)
        W[:, c], b[c] = w[:, 0], beta[0]
    return W, b


class _Standard:
    """Columns of the spread 1, around 0 where there is a bias; with the bias the last column is of ones."""

    def __init__(self, problem: Problem) -> None:
        X, self.bias = problem.X, problem.bias
        self.mean = problem.p @ X if self.bias else np.zeros(X.shape[1], LD)
        Z = X - self.mean
        self.spread = np.abs(Z[problem.p > 0]).max(axis=0)
        self.spread[self.spread == 0] = 1
        Z = Z / self.spread
        ones = np.ones((len(X), 1), LD)
        self.A = np.hstack([Z, ones]) if self.bias else Z
        none = np.zeros(int(self.bias), LD)
        self.l1 = np.concatenate([problem.l1 / self.spread, none])
        self.l2 = np.concatenate([problem.l2 / self.spread**2, none])

    def forth(self, point: Point) -> Any:
        W, b = point
        theta = W * self.spread[:, None]
        return np.vstack([theta, b + self.mean @ W]) if self.bias else theta

    def back(self, theta: Any) -> Point:
        W = theta[: len(self.spread)] / self.spread[:, None]
        return W, theta[-1] - self.mean @ W if self.bias else np.zeros(theta.shape[1], LD)


# Smooth losses -----------------------------------------------------------------------------------------------------------


class _Smooth:
    """The objective of standardised parameters θ (m, k), its gradient without l1, and its second derivative."""

    def __init__(self, problem: Problem, A: Any, l1: Any, l2: Any) -> None:
        self.A, self.A64, self.l1, self.l2 = A, A.astype(float), l1[:, None], l2[:, None]
        self.Y, self.p, self.loss, self.parameter, self.k = problem.Y, problem.p, problem.loss, problem.parameter, problem.k

    def value(self, theta: Any) -> Any:
        value = (self.p * rows_loss(self.A @ theta, self.Y, self.loss, self.parameter)).sum()
        return value + (self.l1 * np.abs(theta)).sum() + (self.l2 * theta * theta).sum() / 2

    def gradient(self, theta: Any) -> Any:
        return self.A.T @ (self.p[:, None] * slopes(self.A @ theta, self.Y, self.loss, self.parameter)) + self.l2 * theta

    def curvatures(self, theta: Any) -> tuple[Any, Any]:
        """∂²ℓ/∂ŷ² (n, k, k), and a larger one whose parabola lies above the loss, or nearly."""
        raw = (self.A @ theta).astype(float)
        if self.loss == "softmax":
            q = _softmax(raw)
            true = q[:, :, None] * (np.eye(self.k) - q[:, None, :])
            return true, np.broadcast_to(np.eye(self.k) / 2, true.shape)
        if self.loss == "logistic":
            e = np.exp(-np.abs(raw))
            true, above = e / (1 + e) ** 2, np.full(raw.shape, 0.25)
        elif self.loss == "mse":
            true = above = np.full(raw.shape, 2.0)
        else:
            size = np.abs(raw - self.Y.astype(float))
            true, above = (size <= self.parameter) * 1.0, self.parameter / np.maximum(size, self.parameter)
        return true[:, :, None], above[:, :, None]

    def hessian(self, curvature: Any) -> Any:
        c = self.p.astype(float)[:, None, None] * curvature
        m, k, A = self.A.shape[1], self.k, self.A64
        H = np.zeros((m, k, m, k))
        for a, b in itertools.product(range(k), repeat=2):
            H[:, a, :, b] = A.T @ (c[:, a, b, None] * A)
        H = H.reshape(m * k, m * k)
        H[np.diag_indices_from(H)] += np.repeat(self.l2.astype(float)[:, 0], k)
        return H


def _descended(problem: Problem, start: Point, steps: int) -> Point:
    standard = _Standard(problem)
    smooth = _Smooth(problem, standard.A, standard.l1, standard.l2)
    return standard.back(_newton(smooth, standard.forth(start), steps)[1])


def _newton(smooth: _Smooth, theta: Any, steps: int) -> tuple[Any, Any]:
    """Down as far as long double can tell: (value, θ)."""
    value, idle = smooth.value(theta), 0
    nothing = 1e-36 * smooth.value(np.zeros_like(theta))  # of an exact fit
    for _ in range(steps):
        gradient = smooth.gradient(theta)
        # Signs of the face: a weight of 0 leaves it only against a slope that is larger than l1.
        face = np.where(theta != 0, np.sign(theta), -np.sign(gradient) * (np.abs(gradient) > smooth.l1))
        free = (face != 0) | (smooth.l1 == 0) & (gradient != 0)
        if not free.any():
            break
        step = _step(smooth, theta, value, gradient + smooth.l1 * face, face * (smooth.l1 > 0), free)
        if step is None:
            break
        idle = idle + 1 if value - step[0] <= 1e-17 * abs(value) else 0
        value, theta = step
        if idle > 2 or value <= nothing:
            break
    return value, theta


def _step(smooth: _Smooth, theta: Any, value: Any, slope: Any, face: Any, free: Any) -> tuple[Any, Any] | None:
    """A lower point of the face, with its value; None: none was found.

    Newton's where it lowers the objective by a tenth of what its parabola says, else the lowest of many: along directions
    between Newton's and that of a steeper parabola, with several lengths, one of which ends where the first sign would change.
    """
    true, above = smooth.curvatures(theta)
    H, steep = smooth.hessian(true), smooth.hessian(above)
    steep[np.diag_indices_from(steep)] += np.trace(steep) / len(steep)
    best = None
    for blend in (0.0, 1e-14, 1e-12, 1e-10, 1e-8, 1e-6, 1e-4, 1e-2, 1.0, 100.0):
        direction = _direction(H + blend * steep, theta, slope, face, free)
        crossing, at = _crossing(theta, direction, face)
        for length in (1.0, 0.5, 0.2, 0.05, crossing):
            new = theta + length * direction
            new[new * face < 0] = 0
            if length is crossing:
                new[at] = 0
            lower = smooth.value(new)
            if lower < (value if best is None else best[0]):
                best = lower, new
            if blend == 0 and length == 1 and value - lower > -0.05 * (slope * direction).sum() > 0:
                return lower, new
    return best


def _crossing(theta: Any, direction: Any, face: Any) -> tuple[Any, Any]:
    """The length to the first change of a sign, and which weight's it is; where there is none, 0.01 and none."""
    towards = (face != 0) & (theta * direction < 0)
    lengths = np.where(towards, -theta / np.where(towards, direction, 1), np.inf)
    at = lengths == lengths.min(initial=np.inf)
    return (lengths[at][0], at) if towards.any() else (LD(0.01), towards)


def _direction(H: Any, theta: Any, slope: Any, face: Any, free: Any) -> Any:
    """−H⁻¹·slope of the free parameters; a weight of 0 that it would push out of the face is not free."""
    free = free.copy()
    while True:
        at = np.flatnonzero(free.ravel())
        direction = np.zeros(theta.size, LD)
        if len(at):
            inner = H[np.ix_(at, at)]
            scale = np.sqrt(np.diag(inner))
            scale[scale == 0] = 1
            right = slope.ravel()[at].astype(float) / scale
            direction[at] = np.linalg.lstsq(inner / scale / scale[:, None], -right, rcond=1e-15)[0] / scale
        direction = direction.reshape(theta.shape)
        out = free & (theta == 0) & (direction * face < 0)
        if not out.any():
            return direction
        free &= ~out


# mae and quantile --------------------------------------------------------------------------------------------------------


class _Kinked:
    """Σ up·max(r − q, 0) + down·max(q − r, 0) + q²/(2·soft) + ½ Σ l2·θ² of r = Aθ − y: rows of the data, and one for each
    weight with an l1. Where soft is 0 so is q; Huber's loss is δ·|r − q| + ½q² with the best q."""

    def __init__(self, problem: Problem, standard: _Standard) -> None:
        parameter = LD(problem.parameter)
        above, below = {"mae": (1, 1), "huber": (parameter, parameter)}.get(problem.loss, (1 - parameter, parameter))
        held, heavy = standard.l1 > 0, problem.p > 0
        p, none = problem.p[heavy], np.zeros(held.sum(), LD)
        self.A = np.vstack([standard.A[heavy], np.eye(len(standard.l1), dtype=LD)[held]])
        self.y = np.concatenate([problem.Y[heavy, 0], none])
        self.up, self.down = (np.concatenate([p * cost, standard.l1[held]]) for cost in (above, below))
        self.soft = np.concatenate([1 / p if problem.loss == "huber" else 0 * p, none])
        self.l2 = standard.l2


def _program(problem: Problem) -> Point:
    standard = _Standard(problem)
    kinked = _Kinked(problem, standard)
    theta = _linear(kinked) if problem.l2 == 0 and problem.loss in KINKED else _quadratic(kinked)
    return standard.back(theta.astype(LD)[:, None])


def _linear(kinked: _Kinked) -> Any:
    """min up·u + down·v where Aθ − u + v = y, u ≥ 0, v ≥ 0; y and the costs scaled to size 1."""
    A, m = kinked.A.astype(float), kinked.A.shape[1]
    size = float(np.abs(kinked.y).max()) or 1.0
    costs = np.concatenate([np.zeros(m), kinked.up, kinked.down]).astype(float)
    bounds = [(None, None)] * m + [(0, None)] * (2 * len(A))
    equal = np.hstack([A, -np.eye(len(A)), np.eye(len(A))])
    found = linprog(costs / costs.max(), A_eq=equal, b_eq=kinked.y.astype(float) / size, bounds=bounds, method="highs-ds")
    return np.zeros(m) if found.x is None else found.x[:m] * size


def _quadratic(kinked: _Kinked, steps: int = 60) -> Any:
    """A primal-dual interior-point method. Dual: α = q/soft, one a row, −down ≤ α ≤ up, l2·θ + Aᵀα = 0."""
    A, up, down, l2, soft = (array.astype(float) for array in (kinked.A, kinked.up, kinked.down, kinked.l2, kinked.soft))
    size = float(np.abs(kinked.y).max()) or 1.0
    y = kinked.y.astype(float) / size
    l2, soft = l2 * size, soft / size  # in units of size, the objective as well
    theta, alpha = np.zeros(A.shape[1]), (up - down) / 2
    u, v = np.ones(len(A)), np.ones(len(A))
    for _ in range(steps):
        over, under = up - alpha, down + alpha
        gap = (u @ over + v @ under) / (2 * len(A))
        dual, primal = l2 * theta + A.T @ alpha, A @ theta - y - u + v - soft * alpha
        if gap < 1e-16 * (up + down).max():
            break
        target = 0.1 * gap
        D = u / over + v / under + soft
        shift = primal - (target / over - u) + (target / under - v)
        H = A.T @ (A / D[:, None])
        H[np.diag_indices_from(H)] += l2 + 1e-300
        move = np.linalg.lstsq(H, -dual - A.T @ (shift / D), rcond=None)[0]
        move_alpha = (A @ move + shift) / D
        move_u, move_v = target / over - u + u / over * move_alpha, target / under - v - v / under * move_alpha
        length = min(_reach(u, move_u), _reach(v, move_v), _reach(over, -move_alpha), _reach(under, move_alpha))
        theta, alpha, u, v = (
            old + length * new for old, new in ((theta, move), (alpha, move_alpha), (u, move_u), (v, move_v))
        )
        if not (np.all(up > alpha) and np.all(alpha > -down)):
            break
    return theta * size


def _reach(value: Any, move: Any) -> float:
    """How far a positive value may move and stay positive, at most 1."""
    down = move < 0
    return float(min(1.0, 0.99 * np.min(-value[down] / move[down]))) if down.any() else 1.0


def _face(problem: Problem, start: Point) -> Point:
    """Rows that are nearly fitted are fitted exactly, and the rest minimised: the best of several meanings of "nearly"."""
    standard = _Standard(problem)
    kinked = _Kinked(problem, standard)
    theta = standard.forth(start)[:, 0]
    points, seen = [start], set()
    r = kinked.A @ theta - kinked.y
    size = np.abs(kinked.y).max() + np.abs(r).max()
    for near in 10.0 ** np.arange(-3, -14, -1):
        fitted = np.abs(r) <= near * size
        if fitted.tobytes() in seen:
            continue
        seen.add(fitted.tobytes())
        points.append(standard.back(_on_face(kinked, theta, r, fitted)[:, None]))
    return lowest(problem, points)


def _on_face(kinked: _Kinked, theta: Any, r: Any, fitted: Any) -> Any:
    """min ½ Σ l2·θ² + Σ slope·(Aθ) where the fitted rows' residuals are 0: one linear system, refined in long double."""
    A, m = kinked.A[fitted], len(theta)
    if not kinked.l2.any():
        x, K, right = theta, A, kinked.y[fitted]
    else:
        slope = np.where(fitted, 0, np.where(r > 0, kinked.up, -kinked.down))
        K = np.block([[np.diag(kinked.l2), A.T], [A, np.zeros((len(A), len(A)), LD)]])
        right = np.concatenate([-(slope @ kinked.A), kinked.y[fitted]])
        x = np.concatenate([theta, np.zeros(len(A), LD)])
    if not len(K):
        return theta
    inverse = np.linalg.pinv(K.astype(float), rcond=1e-13)
    for _ in range(4):
        x = x + inverse.astype(LD) @ (right - K @ x)
    return x[:m]


# ---------------------------------------------------------------------------------------------------------- no least objective


def no_minimum(problem: Problem) -> bool:
    """Whether a direction lowers logistic or softmax for ever: separated classes, or with a penalty a class that has no rows.

    Such a direction has margins ≥ 0 in all rows and one above 0: a linear program finds the largest sum of margins.
    """
    if problem.loss not in ("logistic", "softmax"):
        return False
    if problem.loss == "logistic" and problem.k > 1:
        return any(no_minimum(dataclasses.replace(problem, Y=problem.Y[:, c : c + 1], k=1)) for c in range(problem.k))
    standard = _Standard(problem)
    A = standard.A if not (problem.l1 or problem.l2) else standard.A[:, standard.A.shape[1] - int(problem.bias) :]
    heavy, m = problem.p > 0, A.shape[1]
    if not m:
        return False
    A, Y = A[heavy].astype(float), problem.Y[heavy]
    if problem.loss == "logistic":
        margins = np.where(Y > 0.5, A, -A)
    else:
        blocks = []
        for other in range(problem.k):
            at = labels(Y) != other
            block = np.zeros((at.sum(), m, problem.k))
            block[np.arange(len(block)), :, labels(Y)[at]] = A[at]
            block[:, :, other] = -A[at]
            blocks.append(block.reshape(len(block), m * problem.k))
        margins = np.vstack(blocks)
    found = linprog(-margins.sum(axis=0), A_ub=-margins, b_ub=np.zeros(len(margins)), bounds=(-1, 1), method="highs-ds")
    return found.x is not None and -found.fun > 1e-5
