"""Estimators in files: what comes back predicts the same bits and has the same parameters, and no pickle is in it."""

import json

import numpy as np
import pytest

import gdcore
from gdcore import cli, container, losses
from gdcore.store import files

pytest.importorskip("sklearn")
from sklearn.linear_model import LogisticRegression

from gdcore.estimators import GDClassifier, GDRegressor

RNG = np.random.default_rng(8)
X = RNG.normal(size=(50, 3))
Y = X @ [1.0, -2.0, 0.5] + RNG.normal(size=50)
TWO = np.where(Y > 0, "yes", "no")
THREE = np.digitize(Y, [-1.0, 1.0])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "estimator.safetensors"


def there_and_back(estimator, path):
    gdcore.save(estimator, path)
    again = gdcore.load(path)
    assert type(again) is type(estimator)
    assert again.get_params() == estimator.get_params()
    assert again.n_features_in_ == estimator.n_features_in_
    assert (again.n_iter_, again.status_) == (estimator.n_iter_, estimator.status_)
    for name in gdcore.History.NAMES:
        np.testing.assert_array_equal(again.history_[name], estimator.history_[name])
    for name in ("coef_", "intercept_"):
        one, other = getattr(again, name), getattr(estimator, name)
        assert (one.shape, one.dtype, one.tobytes(), type(one)) == (other.shape, other.dtype, other.tobytes(), type(other))
    return again


REGRESSORS = {
    "default": ({}, X, Y),
    "float32": ({"l2": 0.1}, X.astype("f"), Y.astype("f")),
    "two targets": ({"l1": 0.01}, X, np.c_[Y, -Y]),
    "one column of targets": ({}, X, Y[:, None]),
    "no bias": ({"bias": False}, X, Y),
    "a loss by its parameter": ({"loss": "quantile", "tau": 0.9}, X, Y),
    "a loss by its spelling": ({"loss": "huber:2.0"}, X, Y),
    "a loss": ({"loss": losses.huber(0.1 + 0.2)}, X, Y),
    "an optimizer": (
        {"optimizer": gdcore.Adam(betas=(0.8, 0.99)), "lr": 0.01, "epochs": 3, "batch_size": 10, "random_state": 1},
        X,
        Y,
    ),
    "an optimizer by name": ({"optimizer": "sgd", "lr": 0.01, "epochs": 3, "random_state": 7}, X, Y),
    "numbers of NumPy": ({"l2": np.float64(0.1), "epochs": np.int64(50), "tol": np.float32(0.1)}, X, Y),
}


@pytest.mark.parametrize("name", REGRESSORS)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_regressor_predicts_the_same_bits(name, path):
    parameters, rows, targets = REGRESSORS[name]
    estimator = GDRegressor(**parameters).fit(rows, targets)
    again = there_and_back(estimator, path)
    assert again.predict(rows).tobytes() == estimator.predict(rows).tobytes()
    np.testing.assert_allclose(again.predict(rows), rows @ again.coef_.T + again.intercept_, rtol=1e-4)
    assert not hasattr(again, "feature_names_in_")
    # It can be fitted again, by the same parameters.
    assert again.fit(rows, targets).coef_.tobytes() == estimator.coef_.tobytes()


@pytest.mark.parametrize(
    "labels",
    [
        TWO, THREE, THREE.astype(np.int8), THREE.astype(float), Y > 0, TWO.astype(object), TWO.astype("<U40"),
        np.where(Y > 0, "größer", "weniger\n,\"'"), -1 - THREE,
    ],
    ids=lambda labels: f"{labels.dtype}, {len(set(labels.tolist()))}",
)  # fmt: skip
def test_a_classifier_predicts_the_same_bits_and_labels(labels, path):
    estimator = GDClassifier(l2=0.1, class_weight="balanced").fit(X, labels)
    again = there_and_back(estimator, path)
    assert again.classes_.dtype == estimator.classes_.dtype
    np.testing.assert_array_equal(again.classes_, estimator.classes_)
    for method in ("predict", "decision_function", "predict_proba", "predict_log_proba"):
        one, other = getattr(again, method)(X), getattr(estimator, method)(X)
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("weights", [{"yes": 2.0, "no": 1}, {np.str_("yes"): np.float64(3.0), np.str_("no"): 1.0}], ids=str)
def test_weights_of_classes_come_back(weights, path):
    again = there_and_back(GDClassifier(l2=0.1, class_weight=weights).fit(X, TWO), path)
    assert again.class_weight == weights
    assert list(map(type, again.class_weight)) == [str, str]
    numbered = there_and_back(GDClassifier(l2=0.1, class_weight={0: 1.0, 1: 2.0, 2: 3.0}).fit(X, THREE), path)
    assert numbered.class_weight == {0: 1.0, 1: 2.0, 2: 3.0}


