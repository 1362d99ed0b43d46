"""What the doctor says of people: times in which nobody is on call, levels that come to nobody."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.unit.watch.on_call import PEOPLE
from tests.unit.watch.watched import a_system

from opsbook.checks.diagnosis import Health
from opsbook.checks.doctor_book import examine_book

NOW = datetime(2026, 1, 7, 3, 0, tzinfo=UTC)
FIRST = PEOPLE["oncall"]["first"]


def said(tmp_path: Path, **keys: Any) -> list[tuple[str, str, str]]:
    system = a_system(tmp_path / "book", **{**PEOPLE, **keys})
    found = [one for one in examine_book(system, NOW) if one.area == "on call"]
    assert all(one.health is Health.NOTE for one in found)
    return [(one.name, one.message, one.hint) for one in found]


def test_a_book_whose_people_are_always_reached_gives_no_finding(tmp_path: Path) -> None:
    assert said(tmp_path) == []


def test_every_kind_of_gap_is_named_once_with_its_line(tmp_path: Path) -> None:
    hours = {"days": ["MO", "TU", "WE", "TH", "FR"], "start": "09:00", "end": "17:00"}
    found = said(tmp_path, oncall={"first": {**FIRST, "hours": hours}})
    assert {name for name, _, _ in found} == {"first"}
    told = [message for _, message, _ in found]
    assert any("nobody is on call Fri 17:00–Mon 09:00 (line " in one for one in told), told
    assert len(told) == len(set(told)) == 5
    lines = (tmp_path / "book" / "book.yaml").read_text().splitlines()
    line = int(told[0].rpartition("(line ")[2].rstrip(")"))
    assert "first" in lines[line - 1] or "first" in lines[line - 2]


@pytest.mark.parametrize("backup", ["boss", "second"])
def test_a_backup_fills_the_gap(tmp_path: Path, backup: str) -> None:
    first = {**FIRST, "hours": {}, "backup": backup}
    assert said(tmp_path, oncall={"first": first, "second": {**FIRST, "members": ["bob"]}}) == []


@pytest.mark.parametrize(
    ("begins", "told"), [("01-09T09:00", "Wed 03:00–Fri 09:00"), ("03-01T09:00", "2026-01-07 03:00–2026-03-01 09:00")]
)
def test_a_rotation_that_begins_later_is_a_gap_until_then(tmp_path: Path, begins: str, told: str) -> None:
    ((_, message, _),) = said(tmp_path, oncall={"first": {**FIRST, "start": f"2026-{begins}:00"}})
    assert message.startswith(f"nobody is on call {told} (line ")


def test_a_level_that_reaches_nobody_is_named(tmp_path: Path) -> None:
    (found,) = said(tmp_path, escalation=[{"level": "L1", "notify": "nobody"}])
    assert found[:2] == ("nobody", "nobody cannot be paged: it has no `notify` and no `email`")
    (found,) = said(tmp_path, channels={"chat": "json://127.0.0.1:1/chat"})
    assert found[:2] == ("boss", "boss cannot be paged: the book has no mail channel")


def test_a_gap_of_a_minute_is_not_lost_when_the_members_are_many(tmp_path: Path) -> None:
    hours = {"days": ["MO", "TU", "WE", "TH", "FR", "SA", "SU"], "start": "00:00", "end": "23:59"}
    people = {f"p{number}": {"notify": "json://127.0.0.1:1/x"} for number in range(30)}
    contacts = {**PEOPLE["contacts"], **people}
    found = said(tmp_path, contacts=contacts, oncall={"first": {**FIRST, "members": [*people], "hours": hours}})
    assert "nobody is on call Wed 23:59–00:00" in found[0][1]


def test_a_member_without_an_address_is_named_before_it_is_their_turn(tmp_path: Path) -> None:
    (found,) = said(tmp_path, oncall={"first": {**FIRST, "members": ["ana", "bob", "nobody"]}})
    assert found[:2] == ("first", "nobody cannot be paged: it has no `notify` and no `email`")
    override = {"who": "nobody", "start": "2026-02-01T00:00:00", "end": "2026-02-02T00:00:00"}
    (found,) = said(tmp_path, oncall={"first": {**FIRST, "overrides": [override]}})
    assert found[1].startswith("nobody cannot be paged")


def test_a_key_of_links_that_only_this_host_has_is_named_where_several_may_serve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPSBOOK_URL", "https://ops.example.org")
    assert said(tmp_path) == []
    monkeypatch.setenv("OPSBOOK_STORE", "postgresql://db/opsbook")
    ((name, message, hint),) = said(tmp_path)
    assert name == "links" and "another that serves this store refuses them" in message and "OPSBOOK_LINK_KEY" in hint
    monkeypatch.setenv("OPSBOOK_LINK_KEY_FILE", "/etc/opsbook/link.key")
    assert said(tmp_path) == []
