"""Rows in Dask train as the same rows in memory do, on any number of workers, whatever fails on the way."""

import contextlib
import gc
import inspect
import logging
import os
import signal
import sys
import threading
import time
import uuid
from pathlib import Path

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from distributed import Client, LocalCluster, futures_of, wait

import gdcore
import gdcore.distributed
from gdcore import MLP, Linear, fit
from gdcore.estimators import GDClassifier, GDRegressor
from gdcore.losses import LOSSES
from gdcore.rows.dask import cluster, scheduler

N, D, PARTS = 2500, 6, 5
COLUMNS = list("abcdef")


def data(name="mse", n=N):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, D)) * np.geomspace(0.1, 10, D) + 3
    z = (X - 3) @ rng.normal(size=D) + rng.standard_t(2, size=n)
    kind = LOSSES[name]().targets
    Y = {"real": z, "binary": (z > 0) * 1.0, "positive": 1 + np.digitize(z, [-5, 5]) * 1.0}.get(
        kind, np.digitize(z, [-5, 5]) * 1.0
    )
    return X, Y, rng.uniform(0, 2, n)


def in_dask(*arrays, parts=PARTS):
    """Arrays in partitions of different sizes."""
    n = len(arrays[0])
    ends = np.unique(np.rint(np.linspace(0, 1, parts + 1) ** 1.3 * n).astype(int))
    return [da.from_array(a, chunks=(tuple(int(s) for s in np.diff(ends)), *a.shape[1:])) for a in arrays]


def bits(run):
    return run.model.weights.tobytes(), np.asarray(run.model.bias).tobytes(), run.status, run.epochs, run.loss


def close(run, other, bound=1e-12):
    size = np.max(np.abs(other.model.weights))
    np.testing.assert_allclose(run.model.weights, other.model.weights, rtol=0, atol=bound * size)
    if other.model.bias is None:
        assert run.model.bias is None
    else:
        np.testing.assert_allclose(run.model.bias, other.model.bias, rtol=0, atol=bound * size)
    assert run.loss == pytest.approx(other.loss, rel=bound)
    assert run.status == other.status
    # Squared error goes on while rounding lets it, and Newton's steps, at an lr of 1, by rows that partitions choose.
    if other.method == "stream" and (other.history.lr != 1).all():
        assert run.epochs == other.epochs


@pytest.fixture
def here():
    """Dask's own scheduler, in this process."""
    with dask.config.set(scheduler="synchronous"):
        yield


@contextlib.contextmanager
def workers(count, threads_each):
    with (
        LocalCluster(
            n_workers=count, threads_per_worker=threads_each, processes=True, dashboard_address=":0",
            silence_logs=logging.CRITICAL,
        ) as scheduler,
        Client(scheduler, set_as_default=False) as client,
    ):  # fmt: skip
        yield client


@pytest.fixture(scope="module")
def two():
    """Two workers of one thread."""
    with workers(2, 1) as client:
        yield client


@pytest.fixture(scope="module")
def three():
    """Three workers of two threads."""
    with workers(3, 2) as client:
        yield client


def noted(block, folder):
    """A block, and a file that says that it was made."""
    (Path(folder) / uuid.uuid4().hex).touch()
    return block


def source(X, folder):
    """X, whose every reading leaves a file in a folder."""
    return X.map_blocks(noted, str(folder), dtype=X.dtype, meta=np.empty((0,) * X.ndim, X.dtype))


# ------------------------------------------------------------------------------------------- agreement with rows in memory


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("options", [{}, {"l2": 1e-3}, {"l1": 1e-3}], ids=str)
def test_it_agrees_with_the_local_fit(name, weighted, options):
    X, Y, s = data(name)
    dX, dY, ds = in_dask(X, Y, s)
    tol = 1e-8 if LOSSES[name]().kinked else 1e-10
    options = {"loss": name, **options}
    run = gdcore.distributed.fit(dX, dY, sample_weight=ds if weighted else None, **options)
    whole = fit(X, Y, sample_weight=s if weighted else None, **options)
    bound = 1e-12
    chosen = LOSSES[name]()
    if name == "logistic" or chosen.has_link:
        # Newton's steps end where little is left to gain, at 1e-12 of the loss. Weights that far from the best ones have
        # gradients that far from 0, times the Hessian's smallest eigenvalue.
        bent = chosen.second((X @ whole.model.weights + whole.model.bias)[:, None], Y[:, None])[:, 0]
        Z, r = np.column_stack([X, np.ones(N)]), s if weighted else np.ones(N)
        H = (Z.T * (r * bent / r.sum())) @ Z + options.get("l2", 0.0) * np.diag([1.0] * D + [0.0])
        away = (run.gradient_norm + whole.gradient_norm) / np.linalg.eigvalsh(H)[0]
        bound = max(bound, away / np.max(np.abs(whole.model.weights)))
        assert bound < (1e-5 if chosen.has_link else 1e-7)
    close(run, whole, bound)
    assert run.loss == pytest.approx(whole.loss, rel=1e-12)
    assert (run.status, whole.status) == ("converged", "converged")
    if name == "mse" and "l1" not in options:
        assert run.gap == pytest.approx(whole.gap, rel=1e-4, abs=1e-24)
    assert 0 <= run.gap <= tol * abs(run.loss)
    assert 0 <= whole.gap <= tol * abs(run.loss)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("name", sorted(set(LOSSES) - {"softmax"}))
