"""Is ``run.gap`` a bound, wherever a run ends? In arithmetic of 60 digits, on random small problems.

    python tests/proofs.py [--cases 500] [--seed 0] [--only NUMBER] [--jobs 2]

The problems are those of `differential`, some with columns further from 0 and targets of any size. A run starts at zeros, at
random weights, far away or near the best, and goes on for 0 to 5 epochs: what it says there must hold as well as at the end.
test_proofs.py judges a few dozen.

- "false gap": ``run.gap`` is below objective − objective of the best point found, both in 60 digits, by more than rounding.
  Any point convicts: the best is not above it.
- "false loss": ``run.loss`` is not the objective of ``run.model``, but for rounding.
- "exception": anything but an answer, or a gap that is not a number ≥ 0.

Rounding is `Problem.rounding` by the dtype's eps at the model, for ``run.loss`` with the n additions of the rows, and no
number near the dtype's smallest normal one; a gap has also float64's rounding at the best point, and that of a classifier's
slopes: see `differential`.
"""

from __future__ import annotations

import argparse
import collections
import sys
import warnings
from typing import Any, NamedTuple

import differential
import mpmath
import numpy as np
from reference_solver import Point, Problem, improved, lowest, minimise

import gdcore

DIGITS = 60
FAULTS = ("exception", "false gap", "false loss")
STARTS = ("zeros", "random", "far", "near")


class Verdict(NamedTuple):
    number: int
    words: str
    loss: str
    faults: dict[str, str]
    gap: float | None
    true: float
    """At least so much is the objective above the best."""


# ---------------------------------------------------------------------------------------------------------- 60-digit objective


def digits(value: Any) -> Any:
    """A long double as it is."""
    high = float(value)
    return mpmath.mpf(high) + mpmath.mpf(float(value - high))


def objective(problem: Problem, point: Point) -> Any:
    """(1/Σs) Σ s·ℓ + l1·‖W‖₁ + (l2/2)·‖W‖² in 60 digits: X, Y, s and the parameters are what they are."""
    with mpmath.workdps(DIGITS):
        W = [[digits(w) for w in row] for row in point[0]]
        b = [digits(value) for value in point[1]]
        total = weights = mpmath.mpf(0)
        for x, y, s in zip(problem.X, problem.Y, problem.s, strict=True):
            if s:
                row = [digits(value) for value in x]
                raw = [mpmath.fdot(row, [w[c] for w in W]) + b[c] for c in range(problem.k)]
                total += digits(s) * row_loss(problem, raw, y)
                weights += digits(s)
        flat = [w for row in W for w in row]
        penalty = digits(problem.l1) * sum(map(abs, flat)) + digits(problem.l2) / 2 * sum(w * w for w in flat)
        return total / weights + penalty


def row_loss(problem: Problem, raw: list[Any], y: Any) -> Any:
    if problem.loss == "softmax":
        own = raw[int(y[0])]
        return mpmath.log1p(sum(mpmath.exp(other - own) for c, other in enumerate(raw) if c != int(y[0])))
    if problem.loss == "logistic":
        return sum(mpmath.log1p(mpmath.exp(-value if target > 0.5 else value)) for value, target in zip(raw, y, strict=True))
    r = [value - digits(target) for value, target in zip(raw, y, strict=True)]
    parameter = mpmath.mpf(problem.parameter)
    if problem.loss == "mse":
        return sum(value * value for value in r)
    if problem.loss == "mae":
        return sum(map(abs, r))
    if problem.loss == "huber":
        return sum(v * v / 2 if abs(v) <= parameter else parameter * (abs(v) - parameter / 2) for v in r)
    return sum(max(-parameter * value, (1 - parameter) * value) for value in r)


# ------------------------------------------------------------------------------------------------------------------ problems


