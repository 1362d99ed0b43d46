"""Operations of Redis and of Celery under the kill sweep, counted by the server's statistics and by the worker."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

from celery import Celery

from tests.faults.sites import Case, Site, given
from tests.integration.servers import RedisServer, until
from tests.integration.test_celery_observations import APPLICATION, Tiny


class RedisSite(Site):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.server = RedisServer(folder)

    def start(self) -> None:
        self.server.start("--enable-debug-command", "local")

    def stop(self) -> None:
        self.server.stop()

    @property
    def components(self) -> dict[str, dict[str, Any]]:
        return {"cache": {"kind": "redis", "url": self.server.url.replace("/0", "/1")}}

    def filled(self) -> None:
        """Keys to be removed, some to be kept, and the counters at zero."""
        with self.server.client(1) as cache:
            cache.flushall()
            cache.mset({f"api:{n}": n for n in range(10_000)} | {f"session:{n}": n for n in range(100)})
            cache.config_resetstat()

    def expired(self) -> None:
        """Keys whose time is over and that the server has not looked at."""
        self.filled()
        with self.server.client(1) as cache:
            cache.execute_command("DEBUG", "SET-ACTIVE-EXPIRE", "0")
            pipeline = cache.pipeline()
            for n in range(5_000):
                pipeline.set(f"short:{n}", n, px=1)
            pipeline.execute()
            time.sleep(0.02)
            cache.config_resetstat()

    def calls(self, command: str) -> int:
        with self.server.client() as client:
            return int(client.info("commandstats").get(f"cmdstat_{command}", {}).get("calls", 0))

    def unlinked(self) -> int:
        """1 where all keys of the pattern are gone and no other is."""
        with self.server.client(1) as cache:
            assert len(list(cache.scan_iter("session:*", 1000))) == 100
            return int(cache.dbsize() == 100)

    def freed(self) -> int:
        with self.server.client(1) as cache:
            found = int(cache.info("stats")["expired_keys"] == 5_000 and cache.dbsize() == 10_100)
            cache.execute_command("DEBUG", "SET-ACTIVE-EXPIRE", "1")
            return found


def called(command: str) -> Callable[[RedisSite], int]:
    return lambda site: site.calls(command)


def _saving(site: RedisSite) -> None:
    with site.server.client() as client:
        until(lambda: not client.info("persistence")["rdb_bgsave_in_progress"], what="no save runs")
    site.filled()


def _maxmemory(site: RedisSite) -> None:
    with site.server.client() as client:
        client.config_set("maxmemory", 100 * 2**20)
        client.config_resetstat()


def _untuned(site: RedisSite) -> None:
    with site.server.client() as client:
        client.config_set("tcp-keepalive", 300)
    _maxmemory(site)


def _tuned(site: RedisSite) -> int:
    """How often one of the two settings was set, where the other was set once; 0 where one is not as it should be."""
    with site.server.client() as client:
        so = client.config_get("maxmemory", "tcp-keepalive") == {"maxmemory": str(64 * 2**20), "tcp-keepalive": "120"}
    return site.calls("config|set") - 1 if so else 0


def redis_case(
    parameters: dict[str, Any], prepare: Callable[[Any], None], count: Callable[[Any], int], of: str = "cache"
) -> Case:
    return Case(of, given(**parameters), prepare, count)


REDIS: dict[str, Case] = {
    "redis.flush": redis_case({}, RedisSite.filled, called("flushdb")),
    "redis.unlink": redis_case({"pattern": "api:*"}, RedisSite.filled, RedisSite.unlinked),
    "redis.delete_expired": redis_case({}, RedisSite.expired, RedisSite.freed),
    "redis.save": redis_case({}, _saving, called("bgsave")),
    "redis.memory_purge": redis_case({}, RedisSite.filled, called("memory|purge")),
    "redis.setting": redis_case({"name": "maxmemory", "value": "64mb"}, _maxmemory, called("config|set")),
    "redis.tune": redis_case({"settings": "maxmemory=64mb, tcp-keepalive=120"}, _untuned, _tuned),
}

TASKS = """

