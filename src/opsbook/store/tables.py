"""The tables of opsbook's own store, on SQLite and PostgreSQL alike. Times are UTC seconds since 1970."""

from __future__ import annotations

from sqlalchemy import Column, Float, Index, Integer, MetaData, Table, Text

metadata = MetaData()

check_results = Table(
    "check_results",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("environment", Text, nullable=False),
    Column("check_id", Text, nullable=False),
    Column("at", Float, nullable=False),
    Column("state", Text, nullable=False),
    Column("value", Float, nullable=True),
    Column("sentence", Text, nullable=False),
    Index("check_results_by_check", "environment", "check_id", "at"),
)
