"""Migrations of a version, run in the cluster from its own image: the schema moves with the application."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from opsbook.connectors.change import ChangeFailed
from opsbook.connectors.runtimes.kubernetes import Kubernetes
from opsbook.errors import Refused
from tests.integration.cluster import container, deployment, new_namespace, on_cluster, python, service
from tests.integration.hands import Hands, hands_of
from tests.integration.kubernetes_shop import ASKING, Shop, behind, book, side
from tests.integration.test_kubernetes_forward import POSTGRES

pytestmark = on_cluster("systems", 400)

ENV = """\
import os
from alembic import context
from sqlalchemy import create_engine
url = os.environ["DATABASE_URL"]
options = {"transaction_per_migration": True}
if context.is_offline_mode():
    context.configure(url=url, literal_binds=True, **options)
    with context.begin_transaction():
        context.run_migrations()
else:
    with create_engine(url).connect() as connection:
        context.configure(connection=connection, **options)
        with context.begin_transaction():
            context.run_migrations()
"""
INI = "[alembic]\nscript_location = %(here)s\n"


def migration(number: int, up: str, down: str) -> str:
    before = f'"{number - 1:04}"' if number > 1 else "None"
    return (
        f'from alembic import op\nrevision = "{number:04}"\ndown_revision = {before}\n'
        f'def upgrade():\n    op.execute("{up}")\ndef downgrade():\n    op.execute("{down}")\n'
    )


FIRST = migration(1, "CREATE TABLE items (id int)", "DROP TABLE items")
SECOND = migration(2, "ALTER TABLE items ADD COLUMN name text", "ALTER TABLE items DROP COLUMN name")
BAD = migration(3, "ALTER TABLE nowhere ADD COLUMN name text", "SELECT 1")
THIRD = migration(3, "CREATE INDEX items_name ON items (name)", "DROP INDEX items_name")


def sources(version: str, *migrations: str) -> dict[str, Any]:
    files = {f"m{number}": text for number, text in enumerate(migrations, 1)}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"sources-{version}"},
            "data": {"ini": INI, "env": ENV, **files}}  # fmt: skip


def volume(version: str, count: int) -> dict[str, Any]:
    items = [{"key": "ini", "path": "alembic.ini"}, {"key": "env", "path": "env.py"}]
    items += [{"key": f"m{number}", "path": f"versions/{number:04}.py"} for number in range(1, count + 1)]
    return {"name": f"sources-{version}", "configMap": {"name": f"sources-{version}", "items": items}}


URL = "postgresql+psycopg://postgres:s3cret-word@db/postgres"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """What an image of the application would hold is mounted: its sources by version, and Alembic."""
    ready = {"tcpSocket": {"port": 5432}, "periodSeconds": 1}
    database = container("db", ["bash", "-c", POSTGRES], env=[{"name": "PASSWORD", "value": "s3cret-word"}],
                         readinessProbe=ready)  # fmt: skip
    packages = f"/venv/lib/python3.{sys.version_info.minor}/site-packages"
    api = side(
        "api", "blue", 1, env=[{"name": "DATABASE_URL", "value": URL}, {"name": "PACKAGES", "value": packages}],
        volumeMounts=[{"name": "venv", "mountPath": "/venv", "readOnly": True},
                      *({"name": f"sources-{one}", "mountPath": f"/app/{one}"} for one in "12")],
    )  # fmt: skip
    api["spec"]["template"]["spec"]["volumes"] = [
        {"name": "venv", "hostPath": {"path": sys.prefix}}, volume("1", 1), volume("2", 3),
    ]  # fmt: skip
    ask = deployment("ask", python("ask", ASKING.replace("EVERY", "0.2")), replicas=0)
    said = {
        "components": {"database": {"kind": "postgres", "dsn": URL.replace("+psycopg", ""), "through": "runtime"}},
        "deploys": {
            "watch": "4s", "wait": "60s", "latency": "2s", "components": {},
            "migrations": {"of": "database", "inside": "api", "folder": "/app/{version}", "backup_before": False,
                           "command": ["sh", "-c", 'PYTHONPATH=$PACKAGES exec python3 -m alembic "$@"', "alembic"]},
        },
    }  # fmt: skip
    faults = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "faults"}, "data": {}}
    with new_namespace(
        deployment("db", database), service("db", 5432), faults, sources("1", FIRST),
        sources("2", FIRST, SECOND, THIRD), api, behind("api", side="blue"), ask,
    ) as cluster:  # fmt: skip
        one = Shop(cluster, book(cluster, tmp_path_factory.mktemp("shop") / "ops", **said))
        one.scale("db", 1)
        one.scale("api", 1)
        one.scale("ask", 1)
        yield one


async def revision(hands: Hands) -> str:
    fact = await hands.facts.rows("database", "SELECT version_num FROM public.alembic_version")
    return str(fact[0]["version_num"])


def system(shop: Shop) -> Any:
    from opsbook.book.load import load_book
    from opsbook.book.system import in_environment
    from opsbook.catalogue import catalogue

    return in_environment(load_book(shop.ops / "book.yaml", catalogue()))


def jobs(shop: Shop) -> list[str]:
    path = f"/apis/batch/v1/namespaces/{shop.cluster.namespace}/jobs"
    found = shop.cluster.do(lambda api: api.get(path))
    return [one["metadata"]["name"] for one in found["items"]]


async def test_a_plan_shows_statements_and_locks_and_a_lock_that_is_held_lets_nobody_queue(shop: Shop) -> None:
    async with hands_of(system(shop)) as hands:
        await hands.do("migrations.upgrade", of="database", version="1")
        assert await revision(hands) == "0001"
        known = await hands.only("migrations.upgrade", of="database", version="1")
        assert known.evidence == {"revision": "0001 already"}, "the version that runs is asked where it runs"
        change = await hands.only("migrations.upgrade", of="database", version="2", lock_timeout="1s")
        assert "made for that and removed" in change.evidence["asked in"]
        assert change.evidence["revision"] == "0001 → 0003"
        assert change.evidence["way back"] == "by its downgrades"
        assert "ALTER TABLE items ADD COLUMN name text" in change.evidence["statements"]
        assert any("ACCESS EXCLUSIVE" in said for said in change.evidence["locks"].values())
        runtime = hands.connections.runtime
        assert isinstance(runtime, Kubernetes)
        holder = await psycopg.AsyncConnection.connect(
            f"host=127.0.0.1 port={runtime.forward('db', 5432)} user=postgres password=s3cret-word dbname=postgres"
        )
        await holder.execute("LOCK TABLE items IN ACCESS SHARE MODE")
        with pytest.raises(ChangeFailed, match="lock timeout"):
            await hands.apply(change, "run/1/0")
        assert await revision(hands) == "0001"
        # Whoever else migrates this database meanwhile is refused; whoever comes again awaits the same job.
        longer = await hands.only("migrations.upgrade", of="database", version="2", lock_timeout="60s")
        going = asyncio.ensure_future(hands.apply(longer, "run/2/0"))
        while not await asyncio.to_thread(jobs, shop):  # noqa: ASYNC110
            await asyncio.sleep(0.2)
        with pytest.raises(Refused, match="under way already"):
            await hands.apply(longer, "run/3/0")
        again = asyncio.ensure_future(hands.apply(longer, "run/2/0"))
        await holder.close()
        done = await asyncio.gather(going, again)
        assert done[0] == done[1] == {"revision": "0003"}
        await hands.undo(longer)
        assert await revision(hands) == "0001"
    assert jobs(shop) == [], "nothing is left"


def test_application_and_schema_go_forth_and_back_together(shop: Shop) -> None:
    annotations = shop.get("Deployment", "api")["metadata"]["annotations"]
    first = annotations["deployment.kubernetes.io/revision"]
    with shop.asked() as requests:
        view = shop.run("deploy", "api", "2")
        assert view["state"] == "done", view["message"]
        assert (shop.serving()[1], _revision(shop)) == ("2", "0003")
        told = shop.opsbook("rollback", "api", "--dry-run").stdout
        assert "it is at 0003, and 1 was made for 0001" in told and "by its downgrades, with --schema" in told, told
        back = shop.run("rollback", "api", "--to-revision", first, "--schema")
        assert back["state"] == "done", back["message"]
        assert (shop.serving()[1], _revision(shop)) == ("1", "0001")
    assert set(requests) == {"200"}, requests
    assert jobs(shop) == []


@pytest.mark.thorough
def test_the_schema_goes_back_with_a_version_that_is_worse_and_from_half_way(shop: Shop) -> None:
    shop.fault("2", "errors")
    view = shop.run("deploy", "api", "2")
    shop.fault("2", "")
    assert view["state"] == "undone", view["message"]
    assert (shop.serving()[1], _revision(shop)) == ("1", "0001")

    shop.patch("v1", "ConfigMap", "sources-2", {"data": {"m3": BAD}})
    view = shop.run("deploy", "api", "2")
    assert view["state"] == "undone", view["message"]
    assert "nowhere" in view["message"], "in the server's own words"
    assert (shop.serving()[1], _revision(shop)) == ("1", "0001"), "it had come half way"
    assert jobs(shop) == []


def _revision(shop: Shop) -> str:
    async def ask() -> str:
        async with hands_of(system(shop)) as hands:
            return await revision(hands)

    return asyncio.run(ask())
