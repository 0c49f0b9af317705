"""Build logic only; every piece of metadata is in pyproject.toml.

The kernel is translated to C once and compiled once for each instruction set that its machines may have, all at the same
time; which of them runs is decided when gdcore is imported (gdcore/backends/__init__.py). Of the time of one compiler two
thirds are gcc's optimiser at -O3, a quarter was debug information, which is left out, and a tenth is parsing.
``build_ext --parallel 1`` compiles them one after the other. Two environment variables change the build:

    GDCORE_DEBUG=1      bounds checks on every memoryview, no optimisation
    GDCORE_SANITIZE=1   the same with the address and undefined-behaviour sanitizers
"""

import copy
import os
import platform
import tempfile

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

DEBUG = bool(os.environ.get("GDCORE_DEBUG") or os.environ.get("GDCORE_SANITIZE"))
SANITIZE = bool(os.environ.get("GDCORE_SANITIZE"))

# No -ffast-math: it gives up NaN. Sums may be re-associated, which is what lets them run in vectors; -fno-math-errno
# changes no promise. -g0 takes back the -g of Python's own flags: it changes no instruction.
OPTIMISE = ["-O3", "-g0", "-fno-signed-zeros", "-fno-trapping-math", "-fassociative-math", "-fno-math-errno"]
VARIANTS = {
    "kernel": [],
    "kernel_avx2": ["-mavx2", "-mfma", "-mbmi2"],
    "kernel_avx512": [
        "-mavx2",
        "-mfma",
        "-mbmi2",
        "-mavx512f",
        "-mavx512dq",
        "-mavx512bw",
        "-mavx512vl",
        "-mprefer-vector-width=512",
    ],
}


def extensions():
    x86 = platform.machine().lower() in {"x86_64", "amd64"}
    source = "gdcore/backends/kernel.pyx"
    directives = {
        "language_level": 3,
        "boundscheck": DEBUG,
        "wraparound": False,
        "initializedcheck": DEBUG,
        "cdivision": True,
        "embedsignature": False,
        "emit_code_comments": False,
        "auto_pickle": False,
        "binding": True,
        "freethreading_compatible": True,
    }
    template = Extension("gdcore.backends.kernel", [source])
    header = "gdcore/backends/vectors.h"
    # Cython compares the dates of its sources alone, and would keep the C code that other directives made: so that of a debug
    # build lies elsewhere, and what is older than this file is made anew.
    folder = os.path.join("build", "debug") if DEBUG else ""
    made = os.path.join(folder, source.replace(".pyx", ".c"))
    stale = os.path.exists(made) and os.path.getmtime(made) < os.path.getmtime(__file__)
    [translated] = cythonize([template], compiler_directives=directives, force=stale, build_dir=folder or None)
    for name, flags in VARIANTS.items():
        if name == "kernel" or (x86 and not DEBUG):
            made = Extension(f"gdcore.backends.{name}", translated.sources, depends=["setup.py", header])
            made.extra_compile_args, made.include_dirs = flags, [os.path.dirname(header)]
            yield made


class BuildVariants(build_ext):
    """Compiles one C file several times, all at once: each variant into a folder of its own, with flags the compiler knows."""

    def finalize_options(self):
        super().finalize_options()
        if self.parallel is None:  # neither --parallel nor -j was given
            # All of them even on fewer CPUs: they take about the same time, and end together.
            self.parallel = len(self.distribution.ext_modules)

    def build_extension(self, ext):
        common = ["-O1", "-g"] if DEBUG else OPTIMISE
        if SANITIZE:
            common = [*common, "-fsanitize=address,undefined", "-fno-omit-frame-pointer"]
            ext.extra_link_args = ["-fsanitize=address,undefined"]
        if self.compiler.compiler_type == "unix":
            known = self.known(ext, ["-pthread", *common, *ext.extra_compile_args])
            if any(flag not in known for flag in ext.extra_compile_args):
                print(f"gdcore: {ext.name} is left out")
                ext.optional = True  # so that nobody looks for it, as `build_ext --inplace` does
                return
            ext.extra_compile_args = known
            ext.extra_link_args = [*ext.extra_link_args, "-pthread"]
            print(f"gdcore: {ext.name}: {' '.join(known)}")
        # The object files of all variants have one name. A copy of this command that has a folder of its own writes them:
        # this one is shared by the threads that build the variants, and stays as it is.
        own = copy.copy(self)
        own.build_temp = os.path.join(self.build_temp, ext.name)
        build_ext.build_extension(own, ext)

    def known(self, ext, flags):
        """Those of the flags that the compiler knows."""
        if self.knows(flags):
            return flags
        known = []
        for flag in flags:
            # Together with those before it: -fassociative-math is refused without the two flags in front of it.
            if self.knows([*known, flag]):
                known.append(flag)
            else:
                print(f"gdcore: {ext.name}: the compiler does not know {flag}")
        return known

    def knows(self, flags):
        with tempfile.TemporaryDirectory() as folder:
            source = os.path.join(folder, "probe.c")
            with open(source, "w") as file:
                file.write("int probe(void) { return 0; }\n")
            try:
                self.compiler.compile([source], output_dir=folder, extra_preargs=["-Werror", *flags])
            except Exception:
                return False
        return True

    def get_export_symbols(self, ext):
        return ["PyInit_kernel"]  # every variant is loaded under the one name `kernel`


setup(ext_modules=list(extensions()), cmdclass={"build_ext": BuildVariants})
