"""What PostgreSQL's servers have: relations with their columns, functions, settings, and what became of old names.

`postgres.json` is generated from servers by scripts/catalogue_postgres.py; `postgres_history.yaml` is the small table
of renames from the release notes.
"""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

_HERE = files("opsbook.manual.catalogue")


@dataclass(frozen=True)
class Setting:
    """A server setting. `context` postmaster means that only a restart applies it."""

    name: str
    context: str
    kind: str
    unit: str
    choices: tuple[str, ...]


@dataclass(frozen=True)
class Renamed:
    """An old name: what it is called now (empty where it is gone) and since which major version."""

    now: str
    since: float


@cache
def _catalogue() -> dict[str, Any]:
    return dict(json.loads(_HERE.joinpath("postgres.json").read_text(encoding="utf-8")))


@cache
def _history() -> dict[str, Any]:
    return dict(yaml.safe_load(_HERE.joinpath("postgres_history.yaml").read_text(encoding="utf-8")))


@cache
def _settings() -> dict[str, Any]:
    """The settings by their names in small letters: some are written DateStyle or TimeZone."""
    return {name.lower(): row for name, row in _catalogue()["settings"].items()}


def versions() -> tuple[int, ...]:
    """The major versions that the catalogue was made from."""
    return tuple(_catalogue()["versions"])


def columns(relation: str) -> frozenset[str] | None:
    """Every column that a system view or table has in any version, or None for a relation that is not the system's."""
    known = _catalogue()["relations"].get(relation)
    return None if known is None else frozenset(known) | frozenset(_history()["newer_columns"].get(relation, ()))


def renamed_column(relation: str, column: str) -> Renamed | None:
    """What became of a column of that relation."""
    return _renamed(_history()["columns"].get(relation, {}).get(column))


def renamed_function(name: str) -> Renamed | None:
    """What became of a function."""
    return _renamed(_history()["functions"].get(name))


def renamed_setting(name: str) -> Renamed | None:
    """What became of a setting."""
    return _renamed(_history()["settings"].get(name))


def function_known(name: str) -> bool:
    """Whether a server or a common extension has a function of that name."""
    return name in _catalogue()["functions"]


def relation_known(name: str) -> bool:
    """Whether a server or a common extension has a relation of that name."""
    return name in _catalogue()["relations"]


def setting(name: str) -> Setting | None:
    """A server setting, or None."""
    row = _settings().get(name.lower())
    return None if row is None else Setting(name.lower(), row[0], row[1], row[2], tuple(row[3]))


def nearest_column(relation: str, column: str) -> str:
    """The column that was most likely meant, or nothing."""
    known = sorted(columns(relation) or ())
    meant = {"tablename": "relname", "indexname": "indexrelname", "table_name": "relname", "index_name": "indexrelname",
             "username": "usename", "user": "usename", "database": "datname", "dbname": "datname",
             "query_time": "query_start",
             "start_time": "query_start", "duration": "query_start", "process_id": "pid"}.get(column)  # fmt: skip
    if meant in known:
        return str(meant)
    return next(iter(difflib.get_close_matches(column, known, 1, 0.75)), "")


def nearest_setting(name: str) -> str:
    """The setting that was most likely meant, or nothing."""
    return next(iter(difflib.get_close_matches(name, list(_catalogue()["settings"]), 1, 0.85)), "")


def nearest_function(name: str) -> str:
    """The function that was most likely meant, or nothing."""
    return next(iter(difflib.get_close_matches(name, list(_catalogue()["functions"]), 1, 0.85)), "")


def _renamed(entry: dict[str, Any] | None) -> Renamed | None:
    return None if entry is None else Renamed(str(entry["now"]), float(entry["since"]))
