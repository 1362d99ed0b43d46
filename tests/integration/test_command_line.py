"""The edge of the command line: what surrounds it must not bring it down."""

from __future__ import annotations

import json
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


def test_a_broken_book_is_told_with_exit_code_2(folder: Path) -> None:
    (folder / "book.yaml").write_text(BOOK.replace("of: host", "of: hots").replace("system: s", "sytem: s"))
    done = run(folder, "check")
    assert (done.returncode, done.stdout) == (2, "")
    assert "2 problems in the book" in done.stderr
    assert "Traceback" not in done.stderr


def test_operations_are_told_in_words_and_as_data(folder: Path) -> None:
    (found,) = json.loads(run(folder, "operations", "redis.flush", "--format", "json").stdout)
    assert (found["risk"], found["repeatable"], found["kinds"]) == ("destructive", True, ["redis"])
    assert "celery.drain" in run(folder, "operations", "--kind", "celery").stdout
    wrong = run(folder, "operations", "redis.flsh")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "did you mean 'redis.flush'?" in wrong.stderr