def test_several_targets(name):
    X, Y, s = data(name)
    Y2 = np.stack([Y, Y[::-1]], axis=1)
    dX, dY, ds = in_dask(X, Y2, s)
    # Newton's method ends when 1e-21 of the loss is left to gain, which is 3e-11 of what weights measure, over √λmin.
    bound = 1e-9 if name == "logistic" or LOSSES[name]().has_link else 1e-12
    close(gdcore.distributed.fit(dX, dY, loss=name, sample_weight=ds), fit(X, Y2, loss=name, sample_weight=s), bound)
    start = Linear(np.full((D, 2), 0.1), None)
    close(gdcore.distributed.fit(dX, dY, start, name), fit(X, Y2, start, name), bound)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("options", [{}, {"optimizer": "adam", "l1": 0.01}, {"optimizer": gdcore.SGD(0.9)}], ids=str)
def test_the_textbooks_epochs(name, options):
    X, Y, s = data(name)
    dX, dY, ds = in_dask(X, Y, s)
    options = {"loss": name, "lr": 1e-4, "epochs": 5, "method": "stream", **options}
    close(gdcore.distributed.fit(dX, dY, sample_weight=ds, **options), fit(X, Y, sample_weight=s, **options))


@pytest.mark.usefixtures("here")
def test_float32_stays_float32():
    X, Y, _ = (a.astype(np.float32) for a in data("logistic"))
    run = gdcore.distributed.fit(*in_dask(X, Y), loss="logistic", l2=1e-3)
    whole = fit(X, Y, loss="logistic", l2=1e-3)
    assert run.model.weights.dtype == np.float32
    np.testing.assert_allclose(run.model.weights, whole.model.weights, rtol=0, atol=1e-5)


@pytest.mark.usefixtures("here")
def test_many_columns():
    rng = np.random.default_rng(0)
    X, w = rng.normal(size=(60, 2100)), rng.normal(size=2100)
    for name, Y in (("logistic", (X @ w > 0).astype(float)), ("mae", X @ w)):
        run = gdcore.distributed.fit(*in_dask(X, Y, parts=3), loss=name, epochs=5, l2=0.1)
        close(run, fit(X, Y, loss=name, epochs=5, l2=0.1), 1e-10)


@pytest.mark.usefixtures("here")
def test_nearly_dependent_columns():
    X, Y, _ = data("mse", 20_000)
    X[:, 1] = 2 * X[:, 0] - X[:, 2]
    assert X.size > 1 << 16  # so many that second moments are not refined from the rows
    with pytest.warns(gdcore.ConditionWarning, match="is a sum of") as warned:
        run, whole = gdcore.distributed.fit(*in_dask(X, Y)), fit(X, Y)
    assert len(warned) == 2
    np.testing.assert_allclose(run.model.predict(X), whole.model.predict(X), rtol=0, atol=1e-10)
    assert 0 <= run.gap < 1e-20


@pytest.mark.usefixtures("here")
def test_the_spectrum():
    X, _, s = data()
    for options in ({}, {"bias": False, "loss": "logistic", "l2": 0.1}):
        dX, ds = in_dask(X, s)
        found, wanted = (
            gdcore.distributed.spectrum(dX, sample_weight=ds, **options),
            gdcore.spectrum(X, sample_weight=s, **options),
        )
        np.testing.assert_allclose(found.eigenvalues, wanted.eigenvalues, rtol=1e-11)
    assert gdcore.spectrum(dX).largest == pytest.approx(gdcore.spectrum(X).largest, rel=1e-12)


def test_the_signature_is_that_of_fit():
    assert inspect.signature(gdcore.distributed.fit) == inspect.signature(fit)


