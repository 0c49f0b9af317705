"""Where a descent stands: a state goes into arrays and back, shares nothing with its copies, goes from solver to solver."""

import os
import runpy
import warnings
from pathlib import Path

import numpy as np
import pytest
from test_plan import options

import gdcore
from gdcore.descent.course import EPOCH, LOSS, Advance, Course, Span, piece
from gdcore.descent.objective import Evaluation
from gdcore.descent.plan import plan
from gdcore.descent.problem import Problem
from gdcore.descent.proof import gap_at
from gdcore.descent.state import Rate, State
from gdcore.descent.stop import Stop
from gdcore.facts.metric import Metric
from gdcore.run import History
from gdcore.solvers import SOLVERS
from gdcore.solvers.closed import Origin
from gdcore.solvers.nesterov import Momentum
from gdcore.solvers.parts import Numbers

RNG = np.random.default_rng(5)
X = RNG.normal(size=(60, 3))
Y = X @ [1.0, -2.0, 0.5] + 0.3 + RNG.normal(size=60) / 3
OWN = {
    "rate": Rate(0.25),
    "momentum": Momentum(3.0, 0.5),
    "numbers": Numbers(*np.arange(16.0).reshape(8, 2)),
    "origin": Origin(np.arange(7.0), 12, np.ones((4, 1)), np.full((4, 1), 2.0)),
    "no origin": Origin(np.zeros(0), 0, np.zeros((4, 1)), np.zeros((4, 1))),
}


def state_of(own):
    state = State(np.ones((3, 2)), np.zeros(2), np.full((1, 8), 4.0), own, np.array([7]))
    state.compare(5, 0.125)
    state.quick, state.judged, state.waited = 0.5, (1e-3, True), 3
    return state


@pytest.mark.parametrize("name", OWN)
def test_arrays_make_the_state_again(name):
    state = state_of(OWN[name])
    fresh = State(np.zeros((3, 2)), np.zeros(2), np.zeros((1, 8)), type(OWN[name])(*blank(OWN[name])))
    again = fresh.from_arrays(state.to_arrays(), state.numbers())
    assert again.numbers() == state.numbers()
    arrays, wanted = again.to_arrays(), state.to_arrays()
    assert {key: array.tobytes() for key, array in arrays.items()} == {key: array.tobytes() for key, array in wanted.items()}
    assert (again.best.loss, again.judged, again.waited, int(again.steps[0])) == (0.125, (1e-3, True), 3, 7)


def blank(own):
    if isinstance(own, Numbers):
        return np.zeros((8, 2))
    return (np.zeros(0), 0, np.zeros((4, 1)), np.zeros((4, 1))) if isinstance(own, Origin) else ()


@pytest.mark.parametrize("name", OWN)
def test_a_copy_shares_nothing_that_changes(name):
    state = state_of(OWN[name].copy())
    before = {key: array.copy() for key, array in state.to_arrays().items()}
    copy = state.copy()
    copy.weights += 1
    copy.bias += 1
    copy.memory += 1
    copy.steps += 1
    if isinstance(copy.own, Numbers):
        copy.own.gain += 1
    elif isinstance(copy.own, Momentum):
        copy.own.k += 1
    elif isinstance(copy.own, Rate):
        copy.own.lr += 1
    copy.compare(6, 0.0)
    after = state.to_arrays()
    assert {key: array.tobytes() for key, array in after.items()} == {key: array.tobytes() for key, array in before.items()}
    assert state.best.loss == 0.125


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda a: a.update(weights=np.zeros((2, 2))), r"weights has shape \(2, 2\) and dtype float64, not \(3, 2\)"),
        (lambda a: a.update(memory=np.zeros((1, 8), np.float32)), "memory has shape .* float32"),
        (lambda a: a.update(more=np.zeros(1)), "its arrays are"),
        (lambda a: a.update({"best.bias": np.array([np.nan, 0.0])}), r"best.bias\[0\] is nan"),
    ],
)
def test_other_arrays_make_none(change, message):
    state = state_of(Rate(0.25))
    arrays = state.to_arrays()
    change(arrays)
    with pytest.raises(ValueError, match=message):
        state.from_arrays(arrays, state.numbers())
    with pytest.raises(ValueError, match="the epochs that it has waited are -1"):
        state.from_arrays(state.to_arrays(), [0.5, 0.125, -1.0, np.nan, 0.0])


# From solver to solver -------------------------------------------------------------------------------------------------------


def begun(**how):
    """A solver of a plan, a state and what a pass tells there."""
    chosen = options(**how).checked()
    labels = (Y > 0).astype(float) if chosen.loss.name == "logistic" else Y
    problem = Problem.of(X, labels, None, chosen)
    planned = plan(problem, chosen, 100)
    solver = SOLVERS[planned.solver](problem, planned, Stop(problem, planned))
    dtype = np.float64
    weights, bias = problem.model.parameters(dtype)
    slots = planned.optimizer.slots
    memory = np.zeros((slots, 4)) if slots else None
    return problem, planned, solver, *solver.begin(State(weights, bias, memory, solver.fresh()), 0)


