"""Files that version 0.1.0 stored, as `make_stored` wrote them: models load and predict, runs go on from their checkpoints.

Who changes what is stored has two ways: to read the old form as well, or to refuse it in one sentence that says which version
wrote the file. Then the test of that file asks for the sentence.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from make_stored import AFTER, BEFORE, HELD, MODELS, RUNS, X, numbers

import gdcore
from gdcore.cli import main

pytest.importorskip("safetensors")

STORED = Path(__file__).parent / "data" / "stored"
GIVES = json.loads((STORED / "gives.json").read_text())


def predictions(name):
    """By the formula, from the numbers that are stated beside the files."""
    arrays = [np.array(array) for array in GIVES["models"][name]]
    if name == "network":
        W1, b1, W2, b2 = arrays
        return np.tanh(X @ W1 + b1) @ W2 + b2
    return X @ arrays[0] + (arrays[1] if len(arrays) > 1 else 0)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_of_version_0_1_0_loads_and_predicts(name):
    model = gdcore.load(STORED / f"{name}.safetensors")
    assert numbers(model) == GIVES["models"][name]
    np.testing.assert_allclose(model.predict(X), predictions(name), rtol=1e-12, atol=1e-12)


def test_what_stands_beside_the_numbers():
    run, classes, network = (gdcore.load(STORED / f"{name}.safetensors") for name in ("run", "classes", "network"))
    assert (run.loss.name, run.loss.parameter, classes.loss.name, network.loss) == ("quantile", 0.75, "softmax", None)
    assert run.training["status"] == "epochs"
    assert run.training["epochs"] == 20
    assert run.training["gdcore"] == "0.1.0"
    assert (network.sizes, network.activation) == ([3, 2, 1], "tanh")
    assert gdcore.load(STORED / "float32.safetensors").weights.dtype == np.float32
    np.testing.assert_allclose(classes.predict_proba(X).sum(axis=1), 1, rtol=1e-12)


def test_a_model_with_the_columns_of_its_table_predicts_a_table(tmp_path, capsys):
    pytest.importorskip("pyarrow")
    assert gdcore.load(STORED / "table.safetensors").columns == ["area", "town=Kiel", "town=Ulm"]
    (tmp_path / "new.csv").write_text("town,area\nUlm,40\nBonn,\nKöln,60\n")
    # rent = 140 + 8·area, and in Ulm 25 more; the mean area is 92.5, and Bonn, the first of three that are as common, the base
    assert (
        main(["predict", str(STORED / "table.safetensors"), str(tmp_path / "new.csv"), "--out", str(tmp_path / "out.csv")])
        == 0
    )
    np.testing.assert_allclose(np.loadtxt(tmp_path / "out.csv", skiprows=1), [140 + 320 + 25, 140 + 740, 140 + 480], rtol=1e-9)
    assert "'Köln'" in capsys.readouterr().err


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.filterwarnings("ignore::gdcore.CheckpointWarning")  # another CPU or NumPy wrote it: last bits may differ
def test_a_run_goes_on_from_a_checkpoint_of_version_0_1_0(name, tmp_path):
    targets, options = RUNS[name]
    shutil.copy(STORED / f"{name}.ckpt", tmp_path)
    run = gdcore.fit(X, targets, epochs=AFTER, checkpoint=tmp_path / f"{name}.ckpt", resume=True, **options)
    told = GIVES["runs"][name]
    assert (run.status, run.epochs) == (told["status"], len(told["loss"]))
    np.testing.assert_allclose(run.history.loss, told["loss"], rtol=1e-9)
    for found, wanted in zip(numbers(run.model), told["numbers"], strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-7, atol=1e-9)


@pytest.mark.filterwarnings("ignore::gdcore.CheckpointWarning")
def test_a_run_that_wants_no_more_epochs_is_given_back_as_the_file_holds_it(tmp_path):
    targets, options = RUNS["patience"]
    shutil.copy(STORED / "patience.ckpt", tmp_path)
    run = gdcore.fit(X, targets, epochs=BEFORE, checkpoint=tmp_path / "patience.ckpt", resume=True, **options)
    assert run.epochs == BEFORE
    held = np.mean((HELD[0] @ run.model.weights + run.model.bias - HELD[1]) ** 2)
    assert run.history.validation_loss[-1] == pytest.approx(held, rel=1e-9)


@pytest.mark.filterwarnings("ignore::gdcore.CheckpointWarning")
def test_other_data_are_still_noticed(tmp_path):
    targets, options = RUNS["descent"]
    shutil.copy(STORED / "descent.ckpt", tmp_path)
    with pytest.raises(ValueError, match="on other data: X and Y have other values than then"):
        gdcore.fit(2 * X, targets, epochs=AFTER, checkpoint=tmp_path / "descent.ckpt", resume=True, **options)
