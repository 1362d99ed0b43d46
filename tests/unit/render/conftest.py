"""A book with everything that a manual shows."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from opsbook.book.catalogue import Risk
from opsbook.book.load import load_book
from opsbook.book.system import System, in_environment
from opsbook.catalogue import catalogue
from opsbook.manual.render.facts import Facts, LastRun, Measurement, ParameterFact, ProcedureFact, StepFact

BOOK: dict[str, Any] = {
    "opsbook": 1,
    "system": "shop",
    "title": "The Shop",
    "timezone": "Europe/Berlin",
    "default_environment": "production",
    "environments": {"production": {"policy": "strict"}, "test": {"policy": "open", "disposable": True}},
    "components": {
        "api": {"kind": "http", "url": "${API_URL}", "headers": {"Authorization": "Bearer hush"}, "workload": "api",
                "replicas": 2, "depends_on": ["database"]},
        "database": {"kind": "postgres", "dsn": "postgresql://app:hush@db/shop"},
    },
    "checks": [
        {"id": "api-up", "title": "API | health", "observe": "http.up", "of": "api", "procedure": "retention"},
        {"id": "lag", "observe": "postgres.replication_lag", "of": "database", "warning": "< 1s", "for": "5m"},
    ],
    "objectives": {"database": {"rto": "2h", "rpo": "1h", "drill": "0 5 * * 0"}},
    "backups": [{"id": "nightly", "of": "database", "schedule": "0 3 * * *", "keep": {"daily": 7}, "to": "${BACKUPS}"}],
    "retention": [{"of": "database", "table": "logs", "column": "at", "keep": "90d"}],
    "severities": {"P1": {"means": "down", "respond": "0s", "resolve": "2h"}},
    "escalation": [{"level": "L1", "notify": "ann"}, {"level": "L2", "notify": "ann", "within": "30m"}],
    "contacts": {"ann": {"name": "Ann", "email": "ann@example.com"}},
    "channels": {"chat": "https://chat.example.com/hook/hush"},
    "windows": [{"id": "weekly", "rrule": "FREQ=WEEKLY;BYDAY=SU;BYHOUR=2", "lasts": "2h", "notice": "7d"}],
    "checklists": {"daily": {"title": "Daily work", "every": "0 8 * * *",
                             "items": ["Read the logs", {"text": "API is up", "check": "api-up"}]}},
}  # fmt: skip

PROCEDURE = """---
title: Retention
risk: destructive
params: {days: {type: int, example: 3}}
---
Deletes what is <old>. See [the other](other.md).

## Do

1. Delete.

   ```sql id=delete on=database write
   DELETE FROM logs WHERE at < now() - make_interval(days => {{ days }})
   ```

2. - [ ] The owner knows.
"""


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> System:
    path = tmp_path_factory.mktemp("shop") / "book.yaml"
    path.write_text(yaml.safe_dump(BOOK, sort_keys=False))
    return in_environment(load_book(Path(path), catalogue()))


@pytest.fixture
def facts() -> Facts:
    at = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    one = ProcedureFact(
        "retention", "Retention", Risk.DESTRUCTIVE, PROCEDURE,
        (StepFact(1, 12, "sql", Risk.DESTRUCTIVE, "Delete", ("on database",)), StepFact(2, 16, "person", Risk.READ)),
        (ParameterFact("days", "int", True, None, "3", (), "age"),),
        last_run=LastRun(at, "failed", False, "production"), last_rehearsal=LastRun(at, "works", True, "test"),
        rehearsed_as_is=False,
    )  # fmt: skip
    other = ProcedureFact("other", "Other", Risk.READ, "---\ntitle: Other\n---\n## Do\n\nNothing.\n", ())
    measured = {"database.rto": Measurement(3600.0, at, "drill 7"), "database.rpo": Measurement(7200.0, at)}
    return Facts((one, other), measured, now=at, revision="abcdef" * 10)
