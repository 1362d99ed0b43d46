"""What an act of a failover has left behind is removed by the book alone, whatever the addresses of its servers are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.integration.servers import make_system

from opsbook.connectors import postgres_containers
from opsbook.connectors.postgres_containers import end_beside_both


@pytest.mark.parametrize(("where", "removed"), [("data", []), ("inside", ["a-data", "b-data"])])
async def test_a_missing_secret_keeps_no_failover_from_being_settled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, removed: list[str]
) -> None:
    servers = [{"workload": name, "url": "${NOT_SET}", where: "/data/pg"} for name in "ab"]
    failover = {"servers": servers, "repoint": [{"file": "env", "primary": ["URL"]}]}
    system = make_system(tmp_path, {"db": {"kind": "postgres", "dsn": "${NOT_SET}", "failover": failover}})
    ended = list[str]()

    async def end(_runtime: Any, name: str, key: str) -> bool:
        ended.append(name)
        return key == "run/1"

    monkeypatch.setattr(postgres_containers, "end_beside", end)
    assert await end_beside_both(system, lambda: None, "db", "run/1")  # type: ignore[arg-type,return-value]
    assert await end_beside_both(system, lambda: None, "gone", "run/1")  # type: ignore[arg-type,return-value]
    assert ended == removed
