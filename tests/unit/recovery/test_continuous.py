"""What a repository of pgBackRest can lead to, from when to when, and what a log's archive is worth. Pure."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from opsbook.cli.served import Seen
from opsbook.connectors.backups.archiving import Archived, Archiver
from opsbook.connectors.backups.pgbackrest import damage
from opsbook.connectors.backups.pgbackrest_info import Point, Range, candidates, due_type, lsn_number, read_info
from opsbook.connectors.backups.recoverable import log_reaches
from opsbook.connectors.change import ChangeFailed

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def told(label: str, hours: float, kind: str = "full", **more: Any) -> dict[str, Any]:
    at = int((NOON + timedelta(hours=hours)).timestamp())
    return {
        "label": label, "type": kind, "timestamp": {"start": at - 60, "stop": at}, "error": False,
        "lsn": {"start": f"0/{label[-1]}000028", "stop": f"0/{label[-1]}000100"},
        "archive": {"start": "000000010000000000000002", "stop": "000000010000000000000003"},
        "info": {"size": 1000, "delta": 1000, "repository": {"size": 100, "delta": 90}}, "reference": None, **more,
    }  # fmt: skip


def info(*backups: dict[str, Any], code: int = 0) -> str:
    status = {"code": code, "message": "ok", "lock": {"backup": {"held": False}}}
    archive = [{"id": "15-1", "min": "000000010000000000000001", "max": "000000010000000000000009"}]
    return json.dumps(
        [{"name": "shop", "backup": list(backups), "archive": archive, "status": status, "cipher": "none"}]
    )


HELD = read_info(info(told("a1", -48), told("b2", -24, "incr"), told("c3", -1, "diff")), "shop")


def test_it_reads_what_a_repository_holds() -> None:
    assert [one.label for one in HELD.backups] == ["a1", "b2", "c3"]
    assert (HELD.wal_first[-1], HELD.wal_last[-1], HELD.backups[0].stored) == ("1", "9", 90)
    assert read_info("[]", "shop").code == 1
    for nonsense in ("", "{}", '[{"name": "shop"}]', '[{"name": "shop", "backup": [{}], "status": {"code": 0}}]'):
        with pytest.raises(ChangeFailed, match="no list of backups"):
            read_info(nonsense, "shop")


def test_a_full_backup_is_due_when_the_last_is_old_or_none_is_good() -> None:
    week = timedelta(days=7)
    assert due_type((), "incr", week, NOON) == "full"
    assert due_type(HELD.backups, "incr", week, NOON) == "incr"
    assert due_type(HELD.backups, "diff", timedelta(hours=48), NOON) == "full"
    assert due_type([replace(HELD.backups[0], error=True)], "incr", week, NOON) == "full"


@pytest.mark.parametrize(
    ("point", "labels"),
    [
        (Point("time", "2026-05-01 11:30:00.000000+00"), ["c3"]),
        (Point("time", "2026-05-01 10:59:59.000000+00"), ["b2"]),
        (Point("time", "2026-04-01 00:00:00.000000+00"), []),
        (Point("lsn", "0/2000100"), ["b2"]),
        (Point("lsn", "0/20000FF"), ["a1"]),
        (Point("latest"), ["c3"]),
        (Point("name", "release"), ["c3", "b2", "a1"]),
        (Point("xid", "740"), ["c3", "b2", "a1"]),
    ],
)
def test_a_recovery_begins_with_the_last_backup_before_the_point(point: Point, labels: list[str]) -> None:
    assert [one.label for one in candidates(HELD, point)] == labels
    assert [one.label for one in candidates(HELD, point, "a")] == [label for label in ["a1"] if labels]


def test_a_range_names_no_moment_that_is_not_in_it() -> None:
    found = Range(NOON + timedelta(seconds=0.4), NOON + timedelta(minutes=1))
    assert str(found) == "2026-05-01 12:00:01+00 to 2026-05-01 12:01:00+00"
    assert not found.holds(NOON)


def test_places_in_the_log_are_compared_as_numbers() -> None:
    assert lsn_number("1/0") > lsn_number("0/FFFFFFFF")


def archived(**changed: Any) -> Archived:
    archiver = Archiver(NOON - timedelta(minutes=5), "000000010000000200000003", None, "", 3, 0, "on", False)
    given = {"command": "push %p", "timeout": 0.0, "lsn": "2/4000028", "segment": 16 << 20, "waiting": 0, "now": NOON}
    given |= changed
    return Archived(replace(archiver, **given.pop("archiver", {})), **given)


@pytest.mark.parametrize(
    ("state", "seconds"),
    [
        ({}, 0.0),
        ({"lsn": "2/4000100"}, 300.0),
        ({"lsn": "2/4000100", "timeout": 60.0}, 60.0),
        ({"lsn": "2/4000100", "timeout": 60.0, "waiting": 1}, 300.0),
        ({"timeout": 60.0, "archiver": {"failed": NOON}}, 300.0),
        ({"command": "/bin/true"}, None),
        ({"archiver": {"mode": "off"}}, None),
        ({"archiver": {"last": None, "last_wal": ""}}, None),
        ({"archiver": {"last_wal": "00000002.history"}}, 300.0),
    ],
)
def test_the_archive_lags_as_long_as_what_it_lacks_is_old(state: dict[str, Any], seconds: float | None) -> None:
    assert archived(**state).lag == seconds


def test_an_objective_counts_on_the_log_only_with_a_backup_to_begin_with() -> None:
    nothing = read_info(info(), "shop")
    assert log_reaches("wal", nothing, archived(), NOON) is None
    now, late, off = (log_reaches("wal", HELD, archived(**state), NOON) for state in
                      ({}, {"lsn": "2/4000100"}, {"archiver": {"mode": "off"}}))  # fmt: skip
    assert now and now.data_time == NOON
    assert late and late.data_time == NOON - timedelta(minutes=5)
    assert off and off.data_time == NOON - timedelta(hours=1), "a backup alone leads to its own end"


def test_what_verify_finds_is_named_though_it_ends_well() -> None:
    said = """2026-11-21 16:03:44.560 P01   INFO: invalid checksum '20261121-160337F/pg_data/base/1/112.zst'
2026-11-21 16:03:44.849 P00   INFO: stanza: demo
                                    status: error
                                      backup: 20261121-160337F, status: invalid, total files checked: 964
                                        checksum invalid: 1
2026-11-21 16:03:44.849 P00   INFO: verify command end: completed successfully (733ms)
"""
    assert damage(said)[0] == "invalid checksum '20261121-160337F/pg_data/base/1/112.zst'"
    assert damage("stanza: demo\nstatus: error\n") == ["pgbackrest verify says that there is an error"]
    assert damage("2026-11-21 16:03:44.063 P00   INFO: verify command end: completed successfully (293ms)\n") == []


def test_requests_that_fail_in_a_row_are_one_outage() -> None:
    seen = Seen("api", "/ready")
    for second, problem in enumerate(["", "it answers 502", "it answers 502", "", "", "refused", ""]):
        seen.note(problem, float(second))
    assert (seen.requests, seen.errors, seen.longest) == (7, 3, 2.0)
    assert "3 of 7 requests for /ready failed, within 2.0 s (refused)" in seen.sentence
