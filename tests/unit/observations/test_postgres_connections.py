"""The sum of connections that everything may open."""

from __future__ import annotations

from typing import Any

import pytest

from opsbook.book.catalogue import Component
from opsbook.connectors.contract import ReadFailed
from opsbook.observations.postgres_connections import Taker, of_instances, of_pgbouncer, planned


def row(name: str, **keys: Any) -> dict[str, Any]:
    return {"name": name, "pool_size": 20, "reserve_pool": 0, "force_user": None, "max_connections": 0, **keys}


def test_it_multiplies_the_pool_by_the_instances_of_the_book() -> None:
    components = {"api": Component(kind="http", replicas=3), "beat": Component(kind="workload")}
    takers = of_instances(components, {"api": 5, "beat": 2})
    assert takers == [Taker("api", 15, "3 × 5"), Taker("beat", 2, "1 × 2")]


def test_a_component_scaled_to_none_takes_none() -> None:
    assert of_instances({"api": Component(kind="http", replicas=0)}, {"api": 5})[0].connections == 0


def test_it_names_a_component_that_the_book_does_not_have() -> None:
    with pytest.raises(ReadFailed, match="'ui', which is no component: api"):
        of_instances({"api": Component(kind="http")}, {"ui": 1})


def test_pgbouncer_has_a_pool_for_each_user_and_one_where_the_user_is_forced() -> None:
    databases = [row("app"), row("etl", force_user="etl", reserve_pool=5), row("idle"), row("pgbouncer")]
    pools = [{"database": "app", "user": "api"}, {"database": "app", "user": "worker"}]
    assert of_pgbouncer("pool", databases, pools) == [
        Taker("pool/app", 40, "2 × 20"),
        Taker("pool/etl", 25, "1 × 25"),
        Taker("pool/idle", 20, "1 × 20"),
    ]


def test_a_ceiling_of_the_database_holds_its_pools() -> None:
    pools = [{"database": "app", "user": user} for user in "abc"]
    assert of_pgbouncer("pool", [row("app", max_connections=50)], pools)[0] == Taker(
        "pool/app", 50, "3 × 20, at most 50"
    )


def test_only_the_named_databases_of_pgbouncer_count() -> None:
    assert [one.name for one in of_pgbouncer("pool", [row("app"), row("elsewhere")], [], ["app"])] == ["pool/app"]
    with pytest.raises(ReadFailed, match="has no database 'no', but app"):
        of_pgbouncer("pool", [row("app")], [], ["no"])


def test_it_says_in_one_sentence_who_takes_how_many_and_how_many_are_too_many() -> None:
    fact = planned([Taker("worker", 40, "4 × 10"), Taker("api", 60, "3 × 20"), Taker("others", 5, "")], 100, 3)
    assert fact.value == 105 / 97
    assert fact.message == (
        "105 of 97 connections (100 − 3 reserved), 8 too many: api 60 (3 × 20); worker 40 (4 × 10); others 5"
    )
    assert "too many" not in planned([Taker("api", 97, "")], 100, 3).message
