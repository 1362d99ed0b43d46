"""Changes of Celery by its own command."""

from __future__ import annotations

import json
from collections.abc import Iterator

from opsbook.connectors.by_hand.script import Script, as_commands
from opsbook.connectors.by_hand.shell_text import comment, word, words
from opsbook.connectors.change import Json


def _celery(script: Script, component: str) -> str:
    broker = script.component(component).broker
    # By the environment: the address holds the broker's password, and an argv can be read by everybody on the host.
    return f"BROKER_URL={script.value(script.component(broker).url, f'url of {broker}')} celery"


@as_commands("celery-call")
def call(change: Json, script: Script) -> Iterator[str]:
    """Each task called; its id is printed."""
    effect = change["effect"]
    for one in effect["calls"]:
        if "again" in one:
            yield from comment(f"by hand: call the task {one['again']} again, with the arguments of its result", "    ")
            continue
        for place, reference in one.get("secrets", {}).items():
            yield from comment(f"put {reference} in the place of {place} before you run it", "    ")
        given = ["-a", json.dumps(one["args"]), "-k", json.dumps(one["kwargs"])]
        given += ["--queue", one["queue"]] if one.get("queue") else []
        yield f"{_celery(script, effect['component'])} call {words([one['task'], *given])}"
    if effect["follow"]:
        yield from comment("follow them: celery inspect active, and `celery result ID`", "    ")


@as_commands("celery-control")
def control(change: Json, script: Script) -> Iterator[str]:
    """A command of remote control."""
    effect = change["effect"]
    celery, arguments = _celery(script, effect["component"]), effect["arguments"]
    if effect["command"] == "rate_limit":
        yield f"{celery} control rate_limit {words([arguments['task_name'], arguments['rate_limit']])}"
    elif effect["command"] == "revoke":
        verb = "terminate " + word(arguments["signal"]) if arguments.get("terminate") else "revoke"
        yield f"{celery} control {verb} {words(arguments['task_id'])}"
    else:
        yield from comment(f"by hand: celery control {effect['command']} {json.dumps(arguments)}", "    ")


@as_commands("celery-inspect")
def inspect(change: Json, script: Script) -> Iterator[str]:
    """What the workers say."""
    for one in change["effect"]["commands"]:
        yield f"{_celery(script, change['effect']['component'])} inspect {word(one)}"


@as_commands("celery-consumers")
def consumers(change: Json, script: Script) -> Iterator[str]:
    """Queues taken up or left, by all workers or those that are named."""
    effect = change["effect"]
    verb = "add_consumer" if effect["consume"] else "cancel_consumer"
    for queue in effect["queues"]:
        nodes = (effect.get("nodes") or {}).get(queue)
        only = f" -d {word(','.join(nodes))}" if nodes else ""
        yield f"{_celery(script, effect['component'])} control{only} {verb} {word(queue)}"


@as_commands("celery-drain")
def drain(change: Json, script: Script) -> Iterator[str]:
    """No more is taken, and what runs is looked at until nothing does."""
    effect = change["effect"]
    celery = _celery(script, effect["component"])
    for queue in effect["queues"]:
        yield f"{celery} control cancel_consumer {word(queue)}"
    yield f"{celery} inspect active"
    yield from comment("again, until no worker has a task left", "    ")
