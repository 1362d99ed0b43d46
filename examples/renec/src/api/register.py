"""Reading and searching what was harvested."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, HTTPException, Query, Request
from sqlalchemy import func, or_, select

from src.cache import cached
from src.db import engine
from src.models import Centre, Certifier, Standard, Table

router = APIRouter(prefix="/api/v1")

PER_PAGE = 20
COLLECTIONS: dict[str, tuple[type[Table], str]] = {
    "standards": (Standard, "title"),
    "certifiers": (Certifier, "name"),
    "centres": (Centre, "name"),
}


def find(collection: str, words: str, page: int) -> dict[str, Any]:
    """A page of records whose code or name contains `words`."""
    table, label = COLLECTIONS[collection]
    columns = table.__table__.c
    matches = or_(columns[label].icontains(words, autoescape=True), columns.code.icontains(words, autoescape=True))
    with engine().connect() as connection:
        total = connection.execute(select(func.count()).select_from(table.__table__).where(matches)).scalar_one()
        chosen = select(table.__table__).where(matches).order_by("code").limit(PER_PAGE).offset((page - 1) * PER_PAGE)
        rows = [dict(row) for row in connection.execute(chosen).mappings()]
    return {"total": total, "page": page, "items": rows}


@router.get("/search")
def search(q: str = Query(min_length=2, max_length=100)) -> dict[str, Any]:
    """The first matches of every collection."""
    return cached(f"search:{q}", lambda: {name: find(name, q, 1) for name in COLLECTIONS})


def listing(collection: str, request: Request, q: str, page: int) -> dict[str, Any]:
    return cached(f"{request.url.path}:{q}:{page}", lambda: find(collection, q, page))


def record(collection: str, code: str) -> dict[str, Any]:
    """One record by its code; 404 where there is none."""

    def read() -> dict[str, Any] | None:
        table = COLLECTIONS[collection][0].__table__
        with engine().connect() as connection:
            row = connection.execute(select(table).where(table.c.code == code)).mappings().first()
        return dict(row) if row else None

    found = cached(f"{collection}/{code}", read)
    if found is None:
        raise HTTPException(404, f"no such record: {code}")
    return found


@router.get("/standards")
def standards(request: Request, q: str = Query("", max_length=100), page: int = Query(1, ge=1)) -> dict[str, Any]:
    return listing("standards", request, q, page)


@router.get("/standards/{code}")
def standard(code: str) -> dict[str, Any]:
    return record("standards", code)


@router.get("/certifiers")
def certifiers(request: Request, q: str = Query("", max_length=100), page: int = Query(1, ge=1)) -> dict[str, Any]:
    return listing("certifiers", request, q, page)


@router.get("/certifiers/{code}")
def certifier(code: str) -> dict[str, Any]:
    return record("certifiers", code)


@router.get("/centres")
def centres(request: Request, q: str = Query("", max_length=100), page: int = Query(1, ge=1)) -> dict[str, Any]:
    return listing("centres", request, q, page)


@router.get("/centres/{code}")
def centre(code: str) -> dict[str, Any]:
    return record("centres", code)