# ------------------------------------------------------------------------------------------------- partitions of any kind


@pytest.mark.usefixtures("here")
def test_chunks_that_differ_are_brought_together():
    X, Y, s = data("logistic")
    dX, dY, ds = in_dask(X, Y, s)
    reference = bits(gdcore.distributed.fit(dX, dY, loss="logistic", sample_weight=ds))
    for x, y, weight in [
        (dX.rechunk({1: 2}), dY.rechunk(700), ds.rechunk(900)),
        (dX, Y, s),
        (dX, list(Y), pd.Series(s)),
        (dX, dY.astype(bool), ds.to_dask_dataframe()),
    ]:
        assert bits(gdcore.distributed.fit(x, y, loss="logistic", sample_weight=weight)) == reference


@pytest.mark.usefixtures("here")
def test_chunks_of_unknown_sizes():
    X, Y, s = data("huber")
    rest = X[:, 0] > 3
    dX, dY, ds = in_dask(X, Y, s)
    keep = da.from_array(rest, chunks=dY.chunks)
    unknown = dX[keep], dY[keep], ds[keep]
    assert np.isnan(unknown[0].chunks[0]).all()
    whole = fit(X[rest], Y[rest], loss="huber", sample_weight=s[rest])
    for y, weight in [unknown[1:], (Y[rest], s[rest]), (da.from_array(Y[rest], chunks=400), ds[keep])]:
        close(gdcore.distributed.fit(unknown[0], y, loss="huber", sample_weight=weight), whole)
    # X's sizes are known, those of Y and of the weights are not, and they are cut in another way
    close(
        gdcore.distributed.fit(da.from_array(X[rest], chunks=(400, D)), dY[keep], loss="huber", sample_weight=ds[keep]), whole
    )


def frames(X, Y, s, parts=4):
    whole = pd.DataFrame(X, columns=COLUMNS).assign(y=Y, s=s)
    return whole, dd.from_pandas(whole, npartitions=parts, sort=False)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("name", ["mse", "softmax"])
def test_data_frames(name):
    whole, lazy = frames(*data(name))
    run = gdcore.distributed.fit(lazy[COLUMNS], lazy.y, loss=name, sample_weight=lazy.s)
    close(run, fit(whole[COLUMNS], whole.y, loss=name, sample_weight=whole.s))
    some, rest = lazy[lazy.a > 3.05], whole[whole.a > 3.05]
    close(gdcore.distributed.fit(some[COLUMNS], some.y, loss=name), fit(rest[COLUMNS], rest.y, loss=name))
    # a series that is cut in another way, two targets, integers, pandas' own numbers
    close(
        gdcore.distributed.fit(lazy[COLUMNS], lazy.y.repartition(npartitions=3), loss=name),
        fit(whole[COLUMNS], whole.y, loss=name),
    )
    if name == "mse":
        close(gdcore.distributed.fit(lazy[COLUMNS], lazy[["y", "s"]]), fit(whole[COLUMNS], whole[["y", "s"]]))
    typed = lazy[COLUMNS].round().astype({"a": "int32", "b": "Int64", "c": "Float64"})
    with pytest.warns(gdcore.ConditionWarning, match="column (a|0) is constant") as warned:
        close(gdcore.distributed.fit(typed, lazy.y, loss=name), fit(whole[COLUMNS].round(), whole.y, loss=name))
    assert len(warned) == 2


@pytest.mark.usefixtures("here")
def test_partitions_without_rows_or_without_weight():
    X, Y, s = data("logistic")
    s[:900] = 0
    whole, lazy = frames(X, Y, s, 10)
    for name, target in (("logistic", "y"), ("mse", "b")):
        some, rest = lazy[lazy.s != 0], whole[whole.s != 0]
        assert (some.map_partitions(len).compute() == 0).any()
        close(
            gdcore.distributed.fit(some[COLUMNS[2:]], some[target], loss=name), fit(rest[COLUMNS[2:]], rest[target], loss=name)
        )
        run = gdcore.distributed.fit(lazy[COLUMNS[2:]], lazy[target], loss=name, sample_weight=lazy.s)
        close(run, fit(X[:, 2:], whole[target], loss=name, sample_weight=s))


