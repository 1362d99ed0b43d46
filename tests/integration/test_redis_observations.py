"""Redis observations against a real server."""

from __future__ import annotations

import json
import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis

from opsbook.connectors.contract import Failure, Reading
from opsbook.connectors.registry import open_connections
from opsbook.observations.registry import observations
from tests.integration.servers import RedisServer, ask, make_system, new_redis, silent_server, until

pytestmark = pytest.mark.real

REQUIRED: dict[str, dict[str, Any]] = {
    "redis.keys": {"pattern": "*"},
    "redis.length": {"key": "a-list"},
    "redis.value": {"key": "a-number"},
    "redis.age": {"key": "a-time"},
}


async def read(
    folder: Path, server: RedisServer | str, *facts: str | tuple[str, dict[str, Any]], within: float = 10.0
) -> list[Reading]:
    url = server if isinstance(server, str) else server.url
    async with open_connections(make_system(folder, {"cache": {"kind": "redis", "url": url}})) as connections:
        return await ask(connections, "cache", *facts, within=within)


async def one(folder: Path, server: RedisServer | str, name: str, within: float = 10.0, **parameters: Any) -> Reading:
    (reading,) = await read(folder, server, (name, parameters), within=within)
    return reading


async def test_every_observation_has_a_value_or_says_why_not(redis_server: RedisServer, tmp_path: Path) -> None:
    with redis_server.client() as client:
        client.rpush("a-list", 1, 2)
        client.set("a-number", "12.5")
        client.set("a-time", time.time())
        client.get("a-number")
    names = [name for name, found in observations().items() if found.spec.kinds == ("redis",)]
    readings = await read(tmp_path, redis_server, *((name, REQUIRED.get(name, {})) for name in names))
    found = dict(zip(names, readings, strict=True))
    without = {name: reading.message for name, reading in found.items() if reading.value is None}
    assert without == {"redis.replication_lag": "no replica is connected to cache"}
    assert found["redis.value"].value == 12.5
    assert "answers" in found["redis.up"].message
    json.dumps([reading.detail for reading in readings])


async def test_all_facts_share_one_connection_and_one_info(redis_server: RedisServer, tmp_path: Path) -> None:
    names = [
        "redis.memory",
        "redis.clients",
        "redis.hit_rate",
        "redis.evictions",
        "redis.response_time",
        "redis.slowlog",
    ]
    system = make_system(tmp_path, {"cache": {"kind": "redis", "url": redis_server.url}})
    with redis_server.client() as client:
        before = client.info("commandstats").get("cmdstat_info", {}).get("calls", 0)
        async with open_connections(system) as connections:
            await ask(connections, "cache", *names)
            ours = [one for one in client.client_list() if one["name"] == "opsbook"]
        after = client.info("commandstats")["cmdstat_info"]["calls"]
    assert len(ours) == 1
    assert after - before == 2  # one of them is this test's own


async def test_memory_is_held_against_its_limit(tmp_path: Path) -> None:
    with new_redis("--maxmemory", "2mb", "--maxmemory-policy", "allkeys-lru") as server:
        with server.client() as client:
            for n in range(40):
                client.set(f"big:{n}", "x" * 100_000)
        ratio, evictions, kept = await read(
            tmp_path, server, "redis.memory_ratio", "redis.evictions", ("redis.keys", {"pattern": "big:*"})
        )
    assert 0.5 < float(ratio.value or 0) < 1.5
    assert "of 2.1 MB, then allkeys-lru" in ratio.message
    assert float(evictions.value or 0) > 0
    assert kept.value == 40 - float(evictions.value or 0)


async def test_without_a_limit_its_ratio_is_unknown_and_not_zero(tmp_path: Path) -> None:
    with new_redis() as server:
        reading = await one(tmp_path, server, "redis.memory_ratio")
    assert (reading.value, reading.failure) == (None, Failure.FAILED)
    assert reading.message == "cache has no maxmemory: nothing bounds it but the host"


