"""What is wrong with a loop is named, on random problems, and healthy loops are not accused."""

import warnings

import numpy as np
import pytest

import gdcore
from gdcore.lessons import broken, faults

PROBLEMS = 200
EPOCHS = 400


def problem(seed, whole=False):
    """Rows of any size and scale, columns far from 0, noise; an lr of 0.2 to 0.9 of its limit."""
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(20, 300)), int(rng.integers(1, 5))
    X = 10.0 ** rng.uniform(-2, 2) * 10.0 ** rng.uniform(-0.3, 0.3, d) * (rng.normal(size=(n, d)) + rng.uniform(-3, 3, d))
    if whole:
        X = rng.integers(-9, 10, (n, d)) + rng.integers(-5, 6, d)
    signal = X @ (rng.normal(size=d) / X.std(axis=0))
    # Where the columns are 0, Y is 3 to 8 of its standard deviations from 0: the loop needs its bias.
    Y = signal + signal.std() * (rng.choice([-1, 1]) * rng.uniform(3, 8) + rng.uniform(0.05, 0.5) * rng.normal(size=n))
    Y *= 10.0 ** rng.uniform(-2, 2)
    return X, Y, rng.uniform(0.2, 0.9) * gdcore.spectrum(X).lr_limit, rng


def quietly(function, *arguments):
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*arguments)


def named(fault, seed):
    """The diagnosis of the loop with this fault on this problem."""
    X, Y, lr, rng = problem(seed, fault == "integer weights")
    if fault == "lr past the limit":
        lr = rng.uniform(1.05, 3.0) * gdcore.spectrum(X).lr_limit
    if fault == "lr far too small":
        lr = 10.0 ** rng.uniform(-7, -4) * gdcore.spectrum(X).lr_limit
    loop = broken.healthy if fault.startswith("lr") else broken.LOOPS[fault]
    trained = quietly(loop, X, Y, lr, 60 if fault == "broadcasting" else EPOCHS)
    return quietly(gdcore.diagnose, trained, X, Y)


@pytest.mark.parametrize("fault", broken.LOOPS)
def test_the_right_fault_is_named(fault):
    found = [named(fault, seed).fault for seed in range(PROBLEMS)]
    wrong = {name: found.count(name) for name in set(found) - {fault}}
    assert found.count(fault) >= 0.95 * PROBLEMS, wrong


# Written anew, from a start by chance ---------------------------------------------------------------------------------------


def written_anew(fault, X, Y, lr, rng, epochs=EPOCHS):
    """Losses, weights and bias of a loop that a student has written, in one array with the bias last."""
    n, d = X.shape
    A = np.c_[X, np.ones(n)]
    if fault == "no bias":
        A = A[:, :d]
    w = rng.normal(size=A.shape[1]) * Y.std() / np.r_[X.std(axis=0), 1.0][: A.shape[1]]
    order = rng.permutation(n) if fault == "targets shuffled" else np.arange(n)
    losses, total = [], np.zeros_like(w)
    for _ in range(epochs):
        r = A @ w - Y[order]
        g = 2 * A.T @ r / n
        losses.append(np.mean(r**2))
        if fault == "broadcasting":
            losses[-1] = np.mean((A @ w - np.mean(Y)) ** 2) + np.var(Y)  # the mean of (pᵢ − yⱼ)² over all pairs
            g = 2 * A.T @ (A @ w - np.mean(Y)) / n
        elif fault == "loss summed":
            losses[-1], g = n * losses[-1], n * g
        elif fault == "plus for minus":
            g = -g
        elif fault == "gradients not reset":
            g = total = total + g
        w = w - lr * g
    return losses, w[:d], None if fault == "no bias" else w[d]


ANEW = [fault for fault in broken.LOOPS if fault not in ("integer weights", "targets shuffled")]


