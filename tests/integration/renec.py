"""Questions that the tests ask the RENEC Harvester."""

from __future__ import annotations

import ssl
from typing import Any

import httpx
import psycopg

from tests.integration.conftest import Renec


def api(renec: Renec) -> httpx.Client:
    """A client of the API through nginx that trusts the local authority alone."""
    trust = ssl.create_default_context(cafile=renec.env["CA_FILE"])
    return httpx.Client(base_url=renec.env["API_URL"], verify=trust, timeout=15)


def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, connect_timeout=3, autocommit=True) as connection:
        return connection.execute(query).fetchall()


def metric(renec: Renec, line_start: str) -> float:
    """The sum of the samples whose line starts so."""
    text = httpx.get(f"{renec.env['API_DIRECT_URL']}/metrics", timeout=10).text
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(line_start))


def pid_of(renec: Renec, process: str) -> int:
    return int(renec.supervisorctl("pid", process))


def call(renec: Renec, task: str, *arguments: str) -> str:
    """Queue a task by Celery's own command; returns its id."""
    celery = ("celery", "-q", "-A", "src.scheduler.daily_probe", "call", f"src.scheduler.daily_probe.{task}")
    return renec.must("exec", "--", *celery, *arguments).split()[-1]
