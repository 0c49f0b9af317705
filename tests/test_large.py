"""Tables of more than 2³¹ elements, without the memory they would take: offsets and counts must not wrap around."""

import os
import sys

import numpy as np
import pytest
from equivalence import close

from gdcore.backends import kernel

LIMIT = 2**31
TAIL = 5  # rows that are not zero


@pytest.fixture(scope="module")
def sparse_file(tmp_path_factory):
    """Zeros for a table of more than 2³¹ float32, 8.6 GB of which the disk holds nothing."""
    path = tmp_path_factory.mktemp("large") / "X"
    try:
        with open(path, "wb") as file:
            file.truncate(4 * (LIMIT + (1 << 16)))
    except OSError as error:
        pytest.skip(f"this file system refuses a sparse file of 8.6 GB: {error}")
    # A file system in memory has sparse files, but fills the holes of one that is mapped as they are read.
    assert not np.memmap(path, np.float32, "r", shape=1 << 22).any()
    on_disk = os.stat(path).st_blocks * 512
    if on_disk <= 1 << 20:
        yield path
    path.unlink()
    if on_disk > 1 << 20:
        pytest.skip("this file system has no sparse files, or fills them as they are read")


def tail_problem(path, n, d):
    """(n, d) rows of the sparse file with numbers in the last five, and targets that are zero elsewhere as well."""
    rng = np.random.default_rng(d)
    with open(path, "r+b") as file:
        file.seek(4 * (n - TAIL) * d)
        file.write(rng.normal(size=(TAIL, d)).astype(np.float32).tobytes())
    Y = np.zeros((n, 1), np.float32)
    Y[-TAIL:] = rng.normal(1, 1, (TAIL, 1))
    W = (rng.normal(size=(d, 1)) / np.sqrt(d)).astype(np.float32)
    return np.memmap(path, np.float32, "r", shape=(n, d)), Y, W


def truth(X, Y, W, n):
    """loss and gradient of n rows of which all but these are zero."""
    R = X.astype(float) @ W - Y
    return np.sum(R**2) / n, 2 * X.astype(float).T @ R / n


def test_a_sparse_file(sparse_file):
    d = 4096
    n = LIMIT // d + 9
    X, Y, W = tail_problem(sparse_file, n, d)
    assert X.size > LIMIT
    loss, grad = truth(X[-TAIL:], Y[-TAIL:], W, n)
    value, found, _ = kernel.loss_gradient(X, Y, W, None, n_threads=os.cpu_count())
    assert value == pytest.approx(loss, rel=1e-5)
    close("gradient", found, grad, 1e-5)


@pytest.mark.parametrize("d", [3, 20, 40])
def test_rows_far_apart(sparse_file, d):
    """A few rows of a wide table, and its columns backwards: offsets past 2³¹ elements in every path, in no time."""
    wide, step = 4096, 64
    whole = np.memmap(sparse_file, np.float32, "r+", shape=(LIMIT // wide + 9, wide))
    n = len(whole[::step])
    last = (n - 1) * step
    assert last * wide >= LIMIT - step * wide
    rng = np.random.default_rng(d)
    try:
        whole[last, :d] = rng.normal(size=d)
        rows = whole[::step, :d]
        Y, W = np.zeros((n, 1), np.float32), rng.normal(size=(d, 1)).astype(np.float32)
        Y[-1] = 1.5
        loss, grad = truth(rows[-1:], Y[-1:], W, n)
        for X, targets, order in ((rows, Y, slice(None)), (rows[::-1, ::-1], Y[::-1], slice(None, None, -1))):
            value, found, _ = kernel.loss_gradient(X, targets, W[order], None)
            assert value == pytest.approx(loss, rel=1e-5)
            close("gradient", found, grad[order], 1e-5)
    finally:
        whole[last, :d] = 0


@pytest.mark.parametrize("d", [20, 40])
def test_more_elements_than_an_int_counts(d):
    """One row, repeated without strides until there are 2³¹ elements: the mean is that row's own."""
    n = LIMIT // d + 7
    rng = np.random.default_rng(0)
    row = rng.normal(size=(1, d)).astype(np.float32)
    W = rng.normal(size=(d, 1)).astype(np.float32)
    X, Y = np.broadcast_to(row, (n, d)), np.broadcast_to(np.float32(2), (n, 1))
    assert X.size > LIMIT
    loss, grad = truth(row, np.array([[2.0]]), W, 1)
    value, found, bias_grad = kernel.loss_gradient(X, Y, W, np.zeros(1, np.float32), n_threads=os.cpu_count())
    assert value == pytest.approx(loss, rel=1e-5)
    close("gradient", found, grad, 1e-5)
    close("bias gradient", bias_grad, 2 * (row.astype(float) @ W - 2)[0], 1e-5)


def test_more_rows_than_an_int_counts():
    n = LIMIT + 1001
    X, Y = np.broadcast_to(np.float32(0.5), (n, 1)), np.broadcast_to(np.float32(2), (n, 1))
    W = np.array([[3]], np.float32)
    value, grad, bias_grad = kernel.loss_gradient(X, Y, W, np.zeros(1, np.float32), n_threads=os.cpu_count())
    assert (value, grad[0, 0], bias_grad[0]) == (0.25, -0.5, -1)


PEAK = """
import resource
import numpy as np
from gdcore.backends import kernel

n, d = 5_000_000, 40
X = np.broadcast_to(np.ones((1, d), np.float32), (n, d))
Y, W = np.broadcast_to(np.float32(2), (n, 1)), np.ones((d, 1), np.float32)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for rows in (X, X[:, ::-1], X[:, :3]):
    kernel.loss_gradient(rows, Y, W[: rows.shape[1]], None, n_threads=4)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere the peak of memory is counted differently")
def test_a_large_pass_allocates_next_to_nothing(python):
    """A pass over 800 MB of address space, forwards and backwards, adds less than 5 % of that to the peak of memory."""
    done = python(PEAK)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 40_000  # kB
