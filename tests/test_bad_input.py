"""What is wrong is refused: by an exception of the right type that names the argument, what was found and what is wanted.

Each case is a call, the type of its exception, and patterns that its message holds. No case emits a warning, changes an
array of the caller's, or ends in numbers.
"""

import contextlib
import io
import re
import warnings
from fractions import Fraction

import numpy as np
import pytest

import gdcore
from gdcore import Linear, fit
from gdcore.rows.tables import Piece, Table

RNG = np.random.default_rng(0)
N, D, K = 20, 3, 2
X = RNG.normal(size=(N, D))
Y = RNG.normal(size=N)
Y2 = RNG.normal(size=(N, K))
X32, Y32 = X.astype(np.float32), Y.astype(np.float32)
WEIGHTS, WEIGHTS2 = RNG.normal(size=D), RNG.normal(size=(D, K))
MODEL = Linear(WEIGHTS, 0.5)
ONES = np.ones(N)
# More elements than are looked at in one go when a bad one is searched.
BIG, BIG_Y, BIG_WEIGHTS = RNG.normal(size=(40_000, 30)), RNG.normal(size=40_000), np.zeros(30)
CALLERS = {name: value for name, value in globals().items() if isinstance(value, np.ndarray)}


def quietly(function, *arguments, **options):
    with contextlib.redirect_stdout(io.StringIO()):
        return function(*arguments, **options)


def bytes_of(value):
    return value.tobytes() if isinstance(value, np.ndarray) and value.dtype != object else repr(value)


def assert_refused(call, arguments, kind, patterns, **options):
    """``call(*arguments, **options)`` raises exactly ``kind``, every pattern in its message, and leaves no other trace."""
    before = {name: value.tobytes() for name, value in CALLERS.items()}
    given = [bytes_of(argument) for argument in arguments]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(kind) as caught:
            quietly(call, *arguments, **options)
    assert type(caught.value) is kind
    for pattern in patterns:
        assert re.search(pattern, str(caught.value)), f"{pattern!r} is not in: {caught.value}"
    assert {name: value.tobytes() for name, value in CALLERS.items()} == before
    assert [bytes_of(argument) for argument in arguments] == given


def changed(array, place, value):
    array = array.copy()
    array[place] = value
    return array


class Sparse:
    """As scipy's sparse arrays look from outside."""

    nnz = 3
    shape = (N, D)
    dtype = np.dtype(np.float64)

    def toarray(self):
        raise AssertionError("a sparse table must not be made dense behind the caller's back")


def misaligned(array):
    """The same numbers in a packed record, one byte off."""
    packed = np.zeros(array.shape[0], np.dtype([("flag", "i1"), ("values", array.dtype, array.shape[1:])]))
    packed["values"] = array
    view = packed["values"]
    assert not view.flags.aligned
    return view


def swapped(array):
    return array.astype(array.dtype.newbyteorder())


def masked(array):
    return np.ma.masked_greater(array, 1.0)


# ------------------------------------------------------------------------------------------------------------ what is called

# Who takes X and Y, all with weights for 3 columns.
STEPS = {"lr": 0.1, "epochs": 2}
SOME_RUN, SOME_RUN32 = fit(X, Y, **STEPS), fit(X.astype(np.float32), Y, **STEPS)


def _is_float32(table):
    return getattr(table, "dtype", None) == np.float32


WITH_XY = {
    "fit": lambda table, targets: fit(table, targets, **STEPS),
    "fit, reference": lambda table, targets: fit(table, targets, **STEPS, backend="reference"),
    "fit, callback": lambda table, targets: fit(table, targets, **STEPS, callback=lambda epoch: None),
    "resume": lambda table, targets: (SOME_RUN32 if _is_float32(table) else SOME_RUN).resume(table, targets, epochs=2),
    "train": lambda table, targets: gdcore.train(table, targets, WEIGHTS, **STEPS),
    "train, decimals": lambda table, targets: gdcore.train(table, targets, WEIGHTS, **STEPS, decimals=3),
    "train, verbose": lambda table, targets: gdcore.train(table, targets, WEIGHTS, **STEPS, verbose=True),
}
TRAIN = {
    "train": lambda table, targets, weights: gdcore.train(table, targets, weights, **STEPS),
    "train, decimals": lambda table, targets, weights: gdcore.train(table, targets, weights, **STEPS, decimals=3),
    "train, verbose": lambda table, targets, weights: gdcore.train(table, targets, weights, **STEPS, verbose=True),
}


def fixed(calls, *before, after=()):
    """The calls with their first arguments, and their last, given."""

    def with_arguments(call):
        return lambda *arguments: call(*before, *arguments, *after)

    return {name: with_arguments(call) for name, call in calls.items()}


WITH_X = fixed(WITH_XY, after=[Y])
WITH_Y = fixed(WITH_XY, X)
PREDICT = {"predict": MODEL.predict}


class Arguments(tuple):
    """Several arguments of a call, where a row of a table gives more than one."""

    __slots__ = ()

    def __new__(cls, *arguments):
        return super().__new__(cls, arguments)


def cases(calls, table):
    """Every call with every row of the table, named "call: row"."""
    return [
        pytest.param(call, value if isinstance(value, Arguments) else Arguments(value), kind, patterns, id=f"{name}: {row}")
        for name, call in calls.items()
        for row, (value, kind, *patterns) in table.items()
    ]


# --------------------------------------------------------------------------------------------------------- shapes and dtypes

