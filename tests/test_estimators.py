"""scikit-learn's own checks, every one of them, for both estimators and both backends.

One of them fits a classifier without a penalty to 15 rows of 30 columns, whose classes are separated: there are no best
weights then, and where they stop growing rounding decides. It is run with a little l2 instead.
"""

import pytest

pytest.importorskip("sklearn")

from sklearn.utils.estimator_checks import parametrize_with_checks

from gdcore.backends import BACKENDS
from gdcore.estimators import GDClassifier, GDRegressor

SEPARATED = "check_sample_weight_equivalence_on_dense_data"
CHECKS = parametrize_with_checks([make(backend=name) for make in (GDRegressor, GDClassifier) for name in sorted(BACKENDS)])


@pytest.mark.filterwarnings("ignore::UserWarning")  # some checks have more columns than rows, or separated classes
@pytest.mark.parametrize(CHECKS.args[0], list(CHECKS.args[1]), **CHECKS.kwargs)  # a list: scikit-learn 1.6 makes a generator
def test_scikit_learns_checks(estimator, check):
    if "array_api" in str(check):
        return  # it needs an environment variable that scipy reads when it is imported: see below
    if SEPARATED in str(check) and isinstance(estimator, GDClassifier):
        estimator.set_params(l2=1e-4)
    check(estimator)


def test_none_is_skipped_and_one_is_expected_to_fail(python):
    program = f"""
import warnings

warnings.filterwarnings("ignore", category=UserWarning)  # some checks have more columns than rows, or separated classes

from sklearn.utils.estimator_checks import check_estimator
from gdcore.estimators import GDClassifier, GDRegressor

for make, l2, expected in (
    (GDRegressor, 0.0, {{}}), (GDClassifier, 1e-4, {{}}), (GDClassifier, 0.0, {{"{SEPARATED}": "separated classes"}})
):
    for backend in ("kernel", "reference"):
        how = {{"on_fail": "raise", "on_skip": None, "expected_failed_checks": expected}}
        results = check_estimator(make(l2=l2, backend=backend), **how)
        print(*{{result["status"] for result in results if result["check_name"] not in expected}})
"""
    result = python(program, SCIPY_ARRAY_API="1", PYTHONWARNINGS="error", timeout=120)
    assert result.stdout.split() == ["passed"] * 6, result.stderr
