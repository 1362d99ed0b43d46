"""A run behind one that waits for a person says so, and does not keep its caller for ever."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

OPSBOOK = Path(sys.executable).with_name("opsbook")
BOOK = """
opsbook: 1
system: kiln
environments: {test: {policy: open, disposable: true}}
components: {api: {kind: http, url: "http://127.0.0.1:1"}}
"""
FIRST = "---\ntitle: First\nrisk: safe\n---\n1. Do.\n   ```sh risk=safe\n   true\n   ```\n2. - [ ] Look at it.\n"
SECOND = "---\ntitle: Second\nrisk: safe\n---\n1. Do.\n   ```sh risk=safe\n   echo ran >> ran\n   ```\n"


@pytest.fixture
def book(tmp_path: Path) -> Path:
    (tmp_path / "book.yaml").write_text(BOOK)
    (tmp_path / "procedures").mkdir()
    for name, text in (("first", FIRST), ("second", SECOND)):
        (tmp_path / "procedures" / f"{name}.md").write_text(text)
    return tmp_path


def opsbook(book: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "OPSBOOK_STORE": str(book / "store.db")}
    return subprocess.run(
        [str(OPSBOOK), *words], cwd=book, env=env, capture_output=True, text=True, timeout=90, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


def test_it_ends_with_what_a_person_can_do_and_goes_on_later(book: Path) -> None:
    holder = json.loads(opsbook(book, "run", "first", "--yes", "--format", "json").stdout)
    assert holder["state"] == "waits for a person"
    behind = opsbook(book, "run", "second", "--yes")
    assert behind.returncode == 4, behind.stderr
    assert f"opsbook runs tick {holder['id']}" in behind.stderr and "waits for a lock" in behind.stderr
    assert not (book / "ran").exists()
    assert opsbook(book, "runs", "tick", holder["id"]).returncode == 0
    later = opsbook(book, "run", "second", "--yes", "--format", "json")
    assert later.returncode == 0 and json.loads(later.stdout)["state"] == "done", later.stderr
    assert (book / "ran").read_text() == "ran\n"