@pytest.mark.usefixtures("here")
def test_what_is_read_how_often(tmp_path):
    counts = {}
    for name, options in {
        "mse": {}, "mse, epochs": {"lr": 1e-3, "epochs": 50}, "logistic": {}, "mse, stream": {"method": "stream"},
        "huber, l2": {"l2": 1e-3},
    }.items():  # fmt: skip
        loss = name.split(",")[0]
        X, Y, _ = data(loss, 15_000)
        folder = tmp_path / name
        folder.mkdir()
        dX, dY = in_dask(X, Y)
        run = gdcore.distributed.fit(source(dX, folder), dY, loss=loss, **options)
        assert run.epochs > 1
        counts[name] = len(list(folder.iterdir())) / PARTS
    assert counts == dict.fromkeys(counts, 1)


def size_of(value):
    """How many numbers."""
    if hasattr(value, "scatter"):
        return value.scatter.size
    return sum(map(size_of, value)) if isinstance(value, tuple) else np.size(value)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("name", LOSSES)
def test_nothing_but_sums_comes_home(name, monkeypatch):
    n = 30_000
    X, Y, _ = data(name, n)
    sizes, computed = [], scheduler.computed
    monkeypatch.setattr(scheduler, "computed", lambda value: sizes.append(computed(value)) or sizes[-1])
    run = gdcore.distributed.fit(*in_dask(X, Y), loss=name, l2=1e-3)
    assert run.status == "converged"
    _ = run.gap
    assert sizes
    for value in sizes:
        p, k = D + 1, 3 if name == "softmax" else 1  # second moments of k outputs' parameters
        most = 3 * (2 + p + (k * p) ** 2)
        if name in ("mae", "quantile", "huber"):
            # How many residuals are of which size, 2ᵉ for every e of float64; and at most so many rows, which lie near
            # their target, however many there are.
            most = max(most + 2200, (2000 + 50 * p) * (p + 2) + p)
            assert most < 0.15 * n * (p + 1)
        assert size_of(value) <= most


@pytest.mark.usefixtures("here")
def test_validation_and_resume():
    X, Y, s = data("logistic")
    dX, dY, ds = in_dask(X[500:], Y[500:], s[500:])
    options = {"loss": "logistic", "epochs": 6, "lr": 0.01, "tol": 0.0}
    whole = fit(X[500:], Y[500:], sample_weight=s[500:], validation=(X[:500], Y[:500]), **options)
    for held in ((X[:500], Y[:500]), in_dask(X[:500], Y[:500])):
        run = gdcore.distributed.fit(dX, dY, sample_weight=ds, validation=held, **options)
        np.testing.assert_allclose(run.history.validation_loss, whole.history.validation_loss, rtol=1e-12)
    first = gdcore.distributed.fit(dX, dY, sample_weight=ds, validation=held, **(options | {"epochs": 2}))
    again = first.resume(dX, dY, 4)
    assert bits(again) == bits(run)
    np.testing.assert_array_equal(again.history.loss, run.history.loss)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("name", ["mse", "logistic"])
def test_checkpoints(name, tmp_path):
    X, Y, s = data(name)
    s[:600] = 0  # a partition without weight
    dX, dY, ds = in_dask(X, Y, s)
    options = {"loss": name, "lr": 1e-3, "sample_weight": ds, "method": "stream"}
    whole = gdcore.distributed.fit(dX, dY, epochs=7, **options)
    for file in ("one", "other"):
        gdcore.distributed.fit(dX, dY, epochs=3, checkpoint=tmp_path / file, **options)
    again = gdcore.distributed.fit(dX, dY, epochs=7, checkpoint=tmp_path / "one", resume=True, **options)
    assert bits(again) == bits(whole)
    X[-1, 0] += 1
    with pytest.raises(ValueError, match="X and Y"):
        gdcore.distributed.fit(in_dask(X)[0], dY, epochs=7, checkpoint=tmp_path / "other", resume=True, **options)


@pytest.mark.usefixtures("here")
def test_predictions_are_lazy_and_lie_as_x_does():
    X, Y, _ = data("softmax")
    run = fit(X, Y, loss="softmax")
    dX, keep = in_dask(X, X[:, 0] > 3)
    for method in ("predict", "predict_proba"):
        found = gdcore.distributed.predict(run, dX.rechunk({1: 2}), method)
        assert found.chunks[0] == dX.chunks[0]
        np.testing.assert_allclose(found.compute(), getattr(run.model, method)(X), rtol=1e-12)
    unknown = gdcore.distributed.predict(run, dX[keep])
    assert np.isnan(unknown.chunks[0]).all()
    np.testing.assert_allclose(unknown.compute(), run.model.predict(X[X[:, 0] > 3]), rtol=1e-12)
    whole, lazy = frames(X, Y, Y)
    line = Linear(np.arange(6.0), 1.0)
    for model in (run.model, line):
        found = gdcore.distributed.predict(model, lazy[lazy.a > 3][COLUMNS])
        assert found.npartitions == lazy.npartitions
        found, wanted = found.compute(), whole[whole.a > 3]
        assert list(found.index) == list(wanted.index)
        np.testing.assert_allclose(found.to_numpy(), model.predict(wanted[COLUMNS]), rtol=1e-12)
    assert gdcore.distributed.predict(line, dX).chunks == dX.chunks[:1]
    X[2000] = np.nan
    with pytest.raises(ValueError, match=r"in partition 4: X\[\d+, 0\] is nan"):
        gdcore.distributed.predict(line, in_dask(X)[0]).compute()


