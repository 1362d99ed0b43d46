"""Severities, contacts and the escalation path, as a book writes them."""

from __future__ import annotations

import re
from typing import Any

from opsbook.manual.importing.sections import Entries, time_of
from opsbook.manual.importing.sources import Notes, Source
from opsbook.manual.lift.inventory import slug


def severities(sources: list[Source], notes: Notes) -> Entries:
    found: Entries = {}
    for source in sources:
        for one in source.manual.severities:
            place = source.place(one.line)
            name = re.split(r"\s+[-–—:]\s+", one.name)[0].strip()
            means = one.means or (
                re.split(r"\s+[-–—:]\s+", one.name, maxsplit=1)[1] if name != one.name.strip() else ""
            )
            value = {
                "means": means,
                "respond": time_of(one.response, place, f"{name}: response", notes),
                "resolve": time_of(one.resolution, place, f"{name}: resolution", notes),
            }
            value = {key: text for key, text in value.items() if text}
            if name in found:
                if found[name][0] != value:
                    notes.differ(place, f"severity {name} is described at {found[name][1]} already; that one is taken")
                continue
            found[name] = (value, place)
    return found


def _once(path: list[tuple[dict[str, Any], str]]) -> list[tuple[dict[str, Any], str]]:
    """Each level once, as it is told with its time."""
    kept: dict[str, tuple[dict[str, Any], str]] = {}
    for entry, place in path:
        if entry["level"] not in kept or ("within" in entry and "within" not in kept[entry["level"]][0]):
            kept[entry["level"]] = (entry, place)
    return list(kept.values())


def contacts(sources: list[Source], notes: Notes) -> tuple[Entries, Entries]:
    """Contacts by name, and channels."""
    people: Entries = {}
    channels: Entries = {}
    for source in sources:
        for one in source.manual.contacts:
            place = source.place(one.line)
            role = one.role or ""
            channel = re.match(
                r"(slack|pagerduty|opsgenie|teams|discord|telegram|mattermost)\b", f"{role} {one.channel}".strip(), re.I
            )
            if channel and "@" not in one.channel:
                name = channel[1].lower()
                channels.setdefault(name, (f"${{{name.upper()}_URL}}", place))
                notes.ask(place, f"channel {name} ({one.channel}): its address, as the variable {name.upper()}_URL")
                continue
            email = re.search(r"[\w.+-]+@[\w-]+\.[\w.-]*\w", one.channel)
            phone = re.search(r"\+?\d[\d\s().-]{6,}\d", one.channel)
            value = {
                "role": role,
                "email": email[0] if email else "",
                "phone": phone[0] if phone else "",
                "available": one.availability,
            }
            name = slug(role) or slug(email[0].partition("@")[0] if email else "", "contact")
            if not email and not phone:
                notes.ask(place, f"{role or one.channel}: how to reach them (“{one.channel}”)")
                value["name"] = role
            value = {key: text for key, text in value.items() if text}
            if value and name not in people:
                people[name] = (value, place)
            elif value and people[name][0].get("email") != value.get("email"):
                notes.differ(place, f"{name} is reached otherwise at {people[name][1]}; that one is taken")
    return people, channels


def escalation(sources: list[Source], people: Entries, notes: Notes) -> list[tuple[dict[str, Any], str]]:
    """The first manual's path with somebody to reach; levels of the others are listed where they differ."""
    paths: list[list[tuple[dict[str, Any], str]]] = []
    new: Entries = {}
    for source in sources:
        path = []
        for one in source.manual.escalation:
            place = source.place(one.line)
            email = re.search(r"[\w.+-]+@[\w-]+\.[\w.-]*\w", f"{one.contact} {one.who}")
            label = one.level if not one.level.isdigit() else f"L{one.level}"
            who = one.who if "@" not in one.who else one.level
            name = next((n for n, (value, _) in people.items() if email and value.get("email") == email[0]), "")
            name = (
                name
                or next((n for n in people if n and n in (slug(who), slug(one.level))), "")
                or slug(who)
                or slug(label, "level")
            )
            if name not in people:
                new[name] = ({"role": who, **({"email": email[0]} if email else {})}, place)
            entry: dict[str, Any] = {"level": label, "notify": name}
            within = time_of(one.within, place, f"escalation to {label}", notes)
            if within:
                entry["within"] = within
            path.append((entry, place))
        if path:
            paths.append(_once(path))
    known = {**new, **people}
    reachable = sorted(
        paths, key=lambda path: -sum(bool({"email", "phone"} & set(known[e["notify"]][0])) for e, _ in path)
    )
    for number, (entry, place) in enumerate(reachable[0] if reachable else []):
        people.setdefault(entry["notify"], known[entry["notify"]])
        if not {"email", "phone"} & set(people[entry["notify"]][0]):
            notes.ask(place, f"{entry['notify']}: how to reach them; the escalation path tells them")
        if number and "within" not in entry:
            notes.ask(place, f"escalation to {entry['level']}: after how long; it is not said, and stands at once")
    for path in reachable[1:]:
        notes.differ(path[0][1], f"another escalation path than at {reachable[0][0][1]}; that one is taken")
    return reachable[0] if reachable else []
