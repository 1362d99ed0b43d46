"""Pools of PgBouncer held against who waits, what the server admits, and what clients may open. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from opsbook.connectors.pgbouncer import CONSOLE
from opsbook.upkeep.advice.contract import Advice, Advised

DOCS = "https://www.pgbouncer.org/config.html"


def advise(
    component: str,
    config: Mapping[str, str],
    databases: Sequence[Mapping[str, Any]],
    pools: Sequence[Mapping[str, Any]],
    *,
    clients: float | None = None,
    room: float | None = None,
) -> Advised:
    """Advice of `SHOW CONFIG`, `DATABASES` and `POOLS`.

    `clients` are the connections that applications may open to it; `room` are those that the server behind it would
    still admit if all pools were full.
    """
    sizes = {row["name"]: int(row["pool_size"]) for row in databases if row["name"] != CONSOLE}
    used = [pool for pool in pools if pool["database"] in sizes]
    found = (*_waiting(component, sizes, used, room), *_clients(component, config, clients))
    told = tuple(
        f"{pool['database']}/{pool['user']}: {pool['sv_active'] + pool.get('sv_idle', 0)} of {sizes[pool['database']]} "
        f"server connections, {pool['cl_active']} clients, {pool['cl_waiting']} wait"
        for pool in used
    )
    return Advised(component, "pgbouncer", found, told, () if used else ("no pool has been used yet",))


def _waiting(
    component: str, sizes: Mapping[str, int], pools: Sequence[Mapping[str, Any]], room: float | None
) -> Iterator[Advice]:
    for pool in pools:
        size, waits = sizes[pool["database"]], int(pool["cl_waiting"])
        if not waits or pool["sv_active"] < size:
            continue
        wanted = size + min(waits, size)
        why = f"{waits} clients wait up to {float(pool['maxwait']):g} s while all {size} connections work"
        if room is not None:
            wanted = min(wanted, size + int(max(0.0, room)))
            why += f"; the server would admit {max(0.0, room):g} more"
        if wanted > size:
            yield Advice(component, f"pool_size of {pool['database']}", str(size), str(wanted), why, DOCS, "reload",
                         "the server does more at a time, each a little slower", applied=False)  # fmt: skip


def _clients(component: str, config: Mapping[str, str], clients: float | None) -> Iterator[Advice]:
    most = int(config.get("max_client_conn", 100))
    if clients is not None and clients > most:
        wanted = -(-int(clients * 1.2) // 10) * 10
        why = f"the pools of applications may open {clients:g}, and it admits {most}: the rest is refused"
        yield Advice(component, "max_client_conn", str(most), str(wanted), why, DOCS, "restart",
                     "each takes a file descriptor", applied=False)  # fmt: skip
