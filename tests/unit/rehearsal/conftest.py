"""A small shop whose procedures are rehearsed on paper."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from opsbook.book.load import load_book
from opsbook.book.system import System, in_environment
from opsbook.catalogue import catalogue
from opsbook.engine.compile import compile_procedure
from opsbook.engine.procedure import Procedure

BOOK = {
    "opsbook": 1,
    "system": "shop",
    "environments": {"test": {"policy": "open", "disposable": True}},
    "components": {
        "api": {"kind": "http", "url": "${API_URL}", "workload": "api"},
        "database": {"kind": "postgres", "dsn": "${DATABASE_URL}"},
        "cache": {"kind": "redis", "url": "${REDIS_URL}"},
    },
    "checks": [
        {"id": "api-up", "observe": "http.up", "of": "api", "procedure": "restart"},
        {"id": "database-up", "observe": "postgres.up", "of": "database"},
    ],
}

Compile = Callable[[str, str], Procedure]


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> System:
    path = tmp_path_factory.mktemp("shop") / "book.yaml"
    path.write_text(yaml.safe_dump(BOOK))
    return in_environment(load_book(Path(path), catalogue()))


@pytest.fixture
def compiled(shop: System) -> Compile:
    """A procedure of these steps and this front matter."""

    def compile_text(text: str, front: str = "") -> Procedure:
        return compile_procedure(f"---\ntitle: T\n{front}---\n{text}\n", "t.md", shop, shop.book.catalogue)

    return compile_text
