"""The documentation is run: files it shows are written, commands it shows must print what it says."""

from __future__ import annotations

import fnmatch
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from opsbook.book.load import load_book
from opsbook.catalogue import catalogue

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^(```|~~~)(\w+)(?: file=(\S+))?\n(.*?)^\1$", re.MULTILINE | re.DOTALL)
MARK = "--end-of-command--"


def documents() -> list[Path]:
    pages = [ROOT / "docs" / "tutorial.md", *sorted((ROOT / "docs" / "how-to").glob("*.md"))]
    return [page for page in pages if "```console" in page.read_text() or " file=" in page.read_text()]


def script_of(text: str) -> tuple[str, list[tuple[str, list[str]]]]:
    """A bash script of all files and commands of a page, and what each command should print."""
    lines, expected = [], []
    for _, language, file, body in FENCE.findall(text):
        if file:
            lines.append(f"cat > {shlex.quote(file)} <<'END-OF-FILE'\n{body}END-OF-FILE")
        elif language == "console":
            for line in body.splitlines():
                if line.startswith("$ "):
                    lines.append(f"{line[2:]}\ncode=$?; echo {MARK}; (exit $code)")
                    expected.append((line[2:], []))
                else:
                    expected[-1][1].append(line)
    return "\n".join(lines) + "\n", expected


def matches(printed: list[str], shown: list[str]) -> bool:
    """`…` alone stands for any lines, within a line for any text. Trailing spaces do not count."""
    if not shown:
        return True
    if shown[0] == "…":
        return any(matches(printed[n:], shown[1:]) for n in range(len(printed) + 1))
    pattern = re.sub(r"([\[\]*?])", r"[\1]", shown[0]).replace("…", "*").rstrip()
    return bool(printed) and fnmatch.fnmatchcase(printed[0].rstrip(), pattern) and matches(printed[1:], shown[1:])


@pytest.mark.parametrize("page", documents(), ids=lambda page: page.stem)
def test_what_the_documentation_shows_is_what_happens(page: Path, tmp_path: Path) -> None:
    script, expected = script_of(page.read_text())
    env = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "COLUMNS": "140",
        "NO_COLOR": "1",
    }
    env.pop("OPSBOOK_ENV", None)
    done = subprocess.run(
        ["bash"], input=script, capture_output=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        cwd=tmp_path, env=env, timeout=100,
    )  # fmt: skip
    blocks = done.stdout.split(f"{MARK}\n")
    assert len(blocks) == len(expected) + 1, done.stdout
    for (command, shown), printed in zip(expected, blocks, strict=False):
        lines = printed.splitlines()
        assert not shown or matches([*lines, ""] if shown[-1] == "" else lines, shown), f"$ {command}\n{printed}"


def books() -> list[tuple[str, str]]:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    found = []
    for page in pages:
        for _, language, _, body in FENCE.findall(page.read_text()):
            if language == "yaml" and body.startswith("opsbook:"):
                found.append((f"{page.stem}-{len(found)}", body))
    return found


@pytest.mark.parametrize("body", [body for _, body in books()], ids=[name for name, _ in books()])
def test_every_book_in_the_documentation_is_valid(body: str, tmp_path: Path) -> None:
    (tmp_path / "book.yaml").write_text(body)
    load_book(tmp_path / "book.yaml", catalogue())
