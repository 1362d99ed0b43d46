"""What the public is told of a system: nothing but names that the book gives for it, figures, and words that people
wrote for it. What checks, alerts and incidents say among ourselves never comes here.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from opsbook.book.references import MissingSecret, Reference
from opsbook.book.system import System
from opsbook.engine.access import Actor
from opsbook.engine.setting import secrets_of
from opsbook.errors import Refused, UsageError
from opsbook.printable import printable
from opsbook.store import audit
from opsbook.store import incidents as store
from opsbook.store.incident_spans import told_of
from opsbook.store.incidents import Event, Incident
from opsbook.watch.acting import act, must_be
from opsbook.watch.public_days import Day
from opsbook.watch.silences import here

Health = Literal["well", "impaired", "down", "maintenance", "unknown"]
Stage = Literal["investigating", "identified", "watching", "resolved"]
STAGES: tuple[Stage, ...] = ("investigating", "identified", "watching", "resolved")
KIND = "public"
"""Kind of the events of a timeline that are for the public."""
LONGEST_TITLE, LONGEST_TEXT = 120, 1_000
PAST = timedelta(days=14)
HOST = re.compile(r"\b(?:[a-z0-9-]+\.)+(?:internal|local|localdomain|lan|intra|svc|cluster)\b", re.IGNORECASE)
ADDRESS = re.compile(
    r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7})(?![\w:])", re.IGNORECASE
)


@dataclass(frozen=True)
class Part:
    """A component as the public knows it."""

    name: str
    health: Health
    uptime: float | None
    """Share of the measured time that it was up, planned maintenance left out; None where nothing was measured."""
    days: tuple[Day, ...]
    """The oldest first, today last."""


@dataclass(frozen=True)
class Statement:
    """What people said of a problem, and when."""

    at: datetime
    stage: Stage
    text: str


@dataclass(frozen=True)
class Problem:
    """An incident that people have told the public of."""

    title: str
    begun: datetime
    ended: datetime | None
    statements: tuple[Statement, ...]
    """The newest first."""


@dataclass(frozen=True)
class Planned:
    """Maintenance that goes on or comes."""

    title: str
    start: datetime
    until: datetime
    goes_on: bool
    parts: tuple[str, ...]
    """What of the shown parts it affects; empty: all."""


@dataclass(frozen=True)
class Page:
    """All that the public sees. Times are aware UTC."""

    title: str
    at: datetime
    health: Health
    parts: tuple[Part, ...]
    problems: tuple[Problem, ...]
    planned: tuple[Planned, ...]
    zone: str
    contact: str = ""
    url: str = ""

    @property
    def headline(self) -> str:
        """How it is, in a sentence."""
        worst = [part.name for part in self.parts if part.health == self.health]
        named = ", ".join(worst)
        return {
            "well": "Everything works",
            "impaired": f"{named}: not everything works as it should",
            "down": f"{named}: not available",
            "maintenance": f"{named or 'The system'}: maintenance",
            "unknown": "The state is not known at the moment",
        }[self.health]


def say(
    connection: Connection, system: System, actor: Actor, incident: Incident, stage: Stage, title: str, text: str,
    now: datetime,
) -> None:  # fmt: skip
    """Tell the public of an incident, recorded. The first statement needs a title.

    Raises UsageError, and Refused where they may not, or where the words name something that is not public.
    """
    must_be(system, actor, "responder", "tell the public of incidents")
    if incident.kind == "practice":
        raise Refused("this incident is for practice", "the public is told of real ones only")
    known = statements_of(connection, [incident.id]).get(incident.id)
    title, text = printable(title).strip(), printable(text).strip()
    if not text or not (title or known):
        raise UsageError("the public needs a title and a text", 'opsbook status-page say INCIDENT --title "…" "…"')
    if len(title) > LONGEST_TITLE or len(text) > LONGEST_TEXT:
        raise UsageError(f"a title has {LONGEST_TITLE} characters at most, a text {LONGEST_TEXT}", "say it shorter")
    for words in (title, text):
        if found := internal(system, words):
            raise Refused(f"{found} is not for the public", "leave it out of the text")
    detail = json.dumps({"title": title or (known[0] if known else ""), "stage": stage}, ensure_ascii=False)
    store.tell(connection, [Event(incident.id, now.timestamp(), actor.name, KIND, text, detail)])
    told = {"incident": incident.id, "stage": stage, "title": title, "text": text}
    audit.append(connection, [act(system, actor, now, "public told", told)])


def internal(system: System, words: str) -> str:
    """What of a text the public must not read, in words: a secret, a host or an address; empty where nothing is."""
    for secret in secrets_of(system):
        if len(secret) >= 4 and secret in words:
            return "a secret"
    lowered = words.lower()
    for host in hosts_of(system):
        if re.search(rf"(?<![\w.-]){re.escape(host)}(?![\w-])", lowered):
            return f"the host {host}"
    if found := HOST.search(words):
        return f"the host {found[0]}"
    for candidate in ADDRESS.findall(words):
        try:
            ipaddress.ip_address(candidate)
        except ValueError:
            continue
        return f"the address {candidate}"
    return ""


def hosts_of(system: System) -> set[str]:
    """The hosts of the components' addresses, but for the public one of the status page itself."""
    found: set[str] = set()
    for component in system.components.values():
        for _, value in component:
            if isinstance(value, Reference):
                try:
                    found.add((urlsplit(system.resolve(value)).hostname or "").lower())
                except (MissingSecret, ValueError):
                    continue
    page = system.model.status_page
    public = (urlsplit(page.url).hostname or "").lower() if page else ""
    return found - {"", public}


