"""The command line, as a user meets it: in a process of its own, in an empty folder."""

import importlib.util
import json
import math
import os
import re
import struct
import subprocess
import sys
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

import gdcore
from gdcore.cli import parser

CERTIFIED = {"intercept": -0.262323073774029, "slope": 1.00211681802045}
needs_matplotlib = pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="matplotlib is not installed")


def gdcore_command(folder, *arguments, path=None, **environment):
    """``python -m gdcore …`` in that folder; ``path`` comes first on sys.path."""
    environment = {**os.environ, "MPLCONFIGDIR": str(folder), **environment}
    environment.pop("PYTHONPATH", None)
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "gdcore", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    done = gdcore_command(folder, "demo")
    assert list(folder.iterdir()) == []  # nothing is written unless asked for
    return done


@pytest.fixture
def without_matplotlib(tmp_path):
    """A folder in front of sys.path whose matplotlib cannot be imported."""
    package = tmp_path / "broken" / "matplotlib"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('no matplotlib here')\n")
    return package.parent


def test_demo_succeeds_without_an_argument(demo):
    assert (demo.returncode, demo.stderr) == (0, "")


def test_demo_learns_the_certified_digits(demo):
    rows = re.findall(r"^ +(intercept|slope) +(\S+) +(\S+) +([\d.]+)$", demo.stdout, re.MULTILINE)
    assert [name for name, *_ in rows] == ["intercept", "slope"]
    for name, learned, certified, digits in rows:
        assert float(certified) == CERTIFIED[name]
        assert str(CERTIFIED[name]) in demo.stdout
        error = abs(float(learned) - CERTIFIED[name]) / abs(CERTIFIED[name])
        assert float(digits) >= 12
        assert error < 1e-12
        assert float(digits) == pytest.approx(min(15.0, -math.log10(error)) if error else 15.0, abs=0.3)


def test_demo_traces_its_epochs(demo):
    rows = re.findall(
        r"^ +(textbook|default call) +([\d,]+) +([\d.e+-]+) +([\d.e+-]+) +([\d.-]+) +([\d.-]+)$", demo.stdout, re.MULTILINE
    )
    for name, least in (("textbook", 5), ("default call", 1)):
        kept = [row[1:] for row in rows if row[0] == name]
        epochs, losses = [int(row[0].replace(",", "")) for row in kept], [float(row[1]) for row in kept]
        assert epochs == sorted(set(epochs))
        assert epochs[0] == 1
        assert len(epochs) >= least
        assert losses == sorted(losses, reverse=True)
        assert losses[-1] == pytest.approx(0.884796396144373**2 * 34 / 36, rel=1e-7)
        assert float(kept[-1][3]) == pytest.approx(CERTIFIED["slope"], abs=1e-6)
        assert float(kept[-1][4]) == pytest.approx(CERTIFIED["intercept"], abs=1e-6)
    assert [row[0] for row in rows].count("default call") <= 5


def test_demo_says_how_the_default_call_ended(demo):
    said = re.findall(
        r"has\s+converged after (\d) epochs? over their second moments:\s+the best loss is proved to be at most (\S+) lower",
        demo.stdout,
    )
    assert len(said) == 2  # Norris, Celsius
    for _, gap in said:
        assert 0 <= float(gap) < 1e-20


def test_demo_says_what_the_textbook_needs(demo):
    (lr, needed), *_ = re.findall(r"lr = 1/λmax = (\S+) needs ([\d,]+) epochs for 3 digits", demo.stdout)
    x = np.array(json.loads((files("gdcore.data") / "norris.json").read_text())["x"])
    smallest, largest = np.linalg.eigvalsh(2 * np.cov([x, np.ones(36)], ddof=0) + 2 * np.outer([x.mean(), 1], [x.mean(), 1]))
    assert float(lr) == pytest.approx(1 / largest, rel=0.01)
    assert int(needed.replace(",", "")) == pytest.approx(math.log(1e-3) / math.log1p(-smallest / largest), rel=1e-4)


def test_demo_measures_both_backends(demo):
    rates = re.findall(r"([\d.]+) ms an epoch, +([\d.]+) million samples/s, +([\d.]+) GB/s", demo.stdout)
    assert len(rates) == 2
    for milliseconds, samples, gigabytes in rates:
        assert float(samples) == pytest.approx(500_000 / float(milliseconds) / 1e3, rel=0.05)
        assert float(gigabytes) == pytest.approx(500_000 * 50 * 8 / float(milliseconds) / 1e6, rel=0.05)
    assert "NumPy" in demo.stdout
    assert re.search(r"kernel \((baseline|avx2|avx512)\)", demo.stdout)


