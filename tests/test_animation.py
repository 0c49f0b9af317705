"""The animation of a descent: each picture has the epoch that it says, and what cannot be drawn is told."""

import copy
import warnings

import numpy as np
import pytest

import gdcore
from gdcore import Linear, animation, fit

matplotlib = pytest.importorskip("matplotlib")
Image = pytest.importorskip("PIL.Image")

RNG = np.random.default_rng(3)
X = RNG.normal(size=(30, 1)) + 1
Y = 2 * X[:, 0] - 1 + 0.1 * RNG.normal(size=30)
TWO = np.hstack([X, X**2])
LIMIT = gdcore.spectrum(X).lr_limit


def kept(X=X, Y=Y, model=None, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what diverges on purpose
        return fit(X, Y, model, keep_weights=True, **{"lr": 0.9 * LIMIT, "epochs": 12, "on_divergence": "keep"} | options)


@pytest.fixture
def drawn(monkeypatch):
    """The numbers of the animation's losses, and what the axes were told, in the order of the pictures."""
    from matplotlib.text import Text

    said, tell = [], Text.set_text

    def listen(text, what):
        if str(what).startswith("Epoch "):
            said.append(what)
        tell(text, what)

    monkeypatch.setattr(Text, "set_text", listen)
    return said


def test_a_picture_for_each_epoch(drawn, tmp_path):
    run = kept()
    run.animate(tmp_path / "d.gif", fps=5)
    heights = [run.history.start, *run.history.loss]
    assert drawn == [f"Epoch {k}: loss {height:.4g}" for k, height in enumerate(heights)]
    with Image.open(tmp_path / "d.gif") as picture:
        assert (picture.n_frames, picture.info["loop"]) == (13, 0)
        pauses, frames = [], []
        for i in range(picture.n_frames):
            picture.seek(i)
            pauses.append(picture.info["duration"])
            frames.append(np.asarray(picture.convert("RGB")))
    assert pauses == [200] * 12 + [2000]
    # The path in orange, where the left half has it, grows from picture to picture.
    orange = [
        (np.abs(frame[:, : frame.shape[1] // 2].astype(int) - (0xD1, 0x62, 0x2B)).max(axis=2) < 40).sum() for frame in frames
    ]
    assert orange[0] < orange[2] < orange[-1]


def test_of_many_epochs_some_are_shown_and_the_last(drawn, tmp_path):
    run = kept(epochs=3000, lr=0.1 * LIMIT)
    run.animate(tmp_path / "d.gif", frames=20)
    assert len(drawn) <= 20
    assert [text.split(":")[0] for text in (drawn[0], drawn[-1])] == ["Epoch 0", "Epoch 3,000"]
    assert animation.shown_epochs(19, 20).tolist() == list(range(20))


def test_a_divergence_is_shown_until_it_leaves(drawn, tmp_path):
    run = kept(lr=1.3 * LIMIT, epochs=2000)
    run.animate(tmp_path / "d.gif")
    heights = np.array([run.history.start, *run.history.loss])
    far = int(np.argmax(heights > 25 * heights[:2].max()))
    assert drawn[-1].startswith(f"Epoch {far}:")


@pytest.mark.parametrize(
    ("case", "names"),
    [
        ({"loss": "huber", "lr": 0.1}, ("weight", "bias")),
        ({"l2": 0.5, "l1": 0.2, "lr": 0.1, "sample_weight": np.arange(30.0)}, ("weight", "bias")),
        ({"X": TWO, "model": Linear([0.0, 0.0], None), "lr": 0.02}, ("weight of column 0", "weight of column 1")),
        ({"X": X.astype(np.float32)}, ("weight", "bias")),
        ({"batch_size": 7, "lr": 0.05}, ("weight", "bias")),
    ],
)  # fmt: skip
def test_the_losses_are_those_that_were_descended(drawn, tmp_path, monkeypatch, case, names):
    from gdcore import drawing

    figures, make = [], drawing.figure
    monkeypatch.setattr(drawing, "figure", lambda *given: figures.append(make(*given)) or figures[-1])
    run = kept(**case)
    run.animate(tmp_path / "d.gif")
    assert float(drawn[-1].split(" ")[-1]) == pytest.approx(run.loss, rel=1e-3)  # as it is written
    over, beside = figures[0][1]
    assert (over.get_xlabel(), over.get_ylabel(), beside.get_xlabel()) == (*names, "epoch")
    assert figures[0][0].get_suptitle().startswith(f"{run.model.loss.spelling}, SGD")


def test_a_table_of_squared_error_is_animated_and_another_refused(tmp_path):
    pytest.importorskip("pyarrow")
    (tmp_path / "t.csv").write_text("x,y\n" + "".join(f"{a},{b}\n" for a, b in zip(X[:, 0].tolist(), Y.tolist(), strict=True)))
    table = gdcore.open_table(tmp_path / "t.csv", "y")
    kept(table, None).animate(tmp_path / "d.gif")
    kept().animate(tmp_path / "e.gif")
    assert (tmp_path / "d.gif").read_bytes() == (tmp_path / "e.gif").read_bytes()
    with pytest.raises(ValueError, match=r"the loss \(huber\) at each place of a picture is a pass over the table"):
        kept(table, None, loss="huber").animate(tmp_path / "f.gif")


def changed():
    own = X.copy()
    run = kept(own)
    own += 1
    return run


@pytest.mark.parametrize(
    ("make", "options", "kind", "message"),
    [
        (
            lambda: fit(X, Y, lr=0.1, epochs=3),
            {},
            ValueError,
            r"the run has not kept its weights: fit\(..., keep_weights=True\)",
        ),
        (
            lambda: kept(TWO, lr=0.01),
            {},
            ValueError,
            "a path is drawn of models with one weight and a bias",
        ),
        (lambda: kept(Y=np.column_stack([Y, Y])), {}, ValueError, "or two weights and no bias; found Linear"),
        (lambda: kept(model=gdcore.MLP([1, 1]), lr=0.1), {}, ValueError, "or two weights and no bias; found MLP"),
        (changed, {}, ValueError, "X has changed since the run"),
        (lambda: copy.deepcopy(kept()), {}, RuntimeError, "has no data: it cannot be animated"),
        (kept, {"path": "d.png"}, ValueError, "path must be the name of a .gif file, found"),
        (kept, {"frames": 1}, ValueError, "frames must be at least 2, found 1"),
        (kept, {"fps": 0}, ValueError, "fps must be finite and above 0, found 0"),
    ],
)
def test_what_cannot_be_animated_is_told_and_nothing_is_written(tmp_path, make, options, kind, message):
    run, name = make(), options.pop("path", "d.gif")
    with pytest.raises(kind, match=message):
        run.animate(tmp_path / name, **options)
    assert not list(tmp_path.iterdir())


def test_a_flat_loss_is_drawn(tmp_path):
    kept(X, 0 * Y, Linear([0.0], 0.0)).animate(tmp_path / "d.gif")
    assert (tmp_path / "d.gif").stat().st_size > 1000
