"""scikit-learn estimators: `gdcore.fit` for people who have pipelines, cross-validation and grid search.

`fit` hands X, y and weights, checked in scikit-learn's words, to `gdcore.fit`, without a copy but for early stopping; what it
returns is kept under scikit-learn's names. `partial_fit` solves mse from moments that are added up, and else makes steps in
the columns' spreads. `GDRegressorCV` and `GDClassifierCV` choose their penalty by `gdcore.path`. ``import gdcore`` does not
import this package, which alone needs scikit-learn.
"""

try:
    from gdcore.estimators.chosen import GDClassifierCV, GDRegressorCV
    from gdcore.estimators.classifier import GDClassifier
    from gdcore.estimators.descent import Learned
    from gdcore.estimators.regressor import GDRegressor
except ImportError as error:
    if not (error.name or "").startswith("sklearn"):
        raise
    raise ImportError(f"gdcore.estimators needs scikit-learn 1.6 or newer: pip install 'gdcore[sklearn]' ({error})") from error

__all__ = ["GDClassifier", "GDClassifierCV", "GDRegressor", "GDRegressorCV", "Learned"]

for _kind in (GDRegressor, GDClassifier, GDRegressorCV, GDClassifierCV):
    _kind.__module__ = __name__  # where people import it from, and pickles too