async def test_fragmentation_of_little_data_can_be_left_out(redis_server: RedisServer, tmp_path: Path) -> None:
    raw, bounded = await read(
        tmp_path, redis_server, "redis.fragmentation", ("redis.fragmentation", {"lost_above": "1GB"})
    )
    assert raw.value == raw.detail["ratio"]
    assert float(bounded.value or 0) <= 1


async def test_hit_rate_is_absent_before_the_first_look_up(tmp_path: Path) -> None:
    with new_redis() as server:
        nothing = await one(tmp_path, server, "redis.hit_rate")
        with server.client() as client:
            client.set("here", 1)
            for key in ("here", "here", "here", "gone"):
                client.get(key)
        rate = await one(tmp_path, server, "redis.hit_rate")
    assert (nothing.failure, nothing.message) == (Failure.ABSENT, "no key was looked up yet")
    assert (rate.value, rate.message) == (0.75, "3 hits, 1 misses")


async def test_keys_are_counted_by_pattern_and_never_by_keys(tmp_path: Path) -> None:
    with new_redis() as server:
        with server.client() as client:
            client.mset({f"session:{n}": n for n in range(5000)} | {f"other:{n}": n for n in range(5000)})
        sessions, few, none = await read(
            tmp_path,
            server,
            ("redis.keys", {"pattern": "session:*"}),
            ("redis.keys", {"pattern": "session:*", "at_most": 2000}),
            ("redis.keys", {"pattern": "no[such*"}),
        )
        with server.client() as client:
            commands = client.info("commandstats")
    assert sessions.value == 5000
    assert 0 < float(few.value or 0) < 5000
    assert few.detail["truncated"] is True
    assert few.message == "at least: about 2,000 of 10,000 keys were looked at"
    assert none.value == 0
    assert "cmdstat_keys" not in commands
    assert commands["cmdstat_scan"]["calls"] > 10


async def test_the_slow_log_shows_commands_without_their_data(tmp_path: Path) -> None:
    with new_redis("--slowlog-log-slower-than", "0") as server:
        with server.client() as client:
            client.set("user:1", "a secret of theirs")
        every, slow = await read(
            tmp_path, server, ("redis.slowlog", {"slower_than": "0s"}), ("redis.slowlog", {"slower_than": "10s"})
        )
    assert {"SET user:1 …"} == {row["command"] for row in every.detail if row["command"].startswith("SET")}
    assert "a secret of theirs" not in repr(every)
    assert slow.value == 0


async def test_persistence_that_fails_is_down(tmp_path: Path) -> None:
    with new_redis("--enable-protected-configs", "yes") as server:
        fine, saved = await read(tmp_path, server, "redis.persistence", "redis.last_save")
        with server.client() as client:
            client.config_set("dir", "/proc")
            client.set("a", 1)
            with pytest.raises(redis.RedisError):
                client.save()
            client.bgsave()
            until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err")
        failed, age = await read(tmp_path, server, "redis.persistence", "redis.last_save")
    assert (fine.value, failed.value) == (True, False)
    assert failed.message == "failed: the last snapshot"
    assert 0 <= float(saved.value or 0) < 60
    assert age.detail == {"changes_since": 1}


async def test_replication_is_seen_from_both_sides(tmp_path: Path) -> None:
    with new_redis() as master, new_redis("--replicaof", f"127.0.0.1 {master.port}") as replica:
        with replica.client() as client:
            until(lambda: client.info("replication")["master_link_status"] == "up")
        with master.client() as client:
            until(lambda: client.info("replication").get("slave0", {}).get("state") == "online")
        count, lag = await read(tmp_path, master, "redis.replicas", "redis.replication_lag")
        role, behind = await read(tmp_path, replica, "redis.role", "redis.replication_lag")
        master.stop()
        with replica.client() as client:
            until(lambda: client.info("replication")["master_link_status"] == "down")
        cut = await one(tmp_path, replica, "redis.replication_lag")
    assert (count.value, role.value) == (1, "slave")
    assert float(lag.value or 0) < 11
    assert "up" in behind.message
    assert cut.message == "the link to the master is down"