@app.task(name="tiny.count")
def count(name):
    app.backend.client.incr("counted:" + name)
    time.sleep(0.2)
    return name

@app.task(name="tiny.flaky")
def flaky(name):
    if app.backend.client.incr("flaky:" + name) == 1:
        raise RuntimeError("the first time it fails")
    time.sleep(0.2)
    return "well"
"""


class Talkative(Tiny):
    """A worker that writes down each order that it is given."""

    level = "DEBUG"

    def __init__(self, folder: Path, broker: RedisServer) -> None:
        super().__init__(folder, broker)
        (folder / "tiny.py").write_text(APPLICATION + TASKS)


class CelerySite(Site):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.server = RedisServer(folder)
        self.name, self.offset = "", 0
        self.worker: Tiny | None = None

    def start(self) -> None:
        self.server.start()
        self.worker = Talkative(self.folder, self.server).start()
        self.app = Celery("tiny", broker=self.server.url, backend=self.server.url)

    def stop(self) -> None:
        if self.worker is not None:
            self.app.close()
            self.worker.stop()
        self.server.stop()

    @property
    def components(self) -> dict[str, dict[str, Any]]:
        return {
            "broker": {"kind": "redis", "url": self.server.url},
            "worker": {"kind": "celery", "broker": "broker", "patience": "600ms"},
        }

    def afresh(self) -> None:
        """The worker consumes its queue, a new name is counted under, and its log is read from here on."""
        queues = self.app.control.inspect(timeout=1, limit=1).active_queues() or {}
        if not any(queues.values()):
            self.app.control.add_consumer("celery", reply=True, timeout=2, limit=1)
        self.name = uuid4().hex
        self.offset = (self.folder / "log").stat().st_size

    def failed(self) -> None:
        """One task has failed since then."""
        self.afresh()
        with self.server.client() as client:
            for key in client.keys("celery-task-meta-*"):
                client.delete(key)
            failed = self.app.send_task("tiny.flaky", [self.name])
            key = f"celery-task-meta-{failed.id}"
            until(lambda: "FAILURE" in (client.get(key) or ""), what="it has failed")
            until(lambda: json.loads(client.get(key))["date_done"], what="it is kept")

    def counted(self, prefix: str) -> int:
        with self.server.client() as client:
            return int(client.get(f"{prefix}:{self.name}") or 0)

    def told(self, method: str) -> int:
        """How often the worker was given this order since then."""
        with (self.folder / "log").open("rb") as log:
            log.seek(self.offset)
            return log.read().count(f"pidbox received method {method}(".encode())


def told(method: str) -> Callable[[CelerySite], int]:
    return lambda site: site.told(method)


def _paused(site: CelerySite) -> None:
    site.afresh()
    site.app.control.cancel_consumer("celery", reply=True, timeout=2, limit=1)
    site.offset = (site.folder / "log").stat().st_size


def celery_case(parameters: dict[str, Any], count: Callable[[Any], int], prepare: Any = CelerySite.afresh) -> Case:
    return Case("worker", given(**parameters), prepare, count)


CELERY: dict[str, Case] = {
    "celery.call": Case(
        "worker",
        lambda site: {"task": "tiny.count", "args": [site.name]},
        CelerySite.afresh,
        lambda site: site.counted("counted"),
    ),
    "celery.retry_failed": Case(
        "worker",
        lambda site: {"task": "tiny.flaky"},
        CelerySite.failed,
        lambda site: site.counted("flaky") - 1,
    ),
    "celery.pause": celery_case({}, told("cancel_consumer")),
    "celery.resume": celery_case({}, told("add_consumer"), _paused),
    "celery.drain": celery_case({}, told("cancel_consumer")),
    "celery.rate_limit": celery_case({"task": "tiny.sleep", "rate": "10/m"}, told("rate_limit")),
    "celery.revoke": celery_case({"ids": ["8a7f0c3e-3f2f-4b1c-9d55-0e3a5a3b1c11"]}, told("revoke")),
    "celery.inspect": celery_case({}, told("active")),
}
