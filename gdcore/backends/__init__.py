"""The two backends: `reference` (NumPy) and `kernel` (Cython), the same functions by the same names.

The kernel is compiled several times from one source, once for each instruction set; the best that this CPU has is loaded
here under the one name `gdcore.backends.kernel`. The environment variable ``GDCORE_VARIANT`` (``baseline``, ``avx2``,
``avx512``) forces one of them.
"""

import importlib.util
import os
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, cast

from gdcore.backends import reference
from gdcore.losses import COMPILED
from gdcore.optimizers import OPTIMIZERS

if TYPE_CHECKING:
    from gdcore.backends.backend import Backend

__all__ = ["BACKENDS", "kernel", "reference"]


def _load(variant: str) -> ModuleType | None:
    stem = "kernel" if variant == "baseline" else f"kernel_{variant}"
    for suffix in EXTENSION_SUFFIXES:
        path = Path(__file__).with_name(stem + suffix)
        if path.exists():
            spec = importlib.util.spec_from_file_location("gdcore.backends.kernel", path)
            module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
            spec.loader.exec_module(module)  # type: ignore[union-attr]
            return module
    return None


def _best() -> ModuleType:
    baseline = _load("baseline")
    if baseline is None:
        raise ImportError(
            f"gdcore's kernel is not built in {Path(__file__).parent}. If this is a source tree, build it in place with "
            "`pip install -e .`; to use an installed gdcore instead, start Python in another directory."
        )
    supported: list[str] = baseline.supported()
    forced = os.environ.get("GDCORE_VARIANT")
    if forced is not None and forced not in supported:
        raise ImportError(f"GDCORE_VARIANT={forced!r}, but this CPU runs only {', '.join(supported)}")
    for variant in [forced] if forced else supported:
        module = baseline if variant == "baseline" else _load(variant)
        if module is not None:
            return module
    raise ImportError(f"GDCORE_VARIANT={forced!r}, but this build of gdcore has no such variant")


def _check_complete(kernel: ModuleType) -> None:
    """ImportError where a loss or an optimizer says that it is compiled, and the kernel has no section of its name."""
    rules = {name for name, kind in OPTIMIZERS.items() if kind.compiled}
    try:
        lacking = ((COMPILED - kernel.LOSSES, "losses.pxi"), (rules - kernel.RULES, "optimizers.pxi"))
    except AttributeError:
        raise ImportError("gdcore's kernel is of an older source: build it again with `pip install -e .`") from None
    for lacks, file in lacking:
        if lacks:
            raise ImportError(
                f"gdcore's kernel has no section for {', '.join(sorted(lacks))}: write it in backends/{file}, or leave out "
                "compiled=True, and build the kernel again with `pip install -e .`"
            )


kernel = _best()
_check_complete(kernel)
sys.modules["gdcore.backends.kernel"] = kernel

BACKENDS: dict[str, "Backend"] = {"kernel": cast("Backend", kernel), "reference": reference}
