"""A small system for what is generated of it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import yaml

from opsbook.book.load import load_book
from opsbook.book.system import System, in_environment
from opsbook.catalogue import catalogue

COMPONENTS: dict[str, dict[str, Any]] = {
    "api": {"kind": "http", "url": "http://127.0.0.1:1", "depends_on": ["db"], "workload": "api"},
    "db": {"kind": "postgres", "dsn": "${DSN}"},
    "prom": {"kind": "prometheus", "url": "http://127.0.0.1:2"},
}


def system_of(*checks: dict[str, Any], components: dict[str, dict[str, Any]] | None = None, **keys: Any) -> System:
    """A system with these checks."""
    book = {
        "opsbook": 1, "system": "shop", "environments": {"live": {"policy": "open"}},
        "components": components or COMPONENTS, "checks": list(checks), **keys,
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "book.yaml"
        path.write_text(yaml.safe_dump(book))
        return in_environment(load_book(path, catalogue()))


def check(identity: str, observe: str = "postgres.connections", of: str = "db", **keys: Any) -> dict[str, Any]:
    return {"id": identity, "observe": observe, "of": of, **keys}
