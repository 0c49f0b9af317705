"""Runs that are kept, copied and asked later: pickles, data that have changed, numbers of epochs that are too large."""

import copy
import pickle

import numpy as np
import pytest

import gdcore
from gdcore.training import fingerprints

RNG = np.random.default_rng(4)
X = RNG.normal(size=(80, 3)) + 2.0
Y = X @ [1.0, -2.0, 0.5] + RNG.normal(size=80)
S = RNG.uniform(0.5, 2.0, 80)


def pickled(thing):
    return pickle.loads(pickle.dumps(thing))


def assert_same(one, other):
    assert (one.status, one.loss, one.method, one.method.why) == (other.status, other.loss, other.method, other.method.why)
    np.testing.assert_equal(one.gradient_norm, other.gradient_norm)
    for name in set(gdcore.History.NAMES) - {"seconds"}:
        np.testing.assert_array_equal(one.history[name], other.history[name])
    for a, b in zip(one.model.parameters(np.float64), other.model.parameters(np.float64), strict=True):
        np.testing.assert_array_equal(a, b)


# The loss before the first epoch ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"lr": 0.01, "epochs": 3},
        {"lr": 0.01, "epochs": 3, "method": "exact"},
        {"lr": 0.01, "batch_size": 7, "epochs": 2},
        {"epochs": 0},
    ],
    ids=str,
)
def test_the_history_starts_with_the_loss_of_the_first_weights(options):
    start = gdcore.Linear([0.5, -1.0, 2.0], 3.0)
    wanted = np.average((X @ start.weights + 3.0 - Y) ** 2, weights=S) + 0.05 * np.sum(start.weights**2)
    run = gdcore.fit(X, Y, start, l2=0.1, sample_weight=S, **options)
    assert run.history.start == pytest.approx(wanted, rel=1e-12)
    assert run.resume(X, Y, epochs=2).history.start == run.history.start
    assert pickled(run).history.start == run.history.start


def test_a_checkpoint_keeps_the_loss_before_the_first_epoch(tmp_path):
    path = tmp_path / "run.ckpt"
    run = gdcore.fit(X, Y, lr=0.01, epochs=3, checkpoint=gdcore.Checkpoint(path, 0))
    later = gdcore.fit(X, Y, lr=0.01, epochs=6, checkpoint=gdcore.Checkpoint(path, 0), resume=True)
    assert later.history.start == run.history.start == pytest.approx(np.mean(Y**2), rel=1e-12)


def test_a_run_tells_what_was_chosen():
    assert gdcore.fit(X, Y, loss="huber").settings == ("Newton()", None, "gram", 1e-10, None)
    by_hand = gdcore.fit(X, Y, lr=0.01, epochs=2, optimizer=gdcore.optimizers.SGD(momentum=0.5)).settings
    assert by_hand == ("SGD(momentum=0.5, nesterov=False)", 0.01, None, None, None)


# Pickles and copies ----------------------------------------------------------------------------------------------------------

KINDS = {
    "default": {},
    "textbook": {"lr": 0.01, "epochs": 20},
    "huber": {"loss": gdcore.losses.huber(2.0), "l2": 0.1},
    "batches": {"lr": 0.01, "batch_size": 10, "epochs": 3, "optimizer": "adam", "callback": lambda epoch: None},
    "network": {"model": gdcore.MLP([3, 4, 1], seed=0), "epochs": 5},
}


@pytest.mark.parametrize("copied", [pickled, copy.deepcopy])
@pytest.mark.parametrize("name", KINDS)
def test_a_run_is_pickled_and_copied_without_the_data(name, copied):
    run = gdcore.fit(X, Y, **KINDS[name])
    bare = copied(run)
    assert_same(bare, run)
    for ask in (lambda: bare.resume(X, Y), lambda: bare.gap, lambda: bare.spectrum):
        with pytest.raises(RuntimeError, match="come out of a pickle or a deep copy, and has no data: it cannot"):
            ask()
    gap, spectrum = run.gap, run.spectrum
    later = copied(copied(run))
    assert_same(later, run)
    assert later.gap == gap
    assert (later.spectrum is None) if spectrum is None else later.spectrum.largest == spectrum.largest
    np.testing.assert_array_equal(later.model.predict(X), run.model.predict(X))


def test_a_pickle_holds_no_rows():
    wide = RNG.normal(size=(5000, 40))
    run = gdcore.fit(wide, wide[:, 0], lr=0.01, epochs=3, method="stream")
    assert len(pickle.dumps(run)) < 10_000


