"""The comparison that the backends pass is one that a wrong gradient does not pass."""

import mutants
import pytest
from mutants import KERNEL_MUTANTS, REFERENCE_MUTANTS


def names(table):
    return [name for _, replacements in table for name in replacements]


@pytest.fixture(scope="module")
def references(tmp_path_factory):
    return mutants.reference_mutants(tmp_path_factory.mktemp("reference"))


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    reason = mutants.why_no_kernel()
    if reason:
        pytest.skip(reason)
    module, built = mutants.kernel_mutants(tmp_path_factory.mktemp("kernel"))
    assert built == names(KERNEL_MUTANTS)
    yield module
    module.mutate(0)


def test_the_reference_as_it_is(references):
    assert mutants.noticed(references["nothing"]) is None


@pytest.mark.parametrize("name", names(REFERENCE_MUTANTS))
def test_a_wrong_reference_is_noticed(references, name):
    assert mutants.noticed(references[name])


def test_the_kernel_as_it_is(kernel):
    kernel.mutate(0)
    assert mutants.noticed(kernel) is None


@pytest.mark.parametrize("number, name", list(enumerate(names(KERNEL_MUTANTS), 1)))
def test_a_wrong_kernel_is_noticed(kernel, number, name):
    kernel.mutate(number)
    assert mutants.noticed(kernel)


def test_a_changed_source_is_noticed():
    """A table that no longer finds its place in the source is an error, not a mutant of nothing."""
    pattern = KERNEL_MUTANTS[0][0]
    for text in ("r = s[q] * r", "r = 2 * s[q] * r\nr = 2 * s[q] * r"):
        with pytest.raises(LookupError, match="change the table too"):
            mutants.find(pattern, {"kernel.pyx": text})
    file, place = mutants.find(pattern, {"kernel.pyx": "", "losses.pxi": "    r  =  2*s[ q ]  * r"})
    assert (file, place[0]) == ("losses.pxi", "2*s[ q ]  * r")
