"""Import and lint of a manual against shellcheck alone: one call of it over the same blocks."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from pathlib import Path

from opsbook.manual.document import read_document
from opsbook.manual.lint import lint_document
from opsbook.manual.lint.context import Context
from opsbook.manual.lint.shellcheck import shellcheck_path
from opsbook.manual.reading import extract

TIMES = 5
MANUALS = Path(__file__).parent.parent / "tests" / "unit" / "lint" / "clean"


def ours(text: str) -> float:
    """Seconds to read, extract and lint, rules loaded before."""
    started = time.perf_counter()
    document = read_document(text, "manual.md")
    lint_document(document, extract(document))
    return time.perf_counter() - started


def alone(text: str) -> float:
    """Seconds of one shellcheck over every shell block of the manual."""
    program = shellcheck_path()
    assert program is not None, "shellcheck is not installed"
    blocks = [b.text for b in Context(read_document(text, "manual.md"), None).scripts]
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for number, block in enumerate(blocks):
            files.append(str(Path(folder, f"{number}.sh")))
            Path(files[-1]).write_text(block, encoding="utf-8")
        started = time.perf_counter()
        subprocess.run([program, "--norc", "--shell=bash", "--format=json1", *files], capture_output=True, check=False)
        return time.perf_counter() - started


def main() -> None:
    """Print one line of JSON for each manual: the best of some runs, and the ratio."""
    for manual in sorted(MANUALS.glob("*.md")):
        text = manual.read_text(encoding="utf-8")
        ours(text)
        mine, peer = min(ours(text) for _ in range(TIMES)), min(alone(text) for _ in range(TIMES))
        figures = {"manual": manual.name, "seconds": round(mine, 3), "shellcheck": round(peer, 3)}
        print(json.dumps(figures | {"ratio": round(mine / peer, 2)}))


if __name__ == "__main__":
    main()
