"""Read replicas that are pods of a StatefulSet, added and removed: the primary sees each of them stream."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from opsbook.connectors.change import Change
from opsbook.connectors.registry import open_connections
from opsbook.errors import OpsbookError, Refused
from tests.integration.cluster import Cluster, container, new_namespace, on_cluster, service, workload
from tests.integration.hands import Hands

pytestmark = on_cluster("parts")

START_SECONDS = 180
BIN = "/usr/lib/postgresql/15/bin"
PRIMARY = f"""\
set -e
mkdir -p /data /var/run/postgresql && chown postgres /data /var/run/postgresql
echo "$PGPASSWORD" > /tmp/pw && chmod 644 /tmp/pw
runuser -u postgres -- {BIN}/initdb -D /data/pg -A scram-sha-256 --pwfile=/tmp/pw >/dev/null
echo "host all all all scram-sha-256" >> /data/pg/pg_hba.conf
echo "host replication all all scram-sha-256" >> /data/pg/pg_hba.conf
exec runuser -u postgres -- {BIN}/postgres -D /data/pg -c listen_addresses='*' -c fsync=off -c max_replication_slots=4
"""
STANDBY = f"""\
set -e
mkdir -p /data /var/run/postgresql && chown postgres /data /var/run/postgresql
runuser -w PGPASSWORD -u postgres -- {BIN}/pg_basebackup -h primary -U postgres -D /data/pg -R -X stream -c fast \
  --no-sync -S "readers_${{HOSTNAME##*-}}"
chmod 700 /data/pg
exec runuser -u postgres -- {BIN}/postgres -D /data/pg -c listen_addresses='*' -c fsync=off
"""
PASSWORD = "s3cret-word"
SLOTS = "SELECT slot_name AS slot, active FROM pg_replication_slots ORDER BY 1"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    ready = {"exec": {"command": ["pg_isready", "-q", "-h", "127.0.0.1"]}, "periodSeconds": 1}
    word = [{"name": "PGPASSWORD", "value": PASSWORD}]
    primary = container("db", ["bash", "-c", PRIMARY], env=word, readinessProbe=ready)
    standby = container("db", ["bash", "-c", STANDBY], env=word, readinessProbe=ready)
    with new_namespace(
        workload("Deployment", "primary", primary, replicas=1), service("primary", 5432),
        workload("StatefulSet", "readers", standby, replicas=0, serviceName="readers", podManagementPolicy="Parallel"),
        service("readers", 5432, clusterIP="None"),
    ) as one:  # fmt: skip
        yield one


async def slots(hands: Hands) -> dict[object, object]:
    return {row["slot"]: row["active"] for row in await hands.facts.rows("database", SLOTS)}


async def test_replicas_are_added_and_removed_with_their_slots(cluster: Cluster) -> None:
    inside = {"kind": "postgres", "through": "runtime"}
    primary, readers = (f"postgresql://postgres:{PASSWORD}@{one}:5432/postgres" for one in ("primary", "readers"))
    system = cluster.system({
        "database": {**inside, "dsn": primary, "admin": primary, "workload": "primary"},
        "readers": {**inside, "dsn": readers, "workload": "readers"},
    })  # fmt: skip
    async with open_connections(system) as connections:
        hands = Hands(connections)
        async with asyncio.timeout(START_SECONDS):
            while True:
                try:
                    assert await slots(hands) == {}
                    break
                except OpsbookError:
                    await asyncio.sleep(0.5)
        named = {"of": "database", "replica": "readers", "slot": "readers_{n}"}
        with pytest.raises(Refused, match="max_replication_slots lacks 1"):
            await hands.plan("postgres.scale_standbys", **named, to=5)

        told = await hands.do("postgres.scale_standbys", **named, to=2)
        assert set(told["behind"]) == {"readers-0", "readers-1"}
        assert await slots(hands) == {"readers_0": True, "readers_1": True}

        fewer = await hands.plan("postgres.scale_standbys", **named, to=1)
        for change in fewer:
            told = await hands.apply(change)
        assert told == {"made": [], "dropped": ["readers_1"]}
        assert await slots(hands) == {"readers_0": True}

        for change in reversed(fewer):
            if isinstance(change.inverse, Change):
                await hands.undo(change)
        wait = Change(fewer[1].kind, {**fewer[1].effect, "count": 2})
        assert set((await hands.apply(wait))["behind"]) == {"readers-0", "readers-1"}
        assert await slots(hands) == {"readers_0": True, "readers_1": True}
