"""scikit-learn's own checks, every one of them, for both estimators and both backends."""

import pytest

pytest.importorskip("sklearn")

from sklearn.utils.estimator_checks import parametrize_with_checks

from gdcore.backends import BACKENDS
from gdcore.estimators import GDClassifier, GDRegressor

CHECKS = parametrize_with_checks([make(backend=name) for make in (GDRegressor, GDClassifier) for name in sorted(BACKENDS)])


@pytest.mark.filterwarnings("ignore::UserWarning")  # some checks have more columns than rows, or separable classes
@pytest.mark.parametrize(CHECKS.args[0], list(CHECKS.args[1]), **CHECKS.kwargs)  # a list: scikit-learn 1.6 makes a generator
def test_scikit_learns_checks(estimator, check):
    if "array_api" in str(check):
        return  # it needs an environment variable that scipy reads when it is imported: see below
    check(estimator)


def test_none_is_skipped_and_none_expected_to_fail(python):
    program = """
import warnings

warnings.filterwarnings("ignore", category=UserWarning)  # some checks have more columns than rows, or separable classes

from sklearn.utils.estimator_checks import check_estimator
from gdcore.estimators import GDClassifier, GDRegressor

for make in (GDRegressor, GDClassifier):
    for backend in ("kernel", "reference"):
        results = check_estimator(make(backend=backend), on_fail="raise", on_skip=None)
        print(*{result["status"] for result in results})
"""
    result = python(program, SCIPY_ARRAY_API="1", PYTHONWARNINGS="error")
    assert result.stdout.split() == ["passed"] * 4, result.stderr
