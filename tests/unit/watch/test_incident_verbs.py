"""`opsbook incident` and `opsbook oncall` as people and scripts call them: what they say, and how they end."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from rich.cells import cell_len
from sqlalchemy import text
from tests.unit.watch.on_call import PEOPLE
from tests.unit.watch.watched import BOOK

from opsbook.cli.main import cli
from opsbook.connectors.backups.compression import opener
from opsbook.errors import OpsbookError, Refused
from opsbook.store import audit
from opsbook.store.database import open_store

Say = Callable[..., Result]


@pytest.fixture
def book(tmp_path: Path, migrated: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The shop's book, and a store of its own."""
    folder = tmp_path / "book"
    folder.mkdir()
    (folder / "book.yaml").write_text(yaml.safe_dump({**BOOK, **PEOPLE}))
    (tmp_path / "store.db").write_bytes(migrated.read_bytes())
    monkeypatch.setenv("OPSBOOK_STORE", str(tmp_path / "store.db"))
    return folder


@pytest.fixture
def say(book: Path) -> Say:
    """Calls a verb on the book."""

    def call(*words: str) -> Result:
        return CliRunner().invoke(cli, [*words, "--book", str(book)], standalone_mode=False)

    return call


def opened(say: Say, *words: str) -> str:
    done = say("incident", "open", *(words or ("orders", "are", "lost")))
    assert done.return_value == 0, done.exception
    return done.stdout.split()[0]


