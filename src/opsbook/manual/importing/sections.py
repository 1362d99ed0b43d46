"""Promises, backups, windows, retention and checklists, as a book writes them; what is open is listed."""

from __future__ import annotations

import re
from typing import Any

from opsbook.book.units import Dimension, parse_quantity, write_duration
from opsbook.manual.document import Fence
from opsbook.manual.facts import Backup, Window
from opsbook.manual.importing.sources import Notes, Source
from opsbook.manual.lift.inventory import Inventory, Part, slug, unique

Entries = dict[str, tuple[Any, str]]
"""Name or number of an entry → its value and where it stands."""

DAYS = {"mon": "MO", "tue": "TU", "wed": "WE", "thu": "TH", "fri": "FR", "sat": "SA", "sun": "SU"}
_CRON_DAYS = {"MO": 1, "TU": 2, "WE": 3, "TH": 4, "FR": 5, "SA": 6, "SU": 0}
_OUT = re.compile(r"\[[^\]]+\]|x{2,}|<[^>]+>|\bTBD\b|\bTODO\b|…|\.\.\.", re.I)


def seconds(text: str) -> float | None:
    """A time as manuals write it; None where it is none."""
    written = re.sub(r"^[<>≤≥~\s]+", "", (text or "").strip().lower())
    if re.fullmatch(r"immediate(?:ly)?|at once|inmediato|sofort|立即", written):
        return 0.0
    written = re.sub(r"\s+", "", written)
    try:
        quantity = parse_quantity(written)
    except ValueError:
        return None
    return quantity.value if quantity.dimension is Dimension.DURATION else None


def time_of(text: str, place: str, what: str, notes: Notes) -> str | None:
    """A duration of the book; what cannot be one is listed."""
    if not text:
        return None
    found = seconds(text)
    if found is None:
        notes.ask(place, f"{what}: “{text}” is not a time that a clock can keep")
        return None
    return write_duration(found)


def objectives(sources: list[Source], inventory: Inventory, notes: Notes) -> Entries:
    """RTO and RPO by component; the stricter of two."""
    found: Entries = {}
    for source in sources:
        for one in source.manual.objectives:
            place = source.place(one.line)
            key = one.kind.lower()
            value = time_of(one.value, place, one.kind, notes) if key in ("rto", "rpo") else None
            if value is None:
                if key not in ("rto", "rpo"):
                    notes.ask(
                        place,
                        f"{one.kind} {one.value} ({one.scope}): name the check whose good share is counted in `slos`",
                    )
                continue
            scope = _scope(one.scope, inventory)
            held, at = found.get(scope, ({}, place))
            if key in held and seconds(held[key]) != seconds(value):
                kept = min(held[key], value, key=lambda text: seconds(text) or 0)
                notes.differ(
                    place, f"{one.kind} of {scope}: {value} here ({one.scope}), {held[key]} at {at}; {kept} is taken"
                )
                value = kept
            found[scope] = ({**held, key: value}, at if place in at else f"{at}, {place}" if held else place)
    return found


def _scope(scope: str, inventory: Inventory) -> str:
    text = scope.lower()
    if re.search(r"database|transaction|log|\bdb\b|postgres", text) and (part := inventory.one("postgres")):
        return part.name
    if "application" in text or text == "app":
        return "application"
    return next((name for name in inventory.parts if name == slug(text)), "system")


_METHODS = (
    (re.compile(r"\bwal\b|transaction log|\(log\)|point-in-time|archiv\w+ log", re.I), "wal", "postgres"),
    (re.compile(r"pg_basebackup|\bbase ?backup", re.I), "basebackup", "postgres"),
    (re.compile(r"pgbackrest", re.I), "pgbackrest", "postgres"),
    (re.compile(r"bgsave|\brdb\b|redis", re.I), "rdb", "redis"),
    (re.compile(r"pg_dump|dump|snapshot|database|postgres|datenbank|base de datos|数据库", re.I), "dump", "postgres"),
)


