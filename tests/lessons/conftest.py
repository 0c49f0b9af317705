"""The lessons are pages that pytest runs as doctests; each finds its data by the name DATA."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def lesson(doctest_namespace, monkeypatch, tmp_path):
    """DATA for the page, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    doctest_namespace["DATA"] = Path(__file__).resolve().parent.parent / "data"