def test_demo_tells_the_truth_about_the_celsius_lesson(demo):
    for said in ("11,528", "2/λmax = 0.000273", "about 163,000 epochs at lr = 0.0001", "59,794 at the best lr"):
        assert said in demo.stdout
    runs = re.findall(r"^ +(.*\S) +([\d,]+) epochs: w = (\S+), b = (\S+), 37 °C = (\S+) °F\.$", demo.stdout, re.MULTILINE)
    assert runs == [
        ("lr = 0.0001", "1,000", "2.211", "1.865", "83.7"),
        ('lr = 0.0001, method="exact"', "200,000", "1.800", "32.000", "98.6"),
        ("lr = spectrum.lr_best", "59,794", "1.800", "31.999", "98.6"),
        ('lr = "auto", the default', runs[-1][1], "1.800", "32.000", "98.6"),
    ]
    assert int(runs[-1][1]) <= 3
    # The spectrum speaks first.
    assert demo.stdout.index("163,000") < demo.stdout.index("b = 1.865")


def test_demo_fits_on_two_screens(demo):
    assert len(demo.stdout.splitlines()) <= 48
    assert max(map(len, demo.stdout.splitlines())) <= 120


def png_size(path):
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    assert head[12:16] == b"IHDR"
    return struct.unpack(">II", head[16:24])


