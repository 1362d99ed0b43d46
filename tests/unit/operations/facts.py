"""Facts that a test makes up, in the place of a managed system."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from opsbook.book.load import load_book
from opsbook.book.system import System, in_environment
from opsbook.catalogue import catalogue
from opsbook.connectors.change import Change
from opsbook.connectors.contract import Fact
from opsbook.operations.registry import operations

Rows = Sequence[Mapping[str, Any]]


class FakeClock:
    def now(self) -> datetime:
        return datetime(2026, 1, 31, tzinfo=UTC)


class FakeFacts:
    """Answers each statement with the rows that were made up for it; an unexpected one is a fault of the test."""

    def __init__(self, system: System, rows: Mapping[str, Rows]) -> None:
        self.system, self.clock, self._rows = system, FakeClock(), rows
        self.asked: list[tuple[str, Any]] = []
        self.recorded: dict[str, Any] = {}

    async def rows(self, component: str, statement: str, parameters: Any = None) -> list[dict[str, Any]]:
        self.asked.append((statement, parameters))
        found = next((rows for text, rows in self._rows.items() if text in statement), None)
        assert found is not None, f"nobody expected {statement}"
        return [dict(row) for row in found]

    async def observe(self, observation: str, component: str, **parameters: Any) -> Fact:
        raise AssertionError(f"nobody expected {observation}")

    def record(self, name: str, value: Any) -> None:
        self.recorded[name] = value


def system_of(folder: Path, components: dict[str, Any]) -> System:
    book = {"opsbook": 1, "system": "test", "environments": {"test": {"policy": "open"}}, "components": components}
    (folder / "book.yaml").write_text(yaml.safe_dump(book))
    return in_environment(load_book(folder / "book.yaml", catalogue()))


async def plan(name: str, facts: FakeFacts, /, **parameters: Any) -> list[Change]:
    """The changes that an operation plans from these facts."""
    operation = operations()[name]
    given = operation.spec.parameters.model_validate({"of": "database", **parameters})
    return [change async for change in operation.plan(given, facts)]  # type: ignore[arg-type]
