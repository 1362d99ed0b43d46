"""What a person's own hands get: psql, redis-cli or a shell, on one component, read-only unless asked.

Secrets reach the program by files in a private folder or by its environment, never by its arguments.
"""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opsbook.connectors.contract import Connections, Connector
from opsbook.connectors.postgres import PostgresConnector
from opsbook.connectors.postgres_session import plain_url
from opsbook.connectors.redis import RedisConnector
from opsbook.connectors.runtimes.contract import Unsupported, Verb
from opsbook.connectors.workload import WorkloadComponent, workload_name
from opsbook.errors import Refused, Unreachable

if TYPE_CHECKING:
    from redis.asyncio import Redis

SERVICE = "opsbook"
LOOKING = frozenset({"ping", "info", "time", "command", "slowlog get", "slowlog len", "latency latest", "memory usage",
                     "memory stats", "memory doctor", "config get", "client list", "client info", "lastsave",
                     "object encoding", "object freq", "object idletime", "xinfo stream", "role", "echo"})  # fmt: skip
"""Commands of Redis that only look and do not carry its flag `readonly`."""


@dataclass(frozen=True)
class Shell:
    """A program to hand the terminal to."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    """All of it: what of opsbook's own is needed, and what the program needs."""
    directory: Path
    user: str = ""
    note: str = ""
    """What the person should know, in one sentence."""


@asynccontextmanager
async def shell(connections: Connections, component: str, words: Sequence[str], *, write: bool) -> AsyncIterator[Shell]:
    """The program for a component; what it was given is removed afterwards.

    `words` are further arguments for psql, a command for redis-cli, or a command in place of the shell. Raises Refused
    where reading only cannot be held, Unreachable where the program is not installed.
    """
    found = connections.of(component)
    with tempfile.TemporaryDirectory(prefix="opsbook-shell-") as private:
        if isinstance(found, PostgresConnector):
            yield _psql(found, words, Path(private), write=write)
        elif isinstance(found, RedisConnector):
            yield await _redis_cli(found, words, write=write)
        elif found.component.workload or isinstance(found.component, WorkloadComponent):
            yield await _inside(found, words, write=write)
        else:
            raise Unsupported(
                f"{component} ({found.component.kind}) has no shell",
                "name a postgres or redis component, or a workload",
            )


def _psql(connector: PostgresConnector, words: Sequence[str], private: Path, *, write: bool) -> Shell:
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    component, system = connector.component, connector.system
    reference = (component.admin or component.dsn) if write else component.dsn
    try:
        parts = conninfo_to_dict(plain_url(system.resolve(reference)))
    except ProgrammingError:
        raise Unreachable(f"{connector.name}: {reference} is no URL of PostgreSQL", "mend it in the book") from None
    if not write:
        parts["options"] = f"{parts.get('options') or ''} -c default_transaction_read_only=on".strip()
    parts.setdefault("application_name", "opsbook-shell")
    lines = [f"{name}={value}" for name, value in parts.items() if value is not None]
    if any("\n" in line for line in lines):
        raise Unreachable(f"{connector.name}: a part of {reference} has a line break", "mend it in the book")
    service = private / "service.conf"
    descriptor = os.open(service, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write("\n".join([f"[{SERVICE}]", *lines]) + "\n")
    environment = {**_kept("PG"), "PGSERVICEFILE": str(service), "PGSERVICE": SERVICE}
    note = "" if write else "read-only: transactions refuse to write until somebody says otherwise in the session"
    return Shell((_program("psql"), *words), environment, Path.cwd(), note=note)


async def _redis_cli(connector: RedisConnector, words: Sequence[str], *, write: bool) -> Shell:
    from redis.connection import parse_url

    url = connector.system.resolve(connector.component.url)
    try:
        parts: dict[str, Any] = parse_url(url)  # type: ignore[no-untyped-call]
    except ValueError:
        told = f"{connector.name}: {connector.component.url} is no URL of a Redis server"
        raise Unreachable(told, "mend it in the book") from None
    if not write:
        await _only_reads(connector, words)
    argv = [_program("redis-cli")]
    if "path" in parts:
        argv += ["-s", str(parts["path"])]
    else:
        argv += ["-h", str(parts.get("host", "localhost")), "-p", str(parts.get("port", 6379))]
    if parts.get("db"):
        argv += ["-n", str(parts["db"])]
    if parts.get("username"):
        argv += ["--user", str(parts["username"])]
    if "SSL" in getattr(parts.get("connection_class"), "__name__", ""):
        argv.append("--tls")
    secret = {"REDISCLI_AUTH": str(parts["password"])} if parts.get("password") else {}
    return Shell((*argv, *words), {**_kept("REDISCLI_"), **secret}, Path.cwd())


async def _only_reads(connector: RedisConnector, words: Sequence[str]) -> None:
    """redis-cli itself cannot be held to reading: a single command is judged by the server's own description of it."""
    if words and not words[0].startswith("-"):
        name = " ".join(words[:2]).lower()
        if words[0].lower() in LOOKING or name in LOOKING or await connector.ask(lambda c: _flagged(c, words[0])):
            return
        raise Refused(f"{words[0]} may change {connector.name}", "add --write if it is meant to")
    raise Refused(
        f"redis-cli on {connector.name} cannot be held to reading",
        "give one command that reads, as in `opsbook shell NAME -- GET key`, or add --write",
    )


async def _flagged(client: Redis, word: str) -> bool:
    answer: Any = await client.execute_command("COMMAND", "INFO", word)  # type: ignore[no-untyped-call]
    found = answer.get(word.lower()) if isinstance(answer, dict) else None
    return found is not None and "readonly" in found["flags"]


async def _inside(connector: Connector, words: Sequence[str], *, write: bool) -> Shell:
    if not write:
        raise Refused(f"a shell inside {connector.name} cannot be held to reading", "add --write")
    runtime = connector.connections.runtime
    workload = await workload_name(connector)
    argv = list(words) or [os.environ.get("SHELL") or "/bin/sh"]
    effect = (await runtime.change(workload, Verb.EXEC, {"argv": argv})).effect
    if "directory" not in effect:
        raise Unsupported("this runtime opens no shell on this host", "use its own tool, such as `kubectl exec`")
    environment = {**await runtime.environment(workload), **{k: os.environ[k] for k in TERMINAL if k in os.environ}}
    return Shell(tuple(argv), environment, Path(effect["directory"]), str(effect.get("user") or ""))


def identity(found: Shell) -> dict[str, Any]:
    """Keywords of subprocess that become the user of the workload, where this process may."""
    if not found.user or os.geteuid() != 0:
        return {}
    entry = pwd.getpwuid(int(found.user)) if found.user.isdigit() else pwd.getpwnam(found.user)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": os.getgrouplist(entry.pw_name, entry.pw_gid)}


TERMINAL = ("TERM", "COLORTERM", "LINES", "COLUMNS")


def _kept(prefix: str) -> dict[str, str]:
    """This process' environment without what would lead the program elsewhere."""
    return {name: value for name, value in os.environ.items() if not name.startswith(prefix)}


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise Unreachable(f"{name} is not installed on this host", f"install the package that has {name}")
    return found