NOT_NUMBERS = {
    "None": (None, TypeError, "must be float32 or float64 .*, found dtype object"),
    "complex": (X + 0j, TypeError, "must be float32 or float64 .*, found dtype complex128"),
    "object": (X.astype(object), TypeError, "must be float32 or float64 .*, found dtype object"),
    "string": (X.astype(str), TypeError, "must be float32 or float64 .*, found dtype <U"),
    "bytes": (X.astype("S8"), TypeError, r"must be float32 or float64 .*, found dtype \|S8"),
    "datetime": (np.zeros((N, D), "M8[s]"), TypeError, r"must be float32 or float64 .*, found dtype datetime64\[s\]"),
    "timedelta": (np.zeros((N, D), "m8[s]"), TypeError, r"must be float32 or float64 .*, found dtype timedelta64\[s\]"),
    "record": (np.zeros((N, D), "f8,f8"), TypeError, "must be float32 or float64 .*, found dtype"),
    "fractions": ([[Fraction(1, 3)]] * N, TypeError, "must be float32 or float64 .*, found dtype object"),
    "huge integers": ([[2**70] * D] * N, TypeError, "must be float32 or float64 .*, found dtype object"),
    "float16": (X.astype(np.float16), TypeError, "must be float32 or float64 .*, found dtype float16"),
    "big-endian": (swapped(X), TypeError, r"has dtype >f8", r"astype\('f8'\)"),
    "big-endian float32": (swapped(X32), TypeError, r"has dtype >f4", r"astype\('f4'\)"),
    "masked": (masked(X), TypeError, "masked array", r"filled\(0\)"),
    "sparse": (Sparse(), TypeError, r"is sparse \(Sparse\)", r"toarray\(\)"),
    "ragged": ([[1.0, 2.0], [3.0]], ValueError, "is not a rectangular table of numbers"),
    "misaligned": (misaligned(X), ValueError, "not multiples of its item size", r"np\.array\("),
    "misaligned float32": (misaligned(X32), ValueError, "not multiples of its item size", r"np\.array\("),
}
if np.dtype(np.longdouble).itemsize > 8:
    NOT_NUMBERS["longdouble"] = (X.astype(np.longdouble), TypeError, "must be float32 or float64 .*, found dtype")


def named(table, name):
    """The table with one more pattern a row: the message begins with the argument's name."""
    return {row: (*entry, rf"^{name} ") for row, entry in table.items()}


BAD_X = named(NOT_NUMBERS, "X") | {
    "1-D": (X[:, 0], ValueError, r"^X must have shape \(n, d\)", r"found shape \(20,\)", r"one column is X\[:, None\]"),
    "3-D": (X[None], ValueError, r"^X must have shape \(n, d\)", r"found shape \(1, 20, 3\)"),
    "0-D": (3.0, ValueError, r"^X must have shape \(n, d\)", r"found shape \(\)"),
    "no rows": (X[:0], ValueError, "^X is empty", r"found shape \(0, 3\)", "at least one row and one column"),
    "no columns": (X[:, :0], ValueError, "^X is empty", r"found shape \(20, 0\)", "at least one row and one column"),
    "neither": (np.zeros((0, 0)), ValueError, "^X is empty", r"found shape \(0, 0\)"),
    "[]": ([], ValueError, r"^X must have shape \(n, d\)", r"found shape \(0,\)"),
    "[[]]": ([[]], ValueError, "^X is empty", r"found shape \(1, 0\)"),
    "nan": (changed(X, (7, 1), np.nan), ValueError, r"^X\[7, 1\] is nan", "must be finite"),
    "inf": (changed(X, (0, 0), np.inf), ValueError, r"^X\[0, 0\] is inf", "must be finite"),
    "-inf": (changed(X, (19, 2), -np.inf), ValueError, r"^X\[19, 2\] is -inf", "must be finite"),
    "the first bad row": (changed(X, ([9, 4, 12], [0, 2, 1]), np.nan), ValueError, r"^X\[4, 2\] is nan"),
    "nan, float32": (changed(X32, (7, 1), np.nan), ValueError, r"^X\[7, 1\] is nan", "must be finite"),
    "nan, Fortran": (np.asfortranarray(changed(X, (7, 1), np.nan)), ValueError, r"^X\[7, 1\] is nan"),
    "inf, strided": (np.repeat(changed(X, (7, 1), np.inf), 2, 0)[::2], ValueError, r"^X\[7, 1\] is inf"),
    "inf in a sample that the trace shows": (changed(X, (2, 1), np.inf), ValueError, r"^X\[2, 1\] is inf"),
}


@pytest.mark.parametrize(("call", "arguments", "kind", "patterns"), cases(WITH_X | PREDICT, BAD_X))
def test_bad_X(call, arguments, kind, patterns):
    assert_refused(call, arguments, kind, patterns)


TOO_LARGE_X = {
    "1e200": (X * 1e200, ValueError, "overflows float64", r"X has values up to [12]\.\d+e\+200", "scale the columns of X"),
    "1e300": (X * 1e300, ValueError, "overflows float64", r"X has values up to [12]\.\d+e\+300", "scale the columns of X"),
}


TOO_LARGE_FOR_FLOAT32 = {
    "float32": (X32 * np.float32(1e30), ValueError, "overflows float32", r"X has values up to [12]\.\d+e\+30"),
}


@pytest.mark.parametrize(
    ("call", "arguments", "kind", "patterns"),
    cases(WITH_X, TOO_LARGE_X) + cases(fixed(TRAIN, after=[Y, WEIGHTS]), TOO_LARGE_FOR_FLOAT32),
)
def test_X_too_large(call, arguments, kind, patterns):
    assert_refused(call, arguments, kind, patterns)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize(
    ("row", "column", "value"), [(39_999, 29, np.nan), (39_999, 0, -np.inf), (35_000, 7, np.inf), (0, 0, np.nan)]
)
@pytest.mark.parametrize("name", ["fit", "fit, reference", "train", "train, verbose", "predict", "validation"])
def test_a_bad_value_is_found_in_a_large_table(order, row, column, value, name):
    table = np.array(BIG, order=order)
    table[row, column] = value
    call = {
        "fit": lambda: fit(table, BIG_Y, lr=0.1, epochs=2),
        "fit, reference": lambda: fit(table, BIG_Y, lr=0.1, epochs=2, backend="reference"),
        "train": lambda: gdcore.train(table, BIG_Y, BIG_WEIGHTS, 0.1, 2),
        "train, verbose": lambda: gdcore.train(table, BIG_Y, BIG_WEIGHTS, 0.1, 2, verbose=True),
        "predict": lambda: Linear(BIG_WEIGHTS, 0.0).predict(table),
        "validation": lambda: fit(BIG, BIG_Y, lr=0.1, epochs=2, validation=(table, BIG_Y)),
    }[name]
    subject = "validation X" if name == "validation" else "X"
    assert_refused(call, (), ValueError, [rf"^{subject}\[{row}, {column}\] is {value}: every value must be finite"])