# ------------------------------------------------------------------------------------------------------------- estimators


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("loss", ["mse", "quantile"])
def test_the_regressor(loss):
    whole, lazy = frames(*data(loss))
    model = GDRegressor(loss).fit(lazy[COLUMNS], lazy.y, lazy.s)
    local = GDRegressor(loss).fit(whole[COLUMNS], whole.y, whole.s)
    np.testing.assert_allclose(model.coef_, local.coef_, rtol=0, atol=1e-12 * np.abs(local.coef_).max())
    assert (model.n_iter_, model.n_features_in_) == (local.n_iter_, D)
    assert list(model.feature_names_in_) == COLUMNS
    np.testing.assert_allclose(model.predict(lazy[COLUMNS]).compute(), local.predict(whole[COLUMNS]), rtol=1e-10)
    if loss == "mse":  # the rows that come later are added to second moments
        for one, X in ((model, lazy), (local, whole)):
            one.partial_fit(whole[COLUMNS][:100], whole.y[:100])
            assert X is not None
        np.testing.assert_allclose(model.coef_, local.coef_, rtol=1e-10)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("class_weight", [None, "balanced", {"a": 1, "b": 2, "c": 3}])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_classifier(class_weight, weighted):
    X, Y, s = data("softmax")
    whole, lazy = frames(X, np.array(["a", "b", "c"])[Y.astype(int)], s)
    model, local = GDClassifier(class_weight=class_weight), GDClassifier(class_weight=class_weight)
    model.fit(lazy[COLUMNS], lazy.y, lazy.s if weighted else None)
    local.fit(whole[COLUMNS], whole.y, whole.s if weighted else None)
    assert list(model.classes_) == ["a", "b", "c"]
    np.testing.assert_allclose(model.coef_, local.coef_, rtol=0, atol=1e-11 * np.abs(local.coef_).max())
    assert (model.predict(lazy[COLUMNS]).compute() == local.predict(whole[COLUMNS])).all()
    found = model.predict_proba(lazy[COLUMNS]).compute()
    np.testing.assert_allclose(found, local.predict_proba(whole[COLUMNS]), rtol=1e-9)
    dX, dy, ds = in_dask(X, whole.y.to_numpy(str), s)
    arrays = GDClassifier(class_weight=class_weight).fit(dX, dy, ds if weighted else None)
    np.testing.assert_allclose(arrays.coef_, local.coef_, rtol=0, atol=1e-11 * np.abs(local.coef_).max())


@pytest.mark.usefixtures("here")
def test_estimators_stop_early_on_rows_given_for_it():
    X, Y, _ = data("huber")
    dX, dY = in_dask(X, Y)
    with pytest.raises(ValueError, match="early_stopping needs X_val and y_val"):
        GDRegressor("huber", early_stopping=True).fit(dX, dY)
    model = GDRegressor("huber", early_stopping=True, patience=2).fit(dX, dY, X_val=dX[:300], y_val=dY[:300])
    assert np.isfinite(model.history_.validation_loss).all()
    with pytest.raises(ValueError, match="y_val has the label 5"):
        GDClassifier().fit(dX, dY > 0, X_val=X[:10], y_val=np.full(10, 5))
    with pytest.raises(ValueError, match="only one class"):
        GDClassifier().fit(dX, dY > 1e9)


# ------------------------------------------------------------------------------------------------------------------ errors


def broken(dX, part, change):
    """X, in whose partition so numbered something is changed."""

    def maybe(block, block_id=None):
        return change(block.copy()) if block_id[0] == part else block

    return dX.map_blocks(maybe, dtype=dX.dtype, meta=np.empty((0,) * dX.ndim, dX.dtype))


