"""``python -m bench.pages [results/bench.json]``: the table in docs/performance.md, from a run."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from bench.figure import Figure
from bench.report import rows

PAGE = Path(__file__).resolve().parent.parent / "docs" / "performance.md"
BEGIN, END = "<!-- figures -->\n", "<!-- end of figures -->\n"


def main() -> int:
    """Put the figures of a run between the marks on the page."""
    source = Path(sys.argv[1] if len(sys.argv) > 1 else "results/bench.json")
    page = PAGE.read_text()
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    run = json.loads(source.read_text())
    PAGE.write_text(before + BEGIN + _told(run) + END + after)
    return 0


def _told(run: dict[str, Any]) -> str:
    machine = run["machine"]
    where = (
        f"{run['when'][:10]}, {machine['cpus']} cores of {machine['cpu']}, "
        f"Linux {machine['kernel']}, OVS {machine['ovs']}, Python {machine['python']}"
    )
    head, *lines = rows([Figure(**figure) for figure in run["figures"]])
    table = [head, ["---"] * len(head), *lines]
    failed = [f"\n`{name}` failed: {why}\n" for name, why in run["failed"].items()]
    quick = ", in the quick mode, whose figures mean little" if run["quick"] else ""
    text = "".join(f"| {' | '.join(line)} |\n" for line in table)
    return f"{where}{quick}:\n\n{text}{''.join(failed)}"


if __name__ == "__main__":
    sys.exit(main())
