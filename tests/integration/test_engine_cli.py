"""The verbs of the engine as a person uses them: what they print, and with which exit code they end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from opsbook.store.database import open_store, writing

BOOK = """
opsbook: 1
system: kiln
default_environment: test
environments:
  test: {policy: open, disposable: true}
  production: {policy: strict}
components:
  api: {kind: http, url: "http://127.0.0.1:1", health: /health}
"""
HELLO = """---
title: Say hello
risk: safe
params: {who: {type: text, default: world}, token: {type: secret}}
---
1. Greet.
   ```sh risk=safe save=greeting
   echo "hello {{ who }}, the token is {{ token }}"
   ```
2. Answer.
   ```sh risk=safe
   echo "you said {{ greeting.stdout }}" >> answers
   ```
"""
SLOW = """---
title: Take a while
risk: safe
---
1. One.
   ```sh risk=safe
   echo one >> steps; sleep 2
   ```
2. Two.
   ```sh risk=safe
   echo two >> steps; sleep 1
   ```
3. Three.
   ```sh risk=safe
   echo three >> steps
   ```
"""
CAREFUL = """---
title: Do something big
risk: disruptive
---
1. Boom.
   ```sh risk=disruptive
   echo boom
   ```
2. - [ ] The owner knows.
"""


@pytest.fixture
def book(tmp_path: Path) -> Path:
    (tmp_path / "book.yaml").write_text(BOOK)
    (tmp_path / "procedures").mkdir()
    for name, content in (("hello", HELLO), ("slow", SLOW), ("careful", CAREFUL)):
        (tmp_path / "procedures" / f"{name}.md").write_text(content)
    return tmp_path


def start(book: Path, *words: str) -> subprocess.Popen[str]:
    env = {**os.environ, "NO_COLOR": "1", "KILN_TOKEN": "very-secret-token"}
    env.pop("OPSBOOK_STORE", None)
    return subprocess.Popen(
        [sys.executable, "-m", "opsbook", *words],
        cwd=book, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def opsbook(book: Path, *words: str) -> tuple[int, str, str]:
    process = start(book, *words)
    out, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    return process.returncode, out, err


def runs(book: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(opsbook(book, "runs", "--format", "json")[1])
    return found


def test_a_plan_shows_what_would_be_done_and_does_nothing(book: Path) -> None:
    code, out, _ = opsbook(book, "plan", "hello", "who=ann's $(id)", "token=${KILN_TOKEN}")
    assert code == 0 and "Greet" in out and 'echo "hello ${OPSBOOK_1}' in out
    assert "very-secret-token" not in out
    assert not (book / "answers").exists() and runs(book) == []


def test_a_run_prints_plain_lines_keeps_secrets_and_can_be_looked_at(book: Path) -> None:
    code, out, err = opsbook(book, "run", "hello", "token=${KILN_TOKEN}", "--yes")
    assert code == 0 and "done" in out and "\x1b" not in out + err
    assert "hello world, the token is ***" in err
    assert "very-secret-token" not in out + err
    (one,) = runs(book)
    code, out, _ = opsbook(book, "runs", "show", one["id"], "--format", "json")
    told = json.loads(out)
    assert told["state"] == "done" and [step["state"] for step in told["steps"]] == ["done", "done"]
    assert "very-secret-token" not in out
    assert "***" in opsbook(book, "runs", "log", one["id"][-4:])[1]
    store = b"".join(path.read_bytes() for path in (book / ".opsbook").iterdir())
    assert b"very-secret-token" not in store


def test_what_waits_for_approval_ends_with_four_and_says_what_to_do(book: Path) -> None:
    code, out, _ = opsbook(book, "run", "careful", "--env", "production", "--yes")
    (one,) = runs(book)
    assert code == 4 and f"opsbook approve {one['id']}" in out
    code, _, err = opsbook(book, "approve", one["id"], "--yes")
    assert code == 4 and "cannot approve it" in err
    code, _, err = opsbook(book, "run", "careful", "--env", "production", "--yes", "--break-glass", "fire")
    assert "goes on with it" in err and code == 4 and runs(book)[0]["state"] == "waits for a person"
    assert opsbook(book, "status", "--env", "production")[0] == 1
    assert opsbook(book, "runs", "tick", one["id"], "--note", "told her")[0] == 0
    assert runs(book)[0]["state"] == "done"
    log = opsbook(book, "audit", "log")[1]
    assert "glass broken" in log and "told her" in log


def test_an_interrupted_command_leaves_between_two_changes_and_goes_on_later(book: Path) -> None:
    process = start(book, "run", "slow", "--yes")
    deadline = time.monotonic() + 30
    while not (book / "steps").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 3 and "leaves after the change" in err and "runs follow" in out
    assert (book / "steps").read_text() == "one\n"
    code, _, err = opsbook(book, "run", "slow", "--yes")
    assert code == 0 and "goes on with it" in err
    assert (book / "steps").read_text() == "one\ntwo\nthree\n"


def test_a_killed_command_says_what_it_does_not_know_and_a_person_resolves_it(book: Path) -> None:
    process = start(book, "run", "slow", "--yes")
    deadline = time.monotonic() + 30
    while not (book / "steps").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.kill()
    process.communicate()
    code, out, _ = opsbook(book, "run", "slow", "--yes")
    assert code == 5 and "runs resolve" in out
    run = runs(book)[0]["id"]
    assert opsbook(book, "status")[0] == 5
    assert opsbook(book, "runs", "resolve", run, "--as", "done", "--note", "saw it")[0] == 0
    assert (book / "steps").read_text() == "one\ntwo\nthree\n"


def test_a_changed_record_is_named(book: Path) -> None:
    assert opsbook(book, "run", "slow", "--yes")[0] == 0
    assert opsbook(book, "audit", "verify")[0] == 0
    store = open_store(f"sqlite:///{book}/.opsbook/store.db")
    with writing(store) as connection:
        connection.execute(text("UPDATE audit SET actor = 'nobody' WHERE seq = 3"))
    store.dispose()
    code, out, _ = opsbook(book, "audit", "verify")
    assert code == 1 and out.startswith("record 3:")


def test_the_plan_as_commands_can_be_run_by_hand(book: Path) -> None:
    code, out, _ = opsbook(book, "plan", "slow", "--as-commands")
    assert code == 0
    subprocess.run(["bash", "-e"], input=out, text=True, cwd=book, check=True, timeout=30)
    assert (book / "steps").read_text() == "one\ntwo\nthree\n"


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("plan", "helo"), 2, "did you mean 'hello'"),
        (("runs", "show", "nothing"), 2, "there is no run"),
        (("run", "slow"), 2, "add --yes"),
        (("run", "careful", "--env", "production", "--dry-run", "--yes"), 0, ""),
        (("procedures", "show", "hello"), 0, ""),
        (("procedures",), 0, ""),
        (("status",), 0, ""),
        (("audit", "export"), 0, ""),
    ],
)
def test_every_answer_is_a_sentence_with_an_exit_code(book: Path, words: tuple[str, ...], code: int, says: str) -> None:
    found, _, err = opsbook(book, *words)
    assert found == code and says in err
