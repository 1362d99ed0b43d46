"""Whether a job is late, failed or too slow, from what it said."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from opsbook.book.planned import Job
from opsbook.store import beats
from opsbook.store.beats import Beat
from opsbook.store.database import writing
from opsbook.watch.beats import record_beat
from opsbook.watch.lateness import judge

NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
WHERE = {"system": "shop", "environment": "production"}


def job(**keys: Any) -> Job:
    return Job.model_validate({"id": "import", "schedule": "0 6 * * *", "grace": "15m", **keys})


def told(*words: tuple[str, float], code: int | None = None) -> list[Beat]:
    """Kind and hours before now, the newest first."""
    count = len(words)
    return [
        Beat("import", count - n, (NOW - timedelta(hours=hours)).timestamp(), kind, "", "line\nboom", code)
        for n, (kind, hours) in enumerate(words)
    ]


@pytest.mark.parametrize(
    ("words", "keys", "state", "said"),
    [
        ([("success", 5.9)], {}, "ok", "it was done"),
        ([("success", 30)], {}, "critical", "due at 2026-01-05 06:00 UTC and did not come; it was last heard of"),
        ([], {}, "critical", "it was never heard of"),
        ([], {"schedule": "0 11 * * *", "grace": "2h"}, "critical", "2026-01-04 11:00"),
        ([("failure", 5.5)], {}, "critical", "it failed with exit code 3 at 2026-01-05 06:30 UTC: boom"),
        ([("start", 5.9), ("success", 30)], {"longest": "1h"}, "critical", "it has run for"),
        ([("start", 5.9), ("success", 30)], {"longest": "8h"}, "ok", "it runs"),
        ([("success", 5.5), ("failure", 5.8)], {}, "ok", "it was done"),
        ([("success", 6.005)], {}, "ok", "it was done"),
        ([("log", 1)], {"schedule": None}, "ok", "nothing is due"),
    ],
)
def test_a_job_is_judged_by_its_schedule_and_its_words(
    words: list[tuple[str, float]], keys: dict[str, Any], state: str, said: str
) -> None:
    found = judge(job(**keys), told(*words, code=3), NOW - timedelta(days=9), "UTC", NOW)
    assert found[0] == state
    assert said in found[1]


def test_nothing_was_expected_before_anybody_watched() -> None:
    assert judge(job(), [], NOW - timedelta(hours=1), "UTC", NOW)[0] == "ok"


def test_a_beat_is_numbered_timed_and_a_bad_exit_code_is_a_failure(store: Engine) -> None:
    with writing(store) as connection:
        record_beat(connection, WHERE, "import", "start", None, "", NOW)
        record_beat(connection, WHERE, "import", "log", None, "half way", NOW + timedelta(minutes=1))
        done = record_beat(connection, WHERE, "import", "success", 2, "x" * 200_000, NOW + timedelta(minutes=3))
        assert (done.kind, done.number, done.seconds, len(done.log)) == ("failure", 3, 180.0, 100_000)
        assert [one.kind for one in beats.latest(connection, WHERE, "import")] == ["failure", "log", "start"]
        assert beats.latest(connection, {**WHERE, "environment": "test"}, "import") == []