BAD_Y = named({row: entry for row, entry in NOT_NUMBERS.items() if row != "fractions"}, "Y") | {
    "too short": (Y[:-1], ValueError, r"^Y must have shape \(n,\) or \(n, k\) with X's n = 20 rows", r"found shape \(19,\)"),
    "too long": (np.append(Y, 0), ValueError, "^Y must have shape", "n = 20", r"found shape \(21,\)"),
    "a row": (Y[None], ValueError, "^Y must have shape", "n = 20", r"found shape \(1, 20\)"),
    "3-D": (Y[:, None, None], ValueError, "^Y must have shape", r"found shape \(20, 1, 1\)"),
    "0-D": (1.0, ValueError, "^Y must have shape", r"found shape \(\)"),
    "[]": ([], ValueError, "^Y must have shape", r"found shape \(0,\)"),
    "no outputs": (np.zeros((N, 0)), ValueError, "^Y must have shape", r"found shape \(20, 0\)"),
    "nan": (changed(Y, 7, np.nan), ValueError, r"^Y\[7\] is nan", "must be finite"),
    "-inf in the last": (changed(Y, 19, -np.inf), ValueError, r"^Y\[19\] is -inf", "must be finite"),
    "the first bad row": (changed(Y, [9, 4, 12], np.nan), ValueError, r"^Y\[4\] is nan"),
    "1e300": (changed(Y, 7, 1e300), ValueError, "overflow", r"Y up to 1e\+300"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "arguments", "kind", "patterns"), cases(WITH_Y, BAD_Y))
def test_bad_Y(call, arguments, kind, patterns):
    assert_refused(call, arguments, kind, patterns)


FITS = {name: WITH_XY[name] for name in ("fit", "fit, reference")}
LARGE_Y, LARGE_Y2 = changed(Y, 7, 1e300), changed(Y2, (7, 1), -1e300)
DOES_NOT_FIT = "does not fit float32, the dtype of X"
BAD_XY = {
    "Y[3, 1] is nan": (Arguments(X, changed(Y2, (3, 1), np.nan)), ValueError, r"^Y\[3, 1\] is nan", "must be finite"),
    "Y too large": (Arguments(X32, LARGE_Y), ValueError, r"^Y\[7\] is 1e\+300", DOES_NOT_FIT),
    "Y[7, 1] too large": (Arguments(X32, LARGE_Y2), ValueError, r"^Y\[7, 1\] is -1e\+300", DOES_NOT_FIT),
    "Y too large and nan": (Arguments(X32, changed(LARGE_Y, 9, np.nan)), ValueError, r"^Y\[7\] is 1e\+300", DOES_NOT_FIT),
    "Y inf, X float32": (Arguments(X32, changed(Y, 7, np.inf)), ValueError, r"^Y\[7\] is inf", "must be finite"),
}


@pytest.mark.parametrize(("call", "arguments", "kind", "patterns"), cases(FITS, BAD_XY))
def test_bad_X_and_Y(call, arguments, kind, patterns):
    assert_refused(call, arguments, kind, patterns)


# ------------------------------------------------------------------------------------------------------- weights and biases

BAD_WEIGHTS = named({row: entry for row, entry in NOT_NUMBERS.items() if row != "fractions"}, "weights") | {
    "0-D": (1.0, ValueError, r"^weights must have shape \(d,\) or \(d, k\)", r"found shape \(\)"),
    "3-D": (np.zeros((D, 1, 1)), ValueError, r"^weights must have shape \(d,\) or \(d, k\)", r"found shape \(3, 1, 1\)"),
    "empty": ([], ValueError, r"^weights must have shape \(d,\) or \(d, k\)", r"found shape \(0,\)"),
    "no outputs": (np.zeros((D, 0)), ValueError, r"^weights must have shape \(d,\) or \(d, k\)", r"found shape \(3, 0\)"),
    "nan": (changed(WEIGHTS, 1, np.nan), ValueError, r"^weights\[1\] is nan", "must be finite"),
    "inf": (changed(WEIGHTS2, (2, 1), np.inf), ValueError, r"^weights\[2, 1\] is inf", "must be finite"),
}
MAKE = {"Linear": lambda weights: Linear(weights, 0.0), "Linear, no bias": lambda weights: Linear(weights, None)}


@pytest.mark.parametrize(("call", "arguments", "kind", "patterns"), cases(MAKE | fixed(TRAIN, X, Y), BAD_WEIGHTS))
def test_bad_weights(call, arguments, kind, patterns):
    assert_refused(call, arguments, kind, patterns)


Y1, WEIGHTS1, LARGE_WEIGHTS = Y[:, None], WEIGHTS[:, None], changed(WEIGHTS, 1, 1e300)
MISFITS = {
    "too few": (Arguments(X, Y, WEIGHTS[:2]), ValueError, "^X has 3 columns", "weights for 2"),
    "too many": (Arguments(X, Y2, np.zeros((4, K))), ValueError, "^X has 3 columns", "weights for 4"),
    "Y (n, 1), weights (d,)": (Arguments(X, Y1, WEIGHTS), ValueError, r"^Y has shape \(20, 1\)", r"\(3,\) predict \(20,\)"),
    "Y (n,), weights (d, 1)": (Arguments(X, Y, WEIGHTS1), ValueError, r"^Y has shape \(20,\)", r"\(3, 1\) predict \(20, 1\)"),
    "Y (n, 2), weights (d,)": (Arguments(X, Y2, WEIGHTS), ValueError, r"^Y has shape \(20, 2\)", r"\(3,\) predict \(20,\)"),
    "Y (n, 2), weights (d, 1)": (Arguments(X, Y2, WEIGHTS1), ValueError, r"^Y has shape \(20, 2\)", r"predict \(20, 1\)"),
    "do not fit float32": (Arguments(X32, Y32, LARGE_WEIGHTS), ValueError, "^weights", r"\[1", "float32"),
    "overflow": (Arguments(X, Y, WEIGHTS * 1e300), ValueError, "overflows float64", r"weights up to \d\.\d+e\+(299|300)"),
}
FIT_MODEL = {
    "fit": lambda table, targets, weights: fit(table, targets, Linear(weights, None), **STEPS),
    "fit, reference": lambda table, targets, weights: fit(table, targets, Linear(weights, None), **STEPS, backend="reference"),
}