def spoilt(block):
    block.reshape(-1)[-1] = np.nan
    return block


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("loss", ["mse", "logistic"])
@pytest.mark.parametrize(
    ("which", "change", "error", "message"),
    [
        ("X", spoilt, ValueError, r"in partition 3: X\[\d+, 5\] is nan: every value must be finite"),
        ("Y", spoilt, ValueError, r"in partition 3: Y\[\d+\] is nan"),
        ("s", spoilt, ValueError, r"in partition 3: sample_weight\[\d+\] is nan"),
        ("s", lambda s: -s, ValueError, r"in partition 3: sample_weight\[0\] is -.*: weights must not be negative"),
        ("s", lambda s: s * 1e200, ValueError, r"in partition 3: sample_weight is up to 1.99e\+200: only proportions matter"),
        ("X", lambda X: X[:, :-1], ValueError, r"in partition 3: X has shape \(\d+, 5\), but the others have 6 columns"),
        ("X", lambda X: X.astype(np.float32), TypeError, r"in partition 3: X has dtype float32, but .* says float64: cast it"),
        ("X", lambda X: X.astype(str), TypeError, r"in partition 3: X must be float32 or float64 .*, found dtype <U32"),
        ("Y", lambda Y: Y[1:], ValueError, r"in partition 3: Y must have shape \(\d+,\) beside X, found shape \(\d+,\)"),
        ("s", lambda s: s[1:], ValueError, r"in partition 3: sample_weight must have shape \(\d+,\), one weight"),
    ],
)
def test_errors_name_the_partition(loss, which, change, error, message):
    arrays = dict(zip("XYs", in_dask(*data(loss)), strict=True))
    arrays[which] = broken(arrays[which], 3, change)
    with pytest.raises(error, match=message):
        gdcore.distributed.fit(arrays["X"], arrays["Y"], loss=loss, sample_weight=arrays["s"])


@pytest.mark.usefixtures("here")
def test_errors_before_any_task():
    X, Y, s = data("logistic")
    dX, dY, ds = in_dask(X, Y, s)
    lazy = dd.from_pandas(pd.DataFrame({"a": ["x"] * 9, "b": 1.0}), npartitions=2)
    for arguments, error, message in [
        ((X, Y), TypeError, r"X must be a dask.array or a dask.dataframe \(pip install 'gdcore\[dask\]'\), found ndarray"),
        ((dX, None), TypeError, "Y must be given beside X"),
        ((dask.delayed(X), Y), TypeError, "X must be a dask.array or a dask.dataframe, found Delayed"),
        ((dX[:, 0], Y), ValueError, r"X must have shape \(n, d\)"),
        ((dX.astype(complex), Y), TypeError, "X must be .*, found dtype complex128"),
        ((dX, dY[:-1]), ValueError, "Y has 2,499 rows, but X has 2,500"),
        ((dX, Y[:-1]), ValueError, "Y has 2,499 rows, but X has 2,500"),
        ((dX, dX[:, None, :]), ValueError, r"Y must have shape \(n,\) or \(n, k\), found shape"),
        ((dX, 1.0), ValueError, r"Y must have shape"),
        ((lazy, lazy.b), TypeError, "column 'a' of X must be numbers, found dtype"),
        ((lazy[["b"]], lazy.a), TypeError, "Y must be numbers, found dtype"),
        ((dX[:0], dY[:0]), ValueError, "X is empty: it has no rows"),
        ((dX[dX[:, 0] > 1e9], dY[dX[:, 0] > 1e9]), ValueError, "X is empty: no partition has rows"),
        ((dX, dY + 1), ValueError, r"in partition \d: Y\[\d\] is 2.0: this loss wants 0 or 1"),
    ]:
        with pytest.raises(error, match=message):
            gdcore.distributed.fit(*arguments, loss="logistic")
    for options, error, message in [
        ({"sample_weight": ds * 0}, ValueError, "sample_weight is zero for every row"),
        ({"sample_weight": dX}, ValueError, r"sample_weight must have shape \(n,\), one weight a row of X"),
        ({"batch_size": 10}, TypeError, r"networks and mini-batches want arrays: X.compute\(\), Y.compute\(\)"),
        ({"model": MLP([D, 2, 1])}, TypeError, "networks and mini-batches want arrays"),
        ({"model": Linear(np.zeros(3), 0.0)}, ValueError, "the model has weights of shape"),
        ({"n_threads": 0}, ValueError, "n_threads must be at least 1"),
        (
            {"validation": (dX[:, :2], dY)},
            ValueError,
            r"validation has columns 0, 1 \(2\).* but the training data have columns",
        ),
        ({"validation": (dX, dY + 1)}, ValueError, r"in partition \d: validation Y"),
    ]:
        with pytest.raises(error, match=message):
            gdcore.distributed.fit(dX, dY, loss="logistic", **options)
    with pytest.raises(ValueError, match="sample_weight is zero for every row"):
        gdcore.distributed.fit(dX, dY, sample_weight=ds * 0)
    with pytest.raises(TypeError, match="validation X is Dask's, but X is not"):
        fit(X, Y, validation=(dX, dY))
    with pytest.raises(ValueError, match=r"softmax wants Y of shape \(n,\)"):
        gdcore.distributed.fit(dX, da.stack([dY, dY], axis=1), loss="softmax")
    with pytest.raises(ValueError, match="validation Y has classes up to 3, but the model has 2 outputs"):
        gdcore.distributed.fit(dX, dY, Linear(np.zeros((D, 2)), np.zeros(2)), "softmax", validation=(dX, dY * 3))


