"""Celery observations against a real worker over a real broker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from opsbook.book.load import InvalidBook
from opsbook.connectors.contract import Failure, Reading
from opsbook.connectors.registry import open_connections
from tests.integration.servers import RedisServer, ask, make_system, new_redis, silent_server, until

pytestmark = pytest.mark.real

APPLICATION = """
import os, time
from celery import Celery, signals

app = Celery("tiny", broker=os.environ["BROKER"], backend=os.environ["BROKER"])
app.conf.update(result_extended=True, worker_prefetch_multiplier=2, broker_connection_retry_on_startup=True)

@signals.before_task_publish.connect
def stamp(headers=None, **_):
    headers.setdefault("enqueued_at", time.time())

@signals.task_success.connect
def mark(sender=None, **_):
    app.backend.client.set("last-run:" + sender.name, time.time())

@app.task(name="tiny.sleep")
def sleep(seconds):
    time.sleep(seconds)

@app.task(name="tiny.fail")
def fail(secret):
    raise ValueError(secret)
"""


class Tiny:
    """A Celery application with a worker of two threads."""

    level = "INFO"

    def __init__(self, folder: Path, broker: RedisServer) -> None:
        self.folder, self.broker = folder, broker
        (folder / "tiny.py").write_text(APPLICATION)
        self.environment = {**os.environ, "BROKER": broker.url, "PYTHONPATH": str(folder)}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Tiny:
        command = [sys.executable, "-W", "ignore", "-m", "celery", "-A", "tiny", "worker", "-l", self.level]
        options = ["-P", "threads", "-c", "2", "-n", "tiny@here", "--without-gossip", "--without-mingle"]
        log = (self.folder / "log").open("wb")
        self.process = subprocess.Popen(
            [*command, *options], cwd=self.folder, env=self.environment, stdout=log, stderr=log
        )
        with self.broker.client() as client:
            until(lambda: client.exists("_kombu.binding.celery.pidbox"), what="the worker listens")
            until(lambda: b"ready" in (self.folder / "log").read_bytes(), what="the worker is ready")
        return self

    def send(self, name: str, *arguments: Any, times: int = 1, **options: Any) -> None:
        code = (
            f"import tiny\nfor _ in range({times}): tiny.app.tasks[{name!r}].apply_async({arguments!r}, **{options!r})"
        )
        subprocess.run([sys.executable, "-c", code], env=self.environment, cwd=self.folder, check=True)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)


@pytest.fixture
def broker() -> Iterator[RedisServer]:
    with new_redis() as server:
        yield server


@contextmanager
def worker(folder: Path, broker: RedisServer) -> Iterator[Tiny]:
    tiny = Tiny(folder, broker)
    try:
        yield tiny.start()
    finally:
        tiny.stop()


def components(broker: str, **keys: Any) -> dict[str, dict[str, Any]]:
    return {
        "broker": {"kind": "redis", "url": broker},
        "worker": {"kind": "celery", "broker": "broker", **keys},
        "scheduler": {"kind": "celery-beat", "broker": "broker"},
    }


async def read(
    folder: Path, broker: RedisServer, *facts: Any, within: float = 10.0, of: str = "worker"
) -> list[Reading]:
    async with open_connections(make_system(folder, components(broker.url))) as connections:
        return await ask(connections, of, *facts, within=within)


async def test_workers_their_tasks_and_queues_are_seen(tmp_path: Path, broker: RedisServer) -> None:
    with worker(tmp_path, broker) as tiny:
        tiny.send("tiny.sleep", 60, times=9)
        with broker.client() as client:
            until(lambda: client.hlen("unacked") + client.llen("celery") >= 7)
        started = time.monotonic()
        up, workers, missing, active, other, reserved, longest, busy, depth, oldest = await read(
            tmp_path,
            broker,
            "celery.up",
            "celery.workers",
            ("celery.workers", {"expected": ["tiny@here", "tiny@there"]}),
            "celery.active",
            ("celery.active", {"task": "tiny.fail"}),
            "celery.reserved",
            "celery.longest_task",
            "celery.busy_ratio",
            "celery.queue_depth",
            "celery.oldest_waiting",
        )
        took = time.monotonic() - started
        with broker.client() as client:
            client.execute_command("ACL", "SETUSER", "blind", "on", ">word", "~*", "&*", "+@all", "-client|list")
        system = make_system(tmp_path, components(broker.url.replace("://", "://blind:word@")))
        async with open_connections(system) as connections:
            (blind,) = await ask(connections, "worker", "celery.workers")
    assert blind.value == 1, "where the broker does not tell who listens, the patience is waited"
    assert (up.value, workers.value) == (True, 1)
    assert (missing.value, missing.message) == (1, "silent: tiny@there")
    assert (active.value, other.value) == (2, 0)
    assert active.detail[0]["task"] == "tiny.sleep"
    assert active.detail[0]["worker"] == "tiny@here"
    assert float(reserved.value or 0) + float(depth.value or 0) == 7
    assert 0 < float(longest.value or 0) < 60
    assert (busy.value, busy.message) == (1, "2 of 2")
    assert float(depth.value or 0) > 0
    assert depth.detail == {"celery": depth.value}
    assert 0 < float(oldest.value or 0) < 60
    assert took < 6


async def test_results_tell_failures_and_last_runs(tmp_path: Path, broker: RedisServer) -> None:
    with worker(tmp_path, broker) as tiny:
        tiny.send("tiny.sleep", 0, times=3)
        tiny.send("tiny.fail", "their-own-secret")
        with broker.client() as client:
            until(lambda: len(list(client.scan_iter("celery-task-meta-*"))) == 4)
            until(lambda: client.exists("last-run:tiny.sleep"))
    every, of_sleep, by_key, by_results, never, no_key = await read(
        tmp_path,
        broker,
        "celery.failure_rate",
        ("celery.failure_rate", {"task": "tiny.sleep"}),
        ("celery.last_run", {"task": "tiny.sleep", "key": "last-run:tiny.sleep"}),
        ("celery.last_run", {"task": "tiny.sleep"}),
        ("celery.last_run", {"task": "tiny.fail"}),
        ("celery.last_run", {"task": "tiny.sleep", "key": "last-run:no"}),
    )
    (of_beat,) = await read(tmp_path, broker, ("celery.last_run", {"task": "tiny.sleep"}), of="scheduler")
    assert (every.value, every.message) == (0.25, "1 of 4 failed")
    assert (every.detail[0]["task"], every.detail[0]["error"]) == ("tiny.fail", "ValueError")
    assert "their-own-secret" not in repr(every)
    assert of_sleep.value == 0
    for reading in (by_key, by_results, of_beat):
        assert 0 <= float(reading.value if reading.value is not None else -1) < 60
    assert (never.failure, no_key.failure) == (Failure.ABSENT, Failure.ABSENT)


async def test_without_a_worker_it_is_down_and_nothing_is_zero(tmp_path: Path, broker: RedisServer) -> None:
    up, workers, active, busy, depth, oldest, failures = await read(
        tmp_path,
        broker,
        "celery.up",
        "celery.workers",
        "celery.active",
        "celery.busy_ratio",
        "celery.queue_depth",
        "celery.oldest_waiting",
        "celery.failure_rate",
    )
    assert (up.value, workers.value) == (False, 0)
    assert up.message == "no worker answers within 1 s"
    assert (active.value, active.failure) == (None, Failure.FAILED)
    assert (busy.value, busy.failure) == (None, Failure.FAILED)
    assert (depth.value, oldest.value) == (0, 0)
    assert (failures.value, failures.failure) == (None, Failure.ABSENT)


async def test_priorities_and_other_queues_count(tmp_path: Path, broker: RedisServer) -> None:
    tiny = Tiny(tmp_path, broker)
    tiny.send("tiny.sleep", 0, times=2)
    tiny.send("tiny.sleep", 0, priority=9)
    tiny.send("tiny.sleep", 0, queue="slow")
    system = make_system(tmp_path, components(broker.url, queues=["celery", "slow"]))
    async with open_connections(system) as connections:
        both, slow, oldest, header = await ask(
            connections,
            "worker",
            "celery.queue_depth",
            ("celery.queue_depth", {"queue": "slow"}),
            "celery.oldest_waiting",
            ("celery.oldest_waiting", {"header": "sent_at"}),
        )
    assert (both.value, slow.value) == (4, 1)
    assert both.detail == {"celery": 3, "slow": 1}
    assert set(oldest.detail) == {"celery", "slow"}
    assert header.failure is Failure.FAILED
    assert "before_task_publish" in header.message


async def test_a_worker_that_hangs_does_not_answer(tmp_path: Path, broker: RedisServer) -> None:
    with worker(tmp_path, broker) as tiny:
        assert tiny.process is not None
        tiny.process.send_signal(signal.SIGSTOP)
        (up,) = await read(tmp_path, broker, "celery.up")
        tiny.process.send_signal(signal.SIGCONT)
    assert up.value is False


async def test_a_broker_that_is_away_or_silent_is_no_value(tmp_path: Path) -> None:
    with silent_server() as port:
        for n, (address, within) in enumerate([("127.0.0.1:1", 5.0), (f"127.0.0.1:{port}", 0.5)]):
            started = time.monotonic()
            system = make_system(tmp_path / str(n), components(f"redis://:s3cret-word@{address}/0"))
            async with open_connections(system) as connections:
                readings = await ask(
                    connections, "worker", "celery.up", "celery.queue_depth", "celery.active", within=within
                )
            assert {reading.failure for reading in readings} <= {Failure.UNREACHABLE, Failure.TIMEOUT}
            assert "s3cret-word" not in repr(readings)
            assert time.monotonic() - started < 5


def test_a_broker_must_be_a_component_of_the_book(tmp_path: Path) -> None:
    with pytest.raises(InvalidBook, match="no component named 'brokr'"):
        make_system(tmp_path, {"worker": {"kind": "celery", "broker": "brokr"}})


async def test_a_broker_that_is_no_redis_is_said_so(tmp_path: Path) -> None:
    system = make_system(
        tmp_path,
        {
            "worker": {"kind": "celery", "broker": "database"},
            "database": {"kind": "postgres", "dsn": "postgresql://127.0.0.1:1/x"},
        },
    )
    async with open_connections(system) as connections:
        (reading,) = await ask(connections, "worker", "celery.up")
    assert reading.failure is Failure.FAILED
    assert reading.message == "worker: broker 'database' is a postgres, not a redis component"
