"""celery: what workers tell, and what is asked of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from opsbook.manual.lift.context import Lifted, Stay, Use
from opsbook.manual.lift.inventory import Part
from opsbook.manual.lift.model import Why
from opsbook.manual.lift.registry import lifts

VALUED = frozenset(
    [
        "-A",
        "--app",
        "-b",
        "--broker",
        "-d",
        "--destination",
        "-t",
        "--timeout",
        "-Q",
        "--queue",
        "-a",
        "--args",
        "-k",
        "--kwargs",
        "--result-backend",
        "-n",
    ]
)
LOOKS = {
    "ping": "celery.workers",
    "stats": "celery.workers",
    "registered": "celery.workers",
    "report": "celery.workers",
    "active_queues": "celery.workers",
    "conf": "celery.workers",
}
CONTROLS = {
    "rate_limit": ("celery.rate_limit", ("task", "rate")),
    "cancel_consumer": ("celery.pause", ("queues",)),
    "add_consumer": ("celery.resume", ("queues",)),
    "revoke": ("celery.revoke", ("ids",)),
    "terminate": ("celery.revoke", ("", "ids")),
}
"""`control` verb → the operation, and the parameters that its words are."""


@lifts("celery")
def celery(use: Use) -> Lifted:
    part = use.of_kind("celery")
    if part is None:
        return Stay(Why.ELSEWHERE, "the book has no Celery workers")
    words, options = _read(use.command.words[1:])
    verb = words[0] if words else ""
    if verb == "status":
        return use.check("celery.workers", part)
    if verb == "inspect":
        return _inspect(use, part, words[1] if len(words) > 1 else "")
    if verb == "call" and len(words) > 1:
        return _call(use, part, words[1], options)
    if verb == "control" and len(words) > 1 and words[1] in CONTROLS:
        return _control(use, part, words[1], words[2:])
    if verb == "purge":
        return Stay(Why.HARM, "it drops every waiting task: which ones are meant is for a person to say", "", part.name)
    if verb in ("worker", "beat", "flower", "events"):
        return Stay(Why.INTERACTIVE, "it stays in the foreground", "", part.name)
    return None if use.inside is not None else Stay(Why.PROGRAM, "", "", part.name)


def _read(words: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    found: list[str] = []
    options: dict[str, str] = {}
    at = 0
    while at < len(words):
        name, equals, value = words[at].partition("=")
        if words[at] in VALUED and at + 1 < len(words):
            options[words[at]] = words[at + 1]
            at += 1
        elif words[at].startswith("-"):
            options[name] = value if equals else ""
        else:
            found.append(words[at])
        at += 1
    return found, options


def _inspect(use: Use, part: Part, what: str) -> Lifted:
    if what in LOOKS or "celery.inspect" not in use.context.catalogue.operations:
        return use.check(LOOKS.get(what, "celery.workers"), part)
    return use.op("celery.inspect", part)


def _call(use: Use, part: Part, task: str, options: dict[str, str]) -> Lifted:
    name = use.text(task, "task")
    given: dict[str, Any] = {"task": name, "queue": options.get("-Q") or options.get("--queue")}
    for key, names in (("args", ("-a", "--args")), ("kwargs", ("-k", "--kwargs"))):
        written = next((options[one] for one in names if one in options), None)
        if written is not None:
            try:
                given[key] = json.loads(written)
            except ValueError:
                return Stay(Why.OPEN, "the arguments of the task are computed by the shell", "", part.name)
    return use.op("celery.call", part, **given) if name else Stay(Why.OPEN, "the task is not named", "", part.name)


def _control(use: Use, part: Part, verb: str, words: Sequence[str]) -> Lifted:
    operation, names = CONTROLS[verb]
    given: dict[str, Any] = {}
    for name, word in zip(names, words, strict=False):
        value = use.text(word, name.rstrip("s") or "value")
        if value is None:
            return Stay(Why.OPEN, "", "", part.name)
        if name:
            given[name] = [value] if name in ("queues", "ids") else value
    if verb == "terminate":
        given["terminate"] = True
    return use.op(operation, part, **given)
