"""``run.gap`` is never below the truth, in 60 digits; and what judges it is able to see that one is."""

from types import SimpleNamespace

import differential
import numpy as np
import proofs
import pytest

import gdcore

CASES = 60


@pytest.fixture(scope="module")
def verdicts():
    return differential.judge_all(differential.numbers(CASES, seed=1, loss=None), judge=proofs.judged)


@pytest.mark.parametrize("fault", proofs.FAULTS)
def test_no_case_has_the_fault(verdicts, fault):
    guilty = [verdict for verdict in verdicts if fault in verdict.faults]
    told = [f"python tests/proofs.py --only {verdict.number}: {verdict.faults[fault]}" for verdict in guilty]
    assert not guilty, f"{fault} in {len(guilty)} of {CASES}:\n" + "\n".join(told[:10])


# What judges --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", differential.LOSSES)
def test_60_digits_and_long_double_agree(loss):
    for number in differential.numbers(5, 2, loss):
        problem = proofs.case(number)[0].problem
        point = problem.point(np.full(problem.zeros[0].shape, 0.37), np.full(problem.k, -0.21))
        value = proofs.objective(problem, point)
        assert abs(value - proofs.digits(problem.objective(point))) <= 1e-16 * value + float(problem.rounding(point, 1e-19))


@pytest.mark.parametrize("loss", differential.LOSSES)
def test_a_false_gap_is_convicted(loss, monkeypatch):
    """A run that ends where it starts, and is said to be proved within half of the true gap; by the whole it is not."""
    number = next(n for n in differential.numbers(100, 4, loss) if "from=random" in proofs.case(n)[0].words)
    made = proofs.case(number)[0]
    gap = None

    def fit(X, Y, model, loss, **options):
        run = SimpleNamespace(model=made.model, gap=gap)
        run.loss = float(made.problem.objective(made.problem.point(made.model.weights, made.model.bias)))
        return run

    monkeypatch.setattr(gdcore, "fit", fit)
    unproved = proofs.judged(number)
    assert not unproved.faults
    assert unproved.true > 0
    gap = unproved.true
    assert not proofs.judged(number).faults
    gap = unproved.true / 2
    assert set(proofs.judged(number).faults) == {"false gap"}
