"""A read replica added and removed while the primary serves, held by a supervisord, with readers led by a pool."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
import yaml

from tests.integration.failing_over import Pair, failing_pair
from tests.integration.servers import as_postgres, free_port, own_folder, until

pytestmark = pytest.mark.real


@dataclass
class Readers:
    """A pair, and a third server that is not there yet."""

    pair: Pair
    data: Path
    port: int

    def behind_pool(self) -> int:
        """The port of the server that readers are led to."""
        address = f"postgresql://postgres@127.0.0.1:{self.pair.pool_port}/app_ro"
        with psycopg.connect(address, autocommit=True) as connection:
            ((port,),) = connection.execute("SELECT inet_server_port()", prepare=False).fetchall()
            return int(port)

    def slots(self) -> dict[str, bool]:
        """Of the primary: whether each is read."""
        (primary,) = self.pair.primaries()
        return dict(primary.sql("SELECT slot_name, active FROM pg_replication_slots"))

    def own(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(f"postgresql://postgres@127.0.0.1:{self.port}/app", autocommit=True)


@pytest.fixture(scope="module")
def readers() -> Iterator[Readers]:
    with own_folder("ro") as folder, failing_pair() as pair:
        folder.chmod(0o755)
        (folder / "pg").mkdir()
        as_postgres(folder / "pg")
        found = Readers(pair, folder / "pg" / "data", free_port())
        config = pair.folder / "supervisord.conf"
        one = config.read_text().partition("[program:one]")[2].partition("[program:")[0]
        mine = one.replace(str(pair.one.data), str(found.data)).replace("/one.log", "/readers.log")
        config.write_text(
            config.read_text() + f"[program:readers]{mine.replace('autostart = true', 'autostart = false')}"
        )
        pool = pair.folder / "pgbouncer.ini"
        entry = f"[databases]\napp_ro = host=127.0.0.1 port={pair.one.port} user=postgres dbname=app\n"
        pool.write_text(pool.read_text().replace("[databases]\n", entry))
        pair.supervisorctl("update")
        book = pair.book / "book.yaml"
        model = yaml.safe_load(book.read_text())
        model["components"]["database"]["read_replicas"] = [{
            "id": "readers", "workload": "readers", "data": str(found.data),
            "url": f"postgresql://postgres@127.0.0.1:{found.port}/app",
            "settings": {"unix_socket_directories": str(folder / "pg")},
            "readers": [{"file": str(pool), "reload": "pool", "databases": ["app_ro"]}],
        }]  # fmt: skip
        book.write_text(yaml.safe_dump(model))
        with psycopg.connect(f"postgresql://postgres@127.0.0.1:{pair.pool_port}/pgbouncer", autocommit=True) as console:
            console.execute("RELOAD", prepare=False)
        try:
            yield found
        finally:
            pair.supervisorctl("stop", "readers")


def test_it_is_copied_streams_and_gets_readers_and_is_removed_without_a_trace(readers: Readers) -> None:
    until(lambda: readers.behind_pool() == readers.pair.one.port, 10, "readers go to the primary")
    view = readers.pair.done("add-replica-readers")
    (added,) = [step for step in view["steps"] if step["id"] == "add"]
    assert added["state"] == "done"
    assert readers.slots()["opsbook_readers"] is True
    assert readers.behind_pool() == readers.port
    readers.pair.one.sql("INSERT INTO jobs (state) VALUES ('for readers')")
    with closing(readers.own()) as own:
        counted = "SELECT count(*) FROM jobs WHERE state = 'for readers'"
        until(lambda: own.execute(counted).fetchall() == [(1,)], 20, "the replica has what was written")
    made = readers.data.stat().st_ino
    readers.pair.done("failover-database", "planned=true")
    readers.pair.done("add-replica-readers")
    assert readers.data.stat().st_ino == made, "added again it follows the new primary, and nothing is copied"
    readers.pair.two.sql("INSERT INTO jobs (state) VALUES ('for readers')")
    with closing(readers.own()) as own:
        until(lambda: own.execute(counted).fetchall() == [(2,)], 20, "the replica has what the new primary wrote")

    readers.pair.two.sql("SELECT pg_create_physical_replication_slot('another')")
    readers.pair.done("remove-replica-readers", "delete=true")
    assert "opsbook_readers" not in readers.slots()
    assert readers.behind_pool() == readers.pair.two.port
    assert not readers.data.exists()
    assert set(readers.slots()) == {"another"}, "the slot of somebody else stays"


def test_a_folder_that_holds_something_is_refused_and_nothing_is_begun(readers: Readers) -> None:
    readers.data.mkdir()
    (readers.data / "precious").write_text("of somebody else")
    done = readers.pair.opsbook("run", "add-replica-readers", "--yes")
    assert done.returncode != 0 and "is not empty" in done.stderr
    assert "opsbook_readers" not in readers.slots()
    (readers.data / "precious").unlink()
    readers.data.rmdir()
