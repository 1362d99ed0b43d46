"""Procedures that tune, size, add and remove: made for what a book has, measured by whom it serves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from opsbook.book.load import load_book
from opsbook.book.system import System, in_environment
from opsbook.catalogue import catalogue
from opsbook.connectors.change import ChangeFailed
from opsbook.connectors.postgres import ReadersPlace
from opsbook.connectors.postgres_pair import Server
from opsbook.connectors.postgres_places import readers_led
from opsbook.engine.compile import load_procedures
from opsbook.operations.tuning import read
from opsbook.upkeep import read_replicas, tuning

REPLICA = {"id": "reports", "workload": "reports", "url": "postgresql://p@localhost:5433/shop", "data": "/srv/reports"}
COMPONENTS: dict[str, Any] = {
    "api": {"kind": "http", "url": "http://localhost:8000", "workload": "api", "depends_on": ["database"]},
    "database": {"kind": "postgres", "dsn": "postgresql://localhost/shop", "workload": "db",
                 "read_replicas": [REPLICA]},
    "cache": {"kind": "redis", "url": "redis://localhost"},
}  # fmt: skip


def system(folder: Path, runtime: dict[str, Any] | None = None) -> System:
    environment = {"policy": "open", **({"runtime": runtime} if runtime else {})}
    model = {
        "opsbook": 1, "system": "t", "environments": {"test": environment}, "components": COMPONENTS,
        "smoke_tests": [{"id": "items", "of": "api", "path": "/items"}],
        "checks": [{"id": "database-up", "observe": "postgres.up", "of": "database"}],
    }  # fmt: skip
    (folder / "book.yaml").write_text(yaml.safe_dump(model))
    return in_environment(load_book(folder / "book.yaml", catalogue()))


def steps(found: System, name: str) -> list[str]:
    texts = {**dict(tuning.families(found)), **dict(read_replicas.families(found))}
    return [str(step.id) for step in load_procedures(found, catalogue(), texts)[name].steps]


def test_a_server_is_tuned_between_two_measurements_of_whom_it_serves(tmp_path: Path) -> None:
    found = system(tmp_path)
    assert steps(found, "tune-database") == ["before", "settings", "restart", "waits", "well", "after"]
    assert steps(found, "tune-cache") == ["settings"], "nobody serves from it, and it needs no restart"
    text = dict(tuning.families(found))["tune-database"]
    assert 'service.measure: {of: api, for: 10s, path: "/items"}' in text


def test_instances_are_sized_where_the_runtime_can_be_told(tmp_path: Path) -> None:
    assert not any(name.startswith("resize-") for name, _ in tuning.families(system(tmp_path)))
    found = system(tmp_path, {"kind": "kubernetes", "namespace": "shop"})
    assert steps(found, "resize-api") == ["before", "limits", "after"]


def test_a_read_replica_is_added_and_removed(tmp_path: Path) -> None:
    found = system(tmp_path)
    assert steps(found, "add-replica-reports") == ["add", "streaming"]
    assert steps(found, "remove-replica-reports") == ["remove"]


def test_settings_are_read_with_their_tables() -> None:
    assert read("work_mem=8MB, autovacuum_vacuum_scale_factor of shop.orders=0.01;max_connections = 60") == [
        ("work_mem", "", "8MB"),
        ("autovacuum_vacuum_scale_factor", "shop.orders", "0.01"),
        ("max_connections", "", "60"),
    ]


PRIMARY = Server("one", {"host": "127.0.0.1", "port": "5432"}, None)
OWN = Server("reports", {"host": "127.0.0.1", "port": "5433"}, None)


def test_readers_are_led_by_a_pool_and_by_variables_and_back() -> None:
    pool = "[databases]\nshop = host=127.0.0.1 port=5432\nshop_ro = host=127.0.0.1 port=5432 dbname=shop\n"
    place = ReadersPlace.model_validate({"file": "p.ini", "databases": ["shop_ro"]})
    led = readers_led(place, pool, OWN, (PRIMARY,))
    assert led.splitlines()[1:] == ["shop = host=127.0.0.1 port=5432", "shop_ro = host=127.0.0.1 port=5433 dbname=shop"]
    assert readers_led(place, led, PRIMARY, (OWN,)) == pool

    variables = "READ_URL=postgresql://r@127.0.0.1:5432/shop\nWRITE_URL=postgresql://w@127.0.0.1:5432/shop\n"
    place = ReadersPlace.model_validate({"file": "env", "variables": ["READ_URL"]})
    assert readers_led(place, variables, OWN, (PRIMARY,)) == variables.replace("r@127.0.0.1:5432", "r@127.0.0.1:5433")
    with pytest.raises(ChangeFailed, match="no OTHER"):
        readers_led(ReadersPlace.model_validate({"file": "env", "variables": ["OTHER"]}), variables, OWN, (PRIMARY,))
