"""A database fails over by one command, in order and after a loss, and what was the primary comes back as a standby."""

from __future__ import annotations

import asyncio
import json
import os
import signal

import pytest

from opsbook.book.load import load_book
from opsbook.book.system import in_environment
from opsbook.catalogue import catalogue
from opsbook.connectors.change import Change
from opsbook.errors import Refused
from tests.integration.failing_over import PRIMARY, STANDBY, Pair, failing_pair
from tests.integration.hands import Hands, hands_of
from tests.integration.servers import until

pytestmark = pytest.mark.real


def _serves(pair: Pair, port: int) -> None:
    assert [server.port for server in pair.primaries()] == [port]
    assert pair.behind_pool() == port
    variables = pair.variables()
    assert f":{port}/" in variables[PRIMARY]
    assert f":{port}/" not in variables[STANDBY]


@pytest.mark.timeout(400)
def test_a_database_fails_over_in_order_and_after_a_loss_and_comes_back_as_a_standby() -> None:
    with failing_pair() as pair:
        refused = pair.opsbook("run", "failover-database", "--yes")
        assert refused.returncode != 0
        assert "the primary serves" in refused.stderr + refused.stdout
        _serves(pair, pair.one.port)

        pair.one.sql("INSERT INTO jobs (state) SELECT 'before' FROM generate_series(1, 100)")
        view = pair.done("failover-database", "planned=true")
        promoted = _result(view, "promote")
        assert (promoted["lost_commits"], promoted["timeline"]) == (0, 2)
        assert _result(view, "served")["outage_seconds"] > 0
        _serves(pair, pair.two.port)
        assert pair.two.sql("SELECT count(*) FROM jobs WHERE state = 'before'") == [(100,)]

        # Whoever starts it: it is fenced, and no primary.
        pair.supervisorctl("start", "one")
        until(lambda: pair.recovering(pair.one) is True, 30, "the fenced server answers as a standby of nobody")
        assert [server.port for server in pair.primaries()] == [pair.two.port]

        rebuilt = _result(pair.done("rebuild-database"), "rebuild")
        assert "rewind" in rebuilt["how"] or "rewound" in rebuilt["how"]
        until(lambda: pair.two.replayed(pair.one), 30, "it streams")

        # Transactions that never reached the standby are lost by a failover, and counted.
        pair.supervisorctl("stop", "one")
        pair.two.sql("INSERT INTO jobs (state) VALUES ('lost')", "INSERT INTO jobs (state) VALUES ('lost too')")
        pair.lose(pair.two)
        pair.supervisorctl("start", "one")
        until(lambda: pair.recovering(pair.one) is True, 30, "the standby answers")
        promoted = _result(pair.done("failover-database"), "promote")
        assert promoted["lost_commits"] == 2
        assert promoted["lost_bytes"] > 0
        _serves(pair, pair.one.port)
        assert pair.one.sql("SELECT count(*) FROM jobs WHERE state LIKE 'lost%'") == [(0,)]
        # What cannot be rewound is copied anew.
        (pair.two.data / "global" / "pg_control").unlink()
        rebuilt = _result(pair.done("rebuild-database"), "rebuild")
        assert str(rebuilt["how"]).startswith("copied anew, since it could not be rewound")
        until(lambda: pair.one.replayed(pair.two), 30, "it streams")
        assert pair.two.sql("SELECT count(*) FROM jobs WHERE state LIKE 'lost%'") == [(0,)]
        assert not list(pair.two.data.parent.glob("data.*")), "a rebuild left something behind"

        done = pair.opsbook("drill", "failover-database", "--fault", "--yes", "--format", "json")
        assert done.returncode == 0, done.stderr
        (row,) = json.loads(done.stdout)
        assert (row["kind"], row["good"], row["objective"]) == ("failover", True, "database")
        assert row["rto_seconds"] > 0
        assert row["lost_rows"] is not None
        _serves(pair, pair.two.port)
        assert pair.recovering(pair.one) is True
        asyncio.run(_a_fence_is_lifted_only_where_nobody_else_can_be_primary(pair))
        pair.done("failover-database")
        _serves(pair, pair.one.port)


async def _a_fence_is_lifted_only_where_nobody_else_can_be_primary(pair: Pair) -> None:
    async with hands_of(in_environment(load_book(pair.book / "book.yaml", catalogue()))) as hands:
        fence = await hands.only("postgres.fence", of="database", planned=True)
        assert (await hands.apply(fence))["fenced"] is True
        pair.supervisorctl("stop", "one")
        assert (await hands.undo(fence))["serves"] is True
        assert "its runtime keeps it stopped" in hands.out.text
        assert [server.port for server in pair.primaries()] == [pair.two.port]
        pair.supervisorctl("start", "one")
        until(lambda: pair.recovering(pair.one) is True and pair.two.replayed(pair.one), 60, "it streams")

        await hands.apply(fence)
        ((replaying,),) = pair.one.sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'startup'")
        os.kill(replaying, signal.SIGSTOP)
        try:
            pair.one.sql("SELECT pg_promote(false)")
            await _refused(hands, fence, "it was told to promote")
        finally:
            os.kill(replaying, signal.SIGCONT)
        until(lambda: pair.recovering(pair.one) is False, 60, "it is promoted")
        await _refused(hands, fence, "one was promoted")
        assert [server.port for server in pair.primaries()] == [pair.one.port]


async def _refused(hands: Hands, fence: Change, why: str) -> None:
    with pytest.raises(Refused, match=why):
        await hands.undo(fence)


def _result(view: dict[str, object], step: str) -> dict[str, object]:
    steps: list[dict[str, object]] = view["steps"]  # type: ignore[assignment]
    (found,) = [one for one in steps if one["id"] == step or one.get("step") == step]
    changes: list[dict[str, object]] = found["changes"]  # type: ignore[assignment]
    result = changes[-1]["result"]
    assert isinstance(result, dict)
    return result