# ----------------------------------------------------------------------------------------------------------- on the workers


@pytest.mark.parametrize("name", LOSSES)
def test_the_same_bits_on_any_number_of_workers_and_threads(two, three, name):
    X, Y, s = data(name)
    dX, dY, ds = in_dask(X, Y, s, parts=7)
    options = {"loss": name, "sample_weight": ds, "l2": 1e-3, "epochs": 8}
    with dask.config.set(scheduler="synchronous"):
        alone = gdcore.distributed.fit(dX, dY, **options)
        gap = alone.gap
    with dask.config.set(scheduler="threads"):
        assert bits(gdcore.distributed.fit(dX, dY, **options)) == bits(alone)
    with two.as_current():
        run = gdcore.distributed.fit(dX, dY, **options)
        assert bits(run) == bits(alone)
        # NumPy's products, whose last bits depend on its BLAS' threads
        assert gap is None or run.gap == pytest.approx(gap, rel=1e-6)
    with three.as_current():
        assert bits(gdcore.distributed.fit(dX, dY, n_threads=3, **options)) == bits(alone)


def test_no_more_moves_than_weights_and_sums(two):
    # For each partition the weights, and the gradient: with two partitions a worker, twice both for each worker.
    d, parts = 2000, 4
    X = da.random.default_rng(0).normal(size=(parts * 200, d), chunks=(200, d))
    Y = da.stack([X[:, c] > 0 for c in range(10)], axis=1).rechunk({1: -1})
    gradient = 8 * (10 * (d + 1) + 2)

    def served():
        return sum(two.run(lambda dask_worker: dask_worker.transfer_outgoing_bytes_total).values())

    with two.as_current():
        rows = cluster.Cluster(X, Y, None, "binary")
        rows.keep()
        engine, moved = gdcore.rows.piecewise.Piecewise("kernel"), []
        for i in range(15):
            before = served()
            engine.loss_gradient(rows, None, np.full((d, 10), 0.01 * i), np.zeros(10), loss="logistic")
            moved.append((served() - before) / gradient)
        # What workers sent to each other, and home.
        assert 1 <= np.median(moved) <= parts, moved
        rows.free()


@pytest.mark.filterwarnings("ignore::gdcore.rows.dask.scheduler.ClusterWarning")  # a loaded machine starts workers slowly
def test_a_killed_worker_costs_recomputation_only(two, tmp_path):
    X, Y, _ = data("logistic", 20_000)
    dX, dY = in_dask(X, Y, parts=6)
    read = source(dX, tmp_path)
    with dask.config.set(scheduler="synchronous"):
        undisturbed = gdcore.distributed.fit(dX, dY, loss="logistic", epochs=12, tol=0.0)
    killed = []

    def strike(*victims):
        killed.extend(victims)
        for victim in victims:
            os.kill(victim, signal.SIGKILL)

    def between(epoch):
        if epoch.epoch == 3:
            strike(next(iter(two.run(os.getpid).values())))

    def within(epoch):
        if epoch.epoch == 3:
            threading.Timer(0.02, strike, list(two.run(os.getpid).values())[1:]).start()

    def all_at_once(epoch):
        if epoch.epoch == 3:
            strike(*two.run(os.getpid).values())

    for callback, victims in ((between, 1), (within, 1), (all_at_once, 2)):
        struck, before = len(killed), len(list(tmp_path.iterdir()))
        with two.as_current():
            run = gdcore.distributed.fit(read, dY, loss="logistic", epochs=12, tol=0.0, callback=callback)
        assert bits(run) == bits(undisturbed)
        np.testing.assert_array_equal(run.history.loss, undisturbed.history.loss)
        assert victims == len(killed) - struck  # before the run was over
        assert callback is within or len(list(tmp_path.iterdir())) - before > 6
        two.wait_for_workers(2, timeout=300)
        # A nanny that has not yet seen its worker start does not start another.
        wait_for(lambda: {nanny.status.name for nanny in two.cluster.workers.values()} == {"running"})
        wait_for(lambda: gc.collect() is not None and not two.who_has())  # or the next run finds its rows read already
    assert len(killed) == 4
    assert not set(two.run(os.getpid).values()) & set(killed)


