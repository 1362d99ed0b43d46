"""The public status page: honest about gaps, and nothing on it that is not for the public."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine
from tests.unit.watch.planned_work import ANN, NOW, watch_of, write

from opsbook.checks.evaluate import State
from opsbook.errors import Refused, UsageError
from opsbook.store import history, rollups
from opsbook.store.tables import metadata
from opsbook.watch.alerts import take_in
from opsbook.watch.contract import Signal, Watch
from opsbook.watch.incident_acts import find
from opsbook.watch.incidents import respond
from opsbook.watch.public import Page, Part, internal, say
from opsbook.watch.public_days import Day, bounds, uptime
from opsbook.watch.silences import here
from opsbook.watch.status_page import HTML, JSON, data, html, page, publish
from opsbook.watch.window_acts import Wanted, open_now

HOUR = timedelta(hours=1)
SECRET = "hunter2-is-long"
SHOWN = {
    "status_page": {
        "title": "Shop",
        "components": {"api": "Ordering"},
        "history": "10d",
        "contact": "help@example.org",
    },
    "components": {
        "api": {"kind": "http", "url": "http://api-7.internal:8080", "headers": {"Authorization": "${TOKEN}"}},
        "db": {"kind": "postgres", "dsn": f"postgresql://app:{SECRET}@db-3.internal/shop"},
    },
    "checks": [
        {"id": "api-up", "observe": "http.up", "of": "api"},
        {"id": "db-up", "observe": "postgres.up", "of": "db"},
    ],
    "incidents": {"severity": {"critical": "P1"}},
    "severities": {"P1": {"means": "down"}},
}
INTERNAL = ("db-3", "api-7", "internal", SECRET, "api-up", "db-up", "http.up", "P1", "postgres", "8080")


def seen(watch: Watch, now: datetime = NOW) -> Page:
    return page(watch.setting, watch.system, now)


def bad(watch: Watch, sentence: str, at: datetime = NOW, title: str = "API health of api-7.internal") -> None:
    one = Signal("check:api-up", "check", at, State.CRITICAL, title, sentence, check="api-up", component="api")
    write(watch, lambda connection: take_in(connection, watch.system, [one], at, respond))


def measured(watch: Watch, points: dict[datetime, str]) -> None:
    rows = [history.Point("api-up", at.timestamp(), state, 1.0, "from db-3.internal") for at, state in points.items()]
    where, first, last = here(watch.system), min(points).timestamp() // 3600 * 3600, max(points).timestamp() + 1
    write(watch, lambda connection: history.add(connection, where["system"], where["environment"], rows))
    write(watch, lambda connection: rollups.roll_up(connection, where, first, last))
    write(watch, lambda connection: rollups.roll_up_hours(connection, where, first, last))


def test_a_day_without_results_is_a_gap_and_not_up(tmp_path: Path, store: Engine) -> None:
    watch = watch_of(tmp_path, store, **SHOWN)
    day = NOW - timedelta(days=3)
    measured(watch, {day + timedelta(minutes=n): "critical" if n < 15 else "ok" for n in range(60)})
    (part,) = seen(watch).parts
    assert [one.uptime for one in part.days if one.uptime is not None] == [0.75]
    assert (len(part.days), part.uptime, part.health) == (10, 0.75, "unknown")
    assert "75.00 % up in 1 of 10 days" in html(seen(watch))


def test_a_name_neither_steers_the_page_nor_turns_its_text_around_and_worked_on_days_are_marked() -> None:
    days = (Day(NOW.date(), 1440, 0), Day(NOW.date(), 1000, 0, True), Day(NOW.date(), 0, 0, True))
    part = Part("<b>\u202egnp.exe\x1b[2J", "well", 1.0, days)
    text = html(Page("Shop\u2066", NOW, "well", (part,), (), (), "Europe/Berlin"))
    assert "&lt;b&gt;gnp.exe[2J" in text
    assert not any(character in text for character in "\u202e\u2066\x1b")
    assert text.count('<rect class="planned"') == 2, "a day of maintenance is marked, whether it was measured or not"


def test_who_was_down_for_a_moment_never_reads_a_hundred() -> None:
    assert uptime([Day(NOW.date(), 99_999, 1), Day(NOW.date())]) == 0.99999
    assert uptime([Day(NOW.date())]) is None


@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2028-02-29", 24)])
def test_a_day_is_as_long_as_the_clock_makes_it(day: str, hours: int) -> None:
    begin, end = bounds(datetime.fromisoformat(day).date(), "Europe/Berlin")
    assert end - begin == hours * 3600


def test_maintenance_is_neither_up_nor_down(tmp_path: Path, store: Engine) -> None:
    watch = watch_of(tmp_path, store, **SHOWN)
    wanted = Wanted("by-hand", HOUR, "the disk of db-3.internal is exchanged", ("api",))
    write(watch, lambda connection: open_now(connection, watch.system, ANN, wanted, NOW))
    measured(watch, {NOW + timedelta(minutes=n): "critical" if n < 60 else "ok" for n in range(-60, 120)})
    found = seen(watch, NOW + timedelta(minutes=30))
    assert (found.health, found.headline) == ("maintenance", "Ordering: maintenance")
    assert seen(watch, NOW + 2 * HOUR).parts[0].uptime is not None
    assert "db-3" not in html(found) + data(found)


def test_a_component_is_what_its_checks_say_while_they_say_something(tmp_path: Path, store: Engine) -> None:
    watch = watch_of(tmp_path, store, **SHOWN)
    measured(watch, {NOW: "ok"})
    assert seen(watch).headline == "Everything works"
    bad(watch, "down")
    assert seen(watch).headline == "Ordering: not available"
    assert seen(watch, NOW + HOUR).headline == "The state is not known at the moment"


def test_only_what_people_say_for_the_public_is_told_of_an_incident(tmp_path: Path, store: Engine) -> None:
    watch = watch_of(tmp_path, store, **SHOWN)
    bad(watch, "connection refused by db-3.internal")
    assert seen(watch).problems == ()

    def tell(text: str, title: str = "") -> None:
        def do(connection: Any) -> None:
            say(connection, watch.system, ANN, find(connection, watch.system, ""), "identified", title, text, NOW)

        write(watch, do)

    with pytest.raises(UsageError, match="needs a title"):
        tell("We look into it.")
    for words in ("db-3.internal is full", "10.0.0.7 does not answer", f"the password {SECRET}", "fd00::17 is gone",
                  "see web.cluster"):  # fmt: skip
        with pytest.raises(Refused, match="not for the public"):
            tell(words, "Orders fail")
    tell("We look into it since 10:30, version 2.4.1.", "Orders fail")
    tell("Soon well <b>again</b>.")
    (problem,) = seen(watch).problems
    assert (problem.title, [one.text for one in problem.statements]) == (
        "Orders fail", ["Soon well <b>again</b>.", "We look into it since 10:30, version 2.4.1."],
    )  # fmt: skip
    assert "<b>" not in html(seen(watch))


texts = st.lists(st.sampled_from([*INTERNAL, "is", "down", "<script>", "&", "\x1b[31m"]), min_size=1, max_size=6).map(
    " ".join
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(sentence=texts, title=texts, reason=texts)
def test_nothing_internal_ever_comes_onto_the_page(
    tmp_path: Path, store: Engine, sentence: str, title: str, reason: str
) -> None:
    with store.begin() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(table.delete())
    watch = watch_of(tmp_path, store, **SHOWN)
    measured(watch, {NOW: "critical"})
    bad(watch, sentence, title=title)
    wanted = Wanted("db-3.internal", HOUR, reason, ("api", "db"))
    write(watch, lambda connection: open_now(connection, watch.system, ANN, wanted, NOW))
    found = seen(watch)
    text = data(found) + html(found).partition("</style>")[2]
    assert [word for word in (*INTERNAL, "script", "\x1b", "shop-production") if word in text] == []


def test_plain_words_may_be_said(tmp_path: Path, store: Engine) -> None:
    watch = watch_of(tmp_path, store, **SHOWN)
    for words in ("Back at 12:30:45.", "Version 1.2.3 is out", "The api answers again", "50.5 % of orders"):
        assert internal(watch.system, words) == ""


def test_both_files_are_written_whole_and_for_everybody(tmp_path: Path, store: Engine) -> None:
    watch = watch_of(tmp_path, store, **{**SHOWN, "status_page": {**SHOWN["status_page"], "to": "public"}})
    for _ in range(2):
        assert publish(watch.system, seen(watch)) == str(tmp_path / "public")
    assert sorted(path.name for path in (tmp_path / "public").iterdir()) == [HTML, JSON]
    assert (tmp_path / "public" / HTML).stat().st_mode & 0o777 == 0o644
    assert json.loads((tmp_path / "public" / JSON).read_text())["title"] == "Shop"
    assert (tmp_path / "public" / HTML).read_text().rstrip().endswith("</html>")


def test_the_page_takes_the_moment_that_it_is_given(tmp_path: Path, store: Engine) -> None:
    assert f"{NOW:%Y-%m-%dT%H:%M}" in html(seen(watch_of(tmp_path, store, **SHOWN)))
    assert NOW.tzinfo is UTC