def case(number: int) -> tuple[differential.Case, int]:
    """A problem with a model to start from, and the number of epochs."""
    made = differential.case(number)
    rng = np.random.default_rng([*divmod(number, differential.PER_SEED), 1])
    X, Y, single = made.X, made.Y, made.X.dtype == np.float32
    words = made.words
    if rng.random() < 0.25:
        offset = 10 ** rng.uniform(2, 5 if single else 8)
        X = X + X.dtype.type(offset)
        words += f" X+{offset:.2g}"
    if made.loss.targets == "real" and rng.random() < 0.5:
        size = 10 ** (rng.uniform(-8, 8) if single else rng.uniform(-12, 12))
        Y = Y * Y.dtype.type(size)
        words += f" Y*{size:.2g}"
    made = made._replace(X=X, Y=Y)
    start = str(rng.choice(STARTS))
    W, b = made.problem.zeros
    if start != "zeros":
        W, b = minimise(made.problem, made.problem.zeros)
        size = {"near": 10 ** rng.uniform(-8, 0), "random": 1.0, "far": 10 ** rng.uniform(2, 4)}[start]
        off = [size * rng.normal(size=part.shape) for part in (W, b)]
        if start == "near":
            W, b = W * (1 + off[0]), b * (1 + off[1])
        else:
            W, b = np.abs(W).max(initial=1e-3) * off[0], np.abs(b).max(initial=1e-3) * off[1]
    largest = 1e15 if single else 1e100  # starts are finite, and so are their losses
    W, b = (np.clip(part, -largest, largest).astype(X.dtype) for part in (W, b))
    outputs = (made.problem.k,) if made.loss.name == "softmax" else made.Y.shape[1:]
    with_bias = made.problem.bias
    model = gdcore.Linear(W.reshape(X.shape[1], *outputs), b.reshape(outputs)[()] if with_bias else None)
    epochs = int(rng.integers(0, 6))
    return made._replace(model=model, words=f"{words} from={start} epochs={epochs}"), epochs


def judged(number: int) -> Verdict:
    made, epochs = case(number)
    name = made.loss.name
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            run = gdcore.fit(
                made.X, made.Y, made.model, made.loss, epochs=epochs, l1=made.l1, l2=made.l2, sample_weight=made.sample_weight
            )
            gap = run.gap
        except Exception as error:
            text = f"{type(error).__name__}: {str(error)[:150]}"
            return Verdict(number, made.words, name, {"exception": text}, None, np.nan)
    problem, faults = made.problem, {}
    point = problem.point(run.model.weights, run.model.bias)
    best = minimise(problem, lowest(problem, [point, *improved(problem, [point])]))
    value = objective(problem, point)
    true = value - objective(problem, best)
    eps, double = float(np.finfo(made.X.dtype).eps), float(np.finfo(float).eps)
    rounding = problem.rounding(point, eps)
    of_loss = float(rounding + len(problem.X) * eps / 2 * problem.objective(point)) + 16 * float(np.finfo(made.X.dtype).tiny)
    if not abs(value - run.loss) <= of_loss:
        faults["false loss"] = f"loss {run.loss:.17g}, objective {mpmath.nstr(value, 17)}, rounding {of_loss:.3g}"
    if gap is not None and not 0 <= gap < np.inf:
        faults["exception"] = f"gap {gap}"
    elif gap is not None:
        allowed = float(rounding + problem.rounding(best, double) + differential.slopes_rounding(problem, point, best, eps))
        if true > gap * (1 + 1e-6) + allowed:
            faults["false gap"] = (
                f"gap {gap:.9g}, true at least {mpmath.nstr(true, 9)}, rounding {allowed:.3g}, "
                f"objective {mpmath.nstr(value, 9)}"
            )
    return Verdict(number, made.words, name, faults, gap, float(true))


# ----------------------------------------------------------------------------------------------------------------- the command


def report(verdicts: list[Verdict], examples: int = 5) -> str:
    lines = []
    for fault in FAULTS:
        guilty = [verdict for verdict in verdicts if fault in verdict.faults]
        counts = collections.Counter(verdict.loss for verdict in guilty)
        lines.append(f"{fault}: {len(guilty)} {dict(counts) if guilty else ''}")
        lines += [f"    --only {verdict.number}  # {verdict.words}: {verdict.faults[fault]}" for verdict in guilty[:examples]]
    for loss in differential.LOSSES:
        of_loss = [verdict for verdict in verdicts if verdict.loss == loss and "exception" not in verdict.faults]
        proved = [verdict for verdict in of_loss if verdict.gap is not None]
        ratios = [verdict.gap / verdict.true for verdict in proved if verdict.true > 0]
        median = f", the median {np.median(ratios):.4g} times the true one" if ratios else ""
        lines.append(f"{loss}: a gap in {len(proved)} of {len(of_loss)}{median}")
    return "\n".join(lines)


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Judge gdcore's proofs in 60 digits.")
    parser.add_argument("--cases", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--loss", choices=differential.LOSSES)
    parser.add_argument("--only", type=int, metavar="NUMBER", help="judge one case")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--examples", type=int, default=5, help="how many cases of each fault are printed")
    args = parser.parse_args(words)
    these = [args.only] if args.only is not None else differential.numbers(args.cases, args.seed, args.loss)
    verdicts = differential.judge_all(these, args.jobs, judged, tell=True)
    print(report(verdicts, args.examples))
    return int(any(verdict.faults for verdict in verdicts))


if __name__ == "__main__":
    sys.exit(main())
