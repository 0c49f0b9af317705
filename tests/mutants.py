"""Wrong backends, made on purpose: each must make the comparison in equivalence.py fail.

    python tests/mutants.py

builds all of them and prints which were noticed; test_mutation.py does the same. A mutant is the source of a backend in
which one expression stands replaced. The kernel is compiled once with all its mutants inside, and `mutate(number)` says
which of them runs; 0 is none, the kernel as it is.
"""

import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import equivalence

from gdcore.backends import reference

KERNEL = Path(__file__).parent.parent / "gdcore" / "backends" / "kernel.pyx"

# Where, and what is then replaced there: regular expressions in which a blank stands for any white space. The kernel's
# are whole expressions: the first group, or all of it.
REFERENCE_MUTANTS = [
    (r"return r \* r, 2 \* r\b", {"sign": (r"2 \*", "-2 *"), "factor 2": (r"2 \*", "")}),
    (r"value, total\], np\.sum\(", {"sign of ∇b": (r"np\.", "-np."), "a factor in ∇b": (r"np\.", "2 * np.")}),
    (r"else state\[ 0 \] parameters -= lr \* along", {"minus of the update": ("-=", "+=")}),
]
KERNEL_MUTANTS = [
    (
        r"\b2 \* s\[ q \] \* r\b",
        {"sign": (r"2 \*", "-2 *"), "factor 2": (r"2 \*", ""), "sample weight": (r"s\[ q \] \*", "")},
    ),
    (r"return < floating > \( (weight - lr \* gradient) \)", {"minus of the update": ("-", "+")}),
]

DIRECTIVES = ("boundscheck=False", "wraparound=False", "initializedcheck=False", "cdivision=True", "binding=True")


def spaced(pattern):
    return pattern.replace(" ", r"\s*")


def find(pattern, sources):
    """The one place in ``sources``, texts by name, that looks like ``pattern``: a name and a match."""
    found = [(name, match) for name, text in sources.items() for match in re.finditer(spaced(pattern), text)]
    if len(found) != 1:
        raise LookupError(f"{len(found)} places look like {pattern!r}, not 1: the source has changed, change the table too")
    return found[0]


def mutated(expression, replacement):
    text, count = re.subn(spaced(replacement[0]), replacement[1], expression, count=1)
    assert count == 1, f"there is no {replacement[0]!r} in {expression!r}"
    return text


def put(text, place, expression):
    group = place.re.groups  # 0 is all of it
    return text[: place.start(group)] + expression + text[place.end(group) :]


def load(path, name):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def reference_mutants(folder):
    """The reference as it is and its mutants, as modules: {what is wrong: module}."""
    source = Path(reference.__file__).read_text()
    sources = {"nothing": source}
    for pattern, mutants in REFERENCE_MUTANTS:
        _, place = find(pattern, {"reference.py": source})
        sources |= {name: put(source, place, mutated(place[0], mutant)) for name, mutant in mutants.items()}
    modules = {}
    for number, (name, text) in enumerate(sources.items()):
        path = Path(folder) / f"reference_{number}.py"
        path.write_text(text)
        modules[name] = load(path, path.stem)
    return modules


def why_no_kernel():
    """Why the kernel's mutants cannot be built here, or None if they can."""
    if not KERNEL.exists():
        return "these tests do not lie beside gdcore's source"
    if importlib.util.find_spec("Cython") is None:
        return "Cython is not installed"
    if not shutil.which(linker()[0]):
        return f"there is no C compiler {linker()[0]}"
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        return "Python's headers are not installed"
    return None


def linker():
    return shlex.split(sysconfig.get_config_var("LDSHARED") or "cc -shared")


def kernel_sources(name=KERNEL.name):
    """The kernel's source and the files it includes: {name: text}."""
    text = (KERNEL.parent / name).read_text()
    sources = {name: text}
    for included in re.findall(r"""^\s*include\s+["'](.+?)["']""", text, re.MULTILINE):
        sources |= kernel_sources(included)
    return sources


def kernel_mutants(folder):
    """The kernel compiled with its mutants inside, and their names in the order of their numbers, from 1 on."""
    sources, names = kernel_sources(), []
    for pattern, mutants in KERNEL_MUTANTS:
        file, place = find(pattern, sources)
        original = expression = place[place.re.groups]
        for name, mutant in mutants.items():
            names.append(name)
            expression = f"({mutated(original, mutant)} if mutant == {len(names)} else {expression})"
        sources[file] = put(sources[file], place, expression)
    sources[KERNEL.name] += "\n\ncdef int mutant = 0\n\n\ndef mutate(int number):\n    global mutant\n    mutant = number\n"
    for file, text in sources.items():
        (Path(folder) / file).write_text(text)
    options = [option for directive in DIRECTIVES for option in ("-X", directive)]
    run([sys.executable, "-m", "cython", "-3", *options, KERNEL.name], folder)
    built = Path(folder) / ("kernel" + sysconfig.get_config_var("EXT_SUFFIX"))
    include = "-I" + sysconfig.get_path("include")
    run([*linker(), "-O1", "-w", "-fPIC", "-pthread", include, "kernel.c", "-lm", "-o", built.name], folder)
    return load(built, "kernel"), names


def run(command, folder):
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")


def noticed(backend):
    """Whether the comparison fails."""
    try:
        equivalence.check(backend)
    except AssertionError as error:
        return str(error)
    return None


def main():
    survivors = 0
    with tempfile.TemporaryDirectory() as folder:
        cases = [(f"reference, {name}", module, None) for name, module in reference_mutants(folder).items()]
        reason = why_no_kernel()
        if reason:
            print("no mutants of the kernel:", reason)
        else:
            kernel, names = kernel_mutants(folder)
            cases += [(f"kernel, {name}", kernel, number) for number, name in enumerate(["nothing", *names])]
        for name, module, number in cases:
            if number is not None:
                module.mutate(number)
            found, healthy = noticed(module), name.endswith("nothing")
            survivors += (found is None) != healthy
            print(f"{name}: {found or 'passes'}")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
