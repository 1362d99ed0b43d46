"""Files that say where the primary is: databases of a PgBouncer, and KEY=VALUE lines. Pure: text in, text out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from opsbook.connectors.change import ChangeFailed
from opsbook.connectors.postgres import ReadersPlace, Repoint
from opsbook.connectors.postgres_pair import Server

HOST, PORT = re.compile(r"\bhost\s*=\s*'?([^\s']+)'?"), re.compile(r"\bport\s*=\s*'?(\d+)'?")
LOCAL = ("127.0.0.1", "localhost", "::1")


def rewritten(place: Repoint, text: str, primary: Server, standby: Server) -> str:
    """The text with the addresses as they are now. Raises ChangeFailed where a place names neither server."""
    if place.reload:
        return _databases(text, primary, standby)
    lines = text.splitlines(keepends=True)
    wanted = {**dict.fromkeys(place.primary, (standby, primary)), **dict.fromkeys(place.standby, (primary, standby))}
    left = set(wanted)
    for number, line in enumerate(lines):
        name = line.removeprefix("export ").partition("=")[0].strip()
        if name in wanted:
            source, target = wanted[name]
            lines[number] = _turned(line, source, target)
            if not _names(target, lines[number]):
                raise ChangeFailed(
                    f"{name} names neither {source.address} nor {target.address}", "see `failover.repoint`"
                )
            left.discard(name)
    if left:
        raise ChangeFailed(f"there is no line {', '.join(sorted(left))}=…", "see `failover.repoint`")
    return "".join(lines)


def readers_led(place: ReadersPlace, text: str, target: Server, others: Iterable[Server]) -> str:
    """The text in which readers are led to one server. Raises ChangeFailed where an entry is not there."""
    lines = text.splitlines(keepends=True)
    left = {*place.databases, *place.variables}
    for number, line in enumerate(lines):
        name = line.removeprefix("export ").partition("=")[0].strip()
        if name in place.databases and HOST.search(line):
            line = HOST.sub(f"host={target.host}", line)
            found = PORT.search(line)
            lines[number] = PORT.sub(f"port={target.port}", line) if found else f"{line.rstrip()} port={target.port}\n"
        elif name in place.variables:
            for other in others:
                line = _turned(line, other, target)
            if not _names(target, line):
                raise ChangeFailed(f"{name} names none of the servers", "see `read_replicas.readers`")
            lines[number] = line
        else:
            continue
        left.discard(name)
    if left:
        raise ChangeFailed(f"there is no {', '.join(sorted(left))} to lead readers by", "see `read_replicas.readers`")
    return "".join(lines)


def names(place: Repoint, text: str, primary: Server, standby: Server) -> bool:
    """Whether the place says what is so already."""
    try:
        return rewritten(place, text, primary, standby) == text
    except ChangeFailed:
        return False


def pooled(rows: Iterable[Mapping[str, Any]], server: Server) -> list[str]:
    """Databases of SHOW DATABASES that lead to the server."""
    return [
        str(row["name"])
        for row in rows
        if any(
            str(row.get("port")) == str(port) and _same(str(row.get("host") or "127.0.0.1"), host)
            for host, port in server.addresses
        )
    ]


def _databases(text: str, primary: Server, standby: Server) -> str:
    """Every entry `name = host=… port=…` that leads to either server leads to the primary."""
    found, lines = 0, text.splitlines(keepends=True)
    among = [
        (old, new) for one in (primary, standby) for old, new in zip(one.addresses, primary.addresses, strict=False)
    ]
    for number, line in enumerate(lines):
        host, port = HOST.search(line), PORT.search(line)
        if host is None or line.lstrip().startswith((";", "#")):
            continue
        port_number = int(port[1]) if port else 5432
        leads = next((new for old, new in among if port_number == old[1] and _same(host[1], old[0])), None)
        if leads is None:
            continue
        found += 1
        line = HOST.sub(f"host={leads[0]}", line)
        lines[number] = PORT.sub(f"port={leads[1]}", line) if port else f"{line.rstrip()} port={leads[1]}\n"
    if not found:
        raise ChangeFailed(
            f"no database of the pool leads to {primary.address} or {standby.address}", "see `failover.repoint`"
        )
    return "".join(lines)


def _turned(line: str, source: Server, target: Server) -> str:
    """The line with the one server's addresses in place of the other's: that from this host, that among containers."""
    for old, new in zip(source.addresses, target.addresses, strict=False):
        line = _address(*old).sub(f"{new[0]}:{new[1]}", line)
    return line


def _names(server: Server, line: str) -> bool:
    return any(_address(*one).search(line) for one in server.addresses)


def _address(host: str, port: int) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w.-]){re.escape(host)}:{port}(?!\d)")


def _same(one: str, other: str) -> bool:
    return one == other or (one in LOCAL and other in LOCAL)
