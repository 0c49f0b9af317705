"""What `gdcore train` and `gdcore predict` say of how good a model is: against loops and scikit-learn on the same rows."""

import html
import json
import re
import warnings

import numpy as np
import pytest

import gdcore
from gdcore import losses, scores
from gdcore.cli import parser
from gdcore.models.scaling import Scaling
from gdcore.plain import number
from gdcore.rows.split import Fold, Order, held_out
from gdcore.scores.named import cell

for module in ("pyarrow", "safetensors"):
    pytest.importorskip(module)
pd = pytest.importorskip("pandas")
metrics = pytest.importorskip("sklearn.metrics")

N = 240


def frame(n=N, seed=0):
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({"area": 50 + 20 * rng.normal(size=n), "rooms": rng.integers(1, 6, n)})
    table["town"] = rng.choice(["Bonn", "Kiel", "Ulm"], n, p=[0.2, 0.3, 0.5])
    signal = 10 * table.area + 50 * table.rooms + 200 * (table.town == "Bonn")
    table["price"] = signal + 80 * rng.normal(size=n)
    table["cheap"] = np.where(signal + 150 * rng.normal(size=n) < signal.quantile(0.25), "yes", "no")
    table["weight"] = rng.integers(0, 4, n)
    table["day"] = rng.permutation(np.datetime_as_string(np.arange(n).astype("datetime64[D]")))
    table["part"] = rng.choice(["train", "test"], n, p=[0.7, 0.3])
    return table