@needs_matplotlib
def test_demo_draws(tmp_path):
    from matplotlib import image

    # A display that is not there must not matter.
    done = gdcore_command(tmp_path, "demo", "--plot", "picture.png", DISPLAY="", MPLBACKEND="")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "Picture: picture.png"
    picture = tmp_path / "picture.png"
    width, height = png_size(picture)
    assert width > height > 600
    pixels = image.imread(picture)[..., :3]
    # Four panels, each with the blue of what was trained and the black of its data or its letters.
    blue = abs(pixels - [0x1F / 255, 0x5F / 255, 0xA8 / 255]).max(axis=2) < 0.05
    dark = pixels.max(axis=2) < 0.5
    orange = abs(pixels - [0xD1 / 255, 0x62 / 255, 0x2B / 255]).max(axis=2) < 0.05
    counts = []
    for panel in range(4):
        top, left = panel // 2 * height // 2, panel % 2 * width // 2
        part = slice(top, top + height // 2), slice(left, left + width // 2)
        assert blue[part].sum() > 200
        assert dark[part].sum() > 200
        counts.append(int(orange[part].sum()))
    assert counts[:3] == [0, 0, 0]
    assert counts[3] > 200  # past the limit: in the spectrum's panel alone
    assert (pixels.min(axis=2) > 0.99).mean() > 0.7


@needs_matplotlib
@pytest.mark.parametrize(("name", "magic"), [("picture.svg", b"<?xml"), ("picture.pdf", b"%PDF")])
def test_demo_draws_other_formats(tmp_path, monkeypatch, capsys, name, magic):
    monkeypatch.chdir(tmp_path)
    assert parser.main(["demo", "--plot", name]) == 0
    assert (tmp_path / name).read_bytes().startswith(magic)
    assert capsys.readouterr().err == ""


def assert_one_line(done):
    """A mistake of the caller's: exit status 2 and one line on stderr."""
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("gdcore: ")
    return line


def test_demo_without_matplotlib_says_what_to_install(tmp_path, without_matplotlib):
    done = gdcore_command(tmp_path, "demo", "--plot", "picture.png", path=without_matplotlib)
    assert "pip install 'gdcore[plot]'" in assert_one_line(done)
    assert done.stdout == ""  # it is said before the work, not after it
    assert not (tmp_path / "picture.png").exists()


def test_demo_needs_no_matplotlib_unless_it_draws(tmp_path, without_matplotlib):
    done = gdcore_command(tmp_path, "demo", path=without_matplotlib)
    assert (done.returncode, done.stderr) == (0, "")
    assert "11,528" in done.stdout


@needs_matplotlib
@pytest.mark.parametrize(
    ("target", "said"),
    [
        (Path("missing") / "picture.png", "missing"),
        (Path("file.txt") / "picture.png", "file.txt"),
        (Path("picture.xyz"), r"must end in \.png, \.svg or \.pdf"),
        (Path("picture"), r"must end in \.png, \.svg or \.pdf"),
    ],
    ids=["a folder that is not there", "a file in the place of a folder", "an unknown format", "no ending"],
)
def test_demo_that_cannot_write_says_why(tmp_path, target, said):
    (tmp_path / "file.txt").write_text("kept")
    done = gdcore_command(tmp_path, "demo", "--plot", str(target))
    assert re.search(said, assert_one_line(done))
    assert (tmp_path / "file.txt").read_text() == "kept"
    assert "Picture:" not in done.stdout
    assert not list(tmp_path.glob("picture*"))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes everywhere")
@needs_matplotlib
def test_demo_in_a_folder_without_permission(tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    assert "locked" in assert_one_line(gdcore_command(tmp_path, "demo", "--plot", str(locked / "picture.png")))


def test_version(tmp_path):
    done = gdcore_command(tmp_path, "--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(rf"gdcore {re.escape(gdcore.__version__)} \((baseline|avx2|avx512)\)\n", done.stdout)
    assert re.fullmatch(r"\d+\.\d+\.\d+", gdcore.__version__)


def test_the_installed_command_is_the_same():
    (script,) = entry_points(group="console_scripts", name="gdcore")
    assert script.value == "gdcore.cli:main"
    assert script.load() is parser.main
    assert script.dist.version == gdcore.__version__


@pytest.mark.parametrize("arguments", [["--help"], ["demo", "--help"]])
def test_help(tmp_path, arguments):
    done = gdcore_command(tmp_path, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert "demo" in done.stdout
    assert "NIST" in done.stdout or arguments == ["--help"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "command"),
        (["train"], "train"),
        (["--plot", "x.png"], "x.png"),
        (["demo", "--plots", "x"], "--plots"),
        (["demo", "extra"], "extra"),
        (["demo", "--plot"], "--plot"),
    ],
    ids=" ".join,
)
def test_a_command_that_is_none_is_refused(tmp_path, arguments, said):
    done = gdcore_command(tmp_path, *arguments)
    assert said in assert_one_line(done)
    assert done.stdout == ""


def counting_fit(monkeypatch, which):
    """Puts a `fit` in gdcore's place whose ``which``-th run ends as by Ctrl-C; returns the options of each."""
    fit, fits = gdcore.fit, []

    def interrupted_fit(*arguments, **options):
        fits.append(options)
        if options.get("method") == "stream":
            options = options | {"epochs": 1}
        run = fit(*arguments, **options)
        if len(fits) == which:
            run.status = "interrupted"
        return run

    monkeypatch.setattr(gdcore, "fit", interrupted_fit)
    return fits


@pytest.mark.parametrize("which", [1, 7, 8, 9, 10, 13])
def test_control_c_ends_the_demo_whatever_it_trains(monkeypatch, capsys, which):
    fits = counting_fit(monkeypatch, which)
    assert parser.main(["demo"]) == 130
    assert len(fits) == which
    said = capsys.readouterr()
    assert said.err == ""
    assert "200,000 epochs" not in said.out


def test_control_c_is_tested_in_all_that_the_demo_trains(monkeypatch, capsys):
    fits = counting_fit(monkeypatch, None)
    assert parser.main(["demo"]) == 0
    assert len(fits) == 13
    assert "200,000 epochs" in capsys.readouterr().out


def test_control_c_while_the_trace_is_printed_ends_the_demo(monkeypatch, capsys):
    fit = gdcore.fit

    def interrupt(epoch):
        raise KeyboardInterrupt

    def interrupted_fit(*arguments, **options):
        return fit(*arguments, **(options | {"callback": interrupt} if "callback" in options else options))

    monkeypatch.setattr(gdcore, "fit", interrupted_fit)
    assert parser.main(["demo"]) == 130
    said = capsys.readouterr()
    assert said.err == ""
    assert "certified by NIST" not in said.out


def test_importing_gdcore_imports_numpy_alone(tmp_path):
    code = """
import sys, numpy
before = set(sys.modules)
import gdcore, gdcore.train, gdcore.cli, gdcore.demo, gdcore.plots
gdcore.train([[1.0], [2.0]], [1.0, 2.0], [0.0], 0.1, 5, verbose=True)
gdcore.fit([[1.0], [2.0]], [1.0, 2.0], lr=0.1, epochs=5)
print(sorted({name.split(".")[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names)))
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True, encoding="utf-8", timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    imported = done.stdout.splitlines()[-1]
    for name in ("matplotlib", "sklearn", "scipy", "pandas", "Cython", "pyximport", "setuptools"):
        assert f"'{name}'" not in imported
    assert "gdcore" in imported
