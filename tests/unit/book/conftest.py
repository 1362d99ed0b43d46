"""A small catalogue: the words that a book may use, without the rooms that register the real ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field

from opsbook.book.catalogue import Catalogue, Component, ObservationSpec, Parameters
from opsbook.book.load import Book, load_book
from opsbook.book.references import Reference
from opsbook.book.threshold import Threshold
from opsbook.book.units import Dimension
from opsbook.book.values import Duration


class Http(Component):
    kind: Literal["http"]
    url: Reference
    health: str = "/"
    metrics: str = ""


class Celery(Component):
    kind: Literal["celery"]
    broker: str
    linked = ("broker",)


class Redis(Component):
    kind: Literal["redis"]
    url: Reference


class Postgres(Component):
    kind: Literal["postgres"]
    dsn: Reference
    replica: Reference | None = None


class TableParameters(Parameters):
    table: str = Field(description="which table")
    older_than: Duration | None = Field(None, description="only rows older than this")


def _spec(name: str, dimension: Dimension, *kinds: str, parameters: type[Parameters] | None = None) -> ObservationSpec:
    vital = name.endswith(".up")
    critical = Threshold.parse("is down") if vital else None
    extra = {"parameters": parameters} if parameters else {}
    return ObservationSpec(name, f"{name}.", dimension, kinds, critical=critical, vital=vital, **extra)


SPECS = [
    _spec("http.latency_p95", Dimension.DURATION, "http"),
    _spec("http.up", Dimension.STATE, "http"),
    _spec("postgres.replication_lag", Dimension.DURATION, "postgres"),
    _spec("postgres.connections", Dimension.COUNT, "postgres"),
    _spec("postgres.rows", Dimension.COUNT, "postgres", parameters=TableParameters),
    _spec("redis.up", Dimension.STATE, "redis"),
    _spec("workload.missing", Dimension.COUNT, "workload"),
    _spec("files.used", Dimension.RATIO, "any"),
]


@pytest.fixture
def words() -> Catalogue:
    kinds: dict[str, type[Component]] = {"http": Http, "celery": Celery, "redis": Redis, "postgres": Postgres}
    return Catalogue(components=kinds, observations={spec.name: spec for spec in SPECS})


@pytest.fixture
def load(tmp_path: Path, words: Catalogue) -> Callable[[str], Book]:
    """Loads a text as a book."""

    def read(text: str) -> Book:
        path = tmp_path / "book.yaml"
        path.write_text(text)
        return load_book(path, words)

    return read
