"""The page that an auditor gets: every promise with its proof, what is unproven, what is kept; and all escaped."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console
from tests.unit.recovery.stored import Shelf, shelf

from opsbook.cli.report import _as_json
from opsbook.cli.report_view import print_report
from opsbook.engine.setting import Setting, open_setting
from opsbook.manual.render.pieces import Trend
from opsbook.manual.render.trend import drawn
from opsbook.recovery.report import Report, report
from opsbook.recovery.report_page import as_html, summary
from opsbook.store import drills
from opsbook.store.drills import DrillRow

NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)


def drilled(days: float, rto: float | None, *, good: bool = True, problem: str = "") -> DrillRow:
    at = (NOW - timedelta(days=days)).timestamp()
    return DrillRow(
        f"run-{days:g}", "files", at, "test", "", "restore", "nightly", "20260319T120000Z", "{}",
        json.dumps([problem] if problem else []), rto, rto, rto, 3600.0, 12, 420, good,
    )  # fmt: skip


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Shelf, Setting]]:
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.delenv("OPSBOOK_STORE", raising=False)
    made = shelf(
        tmp_path, {"id": "nightly", "keep": {"daily": 7}}, {"id": "never", "encrypt": "age1nobody"},
        objectives={"files": {"rto": "1h", "rpo": "26h"}, "system": {"rto": "4h"}}, title="<b>Shop</b>",
    )  # fmt: skip
    for days in range(5, 0, -1):
        made.take(NOW - timedelta(days=days))
    made.prove(made.taken[-1])
    made.hold(made.taken[0])
    setting = open_setting(made.system)
    rows = [drilled(30, 900.0), drilled(20, None, good=False, problem="<script>alert(1)</script>"), drilled(1, 1200.0)]
    drills.note(setting.store, rows)
    yield made, setting
    setting.close()


@pytest.fixture
def found(kept: tuple[Shelf, Setting]) -> Report:
    made, setting = kept
    return report(setting, made.system, NOW)


def test_it_says_what_is_proven_and_names_what_is_not(found: Report) -> None:
    assert summary(found) == "3 promises: 2 proven, 1 unproven."
    assert "system: the RTO is unproven, it was never drilled" in found.unproven
    assert "backup never of files: none was ever taken" in found.unproven
    assert not any("nightly" in one for one in found.unproven)
    assert [one.hold.reason for one in found.holds] == ["the audit of 2025"]


def test_the_page_loads_nothing_escapes_all_and_draws_a_line_against_the_promise(found: Report) -> None:
    page = as_html(found)
    assert "<script" not in page
    assert "<b>Shop" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert not re.search(r"""(?:src|href)=["'](?!#)""", page)
    assert page.count('<svg class="trend"') == 2
    assert 'aria-label="RTO of 3 drills against the promise of 01:00:00: 00:15:00 to 00:20:00, 1 failed"' in page
    assert "@media print" in page
    for shown in ("run-1", "RTO promised: 01:00:00", "7 daily", "the audit of 2025", "no forecast yet", "daily 1 of 7"):
        assert shown in page, shown


def test_text_and_json_tell_the_same(found: Report) -> None:
    console = Console(width=80, record=True, file=open(os.devnull, "w"), highlight=False)  # noqa: SIM115
    print_report(console, found)
    text = console.export_text()
    assert "files RTO   01:00:00  00:20:00  2026-03-19 12:00  ▃×▃    proven" in text, text
    assert "the audit of 2025" in text
    told = json.loads(_as_json(found))
    assert [one["standing"] for one in told["promises"]] == ["proven", "unproven"]
    assert told["unproven"] == list(found.unproven)
    assert told["backups"][0]["stores"][0]["backups"][0]["proven"] is True


@pytest.mark.parametrize(
    ("points", "target", "shows"),
    [
        (((1.0, 5.0), (2.0, 6.0)), 7200.0, ["(logarithmic)", "polyline"]),
        (((1.0, 4000.0), (2.0, 9000.0)), 7200.0, ['class="over"']),
        (((1.0, None),), 10.0, ['class="failed"']),
        ((), 10.0, ["<svg"]),
    ],
)
def test_a_trend_is_drawn_whatever_was_measured(
    points: tuple[tuple[float, float | None], ...], target: float, shows: list[str]
) -> None:
    picture = drawn(Trend("<what>", points, target, "promised", ("a", "b"), "new"))
    assert all(one in picture for one in shows), picture
    assert "<what>" not in picture
    places = [float(one) for one in re.findall(r'c?y="([\d.-]+)"', picture)]
    assert all(0 <= place <= 130 for place in places)
