"""Random small problems: are gdcore's answers, proofs and words true?

    python tests/differential.py [--cases 20000] [--seed 0] [--loss mae] [--only NUMBER] [--jobs 2]

fits each problem at default settings and judges the answer against `reference_solver`. It prints how often each fault was
found and the first cases of each, which ``--only NUMBER`` judges again: a case is made from its number alone.
test_differential.py judges 1,000 cases.

The faults:

- "exception": anything but an answer with finite weights.
- "stray warning": one that is not gdcore's, like NumPy's of a division by zero.
- "worse than zeros": the objective is above that of all-zero weights, where training starts, by more than rounding.
- "false gap": ``run.gap`` is below objective − best found, by more than rounding.
- "false converged": status "converged" with an objective above the best found by more than 1e-5 of its scale and rounding; or,
  where the loss has no least value (separated classes), without a warning that says so.
- "silent": another status than "converged" without a warning of gdcore's.
- "ran out": another status than "converged"; of these 2 in a hundred are allowed.

Scale and rounding. An objective is known no better than 1e-5 of max(best, constant − best), where "constant" is the best
without weights, by a bias alone: the spread that the fit explains, which is what is left where the targets are fitted exactly
and best is 0. To that comes what rounding makes of the objective (`Problem.rounding`) by the dtype's eps: at the best point
found, for in that arithmetic nobody could tell that it is better. What a proof says is of all real weights: "false gap" allows
for the dtype's rounding at the model, where the objective was computed, for float64's at the best point, and for the rounding
of a classifier's slopes (a probability less 1 or 0), eps·Σ p·|ŷ − best ŷ|. An answer that is itself large weights which cancel
shall not excuse itself by its own rounding: "worse than zeros" allows for no more than √eps of the objective at zeros.
"""

from __future__ import annotations

import argparse
import collections
import itertools
import multiprocessing
import os
import sys
import time
import warnings
from typing import Any, NamedTuple

if __name__ == "__main__":
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(name, "1")

import numpy as np
from reference_solver import LD, STEPS, Point, Problem, improved, lowest, minimise, no_minimum

import gdcore

LOSSES = ("mse", "mae", "huber", "quantile", "logistic", "softmax")
COLUMNS = (
    "normal", "integers", "duplicate", "summed", "near", "constant", "scaled", "offset", "binary", "heavy", "repeated",
)  # fmt: skip
TARGETS = ("noise", "exact", "rounded", "heavy", "large", "tiny", "constant", "zero")
CLASSES = ("noise", "noise", "signal", "signal", "exact", "rare", "one")
WEIGHTS = ("none", "none", "uniform", "zeros", "integers", "decades")
FAULTS = ("exception", "stray warning", "worse than zeros", "false gap", "false converged", "silent")
ALLOWED = 0.02  # the share of cases that may run out of epochs
TOLERANCE = 1e-5
PER_SEED = 10**9  # case numbers of one seed


class Case(NamedTuple):
    """A problem, and how it was drawn."""

    number: int
    X: Any
    Y: Any
    model: Any
    loss: Any
    l1: float
    l2: float
    sample_weight: Any
    words: str

    @property
    def problem(self) -> Problem:
        bias = self.model is None or self.model.bias is not None
        k = outputs(self)
        return Problem.of(
            self.X, self.Y, self.sample_weight, self.loss.name, self.loss.parameter, self.l1, self.l2, bias, k
        )  # fmt: skip


def outputs(case: Case) -> int:
    if case.model is not None:
        return int(np.prod(case.model.weights.shape[1:], dtype=int))
    return int(case.Y.max()) + 1 if case.loss.name == "softmax" else int(np.prod(case.Y.shape[1:], dtype=int))


# ------------------------------------------------------------------------------------------------------------- random problems


