"""Model files: what comes back, what is refused. What a crash or a full disk leaves is in test_container.py."""

import hashlib
import itertools
import json
import os
import pickle
import sys
import textwrap
import zipfile

import numpy as np
import pytest

import gdcore
from gdcore import container, losses
from gdcore.container import FileError
from gdcore.models.mlp import ACTIVATIONS
from gdcore.store.files import load, save

pytest.importorskip("safetensors")

X = np.random.default_rng(7).normal(size=(33, 3))
MODELS = [
    "Linear(d)", "Linear(d), no bias", "Linear(d, 1)", "Linear(d, k)", "Linear(d, k), no bias",
    *(f"MLP {activation}" for activation in ACTIVATIONS), "MLP without hidden layer",
]  # fmt: skip
LOSSES = [None, *(make() for make in losses.LOSSES.values()), losses.huber(0.1), losses.quantile(1 / 3)]


def model_of(kind, dtype="float64", loss=None):
    rng = np.random.default_rng(3)
    if kind.startswith("MLP"):
        sizes = [3, 2] if "without" in kind else [3, 5, 4, 2]
        model = gdcore.MLP(sizes, kind.split()[1] if "without" not in kind else "relu", seed=5, dtype=dtype)
    else:
        shape = {"Linear(d)": (3,), "Linear(d, 1)": (3, 1), "Linear(d, k)": (3, 2)}[kind.split(", no")[0]]
        bias = None if "no bias" in kind else rng.normal(size=shape[1:])
        model = gdcore.Linear(rng.normal(size=shape).astype(dtype), bias)
    model.loss = loss
    return model


def parts(model):
    if isinstance(model, gdcore.MLP):
        return [a for layer in model.layers for a in (layer.weights, layer.bias)]
    return [model.weights] + ([] if model.bias is None else [model.bias])


def same(one, other):
    """Whether both are the same, to the bit."""
    first, second = parts(one), parts(other)
    return (
        type(one) is type(other)
        and one.loss == other.loss
        and getattr(one, "activation", None) == getattr(other, "activation", None)
        and len(first) == len(second)
        and all(
            type(a) is type(b) and a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
            for a, b in zip(first, second, strict=True)
        )
    )


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


# What comes back ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind, dtype", list(itertools.product(MODELS, ["float32", "float64"])))
def test_every_model_comes_back_to_the_bit(path, kind, dtype):
    for loss in LOSSES:
        model = model_of(kind, dtype, loss)
        save(model, path)
        loaded = load(path)
        assert same(loaded, model)
        for rows in (X, X.astype("float32")):
            got, wanted = loaded.predict(rows), model.predict(rows)
            assert got.dtype == wanted.dtype
            assert got.tobytes() == wanted.tobytes()
        if loss is not None and not loss.numeric and model.predict(X).ndim == 2:
            assert loaded.predict_proba(X).tobytes() == model.predict_proba(X).tobytes()
        assert not any(hasattr(loaded, name) for name in ("columns", "card", "training"))
        loaded.predict(X)
        assert all(np.asarray(a).flags.aligned for a in parts(loaded))


def test_extreme_numbers_come_back(path):
    tiny, huge = np.finfo("float64").smallest_subnormal, np.finfo("float64").max
    model = gdcore.Linear([-0.0, tiny, huge, -huge, np.pi], bias=-0.0)
    save(model, path)
    assert same(load(path), model)


def test_a_strided_model_comes_back(path):
    model = gdcore.Linear(np.ones((3, 2)), [0.0, 1.0])
    model.weights = np.arange(12.0).reshape(3, 4)[:, ::2]
    save(model, path)
    assert np.array_equal(load(path).weights, [[0, 2], [4, 6], [8, 10]])
    model.weights = np.arange(6.0).reshape(2, 3).T
    save(model, path)
    assert np.array_equal(load(path).weights, [[0, 3], [1, 4], [2, 5]])


