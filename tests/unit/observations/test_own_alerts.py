"""Counting alerts of Prometheus: those of rules that were generated of the book are told by its checks already."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.unit.watch.watched import a_system

from opsbook.observations.prometheus import AlertParameters, alerts, firing_alerts

CHECK = {"id": "db-up", "observe": "postgres.up", "of": "database"}
THEIRS = {"alertname": "DiskFull", "severity": "critical"}
OURS = {"alertname": "DbUp", "check": "db-up", "system": "shop", "environment": "production"}
ELSEWHERE = {**OURS, "environment": "staging"}
STRANGE = {**OURS, "check": "not-ours"}


class Server:
    def __init__(self, folder: Path) -> None:
        self.system = a_system(folder, checks=[CHECK])

    async def alerts(self) -> list[dict[str, Any]]:
        return [{"labels": one, "state": "firing"} for one in (THEIRS, OURS, ELSEWHERE, STRANGE)]


@pytest.mark.parametrize("count", [firing_alerts, alerts])
async def test_an_alert_of_the_books_own_check_is_not_counted_a_second_time(tmp_path: Path, count: Any) -> None:
    server = Server(tmp_path / "book")
    found = await count(server, AlertParameters())
    assert [row["labels"] for row in found.detail] == [THEIRS, ELSEWHERE, STRANGE]
    asked = await count(server, AlertParameters(labels={"check": "db-up", "environment": "production"}))
    assert [row["labels"] for row in asked.detail] == [OURS]
