"""The API over a store on PostgreSQL: every route reads it, and what PostgreSQL cannot keep never reaches it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from opsbook.api.pings import ping_id
from opsbook.store import beats, history
from opsbook.store.beats import Beat
from opsbook.store.database import open_store, reading, writing
from opsbook.store.history import Point, record
from opsbook.watch.links import link_key
from tests.integration.servers import Postgres
from tests.unit.api.conftest import Doors
from tests.unit.api.conftest import open_doors as open_doors
from tests.unit.api.test_routes import path_of, routes
from tests.unit.api.test_watch_routes import WATCHED
from tests.unit.conftest import migrated as migrated

AS_JSON = {"Content-Type": "application/json"}


async def test_every_route_answers_over_postgres(open_doors: Callable[..., Doors], postgres_server: Postgres) -> None:
    postgres_server.sql("DROP DATABASE IF EXISTS api", "CREATE DATABASE api", database="postgres")
    doors = open_doors(WATCHED, store=postgres_server.url(database="api"))
    assert not doors.setting.embedded
    client, now = doors.client(), doors.setting.now()
    points = [Point("api-up", now - age, "ok" if age else "critical", 1.0, "said") for age in (120, 60, 0)]
    record(doors.setting.store, "kiln", "production", [*points, Point("other", now, "ok", None, "")], 1e6)
    with reading(doors.setting.store) as connection:
        found = history.newest_of(connection, "kiln", "production", ["api-up", "none"])
        assert [id for id, _ in history.after(connection, "kiln", "production", 0, 10)] == [1, 2, 3, 4]
    assert {id: point.state for id, point in found.items()} == {"api-up": "critical"}
    run = (await client.post("/api/v1/runs", json={"procedure": "careful"})).json()["id"]
    assert (await client.post("/api/v1/incidents", json={"title": "down"})).status_code == 201
    job = ping_id(link_key(doors.setting.folder), "kiln", "production", "nightly")
    assert (await doors.bearing("").post(f"/ping/{job}", content=b"\x00\xff")).status_code == 200
    for route, method, _ in routes(doors.app):
        if method == "GET" and not route.path.endswith("/events"):
            for path in (path_of(route), route.path.replace("{run}", run).replace("{id}", "api-up")):
                answer = await client.get(path)
                assert answer.status_code in (200, 400, 404, 422, 502), f"{path}: {answer.text[:300]}"
    for path in ("audit", "actions", f"runs/{run}/log", "runs", "alerts", "windows"):
        for cursor in ("WzExNTI5MjE1MDQ2MDY4NDY5NzZd", "WzEuMCwgImFcdTAwMDAiXQ"):
            refused = await client.get(f"/api/v1/{path}", params={"cursor": cursor})
            assert refused.status_code == 400, f"{path} {cursor}: {refused.text}"
    for text in (r"a\u0000b", r"\ud800"):
        refused = await client.post("/api/v1/runs", content=f'{{"procedure": "{text}"}}', headers=AS_JSON)
        assert refused.status_code == 422, refused.text


def test_words_of_a_job_that_come_to_several_processes_at_once_are_all_kept(postgres_server: Postgres) -> None:
    postgres_server.sql("DROP DATABASE IF EXISTS beats WITH (FORCE)", "CREATE DATABASE beats", database="postgres")
    store = open_store(postgres_server.url(database="beats").replace("postgresql://", "postgresql+psycopg://"))
    where = {"system": "kiln", "environment": "production"}

    def say(number: int) -> None:
        with writing(store) as connection:
            beats.add(connection, where, Beat("nightly", 0, float(number), "log", "", ""))

    with ThreadPoolExecutor(5) as pool:
        list(pool.map(say, range(40)))
    with reading(store) as connection:
        kept = beats.latest(connection, where, "nightly", 100)
    store.dispose()
    assert [one.number for one in kept] == list(range(40, 0, -1))
    assert {one.at for one in kept} == set(map(float, range(40)))
