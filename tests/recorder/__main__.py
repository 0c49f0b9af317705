"""The command: see the package."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from importlib.util import find_spec
from pathlib import Path

for _name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):  # before NumPy is imported: bits are of one setting of its BLAS
    os.environ[_name] = "1"
os.environ.setdefault("MPLBACKEND", "Agg")

_NEEDED = ("pandas", "pyarrow", "safetensors", "matplotlib", "tqdm", "sklearn", "dask", "distributed")


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.recorder", description=__doc__)
    parser.add_argument("what", choices=("write", "compare"))
    parser.add_argument("file", type=Path)
    parser.add_argument("--only", action="append", default=[], metavar="TEXT", help="calls whose name contains it")
    parser.add_argument("--small", action="store_true", help="the few calls that test_recorder.py makes")
    parser.add_argument("--tolerance", type=float, help="by which numbers may differ, relative")
    parser.add_argument("--times", action="store_true", help="print how long each call took")
    options = parser.parse_args()

    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        parser.error(f"the recorder needs {', '.join(missing)}: pip install -e '.[test]'")

    from .calls import CALLS, SMALL
    from .compare import differences
    from .record import command, made

    began, here = time.monotonic(), {"gdcore": command("--version")["stdout"].strip(), "calls": {}}
    for name, call in CALLS.items():
        if (not options.only or any(text in name for text in options.only)) and (not options.small or name in SMALL):
            start = time.monotonic()
            here["calls"][name] = made(call)
            if options.times:
                print(f"{time.monotonic() - start:7.3f} s  {name}")
    took = f"{len(here['calls'])} calls, {time.monotonic() - began:.0f} s"
    if options.what == "write":
        text = json.dumps(here, ensure_ascii=False, indent=1)
        text = re.sub(r'\[\n[^][{}"]+\]', lambda numbers: re.sub(r"\s+", " ", numbers[0]), text)  # an array's on one line
        options.file.write_text(text + "\n")
        print(f"{options.file}: {took}")
        return 0
    old, different = json.loads(options.file.read_text()), 0
    if old["gdcore"] != here["gdcore"]:
        print(f"recorded by {old['gdcore']}; this is {here['gdcore']}")
    every = not (options.only or options.small)
    names = [name for name in dict.fromkeys([*old["calls"], *here["calls"]]) if name in here["calls"] or every]
    for name in names:
        one, other = (record["calls"].get(name) for record in (old, here))
        found = list(differences(one, json.loads(json.dumps(other)), options.tolerance))
        if found:
            different += 1
            print(f"\n{name}")
            for line in found:
                print(f"    {line}")
    print(f"\n{took}: {different or 'none'} of them differ{'s' * (different == 1)} from {options.file}")
    return int(different > 0)


if __name__ == "__main__":
    sys.exit(main())
