"""gdcore's answers to 1,000 random small problems are true, and what judges them is able to see that one is not."""

from types import SimpleNamespace

import differential
import numpy as np
import pytest
from reference_solver import LD, Problem, minimise, no_minimum
from sklearn.linear_model import ElasticNet, LogisticRegression, QuantileRegressor

import gdcore

CASES = 1000


@pytest.fixture(scope="module")
def verdicts():
    return differential.judge_all(differential.numbers(CASES, seed=0, loss=None))


@pytest.mark.parametrize("fault", differential.FAULTS)
def test_no_case_has_the_fault(verdicts, fault):
    guilty = [verdict for verdict in verdicts if fault in verdict.faults]
    told = [f"python tests/differential.py --only {verdict.number}: {verdict.faults[fault]}" for verdict in guilty]
    assert not guilty, f"{fault} in {len(guilty)} of {CASES}:\n" + "\n".join(told[:10])


def test_few_run_out(verdicts):
    out = differential.ran_out(verdicts)
    assert len(out) < differential.ALLOWED * CASES, f"{len(out)} of {CASES}, like {[v.number for v in out[:10]]}"


def test_a_float32_run_tells_the_loss_of_the_weights_that_it_gives():
    """Weights of 72 that cancel to 4e-6 have lost in float32 what made them better than zeros: the run says so."""
    made = differential.case(77)
    with pytest.warns(gdcore.ConditionWarning):
        run = gdcore.fit(made.X, made.Y, made.model, made.loss)
    problem = made.problem
    exact = problem.objective(problem.point(run.model.weights, run.model.bias))
    assert run.loss == pytest.approx(float(exact), rel=1e-6)
    assert exact <= problem.objective(problem.zeros) * (1 + LD(np.finfo(np.float32).eps))


# What judges --------------------------------------------------------------------------------------------------------------


def problem(loss, parameter=0.0, l1=0.0, l2=0.0, bias=True, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(40, 3)) * [1, 100, 0.01] + [0, 5, 0]
    raw = X @ [1, 0.02, -50] + rng.normal(size=40)
    Y = {"logistic": raw > 0, "softmax": np.digitize(raw, [-0.5, 0.5])}.get(loss, raw)
    return Problem.of(X, Y, None, loss, parameter, l1, l2, bias, 3 if loss == "softmax" else 1)


def best(problem):
    point = minimise(problem, problem.zeros)
    return problem.objective(point), *point


def test_least_squares():
    p = problem("mse")
    A = np.column_stack([p.X, np.ones(40)]).astype(float)
    value, W, b = best(p)
    right = np.linalg.lstsq(A, p.Y[:, 0].astype(float))[0]
    np.testing.assert_allclose(np.append(W[:, 0], b).astype(float), right, rtol=1e-10)
    assert value == p.objective((W, b))


def test_lasso_and_elastic_net():
    for l1, l2 in ((0.1, 0.0), (0.1, 0.3), (50.0, 1.0)):
        p = problem("mse", l1=l1, l2=l2)
        alpha = (l1 + l2) / 2
        peer = ElasticNet(alpha=alpha, l1_ratio=l1 / 2 / alpha, tol=1e-14, max_iter=10**6)
        peer.fit(p.X.astype(float), p.Y[:, 0].astype(float))
        theirs = p.objective(p.point(peer.coef_, peer.intercept_))
        assert best(p)[0] <= theirs * (1 + LD(1e-15))
        assert float(best(p)[0]) == pytest.approx(float(theirs), rel=1e-9)