def test_a_run_is_saved_with_how_it_went(path):
    run = gdcore.fit(X, (X[:, 0] > 0).astype(float), loss="logistic", epochs=5, lr=0.1)
    save(run, path)
    loaded = load(path)
    assert same(loaded, run.model)
    told = dict(loaded.training)
    date = told.pop("date")
    assert date.endswith("Z")
    assert told == {
        "status": run.status, "epochs": 5, "loss": run.loss, "gradient_norm": run.gradient_norm, "method": "stream",
        "why": run.method.why, "gdcore": gdcore.__version__,
    }  # fmt: skip
    assert "gap" not in vars(run), "saving must not compute the gap"
    np.testing.assert_array_equal(loaded.predict_proba(X), run.model.predict_proba(X))
    save(loaded, path)
    assert load(path).training == loaded.training


def test_a_loss_that_was_not_computed_is_none(path):
    run = gdcore.fit(X, X[:, 0], epochs=2, lr=0.1, batch_size=4)
    run.gradient_norm = np.nan
    save(run, path)
    assert load(path).training["gradient_norm"] is None


def test_columns_and_card_come_back(path):
    model = model_of("Linear(d)")
    model.columns = ["Größe", 'a "quoted" \\ name', "\x00\n😀"]
    model.card = {
        "categories": {"carrier": ["AA", "9E"]},
        "n": 10**20,
        "x": [1.5, None, True],
        '"sha256":"': '"sha256":"' + "0" * 64 + '"',
    }
    save(model, path)
    loaded = load(path)
    assert (loaded.columns, loaded.card) == (model.columns, model.card)
    model.columns, model.card = None, None
    save(model, path)
    assert not hasattr(load(path), "columns")


@pytest.mark.parametrize("kind", ["Linear(d)", "MLP relu"])
def test_as_many_columns_as_weights(path, kind):
    model = model_of(kind)
    model.columns = ["a", "b", "c"]
    save(model, path)
    assert load(path).columns == model.columns
    model.columns = ["a", "b", "c", "d"]
    with pytest.raises(ValueError, match="its columns are 4 names, and it has weights for 3 columns"):
        save(model, path)


def test_a_hundred_thousand_columns(path):
    model = gdcore.Linear(np.ones(100_000))
    model.columns = [f"column_{i}" for i in range(100_000)]
    save(model, path)
    assert load(path).columns == model.columns


def test_other_programs_can_read_the_file(path):
    from safetensors import safe_open

    save(model_of("Linear(d, k)", loss=losses.huber(2.0)), path)
    with safe_open(path, "np") as file:
        assert set(file.keys()) == {"weights", "bias"}
        known = file.metadata()
    assert {known[name] for name in ("format", "kind", "loss", "parameter")} == {"gdcore", "linear", "huber", "2.0"}


class Child(gdcore.Linear):
    pass


@pytest.mark.parametrize("thing", [None, "model", {}, [1.0], np.ones(3), gdcore.Linear, Child([1.0])], ids=repr)
def test_only_models_are_saved(path, thing):
    with pytest.raises(
        TypeError, match=r"save takes a gdcore\.Linear, a gdcore\.MLP or the Run of one, .* or a GDClassifier, "
    ):
        save(thing, path)
    assert not path.exists()


def nested(depth):
    return [nested(depth - 1)] if depth else []


def circle():
    card = {}
    card["self"] = card
    return card


class Mine(losses.Loss):
    """A loss that is not registered."""


