"""How a problem is descended, as a table: what it is and what is asked for → solver, lr, metric, method, why; or a refusal."""

import re
from dataclasses import dataclass

import numpy as np
import pytest

import gdcore
from gdcore import losses
from gdcore.descent.options import Options
from gdcore.descent.plan import choose, plan
from gdcore.descent.problem import Problem
from gdcore.run import Method
from gdcore.solvers import SOLVERS

FLOAT64 = np.dtype(np.float64)
STEEPEST, KINKS = 4.0, 0.03


@dataclass(frozen=True)
class Facts:
    """What a plan asks of a problem; of a pass it knows nothing."""

    loss_function: losses.Loss
    n: int = 1000
    d: int = 5
    outputs: int = 1
    dtype: np.dtype = FLOAT64
    l1: float = 0.0
    l2: float = 0.0
    has_bounds: bool = False
    linear: bool = True
    in_pieces: bool = False
    condition: float = 10.0
    trusted: bool = True
    worst_condition: float = 1e15
    steepest: float = STEEPEST
    lr_of_kinks: float = KINKS

    @property
    def squared(self):
        return self.linear and self.loss_function.name == "mse"

    @property
    def hessian_serves(self):
        k = self.outputs if self.loss_function.name == "softmax" else 1
        return self.d <= 2048 and k * (self.d + 1) <= 2049

    def batch_lr(self, batch_size):
        return batch_size / 100


def options(**changes):
    """Those of `fit` where nothing is said."""
    given = {
        "lr": "auto", "loss": "mse", "optimizer": None, "batch_size": None, "l1": 0.0, "l2": 0.0, "sample_weight": None,
        "validation": None, "schedule": None, "precondition": "auto", "method": "auto", "tol": None, "patience": None,
        "shuffle": True, "seed": 0, "callback": None, "decimals": None, "backend": "kernel", "n_threads": None,
        "progress": False,
    }  # fmt: skip
    return Options(**given | changes)


FACTS = {
    "has_bounds",
    "n",
    "d",
    "outputs",
    "dtype",
    "l2",
    "linear",
    "in_pieces",
    "condition",
    "trusted",
    "worst_condition",
    "steepest",
}


def planned(epochs=1000, kept=None, **what):
    facts = {name: what.pop(name) for name in FACTS & set(what)}
    chosen = options(**what).checked()
    return plan(Facts(losses.get(chosen.loss), l1=chosen.l1, **facts), chosen, epochs, kept=kept)


def network(**what):
    return {"linear": False, **what}


def watch(epoch):
    """A callback."""


def halves(epoch):
    return 0.5


LARGE = {"n": 10**6, "d": 10, "epochs": 10_000, "lr": 0.1}
ROWS = (np.zeros((3, 5)), np.zeros(3))
NOT_MSE, WIDE = "the loss is not mse", "X has more than 2,048 columns"
SOLVED, FEW = "few epochs on the second moments solve it", "few epochs are enough"
NEEDED, LEAST = "every epoch is needed as it is", "it costs least"
COSTS = r"the scaled condition 1e\+06 costs digits that gradients from the rows bring back"
DOUBT = r"the Gram matrix's condition, 1e\+15, is past what float64 carries"
FORMULA = "10,000 epochs by formula cost 10,8.. times less than one by one"
MOMENTS = "10,000 epochs cost 9,5.. times less than over 1,000,000 rows"

