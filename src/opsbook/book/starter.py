"""Writes the first book of a system from what was found: commented, and valid as it is."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from opsbook.book.catalogue import Catalogue
from opsbook.book.discover import Found, Part, Place
from opsbook.book.suggestions import ADDRESS, BROKERS, MEANT_FOR, SUGGESTED, VARIABLES, WORKLOAD, Suggestion

NOT_HERE = "workload"
"""The kind of what this opsbook has no connector for."""

HEAD = """\
# The book of {name}: what it consists of, what is normal, what is promised, and what to do.
# Written by `opsbook init`{seen}.
# It is a beginning: read it, correct it, and keep it in the repository.
#
#   opsbook doctor         can everything that is named here be reached?
#   opsbook check          the health check
#   opsbook observations   what else can be observed
#
# Every key: `opsbook schema --format markdown`. Values that are secret are references such as ${{NAME}};
# they are taken from the process environment or the env_file when they are needed, and never printed.
opsbook: 1
system: {system}
timezone: UTC  # in which schedules and windows are written
"""

PROMISES = """
# What comes next: promises, each of which opsbook holds against what it measures. Uncomment and correct.
#
# objectives:
#   {first}: {{rto: 4h, rpo: 24h}}  # how long a recovery may take, how much it may lose
# severities:
#   P1: {{means: users cannot work, respond: 15m, resolve: 4h}}
#   P2: {{means: it is slow or partly broken, respond: 1h, resolve: 1d}}
# channels:
#   oncall: ${{ONCALL_URL}}
# escalation:
#   - {{level: L1, notify: oncall, within: 5m}}
# windows:
#   - {{id: weekly, rrule: "FREQ=WEEKLY;BYDAY=SU;BYHOUR=2", lasts: 2h, notice: 7d}}
"""


_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

WRITTEN = ("replicas", "depends_on", "env")
"""Keys whose value is YAML already: a number, a list."""


@dataclass(frozen=True)
class Entry:
    """A component of the book: its part, and the keys that are written."""

    part: Part
    keys: dict[str, str]


def starter(found: Found, folder: Path, catalogue: Catalogue, runtimes: Collection[str]) -> str:
    """The text of book.yaml for that folder. `runtimes` are the kinds whose workloads this opsbook can ask."""
    parts = _ordered(_with_named(found, catalogue))
    parts = [replace(p, needs=(*p.needs, broker)) if (broker := _broker(p, parts)) else p for p in parts]
    taken: set[str] = set()
    entries = [_entry(part, parts, found.names, taken) for part in parts]
    seen = f" from {_and(found.sources)}" if found.sources else ""
    text = HEAD.format(name=found.system, system=_scalar(found.system), seen=seen)
    text += _environments(found, folder, parts)
    text += (
        "\n# The parts of the system. Their names are yours to choose; checks and procedures use them.\ncomponents:\n"
    )
    text += "\n".join(_component(entry) for entry in entries)
    held = bool(found.places) and found.places[0].kind in runtimes
    text += (
        "\n# An observation held against thresholds. The figures are ones that many teams begin with: yours differ.\n"
    )
    text += "# `daily` marks what the morning check looks at: `opsbook check --only daily`.\n"
    groups = [_checks(entry, catalogue, held) for entry in entries]
    written = "\n".join(group for group in groups if group)
    text += f"checks:\n{written}" if written else "checks: []\n"
    if found.jobs:
        text += "\n# Recurring jobs that should be seen to have run.\njobs:\n"
        text += "".join(
            f"  - {{id: {_scalar(name)}, schedule: {json.dumps(cron)}}}\n" for name, cron in _known_jobs(found)
        )
    first = next((entry.part.name for entry in entries if entry.part.kind == "postgres"), entries[0].part.name)
    return text + PROMISES.format(first=first)


def _known_jobs(found: Found) -> list[tuple[str, str]]:
    from croniter import croniter

    return [(name, cron) for name, cron in found.jobs if len(cron.split()) == 5 and croniter.is_valid(cron)]


def _with_named(found: Found, catalogue: Catalogue) -> list[Part]:
    """The parts that run here, and those that only a variable tells of: a managed database, a certificate."""
    held = {part.name for part in found.places[0].parts} if found.places else set()
    parts = [part if part.name in held else replace(part, workload="", replicas=None) for part in found.parts]
    parts = [part if part.kind in catalogue.components else replace(part, kind=NOT_HERE) for part in parts]
    kinds = {part.kind for part in parts}
    for kind, name in (("postgres", "database"), ("redis", "cache")):
        known = [variable for variable in VARIABLES[kind] if variable in found.names]
        if kind in catalogue.components and kind not in kinds and known and name not in {p.name for p in parts}:
            parts.append(Part(name, kind, found.env_file or "variables", named_by=(known[0],)))
    if "tls" in catalogue.components and found.hosts:
        parts.append(Part("certificate", "tls", "ingress", named_by=(found.hosts[0],)))
    if not parts or not found.places or found.places[0].kind in ("supervisor", "none"):
        parts.append(Part("host", "host", "this machine"))
    return [part for part in parts if part.kind in catalogue.components]


ORDER = ("proxy", "http", "celery", "celery-beat", "workload", "postgres", "pgbouncer", "redis", "tcp")


def _ordered(parts: list[Part]) -> list[Part]:
    """From the users inwards; each name once."""
    unique = {part.name: part for part in reversed(parts)}
    place = {kind: n for n, kind in enumerate(ORDER)}
    return sorted(unique.values(), key=lambda part: (place.get(part.kind, len(ORDER)), parts.index(part)))


def _entry(part: Part, parts: list[Part], names: Sequence[str], taken: set[str]) -> Entry:
    keys = {"kind": part.kind}
    if part.kind in ("celery", "celery-beat"):
        broker = _broker(part, parts)
        if broker is None:  # its broker is none that this opsbook can ask
            part = replace(part, kind=NOT_HERE)
            keys["kind"] = NOT_HERE
        else:
            keys["broker"] = broker
    elif part.kind == "tls":
        keys["address"] = f"{part.named_by[0]}:443"
    elif part.kind in ADDRESS:
        key, written = ADDRESS[part.kind]
        others = {name for other in parts if other is not part for name in other.named_by}
        variable = _variable(part, [name for name in names if name not in others], taken)
        default = f":-{written.format(port=part.published)}" if written and part.published else ""
        keys[key] = f"${{{variable}{default}}}"
    if part.kind in ("http", "proxy") and part.health:
        keys["health"] = part.health
    if part.workload:
        keys["workload"] = part.workload
    if part.replicas is not None:
        keys["replicas"] = str(part.replicas)
    known = {other.name for other in parts}
    needs = [name for name in part.needs if name in known and name not in (part.name, keys.get("broker"))]
    if needs := _without_circles(part.name, needs, parts):
        keys["depends_on"] = "[" + ", ".join(map(_scalar, needs)) + "]"
    if variables := [name for name in part.variables if _VARIABLE.fullmatch(name)]:
        keys["env"] = "[" + ", ".join(variables) + "]"
    return Entry(part, keys)


def _without_circles(name: str, needs: list[str], parts: list[Part]) -> list[str]:
    """Without those that need this one themselves, directly or through others; the earlier part keeps its needs."""
    by_name = {part.name: part for part in parts}
    order = {part.name: n for n, part in enumerate(parts)}

    def reaches(start: str) -> bool:
        seen, waiting = set[str](), [start]
        while waiting:
            one = waiting.pop()
            if one == name:
                return True
            if one not in seen and one in by_name:
                seen.add(one)
                waiting += by_name[one].needs
        return False

    return [other for other in needs if not (reaches(other) and order[other] < order[name])]


def _broker(part: Part, parts: list[Part]) -> str | None:
    if part.kind not in ("celery", "celery-beat"):
        return None
    redis = [other for other in parts if other.kind == "redis"]
    telling = [o for o in redis if set(o.named_by) & set(BROKERS) or "broker" in o.name or "queue" in o.name]
    needed = [other for other in redis if other.name in part.needs]
    return next((other.name for other in [*telling, *needed, *redis]), None)


def _variable(part: Part, names: Sequence[str], taken: set[str]) -> str:
    """The variable that holds its address: one that names it, one that is called so, or a new one."""
    own = re.sub(r"\W", "_", part.name.upper())
    own = own if own[:1].isalpha() else f"AT_{own}"  # no variable begins with a digit
    usual = VARIABLES.get(part.kind, ())
    told = sorted(part.named_by, key=lambda name: usual.index(name) if name in usual else len(usual))
    called = [name for name in names if name in (f"{own}_URL", f"{own}_DSN", f"{own}_URI")]
    typical = [name for name in usual if name in names] if part.kind != "http" else []
    made = f"{own}_ADDRESS" if part.kind == "tcp" else f"{own}_URL"
    candidates = [*told, *called, *typical, made]
    chosen = next((name for name in candidates if name not in taken and _VARIABLE.fullmatch(name)), made)
    taken.add(chosen)
    return chosen


def _component(entry: Entry) -> str:
    text = f"  {entry.part.name}:  # {MEANT_FOR[entry.part.kind]}\n"
    return text + "".join(
        f"    {key}: {value if key in WRITTEN else _scalar(value)}\n" for key, value in entry.keys.items()
    )


_PLAIN = re.compile(r"\$\{[^}]*\}|[A-Za-z/][A-Za-z0-9_./-]*(:\d+)?")
_KEYWORDS = ("true", "false", "null", "yes", "no", "on", "off")


def _scalar(value: str) -> str:
    """Text as YAML: bare where every reader takes it as text, else in quotes."""
    plain = _PLAIN.fullmatch(value) and value.lower() not in _KEYWORDS
    return value if plain else json.dumps(value, ensure_ascii=False)


def _checks(entry: Entry, catalogue: Catalogue, held: bool) -> str:
    part = entry.part
    has = {"workload": bool(part.workload), "replicas": part.replicas is not None, "variables": "env" in entry.keys}
    own = [one for one in SUGGESTED.get(part.kind, ()) if one.observe in catalogue.observations]
    if held and part.workload:
        own += [one for one in WORKLOAD if has[one.needs] and one.observe in catalogue.observations]
    return "".join(_check(part.name, one) for one in own)


def _check(name: str, one: Suggestion) -> str:
    words = {
        "id": _scalar(f"{name}-{one.id}"),
        "observe": one.observe,
        "of": _scalar(name),
        "title": json.dumps(f"{name}: {one.title}"),
    }
    words |= {"with": one.with_} if one.with_ else {}
    words |= {key: f'"{value}"' for key, value in (("warning", one.warning), ("critical", one.critical)) if value}
    words |= {"for": one.for_} if one.for_ else {}
    words |= {"groups": "[daily]"} if one.daily else {}
    return "  - {" + ", ".join(f"{key}: {value}" for key, value in words.items()) + "}\n"


def _environments(found: Found, folder: Path, parts: list[Part]) -> str:
    places = found.places or [Place("none", "", {}, ())]
    names = _names_of(places)
    text = "\n# Where it runs. `strict` asks for approvals before anything disruptive; `open` asks for nothing.\n"
    if len(names) > 1:
        text = f"default_environment: {names[0]}  # others: --env NAME\n" + text
    text += "environments:\n"
    for name, place in zip(names, places, strict=True):
        text += f"  {name}:\n    runtime: {_runtime(place, found.root, folder)}\n"
        text += f"    policy: {'open' if name == 'local' else 'strict'}\n"
        if (name == "local" or len(places) == 1) and PurePosixPath(found.env_file).name in (".env", ".env.production"):
            path = os.path.relpath(found.root / found.env_file, folder)
            text += (
                f"    env_file: {_scalar(path)}  # where references find their values; only this user should read it\n"
            )
        text += _differing(place, places[0], parts)
    return text


def _names_of(places: list[Place]) -> list[str]:
    names: list[str] = []
    for place in places:
        wanted = "local" if place.kind == "compose" and names else "production"
        names.append(wanted if wanted not in names else place.kind)
    return names


def _runtime(place: Place, root: Path, folder: Path) -> str:
    settings = {"kind": place.kind}
    for key, value in place.settings.items():
        settings[key] = os.path.relpath(root / value, folder) if key in ("file", "config") else value
    return "{" + ", ".join(f"{key}: {_scalar(value)}" for key, value in settings.items()) + "}"


def _differing(place: Place, first: Place, parts: list[Part]) -> str:
    """What differs from the first place: the workload's name and number."""
    if place is first:
        return ""
    known = {part.name: part for part in parts}
    lines = []
    for part in place.parts:
        book = known.get(part.name)
        if book is None:
            continue
        keys = {}
        if part.workload != book.workload:
            keys["workload"] = _scalar(part.workload)
        if (part.replicas or 1) != (book.replicas or 1):
            keys["replicas"] = str(part.replicas or 1)
        if keys:
            lines.append(f"      {part.name}: {{{', '.join(f'{key}: {value}' for key, value in keys.items())}}}\n")
    return "    components:  # what differs here\n" + "".join(lines) if lines else ""


def _and(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
