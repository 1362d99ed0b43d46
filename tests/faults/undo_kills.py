"""Undoing what a built-in operation did, killed at every border of the undo and in its middle.

The operation is done, the step after it fails, and the run takes back what it did. It must end undone, and then the
target is as it was before, or ambiguous and say so; no undo that was finished begins again, and none happens twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from opsbook.engine.digest import digest_of
from opsbook.engine.procedure import OnFailure, Procedure
from opsbook.engine.states import RunState
from tests.faults.operation_kills import SITES, Bench, Undisturbed
from tests.faults.operations_elsewhere import FilesSite, ProxySite, WorkloadSite
from tests.faults.operations_postgres import PostgresSite
from tests.faults.operations_redis import CelerySite, RedisSite
from tests.faults.sites import Site
from tests.faults.world import World, op

UNDO = "it/0/undo"


@dataclass(frozen=True)
class Undone:
    """How it is seen that an operation was taken back."""

    restored: Callable[[Any], object]
    count: Callable[[Any], int] | None = None
    """Where the operation's own counter does not count what is done in all."""


def _running(number: int) -> Callable[[WorkloadSite], object]:
    return lambda site: site.supervisorctl("status", "worker:*").count(" RUNNING ") == number


def _one(site: Any) -> int:
    return 1


def _says(query: str, answer: Any) -> Callable[[PostgresSite], object]:
    return lambda site: site.value(query) == answer


def _memory(site: RedisSite) -> object:
    with site.server.client() as client:
        return client.config_get("maxmemory")["maxmemory"] == str(100 * 2**20)


def _consumes(site: CelerySite) -> object:
    queues = site.app.control.inspect(timeout=2, limit=1).active_queues() or {}
    return [one["name"] for said in queues.values() for one in said] == ["celery"]


UNDOING: dict[type[Site], dict[str, Undone]] = {
    WorkloadSite: {
        "workload.scale": Undone(_running(2)),
        "workload.stop": Undone(_running(2)),
        "workload.deploy": Undone(lambda site: (site.place / "current").readlink().name == "1.0.0"),
    },
    ProxySite: {"maintenance.enter": Undone(lambda site: site.nginx.get()[0] == 200)},
    FilesSite: {
        "files.write": Undone(lambda site: (site.folder / "exports" / "a.txt").read_text() == "before", _one),
        "files.copy": Undone(lambda site: not list((site.folder / "bundles").glob("*.json")), _one),
    },
    PostgresSite: {
        "postgres.setting": Undone(_says("SELECT setting FROM pg_settings WHERE name = 'work_mem'", "4096")),
        "postgres.grant": Undone(_says("SELECT has_table_privilege('stranger', 'orders', 'INSERT')", False)),
        "postgres.create_index": Undone(_says("SELECT to_regclass('orders_at') IS NULL", True)),
        "postgres.drop_index": Undone(_says("SELECT to_regclass('orders_state') IS NULL", False)),
    },
    RedisSite: {"redis.setting": Undone(_memory)},
    CelerySite: {"celery.pause": Undone(_consumes)},
}
"""Operations that can be taken back, by what they are tried on."""


class UndoBench(Bench):
    """A site whose operations are done and taken back."""

    ends = RunState.UNDONE

    def __init__(self, kind: type[Site], folder: Path) -> None:
        self.undoing: Mapping[str, Undone] = UNDOING[kind]
        known = {name: SITES[kind][name] for name in self.undoing}
        super().__init__(
            kind,
            folder,
            {name: replace(case, count=self.undoing[name].count or case.count) for name, case in known.items()},
        )

    @property
    def components(self) -> dict[str, dict[str, Any]]:
        return {**self.site.components, "target": {"kind": "target", "folder": str(self.folder)}}

    def procedure(self, world: World, operation: str) -> Procedure:
        done = super().procedure(world, operation)
        steps = (*done.steps, op("last", do="fail", on_failure=OnFailure.UNDO))
        return replace(done, steps=steps, revision=digest_of([operation, "undone"]))

    def tried(self, expected: Undisturbed) -> Undisturbed:
        return replace(expected, durations={UNDO: expected.durations[UNDO]})

    def contradicted(self, operation: str, happened: int) -> str:
        return "" if self.undoing[operation].restored(self.site) else "it is said to be undone, and the target is not"