# What it is → solver, lr, metric, method, why.
PLANS = [
    # lr="auto", nothing else said
    ({}, ("nesterov", None, "gram", "gram", SOLVED)),
    ({"condition": 1e5}, ("nesterov", None, "gram", "gram", SOLVED)),
    ({"condition": 1e6}, ("nesterov", None, "gram", "stream", COSTS)),
    ({"l2": 0.1, "outputs": 3}, ("nesterov", None, "gram", "gram", SOLVED)),
    ({"l1": 0.1}, ("newton", None, "gram", "gram", SOLVED)),
    ({"l1": 0.1, "condition": 1e6}, ("newton", None, "gram", "stream", COSTS)),
    ({"loss": "huber"}, ("newton", None, "gram", "stream", NOT_MSE)),
    ({"loss": "mae"}, ("newton", None, "gram", "stream", NOT_MSE)),
    ({"loss": "quantile"}, ("newton", None, "gram", "stream", NOT_MSE)),
    ({"loss": "logistic", "l2": 1.0}, ("newton", None, "gram", "stream", NOT_MSE)),
    ({"loss": "softmax", "outputs": 10, "d": 203}, ("newton", None, "gram", "stream", NOT_MSE)),
    ({"loss": "softmax", "outputs": 10, "d": 204}, ("nesterov", None, "gram", "stream", NOT_MSE)),
    ({"loss": "logistic", "d": 2048}, ("newton", None, "gram", "stream", NOT_MSE)),
    ({"loss": "logistic", "d": 2049}, ("nesterov", None, "diagonal", "stream", NOT_MSE)),
    ({"loss": "mae", "d": 2049}, ("nesterov", None, "diagonal", "stream", NOT_MSE)),
    ({"d": 2048}, ("nesterov", None, "gram", "gram", SOLVED)),
    ({"d": 2049}, ("nesterov", None, "diagonal", "stream", WIDE)),
    ({"d": 2049, "l1": 0.1}, ("nesterov", None, "diagonal", "stream", WIDE)),
    ({"in_pieces": True, "loss": "logistic"}, ("newton", None, "gram", "stream", NOT_MSE)),
    # … but how
    ({"precondition": "gram"}, ("nesterov", None, "gram", "gram", SOLVED)),
    ({"precondition": "gram", "loss": "logistic"}, ("newton", None, "gram", "stream", NOT_MSE)),
    ({"precondition": "diagonal"}, ("nesterov", None, "diagonal", "stream", FEW)),
    ({"precondition": "diagonal", "loss": "mae"}, ("nesterov", None, "diagonal", "stream", NOT_MSE)),
    ({"precondition": None}, ("nesterov", None, None, "stream", FEW)),
    ({"precondition": None, "loss": "logistic"}, ("nesterov", None, None, "stream", NOT_MSE)),
    ({"optimizer": "newton"}, ("newton", None, "gram", "gram", SOLVED)),
    ({"optimizer": "nesterov", "loss": "mae"}, ("nesterov", None, "gram", "stream", NOT_MSE)),
    ({"optimizer": "sgd"}, ("stream", 1 / STEEPEST, None, "stream", LEAST)),
    ({"optimizer": "sgd", "steepest": 0.0}, ("stream", 1.0, None, "stream", LEAST)),
    ({"optimizer": "sgd", "precondition": "diagonal"}, ("nesterov", None, "diagonal", "stream", FEW)),
    ({"optimizer": "sgd", "loss": "mae"}, ("stream", KINKS, None, "stream", NOT_MSE)),
    ({"optimizer": "adam"}, ("stream", 0.001, None, "stream", LEAST)),
    ({"optimizer": "adagrad", "loss": "mae"}, ("stream", 0.01, None, "stream", NOT_MSE)),
    ({"decimals": 3}, ("stream", 1 / STEEPEST, None, "stream", NEEDED)),
    ({"batch_size": 10}, ("batches", 0.1, None, "stream", "it goes in batches")),
    ({"batch_size": 10, "loss": "logistic"}, ("batches", 0.1, None, "stream", NOT_MSE)),
    ({"batch_size": 10, "loss": "mae"}, ("batches", KINKS, None, "stream", NOT_MSE)),
    ({"batch_size": 10, "optimizer": "adamw"}, ("batches", 0.001, None, "stream", "it goes in batches")),
    ({"batch_size": 1000}, ("nesterov", None, "gram", "gram", SOLVED)),
    ({**LARGE, "lr": "auto", "optimizer": "sgd"}, ("closed", 1 / STEEPEST, None, "exact", FORMULA)),
    # a number for lr
    ({"lr": 0.1}, ("stream", 0.1, None, "stream", LEAST)),
    ({"lr": 0.1, "loss": "huber"}, ("stream", 0.1, None, "stream", NOT_MSE)),
    ({"lr": 0.1, "batch_size": 10}, ("batches", 0.1, None, "stream", "it goes in batches")),
    ({"lr": 0.1, "optimizer": "nesterov"}, ("nesterov", 0.1, None, "stream", FEW)),
    ({"lr": 1.0, "precondition": "gram"}, ("nesterov", 1.0, "gram", "gram", SOLVED)),
    ({"lr": 1.0, "precondition": "diagonal", "loss": "mae"}, ("nesterov", 1.0, "diagonal", "stream", NOT_MSE)),
    (LARGE, ("closed", 0.1, None, "exact", FORMULA)),
    ({**LARGE, "optimizer": gdcore.SGD(0.9)}, ("closed", 0.1, None, "exact", FORMULA)),
    ({**LARGE, "optimizer": "adam"}, ("stream", 0.1, None, "gram", MOMENTS)),
    ({**LARGE, "l1": 0.1}, ("stream", 0.1, None, "gram", MOMENTS)),
    ({**LARGE, "schedule": halves}, ("stream", 0.1, None, "gram", MOMENTS)),
    ({**LARGE, "tol": 1e-3}, ("stream", 0.1, None, "gram", MOMENTS)),
    ({**LARGE, "validation": ROWS}, ("stream", 0.1, None, "gram", MOMENTS)),
    ({**LARGE, "keep_weights": True}, ("stream", 0.1, None, "gram", MOMENTS)),
    ({**LARGE, "callback": watch}, ("stream", 0.1, None, "stream", NEEDED)),
    ({**LARGE, "decimals": 3}, ("stream", 0.1, None, "stream", NEEDED)),
    ({**LARGE, "trusted": False}, ("stream", 0.1, None, "stream", DOUBT)),
    ({**LARGE, "d": 2049}, ("stream", 0.1, None, "stream", WIDE)),
    ({**LARGE, "epochs": 2}, ("stream", 0.1, None, "stream", LEAST)),
    # a method that is asked for
    ({**LARGE, "method": "stream"}, ("stream", 0.1, None, "stream", "as asked")),
    ({"method": "stream"}, ("nesterov", None, "gram", "stream", "as asked")),
    ({"lr": 0.1, "method": "gram"}, ("stream", 0.1, None, "gram", "epochs of 5² multiply-adds instead of 1,000 · 5")),
    ({"lr": 0.1, "method": "exact"}, ("closed", 0.1, None, "exact", "1,000 epochs by formula")),
    ({"lr": 0.1, "kept": Method("gram", "as before")}, ("stream", 0.1, None, "gram", "as before")),
    ({"lr": 0.1, "kept": Method("exact", "as before")}, ("closed", 0.1, None, "exact", "as before")),
    # networks
    (network(), ("backtracking", None, None, "stream", "it is a network")),
    (network(optimizer=gdcore.SGD(0.9)), ("stream", None, None, "stream", "it is a network")),
    (network(optimizer="adam"), ("stream", 0.001, None, "stream", "it is a network")),
    (network(batch_size=10), ("batches", None, None, "stream", "it is a network")),
    (network(batch_size=10, optimizer="rmsprop"), ("batches", 0.01, None, "stream", "it is a network")),
    (network(decimals=3), ("stream", None, None, "stream", "it is a network")),
    (network(lr=0.1, loss="logistic"), ("stream", 0.1, None, "stream", "it is a network")),
]