def backups(sources: list[Source], inventory: Inventory, notes: Notes) -> list[tuple[dict[str, Any], str]]:
    """What is backed up, as far as the method and the component are said."""
    found: list[tuple[dict[str, Any], str]] = []
    for source in sources:
        for one in source.manual.backups:
            place = source.place(one.line)
            told = f"{one.what} {one.how}"
            method, part = _method(told, inventory)
            if part is None:
                notes.ask(place, f"backup “{one.what}”: of which component, and how, is not said")
                continue
            entry: dict[str, Any] = {
                "id": unique(
                    slug(f"{one.frequency if one.frequency != 'not stated' else ''} {one.what}", "backup")[:50].strip(
                        "-"
                    ),
                    [e["id"] for e, _ in found],
                ),
                "of": part.name,
                "method": method,
            }
            _when(entry, one, place, notes)
            if keep := seconds(one.retention):
                entry["keep"] = {"within": write_duration(keep)}
            elif one.retention:
                notes.ask(place, f"backup “{one.what}”: how long “{one.retention}” is")
            if re.fullmatch(r"(?:s3://|/)[\w./${}-]+", one.destination):
                entry["to"] = re.sub(r"\$(\w+)", r"${\1}", one.destination)
            else:
                notes.ask(
                    place,
                    f"backup “{one.what}”: the address it is written to"
                    + (f" ({one.destination})" if one.destination else ""),
                )
            if "encrypt" in told.lower() + one.destination.lower():
                notes.ask(place, f"backup “{one.what}”: the key it is encrypted for (`encrypt`)")
            found.append((entry, place))
    return found


def _method(told: str, inventory: Inventory) -> tuple[str, Part | None]:
    for pattern, method, kind in _METHODS:
        if pattern.search(told) and (part := inventory.one(kind)):
            return method, part
    return "", None


def _when(entry: dict[str, Any], one: Backup, place: str, notes: Notes) -> None:
    if one.frequency == "continuous":
        entry["continuous"] = True
        return
    clock = re.match(r"(\d{1,2}):(\d{2})", one.time or "")
    day = _days(f"{one.frequency} {one.time} {one.what}")
    rhythm = one.frequency.lower()
    schedule = None
    if rhythm == "hourly":
        schedule = "0 * * * *"
    elif clock and rhythm == "daily":
        schedule = f"{int(clock[2])} {int(clock[1])} * * *"
    elif clock and rhythm == "weekly" and day:
        schedule = f"{int(clock[2])} {int(clock[1])} * * {_CRON_DAYS[day[0]]}"
    if schedule:
        entry["schedule"] = schedule
    else:
        said = (
            f"“{' '.join(x for x in (one.frequency, one.time) if x)}”"
            if one.frequency != "not stated"
            else "nothing is said"
        )
        notes.ask(place, f"backup “{one.what}”: its schedule ({said})")


def _days(text: str) -> list[str]:
    return [DAYS[d.lower()] for d in re.findall(r"\b(mon|tue|wed|thu|fri|sat|sun)[a-z]*", text, re.I)]


def windows(sources: list[Source], notes: Notes) -> list[tuple[dict[str, Any], str]]:
    found: list[tuple[dict[str, Any], str]] = []
    for source in sources:
        for one in source.manual.maintenance_windows:
            place = source.place(one.line)
            rule = _rule(one, source)
            if rule is None:
                said = " ".join(word for word in (one.frequency, one.day, one.time) if word)
                notes.ask(place, f"window “{one.name}”: when it begins ({said})")
                continue
            entry: dict[str, Any] = {
                "id": unique(slug(one.name, "window"), [e["id"] for e, _ in found]),
                "title": one.name,
                "rrule": rule,
            }
            span = re.match(r"(\d{1,2}):(\d{2})\s*[-–—]\s*(\d{1,2}):(\d{2})", one.time)
            if span:
                minutes = (int(span[3]) * 60 + int(span[4]) - int(span[1]) * 60 - int(span[2])) % 1440
                entry["lasts"] = write_duration(minutes * 60)
            elif lasts := seconds(one.duration):
                entry["lasts"] = write_duration(lasts)
            else:
                notes.ask(place, f"window “{one.name}”: how long it lasts")
            if notice := time_of(one.notice, place, f"window “{one.name}”: notice", notes):
                entry["notice"] = notice
            if re.fullmatch(r"UTC|GMT", one.timezone or ""):
                entry["timezone"] = "UTC"
            elif one.timezone:
                notes.ask(place, f"window “{one.name}”: the zone {one.timezone} as a name such as Europe/Berlin")
            found.append((entry, place))
    return found


def _rule(one: Window, source: Source) -> str | None:
    clock = re.match(r"(\d{1,2}):(\d{2})", one.time or "")
    days = _days(one.day)
    if not clock or not (days or one.frequency == "daily"):
        return None
    at = f"BYHOUR={int(clock[1])};BYMINUTE={int(clock[2])}"
    if one.frequency == "monthly":
        near = " ".join(source.document.lines[max(0, one.line - 1) : one.line + 6]).lower()
        nth = next(
            (
                n
                for word, n in (("first", 1), ("1st", 1), ("second", 2), ("third", 3), ("last", -1))
                if re.search(rf"\b{word}\b", near)
            ),
            None,
        )
        return f"FREQ=MONTHLY;BYDAY={nth}{days[0]};{at}" if nth and days else None
    if one.frequency in ("weekly", "") and days:
        return f"FREQ=WEEKLY;BYDAY={','.join(days)};{at}"
    return f"FREQ=DAILY;{at}" if one.frequency == "daily" else None


