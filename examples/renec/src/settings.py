"""What the application is told from outside: one file of KEY=VALUE lines, overridden by the process environment."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

REQUIRED = (
    "DATABASE_URL",
    "DATABASE_PASSWORD_FILE",
    "BROKER_URL",
    "REDIS_URL",
    "API_URL",
    "REGISTRY_URL",
    "ARTIFACTS_DIR",
    "SWITCHES_DIR",
    "PROMETHEUS_MULTIPROC_DIR",
    "ADMIN_TOKEN",
    "READER_TOKEN",
)


class MissingSetting(Exception):
    """A variable that the application cannot start without is not set."""


def settings_file() -> Path:
    """Where the variables are kept. A release is `<run>/releases/<version>`, so the file is two folders up."""
    named = os.environ.get("RENEC_SETTINGS")
    return Path(named) if named else Path.cwd().resolve().parents[1] / "app.env"


def read_variables(path: Path) -> dict[str, str]:
    """KEY=VALUE lines of `path`, overridden by the environment; comments and blank lines are skipped."""
    variables: dict[str, str] = {}
    if path.exists():
        for line in path.read_text().splitlines():
            if line.strip() and not line.startswith("#"):
                key, _, value = line.partition("=")
                variables[key.strip()] = value.strip()
    return {**variables, **os.environ}


def missing(variables: dict[str, str]) -> list[str]:
    """Names of the required variables that are unset or empty."""
    return [name for name in REQUIRED if not variables.get(name)]


@dataclass(frozen=True)
class Settings:
    """The settings of one process. Durations are seconds, sizes bytes."""

    database_url: str
    database_password_file: Path
    database_pool_size: int
    database_pool_timeout: float
    broker_url: str
    redis_url: str
    cache_ttl: int
    api_url: str
    registry_url: str
    artifacts_dir: Path
    artifacts_quota: int
    switches_dir: Path
    metrics_dir: Path
    download_delay: float
    concurrent_requests: int
    autothrottle_target: float
    freshness_limit: int
    admin_token: str
    reader_token: str


@cache
def settings() -> Settings:
    """The settings of this process, read once.

    Raises MissingSetting naming every variable that is not set.
    """
    v = read_variables(settings_file())
    absent = missing(v)
    if absent:
        raise MissingSetting(f"not set in {settings_file()}: {', '.join(absent)}")
    return Settings(
        database_url=v["DATABASE_URL"],
        database_password_file=Path(v["DATABASE_PASSWORD_FILE"]),
        database_pool_size=int(v.get("DATABASE_POOL_SIZE", "5")),
        database_pool_timeout=float(v.get("DATABASE_POOL_TIMEOUT", "2")),
        broker_url=v["BROKER_URL"],
        redis_url=v["REDIS_URL"],
        cache_ttl=int(v.get("CACHE_TTL", "30")),
        api_url=v["API_URL"],
        registry_url=v["REGISTRY_URL"].rstrip("/"),
        artifacts_dir=Path(v["ARTIFACTS_DIR"]),
        artifacts_quota=int(v.get("ARTIFACTS_QUOTA_BYTES", str(200 * 1024 * 1024))),
        switches_dir=Path(v["SWITCHES_DIR"]),
        metrics_dir=Path(v["PROMETHEUS_MULTIPROC_DIR"]),
        download_delay=float(v.get("DOWNLOAD_DELAY", "0.03")),
        concurrent_requests=int(v.get("CONCURRENT_REQUESTS", "4")),
        autothrottle_target=float(v.get("AUTOTHROTTLE_TARGET_CONCURRENCY", "2.0")),
        freshness_limit=int(v.get("FRESHNESS_LIMIT_SECONDS", str(26 * 3600))),
        admin_token=v["ADMIN_TOKEN"],
        reader_token=v["READER_TOKEN"],
    )
