"""A primary and its standby in containers, of compose or of Kubernetes, with a book that says how they fail over.

Both begin by one script: the first makes a database where there is none, the other copies it.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

from opsbook.book.load import load_book
from opsbook.book.system import System, in_environment
from opsbook.catalogue import catalogue
from opsbook.connectors.postgres_containers import kill
from opsbook.connectors.postgres_pair import Server
from opsbook.connectors.registry import OpenConnections, open_connections
from opsbook.connectors.runtimes.beside import Beside, Said, beside
from opsbook.connectors.runtimes.contract import LooksInside
from opsbook.errors import OpsbookError
from tests.integration.cluster import container, new_namespace, service, workload
from tests.integration.hands import Out, hands_of
from tests.integration.podman import Podman, new_podman
from tests.integration.servers import free_port, own_folder, until

T = TypeVar("T")
OPSBOOK = Path(sys.executable).with_name("opsbook")
WORD = "s3cret-word"
BIN = "/usr/lib/postgresql/15/bin"
DATA = "/data/pg"
BEGIN = f"""
set -eu
other=$1 first=${{2:-}} data={DATA} new=/data/new pass=/data/pgpass
as_postgres="setpriv --reuid=postgres --regid=postgres --clear-groups"
mkdir -p /run/postgresql && chown postgres: /data /run/postgresql && chmod 700 /data
echo "*:*:*:*:{WORD}" > $pass && chmod 600 $pass && chown postgres: $pass
if [ ! -e $data/PG_VERSION ]; then
  rm -rf $new
  if [ "$first" = first ]; then
    echo "{WORD}" > /tmp/word
    $as_postgres {BIN}/initdb -k -D $new -U postgres -A scram-sha-256 --pwfile=/tmp/word -E UTF8 --no-locale >/dev/null
    echo "host replication all all scram-sha-256" >> $new/pg_hba.conf
    echo "host all all all scram-sha-256" >> $new/pg_hba.conf
  else
    from="host=$other user=postgres passfile=$pass application_name=standby"
    slot="-C -S standby_1"
    until $as_postgres {BIN}/pg_basebackup -D $new -R -X stream $slot -c fast -w --no-sync -d "$from"
    do rm -rf $new; sleep 0.5; done
  fi
  mv -T $new $data
fi
exec $as_postgres {BIN}/postgres -D $data -c listen_addresses='*' -c shared_buffers=16MB -c max_connections=30 \\
  -c unix_socket_directories=/run/postgresql