def test_a_shallow_copy_still_has_the_data():
    run = gdcore.fit(X, Y, lr=0.01, epochs=3)
    again = copy.copy(run)
    assert again.gap == run.gap
    assert_same(again.resume(X, Y, 4), gdcore.fit(X, Y, lr=0.01, epochs=7))


def test_a_divergence_is_pickled_with_its_run():
    with pytest.warns(gdcore.LearningRateWarning), pytest.raises(gdcore.DivergenceError) as caught:
        gdcore.fit(X, Y, lr=10.0)
    error = pickled(caught.value)
    assert str(error) == str(caught.value)
    assert_same(error.run, caught.value.run)


# What is asked for later -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("name", ["X", "Y", "sample_weight"])
@pytest.mark.parametrize("ask", ["gap", "spectrum"])
def test_what_is_asked_of_changed_data_is_refused(name, ask, large, order):
    times = 4000 if large else 1
    data = {"X": np.tile(X, (times, 1)), "Y": np.tile(Y, times), "sample_weight": np.tile(S, times)}
    data["X"] = np.asarray(data["X"], order=order)
    run = gdcore.fit(**data, loss="huber", optimizer="adam", lr=0.01, epochs=2, l2=0.1)
    same, array = data[name].copy(), data[name]
    for change in (lambda a: a.__imul__(2), lambda a: a.sort(axis=0), lambda a: a.fill(1.0), lambda a: RNG.shuffle(a)):
        change(array)
        with pytest.raises(ValueError, match=rf"^{name} has changed since the run"):
            getattr(run, ask)
        array[:] = same
    if not large:
        array[7] *= 1 + 1e-15
        with pytest.raises(ValueError, match=rf"^{name} has changed since the run"):
            getattr(run, ask)
        array[:] = same
    if not large:  # the values are those of the run again
        assert getattr(run, ask) is not None
        array *= 2
        assert getattr(run, ask) is getattr(run, ask)  # it has been found


def test_all_that_has_changed_is_named():
    x, y = X.copy(), Y.copy()
    run = gdcore.fit(x, y, lr=0.01, epochs=2, method="stream")
    x += 1
    y += 1
    with pytest.raises(ValueError, match=r"^X and Y have changed since the run"):
        run.gap  # noqa: B018


def test_what_the_run_knows_already_needs_no_data():
    x = X.copy()
    run = gdcore.fit(x, Y, lr="auto")
    wanted = gdcore.spectrum(X)
    x[:] = 0
    assert run.spectrum.largest == pytest.approx(wanted.largest, rel=1e-12)


def test_marks_look_at_all_bytes_of_small_arrays_and_cost_little_of_large_ones():
    small = RNG.normal(size=(500, 20))
    for layout in (small, np.asfortranarray(small), small[::-1], small[:, ::2], np.broadcast_to(small[0], (50, 20))):
        changed = layout.copy()
        assert fingerprints.marks({"X": changed}) == fingerprints.marks({"X": changed.copy(order="K")})
        before = fingerprints.marks({"X": changed})
        changed[-1, -1] = np.nextafter(changed[-1, -1], np.inf)
        assert fingerprints.marks({"X": changed}) != before
    endless = np.broadcast_to(np.float32(1), (2**40, 3))
    assert fingerprints.marks({"X": endless, "Y": None}).keys() == {"X"}


# Epochs ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("epochs", [10**30, 2**53 + 1, np.uint64(2**63)])
def test_more_epochs_than_there_are_numbers(epochs):
    with pytest.raises(ValueError, match=r"^epochs must be at most 9007199254740992, found"):
        gdcore.fit(X, Y, lr=0.01, epochs=epochs)
    with pytest.raises(ValueError, match=r"^epochs must be at most 9007199254740992, found"):
        gdcore.fit(X, Y, lr=0.01, epochs=[1, epochs], method="exact")
    run = gdcore.fit(X, Y, lr=0.01, epochs=10, method="exact")
    with pytest.raises(ValueError, match=r"^epochs must be at most 9007199254740982, found"):
        run.resume(X, Y, epochs=2**53 - 9)
    assert run.resume(X, Y, epochs=2**53 - 10).epochs == 2**53


def test_textbook_epochs_too():
    with pytest.raises(ValueError, match=r"^epochs must be at most"):
        gdcore.train(X, Y, np.zeros(3), 0.01, 10**30)