@pytest.mark.parametrize("package", ["pandas", "polars"])
def test_the_names_of_a_frames_columns_come_back(package, path):
    frame = pytest.importorskip(package).DataFrame({"a": X[:, 0], "b c": X[:, 1], "größe": X[:, 2]})
    estimator = GDClassifier(l2=0.1).fit(frame, TWO)
    again = there_and_back(estimator, path)
    assert again.feature_names_in_.dtype == estimator.feature_names_in_.dtype
    assert again.feature_names_in_.tolist() == ["a", "b c", "größe"]
    np.testing.assert_array_equal(again.predict_proba(frame), estimator.predict_proba(frame))
    with pytest.raises(ValueError, match="feature names"):
        again.predict(frame[["b c", "a", "größe"]])


def test_partial_fit_goes_on_where_it_was(path):
    chunks = [slice(0, 20), slice(20, 50)]
    first = GDRegressor(l2=0.1).partial_fit(X[:20], Y[:20])
    again = there_and_back(first, path).partial_fit(X[20:], Y[20:])
    np.testing.assert_array_equal(again.coef_, first.partial_fit(X[20:], Y[20:]).coef_)
    np.testing.assert_allclose(again.coef_, GDRegressor(l2=0.1).fit(X, Y).coef_, rtol=1e-8)
    classifier = GDClassifier(random_state=0)
    for chunk in chunks:
        classifier.partial_fit(X[chunk], TWO[chunk], classes=["no", "yes"])
    again = there_and_back(classifier, path)
    assert again.learned().arrays["columns.numbers"].tolist()[0] == 50
    np.testing.assert_allclose(again.learned().arrays["columns.mean"], X.mean(axis=0), rtol=1e-12)
    again.partial_fit(X, TWO)


def test_what_is_found_from_the_rows_is_not_in_a_file(path):
    again = there_and_back(GDRegressor().fit(X, Y), path)
    for name in ("gap_", "spectrum_"):
        with pytest.raises(
            AttributeError, match="is found from the rows of a fit with the same loss, and does not go into a file"
        ):
            getattr(again, name)
    with pytest.raises(AttributeError, match="GDRegressor has no moments: it is found from the rows"):
        again.partial_fit(X, Y)


class Mine(losses.Mse):
    """A loss that is not registered."""


TO_SAVE = "the Run of one, a GDRegressor or a GDClassifier, found"
WITHOUT_SEED = np.random.RandomState(0)


@pytest.mark.parametrize(
    ("make", "kind", "said"),
    [
        (lambda: GDRegressor(), ValueError, "this estimator cannot be saved: This GDRegressor instance is not fitted yet"),
        (
            lambda: GDRegressor(callbacks=[print]).fit(X, Y),
            ValueError,
            r"its parameter callbacks .*set_params\(callbacks=None\)",
        ),
        (lambda: GDRegressor(random_state=WITHOUT_SEED).fit(X, Y), ValueError, "its parameter random_state does not go into"),
        (
            lambda: GDRegressor(Mine(), backend="reference").fit(X, Y),
            ValueError,
            "its parameter loss does not go into",
        ),
        (lambda: LogisticRegression().fit(X, TWO), TypeError, f"{TO_SAVE} LogisticRegression"),
        (lambda: type("Own", (GDRegressor,), {})().fit(X, Y), TypeError, f"{TO_SAVE} Own"),
        (lambda: 3, TypeError, f"{TO_SAVE} int"),
    ],
)
def test_what_would_not_come_back_is_not_saved(make, kind, said, path):
    with pytest.raises(kind, match=said):
        gdcore.save(make(), path)
    assert not path.exists()


# ---------------------------------------------------------------------------------------------- files that are not so


def changed(path, arrays=None, drop=(), **meta):
    """The file with other arrays and metadata under a checksum that is right; None drops a name."""
    own, told = container.read(container.MODEL, path)
    own = {name: array for name, array in (own | (arrays or {})).items() if name not in drop}
    told = {name: text for name, text in (told | meta).items() if name not in container.COMMON and text is not None}
    path.write_bytes(container.pack(container.MODEL, own, told))


def learned(**changes):
    told = {"n_iter": 2, "status": "converged", "n_features_in": 3, "classes": {"dtype": "<U3", "values": ["no", "yes"]}}
    return json.dumps({name: value for name, value in (told | changes).items() if value is not None})