@pytest.mark.parametrize(("call", "arguments", "kind", "patterns"), cases(TRAIN | FIT_MODEL, MISFITS))
def test_weights_that_do_not_fit(call, arguments, kind, patterns):
    assert_refused(call, arguments, kind, patterns)


@pytest.mark.parametrize(
    ("weights", "bias", "kind", "patterns"),
    [
        (WEIGHTS, [0.5], ValueError, [r"^bias must have shape \(\) \(a number\)", r"weights \(3,\)", r"found shape \(1,\)"]),
        (WEIGHTS, [[0.5]], ValueError, [r"^bias must have shape \(\)", r"found shape \(1, 1\)"]),
        (WEIGHTS2, 0.5, ValueError, [r"^bias must have shape \(2,\)", r"weights \(3, 2\)", r"found shape \(\)"]),
        (WEIGHTS2, [0.5], ValueError, [r"^bias must have shape \(2,\)", r"found shape \(1,\)"]),
        (WEIGHTS2, [[0.5, 0.5]], ValueError, [r"^bias must have shape \(2,\)", r"found shape \(1, 2\)"]),
        (WEIGHTS2, [], ValueError, [r"^bias must have shape \(2,\)", r"found shape \(0,\)"]),
        (WEIGHTS, np.nan, ValueError, ["^bias is nan", "must be finite"]),
        (WEIGHTS, -np.inf, ValueError, ["^bias is -inf", "must be finite"]),
        (WEIGHTS2, [0.0, np.nan], ValueError, [r"^bias\[1\] is nan", "must be finite"]),
        (WEIGHTS, "0.5", TypeError, ["^bias must be float32 or float64 .*, found dtype <U3"]),
        (WEIGHTS, 1j, TypeError, ["^bias must be float32 or float64 .*, found dtype complex128"]),
        (WEIGHTS, np.float16(1), TypeError, ["^bias must be float32 or float64 .*, found dtype float16"]),
        (WEIGHTS, [[1.0], [2.0, 3.0]], ValueError, ["^bias is not a rectangular table"]),
        (np.zeros(D, np.float32), 1e300, ValueError, ["^bias", r"1e\+300|inf"]),
        (np.zeros((D, K), np.float32), [0.0, -1e300], ValueError, ["^bias", r"-1e\+300|-inf"]),
    ],
    ids=[
        "a vector for (d,)", "a table for (d,)", "a number for (d, k)", "too short", "a row", "empty", "nan", "-inf",
        "nan in the last", "text", "complex", "float16", "ragged", "too large for float32", "one too large for float32",
    ],
)  # fmt: skip
def test_bad_bias(weights, bias, kind, patterns):
    assert_refused(Linear, (weights, bias), kind, patterns)


@pytest.mark.parametrize("backend", ["kernel", "reference"])
def test_a_bias_that_does_not_fit_the_dtype_of_X(backend):
    model = Linear(np.zeros(D), 1e300)
    patterns = ["^bias", r"float32|1e\+300"]
    assert_refused(fit, (X32, Y32, model), ValueError, patterns, **STEPS, backend=backend)
    assert_refused(model.predict, (X32,), ValueError, patterns)


def test_weights_that_do_not_fit_the_dtype_of_X_do_not_predict():
    model = Linear(LARGE_WEIGHTS, None)
    assert_refused(model.predict, (X32,), ValueError, ["^weights", "float32"])


def test_predict_wants_the_columns_of_the_model():
    assert_refused(MODEL.predict, (X[:, :2],), ValueError, ["^X has 2 columns", "weights for 3"])


# ----------------------------------------------------------------------------------------------------------------- options

NOT_A_NUMBER = {
    "string": ("0.1", TypeError, "must be a number, found '0.1'"),
    "None": (None, TypeError, "must be a number, found None"),
    "array": (np.array([0.1]), TypeError, "must be a number, found array"),
    "list": ([0.1], TypeError, r"must be a number, found \[0.1\]"),
    "True": (True, TypeError, "must be a number, found True"),
    "np.True_": (np.True_, TypeError, "must be a number, found np.True_"),
    "complex": (1j, TypeError, "must be a number, found 1j"),
    "np.complex128": (np.complex128(1), TypeError, "must be a number"),
    "0-D array of text": (np.array("a"), TypeError, "must be a number"),
    "nan": (np.nan, ValueError, "must be finite and not negative, found nan"),
    "inf": (np.inf, ValueError, "must be finite and not negative, found inf"),
    "negative": (-0.1, ValueError, "must be finite and not negative, found -0.1"),
    "10**400": (10**400, ValueError, "must be finite"),
}
NOT_AN_INTEGER = {
    "float": (2.0, TypeError, "must be an integer( or None)?, found 2.0"),
    "nan": (np.nan, TypeError, "must be an integer( or None)?, found nan"),
    "True": (True, TypeError, "must be an integer( or None)?, found True"),
    "np.True_": (np.True_, TypeError, "must be an integer( or None)?, found np.True_"),
    "string": ("3", TypeError, "must be an integer( or None)?, found '3'"),
    "list": ([3], TypeError, r"must be an integer( or None)?, found \[3\]"),
    "array": (np.array([3]), TypeError, r"must be an integer( or None)?, found array"),
    "Fraction": (Fraction(3), TypeError, "must be an integer( or None)?, found Fraction"),
}