async def test_a_moment_in_a_key_has_an_age(redis_server: RedisServer, tmp_path: Path) -> None:
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    with redis_server.client() as client:
        client.set("moment:epoch", hour_ago.timestamp())
        client.set("moment:iso", hour_ago.isoformat())
        client.set("moment:naive", hour_ago.replace(tzinfo=None).isoformat())
        client.set("moment:wrong", "yesterday")
    epoch, iso, naive, wrong, gone = await read(
        tmp_path,
        redis_server,
        *(("redis.age", {"key": f"moment:{name}"}) for name in ("epoch", "iso", "naive", "wrong", "gone")),
    )
    assert [one.value for one in (epoch, iso, naive)] == [pytest.approx(3600, abs=10)] * 3
    assert (wrong.failure, gone.failure) == (Failure.FAILED, Failure.ABSENT)


async def test_a_wrong_kind_of_key_is_said_with_the_servers_words(redis_server: RedisServer, tmp_path: Path) -> None:
    with redis_server.client() as client:
        client.rpush("wrong-kind", 1)
    reading = await one(tmp_path, redis_server, "redis.value", key="wrong-kind")
    assert reading.failure is Failure.FAILED
    assert "WRONGTYPE" in reading.message or "wrong kind" in reading.message


async def test_a_wrong_password_is_unreachable_and_never_shown(tmp_path: Path) -> None:
    with new_redis("--requirepass", "right-pa55word") as server:
        url = f"redis://:wrong-pa55word@127.0.0.1:{server.port}/0"
        wrong, shared = await read(tmp_path, url, "redis.up", "redis.memory")
        without = await one(tmp_path, server, "redis.up")
    assert {wrong.failure, shared.failure, without.failure} == {Failure.UNREACHABLE}
    assert wrong.credential and without.credential, "a run waits for another"
    assert "wrong-pa55word" not in repr([wrong, shared])


async def test_a_url_that_cannot_be_read_is_unreachable(tmp_path: Path) -> None:
    reading = await one(tmp_path, "http://:hidden-one@127.0.0.1:1/0", "redis.up")
    assert reading.failure is Failure.UNREACHABLE
    assert "hidden-one" not in reading.message


async def test_a_server_that_stops_and_starts_is_read_again(tmp_path: Path) -> None:
    with new_redis() as server:
        system = make_system(tmp_path, {"cache": {"kind": "redis", "url": server.url}})
        async with open_connections(system) as connections:
            assert (await ask(connections, "cache", "redis.up"))[0].value is True
            server.stop()
            connections.forget()
            started = time.monotonic()
            readings = await ask(connections, "cache", "redis.up", "redis.memory", ("redis.keys", {"pattern": "*"}))
            assert time.monotonic() - started < 2
            assert [reading.failure for reading in readings] == [Failure.UNREACHABLE] * 3
            server.start()
            connections.forget()
            assert (await ask(connections, "cache", "redis.up"))[0].value is True


async def test_a_server_that_hangs_is_cut_at_the_time_out(tmp_path: Path) -> None:
    with new_redis() as server:
        system = make_system(tmp_path, {"cache": {"kind": "redis", "url": server.url}})
        async with open_connections(system) as connections:
            assert (await ask(connections, "cache", "redis.up"))[0].value is True
            connections.forget()
            assert server.process is not None
            server.process.send_signal(signal.SIGSTOP)
            started = time.monotonic()
            readings = await ask(connections, "cache", "redis.up", "redis.memory", within=0.5)
            assert time.monotonic() - started < 2
            assert all(reading.value is None and reading.failure for reading in readings)
            server.process.send_signal(signal.SIGCONT)
            connections.forget()
            assert (await ask(connections, "cache", "redis.up"))[0].value is True


async def test_a_server_that_says_nothing_is_cut(tmp_path: Path) -> None:
    with silent_server() as port:
        reading = await one(tmp_path, f"redis://127.0.0.1:{port}/0", "redis.up", within=0.5)
    assert (reading.value, reading.failure) == (None, Failure.TIMEOUT)
