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
from opsbook.connectors.certificates.pairs import key_pem, read_chain
from opsbook.connectors.executors.secrets import NotReached
from opsbook.connectors.held.kubernetes_secrets import Secret
from opsbook.connectors.runtimes.kubernetes import Kubernetes
from opsbook.errors import OpsbookError
from opsbook.upkeep.certificates import families
from tests.integration.authority import Pebble, pebble
from tests.integration.cluster import (
    Cluster,
    container,
    deployment,
    new_namespace,
    on_cluster,
    python,
    service,
)
from tests.integration.hands import Hands, hands_of
from tests.integration.servers import own_folder
from tests.integration.test_kubernetes_forward import POSTGRES
from tests.integration.web import issue

pytestmark = on_cluster("systems")

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
            # On a machine under load a greeting may take too long; then nothing has happened, and it is done again.
            for _ in range(5):
                with suppress(NotReached):
                    return await hands.do(f"credential.{name}", of="database", rotation="shop_db", **more)
            raise AssertionError("the database never answers in time")

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


TLS_SERVER = """\
import os, signal, socket, ssl, threading
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/tls/tls.crt", "/tls/tls.key")
listening = socket.create_server(("", 8443))
def greet(one):
    try:
        with context.wrap_socket(one, server_side=True) as secure:
            secure.recv(1)
    except OSError:
        pass
while True:
    threading.Thread(target=greet, args=(listening.accept()[0],), daemon=True).start()
"""


@pytest.fixture(scope="module")
def authority() -> Iterator[Pebble]:
    with own_folder("k8s-acme") as folder, pebble(folder) as found:
        hook = folder / "hook"
        hook.write_text(
            '#!/bin/sh\n[ "$1" = set ] && call=set-txt || call=clear-txt\n'
            'exec curl -fsS --max-time 10 -d "{\\"host\\":\\"$2.\\",\\"value\\":\\"$3\\"}" '
            f"{found.dns_control}/$call\n"
        )
        hook.chmod(0o755)
        yield found


async def test_a_certificate_in_a_mounted_secret_is_renewed_and_served(cluster: Cluster, authority: Pebble) -> None:
    old = issue("web.test", None, ("web.test",), days=1)
    key = key_pem(old.key).decode()
    mounted = [{"name": "tls", "mountPath": "/tls", "readOnly": True}]
    web = python("web", TLS_SERVER, volumeMounts=mounted, readinessProbe={**READY, "tcpSocket": {"port": 8443}})
    volumes = [{"name": "tls", "secret": {"secretName": "web-tls"}}]
    objects = [
        secret("web-tls", "kubernetes.io/tls", tls__crt=old.pem().decode(), tls__key=key),
        deployment("web", web, replicas=2, pod={"volumes": volumes}), service("web", 8443),
    ]  # fmt: skip
    # A try before this one may have left its own.
    cluster.remove(*objects, *(secret(f"web-tls.{one}", "Opaque") for one in ("next", "previous", "restoring")))
    cluster.make(*objects)
    certificate = {
        "id": "web", "of": "site", "names": ["web.test"], "directory": authority.directory,
        "authority": str(authority.root), "challenge": "dns-01", "dns_hook": str(authority.root.with_name("hook")),
        "certificate": "secret:web-tls", "reload": ["site"],
    }  # fmt: skip
    site = {"kind": "tls", "address": "web:8443", "server_name": "web.test", "through": "runtime", "workload": "web"}
    system = cluster.system({"site": site}, certificates=[certificate])
    steps = dict(families(system))
    assert [line.split(":")[0].strip() for line in steps["renew-web"].splitlines() if "{of:" in line] == [
        "certificate.renew", "workload.restart", "certificate.prove",
    ]  # fmt: skip
    named = {"of": "site", "certificate": "web"}
    async with ready(system, "web") as hands:
        issued, install = await hands.plan("certificate.renew", **named)
        await hands.apply(issued)
        assert set(await values(hands, "web-tls.next")) == {"tls.crt", "tls.key"}
        assert (await values(hands, "web-tls"))["tls.crt"] == old.pem().decode(), "what is served is not touched yet"
        await hands.apply(install)
        pair = await values(hands, "web-tls")
        assert pair["tls.crt"] != old.pem().decode()
        assert not await values(hands, "web-tls.next")
        assert (await values(hands, "web-tls.previous"))["tls.crt"] == old.pem().decode()
        await hands.apply(await hands.only("workload.restart", of="site"), "run/restart/renewed")
        told = await hands.do("certificate.prove", **named)
        assert told["fingerprint"] == read_chain(pair["tls.crt"].encode(), "new").fingerprint
        await hands.do("certificate.restore", **named)
        await hands.apply(await hands.only("workload.restart", of="site"), "run/restart/restored")
        await hands.do("certificate.prove", **named)
        assert (await values(hands, "web-tls"))["tls.crt"] == old.pem().decode()
        assert not any(one in hands.out.text for one in (key, pair["tls.key"]))
