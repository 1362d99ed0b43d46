"""What happened to the containers of a service, as the engine keeps it; an end that nobody asked for is a crash."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from opsbook.connectors.runtimes.compose_containers import ASKED_EXITS, ended
from opsbook.connectors.runtimes.compose_create import PROJECT, SERVICE
from opsbook.connectors.runtimes.contract import CRASHED, Event

if TYPE_CHECKING:
    from opsbook.connectors.runtimes.compose_api import ComposeApi

BACK_SECONDS = 24 * 3600
KINDS = {"start": "started", "die": "ended", "oom": "oom", "restart": "restarted", "pause": "paused",
         "unpause": "resumed", "create": "created", "destroy": "removed", "remove": "removed"}  # fmt: skip
ASKING = frozenset({"kill", "stop"})
SIGKILLED = 137


async def read(api: ComposeApi, project: str, service: str) -> list[Event]:
    """The events of one day, oldest first, as far as the engine keeps them."""
    now = int(time.time())
    labels = [f"{PROJECT}={project}", f"{SERVICE}={service}"]
    filters = json.dumps({"type": ["container"], "label": labels})
    # podman goes on for ever without `stream`, which docker does not know; both end at `until`.
    text = await api.get("/events", since=now - BACK_SECONDS, until=now + 1, stream="false", filters=filters)
    told = [json.loads(line) for line in text.splitlines() if line.strip()]
    return list(read_events([one for one in told if _of(one, project, service)]))


def _of(one: dict[str, Any], project: str, service: str) -> bool:
    """podman takes a filter of two labels as either of them."""
    said = (one.get("Actor") or {}).get("Attributes") or {}
    return said.get(PROJECT) == project and said.get(SERVICE) == service


def read_events(told: Sequence[dict[str, Any]]) -> Iterator[Event]:
    """Events of the API as ours."""
    asked: set[str] = set()
    starved: set[str] = set()
    for one in told:
        action, actor = str(one.get("Action") or ""), one["Actor"]
        name, at = str(actor["Attributes"].get("name", "")), _at(one)
        if action in ASKING:
            asked.add(actor["ID"])
        if action == "oom":
            starved.add(actor["ID"])
        if action.startswith("health_status"):
            told_health = action.partition(":")[2].strip()
            if told_health == "unhealthy":
                yield Event(at, "unhealthy", "its health check fails", name)
        elif action == "die":
            yield _end(one, at, name, actor["ID"] in asked, actor["ID"] in starved)
        elif action in KINDS:
            yield Event(at, KINDS[action], f"container {KINDS[action]}", name)
        if action == "start":
            asked.discard(actor["ID"])
            starved.discard(actor["ID"])


def _end(one: dict[str, Any], at: datetime, name: str, asked: bool, starved: bool) -> Event:
    said = one["Actor"]["Attributes"]
    code = int(said.get("exitCode") or said.get("containerExitCode") or 0)
    if starved:
        return Event(at, CRASHED, "killed: it used more memory than its limit", name)
    if asked or code in ASKED_EXITS:
        return Event(at, "ended", ended(code), name)
    # podman tells of no one who asked: a container that does not heed SIGTERM is killed by its stop.
    return Event(at, "killed" if code == SIGKILLED else CRASHED, ended(code), name)


def _at(one: dict[str, Any]) -> datetime:
    return datetime.fromtimestamp(one["timeNano"] / 1e9 if one.get("timeNano") else one["time"], UTC)