def statements_of(connection: Connection, ids: Sequence[str]) -> dict[str, tuple[str, tuple[Statement, ...]]]:
    """Incident → its public title, and what was said, the newest first. Those without a statement are left out."""
    found: dict[str, tuple[str, tuple[Statement, ...]]] = {}
    for incident in sorted(store.events_of(connection, ids, KIND)):
        events = [one for one in store.timeline(connection, incident) if one.kind == KIND]
        told = [(one, _detail(one)) for one in reversed(events)]
        title = next((str(detail["title"]) for _, detail in told if detail.get("title")), "A problem")
        said = tuple(Statement(_moment(one.at), _stage(detail.get("stage")), one.text) for one, detail in told)
        found[incident] = (title, said)
    return found


def problems(connection: Connection, system: System, now: datetime) -> list[Problem]:
    """The incidents of the last days that the public was told of, those that go on first, else the newest first."""
    since = (now - PAST).timestamp()
    known = told_of(connection, here(system), KIND, since)
    told = statements_of(connection, [one.id for one in known])
    found = [_problem(one, *told[one.id]) for one in known if one.id in told]
    return sorted(found, key=lambda one: (one.ended is not None, -one.begun.timestamp()))


def as_json(page: Page) -> dict[str, Any]:
    """For the page's JSON and the API."""
    return {
        "title": page.title,
        "at": _iso(page.at),
        "health": page.health,
        "headline": page.headline,
        "components": [
            {
                "name": part.name, "health": part.health,
                "uptime_percent": None if part.uptime is None else round(part.uptime * 100, 3),
                "days": [one.as_json() for one in part.days],
            }
            for part in page.parts
        ],
        "problems": [
            {
                "title": one.title, "begun": _iso(one.begun), "ended": _iso(one.ended) if one.ended else None,
                "statements": [
                    {"at": _iso(each.at), "stage": each.stage, "text": each.text} for each in one.statements
                ],
            }
            for one in page.problems
        ],
        "maintenance": [
            {
                "title": one.title, "start": _iso(one.start), "until": _iso(one.until), "goes_on": one.goes_on,
                "components": list(one.parts),
            }
            for one in page.planned
        ],
        "contact": page.contact,
        "url": page.url,
    }  # fmt: skip


def worst(healths: Iterable[Health]) -> Health:
    """The health of the whole: that of its worst part."""
    order: tuple[Health, ...] = ("down", "impaired", "unknown", "maintenance", "well")
    found = set(healths)
    return next((one for one in order if one in found), "unknown")


def local_days(zone: str, now: datetime, count: int) -> list[date]:
    """The days until today, by a zone's calendar, the oldest first."""
    today = now.astimezone(ZoneInfo(zone)).date()
    return [today - timedelta(days=n) for n in reversed(range(count))]


def _problem(one: Incident, title: str, said: tuple[Statement, ...]) -> Problem:
    ended = one.resolved_at if one.over else None
    if ended is None and said[0].stage == "resolved":
        ended = said[0].at.timestamp()
    return Problem(title, _moment(one.opened_at), _moment(ended) if ended is not None else None, said)


def _detail(event: Event) -> dict[str, Any]:
    told = json.loads(event.detail or "{}")
    return told if isinstance(told, dict) else {}


def _stage(text: Any) -> Stage:
    return next((one for one in STAGES if one == text), "investigating")


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds")
