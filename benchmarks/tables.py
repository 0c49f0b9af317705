"""Markdown tables from result files, and the same tables inside README.md.

A README has pairs of comments, ``<!-- benchmarks:NAME:begin -->`` and ``<!-- benchmarks:NAME:end -->``; what is between
them is replaced by the table of that name. The names are those in the ``TABLES`` of the benchmarks.
"""

import argparse
import json
import re
from pathlib import Path

from benchmarks import BENCHMARKS, load
from benchmarks.measure import ROOT, Document, Table

RESULTS = ROOT / "benchmarks" / "results"
MARKED = re.compile(r"<!-- benchmarks:(?P<name>[\w-]+):begin -->.*?<!-- benchmarks:(?P=name):end -->", re.DOTALL)
MARKER = re.compile(r"<!-- benchmarks:([\w-]+):(?:begin|end) -->")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``python -m benchmarks table``."""
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="results; default: benchmarks/results/*.json")
    parser.add_argument("--readme", type=Path, metavar="FILE", help="rewrite the tables between the markers of FILE")
    parser.add_argument("--check", action="store_true", help="with --readme: change nothing, exit 1 if FILE is outdated")


def run(args: argparse.Namespace) -> int:
    """Prints the tables, or writes them to the README, or checks that it has them."""
    if args.check and not args.readme:
        raise SystemExit("--check needs --readme FILE")
    files = args.files or sorted(RESULTS.glob("*.json"))
    blocks = render([json.loads(file.read_text()) for file in files])
    if not args.readme:
        for name, block in blocks.items():
            print(f"<!-- {name} -->\n\n{block}\n")
        return 0
    before = args.readme.read_text()
    after = rewritten(before, blocks, str(args.readme))
    if args.check:
        if after != before:
            print(f"{args.readme} differs from the results; run python -m benchmarks table --readme {args.readme}")
        return int(after != before)
    args.readme.write_text(after)
    return 0


def render(contents: list[Document]) -> dict[str, str]:
    """Markdown by name; where one name has results from several machines, each is headed by its machine."""
    blocks: dict[str, str] = {}
    for benchmark in BENCHMARKS:
        documents = [content for content in contents if content["benchmark"] == benchmark]
        for name, tables in load(benchmark).TABLES.items():
            parts = []
            for content in documents:
                if len(documents) > 1:
                    parts.append(f"**{machine(content)}**")
                parts += [markdown(table) for table in tables(content)]
            if parts:
                blocks[name] = "\n\n".join(parts)
    return blocks


def machine(content: Document) -> str:
    """One line about where a result was measured."""
    facts = content["environment"]
    return f"{facts['cpu']}, {facts['cores']} cores, kernel {facts['kernel']}, {content['date']}"


def markdown(table: Table) -> str:
    """A table in Markdown: title, cells, note. Numbers are to the right; a last column without text is left out."""
    keep = len(table.head) - (len(table.head) > 1 and not any(row[-1] for row in table.rows))
    aligned = ["---" if column in (0, len(table.head) - 1) else "---:" for column in range(keep)]
    lines = [_line(list(cells)[:keep]) for cells in (table.head, aligned, *table.rows)]
    return "\n\n".join(part for part in (f"{table.title}:", "\n".join(lines), table.note) if part)


def _line(cells: list[str]) -> str:
    escaped = (cell.replace("|", "\\|").replace("<", "&lt;") for cell in cells)
    return f"| {' | '.join(escaped)} |"


def rewritten(text: str, blocks: dict[str, str], file: str) -> str:
    """``text`` with the blocks between their markers; SystemExit where a marker has no partner or no result."""
    pairs = [match["name"] for match in MARKED.finditer(text)]
    if MARKER.findall(text) != [name for pair in pairs for name in (pair, pair)]:
        raise SystemExit(f"{file}: a benchmarks marker lacks its begin or end: {', '.join(MARKER.findall(text))}")
    missing = [name for name in pairs if name not in blocks]
    if missing:
        raise SystemExit(f"{file}: no results for {', '.join(missing)}; there is {', '.join(blocks) or 'nothing'}")
    return MARKED.sub(lambda match: _block(match["name"], blocks[match["name"]]), text)


def _block(name: str, content: str) -> str:
    return f"<!-- benchmarks:{name}:begin -->\n\n{content}\n\n<!-- benchmarks:{name}:end -->"
