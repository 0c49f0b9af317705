import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gdcore.backends import BACKENDS
from gdcore.cli import parser

collect_ignore = ["make_certified.py"]  # it wants statsmodels, which the tests do without

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell lets what it starts with & ignore Ctrl-C, and so would the commands that the tests start: theirs never ended.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(params=sorted(BACKENDS))
def backend(request):
    """Each of the two backends in turn."""
    return BACKENDS[request.param]


@pytest.fixture
def gd(capsys):
    """A command in this process: its status, stdout and stderr."""

    def run(*arguments):
        capsys.readouterr()
        try:
            status = parser.main([str(argument) for argument in arguments])
        except SystemExit as end:
            status = end.code
        return (status, *capsys.readouterr())

    return run


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
