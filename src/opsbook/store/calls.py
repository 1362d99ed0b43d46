"""Calling the process that sends, where another one has put something into the outbox: PostgreSQL's NOTIFY.

The call goes out with the transaction, so that whoever hears it finds what it is about. A file has one process: there
nobody is called.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, text

CHANNEL = "opsbook_watch"
ITSELF = secrets.token_hex(8)
"""This process: it need not hear what it said."""


def call(connection: Connection, rows: Iterable[Mapping[str, Any]]) -> None:
    """Let every process that watches one of the rows' environments look, once this transaction is written."""
    if connection.dialect.name != "postgresql":
        return
    for system, environment in {(row["system"], row["environment"]) for row in rows}:
        said = {"channel": CHANNEL, "said": f"{ITSELF} {place(system, environment)}"}
        connection.execute(text("SELECT pg_notify(:channel, :said)"), said)


def concerns(said: str, system: str, environment: str) -> bool:
    """Whether a call comes from another process and is about this environment."""
    who, _, where = said.partition(" ")
    return who != ITSELF and where == place(system, environment)


def place(system: str, environment: str) -> str:
    """An environment, in a call."""
    return f"{system}/{environment}"
