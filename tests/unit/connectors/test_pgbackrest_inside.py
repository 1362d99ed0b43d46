"""A backup by pgBackRest of the image: what its configuration says, what it needs, and where it is refused."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from tests.integration.servers import make_system

from opsbook.book.load import InvalidBook
from opsbook.book.system import System
from opsbook.connectors.backups.pgbackrest import Cluster, configuration, stanza_of
from opsbook.connectors.backups.pgbackrest_inside import Running
from opsbook.connectors.backups.recovered_inside import opened
from opsbook.connectors.contract import Connections
from opsbook.connectors.executors.pgbackrest import end_inside
from opsbook.connectors.executors.secrets import NotReached
from opsbook.connectors.runtimes.kubernetes_rbac import needed
from opsbook.errors import Unreachable

KUBERNETES = {"kind": "kubernetes", "namespace": "shop"}
CLUSTER = Cluster(Path("/data/pg"), 5432, "/run/postgresql", 150004, "postgres", 0, "on", "", False)


def book(tmp_path: Path, runtime: dict[str, str], to: str = "proofs", **inside: Any) -> System:
    database = {"kind": "postgres", "dsn": "postgresql://app@db/shop", "workload": "statefulset/db"}
    backup = {"id": "wal", "of": "database", "method": "pgbackrest", "to": to,
              "pgbackrest": {"inside": {"folder": "/data/pgbackrest", **inside}}}  # fmt: skip
    environments = {"test": {"policy": "open", "runtime": runtime}}
    return make_system(tmp_path, {"database": database}, backups=[backup], environments=environments)


def test_its_paths_are_those_of_the_container(tmp_path: Path) -> None:
    system = book(tmp_path, KUBERNETES)
    stanza = stanza_of(system, system.model.backups[0])
    assert isinstance(stanza.place, Running) and stanza.place.workload == "statefulset/db"
    assert str(stanza.config) == "/data/pgbackrest/pgbackrest.conf"
    assert stanza.address == "/data/pgbackrest/repository in statefulset/db"
    text = configuration(stanza, CLUSTER)
    assert "repo1-path=/data/pgbackrest/repository\n" in text and "lock-path=/data/pgbackrest/lock\n" in text
    other = book(tmp_path, KUBERNETES, repository="/backups/wal")
    assert "repo1-path=/backups/wal\n" in configuration(stanza_of(other, other.model.backups[0]), CLUSTER)


def test_of_two_servers_the_one_that_leads_is_meant(tmp_path: Path) -> None:
    servers = [
        {"workload": name, "url": f"postgresql://postgres@{name}/postgres", "inside": "/data/pg"} for name in "ab"
    ]
    database = {"kind": "postgres", "dsn": "postgresql://app@db/shop", "workload": "b", "through": "runtime",
                "failover": {"servers": servers, "repoint": [{"service": "db", "follows": "primary"}]}}  # fmt: skip
    backup = {"id": "wal", "of": "database", "method": "pgbackrest", "to": "proofs",
              "pgbackrest": {"inside": {"folder": "/data/pgbackrest"}}}  # fmt: skip
    environments = {"test": {"policy": "open", "runtime": KUBERNETES}}
    system = make_system(tmp_path, {"database": database}, backups=[backup], environments=environments)
    place = stanza_of(system, system.model.backups[0]).place
    assert isinstance(place, Running)
    assert place.servers == (("a", "/data/pg"), ("b", "/data/pg")) and place.workloads == ("b", "a")


def test_a_bucket_holds_the_repository_where_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "word")
    system = book(tmp_path, KUBERNETES, "s3://bucket/db?endpoint=https://store:9000")
    text = configuration(stanza_of(system, system.model.backups[0]), CLUSTER)
    assert "repo1-type=s3\n" in text and "lock-path=/data/pgbackrest/lock\n" in text


def test_a_recovered_server_is_open_to_one_role_alone() -> None:
    assert opened('pat "x"') == 'local all all trust\nhost all "pat ""x""" all scram-sha-256\n'


def test_a_host_without_containers_is_refused(tmp_path: Path) -> None:
    system = book(tmp_path, {"kind": "none"})
    with pytest.raises(NotReached, match="taken inside containers, and test has none"):
        stanza_of(system, system.model.backups[0])
    with pytest.raises(InvalidBook, match="folder"):
        book(tmp_path, KUBERNETES, folder="data")


@dataclass
class Away:
    """A system whose runtime cannot be asked."""

    system: System

    @property
    def runtime(self) -> Any:
        raise Unreachable("the engine does not answer", "start it")


async def test_a_backup_that_the_book_has_no_more_keeps_no_run_from_being_settled(tmp_path: Path) -> None:
    there, elsewhere = Away(book(tmp_path / "a", KUBERNETES)), Away(book(tmp_path / "b", {"kind": "none"}))
    for connections, backup, expected in ((there, "renamed", True), (there, "wal", False), (elsewhere, "wal", True)):
        told = await end_inside(cast(Connections, connections), "run/1", {"backup": backup})
        assert told is expected, (connections.system.folder, backup)


def test_a_recovery_may_make_a_job_and_nothing_else_may(tmp_path: Path) -> None:
    system = book(tmp_path, KUBERNETES)

    def words(*operations: str) -> set[str]:
        return {one.words for one in needed(system, operations)}

    more = {"create jobs.batch", "delete jobs.batch", "create pods/exec", "create pods/portforward"}
    assert more <= words("postgres.restore_at") and more <= words("drill.restore_at")
    assert words("backup.take") & more == {"create pods/exec"}
    assert not words("workload.restart") & more
