"""Windows, silences, checklists, status, status page and reports on a store that is PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from opsbook.store import checklists as opened
from opsbook.store import history, rollups, silences
from opsbook.store import windows as rows
from opsbook.store.database import open_store
from opsbook.watch import checklists
from opsbook.watch.checklists import Checklists
from opsbook.watch.reports.facts import gather
from opsbook.watch.reports.pages import as_html
from opsbook.watch.reports.spans import span_of
from opsbook.watch.silences import Silences, here
from opsbook.watch.status import status
from opsbook.watch.status_page import page
from opsbook.watch.window_acts import Wanted, open_now
from opsbook.watch.windows import Windows
from tests.integration.servers import Postgres
from tests.unit.watch.planned_work import ANN, NOW, acts, move, read, watch_of, write
from tests.unit.watch.test_windows import SUNDAY, WEEKLY

pytestmark = pytest.mark.real
HOUR = timedelta(hours=1)
KEYS = {
    "windows": [{**WEEKLY, "checklist": "upkeep"}],
    "silences": [{"id": "known", "checks": ["db-up"], "until": "2026-11-30", "reason": "is replaced"}],
    "checklists": {"upkeep": {"items": ["Logs were rotated", {"text": "Well", "check": "api-up"}]}},
    "slos": [{"id": "api", "check": "api-up", "target": "99%"}],
    "status_page": {"components": {"api": "Ordering"}, "history": "5d"},
}


@pytest.fixture
def store(postgres_server: Postgres) -> Iterator[Engine]:
    postgres_server.sql("CREATE DATABASE planned")
    engine = open_store(postgres_server.url(database="planned").replace("postgresql://", "postgresql+psycopg://"))
    try:
        yield engine
    finally:
        engine.dispose()
        postgres_server.sql("DROP DATABASE planned WITH (FORCE)")


async def test_planned_work_is_the_same_on_postgresql(store: Engine, tmp_path: Path) -> None:
    watch = watch_of(tmp_path, store, NOW, **KEYS)
    where = here(watch.system)
    points = [history.Point("api-up", (NOW - n * HOUR / 4).timestamp(), "ok", 1.0, "") for n in range(40)]
    write(watch, lambda connection: history.add(connection, "shop", "test", points))
    first, last = (NOW - 24 * HOUR).timestamp(), NOW.timestamp() + 1
    write(watch, lambda connection: rollups.roll_up(connection, where, first, last))
    write(watch, lambda connection: rollups.roll_up_hours(connection, where, first, last))
    for moment in (NOW, SUNDAY):
        for part in (Windows(watch), Silences(watch), Checklists(watch)):
            await part.tick(move(watch, moment))
    covering = read(watch, lambda connection: silences.covering_many(connection, where, SUNDAY.timestamp()))
    assert covering.of("db-up", "db") != covering.of("api-up", "api") != ""
    write(watch, lambda connection: checklists.tick(connection, watch.system, ANN, "upkeep", 1, "", SUNDAY + HOUR))
    point = history.Point("api-up", (SUNDAY + HOUR).timestamp(), "ok", 1.0, "")
    write(watch, lambda connection: history.add(connection, "shop", "test", [point]))
    await Checklists(watch).tick(move(watch, SUNDAY + HOUR))
    assert read(watch, lambda connection: opened.not_done(connection, where)) == []
    await Windows(watch).tick(move(watch, SUNDAY + HOUR))
    assert [row.state for row in read(watch, lambda connection: rows.came(connection, where, since=0.0))] == ["closed"]
    wanted = Wanted("hotfix", HOUR, "patch", ("api",))
    write(watch, lambda connection: open_now(connection, watch.system, ANN, wanted, SUNDAY + HOUR))
    found = status(watch.setting, watch.system)
    assert [one.window for one in found.windows] == ["hotfix", "weekly"]
    assert page(watch.setting, watch.system, SUNDAY + HOUR).health == "maintenance"
    facts = gather(watch.setting, watch.system, "monthly", span_of("monthly", SUNDAY + 2 * HOUR, "Europe/Berlin"))
    assert (facts.kept[0].share.ok, len(facts.windows)) == (1.0, 2)
    assert "Weekly upkeep" in as_html(facts)
    assert acts(watch).count("checklist done") == 1
