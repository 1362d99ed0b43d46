"""`opsbook oncall test` against a webhook: the page arrives, an answer is measured, silence ends with exit code 1."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from opsbook.cli.main import cli
from opsbook.store.database import open_store
from tests.integration.servers import Postgres
from tests.integration.sinks import Hook, webhook, within
from tests.integration.test_command_line import run
from tests.unit.watch.on_call import PEOPLE
from tests.unit.watch.watched import BOOK


@pytest.fixture(scope="module")
def hook() -> Iterator[Hook]:
    with webhook() as found:
        yield found


@pytest.fixture
def book(tmp_path: Path, hook: Hook, monkeypatch: pytest.MonkeyPatch) -> Path:
    hook.got.clear()
    hook.how.clear()
    (tmp_path / "book.yaml").write_text(yaml.safe_dump({**BOOK, **PEOPLE, "channels": {"chat": hook.url("chat")}}))
    monkeypatch.setenv("OPSBOOK_STORE", str(tmp_path / "store.db"))
    monkeypatch.setenv("ANA", hook.url("ana"))
    monkeypatch.setenv("BOB", hook.url("ana"))
    open_store(f"sqlite:///{tmp_path}/store.db").dispose()
    return tmp_path


def call(book: Path, *words: str) -> Result:
    return CliRunner().invoke(cli, [*words, "--book", str(book)], standalone_mode=False)


def test_it_is_delivered_answered_and_measured_and_leaves_nothing_open(book: Path, hook: Hook) -> None:
    found: list[Result] = []

    def practise() -> None:
        found.append(call(book, "oncall", "test", "--wait", "60s", "--format", "json"))

    asker = threading.Thread(target=practise)
    asker.start()
    within(30, lambda: hook.got or found)
    # The answer comes from another process, as it would: CliRunner takes the streams of this one.
    answered = run(book, "incident", "ack", "--book", str(book))
    assert answered.returncode == 0, answered.stderr
    asker.join(60)
    (done,) = found
    assert done.return_value == 0, (done.exception, done.stderr)
    said = json.loads(done.stdout)
    assert f"answer it with: opsbook incident ack {said['incident']}" in done.stderr
    ((path, body),) = hook.got
    assert (path, body["kind"], body["incident"]) == ("/ana", "practice", said["incident"])
    assert [one["channel"][-7:] for one in said["delivered"]] == ["/notify"] and said["failed"] == []
    assert 0 <= said["delivered"][0]["seconds"] <= said["answered_after"]
    assert call(book, "incident").return_value == 0


def test_nobody_answers(book: Path, hook: Hook) -> None:
    done = call(book, "oncall", "test", "chat", "--wait", "1s")
    assert done.return_value == 1, done.exception
    assert done.stdout.startswith("delivered by channel:chat after ") and done.stdout.endswith("; no answer\n")
    assert call(book, "incident").return_value == 0
    (line,) = json.loads(call(book, "incident", "list", "--all", "--format", "json").stdout)
    assert (line["kind"], line["state"], line["resolved_by"]) == ("practice", "resolved", "opsbook")


def test_a_channel_that_does_not_take_it_is_named_and_is_a_fault_of_its_own(book: Path, hook: Hook) -> None:
    hook.how["chat"] = "refuse"
    done = call(book, "oncall", "test", "chat", "--wait", "2s", "--format", "json")
    said = json.loads(done.stdout)
    assert done.return_value == 1
    (failed,) = said["failed"]
    assert failed["channel"] == "channel:chat" and "400" in failed["error"]
    assert said["delivered"] == [] and said["answered_after"] is None
    # Whoever is on call hears that the channel is dead: this one is no practice.
    assert hook.subjects("ana")[0].startswith("[P1] messages to channel:chat are not delivered")


@pytest.mark.parametrize("wait", ["soon", "5 GB"])
def test_a_wait_that_is_no_duration_is_said(book: Path, wait: str) -> None:
    done = call(book, "oncall", "test", "--wait", wait)
    assert getattr(done.exception, "exit_code", None) == 2


def test_on_a_shared_store_that_nobody_serves_it_is_sent_from_here(
    book: Path, hook: Hook, postgres_server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    postgres_server.sql("DROP DATABASE IF EXISTS practice", "CREATE DATABASE practice", database="postgres")
    monkeypatch.setenv("OPSBOOK_STORE", postgres_server.url(database="practice"))
    done = call(book, "oncall", "test", "--wait", "5s", "--format", "json")
    assert done.return_value == 1, "nobody answered"
    assert len(json.loads(done.stdout)["delivered"]) == 1
    assert len(hook.got) == 1