def told(say: Say, which: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(say("incident", "show", which, "--format", "json").stdout)
    return found


def test_a_list_ends_with_1_where_one_is_open_and_with_0_where_none_is(say: Say) -> None:
    done = say("incident")
    assert (done.return_value, done.stdout) == (0, "none is open; --all shows those that are over\n")
    assert say("incident", "list", "--all").stdout == "there was none yet\n"
    assert json.loads(say("incident", "list", "--format", "json").stdout) == []
    id = opened(say)
    done = say("incident", "list")
    assert done.return_value == 1
    assert id in done.stdout and "orders" in done.stdout and "P1" in done.stdout
    (line,) = json.loads(say("incident", "--format", "json").stdout)
    assert (line["id"], line["state"], line["kind"]) == (id, "open", "report")
    assert say("incident", "resolve").return_value == 0
    assert say("incident", "list").return_value == 0
    done = say("incident", "list", "--all", "--format", "json")
    assert done.return_value == 0 and [one["state"] for one in json.loads(done.stdout)] == ["resolved"]


def test_an_incident_is_worked_from_beginning_to_end(say: Say, tmp_path: Path) -> None:
    id = opened(say, "orders are lost", "--component", "api", "--severity", "P2")
    assert "its messages wait for `opsbook serve`" in say("incident", "note", id, "looking").stderr
    assert f"{id} is acknowledged by" in say("incident", "ack", id[-4:]).stdout
    for words in (
        ("assign", id, "bob"), ("role", id, "scribe", "ana"), ("severity", id, "P1"), ("update", id, "half", "of it"),
        ("mitigate", id, "a second one serves"), ("resolve", id, "done"), ("reopen", id, "not", "yet"),
        ("resolve", id),
    ):  # fmt: skip
        done = say("incident", *words)
        assert done.return_value == 0, (words, done.exception)
        assert done.stdout.count("\n") == 1 and id in done.stdout
    whole = told(say, id)
    assert (whole["state"], whole["severity"], whole["component"]) == ("resolved", "P1", "api")
    assert (whole["assignee"], whole["roles"], whole["reopened"]) == (None, {"scribe": "ana"}, 1)
    kinds = [one["kind"] for one in whole["timeline"]]
    wanted = ("opened", "note", "acknowledged", "assigned", "severity", "update", "mitigated", "resolved", "reopened")
    assert set(wanted) <= set(kinds), kinds
    shown = say("incident", "show", id).stdout
    assert all(word in shown for word in ("half of it", "a second one serves", "scribe: ana", f"postmortem {id}"))
    store = open_store(f"sqlite:///{tmp_path}/store.db")
    events = [one.act.event for one in audit.records(store)]
    assert events.count("incident resolved") == 2 and "incident reopened" in events
    assert audit.verify(store).broken is None


def test_what_makes_no_sense_is_a_sentence_and_an_exit_code(say: Say) -> None:
    def refused(*words: str) -> OpsbookError:
        done = say("incident", *words)
        assert isinstance(done.exception, OpsbookError), (words, done.exception, done.stdout)
        return done.exception

    assert refused("show").exit_code == 2
    assert "there is no incident 'i0'" in str(refused("ack", "i0"))
    assert "needs a title" in str(refused("open", " "))
    assert "there is no component 'databse'" in str(refused("open", "x", "--component", "databse"))
    id = opened(say)
    assert "no contact 'anna'" in str(refused("assign", id, "anna"))
    assert "P9" in str(refused("severity", id, "P9"))
    assert "needs words" in str(refused("note", id))
    other = opened(say, "another")
    assert "2 incidents are open" in str(refused("ack"))
    assert "itself" in str(refused("merge", id, id))
    assert say("incident", "merge", other, id).return_value == 0
    assert told(say, other)["merged_into"] == id
    assert refused("ack", other).exit_code == Refused.exit_code


def test_actions_stay_open_until_they_are_done(say: Say) -> None:
    id = opened(say)
    assert say("incident", "actions").return_value == 0
    done = say("incident", "actions", id, "--add", "raise the limit", "--owner", "ana", "--due", "2026-12-01")
    assert done.return_value == 0, done.exception
    done = say("incident", "actions", "--format", "json")
    ((action),) = json.loads(done.stdout)
    assert done.return_value == 1 and (action["text"], action["owner"]) == ("raise the limit", "ana")
    assert "raise the limit" in say("incident", "actions", id).stdout
    assert say("incident", "actions", "--done", str(action["id"])).return_value == 0
    done = say("incident", "actions")
    assert (done.return_value, done.stdout) == (0, "no actions are open\n")
    assert say("incident", "actions", "--all").return_value == 0


@pytest.mark.parametrize("columns", [80, 120])
def test_a_list_has_room_for_titles_and_names_the_most_urgent_clock(
    say: Say, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    title = "the order service answers far too slowly for everybody who wants to buy something today 注文できません"
    id = opened(say, title)
    say("incident", "ack", id)
    other = opened(say, "[/bold] \x1b[31mred")
    lines = say("incident", "list").stdout.splitlines()
    assert all(cell_len(line) <= columns for line in lines), lines
    text = " ".join(" ".join(lines).split())
    assert title in text and r"[/bold] \x1b[31mred" in text
    assert f"{id} P1 acknowledged 0 s resolve in" in text
    assert f"{other} P1 open 0 s respond in" in text
    say("incident", "actions", id, "--add", "raise the limit", "--owner", "ana", "--due", "2026-01-01")
    (line,) = say("incident", "actions").stdout.splitlines()
    assert f"raise the limit  {id}  ana  late, due 2026-01-01" in line
    assert id not in say("incident", "show", id).stdout.partition("actions\n")[2].partition("→")[0]


def test_a_reason_is_no_markup_of_the_terminal(say: Say) -> None:
    assert say("silence", "add", "--component", "api", "--for", "1h", "--reason", "[/bold] tests").exception is None
    done = say("silence", "list")
    assert done.exception is None and "[/bold] tests" in done.stdout


def test_a_postmortem_is_a_file_that_is_not_written_over(say: Say, book: Path) -> None:
    id = opened(say, "orders | are *lost*")
    say("incident", "ack", id)
    say("incident", "actions", id, "--add", "raise the limit", "--owner", "ana", "--due", "2026-12-01")
    say("incident", "resolve", id)
    printed = say("incident", "postmortem", id, "--print")
    assert printed.return_value == 0 and printed.stdout.startswith("# orders \\| are \\*lost\\*\n")
    done = say("incident", "postmortem", id)
    path = Path(done.stdout.strip())
    assert done.return_value == 0 and path.name == f"{id}.md" and path.resolve().is_relative_to(book)
    whole = path.read_text()
    for part in ("| to acknowledge |", "| to resolve |", "## Timeline", "## Why it happened", "- [ ] raise the limit"):
        assert part in whole
    assert "(ana, due 2026-12-01;" in whole
    path.write_text("by people")
    done = say("incident", "postmortem", id)
    assert isinstance(done.exception, OpsbookError) and "is there already" in str(done.exception)
    assert path.read_text() == "by people"
    assert say("incident", "postmortem", id, "--force").return_value == 0
    assert "## Timeline" in path.read_text() and told(say, id)["postmortem"] == path.name


def test_where_a_postmortem_lies_is_told_as_short_as_it_is(
    say: Say, book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {**BOOK, **PEOPLE, "incidents": {**PEOPLE["incidents"], "folder": "../.run/incidents"}}
    (book / "book.yaml").write_text(yaml.safe_dump(told))
    monkeypatch.chdir(book.parent)
    id = opened(say)
    assert say("incident", "postmortem", id).stdout == f".run/incidents/{id}.md\n"
    assert f".run/incidents/{id}.md is there already" in str(say("incident", "postmortem", id).exception)
    (book.parent / "deep/er/still").mkdir(parents=True)
    monkeypatch.chdir(book.parent / "deep/er/still")
    assert say("incident", "postmortem", id, "--force").stdout == f"{book.parent.resolve()}/.run/incidents/{id}.md\n"


def test_what_a_title_holds_steers_no_terminal_and_forges_no_line(say: Say) -> None:
    id = opened(say, "\x1b[31mdown\x1b[0m\nana resolved it \u202e")
    assert told(say, id)["title"] == "\x1b[31mdown\x1b[0m ana resolved it \u202e"
    for words in (("list",), ("show", id), ("postmortem", id, "--print")):
        shown = say("incident", *words).stdout
        assert "\x1b" not in shown and "\u202e" not in shown and "\nana resolved" not in shown, words
        assert words == ("list",) or ("x1b" in shown and "ana resolved it" in shown)


def unpacked(archive: Path) -> dict[str, bytes]:
    one = opener("zstd")
    plain = b"".join(one.take(archive.read_bytes()))
    one.end()
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        return {
            entry.name.partition("/")[2]: data.read() for entry in tar if (data := tar.extractfile(entry)) is not None
        }


def test_evidence_is_preserved_with_the_sum_of_every_file_and_its_own_in_the_audit_chain(
    say: Say, tmp_path: Path
) -> None:
    id = opened(say, "a strange login", "--security")
    given = tmp_path / "auth.log"
    given.write_bytes(b"\xffroot\n")
    done = say("incident", "evidence", id, "--to", str(tmp_path / "kept"), "--file", str(given), "--format", "json")
    assert done.return_value == 0, done.exception
    said = json.loads(done.stdout)
    archive = Path(said["archive"])
    assert archive.stat().st_mode & 0o777 == 0o400
    assert [one.name for one in archive.parent.iterdir()] == [archive.name]
    assert sha256(archive.read_bytes()).hexdigest() == said["sha256"]
    files = unpacked(archive)
    manifest = json.loads(files.pop("manifest.json"))
    assert manifest["incident"] == id and said["files"] == len(files)
    assert {one["name"]: one["sha256"] for one in manifest["files"]} == {
        name: sha256(data).hexdigest() for name, data in files.items()
    }
    assert files["files/000-auth.log"] == b"\xffroot\n"
    assert b"incident opened" in files["audit.jsonl"] and b"a strange login" in files["timeline.tsv"]
    store = open_store(f"sqlite:///{tmp_path}/store.db")
    (record,) = [one for one in audit.records(store) if one.act.event == "evidence preserved"]
    assert record.act.detail["sha256"] == said["sha256"]
    assert audit.verify(store).broken is None
    # Who changes the archive must change the record of its sum, too, and that is found.
    with store.begin() as connection:
        forged = record.detail.replace(said["sha256"], sha256(b"another").hexdigest())
        connection.execute(text("UPDATE audit SET detail = :d WHERE seq = :s"), {"d": forged, "s": record.seq})
    broken = audit.verify(store).broken
    assert broken is not None and (broken.seq, broken.reason) == (record.seq, "it is not what was written")


def test_evidence_that_nobody_gathered_is_said(say: Say) -> None:
    id = opened(say)
    done = say("incident", "evidence", id)
    assert done.return_value == 1 and "nothing was gathered" in done.stderr
    done = say("incident", "evidence", id, "--format", "json")
    assert (done.return_value, json.loads(done.stdout)) == (1, [])


def test_who_is_on_call_ends_with_1_where_nobody_is(say: Say, book: Path) -> None:
    done = say("oncall", "who", "--at", "2026-01-06T12:00")
    assert done.return_value == 0 and "ana" in done.stdout and "after 5m" in done.stdout
    assert say("oncall").return_value == 0
    assert say("oncall", "next").return_value == 0
    done = say("oncall", "who", "--at", "2026-01-01T12:00", "--format", "json")
    assert done.return_value == 1 and json.loads(done.stdout)
    done = say("oncall", "next", "frist")
    assert isinstance(done.exception, OpsbookError) and "first" in str(done.exception)
    keys = {**BOOK, **PEOPLE, "oncall": {"first": {**PEOPLE["oncall"]["first"], "hours": {}}}}
    (book / "book.yaml").write_text(yaml.safe_dump(keys))
    done = say("oncall", "next", "first", "--days", "7")
    assert done.return_value == 1 and "nobody" in done.stdout, done.exception


def test_what_is_said_before_the_verb_holds_for_it(book: Path, say: Say) -> None:
    id = opened(say)
    before = CliRunner().invoke(cli, ["incident", "--book", str(book), "--format", "json", "list"])
    assert [one["id"] for one in json.loads(before.stdout)] == [id]
