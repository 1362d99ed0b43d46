"""What is changed goes away in the middle of it, or the engine does: said as it is, never done twice, never stuck."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from opsbook.engine.states import RunState
from opsbook.engine.views import View
from tests.faults.deadly import engine
from tests.faults.warm import Warm
from tests.faults.world import World, until
from tests.integration.servers import Postgres, new_postgres, new_redis
from tests.integration.test_celery_observations import worker
from tests.integration.web import reset, serving

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]
SECONDS = 120.0


def world_with(folder: Path, procedure: str, **components: dict[str, Any]) -> World:
    """A book with these components and one procedure, named `work`."""
    book = {
        "opsbook": 1,
        "system": "kiln",
        "environments": {"test": {"policy": "open", "disposable": True}},
        "components": components,
    }
    (folder / "procedures").mkdir()
    (folder / "procedures" / "work.md").write_text(procedure)
    (folder / "book.yaml").write_text(yaml.safe_dump(book))
    return World(folder)


async def run_with(world: World, begun: Callable[[], bool], go_away: Callable[[], None]) -> View:
    """See the procedure through; what it works on goes away when it has begun."""
    run = await world.submit(world.service().procedure("work"))
    seen = asyncio.ensure_future(world.see(run.id, seconds=SECONDS))
    while not await asyncio.to_thread(begun):
        assert not seen.done(), (await seen).run.message
        await asyncio.sleep(0.02)
    await asyncio.to_thread(go_away)
    return await seen


def postgres(server: Postgres) -> dict[str, Any]:
    return {"kind": "postgres", "dsn": server.monitor, "admin": server.url(database="app")}


def busy(server: Postgres) -> bool:
    asked = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(100)%' AND pid <> pg_backend_pid()"
    return bool(server.sql(asked)[0][0])


WRITE = """---
title: Write
risk: destructive
---
1. Write a row, slowly.
   ```sql on=database write timeout=2m
   INSERT INTO jobs (state) VALUES ('late') RETURNING (SELECT 'x' FROM pg_sleep(100))
   ```
"""
LATE = "SELECT count(*) FROM jobs WHERE state = 'late'"


async def test_a_database_that_dies_in_a_statement_is_said_and_nothing_of_it_stays(tmp_path: Path) -> None:
    with new_postgres() as server:
        world = world_with(tmp_path, WRITE, database=postgres(server))
        view = await run_with(world, lambda: busy(server), lambda: server.stop("immediate"))
        # The statement had not ended, so that its transaction cannot have.
        assert view.state in (RunState.FAILED, RunState.AMBIGUOUS) and view.run.message
        server.start()
        assert server.sql(LATE) == [(0,)]
        world.close()


async def test_a_statement_whose_engine_is_killed_is_ended_and_is_not_made_again(tmp_path: Path) -> None:
    with new_postgres() as server:
        world = world_with(tmp_path, WRITE, database=postgres(server))
        run = await world.submit(world.service().procedure("work"))
        process = Warm(engine, tmp_path / "book.yaml", "", run.id, (), tmp_path, log=tmp_path / "log")
        await asyncio.to_thread(lambda: _until(lambda: busy(server)))
        process.kill()
        view = await world.see(run.id, seconds=SECONDS)
        assert view.state is RunState.AMBIGUOUS and view.run.message
        assert not busy(server), "its session still runs"
        assert server.sql(LATE) == [(0,)]
        world.close()


def _until(holds: Callable[[], bool]) -> None:
    asyncio.run(until(holds, 60))


UNLINK = """---
title: Unlink
risk: destructive
---
1. Remove keys, slowly.
   ```op
   redis.unlink: {of: cache, pattern: "api:*", a_second: 1000}
   ```
"""


async def test_a_cache_that_dies_between_two_batches_is_said(tmp_path: Path) -> None:
    with new_redis() as server:
        with server.client() as client:
            client.mset({f"api:{n}": n for n in range(20_000)})
            world = world_with(tmp_path, UNLINK, cache={"kind": "redis", "url": server.url})
            view = await run_with(world, lambda: client.dbsize() < 19_000, server.stop)
        assert view.state in (RunState.FAILED, RunState.AMBIGUOUS) and view.run.message
        world.close()


CALL = """---
title: Call
risk: disruptive
---
1. Call a task and follow it.
   ```op
   celery.call: {of: worker, task: tiny.sleep, args: [60]}
   ```
"""


async def test_a_broker_that_dies_while_a_task_is_followed_is_said_and_the_task_is_called_once(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    with new_redis() as server, worker(tmp_path / "app", server):
        components = {"broker": {"kind": "redis", "url": server.url}, "worker": {"kind": "celery", "broker": "broker"}}
        world = world_with(tmp_path, CALL, **components)
        log = tmp_path / "app" / "log"
        view = await run_with(world, lambda: b"tiny.sleep" in log.read_bytes().partition(b"ready")[2], server.stop)
        # The task goes on, and nobody can ask for it: neither done nor certain not to have happened.
        assert view.state is RunState.AMBIGUOUS and "broker: Connection" in view.run.message
        server.start()
        assert (await world.see(view.run.id)).state is RunState.AMBIGUOUS, "it waits for a person"
        assert log.read_bytes().count(b"Task tiny.sleep") == 1
        world.close()


REQUEST = """---
title: Ask
risk: destructive
---
1. Ask for a change.
   ```op
   http.request: {of: api, path: /change, json: {a: 1}}
   ```
"""


async def test_a_server_that_goes_away_before_it_answers_leaves_a_change_unknown_and_is_asked_once(
    tmp_path: Path,
) -> None:
    with serving({"/change": reset}) as server:
        api = {"kind": "http", "url": f"http://127.0.0.1:{server.port}"}
        world = world_with(tmp_path, REQUEST, api=api)
        view = await world.run(world.service().procedure("work"))
        assert view.state is RunState.AMBIGUOUS and view.run.message
        again = await world.see(view.run.id)
        assert again.state is RunState.AMBIGUOUS
        assert sum("POST /change" in head for head in server.heads) == 1
        world.close()