def test_ctrl_c_cancels_the_tasks_and_keeps_the_last_whole_epoch(three):
    X, Y, _ = data("logistic")
    dX, dY = in_dask(X, Y)
    options = {"loss": "logistic", "lr": 1e-3, "tol": 0.0}

    def interrupt(epoch):
        if epoch.epoch == 3:
            threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()

    with three.as_current():
        run = gdcore.distributed.fit(dX, dY, epochs=100_000, callback=interrupt, **options)
        assert run.status == "interrupted"
        assert 3 <= run.epochs < 1000
    with dask.config.set(scheduler="synchronous"):
        whole = gdcore.distributed.fit(dX, dY, epochs=run.epochs, **options)
    assert run.model.weights.tobytes() == whole.model.weights.tobytes()
    np.testing.assert_array_equal(run.history.loss, whole.history.loss)
    wait_for(lambda: not three.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.tasks)))


def wait_for(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_worker_without_gdcore_is_named():
    X, Y, _ = data("logistic")

    def hide():
        for name in [name for name in sys.modules if name.split(".")[0] == "gdcore"]:
            del sys.modules[name]
        sys.modules["gdcore"] = None

    with workers(1, 1) as client, client.as_current():
        (address,) = client.nthreads()
        client.run(hide)
        with pytest.raises(ImportError) as caught:
            gdcore.distributed.fit(*in_dask(X, Y), loss="logistic")
    message = str(caught.value)
    assert message.startswith(f"worker {address} cannot import gdcore")
    assert message.count("cannot import") == 1
    assert f"pip install 'gdcore[dask]=={gdcore.__version__}'" in message


@pytest.mark.parametrize("name", ["mse", "huber"])
def test_a_cluster_without_workers_is_told(monkeypatch, name):
    X, Y, _ = data(name)
    monkeypatch.setattr(scheduler, "_ALONE", 0.1)
    with (
        LocalCluster(n_workers=0, dashboard_address=":0", processes=False, silence_logs=logging.CRITICAL) as empty,
        Client(empty),
    ):
        timer = threading.Timer(4.0, empty.scale, (1,))
        timer.start()
        with pytest.warns(scheduler.ClusterWarning, match="has no worker: nothing is computed until one comes") as caught:
            run = gdcore.distributed.fit(*in_dask(X, Y), loss=name)
        timer.join()
    assert len(caught) == 1
    close(run, gdcore.fit(X, Y, loss=name), 1e-9)


def test_errors_of_workers_name_the_partition(three):
    X, Y, _ = data("logistic")
    dX, dY = in_dask(X, Y)
    with three.as_current(), pytest.raises(ValueError, match=r"in partition 3: X\[\d+, 5\] is nan"):
        gdcore.distributed.fit(broken(dX, 3, spoilt), dY, loss="logistic")


def test_partitions_that_their_owner_persisted_stay(two):
    X, Y, _ = data("logistic")
    dX, dY = in_dask(X, Y, parts=6)
    with two.as_current():
        kept = two.persist([dX, dY])
        wait(kept)
        own = futures_of(kept)  # what another test has let go of may still lie there
        run = gdcore.distributed.fit(*kept, loss="logistic", epochs=3)
        now = two.who_has(own)
        assert len(now) == len(own) >= 12
        assert all(now.values())  # nothing is released; Dask itself may move a part between workers
        assert GDClassifier(l2=0.0, epochs=3, tol=1.0).fit(*kept).predict(kept[0]).shape == (N,)
    assert run.epochs == 3


def test_without_dask_everything_else_imports(python):
    program = """
import sys
sys.modules.update(dict.fromkeys(("dask", "distributed", "pandas")))
import gdcore.distributed, gdcore.estimators
print(gdcore.fit([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0]).status)
try:
    gdcore.distributed.fit([[0.0]], [1.0])
except TypeError as error:
    print(error)
"""
    said = python(program).stdout
    assert said.startswith("converged")
    assert "pip install 'gdcore[dask]'" in said