_DELETE = re.compile(r"delete\s+from\s+([\w.]+)\s+where\s+(\w+)\s*<", re.I)


def retention(sources: list[Source], inventory: Inventory, notes: Notes) -> list[tuple[dict[str, Any], str]]:
    """Rows by age, where a statement names the column; the rest is listed."""
    found: dict[str, tuple[dict[str, Any], str]] = {}
    part = inventory.one("postgres")
    for source in sources:
        columns = {match[1].lower(): match[2] for match in _DELETE.finditer(source.text)}
        for one in source.manual.retention:
            place, table = source.place(one.line), one.what.strip().lower()
            keep = time_of(one.keep, place, f"retention of {one.what}", notes)
            if keep is None:
                continue
            if part is None or table not in columns:
                if not re.search(r"backup|dump", table):
                    notes.ask(
                        place,
                        f"retention of “{one.what}” ({one.keep}): which table and column, or which files, are meant",
                    )
                continue
            if table in found and found[table][0]["keep"] != keep:
                kept = min(found[table][0]["keep"], keep, key=lambda text: seconds(text) or 0)
                other, at = found[table][0]["keep"], found[table][1]
                notes.differ(place, f"retention of {table}: {keep} here, {other} at {at}; {kept} is taken")
                found[table][0]["keep"] = kept
                continue
            found[table] = ({"of": part.name, "table": table, "column": columns[table], "keep": keep}, place)
    return list(found.values())


_OPENS = (
    ("deploy", re.compile(r"deploy|release|rollout|despliegue", re.I)),
    ("incident", re.compile(r"incident|outage|incidente", re.I)),
    ("window", re.compile(r"maintenance window|wartungsfenster", re.I)),
    ("shift", re.compile(r"hand-?over|shift", re.I)),
)
_EVERY = re.compile(
    r"\b(daily|weekly|monthly|quarterly|yearly|täglich|wöchentlich|monatlich|diari\w+|semanal|mensual)\b", re.I
)


def checklists(sources: list[Source], notes: Notes) -> Entries:
    found: Entries = {}
    for source in sources:
        for one in source.manual.checklists:
            place = source.place(one.line)
            items = [" ".join(text.split()) for text in one.items if text.strip()]
            if not items:
                continue
            name = unique(slug(one.title, f"checklist-{one.line}"), found)
            value: dict[str, Any] = {"title": one.title, "items": items}
            opens = next((word for word, pattern in _OPENS if pattern.search(one.title)), None)
            if opens:
                value["on"] = opens
            elif rhythm := _EVERY.search(one.title):
                notes.ask(
                    place, f"checklist “{one.title}”: the hour at which it is due ({rhythm[1].lower()}), as `every`"
                )
            found[name] = (value, place)
    return found


def scaling(sources: list[Source], inventory: Inventory) -> Entries:
    """Autoscalers that the manual shows."""
    import yaml

    found: Entries = {}
    for source in sources:
        for fence in source.document.fences():
            if fence.language != "yaml" or "HorizontalPodAutoscaler" not in fence.text:
                continue
            try:
                documents = list(yaml.safe_load_all(fence.text))
            except yaml.YAMLError:
                continue
            for one in documents:
                _autoscaler(one, fence, source, inventory, found)
    return found


def _autoscaler(one: Any, fence: Fence, source: Source, inventory: Inventory, found: Entries) -> None:
    spec = one.get("spec") if isinstance(one, dict) and one.get("kind") == "HorizontalPodAutoscaler" else None
    target = spec.get("scaleTargetRef") if isinstance(spec, dict) else None
    part = inventory.workload(str(target.get("name"))) if isinstance(target, dict) else None
    if part is None or not isinstance(spec, dict):
        return
    value: dict[str, Any] = {}
    for key, name in (("min", "minReplicas"), ("max", "maxReplicas")):
        if isinstance(spec.get(name), int):
            value[key] = spec[name]
    for metric in spec.get("metrics") or []:
        resource = metric.get("resource") if isinstance(metric, dict) else None
        use = (resource.get("target") or {}).get("averageUtilization") if isinstance(resource, dict) else None
        if isinstance(use, int) and isinstance(resource, dict) and resource.get("name") in ("cpu", "memory"):
            value[resource["name"]] = f"{use}%"
    if value:
        found[part.name] = (value, source.place(fence.line))
