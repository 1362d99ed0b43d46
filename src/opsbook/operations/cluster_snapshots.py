"""The etcd of a cluster kept as one file: the last way back where the whole control plane is lost."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

from pydantic import Field

from opsbook.book.catalogue import Risk
from opsbook.book.values import Duration
from opsbook.connectors.change import Change
from opsbook.connectors.cluster import etcd_of
from opsbook.connectors.etcd import revision_now
from opsbook.connectors.executors.etcd_snapshot import KIND
from opsbook.operations.contract import Facts, OperationParameters, Repeatable
from opsbook.operations.registry import operation


class Snapshotted(OperationParameters):
    folder: str = Field(".opsbook/etcd", min_length=1, description="where it is written, from the book's folder")
    timeout: Duration = Field(timedelta(minutes=10), description="how long it may take")


@operation(
    "cluster.snapshot", Risk.SAFE, of="cluster", idempotent=True, parameters=Snapshotted,
    doc="Writes a snapshot of the cluster's etcd into a new file by etcdctl, has it verified, and tells its revision,"
    " keys, hash and SHA-256. It needs `etcd` of the component. The file holds every secret of the cluster and is its"
    " owner's to read.",
)  # fmt: skip
class _Snapshot(Repeatable):
    async def plan(self, parameters: Snapshotted, facts: Facts) -> AsyncIterator[Change]:
        access = etcd_of(facts.system, parameters.of)
        revision, size = await revision_now(facts.system, access)
        effect = {"component": parameters.of, "folder": parameters.folder,
                  "timeout": parameters.timeout.total_seconds()}  # fmt: skip
        evidence = {"endpoint": str(access.endpoint), "revision": revision, "database_bytes": size}
        yield Change(KIND, effect, evidence, inverse="nothing to undo: it only reads; delete the file")
