"""Twenty calls answer what they answered when they were recorded.

Where a change is meant to change them, ``python -m tests.recorder write tests/data/recorded.json --small`` records them
anew, and git shows what has changed.
"""

import json
from pathlib import Path

import pytest
from recorder.calls import CALLS, SMALL
from recorder.compare import differences
from recorder.record import made

RECORDED = json.loads((Path(__file__).parent / "data" / "recorded.json").read_text())["calls"]


@pytest.mark.parametrize("name", SMALL)
def test_a_call_answers_what_it_did(name):
    answer = json.loads(json.dumps(made(CALLS[name])))
    assert list(differences(RECORDED[name], answer, tolerance=1e-9)) == []


def test_a_record_has_every_small_call():
    assert sorted(RECORDED) == sorted(SMALL)


def test_a_difference_is_found():
    old = {
        "value": {"dtype": "<f8", "shape": [2], "digest": "a", "values": [1.0, 2.0]},
        "warnings": ["one"],
        "printed": "a\nb",
    }
    new = {
        "value": {"dtype": "<f8", "shape": [2], "digest": "b", "values": [1.0, 2.0 + 1e-8]},
        "warnings": [],
        "printed": "a\nc",
    }
    assert list(differences(old, new, tolerance=1e-9)) == [
        "value: 1 of 2 numbers differ, 2.0 is now 2.00000001 (relative 5e-09)",
        "warnings[0]: is gone; it was 'one'",
        "printed, line 2: 'b' is now 'c'",
    ]
    assert list(differences(old, {**old, "value": new["value"]}, tolerance=1e-7)) == []
    assert list(differences(0.1 + 0.2, 0.3)) == [": 0.30000000000000004 is now 0.3 (relative 1.9e-16)"]


def test_the_record_knows_every_part_of_a_run():
    """What no call keeps, no comparison finds."""
    answer = made(CALLS["patience: batches"])["value"]
    assert answer["run"].keys() >= {"model", "history", "status", "method", "why", "loss", "gradient_norm", "epochs"}
    assert answer["run"]["status"] == "early_stopped"
    assert len(answer["run"]["history"]["validation_loss"]["values"]) == answer["run"]["epochs"]