OTHERS = {"price": "cheap,weight,day,part", "cheap": "price,weight,day,part", "town": "price,cheap,weight,day,part"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frame().to_csv("homes.csv", index=False)
    return tmp_path


@pytest.fixture
def told(gd):
    """What a training says as JSON."""

    def run(target, *given, exclude=None):
        status, out, err = gd(
            "train", "homes.csv", "--target", target, "--exclude", exclude or OTHERS[target], "--json", *given
        )
        assert (status, err) == (0, "")
        return json.loads(out)

    return run


def table_of(target, **options):
    return gdcore.open_table("homes.csv", target, exclude=OTHERS[target].split(","), **options)


# Scores and baselines -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["", "--loss quantile:0.9", "--loss huber:20", "--model mlp:4 --epochs 3"])
def test_numbers_are_those_of_scikit_learn(folder, told, given):
    found = told("price", *given.split())
    model, table = gdcore.load("homes.safetensors"), table_of("price", test_size=0.2)
    X, Y, _ = table.held_out.read()
    y, p, train = Y[:, 0], model.predict(X).ravel(), table.read().Y[:, 0]
    assert found["test"]["RMSE"] == pytest.approx(metrics.root_mean_squared_error(y, p), rel=1e-9)
    assert found["test"]["MAE"] == pytest.approx(metrics.mean_absolute_error(y, p), rel=1e-9)
    guess = {"mse": np.mean(train), "quantile": np.quantile(train, 0.9, method="averaged_inverted_cdf")}
    c = np.full(len(y), guess.get(found["loss"], np.median(train)))
    assert found["baseline"]["test"]["MAE"] == pytest.approx(metrics.mean_absolute_error(y, c), rel=1e-9)
    if found["loss"] == "quantile":
        assert found["test"]["loss"] == pytest.approx(metrics.mean_pinball_loss(y, p, alpha=0.9), rel=1e-9)
        assert found["test"]["coverage"] == np.mean(y <= p)
        assert "R²" not in found["test"]
    else:
        assert found["test"]["R²"] == pytest.approx(metrics.r2_score(y, p), rel=1e-9)
        assert found["baseline"]["test"]["R²"] == pytest.approx(metrics.r2_score(y, c), rel=1e-7)


def test_classes_are_scored_as_scikit_learn_does(folder, told):
    found = told("cheap", "--l2", "0.001")
    model, table = gdcore.load("homes.safetensors"), table_of("cheap", test_size=0.2)
    X, Y, _ = table.held_out.read()
    y, raw = Y[:, 0], model.predict(X)
    p = model.predict_proba(X)
    assert found["test"] == pytest.approx({
        "loss": metrics.log_loss(y, p), "accuracy": metrics.accuracy_score(y, raw > 0), "AUC": metrics.roc_auc_score(y, raw),
        "F1": metrics.f1_score(y, raw > 0, average="macro"), "F1 of no": metrics.f1_score(y, raw > 0, pos_label=0),
        "F1 of yes": metrics.f1_score(y, raw > 0), "calibration error": scores.calibration(y, p).error,
    }, rel=1e-9)  # fmt: skip
    assert found["confusion"] == metrics.confusion_matrix(y, raw > 0).tolist()
    assert found["baseline"]["test"]["accuracy"] == np.mean(y == 0)
    assert found["baseline"]["what"].startswith("always no, the most frequent class (")
    assert sum(found["calibration"]["weight"]) == len(y)


def test_a_table_that_is_not_kept_is_not_read_again_for_scores(folder, told, monkeypatch):
    """Its moments tell all but the mean absolute error."""
    from gdcore.rows.files import kept as keeping

    kept = told("price")
    monkeypatch.setattr(keeping, "MEMORY", 0)
    far = told("price")
    assert far["test"].pop("MAE") is far["train"].pop("MAE") is None
    for part in ("train", "test"):
        kept[part].pop("MAE")
        assert far[part] == pytest.approx(kept[part], rel=1e-9)
    assert far["baseline"]["what"] == kept["baseline"]["what"]
    assert far["baseline"]["test"]["RMSE"] == pytest.approx(kept["baseline"]["test"]["RMSE"], rel=1e-9)


def test_what_is_printed_is_plain(folder, gd):
    table = frame()
    table["price"] *= 1000
    table.to_csv("homes.csv", index=False)
    out = gd("train", "homes.csv", "--target", "price", "--exclude", OTHERS["price"])[1]
    shown = out[out.index("                   ") : out.index("largest weights")]
    assert re.search(r"^  RMSE +[78]\d,\d{3}(\.\d+)? +\d\d,\d{3}(\.\d+)? +\d{3},\d{3}$", shown, re.MULTILINE)
    assert "e+" not in shown
    assert re.search(r"^  baseline: always the mean, \d{3},\d{3}(\.\d+)?$", shown, re.MULTILINE)
    assert "  test rows: drawn with seed 0\n" in shown


# Which rows test ------------------------------------------------------------------------------------------------------------


def test_rows_that_test_by_time_and_by_a_column(folder, told):
    table = frame()
    days = np.sort(table.day.to_numpy())
    for split, rows, said in (
        ("time:day", table.day >= days[int(0.8 * N)], "the last 20% by column day"),
        ("time", np.arange(N) >= 0.8 * N, "the last 20%"),
        ("part", table.part == "test", "those that column part calls test"),
    ):
        found = told("price", "--split", split)
        assert (found["test rows"], found["rows"]["test"]) == (said, int(rows.sum()))
        model = gdcore.load("homes.safetensors")
        assert model.columns == ["area", "rooms", "town=Bonn", "town=Kiel"]
        X = np.column_stack([table.area, table.rooms, table.town == "Bonn", table.town == "Kiel"])[rows].astype(float)
        assert found["test"]["MAE"] == pytest.approx(abs(table.price[rows] - model.predict(X)).mean(), rel=1e-9)


def test_the_columns_of_the_split_are_left_out_by_themselves(folder, gd):
    status, out, err = gd("train", "homes.csv", "--target", "price", "--exclude", "cheap,weight,day", "--split", "part")
    assert (status, err) == (0, "")
    assert re.search(r"^  part +left out$", out, re.MULTILINE)
    assert gd("predict", "homes.safetensors", "homes.csv", "--out", "p.csv")[0] == 0


def test_another_file_tests(folder, told, gd):
    other = frame(100, seed=1)
    other.to_csv("new.csv", index=False)
    found = told("price", "--test", "new.csv", "--weights", "weight", exclude="cheap,day,part")
    assert (found["rows"], found["test rows"]) == ({"train": N, "test": 100, "left out": 0}, "those of new.csv")
    table = gdcore.open_table("homes.csv", "price", exclude=["cheap", "day", "part"], weights="weight")
    own, model = gdcore.fit(table).model, gdcore.load("homes.safetensors")
    np.testing.assert_array_equal(own.weights, model.weights)
    X = np.column_stack([other.area, other.rooms, other.town == "Bonn", other.town == "Kiel"]).astype(float)
    assert found["test"]["MAE"] == pytest.approx(np.average(abs(other.price - own.predict(X)), weights=other.weight), rel=1e-9)
    mean = np.average(frame().price, weights=frame().weight)
    assert found["baseline"]["test"]["MAE"] == pytest.approx(
        np.average(abs(other.price - mean), weights=other.weight), rel=1e-9
    )
    out = gd("train", "homes.csv", "--target", "price", "--exclude", OTHERS["price"], "--test", "new.csv")[1]
    assert out.startswith(f"homes.csv: {N} rows, ")  # those of the other file are not counted as its own


def test_rows_of_another_file_that_cannot_test_are_told(folder, gd):
    other = frame(100, seed=1)
    other.loc[0, "town"] = "Rom"
    other.loc[1, "cheap"] = None
    other.loc[2, "cheap"] = "maybe"
    other.loc[3, "area"] = None
    other.to_csv("new.csv", index=False)
    command = ("train", "homes.csv", "--target", "cheap", "--exclude", OTHERS["cheap"], "--test", "new.csv")
    status, _, err = gd(*command)
    assert status == 2
    assert "new.csv, line 5, column area: a value is missing; fill it in, or train with --missing drop or mean" in err
    status, out, err = gd(*command, "--missing", "drop", "--json")
    assert status == 0
    lines = err.splitlines()
    assert lines[0] == "gdcore: warning: new.csv: 1 of 100 rows have a missing value, and are not tested"
    assert lines[1].startswith(
        "gdcore: warning: new.csv: 1 of 100 rows have a category in column town that the model does not"
    )
    assert lines[2] == "gdcore: warning: new.csv: 2 of 100 rows have no cheap that the model knows, and are not tested"
    assert json.loads(out)["rows"]["test"] == 97
    other.drop(columns="cheap").to_csv("new.csv", index=False)
    assert "new.csv has no column cheap" in gd(*command)[2]


@pytest.mark.parametrize(
    ("target", "given", "stratify"),
    [
        ("price", [], False), ("price", ["--loss", "mae", "--l2", "0.01"], False), ("cheap", ["--l2", "0.01"], False),
        ("cheap", ["--l2", "0.01"], True),
    ],
)  # fmt: skip
def test_a_cross_validation_is_a_loop_over_folds(folder, told, target, given, stratify):
    found = told(target, *given, "--cv", "4", "--repeats", "2", "--seed", "3", *["--stratify"] * stratify)
    options = {"l2": 0.01} if "--l2" in given else {}
    whole = table_of(target, loss=found["loss"])
    X, Y, _ = whole.read()
    y, values = Y[:, 0], []
    for repeat in range(2):
        order = Order(whole.source, 3 + repeat, target, stratify)
        for j in range(4):
            places = np.concatenate([order.places(start, batch) for start, batch in batches(whole.source, target)])
            test = places % 4 == j
            assert abs(test.sum() - N / 4) < 1
            model = gdcore.fit(X[~test], y[~test], loss=found["loss"], **options).model
            values.append(scores.score(model, X[test], y[test], labels=whole.labels).named())
    for name in values[0]:
        each = [value[name] for value in values]
        spread = found["cross-validation"][name]
        assert spread["values"] == pytest.approx(each, rel=1e-4), name
        assert spread["mean"] == pytest.approx(np.mean(each), rel=1e-4)
        assert spread["error"] == pytest.approx(np.std(each, ddof=1) / np.sqrt(8), rel=1e-3)
    assert found["rows"] == {"train": N, "test": 0, "left out": 0}  # the model is of all rows
    np.testing.assert_allclose(
        gdcore.load("homes.safetensors").weights, gdcore.fit(X, y, loss=found["loss"], **options).model.weights, rtol=1e-4
    )


def batches(source, name):
    start = 0
    for batch in source.batches([name]):
        yield start, batch
        start += batch.num_rows


def test_what_is_filled_in_a_fold_is_of_its_own_rows(folder, told):
    table = frame()
    table.loc[::5, "area"] = np.nan
    table.to_csv("homes.csv", index=False)
    found = told("price", "--missing", "mean", "--cv", "3")
    whole = table_of("price", missing="mean")
    order = Order(whole.source, 0, "price")
    errors = []
    for j in range(3):
        test = np.concatenate([order.places(*pair) for pair in batches(whole.source, "price")]) % 3 == j
        area = table.area.fillna(table.area[~test].mean())
        X = np.column_stack([area, table.rooms, table.town == "Bonn", table.town == "Kiel"]).astype(float)
        model = gdcore.fit(X[~test], table.price.to_numpy()[~test]).model
        errors.append(abs(table.price[test] - model.predict(X[test])).mean())
    assert found["cross-validation"]["MAE"]["values"] == pytest.approx(errors, rel=1e-8)


def test_the_page_and_the_model_keep_the_folds_scores_and_what_the_training_warned_of(folder, told, gd):
    pytest.importorskip("matplotlib")
    x = np.arange(40)
    pd.DataFrame({"x": x, "late": np.where(x < 20, "no", "yes")}).to_csv("halves.csv", index=False)
    status, _, err = gd("train", "halves.csv", "--target", "late", "--cv", "4", "--stratify", "--report", "h.html", "--quiet")
    warned = err.splitlines()[0].removeprefix("gdcore: warning: ")
    assert (status, warned.startswith("the classes are separated, by column x: ")) == (0, True)
    assert warned.endswith("; an l2 penalty, as --l2 0.01, gives finite ones")
    assert gdcore.load("halves.safetensors").card["notes"] == [warned]
    page = (folder / "h.html").read_text()
    assert [html.unescape(re.sub("<.*?>", "", line)) for line in re.findall("<li>.*</li>", page)] == [warned]
    folds = gdcore.load("halves.safetensors").card["cross-validation"]["accuracy"]
    below = re.sub("(<[^>]*>|\\n)+", "|", page.partition(">Cross-validation<")[2])  # cells alone
    assert "|".join(["|accuracy", *(cell("accuracy", folds[name]) for name in ("mean", "error", "baseline")), ""]) in below


def test_a_cross_validation_is_printed(folder, gd):
    status, out, err = gd("train", "homes.csv", "--target", "price", "--exclude", OTHERS["price"], "--cv", "4")
    assert (status, err) == (0, "")
    assert "cross-validation: 4 folds, drawn with seed 0; the model is of all rows\n" in out
    assert re.search(r"^ +mean +standard error +baseline$", out, re.MULTILINE)
    assert re.search(r"^  R² +0\.\d+ +0\.\d+ +-0\.\d+$", out, re.MULTILINE)
    assert re.search(r"^ +train +baseline$", out, re.MULTILINE)  # no row tested this model


def test_what_every_fold_warns_of_is_told_once(folder, gd):
    status, _, err = gd(
        "train", "homes.csv", "--target", "price", "--exclude", OTHERS["price"], "--loss", "mae", "--epochs", "1", "--cv", "3"
    )
    assert status == 0
    lines = err.splitlines()
    assert len(lines) == 2  # of the model, and of the folds
    assert lines[1].endswith(" (the first of 3 such warnings of the folds)")


# Weights of classes, patience -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [[], ["--weights", "weight"], ["--batch-size", "16", "--epochs", "2", "--seed", "5"]])
def test_balanced_classes_weigh_the_same(folder, told, given):
    linear_model = pytest.importorskip("sklearn.linear_model")
    options = {"weights": "weight"} if "--weights" in given else {}
    exclude = "price,day,part" + ("" if options else ",weight")
    found = told("cheap", "--class-weight", "balanced", "--l2", "0.01", *given, exclude=exclude)
    seed = 5 if "--seed" in given else 0
    table = gdcore.open_table("homes.csv", "cheap", exclude=exclude.split(","), test_size=0.2, seed=seed, **options)
    X, Y, s = table.read()
    y, own = Y[:, 0], np.ones(len(Y)) if s is None else s
    totals = np.array([own[y == c].sum() for c in (0, 1)])
    weights = (own.sum() / (2 * totals))[y.astype(int)] * own
    model = gdcore.load("homes.safetensors")
    if "--batch-size" in given:
        wanted = gdcore.fit(X, y, loss="logistic", l2=0.01, batch_size=16, epochs=2, seed=5, sample_weight=weights).model
        np.testing.assert_allclose(model.weights, wanted.weights, rtol=1e-9)
    else:
        line = linear_model.LogisticRegression(
            C=1 / (0.01 * own.sum()), class_weight="balanced", solver="newton-cholesky", tol=1e-12
        ).fit(X, y, own)
        np.testing.assert_allclose(model.weights, line.coef_[0], rtol=1e-3, atol=1e-6)
    plain = scores.score(model, table)
    assert found["train"] == pytest.approx(plain.named(), rel=1e-9)  # scores are of rows as they are


def test_patience_spares_rows_that_decide_and_others_test(folder, told):
    found = told("price", "--model", "mlp:8", "--patience", "2", "--epochs", "400", "--lr", "0.05", "--seed", "1")
    table = table_of("price", test_size=0.2, seed=1)
    X, Y, _ = table.read()
    y, watched = Y[:, 0], held_out(0, len(X), 0.1, 2)
    assert found["validation rows"] == watched.sum()
    scaling = Scaling(X[~watched], y[~watched], losses.mse())
    run = gdcore.fit(
        scaling.columns(X[~watched]), scaling.targets(y[~watched]), gdcore.MLP([4, 8, 1], seed=1), optimizer="adam", lr=0.05,
        epochs=400, batch_size=128, seed=1, patience=2, validation=(scaling.columns(X[watched]), scaling.targets(y[watched])),
    )  # fmt: skip
    scaling.undo(run)
    assert (found["status"], found["epochs"]) == ("early_stopped", run.epochs)
    assert found["test"] == pytest.approx(scores.score(run.model, table.held_out).named(), rel=1e-9)


def test_rows_that_decide_when_to_stop_are_not_drawn_as_a_test(folder, gd, monkeypatch):
    pytest.importorskip("matplotlib")
    from gdcore.report import page

    seen = []
    monkeypatch.setattr(page, "save_plot", lambda report, path: seen.append(report))
    given = ("train", "homes.csv", "--target", "price", "--exclude", OTHERS["price"], "--model", "mlp:4", "--epochs", "5")
    for more in ([], ["--patience", "9"]):
        assert gd(*given, "--plot", "t.png", *more)[0] == 0
    assert np.isfinite(seen[0].history.validation_loss).all()
    assert np.isnan(seen[1].history.validation_loss).all()
    assert len(seen[1].history.loss) == 5
    frame(70, seed=1).to_csv("new.csv", index=False)
    assert gd(*given, "--plot", "t.png", "--test", "new.csv")[0] == 0
    assert (len(seen[2].targets), seen[2].held_out) == (70, True)  # rows of the other file are drawn
    np.testing.assert_allclose(seen[2].targets, frame(70, seed=1).price, rtol=1e-12)


@pytest.mark.parametrize("given", [["--optimizer", "adam"], ["--batch-size", "20"], ["--lr", "1e-5"]], ids=" ".join)
def test_patience_of_other_fits(folder, gd, given):
    status, out, _ = gd(
        "train", "homes.csv", "--target", "price", "--exclude", OTHERS["price"], "--patience", "1", "--epochs", "30", *given
    )
    assert status == 0
    assert "of the rows that train decided when to stop (--patience 1)" in out


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--patience", "3"], "--patience 3 is for networks, mini-batches, or a named --optimizer or --lr"),
        (["--class-weight", "balanced"], "--class-weight is for classes, and the target price is numbers; leave it out"),
        (["--cv", "1"], "--cv 1: a fold is held out while the others train"),
        (["--cv", "200"], "--cv 200 wants two rows a fold, and there are 240; take fewer folds"),
        (["--repeats", "2"], "--repeats repeats a cross-validation: give --cv K"),
        (["--cv", "3", "--split", "time"], "--split and --cv exclude each other: with --cv every row tests once"),
        (["--cv", "3", "--test-size", "0.1"], "--test-size and --cv exclude each other"),
        (["--test", "homes.csv", "--test-size", "0.1"], "--test-size and --test exclude each other"),
        (["--test", "homes.csv", "--split", "time"], "--split and --test exclude each other"),
        (["--stratify"], "--stratify keeps the shares of classes, and the target is numbers; leave it out"),
        (["--test", "none.csv"], "there is no file none.csv"),
        (["--split", "time:dya"], "homes.csv has no column dya (split); did you mean day?"),
        (["--split", "town"], "homes.csv, line 2, column town:"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_are_told_in_one_line(folder, gd, given, said):
    status, out, err = gd("train", "homes.csv", "--target", "price", "--exclude", OTHERS["price"], *given)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("gdcore: ")
    assert said in err
    assert not (folder / "homes.safetensors").exists()


# Predict --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keep", [[], ["--keep", "TARGET"]])
@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize("target", ["price", "cheap", "town"])
def test_predict_tells_the_scores_where_the_target_is_there(folder, gd, target, ending, keep):
    assert gd("train", "homes.csv", "--target", target, "--exclude", OTHERS[target], "--l2", "0.001", "--quiet")[0] == 0
    new = frame(90, seed=2)
    new.loc[7, target] = None
    if ending == "csv":
        new.to_csv("new.csv", index=False)
    else:
        new.to_parquet("new.parquet")
    keep = [value.replace("TARGET", target) for value in keep]
    status, out, err = gd("predict", "homes.safetensors", f"new.{ending}", "--out", "p.csv", *keep)
    assert (status, err) == (0, "")
    lack = "have no number there" if target == "price" else "have none that the model knows"
    assert f"scores of the 89 rows whose {target} is in the table, and 1 more {lack}" in out
    model = gdcore.load("homes.safetensors")
    new[~new.index.isin([7])].to_csv("known.csv", index=False)
    table = gdcore.open_table("known.csv", target, loss=model.loss, exclude=OTHERS[target].split(","))
    table.take(known_encoding(model))
    wanted = scores.score(model, table)
    for line in str(wanted).splitlines():
        assert line in out
    assert len(pd.read_csv("p.csv")) == 90


def test_rows_are_scored_by_their_weights_where_these_are_there(folder, gd):
    assert (
        gd("train", "homes.csv", "--target", "price", "--exclude", "cheap,day,part", "--weights", "weight", "--quiet")[0] == 0
    )
    new, model = frame(90, seed=2), gdcore.load("homes.safetensors")
    X = np.column_stack([new.area, new.rooms, new.town == "Bonn", new.town == "Kiel"]).astype(float)
    errors = abs(new.price - model.predict(X)).to_numpy()
    new["weight"] = new.weight.astype(float)
    new.loc[3, "weight"], new.loc[4, "weight"] = -2.0, np.nan
    new.to_csv("new.csv", index=False)
    out = gd("predict", "homes.safetensors", "new.csv", "--out", "p.csv")[1]
    assert "scores of the 88 rows" in out
    good = np.delete(np.arange(90), [3, 4])
    assert f"  {number(np.average(errors[good], weights=new.weight[good]))}  " in re.search("MAE.*", out).group()
    new.drop(columns="weight").to_csv("new.csv", index=False)
    out = gd("predict", "homes.safetensors", "new.csv", "--out", "p.csv")[1]
    assert f"  {number(errors.mean())}  " in re.search("MAE.*", out).group()


def known_encoding(model):
    from gdcore.rows.columns import Encoding

    return Encoding.of_card(model.card["encoding"])


def test_predict_without_the_target_says_nothing_of_scores(folder, gd):
    assert gd("train", "homes.csv", "--target", "price", "--exclude", OTHERS["price"], "--quiet")[0] == 0
    frame().drop(columns="price").to_csv("new.csv", index=False)
    assert gd("predict", "homes.safetensors", "new.csv", "--out", "p.csv")[1] == f"{N} predictions of price: p.csv\n"
    frame().assign(price="not known").to_csv("new.csv", index=False)
    status, out, err = gd("predict", "homes.safetensors", "new.csv", "--out", "p.csv")
    assert (status, err) == (0, "")
    assert out.endswith(f"no scores: in none of {N} rows the table has a price that the model knows\n")


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        (np.arange(N) % 2 == 0, ["False", "True"]), (3 + 4 * (np.arange(N) % 2), ["3", "7"]),
        (np.where(np.arange(N) % 3 == 0, "01", "1"), ["01", "1"]),
    ],
    ids=["booleans", "numbers", "codes"],
)  # fmt: skip
def test_labels_are_found_however_a_file_has_them(folder, gd, values, labels):
    table = frame()
    table["goal"] = values
    table.to_parquet("homes.parquet")
    table.to_csv("goal.csv", index=False)
    exclude = "price,cheap,weight,day,part"
    assert gd("train", "homes.parquet", "--target", "goal", "--exclude", exclude, "--l2", "0.1", "--quiet")[0] == 0
    assert gdcore.load("homes.safetensors").card["labels"] == labels
    shown = [gd("predict", "homes.safetensors", data, "--out", "p.csv")[1] for data in ("homes.parquet", "goal.csv")]
    assert f"scores of the {N} rows whose goal is in the table\n" in shown[0]
    assert shown[0].splitlines()[1:] == shown[1].splitlines()[1:]


def test_predictions_on_the_standard_output_leave_the_scores_to_stderr(folder, capfdbinary):
    assert parser.main(["train", "homes.csv", "--target", "price", "--exclude", OTHERS["price"], "--quiet"]) == 0
    assert parser.main(["predict", "homes.safetensors", "homes.csv", "--out", "-"]) == 0
    out, err = capfdbinary.readouterr()
    assert out.count(b"\n") == N + 1
    assert f"scores of the {N} rows whose price is in the table" in err.decode()


def test_folds_of_a_table_do_not_change_it(folder):
    table = table_of("price")
    order = Order(table.source, 0, "price")
    before = table.read().X.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table.again(Fold(order, 2, 0)).read()
    np.testing.assert_array_equal(table.read().X, before)
