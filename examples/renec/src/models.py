"""The tables."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from sqlalchemy import BigInteger, Date, DateTime, Float, ForeignKey, Integer, String, Text, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Table(DeclarativeBase):
    type_annotation_map = {datetime: DateTime(timezone=True), dict[str, Any]: JSONB, str: Text, date: Date}


class Harvested:
    """Columns of everything that was read from the register."""

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    code: Mapped[str] = mapped_column(String(32), unique=True)
    url: Mapped[str]
    content_hash: Mapped[str] = mapped_column(String(64))
    first_seen_at: Mapped[datetime] = mapped_column(server_default=func.now())
    last_seen_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)


class Standard(Harvested, Table):
    __tablename__ = "ec_standards_v2"

    title: Mapped[str]
    sector: Mapped[str] = mapped_column(index=True)
    level: Mapped[int]
    committee: Mapped[str]
    published_on: Mapped[date]
    status: Mapped[str]


class Certifier(Harvested, Table):
    __tablename__ = "certificadores_v2"

    name: Mapped[str]
    kind: Mapped[str]
    state: Mapped[str] = mapped_column(index=True)
    email: Mapped[str]
    standards: Mapped[int]


class Centre(Harvested, Table):
    __tablename__ = "centros"

    name: Mapped[str]
    certifier_code: Mapped[str] = mapped_column(String(32), index=True)
    state: Mapped[str] = mapped_column(index=True)
    municipality: Mapped[str]


class HarvestRun(Table):
    __tablename__ = "harvest_runs"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    mode: Mapped[str] = mapped_column(String(16))
    status: Mapped[str] = mapped_column(String(16), index=True)
    started_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)
    heartbeat_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]
    expected: Mapped[int] = mapped_column(server_default="0")
    items: Mapped[int] = mapped_column(server_default="0")
    requests: Mapped[int] = mapped_column(server_default="0")
    not_modified: Mapped[int] = mapped_column(server_default="0")
    throttled: Mapped[int] = mapped_column(server_default="0")
    errors: Mapped[int] = mapped_column(server_default="0")
    error_types: Mapped[dict[str, Any]] = mapped_column(server_default="{}")


class SpiderLog(Table):
    __tablename__ = "spider_logs"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    run_id: Mapped[int | None] = mapped_column(ForeignKey("harvest_runs.id", ondelete="SET NULL"), index=True)
    level: Mapped[str] = mapped_column(String(8))
    event: Mapped[str] = mapped_column(String(32))
    error_type: Mapped[str | None] = mapped_column(String(64))
    url: Mapped[str | None]
    status: Mapped[int | None]
    message: Mapped[str] = mapped_column(server_default="")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)


class ApiLog(Table):
    __tablename__ = "api_logs"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    method: Mapped[str] = mapped_column(String(8))
    route: Mapped[str]
    path: Mapped[str]
    status: Mapped[int]
    duration_ms: Mapped[float] = mapped_column(Float)
    client: Mapped[str]
    release: Mapped[str] = mapped_column(String(32))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)


class TaskRun(Table):
    __tablename__ = "task_runs"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    task: Mapped[str] = mapped_column(index=True)
    task_id: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16))
    started_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)
    finished_at: Mapped[datetime | None]
    error: Mapped[str | None]