"""
SERVERS = {"one": ("two", "first"), "two": ("one", "")}
ASKED = ["env", "PGPASSFILE=/data/pgpass", "PGCONNECT_TIMEOUT=20", f"{BIN}/psql", "-h", "127.0.0.1", "-U", "postgres",
         "-XqAt", "-v", "ON_ERROR_STOP=1", "-c"]  # fmt: skip


@dataclass(frozen=True)
class Contained:
    """One of the two, asked from within its container."""

    pair: Containers
    name: str

    def sql(self, *statements: str) -> list[tuple[Any, ...]]:
        """Rows of the last statement, as text."""
        rows: list[tuple[Any, ...]] = []
        for one in statements:
            code, said = self.pair.inside(self.name, *ASKED, one)
            assert code == 0, f"{self.name}: {said}"
            rows = [tuple(line.split("|")) for line in said.splitlines()]
        return rows

    def replayed(self, standby: Contained) -> bool:
        """Whether the standby streams from this one and has all that it has."""
        return (
            self.sql("SELECT count(*) FROM pg_stat_replication WHERE replay_lsn >= pg_current_wal_lsn() - 0")
            == [("1",)]
            and self.pair.recovering(standby) is True
        )


@dataclass
class Containers:
    """What a test asks and breaks. `one` was the primary at first."""

    folder: Path
    variables: Mapping[str, str]

    @property
    def book(self) -> Path:
        return self.folder / "book"

    @property
    def one(self) -> Contained:
        return Contained(self, "one")

    @property
    def two(self) -> Contained:
        return Contained(self, "two")

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, **self.variables, "OPSBOOK_STORE": str(self.folder / "store.db"), "NO_COLOR": "1"}

    def system(self) -> System:
        return in_environment(load_book(self.book / "book.yaml", catalogue()))

    def opsbook(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A verb of opsbook on the book, with a store of its own."""
        return subprocess.run(
            [str(OPSBOOK), *arguments, "--book", str(self.book)], capture_output=True, text=True, timeout=280,
            env=self.environment, stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip

    def done(self, procedure: str, *words: str) -> dict[str, Any]:
        """The run as it ended, which must be well."""
        done = self.opsbook("run", procedure, *words, "--yes", "--format", "json")
        assert done.stdout, f"exit {done.returncode}: {done.stderr}"
        view: dict[str, Any] = json.loads(done.stdout)
        assert view["state"] == "done", f"{procedure}: {view['state']}: {view['message']}\n{done.stderr[-2000:]}"
        return view

    def with_connections(self, act: Any) -> Any:
        """What an act on open connections says, in a loop of its own."""

        async def run() -> Any:
            async with open_connections(self.system()) as connections:
                return await act(connections)

        return asyncio.run(run())

    def inside(self, workload: str, *argv: str) -> tuple[int | None, str]:
        """Exit code and output of a program in the container of a server."""

        async def act(connections: OpenConnections) -> tuple[int | None, str]:
            assert isinstance(connections.runtime, LooksInside)
            (seen,) = await connections.runtime.look_inside(workload, argv, 30, instances=None, every=False)
            return seen.code, seen.said + seen.trouble

        found: tuple[int | None, str] = self.with_connections(act)
        return found

    def beside(self, server: Contained, *argv: str) -> Said:
        """A program beside the container of a server that is stopped."""

        async def act(connections: OpenConnections) -> Said:
            wanted = Beside("test-beside", "test/1", server.name, 60)
            async with beside(connections.runtime, wanted, Out()) as inside:
                return await inside.run(argv, seconds=30)

        found: Said = self.with_connections(act)
        return found

    def recovering(self, server: Contained) -> bool | None:
        """What the server says; None where it does not answer."""
        try:
            code, said = self.inside(server.name, *ASKED, "SELECT pg_is_in_recovery()")
        except OpsbookError:
            return None
        return said.strip() == "t" if code == 0 else None

    def primaries(self) -> list[Contained]:
        return [server for server in (self.one, self.two) if self.recovering(server) is False]

    def only(self, name: str) -> None:
        """It is the primary, and the only one. One that is asked on a loaded host may not have answered in time."""

        def alone() -> bool:
            found = [server.name for server in self.primaries()]
            assert len(found) < 2, "two primaries"
            return found == [name]

        until(alone, 120, f"{name} is the primary")

    def lose(self, server: Contained) -> None:
        """Kill it as a crash does, and keep it from coming back, as if its node were gone."""
        known = Server(server.name, {}, None, DATA)
        self.with_connections(lambda connections: kill(known, connections.runtime))
        self.tell(server, "workload.stop")

    def tell(self, server: Contained, operation: str) -> None:
        async def act() -> None:
            async with hands_of(self.system()) as hands:
                await hands.do(operation, of=server.name)

        asyncio.run(act())

    def left_behind(self, server: Contained) -> list[str]:
        """What stands beside its data folder and should not."""
        code, said = self.inside(server.name, "sh", "-c", f"ls -d {DATA}.* 2>/dev/null; true")
        assert code == 0, said
        return said.split()

    def leads(self) -> tuple[str, str]:
        """Where the book's places lead: the primary's and the standby's name."""
        raise NotImplementedError

    def leads_to(self, server: Contained) -> bool:
        """Whether clients are led to this server."""
        return self.leads()[0] == server.name

    def has(self, server: Contained, mark: str) -> bool:
        """Whether a job of this mark is there."""
        return server.sql(f"SELECT count(*) FROM jobs WHERE state = '{mark}'") == [("1",)]


class OnCompose(Containers):
    """Places are lines of a file: addresses from this host, and among the containers."""

    ports: Mapping[str, int]
    engine: Podman

    def left_behind(self, server: Contained) -> list[str]:
        """Also containers beside either server."""
        client = self.engine.client()
        try:
            beside = client.containers(all=True, filters={"label": "opsbook.key"})
        finally:
            client.close()
        return super().left_behind(server) + [one["Names"][0] for one in beside]

    def leads(self) -> tuple[str, str]:
        lines = dict(line.partition("=")[::2] for line in (self.folder / "env").read_text().splitlines())
        names = {f":{port}/": name for name, port in self.ports.items()}
        (primary,) = [name for mark, name in names.items() if mark in lines["PRIMARY"]]
        (standby,) = [name for mark, name in names.items() if mark in lines["STANDBY"]]
        assert f"@{primary}:5432/" in lines["AMONG"]
        return primary, standby


class OnKubernetes(Containers):
    """Places are two services."""

    cluster: Any

    def leads(self) -> tuple[str, str]:
        async def app(api: Any, name: str) -> str:
            path = f"/api/v1/namespaces/{self.cluster.namespace}/services/{name}"
            return str((await api.get(path))["spec"]["selector"]["app"])

        return (self.cluster.do(lambda api: app(api, "database")), self.cluster.do(lambda api: app(api, "standby")))


@contextmanager
def on_compose() -> Iterator[Containers]:
    """Two services of podman."""
    ports = {name: free_port() for name in SERVERS}
    with new_podman("1") as engine:
        mounts = ["/usr:/usr:ro", "/etc/passwd:/etc/passwd:ro", "/etc/group:/etc/group:ro"]
        services = {
            name: {
                "image": "localhost/base:1", "command": ["sh", "-c", BEGIN.replace("$", "$$"), "sh", *arguments],
                "volumes": [*mounts, f"{name}:/data"], "ports": [f"127.0.0.1:{ports[name]}:5432"],
                "restart": "unless-stopped", "stop_signal": "SIGINT", "stop_grace_period": "20s",
            }
            for name, arguments in SERVERS.items()
        }  # fmt: skip
        engine.write(services, volumes={name: {} for name in SERVERS})
        pair = OnCompose(engine.folder, {})
        pair.ports, pair.engine = ports, engine
        urls = {name: f"postgresql://postgres:{WORD}@127.0.0.1:{port}/postgres" for name, port in ports.items()}
        (engine.folder / "env").write_text(
            f"PRIMARY={urls['one']}\nSTANDBY={urls['two']}\nAMONG=postgresql://postgres@one:5432/postgres\n"
        )
        repoint = [{"file": str(engine.folder / "env"), "primary": ["PRIMARY", "AMONG"], "standby": ["STANDBY"]}]
        servers = [{"workload": name, "url": url, "inside": DATA, "address": f"{name}:5432"}
                   for name, url in urls.items()]  # fmt: skip
        database = {"dsn": "${PRIMARY}", "replica": "${STANDBY}", "failover": {"servers": servers, "repoint": repoint}}
        runtime = {"kind": "compose", "file": str(engine.file), "host": engine.address}
        yield from _ready(pair, database, {"runtime": runtime, "env_file": str(engine.folder / "env")})


@contextmanager
def on_kubernetes() -> Iterator[Containers]:
    """Two StatefulSets, each with a folder of the node: it is no more than a volume needs to be."""
    mount = [{"name": "data", "mountPath": "/data"}]
    with new_namespace() as cluster, own_folder("fok") as folder:
        objects = []
        for name, arguments in SERVERS.items():
            volume = {"name": "data", "hostPath": {"path": f"/tmp/{cluster.namespace}-{name}"}}
            probe = {"exec": {"command": [f"{BIN}/pg_isready", "-q", "-h", "127.0.0.1"]}, "periodSeconds": 1,
                     "timeoutSeconds": 10}  # fmt: skip
            one = container(name, ["sh", "-c", BEGIN.replace("$(", "$$("), "sh", *arguments], volumeMounts=mount,
                            readinessProbe=probe,
                            lifecycle={"preStop": {"exec": {"command": ["setpriv", "--reuid=postgres",
                                       "--regid=postgres", "--clear-groups", f"{BIN}/pg_ctl", "-D", DATA, "-m", "fast",
                                       "stop"]}}})  # fmt: skip
            pod = {"volumes": [volume], "nodeName": "node1", "terminationGracePeriodSeconds": 20}
            objects += [workload("StatefulSet", name, one, serviceName=name, replicas=1, pod=pod), service(name, 5432)]
        for name, app in (("database", "one"), ("standby", "two")):
            objects.append(service(name, 5432, selector={"app": app}))
        cluster.make(*objects)
        pair = OnKubernetes(folder, {})
        pair.cluster = cluster
        servers = [{"workload": name, "url": f"postgresql://postgres:{WORD}@{name}:5432/postgres", "inside": DATA}
                   for name in SERVERS]  # fmt: skip
        repoint = [{"service": "database"}, {"service": "standby", "follows": "standby"}]
        database = {
            "dsn": f"postgresql://postgres:{WORD}@database:5432/postgres", "through": "runtime",
            "failover": {"servers": servers, "repoint": repoint},
        }  # fmt: skip
        yield from _ready(pair, database, {"runtime": {"kind": "kubernetes", "namespace": cluster.namespace}})


def _ready(pair: Containers, database: dict[str, Any], environment: dict[str, Any]) -> Iterator[Containers]:
    """The book, and both servers running."""
    components = {
        "database": {"kind": "postgres", "workload": "one", **database},
        "one": {"kind": "workload"}, "two": {"kind": "workload"},
    }  # fmt: skip
    model = {
        "opsbook": 1, "system": "pair", "components": components,
        "objectives": {"database": {"rto": "1h", "rpo": "1h"}},
        "environments": {"test": {"policy": "open", "disposable": True, **environment}},
        "checks": [{"id": "database-up", "title": "Database", "observe": "postgres.up", "of": "database"}],
    }  # fmt: skip
    pair.book.mkdir()
    (pair.book / "book.yaml").write_text(yaml.safe_dump(model))
    for server in (pair.one, pair.two):
        pair.tell(server, "workload.start")
    until(lambda: [pair.recovering(pair.one), pair.recovering(pair.two)] == [False, True], 240, "both answer")
    pair.one.sql("CREATE TABLE jobs (state text)")
    until(lambda: pair.one.replayed(pair.two), 120, "the standby streams")
    yield pair