def with_option(name, without=()):
    """Everyone who takes the option of that name."""
    options = STEPS
    calls = {
        "fit": lambda value: fit(X, Y, **{**options, name: value}),
        "fit, reference": lambda value: fit(X, Y, backend="reference", **{**options, name: value}),
        "resume": lambda value: SOME_RUN.resume(X, Y, **{"epochs": 2, name: value}),
        "train": lambda value: gdcore.train(X, Y, WEIGHTS, **{**options, name: value}),
        "train, decimals": lambda value: gdcore.train(X, Y, WEIGHTS, **{**options, "decimals": 2, name: value}),
        "train, verbose": lambda value: gdcore.train(X, Y, WEIGHTS, verbose=True, **{**options, name: value}),
        "predict": lambda value: MODEL.predict(X, **{name: value}),
    }
    return {f"{name} of {who}": call for who, call in calls.items() if who not in without}


OF_FIT = ("train", "train, decimals", "train, verbose", "predict")
OPTIONS = [
    *cases(with_option("lr", ["predict"]), named(NOT_A_NUMBER, "lr")),
    *cases(with_option("tol", OF_FIT), named({row: entry for row, entry in NOT_A_NUMBER.items() if row != "None"}, "tol")),
    *cases(
        with_option("epochs", ["predict"]),
        named(
            NOT_AN_INTEGER
            | {
                "None": (None, TypeError, "must be an integer, found None"),
                "negative": (-1, ValueError, "must be at least 0, found -1"),
                "-2**70": (-(2**70), ValueError, "must be at least 0"),
            },
            "epochs",
        ),
    ),
    *cases(
        with_option("decimals", ["predict"]),
        named(
            NOT_AN_INTEGER
            | {
                "-400": (-400, ValueError, "found -400"),
                "400": (400, ValueError, "found 400"),
                "2**70": (2**70, ValueError, f"found {2**70}"),
            },
            "decimals",
        ),
    ),
    *cases(
        with_option("n_threads", ("train", "train, decimals", "train, verbose")),
        named(
            NOT_AN_INTEGER
            | {
                "0": (0, ValueError, "must be at least 1, found 0"),
                "-1": (-1, ValueError, "must be at least 1, found -1"),
            },
            "n_threads",
        ),
    ),
    *cases(
        with_option("loss", OF_FIT),
        {
            "unknown": ("rmse", ValueError, "^loss must be 'mse', .*'softmax', with a parameter .*, found 'rmse'"),
            "None": (None, ValueError, "^loss must be .*, found None"),
            "list": (["mse"], ValueError, r"^loss must be .*, found \['mse'\]"),
            "function": (len, ValueError, "^loss must be .*, found .*len"),
        },
    ),
    *cases(
        with_option("backend", (*OF_FIT, "fit, reference")),
        {
            "unknown": ("cuda", ValueError, "^backend must be 'kernel' or 'reference', found 'cuda'"),
            "None": (None, ValueError, "^backend must be .*, found None"),
            "list": (["kernel"], ValueError, r"^backend must be .*, found \['kernel'\]"),
        },
    ),
    *cases(
        with_option("callback", OF_FIT),
        {
            "number": (5, TypeError, "^callback must be callable, found 5"),
            "text": ("print", TypeError, "^callback must be callable, found 'print'"),
        },
    ),
    *cases(
        with_option("model", ("resume", *OF_FIT)),
        {
            "array": (WEIGHTS, TypeError, "^model must be a gdcore.Linear, a gdcore.MLP or None, found ndarray"),
            "class": (Linear, TypeError, "^model must be a gdcore.Linear, a gdcore.MLP or None, found type"),
            "run": (SOME_RUN, TypeError, "^model must be a gdcore.Linear, a gdcore.MLP or None, found Run"),
            "text": ("linear", TypeError, "^model must be a gdcore.Linear, a gdcore.MLP or None, found str"),
            "other columns": (Linear(np.zeros(4), 0.0), ValueError, "^X has 3 columns", "weights for 4"),
            "other outputs": (Linear(WEIGHTS2, None), ValueError, r"^Y has shape \(20,\)", r"weights of shape \(3, 2\)"),
        },
    ),
]


@pytest.mark.parametrize(("call", "arguments", "kind", "patterns"), OPTIONS)
def test_bad_options(call, arguments, kind, patterns):
    assert_refused(call, arguments, kind, patterns)


BAD_SAMPLE_WEIGHTS = {
    "too short": (ONES[:-1], ValueError, r"must have shape \(20,\), one weight a row of X", r"found shape \(19,\)"),
    "too long": (np.ones(21), ValueError, r"must have shape \(20,\)", r"found shape \(21,\)"),
    "a column": (ONES[:, None], ValueError, r"must have shape \(20,\)", r"found shape \(20, 1\)"),
    "0-D": (1.0, ValueError, r"must have shape \(20,\)", r"found shape \(\)"),
    "empty": ([], ValueError, r"must have shape \(20,\)", r"found shape \(0,\)"),
    "negative": (changed(ONES, 4, -0.5), ValueError, r"\[4\] is -0.5", "must not be negative"),
    "all zero": (0 * ONES, ValueError, "is zero for every row", "at least one weight must be positive"),
    "all minus zero": (-0.0 * ONES, ValueError, "is zero for every row"),
    "nan": (changed(ONES, 19, np.nan), ValueError, r"\[19\] is nan", "must be finite"),
    "inf": (changed(ONES, 0, np.inf), ValueError, r"\[0\] is inf", "must be finite"),
    "text": (["1"] * N, TypeError, "must be float32 or float64 .*, found dtype <U1"),
    "complex": (ONES + 0j, TypeError, "found dtype complex128"),
    "masked": (np.ma.masked_equal(ONES, 2.0), TypeError, "is a masked array"),
    "misaligned": (misaligned(ONES), ValueError, "not multiples of its item size"),
    "big-endian": (swapped(ONES), TypeError, "has dtype >f8"),
}


@pytest.mark.parametrize(
    ("call", "arguments", "kind", "patterns"),
    cases(
        with_option("sample_weight", OF_FIT),
        {row: (*entry, "sample_weight") for row, entry in BAD_SAMPLE_WEIGHTS.items()},
    ),
)
def test_bad_sample_weights(call, arguments, kind, patterns):
    assert_refused(call, arguments, kind, patterns)


