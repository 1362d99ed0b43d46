"""celery: what workers tell; what is asked of them has no operation yet."""

from __future__ import annotations

from opsbook.manual.lift.context import Lifted, Stay, Use
from opsbook.manual.lift.model import Why
from opsbook.manual.lift.registry import lifts

LOOKS = {"ping": "celery.workers", "stats": "celery.workers", "active": "celery.workers", "registered": "celery.workers",
         "report": "celery.workers", "reserved": "celery.workers", "scheduled": "celery.workers",
         "active_queues": "celery.workers", "conf": "celery.workers"}  # fmt: skip
MISSING = {"call": "celery.call", "purge": "celery.purge", "control": "celery.control", "amqp": "celery.control"}


@lifts("celery")
def celery(use: Use) -> Lifted:
    part = use.of_kind("celery")
    if part is None:
        return Stay(Why.ELSEWHERE, "the book has no Celery workers")
    words = [word for word in use.command.words[1:] if not word.startswith("-")]
    if "status" in words:
        return use.check("celery.workers", part)
    if "inspect" in words:
        at = words.index("inspect")
        return use.check(LOOKS.get(words[at + 1] if at + 1 < len(words) else "", "celery.workers"), part)
    verb = next((word for word in words if word in MISSING), "")
    if verb and MISSING[verb] in use.context.catalogue.operations:
        return Stay(Why.MISSING, f"`{MISSING[verb]}` means it, and this import does not write it yet", MISSING[verb], part.name)
    if {"worker", "beat", "flower"} & set(words):
        return Stay(Why.INTERACTIVE, "it stays in the foreground", "", part.name)
    # Inside a workload the command itself is an execution; `celery.call` would be more.
    return None if use.inside is not None else Stay(Why.PROGRAM, "", "", part.name)
