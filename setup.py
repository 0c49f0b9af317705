"""Build logic only; every piece of metadata is in pyproject.toml.

The kernel is translated to C once and compiled once for each instruction set that its machines may have; which of them
runs is decided when gdcore is imported (gdcore/backends/__init__.py). Two environment variables change the build:

    GDCORE_DEBUG=1      bounds checks on every memoryview, no optimisation
    GDCORE_SANITIZE=1   the same with the address and undefined-behaviour sanitizers
"""

import os
import platform
import tempfile

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

DEBUG = bool(os.environ.get("GDCORE_DEBUG") or os.environ.get("GDCORE_SANITIZE"))
SANITIZE = bool(os.environ.get("GDCORE_SANITIZE"))

# No -ffast-math: it gives up NaN. Sums may be re-associated, which is what lets them run in vectors; -fno-math-errno
# changes no promise.
OPTIMISE = ["-O3", "-fno-signed-zeros", "-fno-trapping-math", "-fassociative-math", "-fno-math-errno"]
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
        "binding": True,
        "freethreading_compatible": True,
    }
    template = Extension("gdcore.backends.kernel", [source])
    [translated] = cythonize([template], compiler_directives=directives, force=DEBUG)
    for name, flags in VARIANTS.items():
        if name == "kernel" or (x86 and not DEBUG):
            yield Extension(f"gdcore.backends.{name}", translated.sources, extra_compile_args=flags)


class BuildVariants(build_ext):
    """Compiles one C file several times, each variant into its own object files and with flags that the compiler knows."""

    def build_extension(self, ext):
        common = ["-O1", "-g"] if DEBUG else OPTIMISE
        if SANITIZE:
            common = [*common, "-fsanitize=address,undefined", "-fno-omit-frame-pointer"]
            ext.extra_link_args = ["-fsanitize=address,undefined"]
        if self.compiler.compiler_type == "unix":
            known = []
            for flag in ["-pthread", *common, *ext.extra_compile_args]:
                # Together with those before it: -fassociative-math is refused without the two flags in front of it.
                if self.knows([*known, flag]):
                    known.append(flag)
                else:
                    print(f"gdcore: {ext.name}: the compiler does not know {flag}")
            if any(flag not in known for flag in ext.extra_compile_args):
                print(f"gdcore: {ext.name} is left out")
                return
            ext.extra_compile_args = known
            ext.extra_link_args = [*ext.extra_link_args, "-pthread"]
            print(f"gdcore: {ext.name}: {' '.join(known)}")
        build_temp, self.build_temp = self.build_temp, os.path.join(self.build_temp, ext.name)
        try:
            super().build_extension(ext)
        finally:
            self.build_temp = build_temp

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