def case(number: int) -> Case:
    rng = np.random.default_rng(divmod(number, PER_SEED))
    loss = LOSSES[rng.integers(len(LOSSES))]
    n, d = int(rng.integers(1, 51)), int(rng.integers(1, 11))
    k = int(rng.integers(2, 4)) if loss == "softmax" else int(rng.choice([1, 1, 1, 2, 3]))
    dtype = rng.choice([np.float64, np.float64, np.float32])
    of_X, of_weights = str(rng.choice(COLUMNS)), str(rng.choice(WEIGHTS))
    X = columns(rng, of_X, n, d)
    if loss in ("logistic", "softmax"):
        of_Y = str(rng.choice(CLASSES))
        Y = classes(rng, of_Y, X, k, loss)
    else:
        of_Y = str(rng.choice(TARGETS))
        Y = targets(rng, of_Y, X, k)
    if loss != "softmax" and k == 1 and rng.random() < 0.7:
        Y = Y[:, 0]
    s = row_weights(rng, of_weights, n)
    kind = rng.integers(4)
    l1, l2 = (float(10 ** rng.uniform(-8, 1)) for _ in range(2))
    l1, l2 = l1 * (kind in (1, 3)), l2 * (kind in (2, 3))
    bias, order = bool(rng.random() < 0.7), str(rng.choice(["C", "F"]))
    X, Y = np.array(X, dtype, order=order), np.array(Y, dtype)
    s = None if s is None else s.astype(dtype)
    given = {"huber": gdcore.losses.huber, "quantile": gdcore.losses.quantile}
    parameter = {"huber": float(rng.choice([0.1, 1.0, 1.35])), "quantile": float(rng.choice([0.1, 0.5, 0.9, 0.99]))}.get(loss)
    chosen = given[loss](parameter) if loss in given else gdcore.losses.LOSSES[loss]()
    # A softmax without a model has as many outputs as Y has classes: the model says that there are k.
    by_default = bias and loss != "softmax" and rng.random() < 0.7
    outputs = (k,) if loss == "softmax" else Y.shape[1:]
    model = None
    if not by_default:
        model = gdcore.Linear(np.zeros((d, *outputs), dtype), np.zeros(outputs, dtype) if bias else None)
    words = (
        f"{loss}{'' if parameter is None else f'({parameter:g})'} n={n} d={d} k={k} X={of_X} Y={of_Y} weights={of_weights} "
        f"{np.dtype(dtype).name} {order} bias={bias} l1={l1:.3g} l2={l2:.3g}"
    )
    return Case(number, X, Y, model, chosen, l1, l2, s, words)