WRONG = {
    "another kind": ({"kind": "GDForest"}, "it has no known kind"),
    "a regressor with classes": ({"kind": "GDRegressor"}, "parameter|argument|classes"),
    "no parameters": ({"parameters": None}, "name missing or too many"),
    "a name too many": ({"more": "x"}, "name missing or too many"),
    "an unknown parameter": ({"parameters": '{"l3": 1}'}, "l3"),
    "parameters that are a list": ({"parameters": "[1]"}, "must be a dict"),
    "an unknown tag": ({"parameters": '{"optimizer": {"pickle": "x"}}'}, "pickle"),
    "two tags": ({"parameters": '{"optimizer": {"optimizer": ["sgd", {}], "loss": "mse"}}'}, "holds no estimator"),
    "an unknown optimizer": ({"parameters": '{"optimizer": {"optimizer": ["os.system", {}]}}'}, "found 'os.system'"),
    "an optimizer with a bad parameter": ({"parameters": '{"optimizer": {"optimizer": ["sgd", {"x": 1}]}}'}, "x"),
    "a list for a number": ({"parameters": '{"l2": [1]}'}, "neither a number nor a text"),
    "NaN": ({"parameters": '{"l2": NaN}'}, "not finite"),
    "one class": ({"learned": learned(classes={"dtype": "<U3", "values": ["no"]})}, "labels"),
    "the same class twice": ({"learned": learned(classes={"dtype": "<U3", "values": ["no", "no"]})}, "labels"),
    "labels cut off": ({"learned": learned(classes={"dtype": "<U1", "values": ["no", "yes"]})}, "labels"),
    "huge labels": ({"learned": learned(classes={"dtype": "<U90000000", "values": ["no", "yes"]})}, "labels have dtype"),
    "labels that are dates": ({"learned": learned(classes={"dtype": "<M8[D]", "values": [1, 2]})}, "labels have dtype"),
    "three classes": ({"learned": learned(classes={"dtype": "<U3", "values": ["a", "b", "c"]})}, "coef_ has shape"),
    "no classes": ({"learned": learned(classes=None)}, "a GDClassifier has no classes|classes"),
    "other columns": ({"learned": learned(n_features_in=4)}, "coef_ has shape"),
    "half a column": ({"learned": learned(n_features_in=3.5)}, "must be a whole number"),
    "names too few": ({"learned": learned(feature_names_in=["a"])}, "1 names for 3 columns"),
    "names that are numbers": ({"learned": learned(feature_names_in=[1, 2, 3])}, "must be a list of strings"),
    "an unknown status": ({"learned": learned(status="fine")}, "status"),
    "no coef_": ({"drop": ("coef_",)}, "coef_"),
    "coef_ with NaN": ({"arrays": {"coef_": np.full((1, 3), np.nan)}}, "nan"),
    "coef_ of integers": ({"arrays": {"coef_": np.ones((1, 3), np.int64)}}, "coef_ has dtype int64"),
    "intercept_ of another form": ({"arrays": {"intercept_": np.ones(2)}}, "intercept_"),
    "an array too many": ({"arrays": {"more": np.ones(2)}}, "too many: more"),
    "no history": ({"drop": ("history.loss",)}, "history"),
    "history of another length": ({"arrays": {"history.loss": np.ones(99)}}, "history"),
    "moments in part": ({"arrays": {"moments.mean": np.ones(4)}}, "moments"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_files_that_hold_no_estimator_are_refused(name, path):
    how, said = WRONG[name]
    gdcore.save(GDClassifier(l2=0.1).fit(X, TWO), path)
    gdcore.load(path)
    changed(path, **how)
    with pytest.raises(files.FileError, match=rf"(?s)cannot be loaded: .*({said})"):
        gdcore.load(path)


def test_a_damaged_file_is_refused(path):
    gdcore.save(GDRegressor().fit(X, Y), path)
    data = path.read_bytes()
    for at in np.linspace(0, len(data) - 1, 60).astype(int):
        path.write_bytes(data[:at] + bytes([data[at] ^ 8]) + data[at + 1 :])
        with pytest.raises(files.FileError):
            gdcore.load(path)
    assert b"pickle" not in data


def test_the_command_line_tells_what_the_file_is(path, capsys, tmp_path):
    gdcore.save(GDClassifier(l2=0.1).fit(X, TWO), path)
    assert cli.main(["inspect", str(path)]) == 0
    told = capsys.readouterr().out
    assert "GDClassifier, an estimator that was saved from Python: gdcore.load(path).predict(X) predicts" in told
    assert "no, yes" in told
    assert cli.main(["inspect", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["card"] == {"labels": ["no", "yes"]}
    (tmp_path / "t.csv").write_text("a,b,c\n1,2,3\n")
    assert cli.main(["predict", str(path), str(tmp_path / "t.csv"), "--out", str(tmp_path / "p.csv")]) == 2
    assert "it was saved from Python, where model.predict(X) predicts" in capsys.readouterr().err
