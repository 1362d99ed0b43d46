"""A system taken out of service on purpose: its proxy answers 503 with a banner, and everything behind it is free."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from html import escape

from pydantic import Field

from opsbook.book.catalogue import Risk
from opsbook.connectors.change import Change, Json
from opsbook.connectors.http import MaintenanceSwitch, ProxyComponent
from opsbook.connectors.switches.include import MountedMap, in_maintenance, include_for, without_maintenance
from opsbook.connectors.text_difference import text_difference
from opsbook.errors import Refused
from opsbook.operations.contract import Facts, OperationParameters, Repeatable
from opsbook.operations.registry import operation

PAGE = """<!doctype html><meta charset=utf-8><meta name=viewport content='width=device-width'><title>{title}</title>\
<style>body{{font:1.1rem/1.5 system-ui,sans-serif;max-width:34rem;margin:20vh auto;padding:0 1rem}}</style>\
<h1>{title}</h1><p>{message}</p>"""
INCLUDE = """\
# opsbook: maintenance
default_type "text/html; charset=utf-8";
add_header Retry-After {retry_after} always;
add_header Cache-Control no-store always;
add_header X-Opsbook-Maintenance {mark} always;
return 503 "{page}";
"""
LONGEST_PAGE = 3_500
"""nginx reads no parameter that is longer than its buffer of 4,096 bytes."""


def include_of(title: str, message: str, retry_after: int) -> str:
    """What nginx includes: a page whose every special character is an HTML entity, so that none is nginx' own.

    Raises Refused for a page that nginx could not read.
    """
    page = PAGE.format(title=_entities(title), message=_entities(message))
    if len(page.encode()) > LONGEST_PAGE:
        raise Refused(f"the banner has {len(page):,} characters, more than nginx reads", "shorten the message")
    mark = hashlib.sha256(page.encode()).hexdigest()[:16]
    return INCLUDE.format(retry_after=retry_after, mark=mark, page=page)


def _entities(text: str) -> str:
    kept = "".join(one for one in text if one.isprintable() or one in "\n\t")
    return "".join(f"&#{ord(one)};" if one in "\"'\\${};\n\t" else escape(one, quote=False) for one in kept)


def _switch(facts: Facts, component: str) -> MaintenanceSwitch:
    settings = facts.system.components[component]
    if not isinstance(settings, ProxyComponent) or settings.maintenance is None:
        raise Refused(
            f"{component} cannot be put in maintenance by opsbook",
            f"set `maintenance` of {component} to the file that nginx includes, and its pid file",
        )
    return settings.maintenance


class Enter(OperationParameters):
    message: str = Field(min_length=1, description="what users read")
    title: str = Field("Maintenance", min_length=1, max_length=200, description="the heading above it")


@operation(
    "maintenance.enter",
    Risk.DISRUPTIVE,
    of="proxy",
    idempotent=True,
    parameters=Enter,
    doc="Closes a system for its users: its proxy answers 503 with Retry-After and a banner, once nginx has found its "
    "configuration valid and serves it. Undo lets users in again. While `opsbook serve` runs, the alerts of what is "
    "behind it are silent until the run has left maintenance or ended.",
)
class _Enter(Repeatable):
    async def plan(self, parameters: Enter, facts: Facts) -> AsyncIterator[Change]:
        switch = _switch(facts, parameters.of)
        include = include_for(facts, switch)
        now = await in_maintenance(include)
        facts.record(f"{parameters.of}: in maintenance", bool(now))
        content = include_of(parameters.title, parameters.message, int(switch.retry_after.total_seconds()))
        back: Change | str = Change("maintenance", _off(parameters.of, switch))
        if now:
            back = Change("maintenance", _on(parameters.of, switch, now))
        if isinstance(include, MountedMap):
            await include.asked(content)
        evidence = {
            "file": include.words,
            "in maintenance now": bool(now),
            "diff": text_difference(await include.now(), content),
        }
        yield Change("maintenance", _on(parameters.of, switch, content), evidence, inverse=back)


class Leave(OperationParameters):
    pass


@operation(
    "maintenance.leave",
    Risk.DISRUPTIVE,
    of="proxy",
    idempotent=True,
    parameters=Leave,
    doc="Lets users in again: puts back what the proxy included before maintenance, and sees that it serves.",
)
class _Leave(Repeatable):
    async def plan(self, parameters: Leave, facts: Facts) -> AsyncIterator[Change]:
        switch = _switch(facts, parameters.of)
        include = include_for(facts, switch)
        now = await in_maintenance(include)
        facts.record(f"{parameters.of}: in maintenance", bool(now))
        back: Change | str = "it was not in maintenance"
        if now:
            back = Change("maintenance", _on(parameters.of, switch, now))
        difference = text_difference(await include.now(), await without_maintenance(include))
        evidence = {"in maintenance now": bool(now), "diff": difference}
        yield Change("maintenance", _off(parameters.of, switch), evidence, inverse=back)


def _on(component: str, switch: MaintenanceSwitch, content: str) -> dict[str, Json]:
    return {"component": component, "include": switch.include, "content": content}


def _off(component: str, switch: MaintenanceSwitch) -> dict[str, Json]:
    return {"component": component, "include": switch.include, "content": None}
