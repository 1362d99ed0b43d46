"""Writes what rehearsals found into docs/rehearsals.md: one table for each environment.

    opsbook rehearse --env compose --keep-going --format json --out found.json
    python scripts/rehearsals.py found.json [MORE.json …]

Of several reports of one environment the later says what became of a procedure; rows of those that no report tells of
stay as they are.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parent.parent / "docs" / "rehearsals.md"
LONGEST = 220
ROW = re.compile(r"\| (?!procedure )[a-z0-9]")
DAY = re.compile(r"\b\d{4}-\d\d-\d\d\b")
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


def table(reports: list[dict[str, Any]], before: str) -> str:
    """The lines between the marks, from those that stand there and from reports."""
    rows = {line.split(" | ")[0].removeprefix("| "): f"{line}\n" for line in before.splitlines() if ROW.match(line)}
    told = [one for report in reports for one in report["outcomes"] if one["verdict"] != "left out"]
    rows |= {one["procedure"]: row(one) for one in told}
    good = sum(one.split(" | ")[2].startswith("works") for one in rows.values())
    days = sorted({*DAY.findall(before), *(report["at"][:10] for report in reports)})
    when = f"on {days[0]}" if len(days) == 1 else f"from {days[0]} to {days[-1]}"
    head = f"{good} of {len(rows)} procedures work, rehearsed {when}.\n\n"
    return head + HEAD + "".join(rows[name] for name in sorted(rows))


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
        stood, after = rest.split(end, 1)
        page = f"{before}{begin}\n\n{table(reports, stood)}\n{end}{after}"
    PAGE.write_text(page)


if __name__ == "__main__":
    main()
