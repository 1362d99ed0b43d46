"""Failovers written out for a book, and the places that they rewrite."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from opsbook.book.catalogue import Risk
from opsbook.book.load import load_book
from opsbook.book.system import System, in_environment
from opsbook.catalogue import catalogue
from opsbook.connectors.by_hand.script import RENDERERS, Script
from opsbook.connectors.change import ChangeFailed
from opsbook.connectors.offered import import_room
from opsbook.connectors.postgres import Repoint
from opsbook.connectors.postgres_containers import data_folder, kept_stopped
from opsbook.connectors.postgres_pair import Server, lsn, position_of
from opsbook.connectors.postgres_places import names, pooled, rewritten
from opsbook.connectors.runtimes.contract import Instance, Status, Workload
from opsbook.connectors.runtimes.kubernetes_rbac import needed
from opsbook.engine.compile import load_procedures
from opsbook.engine.procedure import OnFailure
from opsbook.recovery.failover import drilled_by, families

RENEC = Path(__file__).parents[3] / "examples" / "renec" / "ops" / "book.yaml"
NEW, OLD = (Server(name, {"host": "10.0.0.1", "port": port}, None) for name, port in (("b", "5433"), ("a", "5432")))
ENV = (
    "# addresses\nURL=postgresql://u:p@10.0.0.1:5432/x\nOTHER=10.0.0.1:54321\nREPLICA='postgresql://10.0.0.1:5433/x'\n"
)


def place(**keys: object) -> Repoint:
    return Repoint.model_validate({"file": "env", **keys})


def test_only_the_named_variables_get_the_new_addresses() -> None:
    one = place(primary=["URL"], standby=["REPLICA"])
    text = rewritten(one, ENV, NEW, OLD)
    assert text == (
        "# addresses\nURL=postgresql://u:p@10.0.0.1:5433/x\nOTHER=10.0.0.1:54321\nREPLICA='postgresql://10.0.0.1:5432/x'\n"
    )
    assert rewritten(one, text, NEW, OLD) == text
    assert rewritten(one, text, OLD, NEW) == ENV
    assert not names(one, ENV, NEW, OLD)
    assert names(one, text, NEW, OLD)


def test_it_knows_servers_by_the_address_from_this_host_and_by_that_among_containers() -> None:
    new, old = (
        Server(name, {"host": "127.0.0.1", "port": port}, None, "/data", f"{name}:5432")
        for name, port in (("b", "18433"), ("a", "18432"))
    )
    text = "URL=postgresql://u@127.0.0.1:18432/x\nINNER=postgresql://u@a:5432/x\n"
    one = place(primary=["URL", "INNER"])
    assert rewritten(one, text, new, old) == "URL=postgresql://u@127.0.0.1:18433/x\nINNER=postgresql://u@b:5432/x\n"
    assert rewritten(one, rewritten(one, text, new, old), old, new) == text
    assert rewritten(place(reload="pool"), "x = host=a port=5432\n", new, old) == "x = host=b port=5432\n"
    rows = [{"name": "x", "host": "b", "port": 5432}]
    assert (pooled(rows, new), pooled(rows, old)) == (["x"], [])
    assert (new.as_seen_by(old), new.as_seen_by(NEW)) == (("b", 5432), ("127.0.0.1", 18433))


@pytest.mark.parametrize(
    "keys",
    [{"service": "database"}, {"file": None}, {"file": None, "service": "database", "primary": ["URL"]}],
    ids=["both", "neither", "keys of a file"],
)
def test_a_place_is_a_file_or_a_service(keys: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=r"a service|a `file`"):
        place(**keys)
    service = Repoint.model_validate({"service": "database", "follows": "standby"})
    assert service.named == "service/database"


@pytest.mark.parametrize(
    ("state", "wanted", "stopped"),
    [("exited", 1, True), ("running", 1, False), ("CrashLoopBackOff", 1, False), ("Terminating", 0, False),
     ("restarting", 1, False), ("", 0, True), ("", 1, False)],
)  # fmt: skip
async def test_only_a_runtime_that_starts_nothing_keeps_a_server_stopped(
    state: str, wanted: int, stopped: bool
) -> None:
    class Asked:
        async def status(self, workload: str) -> Status:
            instances = (Instance("db-0", False, state),) if state else ()
            return Status(Workload(workload, "StatefulSet", wanted, 0), instances)

    assert await kept_stopped(Asked(), "db") is stopped  # type: ignore[arg-type]


@pytest.mark.parametrize(("variable", "said"), [("OTHER", "names neither"), ("ABSENT", "no line ABSENT")])
def test_a_variable_that_names_neither_server_is_told(variable: str, said: str) -> None:
    with pytest.raises(ChangeFailed, match=said):
        rewritten(place(primary=[variable]), ENV, NEW, OLD)


def test_every_database_of_a_pool_that_leads_to_either_server_leads_to_the_primary() -> None:
    text = (
        "[databases]\napp = host=10.0.0.1 port=5432 dbname=app\nold = port=5432 host='10.0.0.1'\n"
        "far = host=10.0.0.9 port=5432\n; app = host=10.0.0.1 port=5432\nplain = host=10.0.0.1\n"
    )
    found = rewritten(place(reload="pool"), text, NEW, OLD)
    assert found == (
        "[databases]\napp = host=10.0.0.1 port=5433 dbname=app\nold = port=5433 host=10.0.0.1\n"
        "far = host=10.0.0.9 port=5432\n; app = host=10.0.0.1 port=5432\nplain = host=10.0.0.1 port=5433\n"
    )
    with pytest.raises(ChangeFailed, match="no database of the pool"):
        rewritten(place(reload="pool"), "[databases]\nfar = host=10.0.0.9\n", NEW, OLD)


def test_a_pool_is_asked_where_it_leads() -> None:
    rows = [{"name": "app", "host": "10.0.0.1", "port": 5433}, {"name": "pgbouncer", "host": None, "port": 6432}]
    assert (pooled(rows, NEW), pooled(rows, OLD)) == (["app"], [])


def test_a_position_in_the_log_is_written_as_postgresql_writes_it() -> None:
    assert lsn(position_of("1A/16B3748")) == "1A/16B3748"


def test_the_failover_of_the_example_fences_before_it_promotes() -> None:
    renec = in_environment(load_book(RENEC, catalogue()), "rehearsal")
    found = load_procedures(renec, catalogue(), dict(families(renec)))
    steps = {step.id: step for step in found["failover-database"].steps}
    assert list(steps) == [
        "safety", "stop-scheduler", "stop-worker", "stop-api", "fence", "promote", "repoint", "start-api", "served",
        "start-worker", "start-scheduler", "restart-worker", "well", "smoke-api", "smoke-ui",
    ]  # fmt: skip
    assert {name for name, step in steps.items() if step.when == "planned"} == {
        "stop-scheduler", "stop-worker", "stop-api", "start-api", "start-worker", "start-scheduler",
    }  # fmt: skip
    assert steps["safety"].timeout == 300
    undone = {"stop-scheduler", "stop-worker", "stop-api", "fence", "promote"}
    assert {name for name, step in steps.items() if step.on_failure is OnFailure.UNDO} == undone
    names_of = {"failover-database", "rebuild-database", "drill-failover-database"}
    assert set(dict(families(renec))) == names_of
    assert {found[name].risk for name in names_of} == {Risk.DESTRUCTIVE}


def test_a_drill_of_the_book_has_its_own_name_and_objectives(tmp_path: Path) -> None:
    server = {"workload": "a", "url": "postgresql://a/x"}
    database = {
        "kind": "postgres", "dsn": "postgresql://a/x",
        "failover": {"servers": [server, {"workload": "b", "url": "postgresql://b/x"}]},
    }  # fmt: skip
    system = _system(tmp_path, {"database": database, "other": {"kind": "postgres", "dsn": "postgresql://c/x"}})
    assert drilled_by(system) == {"drill-yearly": ("yearly", ("database",))}
    texts = dict(families(system))
    assert list(texts) == ["failover-database", "rebuild-database", "drill-yearly"]
    steps = load_procedures(system, catalogue(), texts)["failover-database"].steps
    assert [step.id for step in steps] == ["fence", "promote", "repoint", "served"]


def test_a_role_may_work_beside_servers_in_containers_and_set_their_services(tmp_path: Path) -> None:
    servers = [{"workload": f"pg-{one}", "url": f"postgresql://{one}/x", "inside": "/data/pg"} for one in "ab"]
    failover = {"servers": servers, "repoint": [{"service": "database"}]}
    database = {"kind": "postgres", "dsn": "postgresql://a/x", "failover": failover}
    rights = needed(_system(tmp_path, {"database": database}), ["postgres.fence", "postgres.repoint"])
    words = {one.words for one in rights}
    assert {"patch services", "create jobs.batch", "delete jobs.batch", "create pods/exec"} <= words
    (stopping,) = [one for one in rights if one.words == "patch statefulsets.apps"]
    assert stopping.names == ("pg-a", "pg-b")


def test_by_hand_it_is_told_where_a_folder_is_and_what_a_service_is_set_to(tmp_path: Path) -> None:
    import_room("opsbook.connectors")
    servers = [{"workload": f"pg-{one}", "url": f"postgresql://{one}/x", "inside": f"/data/{one}"} for one in "ab"]
    places = [{"service": "readers", "follows": "standby"}, {"file": "pool.ini", "reload": "pool"}]
    database = {"kind": "postgres", "dsn": "postgresql://a/x", "failover": {"servers": servers, "repoint": places}}
    pool = {"kind": "pgbouncer", "dsn": "postgresql://p/pgbouncer", "admin": "postgresql://boss@p/pgbouncer"}
    script = Script(_system(tmp_path, {"database": database, "pool": pool}))
    target = {"component": "database", "server": "pg-a"}

    def told(kind: str, **effect: object) -> str:
        return "\n".join(RENDERERS[kind]({"effect": {**target, **effect}}, script))

    assert re.search(r"volumes of pg-a .*\ntouch \"/data/a/standby.signal\"", told("postgres-fence", planned=False))
    assert "service/readers to the labels of the standby's pods" in told("postgres-repoint", place=0)
    assert "at_postgres postgresql://boss@p/pgbouncer psql -X -c RELOAD" in told("postgres-repoint", place=1)
    assert "volumes of pg-b:" in told("postgres-rebuild")


class Heard:
    """Takes what is told."""

    text = ""

    async def write(self, text: str) -> None:
        self.text += text


async def test_a_folder_beside_which_nothing_can_be_made_is_told_and_not_taken_for_fenced(tmp_path: Path) -> None:
    heard = Heard()
    async with data_folder(Server("a", {}, None, "/data"), object, "key", heard) as folder:  # type: ignore[arg-type]
        assert folder is None
    assert "the data folder of a cannot be reached" in heard.text
    async with data_folder(Server("a", {}, None), object, "key", heard) as folder:  # type: ignore[arg-type]
        assert folder is None
    async with data_folder(Server("a", {}, tmp_path), object, "key", heard) as folder:  # type: ignore[arg-type]
        assert folder is not None and not await folder.fenced()


def _system(folder: Path, components: dict[str, object]) -> System:
    path = folder / "book.yaml"
    drills = [{"id": "yearly", "kind": "failover", "of": ["database"]}]
    objectives = {"database": {"rto": "1h"}}
    book = {"opsbook": 1, "system": "t", "environments": {"test": {}}, "components": components, "drills": drills,
            "objectives": objectives}  # fmt: skip
    path.write_text(yaml.safe_dump(book))
    return in_environment(load_book(path, catalogue()))
