"""PostgreSQL, Redis and HTTP inside a cluster, observed from outside with nothing installed there."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest

from opsbook.connectors.registry import open_connections
from opsbook.connectors.runtimes.kubernetes import Kubernetes
from tests.integration.cluster import (
    SERVE,
    Cluster,
    container,
    deployment,
    new_namespace,
    on_cluster,
    python,
    service,
)
from tests.integration.servers import ask

pytestmark = on_cluster("parts")

POSTGRES = """\
set -e
echo "$PASSWORD" > /tmp/pw; chmod 644 /tmp/pw; mkdir -p /data /var/run/postgresql
chown postgres /data /var/run/postgresql
runuser -u postgres -- /usr/lib/postgresql/15/bin/initdb -D /data/pg -A scram-sha-256 --pwfile=/tmp/pw >/dev/null
echo "host all all all scram-sha-256" >> /data/pg/pg_hba.conf
exec runuser -u postgres -- /usr/lib/postgresql/15/bin/postgres -D /data/pg -c listen_addresses='*' -c fsync=off
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    ready = {"tcpSocket": {"port": 5432}, "periodSeconds": 1}
    database = container("db", ["bash", "-c", POSTGRES], env=[{"name": "PASSWORD", "value": "s3cret-word"}],
                         readinessProbe=ready)  # fmt: skip
    cache = container("cache", ["redis-server", "--bind", "0.0.0.0", "--protected-mode", "no", "--save", ""],
                      readinessProbe={**ready, "tcpSocket": {"port": 6379}})  # fmt: skip
    web = python("web", SERVE, readinessProbe={**ready, "tcpSocket": {"port": 8000}})
    with new_namespace(
        deployment("db", database), service("db", 5432, clusterIP="None"),
        deployment("cache", cache), service("cache", 6379),
        deployment("web", web, replicas=2), service("web", 80, 8000),
    ) as one:  # fmt: skip
        yield one


async def test_it_observes_what_is_inside_and_leaves_nothing_listening(cluster: Cluster) -> None:
    inside = {"through": "runtime"}
    namespace = cluster.namespace
    system = cluster.system({
        "database": {"kind": "postgres", "dsn": f"postgresql://postgres:s3cret-word@db.{namespace}/postgres", **inside,
                     "workload": "db"},
        "cache": {"kind": "redis", "url": f"redis://cache.{namespace}.svc:6379/0", **inside},
        "web": {"kind": "http", "url": "http://web", "health": "/", "workload": "web", **inside},
        "port": {"kind": "tcp", "address": f"web.{namespace}.svc.cluster.local:80", **inside},
        "absent": {"kind": "redis", "url": "redis://nothing:6379/0", **inside},
    })  # fmt: skip
    async with open_connections(system) as connections:
        runtime = connections.runtime
        assert isinstance(runtime, Kubernetes)
        async with asyncio.timeout(90):
            for name in ("db", "cache", "web"):
                while not (await runtime.status(name)).workload.ready:  # noqa: ASYNC110
                    await asyncio.sleep(0.2)
        (up, size) = await ask(connections, "database", "postgres.up", "postgres.connections", within=20)
        assert up.value is True, up.message
        assert size.value and size.value >= 1
        (redis,) = await ask(connections, "cache", "redis.up", within=20)
        assert redis.value is True, redis.message
        (web,) = await ask(connections, "web", "http.up", within=20)
        assert web.value is True, web.message
        (port,) = await ask(connections, "port", "tcp.open", within=20)
        assert port.value is True, port.message
        (absent,) = await ask(connections, "absent", "redis.up", within=10)
        assert absent.value is not True

        # The pod that answered goes; its successor is reached at the next connection.
        first = runtime.forward("web", 80)
        assert first == runtime.forward(f"web.{namespace}", 80)
        answers = set()
        for pod in await runtime.pods("web"):
            await runtime.api.ask("DELETE", runtime.namespace.core("pods", pod.name))
        async with asyncio.timeout(60):
            while len(answers) < 1:
                try:
                    reader, writer = await asyncio.open_connection("127.0.0.1", first)
                    writer.write(b"GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n")
                    text = (await reader.read()).decode()
                    writer.close()
                except OSError:
                    text = ""
                if "200 OK" in text:
                    answers.add(text.splitlines()[-1])
                await asyncio.sleep(0.1)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", first)) != 0, "nothing listens any more"