@pytest.mark.parametrize(
    "how",
    [
        {"lr": 0.1},
        {"lr": 0.1, "optimizer": gdcore.SGD(0.9)},
        {"lr": 0.1, "method": "gram"},
        {"lr": 0.1, "method": "exact"},
        {"lr": 0.1, "batch_size": 7},
        {"precondition": "diagonal"},
        {"loss": "logistic"},
        {"loss": "mae"},
    ],
    ids=str,
)
def test_an_advance_leaves_the_state_that_it_was_given(how):
    _, _, solver, state, found = begun(**how)
    before = {name: array.copy() for name, array in state.to_arrays().items()}
    gradient = found.gradient.copy()
    made = solver.advance(state, found, Span(0, 3, np.inf))
    assert made.piece.shape[1] in (1, 3)
    assert made.piece[EPOCH, 0] == 1
    assert not np.array_equal(made.state.weights, before["weights"])
    assert {name: array.tobytes() for name, array in state.to_arrays().items()} == {
        name: array.tobytes() for name, array in before.items()
    }
    assert found.gradient.tobytes() == gradient.tobytes()


def test_the_formula_goes_on_from_epochs_over_the_rows():
    """What the formula remembers of its start is not of weights that epochs over the rows have changed since."""
    run = gdcore.fit(X, Y, lr=0.01, epochs=10, method="exact")
    moved = run.resume(X, Y, epochs=5, method="stream", lr=0.2)
    found = moved.resume(X, Y, epochs=5, method="exact", lr=0.01)
    wanted = moved.resume(X, Y, epochs=5, method="stream", lr=0.01)
    np.testing.assert_allclose(found.model.weights, wanted.model.weights, rtol=1e-9)


def test_the_loss_of_a_tables_run_by_formula_is_that_of_its_last_epoch(tmp_path):
    pytest.importorskip("pyarrow")
    path = tmp_path / "t.csv"
    np.savetxt(path, np.c_[X, Y], delimiter=",", header="a,b,c,y", comments="")
    run = gdcore.fit(gdcore.open_table(path, "y"), lr=0.01, epochs=20, method="exact")
    assert run.loss == run.history.loss[-1] < run.history.loss[0]
    r = X @ run.model.weights + run.model.bias - Y
    assert run.loss == pytest.approx(np.mean(r**2), rel=1e-9)
    assert run.gradient_norm == run.history.gradient_norm[-1]


# When it has converged -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [{"l2": 0.1}, {"l1": 0.1}, {"loss": "logistic", "l2": 0.1}], ids=str)
def test_a_verdict_has_a_proof_that_holds(how):
    problem, planned, _, state, _ = begun(optimizer="nesterov", tol=1e-6, **how)
    run = gdcore.fit(problem.X, problem.Y[:, 0], **how)
    passes = problem.engine.loss_gradient
    stop, statuses = Stop(problem, planned), set()
    metric = Metric(problem.moments.of_columns(), problem.loss_function.curvature, problem.l2, True, "gram")
    for share in (0.0, 0.5, 0.9999, 1.0):
        state.weights, state.bias = share * run.model.weights[:, None], share * np.atleast_1d(run.model.bias)
        loss, *slopes = passes(problem.X, problem.Y, state.weights, state.bias, None, 1, **problem.objective.whole)
        norm = problem.engine.gradient_norm(state.weights, *slopes, problem.l1)
        state.quick = np.inf
        verdict = stop.judge(state, Evaluation(loss, norm, *slopes), metric)
        statuses.add(verdict.status)
        assert state.judged == (1e-6, verdict.status == "converged")
        if verdict.status == "converged":
            assert loss - run.loss <= verdict.proof + 1e-14
            assert gap_at(problem, state.weights, state.bias).value <= 1e-6 * loss + 1e-25
    assert statuses == {"epochs", "converged"}


# The course ------------------------------------------------------------------------------------------------------------------


def test_a_signal_leaves_whole_epochs():
    found = Evaluation(2.0, 1.0, np.zeros((3, 1)))
    course = Course(History.empty(), state_of(Rate()), found)
    first = piece(0.1, np.array([1, 2]))
    first[LOSS] = 1.5, 1.25
    course.take(Advance(state_of(Rate()), found._replace(loss=1.25), first))
    course.pieces.append(piece(0.1, np.array([3])))  # a signal has struck before it counted
    assert (course.epoch, course.done, len(course.history())) == (2, 2, 2)
    late = Advance(state_of(Rate()), found, piece(0.1, np.array([3])))
    late.piece[LOSS] = 0.5
    course.only_whole(late)
    course.only_whole(late)  # once is enough
    assert (course.epoch, len(course.pieces), course.now.found.loss) == (3, 2, 0.5)
    assert course.history().loss.tolist() == [1.5, 1.25, 0.5]


# Warnings --------------------------------------------------------------------------------------------------------------------


def test_a_warning_stands_at_the_callers_line_whatever_its_folder_is_called(tmp_path):
    folder = Path(gdcore.__file__).parent
    script = tmp_path / "script.py"
    script.write_text(
        "import gdcore\n\ngdcore.fit([[1.0], [2.0], [3.0]], [1.0, 2.0, 4.0], lr=9.0, epochs=1, on_divergence='keep')\n"
    )
    for name in (str(script), f"{folder}-tests{os.sep}script.py"):
        code = compile(script.read_text(), name, "exec")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            exec(code, {})
        assert [(warning.filename, warning.lineno) for warning in caught] == [(name, 3)]
    with pytest.warns(gdcore.LearningRateWarning) as caught:
        runpy.run_path(str(script))
    assert caught[0].filename == str(script)
