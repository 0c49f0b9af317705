"""`gdcore.train` against the loop of the textbook, written out below as a lesson would write it."""

import contextlib
import io
import signal
import subprocess
import sys

import numpy as np
import pytest

import gdcore

SHAPES = [(), (1,), (3,)]
LABELS = [
    "epoch",
    "prediction",
    "target",
    "difference",
    "loss",
    "gradients",
    "weights",
    "new prediction",
    "new loss",
]


def textbook(X, Y, weights, lr, epochs, decimals=None, verbose=False):
    """The loop of the textbook in NumPy: the definition that `train` is held to."""
    n = len(X)
    weights = weights.copy()
    for epoch in range(1, epochs + 1):
        prediction = X @ weights
        difference = Y - prediction
        loss = mean_square(difference)
        gradients = -2 * X.T @ difference / n
        if decimals is not None:
            gradients = np.round(gradients, decimals)
        weights -= lr * gradients
        if decimals is not None:
            weights = np.round(weights, decimals)
        new_prediction = X @ weights
        if verbose:
            print("epoch:", epoch)
            print("prediction:", on_one_line(prediction[:5]))
            print("target:", on_one_line(Y[:5]))
            print("difference:", on_one_line(difference[:5]))
            print("loss:", loss)
            print("gradients:", on_one_line(gradients))
            print("weights:", on_one_line(weights))
            print("new prediction:", on_one_line(new_prediction[:5]))
            print("new loss:", mean_square(Y - new_prediction))
    return weights


def mean_square(difference):
    return float((difference**2).sum(dtype=np.float64)) / len(difference)


def on_one_line(values):
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    with np.printoptions(linewidth=1_000_000):
        return "".join(str(values).splitlines())


