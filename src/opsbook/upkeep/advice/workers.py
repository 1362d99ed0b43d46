"""How many processes an application server should have, and what its pools may open. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from opsbook.upkeep.advice.contract import Advice, Advised

GUNICORN = "https://docs.gunicorn.org/en/stable/design.html"
UVICORN = "https://www.uvicorn.org/deployment/"
POOLS = "https://docs.sqlalchemy.org/en/20/core/pooling.html"
BUSY = 0.7
"""A process that uses more of a core than this has no time left when more is asked."""
FLAG = re.compile(r"^(?:--workers|-w)(?:=?(\d+))?$")
SIZE, OVERFLOW = re.compile(r"POOL_SIZE$"), re.compile(r"MAX_OVERFLOW$")


@dataclass(frozen=True)
class Serving:
    """One application server. `workers` are processes of one instance; `cores` what all its instances here share."""

    server: str
    """`gunicorn`, `uvicorn` or empty; gunicorn with uvicorn's workers is uvicorn: one serves many at once."""
    workers: int
    instances: int
    cores: float | None
    used: float | None = None
    """Cores that all of them use."""
    pool: int | None = None
    """Connections that one process may open to the database."""
    source: str = ""
    """Where the number of workers stands."""


def read(argv: Sequence[str], variables: Mapping[str, str]) -> tuple[str, int, str]:
    """Server, workers of an instance and where that is said, of its command line and environment.

    Both servers read WEB_CONCURRENCY where no flag says more.
    """
    words = [word for part in (*argv, *shlex.split(variables.get("GUNICORN_CMD_ARGS", ""))) for word in part.split()]
    names = {word.rpartition("/")[2] for word in words}
    server = "gunicorn" if "gunicorn" in names else "uvicorn" if "uvicorn" in names else ""
    if not server:
        return "", 1, "its command names neither gunicorn nor uvicorn"
    if server == "gunicorn" and any("uvicorn" in word.lower() for word in words):
        server = "uvicorn"
    for place, word in enumerate(words):
        if found := FLAG.match(word):
            number = found[1] or (words[place + 1] if place + 1 < len(words) else "")
            if number.isdigit():
                return server, int(number), word if found[1] else f"{word} {number}"
    said = variables.get("WEB_CONCURRENCY", "")
    return (server, int(said), "WEB_CONCURRENCY") if said.isdigit() else (server, 1, "not said: 1")


def pool_of(variables: Mapping[str, str]) -> int | None:
    """Connections that one process may open, of variables named …POOL_SIZE and …MAX_OVERFLOW; None where none says."""
    sizes = [int(value) for name, value in variables.items() if SIZE.search(name) and value.isdigit()]
    more = [int(value) for name, value in variables.items() if OVERFLOW.search(name) and value.isdigit()]
    return max(sizes) + max(more, default=0) if sizes else None


def advise(component: str, serving: Serving) -> Advised:
    """Whether there are too many or too few processes for the cores."""
    total = serving.workers * serving.instances
    told = [f"{serving.instances} × {serving.workers} processes of {serving.server or 'it'} ({serving.source})"]
    if serving.pool is not None:
        told.append(f"they may open {total * serving.pool} connections ({total} × {serving.pool})")
    if serving.cores is None:
        return Advised(component, "workers", (), tuple(told), ("its cores are not known: say --cores",))
    found = _wrong(component, serving, total, serving.cores) if serving.server else None
    told.append(
        f"{serving.cores:g} cores" + (f", of which they use {serving.used:.2f}" if serving.used is not None else "")
    )
    return Advised(component, "workers", (found,) if found else (), tuple(told))


def most_for(server: str, cores: float) -> int:
    """Processes above which cores only change between them: 2 × cores + 1, gunicorn's rule for one request each."""
    return max(1, int(2 * cores + 1)) if server == "gunicorn" else max(2, int(2 * cores))


def _wrong(component: str, serving: Serving, total: int, cores: float) -> Advice | None:
    most, source = most_for(serving.server, cores), GUNICORN if serving.server == "gunicorn" else UVICORN
    now = str(serving.workers)
    if total > most:
        each = max(1, most // serving.instances)
        if each < serving.workers:
            why = f"{total} processes share {cores:g} cores; {most} keep them busy"
            return Advice(component, "workers", now, str(each), why, source, "deploy",
                          "fewer requests at a time where each waits long for others", applied=False)  # fmt: skip
    busy = serving.used is not None and serving.used > BUSY * total
    if busy and total < cores:
        each = max(serving.workers + 1, int(cores) // serving.instances)
        pools = f"; pools grow to {each * serving.instances * serving.pool} connections" if serving.pool else ""
        why = f"{total} processes use {serving.used:.2f} of {cores:g} cores: each is busy, and cores are idle"
        return Advice(component, "workers", now, str(each), why, source, "deploy",
                      f"more memory, once for each process{pools}", applied=False)  # fmt: skip
    return None
