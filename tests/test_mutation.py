"""The comparisons that the backends pass, and the tests that the library passes, are such that a wrong one does not pass."""

import mutants
import pytest
from mutants import CHECKS, KERNEL_MUTANTS, LIBRARY_MUTANTS, REFERENCE_MUTANTS


@pytest.fixture(scope="module")
def references(tmp_path_factory):
    return mutants.reference_mutants(tmp_path_factory.mktemp("reference"))


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    reason = mutants.why_no_kernel()
    if reason:
        pytest.skip(reason)
    module = mutants.kernel_mutants(tmp_path_factory.mktemp("kernel"))
    yield module
    module.mutate(0)


def test_the_reference_as_it_is(references):
    assert mutants.noticed(references["nothing"]) is None


@pytest.mark.parametrize("name", [name for _, _, wrong in REFERENCE_MUTANTS for name in wrong])
def test_a_wrong_reference_is_noticed(references, name):
    assert mutants.noticed(references[name])


@pytest.mark.parametrize("check", CHECKS)
def test_the_kernel_as_it_is(kernel, check):
    kernel.mutate(0)
    assert mutants.noticed(kernel, check) is None


@pytest.mark.parametrize("number, check, name", [(i, *mutant) for i, mutant in enumerate(mutants.kernel_names(), 1)])
def test_a_wrong_kernel_is_noticed(kernel, number, check, name):
    kernel.mutate(number)
    assert mutants.noticed(kernel, check)


def test_a_changed_source_is_noticed():
    """A table that no longer finds its place in the source is an error, not a mutant of nothing."""
    pattern = KERNEL_MUTANTS["equivalence"][0][0]
    for text in ("r = s[q] * r", "r = 2 * s[q] * r\nr = 2 * s[q] * r"):
        with pytest.raises(LookupError, match="change the table too"):
            mutants.find(pattern, {"kernel.pyx": text})
    file, place = mutants.find(pattern, {"kernel.pyx": "", "losses.pxi": "    r  =  2*s[ q ]  * r"})
    assert (file, place[0]) == ("losses.pxi", "2*s[ q ]  * r")


@pytest.mark.parametrize("wrong", LIBRARY_MUTANTS, ids=lambda wrong: wrong.name)
def test_every_mutant_of_the_library_finds_its_place(wrong):
    mutants.find(wrong.pattern, {wrong.module: (mutants.PACKAGE / wrong.module).read_text()})


@pytest.mark.parametrize("wrong", [wrong for wrong in LIBRARY_MUTANTS if wrong.quick], ids=lambda wrong: wrong.name)
def test_a_wrong_library_is_noticed(wrong, tmp_path):
    """Two of them; `python tests/mutants.py --library` runs all."""
    assert mutants.library_noticed(wrong, mutants.library_copy(tmp_path))