def named(what):
    told = {key: getattr(value, "__name__", "rows" if value is ROWS else value) for key, value in what.items()}
    return ", ".join(f"{key}={value}" for key, value in told.items()) or "nothing"


@pytest.mark.parametrize("what, wanted", PLANS, ids=[named(what) for what, _ in PLANS])
def test_plans(what, wanted):
    found = planned(**what)
    solver, lr, metric, method, why = wanted
    assert (found.solver, found.lr, found.metric, found.method[:]) == (solver, lr, metric, method)
    assert re.fullmatch(why, found.why), found.why


def test_the_table_has_every_solver_and_every_solver_a_class():
    assert {wanted[0] for _, wanted in PLANS} == set(SOLVERS)


BY_NEWTON = "optimizer='newton' is for lr='auto', linear models of up to 2,048 columns"
BY_NESTEROV = "optimizer='nesterov' is for linear models, all rows at once, and no decimals"
IN_A_METRIC = "precondition='.*' is for linear models, all rows at once, no decimals, and the optimizers"
NO_BOUND = "has no curvature bound: optimizer='nesterov' needs precondition='gram' or precondition='diagonal'"
EXACT, GRAM = "method='exact' is not for this: ", "method='gram' is not for this: "
REFUSALS = [
    ({"optimizer": "newton", "lr": 0.1}, BY_NEWTON),
    ({"optimizer": "newton", "batch_size": 10}, BY_NEWTON),
    ({"optimizer": "newton", "decimals": 3}, BY_NEWTON),
    ({"optimizer": "newton", "precondition": None}, BY_NEWTON),
    ({"optimizer": "newton", "precondition": "diagonal"}, BY_NEWTON),
    ({"optimizer": "newton", "d": 2049}, BY_NEWTON),
    (network(optimizer="newton"), BY_NEWTON),
    ({"optimizer": "nesterov", "batch_size": 10}, BY_NESTEROV),
    ({"optimizer": "nesterov", "decimals": 3}, BY_NESTEROV),
    (network(optimizer="nesterov", lr=0.1), BY_NESTEROV),
    ({"precondition": "gram", "optimizer": "adam"}, IN_A_METRIC),
    ({"precondition": "gram", "optimizer": gdcore.SGD(0.9)}, IN_A_METRIC),
    ({"precondition": "diagonal", "batch_size": 10}, IN_A_METRIC),
    ({"precondition": "diagonal", "decimals": 3}, IN_A_METRIC),
    (network(precondition="gram", lr=0.1), IN_A_METRIC),
    ({"loss": "mae", "optimizer": "nesterov", "lr": 0.1}, f"mae {NO_BOUND}"),
    ({"loss": "quantile", "precondition": None}, f"quantile {NO_BOUND}"),
    (network(method="exact", lr=0.1), f"{EXACT}it is a network"),
    ({"method": "exact", "lr": 0.1, "loss": "huber"}, EXACT + NOT_MSE),
    ({"method": "exact", "lr": 0.1, "batch_size": 10}, f"{EXACT}it goes in batches"),
    ({"method": "exact", "lr": 0.1, "d": 2049}, EXACT + WIDE),
    ({"method": "exact", "lr": 0.1, "decimals": 3}, f"{EXACT}gradients are rounded"),
    ({"method": "exact", "lr": 0.1, "l1": 0.1}, f"{EXACT}there is an l1 penalty"),
    ({"method": "exact", "lr": 0.1, "optimizer": "adam"}, f"{EXACT}the optimizer is not SGD"),
    ({"method": "exact", "lr": 0.1, "schedule": halves}, f"{EXACT}the learning rate changes"),
    ({"method": "exact"}, f"{EXACT}the optimizer is not SGD"),
    ({"method": "exact", "lr": 0.1, "tol": 1e-3}, f"{EXACT}tol is watched"),
    ({"method": "exact", "lr": 0.1, "callback": watch}, f"{EXACT}every epoch is watched"),
    ({"method": "exact", "lr": 0.1, "verbose": True}, f"{EXACT}every epoch is watched"),
    ({"method": "exact", "lr": 0.1, "trusted": False}, EXACT + DOUBT),
    (network(method="gram", lr=0.1), f"{GRAM}it is a network"),
    ({"method": "gram", "loss": "huber"}, GRAM + NOT_MSE),
    ({"method": "gram", "lr": 0.1, "batch_size": 10}, f"{GRAM}it goes in batches"),
    ({"method": "gram", "d": 2049}, GRAM + WIDE),
    ({"method": "gram", "lr": 0.1, "trusted": False}, GRAM + DOUBT),
    (network(schedule=halves), "schedule is a factor on a learning rate, and with lr='auto' a network's is found by trying"),
    ({"batch_size": 1001}, "batch_size must be between 1 and 1000, found 1001"),
]


