"""What is gathered when an incident opens, and what opsbook then does by itself."""

from __future__ import annotations

import asyncio
import hashlib
import io
import tarfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select, update
from tests.unit.watch.on_call import ANA, Desk

from opsbook.connectors.backups.compression import squeezer
from opsbook.connectors.contract import Reading, Request
from opsbook.connectors.preserved import unpacked
from opsbook.errors import Unreachable
from opsbook.observations.registry import observations
from opsbook.store import evidence
from opsbook.store.evidence import Evidence
from opsbook.store.tables import runs
from opsbook.watch import gathering
from opsbook.watch.diagnostics import Diagnostics
from opsbook.watch.evidence import NotPreserved, preserve, verify
from opsbook.watch.gathering import Gathering

MEND = """---
title: Mend
risk: disruptive
---
1. Begin it anew.

   ```sh id=restart risk=disruptive
   true
   ```
"""
LOOK = MEND.replace("Mend", "Look").replace("disruptive", "read")


class Away:
    """Connections of which one is refused and one never answers."""

    async def forever(self) -> None:
        await asyncio.Event().wait()

    def of(self, component: str) -> Any:
        if component == "database":
            raise Unreachable("database: connection refused, the password is hunter2-4711", "start it")
        raise ValueError("a fault")

    def forget(self) -> None: ...


def a_desk(tmp_path: Path, store: Engine, **keys: Any) -> Desk:
    folder = tmp_path / "book" / "procedures"
    folder.mkdir(parents=True)
    (folder / "mend.md").write_text(MEND)
    (folder / "look.md").write_text(LOOK)
    desk = Desk(tmp_path, store, **keys)
    desk.watch.connections = Away()  # type: ignore[assignment]
    return desk


def asked(desk: Desk) -> list[tuple[str, str]]:
    return [
        (row.procedure, row.requester)
        for row in desk.read(lambda c: c.execute(select(runs.c.procedure, runs.c.requester)).all())
    ]


def policy(**rule: Any) -> dict[str, Any]:
    return {"policies": {"ours": {"disruptive": rule}}, "environments": {"production": {"policy": "ours"}}}


def kept(desk: Desk, incident: str) -> list[Evidence]:
    return desk.read(lambda connection: evidence.of_incident(connection, incident))


async def gathered(desk: Desk) -> dict[str, tuple[str, str]]:
    await Diagnostics(desk.watch).tick(desk.now)
    found = kept(desk, desk.one.id)
    assert all(one.sha256 == hashlib.sha256(one.text.encode()).hexdigest() for one in found)
    return {one.name: (one.text, one.error) for one in found}


async def test_what_fails_is_noted_and_takes_nothing_along(tmp_path: Path, store: Engine) -> None:
    desk = a_desk(tmp_path, store)
    desk.bad(component="api")
    found = await gathered(desk)
    assert found["api.facts"] == ("", "a fault of opsbook itself: ValueError")
    assert found["database.facts"][1].startswith("database: connection refused")
    assert found["changes"] == ("nothing in the hour before", "")
    assert desk.lines("diagnosed") == ["gathered 1 things; 2 could not be had"]
    assert await gathered(desk) == found
    assert len(desk.lines("diagnosed")) == 1, "once a round"


async def test_what_never_answers_is_given_up(tmp_path: Path, store: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "SECONDS", 0.05)
    desk = a_desk(tmp_path, store)

    async def forever(_self: object, _component: str, _names: object) -> str:
        await asyncio.Event().wait()
        return ""

    monkeypatch.setattr(Gathering, "_facts", forever)
    desk.bad(component="database")
    async with asyncio.timeout(60):
        found = await gathered(desk)
    assert found["database.facts"] == ("", "not within 0.05 s")


