"""The edge of the command line: what surrounds it must not bring it down."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

OPSBOOK = Path(sys.executable).with_name("opsbook")
BOOK = """\
opsbook: 1
system: s
environments: {production: {}}
components: {host: {kind: host}}
checks: [{id: memory, observe: host.memory, of: host, critical: "> 101%"}]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "book.yaml").write_text(BOOK)
    return tmp_path


def run(folder: Path, *words: str, stdout: int = subprocess.PIPE, **env: str) -> subprocess.CompletedProcess[str]:
    command = [str(OPSBOOK), *words]
    variables = {**os.environ, "OPSBOOK_STORE": str(folder / "store.db"), **env}
    return subprocess.run(command, cwd=folder, env=variables, stdout=stdout, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("encoding", ["latin-1"])
def test_a_terminal_without_its_marks_still_gets_its_words(folder: Path, encoding: str) -> None:
    done = run(folder, "check", PYTHONIOENCODING=encoding, PYTHONUTF8="0")
    assert (done.returncode, done.stderr) == (0, "")
    assert "memory" in done.stdout and "1 ok of 1 check in" in done.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_output_that_cannot_be_written_is_said(folder: Path) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        done = run(folder, "schema", stdout=full)
    finally:
        os.close(full)
    assert done.returncode == 3
    assert done.stderr == "opsbook: the output cannot be written: No space left on device\n"


def test_a_book_whose_keys_hold_control_characters_is_told_without_them(folder: Path) -> None:
    (folder / "book.yaml").write_text(BOOK.replace("{host: {", '{"h\\e[31m\\u202e": {'))
    done = run(folder, "check")
    assert done.returncode == 2
    assert "components.h?[31m?:" in done.stderr
    assert "\x1b" not in done.stderr


@pytest.mark.parametrize("words", [("check",), ("operations",), ("observations",)])
def test_a_reader_that_goes_away_is_no_failure(folder: Path, words: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = run(folder, *words, stdout=writing)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_fault(folder: Path, closed: str) -> None:
    variables = {**os.environ, "OPSBOOK_STORE": str(folder / "store.db")}
    done = subprocess.run(
        ["sh", "-c", f"{OPSBOOK} check {closed}"],
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
