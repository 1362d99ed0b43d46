"""The page behind the signed link of a message. To open it shows what it would do; only its answer does it."""

from __future__ import annotations

from html import escape
from typing import Annotated

from fastapi import Query
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from opsbook.api.doors import by_link, shown, subject
from opsbook.api.house import House
from opsbook.api.named import found
from opsbook.api.parameters import InPath
from opsbook.engine.access import Actor
from opsbook.store.database import reading
from opsbook.store.incidents import Incident
from opsbook.watch import incident_acts as acts
from opsbook.watch.links import Link, link_key, verify
from opsbook.watch.waking import wake

router = subject("incidents", prefix="/acknowledge")
Linked = Annotated[House, by_link("the link is signed for one incident and one person, and ends")]
Who = Annotated[str, Query(max_length=200)]
Until = Annotated[int, Query(ge=0, le=1 << 40)]
Sign = Annotated[str, Query(max_length=64, pattern=r"^[0-9a-f]{64}$")]
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self';"
    " frame-ancestors 'none'; base-uri 'none'",
    "Cache-Control": "no-store",
}
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<meta name="robots" content="noindex"><title>{title}</title><style>
body{{font:18px/1.5 system-ui,sans-serif;max-width:32rem;margin:3rem auto;padding:0 1rem;color-scheme:light dark}}
button{{font:inherit;font-weight:600;padding:.8rem 1.4rem;width:100%}}p{{overflow-wrap:anywhere}}
</style></head><body><h1>{title}</h1><p>{text}</p>{form}</body></html>
"""
FORM = '<form method="post"><button type="submit">I have it</button></form>'
EXAMPLE = shown("<!doctype html>…", "a page", "text/html")


@router.get("/{incident}", responses=EXAMPLE)
def ask(house: Linked, incident: InPath, who: Who, until: Until, sign: Sign) -> Response:
    """Show the incident and ask. Mail scanners open every link, so that this changes nothing."""
    name = _verified(house, Link(incident, who, until, sign))
    with reading(house.watch.setting.store) as connection:
        one = _one(connection, house, incident)
    if one.acknowledged_at is not None:
        return _page(one.title, f"{one.id} was acknowledged by {one.acknowledged_by} already.")
    told = f"{one.severity} {one.id} in {one.environment}. You acknowledge it as {name}: nobody further is paged."
    return _page(one.title, told.strip(), FORM)


@router.post("/{incident}", responses=EXAMPLE)
async def acknowledge(house: Linked, incident: InPath, who: Who, until: Until, sign: Sign) -> Response:
    """Acknowledge it as whom the link was sent to."""
    name = await run_in_threadpool(_verified, house, Link(incident, who, until, sign))
    setting, system = house.watch.setting, house.watch.system
    # Only that somebody who got the message answered it is known.
    actor = Actor(name, "signed link", "viewer", frozenset())
    said: list[str] = []

    def do(connection: Connection) -> None:
        one = _one(connection, house, incident)
        said.append(acts.acknowledge(connection, system, one, actor, setting.clock.now(), by_link=name))

    def write() -> None:
        setting.check_audit()
        setting.write([do])
        setting.write_head()

    await house.act(write)
    wake()
    return _page("It is yours", f"{said[0]}.")


def _verified(house: House, link: Link) -> str:
    setting = house.watch.setting
    return verify(link_key(setting.folder), link, setting.clock.now())


def _one(connection: Connection, house: House, incident: str) -> Incident:
    with found():
        return acts.find(connection, house.watch.system, incident)


def _page(title: str, text: str, form: str = "") -> Response:
    body = PAGE.format(title=escape(title), text=escape(text), form=form)
    return Response(body.encode("utf-8", "replace"), headers=HEADERS, media_type="text/html; charset=utf-8")
