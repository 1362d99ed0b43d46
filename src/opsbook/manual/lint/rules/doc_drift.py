"""Names that drift: one container, database, user or namespace written in two ways."""

from __future__ import annotations

import re
from collections.abc import Iterator

from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import sh
from opsbook.manual.lint.facts.databases import CLIENTS, database_of, is_connection, user_of
from opsbook.manual.lint.facts.steps import Step
from opsbook.manual.lint.finding import FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, Place, rule

_SYNONYMS = (("production", "prod"), ("development", "dev"), ("database", "db"), ("postgresql", "postgres"))
_OF_CONTAINERS = frozenset({"exec", "logs", "restart", "stop", "start", "inspect", "stats", "top", "rm", "kill", "cp"})


@rule(
    "OB560",
    "name-written-twice",
    FaultClass.ROT,
    Severity.WARNING,
    summary="One step writes a name otherwise than all the others do",
    reason=(
        "Containers, databases, users and namespaces are found by their exact names: the one step that says shop_db "
        "for shop-db finds nothing, or another thing."
    ),
    source="the manual itself",
    bad=sh(
        "docker logs shop-db\ndocker restart shop-db\ndocker stats shop-db --no-stream\ndocker exec shop_db pg_isready"
    ),
    good=sh(
        "docker logs shop-db\ndocker restart shop-db\ndocker stats shop-db --no-stream\ndocker exec shop-db pg_isready"
    ),
)
def name_written_twice(context: Context) -> Iterator[Fault]:
    """Names that are the same but for -, _, capitals and prod/production; one written once, the other three times."""
    told: dict[str, dict[str, list[Place]]] = {}
    for step in context.steps:
        for kind, name, place in _named(step):
            if re.fullmatch(r"[A-Za-z][\w.-]{2,}", name):
                told.setdefault(f"{kind} {_plain(name)}", {}).setdefault(name, []).append(place)
    for key, names in told.items():
        if len(names) != 2:
            continue
        (often, many), (seldom, few) = sorted(names.items(), key=lambda item: -len(item[1]))
        if len(many) >= 3 and len(few) == 1:
            yield Fault(few[0], f"{key.split()[0]} {seldom} is {often} everywhere else", Fix(often))


def _plain(name: str) -> str:
    text = name.lower()
    for long, short in _SYNONYMS:
        text = text.replace(long, short)
    return re.sub(r"[-_.]", "", text)


def _named(step: Step) -> Iterator[tuple[str, str, Place]]:
    call = step.call
    if call is None:
        return
    if call.tool in ("docker", "docker compose") and call.verb in _OF_CONTAINERS and call.args:
        kind = "service" if call.tool == "docker compose" else "container"
        for word in call.args[:1]:
            yield kind, word.text.split(":", 1)[0], step.at(word)
    if call.tool == "kubectl":
        namespace = call.flag("-n", "--namespace")
        if namespace is not None and namespace.value:
            yield "namespace", namespace.value, step.at(namespace.word)
    if step.program in CLIENTS:
        database, user = database_of(call, step.program), user_of(call)
        if database and not is_connection(database):
            yield "database", database, step.place
        if user and not is_connection(user):
            yield "user", user, step.place