def columns(rng: Any, kind: str, n: int, d: int) -> Any:
    X = rng.normal(size=(n, d))
    last, first = d - 1, int(rng.integers(max(d - 1, 1)))
    if kind == "integers":
        X = rng.integers(-5, 6, (n, d)).astype(float)
    elif kind == "duplicate":
        X[:, last] = X[:, first]
    elif kind == "summed":
        X[:, last] = X[:, :last].sum(axis=1)
    elif kind == "near":
        X[:, last] = X[:, first] + 10 ** rng.uniform(-7, -3) * rng.normal(size=n)
    elif kind == "constant":
        X[:, last] = rng.normal() * 10
    elif kind == "scaled":
        X *= 10 ** rng.uniform(-4, 4, d)
    elif kind == "offset":
        X += 10 ** rng.uniform(1, 5)
    elif kind == "binary":
        X = (X > 0.5).astype(float)
    elif kind == "heavy":
        X = rng.standard_t(1.5, (n, d))
    elif kind == "repeated":
        X = X[rng.integers(0, max(n // 3, 1), n)]
    return X


def targets(rng: Any, kind: str, X: Any, k: int) -> Any:
    n, d = X.shape
    spread = X.std(axis=0) + (X.std(axis=0) == 0)
    signal = (X - X.mean(axis=0)) / spread @ rng.normal(size=(d, k)) + rng.normal(size=k)
    noise = rng.normal(size=(n, k))
    share = rng.choice([0.0, 0.3, 1.0])
    made = {
        "noise": share * signal + noise,
        "exact": signal,
        "rounded": np.round(signal + 0.3 * noise),
        "heavy": share * signal + rng.standard_t(1, (n, k)),
        "large": 1e5 * (share * signal + noise),
        "tiny": 1e-5 * (share * signal + noise),
        "constant": np.tile(rng.normal(size=k) * 10, (n, 1)),
        "zero": np.zeros((n, k)),
    }
    return made[kind]


def classes(rng: Any, kind: str, X: Any, k: int, loss: str) -> Any:
    """0 and 1 (n, k), or for softmax labels (n,)."""
    n = len(X)
    raw = targets(rng, "exact", X, k) + {"exact": 0.0, "noise": 1e9}.get(kind, 1.0) * rng.logistic(size=(n, k))
    if loss == "softmax":
        labels = raw.argmax(axis=1)
        if kind == "one":
            labels[:] = rng.integers(k)
        elif kind == "rare":
            labels[:] = np.arange(n) == rng.integers(n)
        return labels
    if kind == "one":
        return np.tile(rng.integers(2, size=k), (n, 1))
    if kind == "rare":
        return np.tile(np.arange(n) == rng.integers(n), (k, 1)).T
    return raw > 0


def row_weights(rng: Any, kind: str, n: int) -> Any:
    made = {
        "none": None,
        "uniform": rng.uniform(0.1, 2, n),
        "zeros": rng.uniform(0.1, 2, n) * (rng.random(n) < 0.6),
        "integers": rng.integers(1, 5, n),
        "decades": 10 ** rng.uniform(-6, 6, n),
    }
    if kind == "zeros" and not made[kind].any():
        made[kind][rng.integers(n)] = 1.0
    return made[kind]


# ----------------------------------------------------------------------------------------------------------------- the verdict


class Verdict(NamedTuple):
    number: int
    words: str
    loss: str
    faults: dict[str, str]
    """Name of each fault → the figures."""
    status: str
    proved: bool
    """Whether the run has a gap."""
    fitting: float
    judging: float


def judged(number: int) -> Verdict:
    made = case(number)
    faults: dict[str, str] = {}
    began = time.process_time()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            run = gdcore.fit(
                made.X, made.Y, made.model, made.loss, l1=made.l1, l2=made.l2, sample_weight=made.sample_weight
            )  # fmt: skip
            gap, status = run.gap, run.status
        except Exception as error:
            text = f"{type(error).__name__}: {str(error)[:150]}"
            seconds = time.process_time() - began
            return Verdict(number, made.words, made.loss.name, {"exception": text}, "exception", False, seconds, 0.0)
    fitted = time.process_time()
    told = [str(warning.message) for warning in caught if warning.category.__module__.startswith("gdcore")]
    stray = [str(warning.message) for warning in caught if not warning.category.__module__.startswith("gdcore")]
    if stray:
        faults["stray warning"] = stray[0][:150]
    if status != "converged" and not told:
        faults["silent"] = f"status {status} after {run.epochs} epochs"
    judge(made, run, gap, told, faults)
    ended = time.process_time()
    return Verdict(
        number, made.words, made.loss.name, faults, status, gap is not None, fitted - began, ended - fitted
    )  # fmt: skip


def judge(made: Case, run: Any, gap: float | None, told: list[str], faults: dict[str, str]) -> None:
    problem, eps = made.problem, float(np.finfo(made.X.dtype).eps)
    point = problem.point(run.model.weights, run.model.bias)
    value = problem.objective(point)
    if not np.isfinite(value):
        faults["exception"] = f"status {run.status}, but the objective of the model is {value}"
        return
    zeros = problem.objective(problem.zeros)
    allowed = problem.rounding(problem.zeros, eps) + min(problem.rounding(point, eps), LD(eps) ** 0.5 * zeros)
    if value > zeros + allowed:
        faults["worse than zeros"] = f"objective {value:.9g}, at zeros {zeros:.9g}, status {run.status}"
    endless = no_minimum(problem)
    if endless and run.status == "converged" and not any("separat" in text.lower() for text in told):
        faults["false converged"] = f"objective {value:.9g}, which has no least value, and no warning says so"
    best = lowest(problem, [point, *improved(problem, [point], 8 if endless else STEPS)])
    found = convicted(problem, run, gap, point, best, endless, eps)
    if not found and not endless:
        # Going on from the answer convicts of nothing: other starts might.
        best = minimise(problem, best)
        found = convicted(problem, run, gap, point, best, endless, eps)
    faults |= found


def convicted(
    problem: Problem, run: Any, gap: float | None, point: Point, best: Point, endless: bool, eps: float
) -> dict[str, str]:
    """What the best point found says of the run."""
    found = {}
    value, low, constant = problem.objective(point), problem.objective(best), problem.constant()
    excess, rounding, scale = value - low, problem.rounding(best, eps), max(low, constant - low)
    if run.status == "converged" and not endless and excess > TOLERANCE * scale + rounding:
        share = excess / scale if scale else np.inf
        found["false converged"] = (
            f"objective {value:.9g}, best {low:.9g}, excess {excess:.3g} = {share:.3g} of the scale, "
            f"rounding {rounding:.2g}, gap {gap}"
        )
    if gap is not None:
        allowed = problem.rounding(point, eps) + problem.rounding(best, float(np.finfo(float).eps))
        if problem.loss in ("logistic", "softmax"):
            allowed += eps * problem.p @ np.abs(problem.raw(point) - problem.raw(best)).sum(axis=1)
        if not excess <= gap * (1 + 1e-6) + allowed:
            found["false gap"] = (
                f"gap {gap:.6g}, true at least {excess:.6g}, rounding {allowed:.2g}, objective {value:.9g}, best {low:.9g}, "
                f"status {run.status}"
            )
    return found


# ----------------------------------------------------------------------------------------------------------------- the command


def numbers(cases: int, seed: int, loss: str | None) -> list[int]:
    """Of so many cases, those of the loss if one is wanted."""
    every = itertools.count(seed * PER_SEED)
    if loss is not None:
        every = (number for number in every if LOSSES[drawn(number)] == loss)
    return list(itertools.islice(every, cases))


def drawn(number: int) -> int:
    """The place of a case's loss in LOSSES, which is drawn first."""
    return int(np.random.default_rng(divmod(number, PER_SEED)).integers(len(LOSSES)))


def judge_all(these: list[int], jobs: int = 1) -> list[Verdict]:
    if jobs == 1:
        return [judged(number) for number in these]
    with multiprocessing.Pool(jobs) as pool:
        return pool.map(judged, these, chunksize=20)


def report(verdicts: list[Verdict], examples: int = 5) -> str:
    lines = []
    for fault in FAULTS:
        guilty = [verdict for verdict in verdicts if fault in verdict.faults]
        by_loss = collections.Counter(verdict.loss for verdict in guilty)
        counts = ", ".join(f"{loss} {count}" for loss, count in by_loss.most_common())
        lines.append(f"{fault}: {len(guilty)}{f' ({counts})' if counts else ''}")
        lines += [
            f"    --only {verdict.number}  # {verdict.words}: {verdict.faults[fault]}" for verdict in guilty[:examples]
        ]  # fmt: skip
    out = ran_out(verdicts)
    by_loss = collections.Counter(verdict.loss for verdict in out)
    lines.append(f"ran out: {len(out)} of {len(verdicts)}, {len(out) / max(len(verdicts), 1):.2%} {dict(by_loss)}")
    lines += [f"    --only {verdict.number}  # {verdict.words}: {verdict.status}" for verdict in out[:examples]]
    proved = collections.Counter(verdict.loss for verdict in verdicts if verdict.proved)
    every = collections.Counter(verdict.loss for verdict in verdicts)
    lines.append("with a gap: " + ", ".join(f"{loss} {proved[loss]} of {every[loss]}" for loss in LOSSES if every[loss]))
    slowest = max(verdicts, key=lambda verdict: verdict.fitting)
    lines.append(
        f"seconds of CPU: {sum(verdict.fitting for verdict in verdicts):.1f} fitting, "
        f"{sum(verdict.judging for verdict in verdicts):.1f} judging; the slowest fit {slowest.fitting:.2f} "
        f"(--only {slowest.number})"
    )
    return "\n".join(lines)


def ran_out(verdicts: list[Verdict]) -> list[Verdict]:
    return [verdict for verdict in verdicts if verdict.status not in ("converged", "exception")]


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Judge gdcore on random small problems.")
    parser.add_argument("--cases", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--loss", choices=LOSSES)
    parser.add_argument("--only", type=int, metavar="NUMBER", help="judge one case")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--examples", type=int, default=5, help="how many cases of each fault are printed")
    args = parser.parse_args(words)
    these = [args.only] if args.only is not None else numbers(args.cases, args.seed, args.loss)
    verdicts = judge_all(these, args.jobs)
    print(report(verdicts, args.examples))
    faulty = any(set(verdict.faults) & set(FAULTS) for verdict in verdicts)
    return int(faulty or (len(verdicts) > 1 and len(ran_out(verdicts)) >= ALLOWED * len(verdicts)))


if __name__ == "__main__":
    sys.exit(main())