@pytest.mark.parametrize("backend", ["kernel", "reference"])
@pytest.mark.parametrize("scale", [1e-300, 1e-50, 1e38, 1e300])
@pytest.mark.parametrize("data", [(X, Y), (X32, Y32)], ids=["float64", "float32"])
def test_only_the_proportions_of_sample_weights_matter(backend, scale, data):
    weights = np.linspace(0.5, 1.5, len(X))
    wanted = fit(*data, **STEPS, sample_weight=weights, backend=backend)
    found = fit(*data, **STEPS, sample_weight=weights * scale, backend=backend)
    np.testing.assert_allclose(found.model.weights, wanted.model.weights, rtol=1e-12 if data[0] is X else 1e-5)


BAD_VALIDATION = {
    "number": (5, TypeError, r"^validation must be a pair \(Xv, Yv\)"),
    "X alone": (X, TypeError, r"^validation must be a pair \(Xv, Yv\)"),
    "one": ((X,), TypeError, r"^validation must be a pair \(Xv, Yv\)"),
    "four": ((X, Y, ONES, ONES), TypeError, r"^validation must be a pair \(Xv, Yv\), or three"),
    "weights too short": ((X, Y, ONES[:4]), ValueError, r"^validation sample_weight must have shape \(20,\)", "validation X"),
    "weights all zero": ((X, Y, 0 * ONES), ValueError, "^validation sample_weight is zero for every row"),
    "a negative weight": ((X, Y, changed(ONES, 3, -1)), ValueError, r"^validation sample_weight\[3\] is -1"),
    "text": ("XY", TypeError, "^validation X must be .*, found dtype <U1"),
    "None, None": ((None, None), TypeError, "^validation X must be .*, found dtype object"),
    "X 1-D": ((X[:, 0], Y), ValueError, r"^validation X must have shape \(n, d\)", r"found shape \(20,\)"),
    "X empty": ((X[:0], Y[:0]), ValueError, "^validation X is empty", r"found shape \(0, 3\)"),
    "X of other columns": ((X[:, :2], Y), ValueError, "^validation X has 2 columns", "X has 3"),
    "Y too short": ((X, Y[:4]), ValueError, "^validation Y must have shape", "n = 20", r"found shape \(4,\)"),
    "Y of other outputs": ((X, Y2), ValueError, r"^validation Y has shape \(20, 2\)", r"Y has shape \(20,\)"),
    "Y a column": ((X, Y[:, None]), ValueError, r"^validation Y has shape \(20, 1\)", r"Y has shape \(20,\)"),
    "nan in X": ((changed(X, (3, 2), np.nan), Y), ValueError, r"^validation X\[3, 2\] is nan", "must be finite"),
    "inf in Y": ((X, changed(Y, 3, np.inf)), ValueError, r"^validation Y\[3\] is inf", "must be finite"),
    "X masked": ((masked(X), Y), TypeError, "^validation X is a masked array"),
    "Y sparse": ((X, Sparse()), TypeError, "^validation Y is sparse"),
    "X misaligned": ((misaligned(X), Y), ValueError, "^validation X lies at addresses"),
}


@pytest.mark.parametrize(("call", "arguments", "kind", "patterns"), cases(with_option("validation", OF_FIT), BAD_VALIDATION))
def test_bad_validation(call, arguments, kind, patterns):
    assert_refused(call, arguments, kind, patterns)


@pytest.mark.parametrize("backend", ["kernel", "reference"])
def test_validation_that_does_not_fit_the_dtype_of_X(backend):
    options = {**STEPS, "backend": backend}
    for validation, pattern in (
        ((changed(X, (3, 2), 1e300), Y), r"^validation X\[3, 2\] is 1e\+300, which does not fit float32"),
        ((X, LARGE_Y), r"^validation Y\[7\] is 1e\+300, which does not fit float32"),
        ((X32, LARGE_Y), r"^validation Y\[7\] is 1e\+300, which does not fit float32"),
    ):
        assert_refused(fit, (X32, Y32), ValueError, [pattern], **options, validation=validation)


# ------------------------------------------------------------------------------- what looks odd and is good all the same


@pytest.mark.parametrize("backend", ["kernel", "reference"])
def test_a_matrix_is_an_array(backend):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)  # NumPy's, for making one
        table, column, weights = np.matrix(X), np.matrix(Y).T, np.matrix(WEIGHTS).T
    run = fit(table, column, lr=0.1, epochs=5, backend=backend, validation=(table, column))
    wanted = fit(X, Y[:, None], lr=0.1, epochs=5, backend=backend, validation=(X, Y[:, None]))
    assert type(run.model.weights) is np.ndarray
    assert run.model.weights.tobytes() == wanted.model.weights.tobytes()
    assert run.history.validation_loss.tobytes() == wanted.history.validation_loss.tobytes()
    predictions = run.model.predict(table)
    assert type(predictions) is np.ndarray
    np.testing.assert_array_equal(predictions, wanted.model.predict(X))
    learned = quietly(gdcore.train, table, column, weights, 0.1, 5, decimals=3, verbose=True)
    assert type(learned) is np.ndarray
    np.testing.assert_array_equal(learned, gdcore.train(X, Y[:, None], WEIGHTS[:, None], 0.1, 5, decimals=3))


@pytest.mark.parametrize("value", [0.1, np.float64(0.1), np.float32(0.1), np.array(0.1), Fraction(1, 10), 0, np.int8(0)])
def test_any_real_number_is_a_learning_rate(value):
    run = fit(X, Y, lr=value, epochs=3)
    assert run.model.weights.tobytes() == fit(X, Y, lr=float(value), epochs=3).model.weights.tobytes()
    assert run.history.lr.tolist() == 3 * [float(value)]


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3), np.array(3)])
def test_any_integer_is_a_number_of_epochs(value):
    assert fit(X, Y, lr=0.1, epochs=value).epochs == 3


