"""shellcheck, run once for all shell blocks of a manual as a process of its own."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from opsbook.manual.lint.facts.steps import ShellBlock

_LIMIT = 20.0  # seconds; a manual of a thousand lines takes less than one


@dataclass(frozen=True)
class Complaint:
    """One complaint at a place of the file. `level` is shellcheck's own: error, warning, info, style."""

    code: int
    level: str
    message: str
    line: int
    column: int
    block: ShellBlock


@cache
def shellcheck_path() -> str | None:
    """The program: beside the running Python (the wheel puts it there), else on PATH."""
    beside = Path(sys.executable).parent / "shellcheck"
    return str(beside) if beside.is_file() else shutil.which("shellcheck")


def complaints(blocks: Sequence[ShellBlock]) -> tuple[Complaint, ...]:
    """What shellcheck says of the blocks, in one call; nothing where it is missing or runs out of time."""
    program = shellcheck_path()
    if program is None or not blocks:
        return ()
    with tempfile.TemporaryDirectory(prefix="opsbook-lint-") as folder:
        files = []
        for number, block in enumerate(blocks):
            path = Path(folder, f"{number}.sh")
            path.write_text(_readable(block.text), encoding="utf-8")
            files.append(str(path))
        argv = [program, "--norc", "--shell=bash", "--format=json1", "--severity=warning", *files]
        try:
            run = subprocess.run(argv, capture_output=True, text=True, timeout=_LIMIT, check=False)
            said = json.loads(run.stdout or "{}").get("comments", [])
        except (subprocess.TimeoutExpired, OSError, ValueError):
            return ()
    return tuple(_complaint(entry, blocks[int(Path(entry["file"]).stem)]) for entry in said)


def _readable(text: str) -> str:
    """The block with `<placeholders>` as plain words of the same length: what stands for a value is no redirection."""
    return re.sub(r"<([A-Za-z][\w .:-]*)>", lambda m: "x" * len(m[0]), text)


def _complaint(entry: dict[str, object], block: ShellBlock) -> Complaint:
    fence = block.fence
    row, column = int(str(entry["line"])), int(str(entry["column"]))
    start = fence.columns[row - 1] if fence and row - 1 < len(fence.columns) else 1
    return Complaint(
        int(str(entry["code"])),
        str(entry["level"]),
        str(entry["message"]),
        block.line + row - 1,
        column + start - 1,
        block,
    )
