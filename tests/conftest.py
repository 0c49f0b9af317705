import os
import subprocess
import sys
from pathlib import Path

import pytest

from gdcore.backends import BACKENDS

collect_ignore = ["make_certified.py"]  # it wants statsmodels, which the tests do without


@pytest.fixture(params=sorted(BACKENDS))
def backend(request):
    """Each of the two backends in turn."""
    return BACKENDS[request.param]


@pytest.fixture
def python(tmp_path):
    """Runs a program in a new interpreter, away from any source tree; these tests' own modules can be imported."""

    def run(program, *arguments, timeout=60, **environment):
        path = os.pathsep.join(filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")]))
        return subprocess.run(
            [sys.executable, "-c", program, *map(str, arguments)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": path, **environment},
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    return run
