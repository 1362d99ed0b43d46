"""The calendar of windows is one by RFC 5545, whatever people write into a book."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from icalendar import Calendar
from sqlalchemy import Engine
from tests.unit.watch.planned_work import ANN, NOW, read, watch_of, write

from opsbook.cli.main import cli
from opsbook.watch.contract import Watch
from opsbook.watch.window_acts import Wanted, open_now
from opsbook.watch.window_calendar import as_ical, coming

HARD = "Größere Wartung; Server, Netz\\Speicher — „alles“ 🛠, und was sonst noch ansteht in dieser Nacht"
WINDOWS = [
    {"id": "weekly", "title": HARD, "rrule": "FREQ=WEEKLY;BYDAY=SU;BYHOUR=2", "lasts": "2h",
     "components": ["api", "db"]},
    {"id": "far", "rrule": "FREQ=MONTHLY;BYMONTHDAY=1;BYHOUR=3", "lasts": "1d", "timezone": "America/New_York"},
]  # fmt: skip


def written(watch: Watch, ahead: timedelta = timedelta(days=366)) -> bytes:
    now = watch.setting.clock.now()
    return as_ical(watch.system, read(watch, lambda connection: coming(connection, watch.system, now, ahead)), now)


def unfolded(text: bytes) -> list[str]:
    """Content lines, by section 3.1: octets first, for a fold may stand within a character."""
    return re.sub(rb"\r\n[ \t]", b"", text).decode().removesuffix("\r\n").split("\r\n")


def test_lines_end_and_are_folded_and_escaped_as_the_standard_says(tmp_path: Path, store: Engine) -> None:
    text = written(watch_of(tmp_path, store, title="Shop; Größe, 1", windows=WINDOWS))
    assert text.endswith(b"END:VCALENDAR\r\n") and not re.search(rb"[^\r]\n|\r[^\n]", text)
    raw = text.split(b"\r\n")
    assert max(map(len, raw)) <= 75 and any(line.startswith(b" ") for line in raw), "octets of a line, and some folded"
    lines = unfolded(text)
    assert all(re.match(r"[A-Z-]+[:;]", line) for line in lines), "each is a property of its own"
    said = HARD.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,")
    assert f"SUMMARY:{said}" in lines
    assert [line for line in lines if line.startswith("X-WR-CALNAME")] == [
        "X-WR-CALNAME:Shop\\; Größe\\, 1: maintenance (test)"
    ]
    assert any(line.startswith("DESCRIPTION:Sunday 2026-11-22 02:00 to 04:00 (Europe/Berlin)\\nAffected: api\\, db")
               for line in lines)  # fmt: skip


def test_every_event_has_what_the_standard_asks_for_and_its_own_moment(tmp_path: Path, store: Engine) -> None:
    watch = watch_of(tmp_path, store, windows=WINDOWS)
    calendar = Calendar.from_ical(written(watch))
    assert calendar["VERSION"] == "2.0" and calendar["PRODID"]
    events = calendar.walk("VEVENT")
    expected = read(watch, lambda c: coming(c, watch.system, NOW, timedelta(days=366)))
    assert len(events) == len(expected) > 60 and not any(event.errors for event in events)
    for event, one in zip(events, expected, strict=True):
        assert event["DTSTAMP"].dt == NOW
        assert (event["DTSTART"].dt, event["DTEND"].dt) == (one.start, one.until)
        assert event["DTSTART"].to_ical() == one.start.strftime("%Y%m%dT%H%M%SZ").encode()
        assert event["SUMMARY"] == one.title and one.when in event["DESCRIPTION"]
    assert len({event["UID"] for event in events}) == len(events)
    starts = {event["DTSTART"].dt for event in events}
    # 02:00 in Berlin is 01:00 UTC in winter and 00:00 in summer; the hour that is left out counts as the one after.
    assert {datetime(2027, 3, day, 1, tzinfo=UTC) for day in (21, 28)} <= starts
    assert datetime(2027, 4, 4, tzinfo=UTC) in starts
    assert {datetime(2027, 3, 1, 8, tzinfo=UTC), datetime(2027, 4, 1, 7, tzinfo=UTC)} <= starts


def test_the_same_window_keeps_its_uid_whatever_becomes_of_it(tmp_path: Path, store: Engine) -> None:
    def uids(watch: Watch) -> list[str]:
        return [str(one["UID"]) for one in Calendar.from_ical(written(watch, timedelta(days=30))).walk("VEVENT")]

    before = uids(watch_of(tmp_path, store, windows=WINDOWS))
    renamed = [{**WINDOWS[0], "title": "Other", "lasts": "3h"}, WINDOWS[1]]
    assert uids(watch_of(tmp_path, store, NOW + timedelta(hours=1), windows=renamed)) == before
    assert not set(uids(watch_of(tmp_path, store, system="other", windows=WINDOWS))) & set(before)


@pytest.mark.parametrize(
    "reason", ["two\nlines", "a\r\nATTACH:http://127.0.0.1/x", "a\rb", "tab\there", "\x1b[31mred\x07"]
)
def test_no_reason_of_a_person_breaks_it(tmp_path: Path, store: Engine, reason: str) -> None:
    watch = watch_of(tmp_path, store)
    wanted = Wanted("hotfix", timedelta(hours=1), reason)
    write(watch, lambda connection: open_now(connection, watch.system, ANN, wanted, NOW))
    text = written(watch)
    (event,) = Calendar.from_ical(text).walk("VEVENT")
    assert set(event) == {"UID", "DTSTAMP", "DTSTART", "DTEND", "SUMMARY", "DESCRIPTION", "STATUS", "TRANSP"}
    assert not re.search(rb"[^\r]\n|\r[^\n]|[\x00-\x08\x0b\x0c\x0e-\x1f]", text), "no control characters (3.1)"


def test_the_verb_prints_the_calendar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPSBOOK_STORE", raising=False)
    book = {
        "opsbook": 1, "system": "shop", "timezone": "Europe/Berlin", "environments": {"test": {"policy": "open"}},
        "components": {"api": {"kind": "http", "url": "http://127.0.0.1:1"}, "db": {"kind": "host"}},
        "windows": WINDOWS,
    }  # fmt: skip
    (tmp_path / "book.yaml").write_text(yaml.safe_dump(book))
    for words in (("ical",), ("list", "--format", "ical")):
        done = CliRunner().invoke(cli, ["window", *words, "--book", str(tmp_path), "--ahead", "14d"])
        assert done.exit_code == 0, done.output
        events = Calendar.from_ical(done.stdout_bytes).walk("VEVENT")
        assert [one["UID"].partition("-")[0] for one in events if "weekly" in one["UID"]] == ["weekly", "weekly"]
        assert done.stdout_bytes.endswith(b"END:VCALENDAR\r\n")
