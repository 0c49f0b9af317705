"""Each instruction set that this CPU has is right, and what cannot be loaded says why."""

import shutil
from pathlib import Path

import pytest

import gdcore
from gdcore.backends import kernel

VARIANTS = ("baseline", "avx2", "avx512")

CHECK = """
import sys
import equivalence
from gdcore.backends import kernel, reference

variant = sys.argv[1]
assert kernel.variant() == variant, kernel.variant()
equivalence.check(kernel)
for dtype in equivalence.DTYPES:
    for d, k in ((3, 1), (20, 1), (40, 1), (40, 3)):
        p = equivalence.problem(equivalence.many_rows(d), d, k, dtype)
        _, grad, bias_grad = reference.loss_gradient(*p.arrays())
        _, found, bias_found = kernel.loss_gradient(*p.arrays(), n_threads=2)
        equivalence.close(f"{variant}, d = {d}", found, grad, equivalence.TOLERANCE[dtype])
        equivalence.close(f"{variant}, d = {d}, bias", bias_found, bias_grad, equivalence.TOLERANCE[dtype])
print("checked", variant)
"""


def test_the_best_variant_is_named_first():
    supported = kernel.supported()
    assert supported == [variant for variant in reversed(VARIANTS) if variant in supported]
    assert supported[-1] == "baseline"
    assert kernel.variant() in supported


@pytest.mark.parametrize("variant", kernel.supported())
def test_variant(python, variant):
    done = python(CHECK, variant, GDCORE_VARIANT=variant)
    if "this build of gdcore has no such variant" in done.stderr and variant != "baseline":
        pytest.skip(f"this build has no {variant}")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"checked {variant}\n"


@pytest.mark.parametrize("variant", ["sse9", "", "AVX2", *(v for v in VARIANTS if v not in kernel.supported())])
def test_a_variant_that_cannot_run(python, variant):
    done = python("import gdcore.backends", GDCORE_VARIANT=variant)
    assert done.returncode == 1
    message = done.stderr.splitlines()[-1]
    assert message.startswith("ImportError: ")
    assert repr(variant) in message
    assert all(name in message for name in kernel.supported())


def test_without_a_kernel_the_error_says_how_to_build_it(python, tmp_path):
    """A source tree in which nothing has been built."""
    package = Path(gdcore.__file__).parent
    tree = shutil.copytree(package, tmp_path / "tree" / "gdcore", ignore=shutil.ignore_patterns("*.so", "*.pyd", "*.c"))
    done = python("import sys; sys.path.insert(0, sys.argv[1]); import gdcore.backends", tree.parent)
    assert done.returncode == 1
    message = done.stderr.splitlines()[-1]
    assert message.startswith("ImportError: ")
    assert "pip install" in message
    assert str(tree) in message


@pytest.mark.skipif("avx2" not in kernel.supported(), reason="this CPU runs only the baseline")
def test_a_variant_that_was_not_built(python, tmp_path, monkeypatch):
    monkeypatch.delenv("GDCORE_VARIANT", raising=False)
    package = Path(gdcore.__file__).parent
    tree = shutil.copytree(package, tmp_path / "tree" / "gdcore", ignore=shutil.ignore_patterns("kernel_*", "*.c"))
    program = "import sys; sys.path.insert(0, sys.argv[1]); from gdcore.backends import kernel; print(kernel.variant())"
    assert python(program, tree.parent).stdout == "baseline\n"
    done = python(program, tree.parent, GDCORE_VARIANT="avx2")
    assert done.returncode == 1
    message = done.stderr.splitlines()[-1]
    assert message.startswith("ImportError: ")
    assert "'avx2'" in message