def printed(function, *arguments, **options):
    """What it prints, as lines, and what it returns."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        result = function(*arguments, **options)
    return out.getvalue().splitlines(), result


def problem(outputs, dtype=np.float64, n=30, d=4, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)).astype(dtype)
    Y = (X @ rng.normal(size=(d, *outputs)) + 0.1 * rng.normal(size=(n, *outputs))).astype(dtype)
    return X, Y, rng.normal(size=(d, *outputs)).astype(dtype)


def numbers(line):
    """The numbers of a line, after its label."""
    return np.array([float(word) for word in line.split(":")[1].replace("[", " ").replace("]", " ").split()])


@pytest.mark.parametrize("outputs", SHAPES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_is_the_textbook_loop(outputs, dtype):
    X, Y, weights = problem(outputs, dtype)
    learned = gdcore.train(X, Y, weights, 0.05, 25)
    assert learned.shape == weights.shape
    assert learned.dtype == dtype
    np.testing.assert_allclose(learned, textbook(X, Y, weights, 0.05, 25), rtol=0, atol=1e-13 if dtype == np.float64 else 2e-6)


@pytest.mark.parametrize("outputs", SHAPES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("decimals", [3, 0, -1])
def test_rounds_exactly_as_the_textbook(outputs, dtype, decimals):
    X, Y, weights = problem(outputs, dtype)
    scale = 10.0**-decimals
    Y, weights = (Y * (7 * scale)).astype(dtype), np.round(weights * (5 * scale), decimals)
    wanted = textbook(X, Y, weights, 0.13, 25, decimals)
    learned = gdcore.train(X, Y, weights, 0.13, 25, decimals=decimals)
    assert not np.array_equal(wanted, weights)
    np.testing.assert_array_equal(learned, wanted)
    assert learned.dtype == dtype


@pytest.mark.filterwarnings("ignore::gdcore.LearningRateWarning")
@pytest.mark.parametrize("outputs", SHAPES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("decimals", [0, -1])
def test_rounds_halves_to_even_as_the_textbook(outputs, dtype, decimals):
    # Small integers on four rows: every gradient is an exact multiple of one half, and halves abound.
    rng = np.random.default_rng(2)
    unit = 10**-decimals
    X = rng.integers(-2, 3, size=(4, 3)).astype(dtype)
    Y = (unit * rng.integers(-9, 10, size=(4, *outputs))).astype(dtype)
    weights = (unit * rng.integers(-4, 5, size=(3, *outputs))).astype(dtype)
    gradients = 2 * X.T @ (X @ weights - Y) / 4 / unit
    assert (gradients % 2 == 0.5).any()
    assert (gradients % 2 == 1.5).any()
    for epochs in (1, 2, 3, 10):
        np.testing.assert_array_equal(
            gdcore.train(X, Y, weights, 0.125, epochs, decimals=decimals), textbook(X, Y, weights, 0.125, epochs, decimals)
        )


@pytest.mark.parametrize("outputs", SHAPES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("decimals", [3, 1])
def test_prints_the_lines_of_the_textbook(outputs, dtype, decimals):
    X, Y, weights = problem(outputs, dtype, seed=1)
    lines, learned = printed(gdcore.train, X, Y, weights, 0.1, 4, decimals=decimals, verbose=True)
    wanted, result = printed(textbook, X, Y, weights, 0.1, 4, decimals=decimals, verbose=True)
    assert [line.split(":")[0] for line in lines] == 4 * LABELS
    for line, line_wanted in zip(lines, wanted, strict=True):
        if "loss" in line_wanted:  # all digits are printed, and the last ones depend on the order of a sum
            assert line.split(":")[0] == line_wanted.split(":")[0]
            np.testing.assert_allclose(numbers(line), numbers(line_wanted), rtol=1e-12, atol=0)
        else:
            assert line == line_wanted
    np.testing.assert_array_equal(learned, result)


@pytest.mark.parametrize("outputs", SHAPES)
def test_prints_the_numbers_of_the_textbook_without_rounding(outputs):
    X, Y, weights = problem(outputs, seed=2)
    with np.printoptions(precision=17):
        lines, learned = printed(gdcore.train, X, Y, weights, 0.1, 6, verbose=True)
        wanted, result = printed(textbook, X, Y, weights, 0.1, 6, verbose=True)
    assert [line.split(":")[0] for line in lines] == 6 * LABELS
    for line, line_wanted in zip(lines, wanted, strict=True):
        assert line.count("[") == line_wanted.count("[")
        np.testing.assert_allclose(numbers(line), numbers(line_wanted), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(learned, result, rtol=0, atol=1e-13)


def test_prints_six_rows_as_a_lesson_shows_them():
    X = np.array([[1.0], [2.0], [3.0], [4.0], [5.0], [6.0]])
    lines, _ = printed(gdcore.train, X, 2 * X, np.zeros((1, 1)), lr=0.01, epochs=2, decimals=3, verbose=True)
    lines = [f"{line.split(':')[0]}: {numbers(line)[0]:.6f}" if "loss" in line else line for line in lines]
    assert lines == [
        "epoch: 1",
        "prediction: [0. 0. 0. 0. 0.]",
        "target: [ 2.  4.  6.  8. 10.]",
        "difference: [ 2.  4.  6.  8. 10.]",
        "loss: 60.666667",
        "gradients: [-60.667]",
        "weights: [0.607]",
        "new prediction: [0.607 1.214 1.821 2.428 3.035]",
        "new loss: 29.430143",
        "epoch: 2",
        "prediction: [0.607 1.214 1.821 2.428 3.035]",
        "target: [ 2.  4.  6.  8. 10.]",
        "difference: [1.393 2.786 4.179 5.572 6.965]",
        "loss: 29.430143",
        "gradients: [-42.254]",
        "weights: [1.03]",
        "new prediction: [1.03 2.06 3.09 4.12 5.15]",
        "new loss: 14.270317",
    ]


@pytest.mark.parametrize("outputs", SHAPES)
def test_every_printed_line_is_one_line_however_many_columns(outputs):
    X, Y, weights = problem(outputs, n=12, d=50)
    lines, _ = printed(gdcore.train, X, Y, weights, 0.01, 3, verbose=True)
    assert [line.split(":")[0] for line in lines] == 3 * LABELS
    k = outputs[0] if outputs else 1
    for line in lines:
        label = line.split(":")[0]
        size = {"gradients": 50 * k, "weights": 50 * k, "epoch": 1, "loss": 1, "new loss": 1}.get(label, 5 * k)
        assert numbers(line).size == size, label


@pytest.mark.parametrize("n", [1, 2, 5, 6])
def test_prints_the_first_five_samples_only(n):
    X, Y, weights = problem((), n=n, d=2)
    lines, _ = printed(gdcore.train, X, Y, weights, 0.01, 1, decimals=2, verbose=True)
    wanted, _ = printed(textbook, X, Y, weights, 0.01, 1, decimals=2, verbose=True)
    for index in (1, 2, 3, 7):
        assert lines[index] == wanted[index]
        assert numbers(lines[index]).size == min(n, 5)


def test_is_silent_unless_verbose():
    X, Y, weights = problem(())
    assert printed(gdcore.train, X, Y, weights, 0.01, 3)[0] == []
    assert printed(gdcore.train, X, Y, weights, 0.01, 0, verbose=True)[0] == []


@pytest.mark.parametrize("outputs", SHAPES)
@pytest.mark.parametrize("decimals", [None, 3])
@pytest.mark.parametrize("verbose", [False, True])
def test_never_changes_the_callers_arrays(outputs, decimals, verbose):
    arrays = problem(outputs)
    before = [array.tobytes() for array in arrays]
    _, learned = printed(gdcore.train, *arrays, 0.05, 5, decimals=decimals, verbose=verbose)
    assert [array.tobytes() for array in arrays] == before
    assert not any(np.shares_memory(learned, array) for array in arrays)
    assert not np.array_equal(learned, arrays[2])


@pytest.mark.parametrize("outputs", SHAPES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("decimals", [None, 1])
def test_no_epochs_return_a_copy_of_the_weights(outputs, dtype, decimals):
    X, Y, weights = problem(outputs, dtype)
    learned = gdcore.train(X, Y, weights, 0.05, 0, decimals=decimals)
    np.testing.assert_array_equal(learned, weights)
    assert learned.dtype == dtype
    assert learned.flags.writeable
    assert not np.shares_memory(learned, weights)


def test_takes_lists_and_integers():
    learned = gdcore.train([[1], [2], [3]], [[2], [4], [6]], [[0]], lr=0.1, epochs=100)
    assert learned.dtype == np.float64
    np.testing.assert_allclose(learned, [[2.0]], rtol=1e-12)


def test_the_learned_weights_have_the_dtype_of_X():
    X, Y, weights = problem(())
    assert gdcore.train(X.astype(np.float32), Y, weights, 0.05, 3).dtype == np.float32
    assert gdcore.train(X, Y, weights.astype(np.float32), 0.05, 3).dtype == np.float64


def test_arguments_go_by_position_as_in_the_signature():
    X, Y, weights = problem((), n=4)
    lines, learned = printed(gdcore.train, X, Y, weights, 0.1, 2, 1, True)
    assert len(lines) == 2 * len(LABELS)
    np.testing.assert_array_equal(learned, textbook(X, Y, weights, 0.1, 2, 1))


@pytest.mark.parametrize(
    "lines",
    [
        ["from gdcore import train"],
        ["from gdcore.train import train"],
        ["import gdcore.train", "train = gdcore.train"],
        ["import gdcore.train", "import gdcore", "train = gdcore.train"],
        ["import gdcore", "import gdcore.train", "train = gdcore.train"],
        ["from gdcore.train import fit, train", "import gdcore.train", "assert train is gdcore.train"],
        ["import importlib", "importlib.import_module('gdcore.train')", "from gdcore import train"],
    ],
    ids=" / ".join,
)
def test_is_imported_by_every_name(lines, tmp_path):
    code = "\n".join([*lines, "print(train([[1.0]], [2.0], [0.0], 0.25, 2)[0])"])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "1.5\n", "")


@pytest.mark.parametrize("decimals", [None, 3])
def test_control_c_is_a_keyboard_interrupt(decimals, tmp_path):
    code = f"""
import os, signal, threading
import numpy as np
import gdcore
signal.signal(signal.SIGINT, signal.default_int_handler)
X = np.random.default_rng(0).normal(size=(4000, 20))
weights = np.zeros(20)
threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    gdcore.train(X, X[:, 0], weights, 1e-9, 3_000_000, decimals={decimals})
except KeyboardInterrupt:
    assert not weights.any()
    print("interrupted")
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "interrupted\n", "")


def test_an_uncaught_control_c_ends_the_process_as_python_does(tmp_path):
    code = """
import signal
import numpy as np
import gdcore
signal.signal(signal.SIGINT, signal.default_int_handler)
X = np.random.default_rng(0).normal(size=(4000, 20))
print("begin", flush=True)
gdcore.train(X, X[:, 0], np.zeros(20), 1e-9, 3_000_000)
print("end", flush=True)
"""
    child = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout.readline() == "begin\n"
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(0.3)
        child.send_signal(signal.SIGINT)
        out, errors = child.communicate(timeout=30)
    finally:
        child.kill()
        child.wait()
    assert out == ""
    assert errors.splitlines()[-1] == "KeyboardInterrupt"
    assert child.returncode == -signal.SIGINT
