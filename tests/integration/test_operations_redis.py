"""Operations of Redis against a real server: what goes, what stays, what is refused."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from opsbook.connectors.change import Change, ChangeFailed
from opsbook.connectors.executors.secrets import NotReached
from opsbook.errors import Refused
from tests.integration.hands import Hands, hands_on
from tests.integration.servers import RedisServer, free_port, make_system, new_redis, own_folder, until

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with new_redis("--enable-debug-command", "local", "--enable-protected-configs", "local") as one:
        yield one


@pytest.fixture
async def hands(server: RedisServer, tmp_path: Path) -> AsyncIterator[Hands]:
    with server.client() as client:
        client.flushall()
    async with hands_on(tmp_path, components(server)) as one:
        yield one


def components(server: RedisServer) -> dict[str, dict[str, Any]]:
    return {
        "cache": {"kind": "redis", "url": server.url.replace("/0", "/1")},
        "broker": {"kind": "redis", "url": server.url},
        "alias": {"kind": "redis", "url": f"redis://127.0.0.1:{server.port}"},
        "worker": {"kind": "celery", "broker": "broker", "results": "cache", "queues": ["celery", "harvest"]},
    }


class TestFlush:
    async def test_it_empties_one_database(self, hands: Hands, server: RedisServer) -> None:
        with server.client() as broker, server.client(1) as cache:
            broker.set("stays", 1)
            cache.set("goes", 1)
            change = await hands.only("redis.flush", of="cache")
            assert change.evidence == {"keys": 1, "also loses the task results of": ["worker"]}
            assert cache.dbsize() == 1, "planning changes nothing"
            await hands.apply(change)
            assert (cache.dbsize(), broker.dbsize()) == (0, 1)

    @pytest.mark.parametrize("component", ["broker", "alias"])
    async def test_it_refuses_the_broker_by_whatever_name(self, hands: Hands, component: str) -> None:
        with pytest.raises(Refused, match=f"{component} is the broker of worker.*waiting tasks"):
            await hands.plan("redis.flush", of=component)

    @pytest.mark.parametrize("key", ["celery", "unacked", "_kombu.binding.reports"])
    async def test_it_refuses_a_database_that_holds_a_queue(self, hands: Hands, server: RedisServer, key: str) -> None:
        with server.client(1) as cache:
            planned = await hands.only("redis.flush", of="cache")
            cache.mset({f"filler:{n}": n for n in range(20_000)})
            cache.hset(key, "x", "1")
            with pytest.raises(Refused, match=f"holds Celery keys .{key}"):
                await hands.plan("redis.flush", of="cache")
            with pytest.raises(Refused, match="holds a Celery queue"):
                await hands.apply(planned)
            assert cache.exists(key)


class TestUnlink:
    async def test_it_removes_what_matches_and_nothing_else(self, hands: Hands, server: RedisServer) -> None:
        with server.client(1) as cache:
            cache.mset({f"api:{n}": n for n in range(5000)} | {f"session:{n}": n for n in range(500)})
            change = await hands.only("redis.unlink", of="cache", pattern="api:*")
            assert change.evidence == {"keys": 5000.0}
            assert await hands.apply(change) == {"unlinked": 5000}
            assert cache.dbsize() == 500
            assert await hands.apply(change) == {"unlinked": 0}

    async def test_it_keeps_to_its_rate_and_goes_on_from_its_cursor(self, hands: Hands, server: RedisServer) -> None:
        with server.client(1) as cache:
            cache.mset({f"api:{n}": n for n in range(5000)})
            change = await hands.only("redis.unlink", of="cache", pattern="api:*", a_second=2000)
            clock = asyncio.get_running_loop().time
            started = clock()
            assert (await hands.apply(change))["unlinked"] == 5000
            assert clock() - started > 1.0
            assert hands.slices > 1

    async def test_it_stops_at_the_ceiling(self, hands: Hands, server: RedisServer) -> None:
        with server.client(1) as cache:
            cache.mset({f"api:{n}": n for n in range(5000)})
            change = await hands.only("redis.unlink", of="cache", pattern="api:*", most=2500)
            with pytest.raises(Refused, match="more than 2,500 keys"):
                await hands.apply(change)
            assert cache.dbsize() >= 2500

    @pytest.mark.parametrize("pattern", ["*", "**", "?*"])
    async def test_it_refuses_to_mean_everything(self, hands: Hands, pattern: str) -> None:
        with pytest.raises(Refused if len(pattern) > 1 else ValueError):
            await hands.plan("redis.unlink", of="cache", pattern=pattern)

    @pytest.mark.parametrize("pattern", ["cel*", "[c]elery", "*est", "un?cked", "c\\elery"])
    async def test_it_refuses_a_pattern_that_meets_a_queue_that_is_empty_now(self, hands: Hands, pattern: str) -> None:
        with pytest.raises(Refused, match="meets the Celery key"):
            await hands.plan("redis.unlink", of="broker", pattern=pattern)

    async def test_a_queue_that_comes_later_stays(self, hands: Hands, server: RedisServer) -> None:
        with server.client(1) as cache:
            change = await hands.only("redis.unlink", of="cache", pattern="c*")
            cache.mset({"celery": 1, "cache:1": 1})
            assert await hands.apply(change) == {"unlinked": 1}
            assert cache.keys() == ["celery"]

    async def test_names_that_are_no_text_go_too(self, hands: Hands, server: RedisServer) -> None:
        with server.client(1) as cache:
            cache.set(b"api:\xff\xfe", 1)
            assert await hands.do("redis.unlink", of="cache", pattern="api:*") == {"unlinked": 1}


async def test_it_frees_what_has_expired(hands: Hands, server: RedisServer) -> None:
    with server.client(1) as cache:
        cache.execute_command("DEBUG", "SET-ACTIVE-EXPIRE", "0")
        try:
            pipeline = cache.pipeline()
            for n in range(3000):
                pipeline.set(f"short:{n}", n, px=1)
            pipeline.set("long", 1, ex=1000).set("for ever", 1).execute()
            await asyncio.sleep(0.05)
            assert cache.dbsize() == 3002, "nobody has asked for them"
            change = await hands.only("redis.delete_expired", of="cache")
            assert change.evidence["keys"] == 3002
            assert (await hands.apply(change))["expired"] == 3000
            assert sorted(cache.keys()) == ["for ever", "long"]
        finally:
            cache.execute_command("DEBUG", "SET-ACTIVE-EXPIRE", "1")


async def test_it_saves_and_waits(hands: Hands, server: RedisServer) -> None:
    with server.client() as client:
        client.set("x", 1)
        before = client.info("persistence")["rdb_saves"]
        client.config_set("rdb-key-save-delay", 50_000)
        client.bgsave()
        result = await hands.do("redis.save", of="broker")
        info = client.info("persistence")
        client.config_set("rdb-key-save-delay", 0)
        assert info["rdb_saves"] == before + 2, "the one that ran already was too old"
        assert (server.folder / "dump.rdb").exists()
        assert result["seconds"] >= 0.05


async def test_a_save_that_fails_is_a_failure(hands: Hands, server: RedisServer) -> None:
    with server.client() as client:
        (server.folder / "hollow").mkdir(exist_ok=True)
        client.config_set("dir", str(server.folder / "hollow"))
        (server.folder / "hollow").rmdir()
        try:
            with pytest.raises(ChangeFailed, match="background save failed"):
                await hands.do("redis.save", of="broker", within=10)
        finally:
            client.config_set("dir", str(server.folder))


async def test_it_gives_memory_back(hands: Hands) -> None:
    assert (await hands.do("redis.memory_purge", of="cache"))["answer"] in (True, "OK")


class TestSettings:
    async def test_it_sets_keeps_reads_back_and_undoes(self, tmp_path: Path) -> None:
        with own_folder("redis") as folder:
            file = folder / "redis.conf"
            file.write_text("maxmemory 100mb\n")
            server = RedisServer(folder)
            try:
                _start(server, file)
                async with hands_on(tmp_path, {"cache": {"kind": "redis", "url": server.url}}) as hands:
                    change = await hands.only("redis.setting", of="cache", name="maxmemory", value="64mb")
                    assert await hands.apply(change) == {"now": str(64 * 2**20), "kept": True}
                    assert "maxmemory 64mb" in file.read_text()
                    await hands.undo(change)
                    assert "maxmemory 100mb" in file.read_text()
                    with server.client() as client:
                        assert client.config_get("maxmemory")["maxmemory"] == str(100 * 2**20)
            finally:
                server.stop()

    async def test_it_refuses_what_is_secret_unknown_or_wrong(self, hands: Hands) -> None:
        with pytest.raises(Refused, match="is a secret"):
            await hands.plan("redis.setting", of="cache", name="requirepass", value="x")
        with pytest.raises(Refused, match="no setting 'maxmemry'"):
            await hands.plan("redis.setting", of="cache", name="maxmemry", value="1")
        with pytest.raises(ChangeFailed, match="maxmemory"):
            await hands.do("redis.setting", of="cache", name="maxmemory", value="plenty")


def _start(server: RedisServer, file: Path) -> None:
    arguments = [str(file), "--port", str(server.port), "--bind", "127.0.0.1", "--save", ""]
    server.process = subprocess.Popen([server.program, *arguments], stdout=subprocess.DEVNULL, cwd=file.parent)
    until(lambda: _answers(server), what="Redis answers")


def _answers(server: RedisServer) -> bool:
    try:
        with server.client() as client:
            return bool(client.ping())
    except redis.ConnectionError:
        return False


async def test_a_server_that_is_gone_is_a_certain_failure(tmp_path: Path) -> None:
    gone = {"cache": {"kind": "redis", "url": f"redis://127.0.0.1:{free_port()}/0"}}
    async with hands_on(tmp_path, gone) as hands:
        change = Change("redis", {"component": "cache", "command": ["FLUSHDB"]})
        with pytest.raises(NotReached, match="is the server of"):
            await hands.apply(change)


async def test_another_database_than_the_planned_one_is_not_emptied(server: RedisServer, tmp_path: Path) -> None:
    async with hands_on(tmp_path, components(server)) as hands:
        change = Change("redis", {"component": "cache", "command": ["FLUSHDB"], "database": 9})
        with pytest.raises(Refused, match="another one was planned for"):
            await hands.apply(change)


PROCEDURE = """\
---
title: Clear the cache
risk: destructive
params: {of: {type: text, default: cache}}
---
1. Empty it.
   ```op
   redis.flush: {of: "{{ of }}"}
   ```
"""


def test_a_run_that_would_clear_the_broker_is_refused_with_the_reason(server: RedisServer, tmp_path: Path) -> None:
    system = make_system(tmp_path, components(server))
    (system.folder / "procedures").mkdir()
    (system.folder / "procedures" / "clear-cache.md").write_text(PROCEDURE)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OPSBOOK")}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "opsbook", "run", "clear-cache", *words, "--yes"]
        return subprocess.run(command, cwd=system.folder, env=environment, capture_output=True, text=True, timeout=60)

    with server.client() as broker, server.client(1) as cache:
        broker.flushall()
        broker.lpush("celery", "a task")
        cache.set("answer", 42)
        refused = run("of=broker")
        assert refused.returncode == 4, refused.stderr
        assert "broker is the broker of worker: flushing it would lose their waiting tasks" in refused.stderr
        assert run().returncode == 0
        assert (broker.llen("celery"), cache.dbsize()) == (1, 0)
        broker.flushall()
