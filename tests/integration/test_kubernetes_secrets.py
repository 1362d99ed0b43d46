"""Credentials and certificates in Secrets of a real cluster: nobody's request fails, and what is old is dead."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import psycopg
import pytest

from opsbook.book.system import System
from opsbook.connectors.held.kubernetes_secrets import Secret
from opsbook.connectors.runtimes.kubernetes import Kubernetes
from opsbook.errors import OpsbookError
from tests.integration.cluster import (
    Cluster,
    container,
    deployment,
    needs_kubernetes,
    new_namespace,
    service,
)
from tests.integration.hands import Hands, hands_of
from tests.integration.test_kubernetes_forward import POSTGRES

pytestmark = [pytest.mark.real, needs_kubernetes, pytest.mark.xdist_group("kubernetes"), pytest.mark.timeout(300)]

READY = {"periodSeconds": 1, "failureThreshold": 60}
PREPARED = POSTGRES.replace(
    "exec runuser",
    """\
runuser -u postgres -- /usr/lib/postgresql/15/bin/pg_ctl -D /data/pg -w start -o "-c listen_addresses=''" >/dev/null
PGPASSWORD=$PASSWORD psql -q -U postgres -h /var/run/postgresql \\
  -c "CREATE ROLE shop LOGIN PASSWORD 'first-word'" -c "CREATE DATABASE shop OWNER shop"
runuser -u postgres -- /usr/lib/postgresql/15/bin/pg_ctl -D /data/pg -w stop >/dev/null
exec runuser""",
    1,
)
# A new connection for each request, as without a pool: the hardest case. It stays a moment, so that its log is read.
APPLICATION = """\
trap 'sleep 1.7; exit 0' TERM
until psql -qAt "$DATABASE_URL" -c 'SELECT 1' >/dev/null 2>&1; do sleep 0.2; done
touch /tmp/ready
while :; do
  if psql -qAt "$DATABASE_URL" -c 'SELECT 1' >/dev/null 2>/tmp/said; then echo good
  else echo "bad $(tail -n 1 /tmp/said)"; fi
  sleep 0.1
done
"""


def secret(name: str, kind: str = "Opaque", **values: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": kind,
            "stringData": {key.replace("__", "."): value for key, value in values.items()}}  # fmt: skip


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    database = container("db", ["bash", "-c", PREPARED], env=[{"name": "PASSWORD", "value": "s3cret-word"}],
                         readinessProbe={**READY, "tcpSocket": {"port": 5432}})  # fmt: skip
    url = {"name": "DATABASE_URL", "valueFrom": {"secretKeyRef": {"name": "shop", "key": "url"}}}
    shop = container("shop", ["bash", "-c", APPLICATION], env=[url],
                     readinessProbe={**READY, "exec": {"command": ["cat", "/tmp/ready"]}})  # fmt: skip
    with new_namespace(
        secret("shop", url="postgresql://shop:first-word@db:5432/shop", colour="green"),
        deployment("db", database), service("db", 5432), deployment("shop", shop, replicas=2),
    ) as one:  # fmt: skip
        yield one


def system_of(cluster: Cluster) -> System:
    rotation = {"id": "shop_db", "of": "database", "role": "shop", "every": "90d", "to": "secret:shop/url",
                "restart": ["shop"]}  # fmt: skip
    dsn = "postgresql://postgres:s3cret-word@db:5432/shop"
    components = {
        "database": {"kind": "postgres", "dsn": dsn, "through": "runtime", "workload": "db"},
        "shop": {"kind": "workload"},
    }
    return cluster.system(components, rotations=[rotation])


@asynccontextmanager
async def ready(system: System, *workloads: str) -> AsyncIterator[Hands]:
    async with hands_of(system) as hands:
        async with asyncio.timeout(120):
            for name in workloads:
                while not (await hands.connections.runtime.status(name)).workload.ready:  # noqa: ASYNC110
                    await asyncio.sleep(0.2)
        yield hands


def api(hands: Hands) -> Kubernetes:
    found = hands.connections.runtime
    assert isinstance(found, Kubernetes)
    return found


async def values(hands: Hands, name: str) -> dict[str, str]:
    return {key: value.decode() for key, value in (await Secret(api(hands), name).keys() or {}).items()}


async def said(hands: Hands, seen: dict[str, set[str]]) -> None:
    """What every pod of the application has said so far, also of those that go."""
    for pod in await api(hands).pods("shop"):
        # One that has not begun has no log yet; one that is gone was read before.
        with suppress(OpsbookError):
            path = f"{api(hands).namespace.core('pods', pod.name)}/log"
            async with api(hands).api.lines(path, {"timestamps": "true"}) as lines:
                seen.setdefault(pod.name, set()).update([line async for line in lines])


async def test_a_login_in_a_secret_is_rotated_under_load_and_the_old_one_is_dead(cluster: Cluster) -> None:
    async with ready(system_of(cluster), "db", "shop") as hands:
        seen: dict[str, set[str]] = {}

        async def listen() -> None:
            while True:
                await said(hands, seen)
                await asyncio.sleep(0.5)

        async def act(name: str, **more: Any) -> Any:
            return await hands.do(f"credential.{name}", of="database", rotation="shop_db", **more)

        listening = asyncio.create_task(listen())
        passwords = ["first-word"]
        try:
            for login in ("shop_a", "shop_b"):
                changes = await hands.plan("credential.prepare", of="database", rotation="shop_db")
                told = json.dumps([[one.effect, one.evidence, str(one.inverse)] for one in changes])
                assert (await act("prepare"))["tried"] is True
                pending = json.loads((await values(hands, "shop.shop-db.pending"))["url"])
                passwords.append(pending["new"]["secret"])
                assert (await values(hands, "shop"))["url"].count(passwords[-2]) == 1, "nothing is distributed yet"
                told += json.dumps(await act("distribute"))
                assert await values(hands, "shop") == {
                    "url": f"postgresql://{login}:{passwords[-1]}@db:5432/shop", "colour": "green",
                }  # fmt: skip
                await hands.apply(await hands.only("workload.restart", of="shop"), f"run/restart/{login}")
                told += json.dumps(await act("retire", within="60s"))
                assert json.loads(told[told.rindex("{") :])["dead"] is True
                assert not await values(hands, "shop.shop-db.pending"), "what was kept for the way back is gone"
                assert not any(one in told + hands.out.text for one in passwords[1:])
        finally:
            await asyncio.sleep(1)
            listening.cancel()
        await said(hands, seen)
        lines = [line for one in seen.values() for line in one]
        assert len(seen) >= 6, "each rotation rolled the application"
        assert sum("good" in line for line in lines) > 30
        assert [line for line in lines if "bad" in line] == []
        for password in passwords[:-1]:
            for login in ("shop", "shop_a", "shop_b"):
                with pytest.raises(psycopg.OperationalError, match=r"password authentication failed|not permitted"):
                    await _login(hands, login, password)
        await _login(hands, "shop_b", passwords[-1])


async def _login(hands: Hands, login: str, password: str) -> None:
    port = hands.connections.of("database").connections.runtime.forward("db", 5432)  # type: ignore[attr-defined]
    connection = await psycopg.AsyncConnection.connect(
        f"host=127.0.0.1 port={port} dbname=shop user={login} password={password}", connect_timeout=20
    )
    await connection.close()
