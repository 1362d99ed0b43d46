"""A small shop whose book the procedures of these tests belong to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from pydantic import Field

from opsbook.book.catalogue import Catalogue, OperationSpec, Risk
from opsbook.book.load import load_book
from opsbook.book.system import System, in_environment
from opsbook.book.values import Duration
from opsbook.catalogue import catalogue
from opsbook.engine.compile import compile_procedure
from opsbook.engine.mistakes import InvalidProcedure
from opsbook.engine.procedure import Procedure
from opsbook.operations.contract import OperationParameters

BOOK = {
    "opsbook": 1,
    "system": "shop",
    "environments": {"test": {"policy": "open", "runtime": {"kind": "supervisor", "config": "supervisord.conf"}}},
    "components": {
        "database": {"kind": "postgres", "dsn": "${DATABASE_URL}"},
        "archive": {"kind": "postgres", "dsn": "${ARCHIVE_URL}"},
        "api": {"kind": "http", "url": "${API_URL}", "workload": "api"},
        "metrics": {"kind": "prometheus", "url": "${METRICS_URL}"},
        "cache": {"kind": "redis", "url": "${REDIS_URL}"},
    },
    "checks": [
        {"id": "api-up", "observe": "http.up", "of": "api", "critical": "is down", "groups": ["daily"]},
    ],
    "objectives": {"database": {"rto": "2h"}},
}


class Terminate(OperationParameters):
    """What the operation of these tests takes."""

    older_than: Duration = Field(timedelta(minutes=5), description="age")
    note: str = Field("", description="a note")
    limit: int = Field(10, ge=1, description="how many")


TERMINATE = OperationSpec("postgres.end_queries", "ends queries", ("postgres",), Risk.DISRUPTIVE, True, Terminate)


@pytest.fixture(scope="session")
def known() -> Catalogue:
    """All that is registered, and an operation of these tests."""
    found = catalogue()
    return replace(found, operations={**found.operations, TERMINATE.name: TERMINATE})


@pytest.fixture(scope="session")
def shop(known: Catalogue, tmp_path_factory: pytest.TempPathFactory) -> System:
    path = tmp_path_factory.mktemp("shop") / "book.yaml"
    path.write_text(yaml.safe_dump(BOOK))
    return in_environment(load_book(Path(path), known))


Compile = Callable[..., Procedure]


@pytest.fixture
def compiled(shop: System, known: Catalogue) -> Compile:
    """Compiles the text of a file; a text without front matter gets one."""

    def compile_text(text: str, file: str = "tidy-up.md", front: str = "") -> Procedure:
        if not text.startswith("---"):
            text = f"---\ntitle: Tidy up\n{front}---\n{text}"
        return compile_procedure(text, file, shop, known)

    return compile_text


@pytest.fixture
def wrong(compiled: Compile) -> Callable[..., str]:
    """What a person is told of a file that does not compile."""

    def told(text: str, **keywords: str) -> str:
        with pytest.raises(InvalidProcedure) as caught:
            compiled(text, **keywords)
        assert caught.value.exit_code == 2
        return str(caught.value)

    return told
