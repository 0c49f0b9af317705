"""`GDRegressorCV` and `GDClassifierCV`: scikit-learn's checks, and that they are `gdcore.path` under its names."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import KFold, StratifiedKFold, TimeSeriesSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import gdcore
from gdcore.estimators import GDClassifierCV, GDRegressorCV

CHECKS = parametrize_with_checks(
    [GDRegressorCV(penalties=10), GDRegressorCV(l1_ratio=0.0, penalties=10), GDClassifierCV(penalties=5, cv=3)]
)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(CHECKS.args[0], list(CHECKS.args[1]), **CHECKS.kwargs)
def test_scikit_learns_checks(estimator, check):
    if "array_api" in str(check):
        return  # it needs an environment variable that scipy reads when it is imported
    check(estimator)


def numbers(n=150, d=4):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d)) * np.geomspace(0.1, 10, d)
    return X, X[:, 0] * 10 + rng.standard_normal(n)


def labels(classes=2):
    X, y = numbers()
    return X, np.array(["a", "b", "c"])[np.digitize(y, [0.0, 1.0][: classes - 1])]


def test_a_regressor_is_the_path_under_scikit_learns_names():
    X, y = numbers()
    s = np.random.default_rng(1).uniform(0.5, 2, len(y))
    for choice in ("best", "one_standard_error"):
        model = GDRegressorCV(l1_ratio=0.7, choice=choice, random_state=np.random.RandomState(3)).fit(X, y, s)
        seed = int(np.random.RandomState(3).randint(2**31 - 1))
        path = gdcore.path(X, y, l1_ratio=0.7, cv=5, sample_weight=s, seed=seed)
        i = path.place(choice)
        np.testing.assert_array_equal(model.coef_, path.weights[i])
        assert model.intercept_ == path.bias[i]
        assert (model.l1_, model.l2_, model.l1_ratio_) == (path.penalties[i] * 0.7, path.penalties[i] * (1 - 0.7), 0.7)
        np.testing.assert_array_equal(model.path_.cv_loss, path.cv_loss)
        np.testing.assert_allclose(model.predict(X), path.model(i).predict(X), rtol=1e-13)
        assert 0 < model.gap_ < 1e-10


def test_of_several_ratios_the_best_is_taken():
    X, y = numbers()
    model = GDRegressorCV(l1_ratio=[0.0, 0.5, 1.0]).fit(X, y)
    losses = {ratio: gdcore.path(X, y, l1_ratio=ratio, cv=5, seed=_seed()).cv_loss.min() for ratio in (0.0, 0.5, 1.0)}
    assert model.l1_ratio_ == min(losses, key=losses.get)
    assert model.path_.cv_loss.min() == min(losses.values())


def _seed():
    return int(np.random.RandomState(0).randint(2**31 - 1))


@pytest.mark.parametrize("classes", [2, 3])
def test_a_classifier_is_the_path_of_its_codes(classes):
    X, y = labels(classes)
    model = GDClassifierCV(l1_ratio=1.0, penalties=8, cv=3).fit(X, y)
    codes = np.searchsorted(model.classes_, y).astype(float)
    loss = "logistic" if classes == 2 else "softmax"
    path = gdcore.path(X, codes, loss, penalties=8, cv=3, seed=_seed())
    weights = path.weights[path.best]
    np.testing.assert_array_equal(model.coef_, weights[None] if classes == 2 else weights.T)
    assert model.predict_proba(X).shape == (150, classes)
    assert model.score(X, y) > np.bincount(codes.astype(int)).max() / 150
    balanced = GDClassifierCV(penalties=8, cv=3, class_weight="balanced").fit(X, y)
    s = 1 / np.bincount(codes.astype(int))[codes.astype(int)]
    other = GDClassifierCV(penalties=8, cv=3).fit(X, y, s)
    np.testing.assert_allclose(balanced.coef_, other.coef_, rtol=1e-6, atol=1e-9)


def test_folds_of_scikit_learns_splitters_are_taken():
    X, y = numbers()
    model = GDRegressorCV(cv=KFold(3)).fit(X, y)
    np.testing.assert_array_equal(model.path_.cv_loss, gdcore.path(X, y, folds=np.arange(150) // 50).cv_loss)
    splits = list(KFold(3).split(X))
    np.testing.assert_array_equal(GDRegressorCV(cv=splits).fit(X, y).coef_, model.coef_)
    names = labels()
    assert GDClassifierCV(cv=StratifiedKFold(3), penalties=5).fit(*names).path_.fold_loss.shape == (3, 5)
    with pytest.raises(ValueError, match="each row in one of them, found row 0 in none"):
        GDRegressorCV(cv=TimeSeriesSplit(3)).fit(X, y)
    with pytest.raises(ValueError, match="each row in one of them, found row 0 in two"):
        GDRegressorCV(cv=[*splits, splits[0]]).fit(X, y)


def test_they_are_cloned_pickled_and_piped_and_learn_no_chunks():
    X, y = numbers()
    model = GDRegressorCV("huber:2.0", [0.5, 1.0], 3, penalties=6)
    assert clone(model).get_params() == model.get_params()
    assert set(model.get_params()) == {
        "loss", "l1_ratio", "cv", "penalties", "choice", "standardize", "random_state", "n_threads",
    }  # fmt: skip
    fitted = make_pipeline(StandardScaler(), model).fit(X, y)
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict(X), fitted.predict(X))
    assert again[-1].path_.best == model.path_.best
    assert not hasattr(model, "partial_fit")
    with pytest.raises(TypeError, match=r"found GDRegressorCV: its path_\.model\(\) is a gdcore\.Linear"):
        gdcore.save(fitted[-1], "model.safetensors")
    counts = np.random.default_rng(0).poisson(np.exp(X[:, 0])).astype(float)
    poisson = GDRegressorCV("poisson", penalties=6, cv=3).fit(X, counts)
    np.testing.assert_allclose(poisson.predict(X), np.exp(X @ poisson.coef_ + poisson.intercept_), rtol=1e-12)


@pytest.mark.parametrize(
    ("made", "told"),
    [
        ({"cv": 200}, "cv=200 folds want as many rows, but X has n_samples = 150"),
        ({"choice": "worst"}, "choice must be 'best' or 'one_standard_error', found 'worst'"),
        ({"l1_ratio": []}, "l1_ratio must be a number or a list of some"),
        ({"l1_ratio": 2.0}, "l1_ratio must be between 0 and 1"),
        ({"loss": "logistic"}, "is for classes, which GDClassifier learns"),
        ({"loss": "mae"}, "loss must be one with a second derivative"),
    ],
)
def test_what_cannot_be_is_told(made, told):
    with pytest.raises(ValueError, match=told):
        GDRegressorCV(**made).fit(*numbers())