@pytest.mark.parametrize("tau", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("l1", [0.0, 0.01])
def test_quantiles(tau, l1):
    p = problem("quantile", tau, l1=l1)
    peer = QuantileRegressor(quantile=tau, alpha=l1).fit(p.X.astype(float), p.Y[:, 0].astype(float))
    theirs = p.objective(p.point(peer.coef_, peer.intercept_))
    assert float(best(p)[0]) == pytest.approx(float(theirs), rel=1e-9)


@pytest.mark.parametrize("loss, parameter", [("mae", 0.0), ("quantile", 0.9), ("huber", 1.35), ("huber", 0.01)])
@pytest.mark.parametrize("l1", [0.0, 0.02])
def test_real_losses_with_l2(loss, parameter, l1):
    """No step to any side is lower: the objectives are convex."""
    p = problem(loss, parameter, l1=l1, l2=0.01)
    value, W, b = best(p)
    rng = np.random.default_rng(1)
    for size in 10.0 ** np.arange(-6, 1):
        for _ in range(50):
            step = size * rng.normal(size=4) / np.append(np.abs(p.X).max(axis=0).astype(float), 1)
            assert p.objective((W + step[:3, None], b + step[3:])) >= value * (1 - LD(1e-15))


@pytest.mark.parametrize("loss", ["logistic", "softmax"])
def test_classifiers(loss):
    p = problem(loss, l2=0.01)
    peer = LogisticRegression(C=1 / (0.01 * 40), tol=1e-12, max_iter=10**5, solver="newton-cg")
    peer.fit(p.X.astype(float), p.Y[:, 0].astype(int))
    theirs = p.objective(p.point(peer.coef_.T, peer.intercept_))
    assert float(best(p)[0]) == pytest.approx(float(theirs), rel=1e-9)


def test_separation_is_seen():
    x = np.array([[-3.0], [-2], [-1], [1], [2], [3]])
    for Y, separated in (([0, 0, 0, 1, 1, 1], True), ([0, 0, 1, 0, 1, 1], False), ([1, 1, 1, 1, 1, 1], True)):
        assert no_minimum(Problem.of(x, Y, None, "logistic", 0.0, 0.0, 0.0, True, 1)) == separated
        assert no_minimum(Problem.of(x, Y, None, "softmax", 0.0, 0.0, 0.0, True, 2)) == separated
    # A penalty ends it, but for the bias of a class without rows.
    assert not no_minimum(Problem.of(x, [0, 0, 0, 1, 1, 1], None, "logistic", 0.0, 0.0, 1e-8, True, 1))
    assert no_minimum(Problem.of(x, [1] * 6, None, "logistic", 0.0, 0.0, 1e-8, True, 1))
    assert not no_minimum(Problem.of(x, [1] * 6, None, "logistic", 0.0, 0.0, 1e-8, False, 1))
    assert no_minimum(Problem.of(x, [0, 0, 2, 2, 0, 2], None, "softmax", 0.0, 0.0, 1e-8, True, 3))
    # A row of weight 0 does not count.
    assert no_minimum(Problem.of(x, [0, 0, 1, 1, 1, 0], [1, 1, 1, 1, 1, 0], "logistic", 0.0, 0.0, 0.0, True, 1))


@pytest.mark.parametrize("loss", differential.LOSSES)
def test_a_wrong_answer_is_convicted(loss):
    """One whose weights are off, or that says that it is proved, or runs away; and the right one is not."""
    p = problem(loss, {"huber": 1.0, "quantile": 0.9}.get(loss, 0.0), l1=0.001, l2=0.001)
    W, b = minimise(p, p.zeros)
    known = gdcore.losses.LOSSES[loss]
    chosen = known(p.parameter) if p.parameter else known()
    X, Y = p.X.astype(float), p.Y[:, 0].astype(float)
    made = differential.Case(0, X, Y, None, chosen, 0.001, 0.001, None, "")
    for factor, gap, expected in (
        (1.0, 0.0, set()),
        (1.0, None, set()),
        (1.2, None, {"false converged"}),
        (1.2, 1e-9, {"false converged", "false gap"}),
        (1e3, None, {"false converged", "worse than zeros"}),
    ):
        weights = (factor * W).astype(float)
        faults = {}
        model = SimpleNamespace(weights=weights if p.k > 1 else weights[:, 0], bias=b.astype(float))
        differential.judge(made, SimpleNamespace(model=model, status="converged"), gap, [], faults)
        assert set(faults) == expected, (factor, gap, faults)


def test_a_case_is_made_from_its_number():
    first, second = (differential.case(12345) for _ in range(2))
    assert first.words == second.words
    assert first.X.tobytes() == second.X.tobytes()
    assert differential.LOSSES[differential.drawn(12345)] == first.loss.name
    assert (
        differential.numbers(5, 3, "mae")
        == [n for n in range(3 * 10**9, 3 * 10**9 + 200) if differential.case(n).loss.name == "mae"][:5]
    )
