"""A database in containers fails over by one command, in order and after a loss, and comes back as a standby."""

from __future__ import annotations

import json

import pytest

from tests.integration.failing_containers import DATA, Containers, OnCompose, on_compose, on_kubernetes
from tests.integration.on_runtimes import on_each
from tests.integration.servers import until

pytestmark = pytest.mark.real
pair = on_each(
    {"compose": on_compose, "kubernetes": on_kubernetes}, scope="function"
)  # one that failed is of no use again


def _serves(pair: Containers, name: str, other: str) -> None:
    pair.only(name)
    assert pair.leads() == (name, other)


@pytest.mark.timeout(900)
def test_a_database_in_containers_fails_over_and_comes_back_as_a_standby(pair: Containers) -> None:
    refused = pair.opsbook("run", "failover-database", "--yes")
    assert refused.returncode != 0
    assert "the primary serves" in refused.stderr + refused.stdout
    _serves(pair, "one", "two")

    pair.one.sql("INSERT INTO jobs SELECT 'before' FROM generate_series(1, 100)")
    view = pair.done("failover-database", "planned=true")
    fenced, promoted = _result(view, "fence"), _result(view, "promote")
    assert fenced["fenced"] is True
    assert (promoted["lost_commits"], promoted["timeline"]) == (0, 2)
    _serves(pair, "two", "one")
    assert pair.two.sql("SELECT count(*) FROM jobs WHERE state = 'before'") == [("100",)]

    # Whoever starts it: it is fenced, and no primary.
    pair.tell(pair.one, "workload.start")
    until(lambda: pair.recovering(pair.one) is True, 120, "the fenced server answers as a standby of nobody")
    rebuilt = _result(pair.done("rebuild-database"), "rebuild")
    assert "rewind" in str(rebuilt["how"]) or "rewound" in str(rebuilt["how"])
    until(lambda: pair.two.replayed(pair.one), 120, "it streams")
    assert pair.left_behind(pair.one) == []

    primary, standby = pair.two, pair.one
    if isinstance(pair, OnCompose):  # once is enough: nothing of it is the runtime's own
        _a_loss(pair)
        primary, standby = standby, primary
    done = pair.opsbook("drill", "failover-database", "--fault", "--yes", "--format", "json")
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)
    assert (row["kind"], row["good"], row["objective"]) == ("failover", True, "database")
    assert row["rto_seconds"] > 0
    assert row["lost_rows"] is not None
    _serves(pair, standby.name, primary.name)
    assert pair.recovering(primary) is True
    print(f"drill: serves again after {row['rto_seconds']} s, {row['lost_rows']} rows lost")


def _a_loss(pair: Containers) -> None:
    """Transactions that never reached the standby are lost, and counted; what cannot be rewound is copied anew."""
    pair.tell(pair.one, "workload.stop")
    pair.two.sql("INSERT INTO jobs VALUES ('lost')", "INSERT INTO jobs VALUES ('lost too')")
    pair.lose(pair.two)
    pair.tell(pair.one, "workload.start")
    until(lambda: pair.recovering(pair.one) is True, 120, "the standby answers")
    promoted = _result(pair.done("failover-database"), "promote")
    assert promoted["lost_commits"] == 2
    assert isinstance(promoted["lost_bytes"], int) and promoted["lost_bytes"] > 0
    _serves(pair, "one", "two")
    assert pair.one.sql("SELECT count(*) FROM jobs WHERE state LIKE 'lost%'") == [("0",)]
    assert pair.beside(pair.two, "rm", f"{DATA}/global/pg_control").code == 0
    rebuilt = _result(pair.done("rebuild-database"), "rebuild")
    assert str(rebuilt["how"]).startswith("copied anew, since it could not be rewound")
    until(lambda: pair.one.replayed(pair.two), 120, "it streams")
    assert pair.left_behind(pair.two) == []


def _result(view: dict[str, object], step: str) -> dict[str, object]:
    steps: list[dict[str, object]] = view["steps"]  # type: ignore[assignment]
    (found,) = [one for one in steps if one["id"] == step or one.get("step") == step]
    changes: list[dict[str, object]] = found["changes"]  # type: ignore[assignment]
    result = changes[-1]["result"]
    assert isinstance(result, dict)
    return result
