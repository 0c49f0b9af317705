"""The exercises: a key is what gdcore's own epoch gives."""

import re
from fractions import Fraction

import numpy as np
import pytest

import gdcore
from gdcore.lessons.sheets import LESSONS, sheet

LOSSES = {1: "mse", 2: "mae", 3: "mae", 4: "logistic"}
# The largest numbers of a sheet are some hundreds, sums of at most eight products: 1e-12 of them is some 1,000 roundings.
CLOSE = {"rtol": 1e-12, "atol": 1e-11}


def floats(values):
    return np.array([float(value) for value in values])


def own_epoch(exercise):
    """Loss before, gradients and new parameters of one epoch of gdcore's, named as a key names them."""
    given = {name: floats(values) for name, values in exercise.given.items()}
    X, y, seen = given["x"][:, None], given["y"], []
    if exercise.lesson == 3:
        model = gdcore.MLP([1, 2, 1])
        model.layers[0].weights[:], model.layers[0].bias[:] = given["W"], given["b"]
        model.layers[1].weights[:], model.layers[1].bias[:] = given["V"][:, None], given["c"]
        y = y[:, None]
    else:
        model = gdcore.Linear(given["w"], given["b"][0])
    options = {"lr": given["lr"][0], "epochs": 1, "callback": lambda epoch: seen.append(epoch)}
    run = gdcore.fit(X, y, model, LOSSES[exercise.lesson], method="stream", on_divergence="keep", **options)
    found = {"loss": [run.history.start]}
    if exercise.lesson == 3:
        (dW, db), (dV, dc) = seen[0].gradient
        found |= {"dW": dW[0], "db": db, "dV": dV[:, 0], "dc": dc}
        one, two = seen[0].model.layers
        return found | {"new W": one.weights[0], "new b": one.bias, "new V": two.weights[:, 0], "new c": two.bias}
    dw, db = seen[0].gradient
    return found | {"dw": dw[:, 0], "db": db, "new w": seen[0].model.weights, "new b": [seen[0].model.bias]}


@pytest.mark.filterwarnings("ignore::gdcore.DivergenceWarning")  # of mae an epoch may lead to a higher loss
@pytest.mark.parametrize("lesson", LESSONS)
def test_a_key_is_what_an_epoch_of_gdcores_gives(lesson):
    for seed in range(100):
        exercise = sheet(lesson, seed)
        for name, values in own_epoch(exercise).items():
            np.testing.assert_allclose(floats(exercise.key[name]), values, **CLOSE, err_msg=f"{name}, seed {seed}")


@pytest.mark.parametrize("lesson", [1, 2])
def test_train_gives_the_key_too(lesson):
    for seed in range(100):
        exercise = sheet(lesson, seed)
        given = {name: floats(values) for name, values in exercise.given.items()}
        X = np.c_[given["x"], np.ones(4)]
        learned = gdcore.train(
            X, given["y"], [given["w"][0], given["b"][0]], given["lr"][0], 1, verbose=False, loss=LOSSES[lesson]
        )
        np.testing.assert_allclose(learned, floats([*exercise.key["new w"], *exercise.key["new b"]]), **CLOSE)


@pytest.mark.parametrize("lesson", [1, 2, 3])
def test_keys_are_exact(lesson):
    for seed in range(100):
        assert all(isinstance(value, Fraction) for values in sheet(lesson, seed).key.values() for value in values)


def test_no_row_meets_a_jump_and_every_row_can_be_told_apart():
    for seed in range(100):
        network = sheet(3, seed).key
        assert all(max(network[unit]) > 0 and 0 not in network[unit] for unit in ("z1", "z2"))
        assert 0 not in network["r"]
        assert 0 not in sheet(2, seed).key["r"]
        assert set(sheet(4, seed).given["y"]) == {0, 1}
        assert all(len(set(sheet(lesson, seed).given["x"])) == 4 for lesson in LESSONS)
    assert len({sheet(1, seed).text() for seed in range(100)}) == 100


def test_the_squared_error_falls():
    for seed in range(100):
        exercise = sheet(1, seed)
        x, y = exercise.given["x"], exercise.given["y"]
        (w,), (b,) = exercise.key["new w"], exercise.key["new b"]
        assert sum((w * one + b - other) ** 2 for one, other in zip(x, y, strict=True)) / 4 < exercise.key["loss"][0]


def test_the_text_has_room_above_and_the_key_below():
    exercise = sheet(4, 8)
    above, key = exercise.text().split("Key, to 6 decimals")
    assert above.count("____") == len(exercise.lines) == len(re.findall(r" = [-\d]", key))
    assert f"{float(exercise.key['dw'][0]):.6f}" in key
    assert f"{float(exercise.key['dw'][0]):.6f}" not in above
    assert str(sheet(1, 8).key["loss"][0]) in sheet(1, 8).text().split("Key, in fractions, exactly")[1]


def test_a_sheet_that_is_not_there():
    with pytest.raises(ValueError, match=r"^lesson must be between 1 and 4, found 5"):
        sheet(5)
    with pytest.raises(ValueError, match=r"^seed must be at least 0, found -1"):
        sheet(1, -1)


def test_the_command_lists_lessons_and_prints_sheets(gd):
    status, out, err = gd("lesson")
    assert (status, err) == (0, "")
    assert [line[:2] for line in out.splitlines()[::2]] == ["1.", "2.", "3.", "4."]
    assert gd("lesson", 2) == (0, "\n".join(out.splitlines()[2:4]) + "\n", "")
    assert gd("lesson", 3, "--sheet", "--seed", 5) == (0, sheet(3, 5).text() + "\n", "")
    assert gd("lesson", 3, "--sheet")[1] == sheet(3, 0).text() + "\n"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["5"], "there are lessons 1 to 4, found 5"),
        (["--sheet"], "--sheet needs the number of a lesson, 1 to 4"),
        (["1", "--seed", "3"], "--seed is of a sheet: give --sheet too"),
        (["one"], "N must be a whole number from 1 on, found 'one'"),
    ],
    ids=["number", "no number", "seed", "no integer"],
)
def test_the_command_says_what_is_wrong(gd, given, said):
    status, out, err = gd("lesson", *given)
    assert (status, out) == (2, "")
    assert said in err
