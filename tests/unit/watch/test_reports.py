"""Reports: what time they tell of, what stands in them, and that one that is due is written once."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, insert
from tests.unit.watch.planned_work import NOW, move, told, watch_of, write

from opsbook.checks.evaluate import State
from opsbook.store import history, incident_spans
from opsbook.store.database import reading
from opsbook.store.incidents import Incident
from opsbook.store.watch_tables import incidents
from opsbook.watch.alerts import take_in
from opsbook.watch.contract import Signal, Watch
from opsbook.watch.incident_acts import find
from opsbook.watch.incidents import respond
from opsbook.watch.reports.data import told as as_data
from opsbook.watch.reports.facts import gather
from opsbook.watch.reports.pages import MOST, as_html, as_markdown
from opsbook.watch.reports.spans import KINDS, Kind, span_of
from opsbook.watch.reports.writing import Reports

HOUR = timedelta(hours=1)
KEYS: dict[str, Any] = {
    "severities": {"P1": {"means": "down", "respond": "15m", "resolve": "2h"}},
    "incidents": {"severity": {"critical": "P1"}},
    "slos": [{"id": "api", "title": "API answers", "check": "api-up", "target": "99.9%"}],
    "access": {"admin": ["cleo"], "operator": ["ann"]},
}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "now", "begin"),
    [
        ("handover", "2026-03-29T06:00", "2026-03-28T18:00"),
        ("daily", "2026-03-29T06:00", "2026-03-28T07:00"),  # the night was an hour shorter: 08:00 to 08:00
        ("daily", "2026-10-25T07:00", "2026-10-24T06:00"),
        ("weekly", "2026-11-21T12:00", "2026-11-14T12:00"),
        ("monthly", "2028-03-29T06:00", "2028-02-29T07:00"),
        ("monthly", "2026-03-31T06:00", "2026-02-28T07:00"),
    ],
)
def test_a_report_tells_of_the_time_by_the_clock_on_the_wall(kind: Kind, now: str, begin: str) -> None:
    assert span_of(kind, at(now), "Europe/Berlin").begin == at(begin)


def night(watch: Watch) -> Incident:
    """An hour in which the API was down, with its incident."""
    begin = NOW - 3 * HOUR
    points = [
        history.Point("api-up", (begin + timedelta(minutes=n)).timestamp(), "critical" if n < 60 else "ok", 1.0, "")
        for n in range(180)
    ]
    write(watch, lambda connection: history.add(connection, "shop", "test", points))
    signal = Signal(
        "check:api-up", "check", begin, State.CRITICAL, "API <health>", "refused", check="api-up", component="api"
    )
    write(watch, lambda connection: take_in(connection, watch.system, [signal], begin, respond))
    found: Incident = write(watch, lambda connection: find(connection, watch.system, ""))
    return found


def test_a_report_says_what_was_promised_what_failed_and_what_nobody_answered(tmp_path: Path, store: Engine) -> None:
    watch = watch_of(tmp_path, store, **KEYS)
    incident = night(watch)
    facts = gather(watch.setting, watch.system, "monthly", span_of("monthly", NOW, "Europe/Berlin"))
    with reading(store) as connection:
        begin = incident.opened_at
        found = [incident_spans.during(connection, watch.where, begin + n, begin + n + 1) for n in (-2, 0, 2)]
        assert [[one.id for one in some] for some in found] == [[], [incident.id], [incident.id]]
    page, text, data = as_html(facts), as_markdown(facts), as_data(facts)
    assert data["availability"][0]["ok"] == pytest.approx(2 / 3)
    assert data["incidents"][0]["id"] == incident.id
    assert {one["id"]: one["ok"] for one in data["checks"]} == {"api-up": pytest.approx(2 / 3), "db-up": None}
    assert "66.667 %" in text
    assert "respond late" in text
    assert "<health>" not in page.partition("</style>")[2]
    assert "cleo" in text
    assert json.loads(json.dumps(data))["summary"].startswith("1 incident, 1 alert")


def test_a_time_of_many_incidents_is_told_whole_and_a_page_says_what_it_leaves_out(
    tmp_path: Path, store: Engine
) -> None:
    watch = watch_of(tmp_path, store, **KEYS)
    one = vars(night(watch))
    more = [{**one, "id": f"i{n:04}", "open_key": None, "group_key": f"g{n}"} for n in range(700)]
    write(watch, lambda connection: connection.execute(insert(incidents), more))
    facts = gather(watch.setting, watch.system, "monthly", span_of("monthly", NOW, "Europe/Berlin"))
    assert len(as_data(facts)["incidents"]) == 701
    text = as_markdown(facts)
    assert "701 incidents" in text
    assert f"the newest {MOST} of 701; the report as JSON has all of them" in text
    assert "the newest" not in as_markdown(replace(facts, incidents=facts.incidents[:MOST]))


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_store_gives_every_report(tmp_path: Path, store: Engine, kind: Kind) -> None:
    watch = watch_of(tmp_path, store, **KEYS)
    facts = gather(watch.setting, watch.system, kind, span_of(kind, NOW, "Europe/Berlin"))
    assert as_html(facts).rstrip().endswith("</html>")
    assert "no data" in as_markdown(facts) or kind in ("handover", "audit")


async def test_a_report_that_is_due_is_written_and_sent_once(tmp_path: Path, store: Engine) -> None:
    report = {"id": "morning", "kind": "daily", "schedule": "0 8 * * *", "to": "out", "notify": ["ops"]}
    watch = watch_of(tmp_path, store, **KEYS, reports=[report])
    await Reports(watch).tick(NOW)
    assert not (tmp_path / "out").exists(), "what was due before the book was first watched is not made up for"
    for _ in range(2):
        await Reports(watch).tick(move(watch, NOW + 72 * HOUR))
    names = sorted(path.name for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert names == [f"morning-2026-11-24T0700Z.{ending}" for ending in ("html", "json", "md")]
    assert told(watch) == ["[report] shop: Daily report, 2026-11-24"]