@pytest.mark.parametrize("fault", ANEW)
def test_the_right_fault_is_named_from_any_start(fault):
    found = []
    for seed in range(PROBLEMS // 2):
        X, Y, lr, rng = problem(seed)
        limit = gdcore.spectrum(X).lr_limit
        lr = {
            "lr past the limit": rng.uniform(1.05, 3.0) * limit,
            "lr far too small": 10.0 ** rng.uniform(-7, -4) * limit,
        }.get(fault, lr)
        losses, weights, bias = quietly(written_anew, fault, X, Y, lr, rng)
        found.append(quietly(lambda: gdcore.diagnose(losses, X, Y, weights=weights, bias=bias, lr=lr)).fault)  # noqa: B023
    wrong = {name: found.count(name) for name in set(found) - {fault}}
    assert found.count(fault) >= 0.95 * PROBLEMS / 2, wrong


# Healthy loops --------------------------------------------------------------------------------------------------------------


def healthy_kinds(seed):
    """Histories, weights and biases of loops without a fault: name to what `gdcore.diagnose` is given."""
    X, Y, lr, rng = problem(seed)
    limit = gdcore.spectrum(X).lr_limit
    epochs = (5, 12, 60, EPOCHS)[seed % 4]
    yield f"{epochs} epochs", broken.healthy(X, Y, lr, epochs), X, Y, {}
    losses, weights, bias = written_anew(None, X, Y, lr, rng, epochs)
    yield f"{epochs} epochs from anywhere", losses, X, Y, {"weights": weights, "bias": bias, "lr": lr}
    yield f"{epochs} epochs, halves", [x / 2 for x in losses], X, Y, {"weights": weights, "bias": bias, "lr": lr}
    start = gdcore.Linear(np.zeros(X.shape[1]), 0.0)
    yield "a run", gdcore.fit(X, Y, start, lr=lr, epochs=50), X, Y, {}
    yield "an own run", gdcore.fit(X, Y), X, Y, {}
    size = int(rng.integers(1, 12))
    rate = gdcore.spectrum(X).batch_lr(size)
    for epochs in (8, 40):
        yield f"batches, {epochs}", gdcore.fit(X, Y, start, lr=rate, epochs=epochs, batch_size=size, seed=seed), X, Y, {}
    for momentum, epochs in ((0.5, 40), (0.9, 30), (0.9, 300)):
        optimizer = gdcore.SGD(momentum=momentum)
        yield (
            f"momentum {momentum}, {epochs}",
            gdcore.fit(X, Y, start, lr=0.5 * limit, optimizer=optimizer, epochs=epochs),
            X,
            Y,
            {},
        )
    centred, target = X - X.mean(axis=0), Y - Y.mean()
    rate = 0.5 * gdcore.spectrum(centred, bias=False).lr_limit
    run = gdcore.fit(centred, target, gdcore.Linear(np.zeros(X.shape[1]), None), lr=rate, epochs=100)
    yield "centred, no bias", run, centred, target, {}
    ones = np.c_[X, np.ones(len(X))]
    run = gdcore.fit(ones, Y, gdcore.Linear(np.zeros(X.shape[1] + 1), None), lr=lr, epochs=100)
    yield "a column of ones", run, ones, Y, {}
    noise = Y.std() * rng.normal(size=len(Y))
    yield "noise", gdcore.fit(X, noise, start, lr=lr, epochs=100), X, noise, {}


def test_healthy_loops_are_not_accused():
    accused = []
    for seed in range(PROBLEMS):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for name, history, X, Y, known in healthy_kinds(seed):
                diagnosis = gdcore.diagnose(history, X, Y, **known)
                if diagnosis.fault is not None:
                    accused.append((seed, name, diagnosis))
    assert not accused, f"{len(accused)}: {accused[:5]}"


# Step functions -------------------------------------------------------------------------------------------------------------


def steps():
    """A step with each fault that one can have, and two without."""
    kept = {}

    def gradient(w, b, X, Y):
        r = X @ w + b - Y
        return 2 * X.T @ r / len(X), 2 * np.mean(r)

    def plain(w, b, X, Y, lr, factor=1.0):
        dw, db = gradient(w, b, X, Y)
        return w - lr * factor * dw, b - lr * factor * db

    def accumulating(w, b, X, Y, lr):
        dw, db = gradient(w, b, X, Y)
        kept["w"], kept["b"] = kept.get("w", 0) + dw, kept.get("b", 0) + db
        return w - lr * kept["w"], b - lr * kept["b"]

    def pairs(w, b, X, Y, lr):
        r = ((X @ w + b)[:, None] - Y).mean(axis=1)
        return w - lr * 2 * X.T @ r / len(X), b - lr * 2 * np.mean(r)

    def outer(w, b, X, Y, lr):
        r = (X @ w + b)[:, None] - Y
        return w[:, None] - lr * 2 * X.T @ r / len(X), b

    def unbiased(w, b, X, Y, lr):
        return w - lr * 2 * X.T @ (X @ w - Y) / len(X), b

    return {
        "healthy": (plain, None),
        "half": (lambda *all_: plain(*all_, factor=0.5), None),
        "uphill": (lambda *all_: plain(*all_, factor=-1.0), "plus for minus"),
        "sum": (lambda w, b, X, Y, lr: plain(w, b, X, Y, lr, len(X)), "loss summed"),
        "kept": (accumulating, "gradients not reset"),
        "pairs": (pairs, "broadcasting"),
        "matrix": (outer, "broadcasting"),
        "no bias": (unbiased, "no bias"),
        "shuffled": (lambda w, b, X, Y, lr: plain(w, b, X, np.roll(Y, 1), lr), "targets shuffled"),
    }


@pytest.mark.parametrize("name", steps())
def test_a_step_function_is_tried(name):
    for seed in range(50):
        step, fault = steps()[name]
        X, Y, lr, _ = problem(seed)
        assert gdcore.diagnose(X=X, Y=Y, step=step, lr=lr).fault == fault
    assert gdcore.diagnose(step=steps()[name][0]).fault == fault


def test_the_lr_beside_a_step():
    X, Y, _, _ = problem(3)
    step, limit = steps()["healthy"][0], gdcore.spectrum(X).lr_limit
    assert gdcore.diagnose(X=X, Y=Y, step=step, lr=1.01 * limit).fault == "lr past the limit"
    assert gdcore.diagnose(X=X, Y=Y, step=step, lr=1e-6 * limit).fault == "lr far too small"


# What is said ---------------------------------------------------------------------------------------------------------------


def test_what_cannot_be_told_is_said():
    X, Y, lr, _ = problem(1)
    uphill = quietly(broken.wrong_sign, X, Y, lr, 50).losses
    told = gdcore.diagnose(uphill)
    assert told.fault is None
    assert "cannot be told from what was given" in told.evidence
    assert gdcore.diagnose(broken.not_reset(X, Y, lr, 100).losses).fault == "gradients not reset"
    limit = gdcore.spectrum(X).lr_limit
    fast = quietly(broken.healthy, X, Y, 1.5 * limit, 50).losses
    assert gdcore.diagnose(fast, X, Y, lr=1.5 * limit).fault == "lr past the limit"
    assert "give X, Y, lr" in gdcore.diagnose(broken.healthy(X, Y, lr, 50).losses).evidence


def test_a_diagnosis_reads_as_a_sentence():
    X, Y = np.array([[0.0], [1.0], [2.0], [4.0]]), np.array([1.0, 3.0, 5.0, 9.0])
    told = gdcore.diagnose(broken.summed(X, Y, 0.01, 20), X, Y)
    assert repr(told) == (
        "loss summed: the first loss is 116, 4 times the mean square of Y, 29, and there are 4 rows. "
        "Divide loss and gradient by the number of rows, so that lr does not depend on it."
    )
    assert set(broken.LOOPS) == set(faults.MENDS)


@pytest.mark.parametrize(
    ("given", "kind", "said"),
    [
        (((), {}), TypeError, "diagnose wants losses or a run, or a step function as step=: found neither"),
        ((([1.0, 0.5], [[1.0], [2.0]]), {}), TypeError, "X and Y must be given together"),
        ((([1.0],), {}), ValueError, "the losses must have shape"),
        ((([1.0, 0.5], [[1.0], [2.0]], [1.0, 2.0]), {"weights": [1.0, 2.0]}), ValueError, r"weights must have shape \(1,\)"),
        ((([1.0, 0.5], [[1.0], [2.0]], [1.0, 2.0]), {"lr": -1}), ValueError, "lr must be finite and above 0, found -1"),
    ],
    ids=["nothing", "half", "one loss", "weights", "lr"],
)
def test_arguments_that_are_wrong(given, kind, said):
    with pytest.raises(kind, match=said):
        gdcore.diagnose(*given[0], **given[1])
