"""An audit and a containment with real tools: detect-secrets, apt-get, supervisord."""

from __future__ import annotations

import asyncio
import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from opsbook.book.system import System, parse_env
from opsbook.checks import audited as audited  # registers what applies an audit
from opsbook.connectors.audits import asking
from opsbook.connectors.contract import Failure
from opsbook.connectors.preserved import unpacked
from opsbook.connectors.registry import open_connections
from tests.integration.cluster import BEAT, GIVEN, NOT_GIVEN, WAITS_SECONDS, deployment, new_namespace, python
from tests.integration.hands import hands_of
from tests.integration.podman import lacking as lacking_podman
from tests.integration.podman import new_podman
from tests.integration.podman import python as python_service
from tests.integration.servers import Postgres, ask, make_system, new_postgres, until
from tests.integration.supervisord import new_supervisord

pytestmark = pytest.mark.real
OPSBOOK = Path(sys.executable).with_name("opsbook")

KEY = "AKIAIOSFODNN7" + "EXAMPLX"
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every tool meets a proxy that is not there."""
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"):
        monkeypatch.setenv(name, NOWHERE)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("HOME", str(tmp_path))


def shop(folder: Path, **keys: Any) -> System:
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "settings.py").write_text(f'WHERE = "here"\nAWS_KEY = "{KEY}"\n')
    (folder / "requirements.txt").write_text("opsbook-nobody-has-this==1.0\n")
    (folder / "front").mkdir()
    lock = {"name": "a", "version": "1.0.0", "lockfileVersion": 3,
            "packages": {"": {"dependencies": {"b": "1.0.0"}}, "node_modules/b": {"version": "1.0.0"}}}  # fmt: skip
    (folder / "front" / "package-lock.json").write_text(json.dumps(lock))
    (folder / "front" / "package.json").write_text('{"name": "a", "version": "1.0.0", "dependencies": {"b": "1.0.0"}}')
    return make_system(folder, {"host": {"kind": "host"}}, **keys)


async def test_tools_that_reach_nobody_give_no_value_and_say_why(tmp_path: Path, closed: None) -> None:
    async with open_connections(shop(tmp_path / "book")) as connections:
        python, node, image, gone, found, one_file = await ask(
            connections, "host",
            ("host.vulnerable_python", {"requirements": "requirements.txt"}),
            ("host.vulnerable_npm", {"folder": "front"}),
            ("host.vulnerable_image", {"image": "127.0.0.1:9/nothing:1"}),
            ("host.exposed_secrets", {"paths": ["elsewhere"]}),
            ("host.exposed_secrets", {"paths": ["src"]}),
            ("host.exposed_secrets", {"paths": ["src/settings.py", "front"]}),
            within=110,
        )  # fmt: skip
    for reading in (python, node, image, gone):
        assert (reading.value, reading.failure) == (None, Failure.FAILED), reading
        assert reading.message.startswith("not asked: "), reading.message
    assert (found.value, one_file.value) == (1, 1)
    assert "settings.py:2 (AWS Access Key)" in found.message
    assert KEY not in json.dumps([found.message, found.detail])


async def test_a_tool_that_hangs_is_ended_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(asking.NotAsked, match=r"sleep did not answer within 0\.2 s"):
        await asking.run(["sleep", "600"], seconds=0.2)


async def test_the_evidence_of_an_audit_has_what_was_found_and_what_was_not_asked(tmp_path: Path, closed: None) -> None:
    checks = [
        {"id": "secrets", "observe": "host.exposed_secrets", "of": "host", "with": {"paths": ["src"]}},
        {
            "id": "packages",
            "observe": "host.vulnerable_python",
            "of": "host",
            "with": {"requirements": "requirements.txt"},
        },
    ]
    system = shop(tmp_path / "book", checks=checks)
    async with hands_of(system) as hands:
        said = await hands.do("security.audit", of="host")
    assert said["critical"] == 1
    assert any(line.startswith("packages: not asked: ") for line in said["not_asked"])
    data, page = (system.path(said[name]).read_bytes() for name in ("json", "markdown"))
    assert (hashlib.sha256(data).hexdigest(), hashlib.sha256(page).hexdigest()) == (
        said["sha256"],
        said["markdown_sha256"],
    )
    assert KEY.encode() not in data + page
    assert b"### critical: secrets" in page
    assert system.path(said["json"]).stat().st_mode & 0o777 == 0o400


@pytest.fixture
def running() -> Iterator[System]:
    with new_supervisord() as server:
        yield server.system({"single": {"kind": "workload"}, "worker": {"kind": "workload"}})


async def test_what_a_workload_is_is_preserved_then_it_is_stopped_and_comes_back(running: System) -> None:
    async with hands_of(running) as hands:
        await hands.do("workload.start", of="single")
        log = running.folder / "logs" / "single.log"
        await asyncio.to_thread(until, lambda: "INFO started" in log.read_text(), 60.0)
        kept = await hands.do("workload.preserve", of="single")
        await hands.do("workload.stop", of="single")
        assert not any(one.ready for one in (await hands.connections.runtime.status("single")).instances)
        after = await hands.do("workload.preserve", of="single")
        await hands.do("workload.renew", of="single")
        assert all(one.ready for one in (await hands.connections.runtime.status("single")).instances)
    archive = running.path(kept["path"])
    assert hashlib.sha256(archive.read_bytes()).hexdigest() == kept["sha256"]
    found = unpacked(archive.read_bytes())
    assert b"INFO started" in found["logs.txt"]
    assert b"beat.py" in found["processes.txt"]
    assert b"hunter2" not in b"".join(found.values())
    assert "OWN_SECRET" in json.loads(found["variables.json"])
    assert b"INFO started" in unpacked(running.path(after["path"]).read_bytes())["logs.txt"]


def opsbook(system: System, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(OPSBOOK), *arguments, "--book", str(system.folder)], capture_output=True, text=True,
                          timeout=300, stdin=subprocess.DEVNULL, check=False)  # fmt: skip


@pytest.fixture
def breached(server: Postgres) -> Iterator[System]:
    with new_supervisord() as supervisord:
        env = supervisord.folder / "app.env"
        env.write_text(f"DATABASE_URL=postgresql://shop:first-word@127.0.0.1:{server.port}/shop\n")
        rotation = {"id": "shop", "of": "database", "role": "shop", "every": "90d", "to": f"env:{env}#DATABASE_URL",
                    "restart": ["single"]}  # fmt: skip
        yield make_system(
            supervisord.folder,
            {
                "database": {"kind": "postgres", "dsn": server.url(database="shop")},
                "single": {"kind": "workload"},
            },
            environments={
                "test": {"policy": "open", "runtime": {"kind": "supervisor", "config": str(supervisord.config)}}
            },
            rotations=[rotation],
        )


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with new_postgres() as found:
        found.sql(
            "CREATE ROLE shop LOGIN PASSWORD 'first-word'", "CREATE DATABASE shop OWNER shop", database="postgres"
        )
        yield found


async def test_a_breach_is_contained_and_who_stole_a_password_is_out_at_once(
    breached: System, server: Postgres
) -> None:
    async with hands_of(breached) as hands:
        await hands.do("workload.start", of="single")
    stolen = f"postgresql://shop:first-word@127.0.0.1:{server.port}/shop"
    with psycopg.connect(stolen, autocommit=True) as thief:
        done = await asyncio.to_thread(opsbook, breached, "run", "contain-single", "--yes", "--format", "json")
        assert done.returncode == 4, done.stdout + done.stderr
        with pytest.raises(psycopg.OperationalError):
            thief.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(stolen, connect_timeout=5)
    steps = {step["id"]: step["state"] for step in json.loads(done.stdout)["steps"]}
    assert [steps[name] for name in ("before", "cut", "after", "prepare-shop", "retire-shop")] == ["done"] * 5, steps
    async with hands_of(breached) as hands:
        assert not any(one.ready for one in (await hands.connections.runtime.status("single")).instances)
    assert len(list(breached.path(".opsbook/evidence").glob("single-*.tar.zst"))) == 2
    address = parse_env((breached.folder / "app.env").read_text())["DATABASE_URL"]
    with psycopg.connect(address) as again:
        assert again.execute("SELECT 1").fetchone() == (1,)
    assert "first-word" not in done.stdout


async def test_an_audit_holds_a_database_against_what_the_book_allows(server: Postgres, tmp_path: Path) -> None:
    server.sql("CREATE ROLE intruder LOGIN SUPERUSER")
    roles = {"id": "roles", "observe": "postgres.unexpected_roles", "of": "database", "with": {"allowed": ["monitor"]}}
    refused = {
        "id": "refused", "title": "Refused log-ins", "observe": "postgres.value", "of": "database", "warning": "> 5",
        "groups": ["security"], "with": {"sql": "SELECT 7"},
    }  # fmt: skip
    database = {"kind": "postgres", "dsn": server.url()}
    system = make_system(tmp_path / "book", {"database": database}, checks=[roles, refused])
    async with hands_of(system) as hands:
        said = await hands.do("security.audit", of="database")
    server.sql("DROP ROLE intruder")
    assert (said["critical"], said["warning"]) == (1, 1)
    told = json.loads(system.path(said["json"]).read_text())
    assert {"role": "intruder", "powers": ["superuser"]}.items() <= next(
        row for row in told["asked"][0]["detail"] if row["role"] == "intruder"
    ).items()
    assert "postgres.grants_beyond of database: not asked: no check says who may do what" in said["not_asked"]
    page = system.path(said["markdown"]).read_text()
    assert page.index("critical: roles") < page.index("warning: Refused log-ins")


@pytest.mark.skipif(bool(lacking_podman()), reason=lacking_podman() or "podman is here")
async def test_a_container_is_looked_into_before_and_after_it_is_cut_off_from_its_networks() -> None:
    with new_podman("1") as engine:
        engine.write({"single": python_service(BEAT)})
        system = engine.system({"single": {"kind": "workload"}})
        async with hands_of(system) as hands:
            await hands.do("workload.start", of="single")
            first = await hands.do("workload.preserve", of="single")
            await hands.do("workload.isolate", of="single")
            second = await hands.do("workload.preserve", of="single")
            await hands.do("workload.reconnect", of="single")
            (age,) = await ask(hands.connections, "single", "workload.image_age")
        before, after = (unpacked(system.path(one["path"]).read_bytes()) for one in (first, second))
        assert b"process" in before["processes.txt"] and b"process" in after["processes.txt"], first["missing"]
        assert age.value is not None or age.message.startswith("not asked: "), age


@pytest.mark.xdist_group("kubernetes-parts")
@pytest.mark.timeout(WAITS_SECONDS)
@pytest.mark.skipif(not GIVEN, reason=NOT_GIVEN)
async def test_workloads_without_a_network_policy_are_named() -> None:
    policy = {
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "guarded"},
        "spec": {"podSelector": {"matchLabels": {"app": "guarded"}}, "policyTypes": ["Ingress"]},
    }  # fmt: skip
    objects = [deployment(name, python(name, BEAT), replicas=1) for name in ("open", "guarded")]
    with new_namespace(*objects, policy) as cluster:
        system = cluster.system({"cluster": {"kind": "cluster"}, "open": {"kind": "workload"}})
        async with hands_of(system) as hands:
            deadline = time.monotonic() + 60
            while True:
                hands.connections.forget()
                (found,) = await ask(hands.connections, "cluster", "cluster.without_policy")
                if found.value or time.monotonic() > deadline:
                    break
                await asyncio.sleep(0.5)
    assert found.value == 1, found
    assert found.message.startswith("1 policies; none for ReplicaSet open-"), found.message
