"""Writes what rehearsals found into docs/rehearsals.md: one table for each environment.

    opsbook rehearse --env compose --keep-going --format json --out found.json
    python scripts/rehearsals.py found.json [MORE.json …]

Of several reports of one environment the later says what became of a procedure.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parent.parent / "docs" / "rehearsals.md"
LONGEST = 220
HEAD = "| procedure | risk | what became of it | taken back | time |\n|---|---|---|---|---|\n"


def marks(environment: str) -> tuple[str, str]:
    return f"<!-- rehearsal of {environment} -->", f"<!-- end of {environment} -->"


def cell(text: str) -> str:
    """Text for one cell, on one line and not too long; folders of the machine that it was made on are none of it."""
    line = re.sub(r"(?:/[\w.-]+)+/(?=\.run/|compose/|kubernetes/|ops/)", "…/", " ".join(text.split())).replace(
        "|", "\\|"
    )
    return line if len(line) <= LONGEST else line[:LONGEST].rsplit(" ", 1)[0] + " …"


def row(outcome: dict[str, Any]) -> str:
    undone = cell(outcome["undo"]["sentence"]) if outcome["run"] else ""
    told = (outcome["procedure"], outcome["risk"], cell(outcome["sentence"]), undone, f"{outcome['seconds']:.0f} s")
    return f"| {' | '.join(told)} |\n"


def table(reports: list[dict[str, Any]]) -> str:
    """The lines between the marks."""
    outcomes = {one["procedure"]: one for report in reports for one in report["outcomes"]}
    good = sum(one["verdict"] == "works" for one in outcomes.values())
    day = max(report["at"] for report in reports)[:10]
    told = f"{good} of {len(outcomes)} procedures work, rehearsed on {day}.\n\n"
    return told + HEAD + "".join(row(outcomes[name]) for name in sorted(outcomes))


def main() -> None:
    """Each environment's table in the page is written anew; what people wrote around it stays."""
    found: dict[str, list[dict[str, Any]]] = {}
    for path in sys.argv[1:]:
        report = json.loads(Path(path).read_text())
        found.setdefault(report["environment"], []).append(report)
    page = PAGE.read_text()
    for environment, reports in found.items():
        begin, end = marks(environment)
        if begin not in page or end not in page:
            sys.exit(f"{PAGE.name} has no place for {environment}: write {begin} and {end} into it")
        before, rest = page.split(begin)
        page = f"{before}{begin}\n\n{table(reports)}\n{end}{rest.split(end, 1)[1]}"
    PAGE.write_text(page)


if __name__ == "__main__":
    main()