@pytest.mark.parametrize(
    "change, message",
    [
        ({"weights": np.array([1.0, np.nan, 0.0])}, r"weights\[1\] is nan"),
        ({"weights": np.array([1.0, 2.0, 0.0], "float16")}, "float16"),
        ({"weights": np.ones((2, 2, 2))}, "shape"),
        ({"bias": np.float32(1)}, "all float32 or all float64"),
        ({"bias": np.ones(2)}, "bias must have shape"),
        ({"loss": Mine()}, r"its loss mine\(\) is not known by its name"),
        ({"card": {"x": np.nan}}, "JSON"),
        ({"card": {"x": (1, 2)}}, "JSON"),
        ({"card": {1: 2}}, "JSON"),
        ({"card": {"x": {1, 2}}}, "JSON"),
        ({"card": [1]}, "card must be a dict"),
        ({"card": {"x": "\ud800"}}, "surrogates"),
        ({"card": circle()}, "Circular"),
        ({"card": {"x": "y" * container.HEADER}}, "too long"),
        ({"card": {"x": [0] * container.VALUES}}, "more than 250000 values"),
        ({"columns": "abc"}, "list of strings"),
        ({"columns": [1, 2, 3]}, "list of strings"),
        ({"columns": ("a", "b", "c")}, "JSON"),
        ({"columns": ["a", "b"]}, "its columns are 2 names, and it has weights for 3 columns"),
        ({"card": {"x": nested(101)}}, "more than 100 lists and objects within each other"),
    ],
)
def test_what_would_not_come_back_is_not_saved(path, change, message):
    model = model_of("Linear(d)")
    vars(model).update(change)
    with pytest.raises(ValueError, match=rf"(?s)this model cannot be saved: .*{message}"):
        save(model, path)
    assert not path.exists()


@pytest.mark.parametrize("change", [{"layers": []}, {"activation": "gelu"}, {"activation": 3}], ids=repr)
def test_a_broken_network_is_not_saved(path, change):
    model = model_of("MLP relu")
    vars(model).update(change)
    with pytest.raises(ValueError, match="this model cannot be saved"):
        save(model, path)


def test_a_network_whose_layers_do_not_fit_is_not_saved(path):
    model = model_of("MLP relu")
    del model.layers[1]
    with pytest.raises(ValueError, match="do not fit together"):
        save(model, path)


def test_a_network_that_is_not_finite_is_not_saved(path):
    model = model_of("MLP relu")
    model.layers[1].bias[2] = np.inf
    with pytest.raises(ValueError, match=r"layers\.1\.bias\[2\] is inf"):
        save(model, path)


def test_without_safetensors_the_extra_is_named(path, monkeypatch):
    save(model_of("Linear(d)"), path)
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    monkeypatch.setitem(sys.modules, "safetensors", None)
    for call in (lambda: load(path), lambda: save(model_of("Linear(d)"), path)):
        with pytest.raises(ImportError, match=r"pip install 'gdcore\[files\]'"):
            call()


def test_importing_is_cheap(python):
    program = (
        "import sys, gdcore.store.files; print([m for m in sys.modules if 'safetensors' in m or m in ('pickle5', 'torch')])"
    )
    assert python(program).stdout.strip() == "[]"


# What is refused ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A small model file's bytes."""
    path = tmp_path_factory.mktemp("good") / "model"
    model = gdcore.MLP([2, 3, 1], "tanh")
    model.loss = losses.logistic()
    model.columns = ["width", "height"]
    save(model, path)
    return path.read_bytes()


def reader(path):
    def refused(data, match=None):
        path.write_bytes(data)
        with pytest.raises(FileError, match=match) as caught:
            load(path)
        assert str(caught.value).startswith(f"{path} cannot be loaded: ")
        assert len(str(caught.value)) < 700

    return refused


def test_truncation_at_every_byte(path, good):
    refused = reader(path)
    for size in range(len(good)):
        refused(good[:size])
    refused(good + b"\0", "damaged")
    refused(good + good, "damaged")


def test_every_bit_of_the_header_flipped(path, good):
    refused = reader(path)
    for place in range(8 + int.from_bytes(good[:8], "little")):
        for bit in range(8):
            damaged = bytearray(good)
            damaged[place] ^= 1 << bit
            refused(damaged)