class Storm:
    """Reads nothing, but counts who reads at the same time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now: list[str] = []
        self.read: list[str] = []
        self.most = 0
        monkeypatch.setattr(Gathering, "_facts", lambda _self, component, _names: self.facts(component))

    async def facts(self, component: str) -> str:
        assert component not in self.now, "two look at one component at the same time"
        self.now.append(component)
        self.most = max(self.most, len(self.now))
        self.read.append(component)
        for _ in range(5):
            await asyncio.sleep(0)
        self.now.remove(component)
        return "well"


async def test_in_a_storm_the_most_severe_come_first_and_each_component_is_asked_once(
    tmp_path: Path, store: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    storm = Storm(monkeypatch)
    desk = a_desk(tmp_path, store, incidents={"group_by": "check", "open_for": ["critical", "warning"]})
    for number in range(6):
        desk.hears((f"check:low-{number}", "warning"), component="database")
    desk.hears(("check:high", "critical"), component="api")
    order: list[str] = []
    begun = Gathering.gather

    async def gather(self: Gathering, one: Any, now: Any) -> Any:
        order.append(one.severity)
        return await begun(self, one, now)

    monkeypatch.setattr(Gathering, "gather", gather)
    await Diagnostics(desk.watch).tick(desk.now)
    assert order == ["P1", *["P4"] * 6]
    assert sorted(storm.read) == ["api", "database"] and storm.most == 2
    found = [kept(desk, one.id) for one in desk.incidents]
    assert all({"database.facts": "well"}.items() <= {each.name: each.text for each in some}.items() for some in found)


async def test_one_that_cannot_be_gathered_in_time_does_not_hold_the_others(
    tmp_path: Path, store: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "IN_ALL", 0.05)
    desk = a_desk(tmp_path, store, incidents={"group_by": "check"})
    hung = asyncio.Event()

    async def facts(_self: object, component: str, _names: object) -> str:
        if component == "database":
            await hung.wait()
        return "well"

    monkeypatch.setattr(Gathering, "_facts", facts)
    for number, component in enumerate(("database", "api", "database")):
        desk.hears((f"check:{number}", "critical"), component=component)
    async with asyncio.timeout(60):
        await Diagnostics(desk.watch).tick(desk.now)
    found = [kept(desk, one.id) for one in desk.incidents]
    told = [{each.name: each.text or each.error for each in some} for some in found]
    assert [one["database.facts"] for one in told] == ["not within 0.05 s"] * 3
    assert [one["api.facts"] for one in told if "api.facts" in one] == ["well"]
    assert all("changes" in one for one in told)


class Halves:
    """Reads a part of what is asked."""

    async def read(self, connector: Any, batch: Sequence[Request]) -> list[Reading]:
        if batch[0].id.endswith("active"):
            raise Unreachable("it went away", "start it")
        return [Reading(batch[0].id, 4)]


async def test_what_was_read_is_kept_where_another_fact_fails(
    tmp_path: Path, store: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = a_desk(tmp_path, store)
    monkeypatch.setattr(Away, "of", lambda *_: None)
    known = observations()
    some = {name: known[name] for name in ("postgres.connections", "postgres.active")}
    halves = {name: replace(one, reader=Halves()) for name, one in some.items()}
    monkeypatch.setattr(gathering, "observations", lambda: halves)
    desk.bad(component="database")
    found = await gathered(desk)
    assert found["database.facts"][0].splitlines() == ["postgres.connections: 4", "postgres.active: it went away"]


async def test_the_policy_lets_it_mend_by_itself_and_the_timeline_says_so(tmp_path: Path, store: Engine) -> None:
    desk = a_desk(tmp_path, store, **policy(unattended=True, approvals=1, window=True))
    desk.bad(procedure="mend", component="database")
    await gathered(desk)
    assert asked(desk) == [("mend", "opsbook")]
    (line,) = desk.lines("run")
    assert line.endswith("of mend was asked for, by itself, as the policy of this environment allows")
    await gathered(desk)
    assert len(asked(desk)) == 1


async def test_a_foreign_source_has_nothing_done_by_itself(tmp_path: Path, store: Engine) -> None:
    desk = a_desk(tmp_path, store, **policy(unattended=True))
    desk.bad(procedure="mend", component="database", source="alertmanager")
    await gathered(desk)
    assert asked(desk) == []


async def test_a_process_that_died_before_it_said_so_does_not_mend_twice(tmp_path: Path, store: Engine) -> None:
    desk = a_desk(tmp_path, store, **policy(unattended=True))
    desk.bad(procedure="mend", component="database")
    await Diagnostics(desk.watch)._procedures(desk.one)
    desk.write(lambda c: c.execute(update(runs).values(state="done", ended_at=desk.now.timestamp())))
    await gathered(desk)
    assert len(asked(desk)) == 1
    assert desk.lines("run")[0].endswith("of mend was asked for already")


@pytest.mark.parametrize("rule", [{}, {"approvals": 1}, {"unattended": False}])
async def test_without_that_nothing_is_changed(tmp_path: Path, store: Engine, rule: dict[str, Any]) -> None:
    desk = a_desk(tmp_path, store, **policy(**rule))
    desk.bad(procedure="mend", component="database")
    await gathered(desk)
    assert (asked(desk), desk.lines("run")) == ([], [])


async def test_what_it_may_not_do_for_want_of_a_backup_is_said(tmp_path: Path, store: Engine) -> None:
    desk = a_desk(tmp_path, store, **policy(unattended=True, backup_within="1h"))
    desk.bad(procedure="mend", component="database")
    await gathered(desk)
    (line,) = desk.lines("run")
    assert asked(desk) == [] and line.startswith("mend was not run: ") and "backup" in line


async def test_only_what_reads_is_run_to_look_further(tmp_path: Path, store: Engine) -> None:
    desk = a_desk(tmp_path, store, incidents={"diagnostics": ["look", "mend"]})
    desk.bad(component="database")
    await gathered(desk)
    assert [name for name, _ in asked(desk)] == ["look"]
    told = desk.lines("run")
    assert told[0].endswith("of look was asked for, to look further")
    assert told[1] == "mend is not run to look further: it is disruptive"


def test_evidence_is_written_once_and_never_over_another(tmp_path: Path, store: Engine) -> None:
    desk = a_desk(tmp_path, store)
    desk.bad()
    kept = tmp_path / "kept"
    setting = desk.watch.setting
    first = preserve(setting, desk.system, ANA, desk.one.id, kept)
    data = first.archive.read_bytes()
    with pytest.raises(NotPreserved, match="File exists"):
        preserve(setting, desk.system, ANA, desk.one.id, kept)
    assert first.archive.read_bytes() == data
    assert [one.name for one in kept.iterdir()] == [first.archive.name]


def test_an_archive_that_was_changed_is_told(tmp_path: Path, store: Engine) -> None:
    desk = a_desk(tmp_path, store)
    desk.bad()
    setting, id = desk.watch.setting, desk.one.id
    made = preserve(setting, desk.system, ANA, id, tmp_path / "kept", [Path(__file__)])
    found = verify(setting, made.archive, id)
    assert (found.wrong, found.files, found.sha256) == ((), made.files, made.sha256)
    assert found.recorded_at == desk.now.timestamp()
    with pytest.raises(NotPreserved, match=f"is of {id}"):
        verify(setting, made.archive, "another")
    parts = unpacked(made.archive.read_bytes())
    listed = parts.pop("manifest.json")
    forged = {**parts, "timeline.tsv": b"nothing happened", "more.txt": b""}
    del forged["audit.jsonl"]
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        for name, data in {"manifest.json": listed, **forged}.items():
            entry = tarfile.TarInfo(f"{id}/{name}")
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    one = squeezer("zstd")
    other = tmp_path / "other.tar.zst"
    other.write_bytes(one.take(plain.getvalue()) + one.end())
    unknown, *told = verify(setting, other, id).wrong
    assert unknown.startswith("the audit chain knows no archive of this sum")
    assert told == ["audit.jsonl is missing", "more.txt is in no list", "timeline.tsv is not what was preserved"]
    cut = made.archive.read_bytes()[:-20]
    other.write_bytes(cut)
    assert "cannot be read as an archive" in verify(setting, other, id).wrong[1]
