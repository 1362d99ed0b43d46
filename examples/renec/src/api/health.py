"""Whether the API lives, is ready to work, and which release it is."""

from __future__ import annotations

from fastapi import APIRouter, Response
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from src import release
from src.cache import redis_cache
from src.db import engine

router = APIRouter()


@router.get("/health")
async def health() -> dict[str, str]:
    """The process answers; nothing else is touched."""
    return {"status": "ok"}


@router.get("/version")
async def version() -> dict[str, str]:
    return {"version": release.version()}


@router.get("/ready")
def ready(response: Response) -> dict[str, str]:
    """Database and cache answer; 503 with what does not."""
    state = {"database": database(), "cache": cache()}
    if set(state.values()) != {"ok"}:
        response.status_code = 503
    return {"status": "ok" if response.status_code != 503 else "not ready", **state}


def database() -> str:
    try:
        with engine().connect() as connection:
            connection.execute(text("SELECT 1"))
    except SQLAlchemyError as error:
        return type(error).__name__
    return "ok"


def cache() -> str:
    try:
        redis_cache().ping()
    except RedisError as error:
        return type(error).__name__
    return "ok"