def test_a_thousand_bits_of_the_payload_flipped(path):
    save(model_of("Linear(d, k)"), path)
    model = gdcore.Linear(np.random.default_rng(0).normal(size=(200, 3)), [1.0, 2.0, 3.0])
    save(model, path)
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    refused = reader(path)
    for at in np.random.default_rng(1).integers(start * 8, len(data) * 8, 1000):
        damaged = bytearray(data)
        damaged[at // 8] ^= 1 << (at % 8)
        refused(damaged, "its checksum does not agree with what it holds: the file is damaged")


def raw(header, payload=b"", seal=True, length=None):
    """A file with that header, a dict or text, with the checksum that makes it look genuine."""
    text = header if isinstance(header, (str, bytes)) else json.dumps(header, separators=(",", ":"))
    text = text.encode() if isinstance(text, str) else text
    data = (len(text) if length is None else length).to_bytes(8, "little") + text + payload
    zeros = b'"sha256":"' + b"0" * 64
    if seal and zeros in data:
        data = data.replace(zeros, b'"sha256":"' + hashlib.sha256(data).hexdigest().encode(), 1)
    return data


META = {
    "format": "gdcore", "version": "1", "kind": "linear", "loss": "mse", "gdcore": "0.1.0", "saved": "2026-01-01T00:00:00Z",
    "sha256": "0" * 64,
}  # fmt: skip
ONE = np.ones(1).tobytes()


def entry(dtype="F64", shape=(2,), offsets=(0, 16)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def file_with(meta=None, payload=ONE * 2, without=(), **arrays):
    known = {name: value for name, value in (META | (meta or {})).items() if name not in without}
    return raw(
        {"__metadata__": known} | {name.replace("__", "."): a for name, a in (arrays or {"weights": entry()}).items()}, payload
    )


def text_with(text, payload=ONE * 2):
    """A header from text, in which META stands for the metadata's content."""
    return raw(text.replace("META", json.dumps(META, separators=(",", ":"))[1:-1]), payload)


def zip_bomb(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("weights.npy", b"\0" * (50 << 20))
    return path.read_bytes()


class Evil:
    def __reduce__(self):
        return os.mkdir, ("executed",)


def hostile(tmp_path):
    """Name → bytes and the message. All that can have a right checksum have it."""
    W = '{"dtype":"F64","shape":[2],"data_offsets":[0,16]}'
    million = 1_000_000
    mlp = {"kind": "mlp", "activation": "relu"}
    return {
        "empty": (b"", "it is empty"),
        "seven bytes": (b"\1" * 7, "cut off"),
        "eight zeros": (b"\0" * 8, "JSON"),
        "huge header length": (raw("{}", length=2**64 - 1), "cut off"),
        "header of 2^31": (raw("{}", length=2**31), "cut off"),
        "header past the end": (raw("{}", length=3), "cut off"),
        "header longer than allowed": (raw("{" + " " * container.HEADER + "}"), "too long in its header"),
        "header of spaces": (raw(" " * (container.HEADER - 1)), "JSON"),
        "deep lists": (raw("[" * 200_000), "JSON"),
        "deep objects": (raw('{"a":' * 200_000 + "1" + "}" * 200_000), "JSON"),
        "deep inside an array's entry": (text_with('{"__metadata__":{META},"weights":' + "[" * 100_000), "JSON"),
        "card with NaN": (file_with({"card": '{"a": NaN}'}), "card is not valid JSON .NaN is not finite"),
        "card past all numbers": (file_with({"card": '{"a": [1e999]}'}), "card is not valid JSON .1e999 is not finite"),
        "card that is deep": (file_with({"card": '{"a":' * 400 + "1" + "}" * 400}), "within each other"),
        "columns of another number": (file_with({"columns": '["a"]'}), "1 names, and it has weights for 2 columns"),
        "deep card": (file_with({"card": '{"a":' * 100_000 + "1" + "}" * 100_000}), "card is not valid JSON"),
        "very many values": (raw("[" + "0," * million + "0]"), "more than"),
        "many empty objects": (raw("[" + "{}," * 120_000 + "{}]"), "gdcore model"),
        "card of many values": (file_with({"card": "[" + "0," * 900_000 + "0]"}), "more than"),
        "card of many objects": (
            file_with({"card": '{"a":[' + "{}," * 110_000 + "{}]}", "x": "😀"}),
            "name missing or too many",
        ),
        "long numbers": (raw('{"__metadata__":' + "9" * million + "}"), "JSON"),
        "many arrays": (
            file_with(None, b"", **{f"w{i}": entry(shape=(0,), offsets=(0, 0)) for i in range(20_000)}),
            "arrays are not",
        ),
        "not an object": (raw("[1,2]"), "no gdcore model"),
        "a number": (raw("1"), "no gdcore model"),
        "not UTF-8": (raw(b'{"__metadata__":{"format":"\xff"}}'), "not UTF-8"),
        "UTF-16": (raw('{"a":1}'.encode("utf-16")), "not UTF-8"),
        "byte order mark": (raw(b"\xef\xbb\xbf{}"), "JSON"),
        "lone surrogate": (text_with('{"__metadata__":{META,"card":"\\ud800"},"weights":' + W + "}"), "arrays cannot be read"),
        "another's safetensors": (raw({"weights": entry()}, ONE * 2), "no gdcore model"),
        "metadata not text": (raw({"__metadata__": META | {"version": 1}, "weights": entry()}, ONE * 2), "no gdcore model"),
        "no checksum": (file_with(without=["sha256"]), "checksum"),
        "wrong checksum": (raw({"__metadata__": META, "weights": entry()}, ONE * 2, seal=False), "checksum"),
        "upper case checksum": (raw({"__metadata__": META | {"sha256": "A" * 64}, "weights": entry()}, ONE * 2), "checksum"),
        "two checksums": (
            text_with('{"__metadata__":{META},"a":{"sha256":"' + "0" * 64 + '","data_offsets":[0,16]},"weights":' + W + "}"),
            "checksum",
        ),
        "later version": (
            file_with({"version": "2", "gdcore": "9.9"}),
            r"gdcore 9\.9 wrote it, in version 2 of the format; this is gdcore \S+, which reads version 1",
        ),
        "version of a long name": (file_with({"version": "\x1b[31m" * 1000, "gdcore": "x\ny" * 1000}), "wrote it"),
        "no version": (file_with(without=["version"]), "wrote it"),
        "unknown kind": (file_with({"kind": "pickle"}), "kind"),
        "unknown metadata": (file_with({"eval": "1"}), "too many"),
        "unknown loss": (file_with({"loss": "os.system"}), "loss must be"),
        "parameter NaN": (file_with({"loss": "huber", "parameter": "nan"}), "delta"),
        "parameter for mse": (file_with({"parameter": "1.0"}), "cannot have the parameter"),
        "parameter without a loss": (file_with({"loss": "", "parameter": "1.0"}), "loss must be"),
        "parameter not in its form": (file_with({"loss": "huber", "parameter": "1_0"}), "parameter"),
        "loss None by name": (file_with({"loss": "__class__"}), "loss must be"),
        "unknown activation": (
            file_with(
                mlp | {"activation": "__import__"},
                layers__0__weights=entry(shape=(1, 1), offsets=(0, 8)),
                layers__0__bias=entry(shape=(1,), offsets=(8, 16)),
            ),
            "activation",
        ),
        "network of no layers": (raw({"__metadata__": META | mlp}), "where its arrays are"),
        "linear with an activation": (file_with({"activation": "relu"}), "too many"),
        "layers that do not fit": (
            file_with(
                mlp,
                ONE * 4,
                layers__0__weights=entry(shape=(1, 1), offsets=(0, 8)),
                layers__0__bias=entry(shape=(1,), offsets=(8, 16)),
                layers__1__weights=entry(shape=(2, 0), offsets=(16, 16)),
                layers__1__bias=entry(shape=(2,), offsets=(16, 32)),
            ),
            "works|read",
        ),
        "columns not a list": (file_with({"columns": '{"a":1}'}), "list of strings"),
        "columns not text": (file_with({"columns": "[1]"}), "list of strings"),
        "card with a name twice": (file_with({"card": '{"a":1,"a":2}'}), "a name comes twice"),
        "overlapping": (
            file_with(None, ONE * 3, weights=entry(offsets=(0, 16)), bias=entry(shape=(1,), offsets=(8, 16))),
            "tells of",
        ),
        "overlapping, to the end": (
            file_with(None, ONE * 2, weights=entry(), bias=entry(shape=(1,), offsets=(8, 16))),
            "cannot be read",
        ),
        "a hole": (file_with(None, ONE * 4, weights=entry(), bias=entry(shape=(1,), offsets=(24, 32))), "cannot be read"),
        "missing bytes": (file_with(None, ONE), "tells of"),
        "more bytes": (file_with(None, ONE * 3), "tells of"),
        "offsets backwards": (file_with(None, b"", weights=entry(offsets=(16, 0))), "cannot be read"),
        "offsets negative": (file_with(weights=entry(offsets=(-16, 16))), "cannot be read"),
        "offsets overflow": (file_with(weights=entry(offsets=(0, 2**64 + 16))), "tells of"),
        "offsets infinite": (
            text_with('{"__metadata__":{META},"weights":{"dtype":"F64","shape":[2],"data_offsets":[0,1e999]}}'),
            "where its arrays are",
        ),
        "offsets missing": (file_with(weights={"dtype": "F64", "shape": [2]}), "where its arrays are"),
        "offsets text": (file_with(weights=entry(offsets=("0", "16"))), "cannot be read"),
        "offsets three": (file_with(weights=entry(offsets=(0, 16, 32))), "cannot be read"),
        "shape overflow": (file_with(weights=entry(shape=(2**63, 2**63))), "cannot be read"),
        "shape wraps round": (file_with(weights=entry(shape=(2**62, 4, 2), offsets=(0, 16))), "cannot be read"),
        "shape of nothing": (file_with(None, b"", weights=entry(shape=(0,), offsets=(0, 0))), "works"),
        "shape of nothing, huge": (file_with(None, b"", weights=entry(shape=(0, 2**62), offsets=(0, 0))), "works|read"),
        "shape negative": (file_with(weights=entry(shape=(-2,))), "cannot be read"),
        "shape too small": (file_with(weights=entry(shape=(1,))), "cannot be read"),
        "three axes": (file_with(weights=entry(shape=(1, 2, 1))), "weights must have shape"),
        "integers": (file_with(weights=entry("I64")), "float32 or all float64"),
        "float16": (file_with(weights=entry("F16", (8,))), "float32 or all float64"),
        "bfloat16": (file_with(weights=entry("BF16", (8,))), "cannot be read"),
        "unknown dtype": (file_with(weights=entry("O")), "cannot be read"),
        "two dtypes": (
            file_with(None, ONE + ONE[:4], weights=entry(shape=(1,), offsets=(0, 8)), bias=entry("F32", (), (8, 12))),
            "float32 or all float64",
        ),
        "NaN weight": (file_with(None, ONE + np.array([np.nan]).tobytes()), "is nan"),
        "infinite bias": (
            file_with(
                None,
                ONE + np.array([np.inf]).tobytes(),
                weights=entry(shape=(1,), offsets=(0, 8)),
                bias=entry(shape=(), offsets=(8, 16)),
            ),
            "bias is inf",
        ),
        "no weights": (file_with(bias=entry()), "arrays are not"),
        "too many arrays": (
            file_with(None, ONE * 3, weights=entry(), extra=entry(shape=(1,), offsets=(16, 24))),
            "arrays are not",
        ),
        "name twice": (text_with('{"__metadata__":{META},"weights":' + W + ',"weights":' + W + "}"), "a name comes twice"),
        "metadata twice": (
            text_with('{"__metadata__":{META},"__metadata__":{META},"weights":' + W + "}"),
            "a name comes twice",
        ),
        "dtype twice": (
            text_with('{"__metadata__":{META},"weights":{"dtype":"F32","dtype":"F64","shape":[2],"data_offsets":[0,16]}}'),
            "a name comes twice",
        ),
        "pickle": (pickle.dumps(Evil()) * 9, "it is a Python pickle"),
        "pickle, protocol 0": (pickle.dumps(Evil(), 0), "damaged|cut off"),
        "pickle as payload": (raw({"weights": entry("U8", (9,), (0, 9))}, pickle.dumps(Evil())[:9]), "no gdcore model"),
        "zip bomb": (zip_bomb(tmp_path / "bomb"), "it is a zip archive"),
        "npy": (b"\x93NUMPY" + b"\1" * 200, "it is a NumPy array"),
        "text": (b"width,height\n1,2\n" * 20, "cut off|too long"),
        "all 255": (b"\xff" * 5000, "cut off"),
        "a million zeros": (b"\0" * million, "JSON"),
    }


def test_the_makers_of_hostile_files_make_a_good_one(path):
    path.write_bytes(file_with())
    assert load(path).weights.tolist() == [1.0, 1.0]
    path.write_bytes(text_with('{"__metadata__":{META},"weights":{"dtype":"F64","shape":[2],"data_offsets":[0,16]}}'))
    assert load(path).loss == losses.mse()


def test_hostile_files_are_refused(tmp_path, python):
    cases = hostile(tmp_path)
    assert len(cases) > 80
    folder = tmp_path / "hostile"
    folder.mkdir()
    for name, (data, _) in cases.items():
        (folder / name).write_bytes(data)
    huge = folder / "sparse"
    with open(huge, "wb") as file:
        file.write(file_with())
        file.truncate(200 << 30)
    save(model_of("Linear(d)", loss=losses.logistic()), tmp_path / "good")
    program = textwrap.dedent("""
        import gc, json, os, resource, sys, time, tracemalloc
        from gdcore.files import FileError, load
        load("good")
        events = []
        watching = False
        def watch(name, arguments):
            if watching and not (name == "open" and arguments[1] in ("r", "rb") and str(arguments[0]).startswith("hostile")):
                events.append((name, *map(str, arguments[:2])))
        sys.addaudithook(watch)
        modules = set(sys.modules)
        peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        before, answers = peak(), {}
        for name in sorted(os.listdir("hostile"), key=lambda name: os.stat("hostile/" + name).st_size):
            began = time.process_time()
            watching = True
            try:
                load("hostile/" + name)
                answer = "LOADED"
            except FileError as error:
                answer = str(error)
            watching = False
            seconds = time.process_time() - began
            answers[name] = answer, seconds, peak() - before
        tracemalloc.start()
        traced = {}
        for name in answers:
            gc.collect(); tracemalloc.reset_peak()
            low = tracemalloc.get_traced_memory()[0]
            try:
                load("hostile/" + name)
            except FileError:
                pass
            traced[name] = tracemalloc.get_traced_memory()[1] - low
        print(json.dumps([answers, traced, events, sorted(set(sys.modules) - modules)]))
    """)
    done = python(program)
    assert done.stderr == ""
    answers, traced, events, modules = json.loads(done.stdout)
    assert len(answers) == len(cases) + 1
    for name, (answer, seconds, memory) in answers.items():
        assert answer.startswith(f"hostile/{name} cannot be loaded: ")
        assert seconds < 1, name
        allowed = 2 * os.stat(folder / name).st_size + (50 << 20)
        assert memory <= allowed, name
        assert traced[name] <= allowed, name
    assert "damaged" in answers["sparse"][0]
    assert events == []
    assert modules == []
    assert not (tmp_path / "executed").exists()


def test_hostile_files_are_refused_in_words(tmp_path):
    refused = reader(tmp_path / "model")
    for name, (data, message) in hostile(tmp_path).items():
        try:
            refused(data, message)
        except BaseException as error:
            raise AssertionError(name) from error


def test_a_large_model_takes_twice_its_file(path, python):
    save(gdcore.Linear(np.ones((1_000_000, 8))), path)
    program = textwrap.dedent("""
        import resource, sys
        from gdcore.files import load
        load("small")
        peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        before = peak()
        load(sys.argv[1])
        print(peak() - before)
    """)
    save(model_of("Linear(d)"), path.with_name("small"))
    done = python(program, path)
    assert done.stderr == ""
    assert int(done.stdout) <= 2 * (path.stat().st_size >> 20) + 50


def test_no_file(path):
    with pytest.raises(FileNotFoundError, match="model"):
        load(path)
    with pytest.raises(IsADirectoryError):
        load(path.parent)
    os.mkfifo(path)
    with pytest.raises(FileError, match="a device or a pipe"):
        load(path)
    with pytest.raises(TypeError):
        load(3.5)
