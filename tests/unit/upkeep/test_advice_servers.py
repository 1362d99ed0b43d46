"""Settings advised from the machine and the load: what is said, with which figure, and what is left alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from opsbook.upkeep.advice import pgbouncer, postgres, redis, workers
from opsbook.upkeep.advice.contract import GIBI, MEBI, Advised, Machine, round_size, size
from opsbook.upkeep.advice.postgres import BigTable, Load, Setting

DEFAULTS: dict[str, tuple[float, str, bool]] = {
    "shared_buffers": (128 * MEBI, "128MB", True),
    "effective_cache_size": (4 * GIBI, "4GB", False),
    "maintenance_work_mem": (64 * MEBI, "64MB", False),
    "work_mem": (4 * MEBI, "4MB", False),
    "random_page_cost": (4, "4", False),
    "max_wal_size": (GIBI, "1GB", False),
    "checkpoint_timeout": (300, "5min", False),
    "checkpoint_completion_target": (0.9, "0.9", False),
    "max_connections": (100, "100", True),
    "superuser_reserved_connections": (3, "3", True),
    "autovacuum_max_workers": (3, "3", True),
}
MACHINE = Machine(32.0 * GIBI, 8, flash=True)
IDLE = Load({name: Setting(*one) for name, one in DEFAULTS.items()}, 50.0 * GIBI, 86400, peak=20)


def given(load: Load = IDLE, machine: Machine = MACHINE, **settings: float) -> dict[str, str]:
    """Advice as name → value, with some settings other than their defaults."""
    changed = {name: replace(load.settings[name], value=value, shown=str(value)) for name, value in settings.items()}
    found = postgres.advise("db", replace(load, settings={**load.settings, **changed}), machine)
    assert all(one.why and one.source.startswith("https://www.postgresql.org/docs/") for one in found.advice)
    return {one.name: one.advised for one in found.advice}


class TestPostgres:
    def test_a_server_of_its_own_with_defaults_gets_the_sizes_of_its_machine(self) -> None:
        assert given() == {
            "shared_buffers": "8192MB", "effective_cache_size": "24576MB", "maintenance_work_mem": "1024MB",
            "random_page_cost": "1.1",
        }  # fmt: skip

    def test_a_small_database_needs_no_large_cache(self) -> None:
        assert "shared_buffers" not in given(replace(IDLE, databases=30.0 * MEBI))
        assert given(replace(IDLE, databases=1.0 * GIBI))["shared_buffers"] == "1536MB"

    def test_others_of_the_same_machine_keep_their_memory(self) -> None:
        assert given(machine=replace(MACHINE, others=16.0 * GIBI))["shared_buffers"] == "4096MB"

    def test_a_cache_above_two_fifths_of_the_memory_is_made_smaller(self) -> None:
        assert given(shared_buffers=24 * GIBI)["shared_buffers"] == "8192MB"
        assert "shared_buffers" not in given(shared_buffers=10 * GIBI)

    def test_sorts_that_went_to_disk_get_memory_within_what_all_connections_may_take(self) -> None:
        spilling = replace(IDLE, temporary=600.0 * MEBI, temporary_files=50)
        assert given(spilling)["work_mem"] == "16MB"
        huge = replace(IDLE, temporary=50.0 * GIBI, temporary_files=50)
        assert given(huge)["work_mem"] == "48MB", "the room of 100 connections, not what one sort would like"
        assert given(replace(huge, planned=20))["work_mem"] == "256MB", "pools bound the connections"

    def test_sorts_of_all_connections_that_exceed_the_memory_are_made_smaller(self) -> None:
        assert given(work_mem=GIBI)["work_mem"] == "48MB"

    def test_forced_checkpoints_get_room_for_their_wal(self) -> None:
        writing = replace(IDLE, timed=10, requested=30, wal_rate=5.0 * MEBI)
        assert given(writing)["max_wal_size"] == "4096MB"
        assert "max_wal_size" not in given(replace(writing, timed=90)), "a quarter is what VACUUM and backups force"
        assert "max_wal_size" not in given(replace(writing, timed=1, requested=3)), "too few to judge"

    def test_wal_of_full_pages_wants_fewer_checkpoints(self) -> None:
        assert given(replace(IDLE, wal_rate=1.0 * MEBI, page_share=0.8))["checkpoint_timeout"] == "15min"
        assert "checkpoint_timeout" not in given(replace(IDLE, wal_rate=1.0, page_share=0.8)), "nothing is written"

    def test_pools_that_do_not_fit_are_told_before_the_server_refuses_one(self) -> None:
        found = postgres.advise("db", replace(IDLE, planned=120), MACHINE)
        (one,) = [each for each in found.advice if each.name == "max_connections"]
        assert (one.advised, one.needs) == ("160", "restart")
        assert "pools may open 120" in one.why and "PgBouncer" in one.why
        assert "max_connections" not in given(replace(IDLE, planned=70))

    def test_a_large_table_is_vacuumed_before_a_fifth_of_it_is_dead(self) -> None:
        large = BigTable("shop.orders", 50e6, 2e6, 0.2)
        found = given(replace(IDLE, tables=(large, BigTable("shop.small", 2e6, 5e3, 0.05))))
        assert found["autovacuum_vacuum_scale_factor of shop.orders"] == "0.002"
        assert "autovacuum_vacuum_scale_factor of shop.small" not in found

    def test_what_is_not_known_is_said_and_not_guessed(self) -> None:
        found = postgres.advise("db", replace(IDLE, measured=120, planned=500), Machine(None, None))
        assert found.advice == ()
        assert [one.split(":")[0].split(",")[0] for one in found.untold] == [
            "its memory is not known", "that its disk does not turn is not known",
            "its load was measured for 2 min only",
        ]  # fmt: skip


INFO: dict[str, Any] = {
    "used_memory": 50 * MEBI, "used_memory_peak": 90 * MEBI, "uptime_in_seconds": 86400, "connected_clients": 12,
    "mem_fragmentation_ratio": 1.1, "mem_fragmentation_bytes": 5 * MEBI, "mem_allocator": "jemalloc-5.2.1",
    "db0": {"keys": 100, "expires": 10}, "db1": {"keys": 900, "expires": 900},
}  # fmt: skip
CONFIG = {"maxmemory": str(512 * MEBI), "maxmemory-policy": "volatile-lru", "save": "3600 1", "appendonly": "no",
          "activedefrag": "no", "tcp-keepalive": "300", "maxclients": "10000"}  # fmt: skip
SMALL = Machine(4.0 * GIBI, 2)


def redis_advice(use: redis.Use, info: dict[str, Any] | None = None, **config: str) -> dict[str, str]:
    told = {name.replace("_", "-"): value for name, value in config.items()}
    found: Advised = redis.advise("cache", {**INFO, **(info or {})}, {**CONFIG, **told}, use, SMALL)
    return {one.name: one.advised for one in found.advice}


class TestRedis:
    def test_a_server_that_is_well_is_left_alone(self) -> None:
        assert redis_advice(redis.Use(broker=True, cache=True)) == {}

    @pytest.mark.parametrize(
        ("use", "policy", "advised"),
        [
            (redis.Use(broker=True, cache=True), "allkeys-lru", "volatile-lru"),
            (redis.Use(broker=True), "allkeys-lfu", "noeviction"),
            (redis.Use(broker=True, cache=True), "noeviction", "volatile-lru"),
            (redis.Use(cache=True), "noeviction", "allkeys-lru"),
            (redis.Use(broker=True), "noeviction", None),
            (redis.Use(), "noeviction", None),
        ],
    )
    def test_a_full_server_drops_answers_and_never_tasks(
        self, use: redis.Use, policy: str, advised: str | None
    ) -> None:
        assert redis_advice(use, maxmemory_policy=policy).get("maxmemory-policy") == advised

    def test_a_server_without_limit_gets_one_that_leaves_room_for_its_fork(self) -> None:
        assert redis_advice(redis.Use(), maxmemory="0")["maxmemory"] == "128mb"
        full = {"used_memory_peak": 3 * GIBI}
        assert redis_advice(redis.Use(), full, maxmemory="0")["maxmemory"] == "2048mb"
        assert redis_advice(redis.Use(), full, maxmemory="0", save="")["maxmemory"] == "3072mb"

    def test_a_limit_that_is_nearly_reached_is_raised_while_there_is_room(self) -> None:
        assert redis_advice(redis.Use(), {"used_memory_peak": 500 * MEBI})["maxmemory"] == "768mb"

    def test_tasks_are_written_to_disk(self) -> None:
        assert redis_advice(redis.Use(broker=True), save="")["appendonly"] == "yes"
        assert redis_advice(redis.Use(cache=True), save="") == {}

    def test_fragmentation_counts_once_it_costs_something(self) -> None:
        lost = {"mem_fragmentation_ratio": 2.0, "mem_fragmentation_bytes": 500 * MEBI}
        assert redis_advice(redis.Use(), lost) == {"activedefrag": "yes"}
        assert redis_advice(redis.Use(), {**lost, "mem_fragmentation_bytes": MEBI}) == {}


class TestWorkers:
    @pytest.mark.parametrize(
        ("argv", "variables", "found"),
        [
            (["/venv/bin/gunicorn", "-w", "9", "app:app"], {}, ("gunicorn", 9, "-w 9")),
            (
                ["gunicorn", "--workers=3", "-k", "uvicorn.workers.UvicornWorker", "app"],
                {},
                ("uvicorn", 3, "--workers=3"),
            ),
            (["python", "-m", "uvicorn", "app:app"], {"WEB_CONCURRENCY": "4"}, ("uvicorn", 4, "WEB_CONCURRENCY")),
            (["gunicorn", "app"], {"GUNICORN_CMD_ARGS": "--workers 2"}, ("gunicorn", 2, "--workers 2")),
            (["uvicorn", "app"], {}, ("uvicorn", 1, "not said: 1")),
        ],
    )
    def test_it_reads_how_many_there_are(self, argv: list[str], variables: dict[str, str], found: Any) -> None:
        assert workers.read(argv, variables) == found

    def test_it_reads_what_a_process_may_open(self) -> None:
        assert workers.pool_of({"DATABASE_POOL_SIZE": "5", "DATABASE_MAX_OVERFLOW": "10"}) == 15
        assert workers.pool_of({"POOL": "5"}) is None

    def test_too_many_processes_for_the_cores_are_fewer(self) -> None:
        found = workers.advise("api", workers.Serving("gunicorn", 9, 2, 2, 0.5, 5))
        (one,) = found.advice
        assert (one.now, one.advised) == ("9", "2") and "18 processes share 2 cores" in one.why
        assert "they may open 90 connections (18 × 5)" in found.told

    def test_busy_processes_beside_idle_cores_are_more_and_so_are_their_connections(self) -> None:
        (one,) = workers.advise("api", workers.Serving("uvicorn", 1, 2, 8, 1.9, 10)).advice
        assert one.advised == "4" and "pools grow to 80 connections" in one.risk

    def test_processes_that_fit_are_left_alone(self) -> None:
        assert workers.advise("api", workers.Serving("uvicorn", 1, 3, 2, 0.2)).advice == ()


class TestPgBouncer:
    DATABASES = ({"name": "shop", "pool_size": 10}, {"name": "pgbouncer", "pool_size": 2})
    FULL = {"database": "shop", "user": "api", "cl_active": 10, "cl_waiting": 4, "sv_active": 10, "maxwait": 2}

    def test_clients_that_wait_get_connections_as_far_as_the_server_has_some(self) -> None:
        (one,) = pgbouncer.advise("pool", {}, self.DATABASES, [self.FULL]).advice
        assert (one.name, one.now, one.advised) == ("pool_size of shop", "10", "14")
        (one,) = pgbouncer.advise("pool", {}, self.DATABASES, [self.FULL], room=2).advice
        assert one.advised == "12"
        assert pgbouncer.advise("pool", {}, self.DATABASES, [self.FULL], room=0).advice == ()

    def test_pools_of_applications_fit_through_it(self) -> None:
        quiet = {**self.FULL, "cl_waiting": 0}
        (one,) = pgbouncer.advise("pool", {"max_client_conn": "50"}, self.DATABASES, [quiet], clients=90).advice
        assert (one.name, one.advised) == ("max_client_conn", "110")


def test_sizes_are_round_and_never_larger_than_what_they_are_made_of() -> None:
    assert [round_size(n * MEBI) / MEBI for n in (0.5, 1, 100, 150, 200, 1023)] == [1, 1, 96, 128, 192, 768]
    assert [size(one) for one in (12, 5 * MEBI, 1.5 * GIBI)] == ["12 B", "5 MiB", "1.5 GiB"]
