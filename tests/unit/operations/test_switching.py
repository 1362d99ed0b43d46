"""What a switch of databases refuses when it is planned, before anything was restored for it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from opsbook.errors import Refused
from opsbook.operations import databases


async def test_the_database_from_which_others_are_renamed_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def found(facts: Any, component: str) -> tuple[dict[str, Any], str]:
        return {"postgres": SimpleNamespace(sessions=1)}, "postgres"

    monkeypatch.setattr(databases, "databases_of", found)
    wanted = databases.Switch(of="database", to="restored")
    with pytest.raises(Refused, match="cannot be renamed"):
        await anext(databases._Switch().plan(wanted, cast("Any", None)))
