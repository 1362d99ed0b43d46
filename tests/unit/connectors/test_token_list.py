"""Tokens as evidence: all that let somebody in, and nothing of their text."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.integration.hands import Out

from opsbook.connectors.change import Change, ChangeFailed, Done
from opsbook.connectors.executors.token_list import SHOWN, TokenList, summary
from opsbook.store import tokens
from opsbook.store.database import open_store, writing

MADE, ENDS = 1767225600.0, 4102444800.0
"""2026-01-01 and 2100-01-01."""


def token(name: str, **keys: Any) -> tokens.TokenRow:
    row: dict[str, Any] = {"id": f"id{name}", "name": name, "owner": "ana", "hash": f"hash-of-{name}", "role": "viewer",
                           "scopes": (), "systems": (), "environments": (), "made_by": "root", "made_at": MADE,
                           "expires_at": ENDS}  # fmt: skip
    return tokens.TokenRow(**{**row, **keys})


async def listed(store: str) -> Any:
    connections: Any = SimpleNamespace(store=store)
    found = await TokenList(connections).apply("run/tokens/0", Change("token-list", {}), None, Out())
    assert isinstance(found, Done)
    return found.result


async def test_those_that_let_somebody_in_are_kept_and_nothing_of_their_text(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'store.db'}"
    engine = open_store(store)
    with writing(engine) as connection:
        tokens.add(connection, token("ci", role="operator", scopes=("runs",), systems=("shop",), used_at=MADE + 86400))
        tokens.add(connection, token("bot", owner="cron"))
        tokens.add(connection, token("gone", revoked_at=MADE))
        tokens.add(connection, token("over", expires_at=MADE))
    engine.dispose()
    found = await listed(store)
    assert found["count"] == 2
    assert {one["name"]: (one["owner"], one["role"], one["expires"], one["used"]) for one in found["tokens"]} == {
        "bot": ("cron", "viewer", "2100-01-01T00:00:00+00:00", ""),
        "ci": ("ana", "operator", "2100-01-01T00:00:00+00:00", "2026-01-02T00:00:00+00:00"),
    }
    assert "ci (idci) of ana: operator for runs, shop only, until 2100-01-01, last used 2026-01-02" in found["summary"]
    assert "bot (idbot) of cron: viewer, until 2100-01-01, never used" in found["summary"]
    assert "hash-of" not in json.dumps(found)


async def test_without_a_store_it_says_who_can_list_them() -> None:
    with pytest.raises(ChangeFailed, match="no store is open here"):
        await listed("")


def test_a_summary_stays_short() -> None:
    assert summary([]) == "no token lets anybody in"
    assert summary([token(str(n)) for n in range(SHOWN + 5)]).endswith("; and 5 more")