@pytest.mark.parametrize("n_threads", [64, 1000, 2**31, 2**40])
def test_any_number_of_threads_is_good(n_threads):
    wanted = fit(BIG, BIG_Y, lr=0.1, epochs=1, n_threads=1)
    run = fit(BIG, BIG_Y, lr=0.1, epochs=1, n_threads=n_threads)
    assert run.model.weights.tobytes() == wanted.model.weights.tobytes()


def test_minus_zero_is_no_negative_weight():
    s = np.where(np.arange(N) % 2, 1.0, -0.0)
    wanted = fit(X, Y, lr=0.1, epochs=3, sample_weight=np.abs(s))
    assert fit(X, Y, lr=0.1, epochs=3, sample_weight=s).model.weights.tobytes() == wanted.model.weights.tobytes()


def test_nothing_is_left_over_by_a_refused_call():
    # A run goes on after a refused resume as if it had not been.
    run = fit(X, Y, lr=0.1, epochs=3)
    for arguments in ((X, Y[:-1]), (X[:, 0], Y), (changed(X, (1, 1), np.nan), Y)):
        assert_refused(run.resume, arguments, ValueError, [])
    assert run.epochs == 3
    wanted = fit(X, Y, lr=0.1, epochs=5)
    assert run.resume(X, Y, epochs=2).model.weights.tobytes() == wanted.model.weights.tobytes()


# --------------------------------------------------------------------------------- labels, shapes and integers that mislead


@pytest.mark.parametrize(
    ("call", "patterns"),
    {
        "one past": (lambda: gdcore.losses.softmax().at([0.0, 0.0], y=2), [r"y is 2\.0", r"0 … 1", "2 numbers"]),
        "far past": (lambda: gdcore.losses.softmax().at([0.0, 0.0], y=10**9), ["y is 1000000000"]),
        "negative": (lambda: gdcore.losses.softmax().at([0.0, 0.0], y=-1), [r"y is -1\.0"]),
        "between": (lambda: gdcore.losses.softmax().at([0.0, 0.0], y=0.5), [r"y is 0\.5"]),
        "NaN": (lambda: gdcore.losses.softmax().at([0.0, 0.0], y=np.nan), ["y is nan"]),
        "one number": (lambda: gdcore.losses.softmax().at(0.0, y=0), ["raw", r"\(k,\)", r"\(\)"]),
        "a table": (lambda: gdcore.losses.softmax().at(np.zeros((2, 2)), y=0), ["raw", r"\(2, 2\)"]),
        "several for one": (lambda: gdcore.losses.mse().at([0.0, 1.0], y=0), ["raw", "a number", r"\(2,\)"]),
        "several y": (lambda: gdcore.losses.mse().at(0.0, y=[0.0, 1.0]), ["y must be a number", r"\(2,\)"]),
        "binary": (lambda: gdcore.losses.logistic().at(0.0, y=2), [r"y is 2\.0", "logistic wants 0 or 1"]),
    }.values(),
)
def test_a_loss_at_what_it_is_not_for(call, patterns):
    assert_refused(call, (), ValueError, patterns)


@pytest.mark.parametrize(
    ("model", "x", "y", "loss", "patterns"),
    {
        "labels": (Linear(np.ones((3, 2)), np.zeros(2)), X, np.full(N, 1e9), "softmax", [r"Y\[0\]", "0 … 1"]),
        "Y too wide": (Linear(np.ones(3)), X, np.ones((N, 2000)), "mse", ["Y", r"\(20, 2000\)", r"\(20,\)"]),
        "Y too narrow": (Linear(np.ones((3, 500))), X, np.ones(N), "mse", ["Y", r"\(20,\)", r"\(20, 500\)"]),
        "X too wide": (Linear(np.ones(3)), np.ones((N, 4)), np.ones(N), "mse", ["4 columns", "3"]),
        "two for classes": (Linear(np.ones((3, 2))), X, np.ones((N, 1)), "softmax", [r"\(n,\)", r"\(20, 1\)"]),
        "binary": (Linear(np.ones(3)), X, np.full(N, 2.0), "logistic", [r"Y\[0\] is 2\.0", "0 or 1"]),
    }.values(),
)
def test_check_gradient_checks_as_fit_does(model, x, y, loss, patterns):
    assert_refused(gdcore.check_gradient, (model, x, y, loss), ValueError, patterns)


@pytest.mark.parametrize("label", [50.0, 1e9, 2.0**53, 1e300])
def test_more_classes_than_rows(label):
    Y = np.arange(50.0) % 2
    Y[7] = label
    x = np.arange(150.0).reshape(50, 3)
    pattern = rf"Y\[7\] is {int(label)}: 50 rows cannot hold so many classes; number the classes 0 … k − 1"
    assert_refused(fit, (x, Y), ValueError, [pattern], loss="softmax", epochs=1)


def test_a_class_between_that_no_row_has():
    Y = np.arange(N) % 3 + 1
    with pytest.warns(gdcore.LabelWarning, match=r"no row of Y has class 0, .*0 … 3") as heard:
        run = fit(X, Y, loss="softmax", epochs=1, lr=0.1)
    assert run.model.weights.shape == (3, 4)
    assert [warning.filename for warning in heard] == [__file__]
    # A model that is given says how many classes are meant.
    fit(X, Y, run.model, loss="softmax", epochs=1, lr=0.1)


class Mine(Table):
    """A table of one piece, as its author made it."""

    def __init__(self, piece, **says):
        self.piece = piece
        self.names = ["a", "b"]
        vars(self).update(says)

    def blocks(self):
        yield Piece(np.ones((8, 2)), np.zeros((8, 1)), np.ones(8) if self.weighted else None)
        yield self.piece