@pytest.mark.parametrize("what, message", REFUSALS, ids=[named(what) for what, _ in REFUSALS])
def test_refusals(what, message):
    with pytest.raises(ValueError, match=message):
        planned(**what)


@pytest.mark.parametrize(
    "what, tol",
    [
        ({}, 1e-10),
        ({"dtype": np.dtype(np.float32)}, 1e-6),
        ({"loss": "mae"}, 1e-8),
        ({"loss": "mae", "d": 2049}, 1e-4),
        ({"loss": "logistic"}, 1e-10),
        ({"batch_size": 10}, None),
        ({"lr": 0.1}, None),
        ({"lr": 0.1, "tol": 1e-3}, 1e-3),
        (network(), 1e-10),
        (network(loss="mae"), 1e-10),
    ],
    ids=lambda what: named(what) if isinstance(what, dict) else None,
)
def test_tol_where_none_is_given(what, tol):
    assert planned(**what).tol == tol


def test_rates_follow_a_schedule():
    assert planned(lr=0.1, schedule=halves).rates(3, 2) == [0.05, 0.05]
    assert planned(lr=0.1).rates(3, 2) == 0.1
    # Of a solver that has its own learning rate they are factors; of slopes that jump they decrease as 1/√t.
    assert planned(schedule=halves).rates(0, 1) == [0.5]
    assert planned(optimizer="sgd", loss="mae").rates(0, 4) == [KINKS / np.sqrt(t + 1) for t in range(4)]
    with pytest.raises(ValueError, match=r"lr · schedule\(2\) must be finite and not negative, found -0.1"):
        planned(lr=0.1, schedule=lambda epoch: 1.0 if epoch < 2 else -1.0).rates(0, 3)


def test_what_is_chosen_before_any_pass_asks_for_none():
    class Sizes(Facts):
        condition = trusted = worst_condition = steepest = lr_of_kinks = property(lambda self: 1 / 0)

        def __init__(self, loss):
            object.__setattr__(self, "loss_function", losses.get(loss))

    for loss in losses.LOSSES:
        assert choose(Sizes(loss), options(loss=loss).checked()).preconditioned


@pytest.mark.parametrize("loss", ["mse", "mae", "huber", "logistic"])
@pytest.mark.parametrize("how", [{}, {"lr": 0.1}, {"batch_size": 7}, {"precondition": "diagonal"}], ids=str)
def test_a_problem_is_planned_as_its_facts_are(loss, how):
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(40, 5)), (rng.normal(size=40) > 0).astype(float)
    chosen = options(loss=loss, **how).checked()
    problem = Problem.of(X, Y, None, chosen)
    found, wanted = plan(problem, chosen, 1000), planned(n=40, loss=loss, **how)
    assert (found.solver, found.metric, found.method[:], found.why) == (
        wanted.solver, wanted.metric, wanted.method[:], wanted.why,
    )  # fmt: skip