PIECES = {
    "columns": (Piece(np.ones((8, 3)), np.ones((8, 1)), None), {}, ["X of the rows from 8", r"\(8, 3\)", r"\(8, 2\)"]),
    "one column": (Piece(np.ones(8), np.ones((8, 1)), None), {}, ["X", r"\(8,\)"]),
    "dtype": (Piece(np.ones((8, 2), np.float32), np.ones((8, 1)), None), {}, ["X", "float32", "float64"]),
    "Y's dtype": (Piece(np.ones((8, 2)), np.ones((8, 1), int), None), {}, ["Y", "int64", "float64"]),
    "a list": (Piece([[1.0, 2.0]], np.ones((1, 1)), None), {}, ["X", "list"]),
    "targets": (Piece(np.ones((8, 2)), np.ones((8, 400)), None), {}, ["Y", r"\(8, 400\)", r"\(8, 1\)"]),
    "targets without an axis": (Piece(np.ones((8, 2)), np.ones(8), None), {}, ["Y", r"\(8,\)", r"\(8, 1\)"]),
    "rows": (Piece(np.ones((8, 2)), np.ones((7, 1)), None), {}, ["Y", r"\(7, 1\)"]),
    "weights": (Piece(np.ones((8, 2)), np.ones((8, 1)), np.ones(7)), {"weighted": True}, ["sample_weight", r"\(7,\)"]),
    "weights missing": (Piece(np.ones((8, 2)), np.ones((8, 1)), None), {"weighted": True}, ["from 8 on", "no sample_weight"]),
    "weights not told of": (Piece(np.ones((8, 2)), np.ones((8, 1)), np.ones(8)), {}, ["sample_weight", "weighted = False"]),
}


@pytest.mark.parametrize("loss", ["mse", "mae"])
@pytest.mark.parametrize(("piece", "says", "patterns"), PIECES.values(), ids=list(PIECES))
def test_a_piece_that_is_not_what_its_table_says(loss, piece, says, patterns):
    assert_refused(fit, (Mine(piece, **says),), ValueError, patterns, loss=loss, epochs=2)
    assert_refused(Mine(piece, **says).read, (), ValueError, patterns)


@pytest.mark.parametrize("label", [3.0, 1e9, -1.0, 0.5])
def test_a_table_with_a_label_that_is_none(label):
    mine = Mine(Piece(np.ones((8, 2)), np.full((8, 1), label), None), classes=3)
    patterns = [r"piece of the table Y\[[08], 0\]", re.escape(str(label)), "classes 0 … 2"]
    assert_refused(fit, (mine,), ValueError, patterns, loss="softmax", epochs=2)
    if label != 0.5:  # a share
        assert_refused(fit, (mine,), ValueError, ["Y", re.escape(str(label)), "0 or 1"], loss="logistic", epochs=2)


def test_a_table_that_says_more_classes_than_it_has_rows():
    mine = Mine(Piece(np.ones((8, 2)), np.ones((8, 1)), None), classes=10**12)
    assert_refused(fit, (mine,), ValueError, ["1,000,000,000,000 classes", "16 rows"], loss="softmax", epochs=2)


@pytest.mark.parametrize("shape", [(40000, 1), (20, 2000)])
@pytest.mark.parametrize("options", [{}, {"batch_size": 100}, {"loss": "logistic"}], ids=str)
def test_what_a_callback_does_to_the_shape_of_its_array_changes_nothing(shape, options):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 20))
    y = (x[:, 0] > 0).astype(float)
    wanted = fit(x.copy(), y.copy(), lr=1e-3, epochs=5, callback=lambda epoch: None, **options)

    def callback(epoch):
        x.shape, y.shape = shape, (len(y), 1)

    run = fit(x, y, lr=1e-3, epochs=5, callback=callback, **options)
    assert x.shape == shape
    assert run.model.weights.tobytes() == wanted.model.weights.tobytes()
    assert run.history.loss.tobytes() == wanted.history.loss.tobytes()


@pytest.mark.parametrize("label", [1e9, -1.0, 3.0, np.nan])
@pytest.mark.parametrize("backend", ["kernel", "reference"])
def test_labels_that_a_callback_spoils_end_the_run(backend, label):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(64, 3)), np.arange(64.0) % 3

    def spoil(epoch):
        y[:] = label

    with pytest.raises(gdcore.DivergenceError):
        fit(x, y, loss="softmax", lr=0.1, epochs=3, callback=spoil, backend=backend)


def test_a_value_without_weight_has_to_be_finite_too():
    s = np.ones(N)
    s[5] = 0
    for what in (np.nan, np.inf):
        assert_refused(fit, (X, changed(Y, 5, what)), ValueError, [r"Y\[5\]"], sample_weight=s, **STEPS)
        assert_refused(fit, (changed(X, (5, 1), what), Y), ValueError, [r"X\[5, 1\]"], sample_weight=s, **STEPS)


BIG_INTEGERS = {
    "int64": (np.int64, 2**53 + 1, 2**53),
    "negative": (np.int64, -(2**53) - 3, -(2**53) - 4),
    "largest": (np.int64, 2**63 - 1, 2**63),
    "uint64": (np.uint64, 2**64 - 1, 2**64),
}


@pytest.mark.parametrize(("dtype", "value", "rounded"), BIG_INTEGERS.values(), ids=list(BIG_INTEGERS))
def test_an_integer_that_float64_rounds_is_told_of(dtype, value, rounded):
    for order in "CF":
        x = np.zeros((400_000, 3), dtype, order=order)
        x[399_999, 1] = value
        with pytest.warns(gdcore.PrecisionWarning, match=rf"X\[399999, 1\] is {value}, .* {rounded}:") as heard:
            assert gdcore.rows.arrays.table(x)[399_999, 1] == float(value)
        assert [warning.filename for warning in heard] == [__file__]
    with pytest.warns(gdcore.PrecisionWarning, match=rf"Y\[1\] is {value},"):
        fit([[0.0], [1.0], [2.0]], np.array([1, value, 2], dtype), lr=0.1, epochs=0)


def test_integers_that_float64_holds_are_taken_in_silence():
    powers = [2**k for k in range(63)]
    for column in (powers, [-p for p in powers], [-(2**63), 2**53, -(2**53), 2**53 + 2, 3 * 2**60]):
        x = np.array(column, np.int64)[:, None]
        assert gdcore.rows.arrays.table(x)[:, 0].tolist() == [float(v) for v in column]
