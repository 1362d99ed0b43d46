"""docker compose: what down, up and secrets do, and what they do not."""

from __future__ import annotations

import re
from collections.abc import Iterator

from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import sh
from opsbook.manual.lint.finding import FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, rule


@rule(
    "OB344",
    "network-already-gone",
    FaultClass.WILL_NOT_RUN,
    Severity.WARNING,
    summary="docker network rm behind docker compose down",
    reason=(
        "down removes the networks of the project together with its containers. What it left is in use or external; "
        "for the others rm ends with “network not found”."
    ),
    source="https://docs.docker.com/reference/cli/docker/compose/down/",
    bad=sh("docker compose down\ndocker network rm shop_backend\ndocker compose up -d"),
    good=sh("docker compose down\ndocker compose up -d"),
)
def network_already_gone(context: Context) -> Iterator[Fault]:
    """network rm of PROJECT_NAME in a block that took the whole project down before."""
    for step in context.calls("docker", "network rm"):
        down = any(
            s.call and s.call.tool == "docker compose" and s.call.verb == "down" and not s.call.words
            for s in step.block.before(step)
        )
        named = step.call is not None and any("_" in word for word in step.call.words)
        if down and named and step.command.after != "||":
            yield Fault(step.place, "compose down has removed the project's networks already", Fix("leave it out"))


@rule(
    "OB345",
    "rebuild-that-builds-nothing",
    FaultClass.WILL_NOT_RUN,
    Severity.WARNING,
    summary="A rebuild by docker compose up without --build",
    reason="up starts the image that is there. Without --build, or a build before it, the old code runs again.",
    source="https://docs.docker.com/reference/cli/docker/compose/up/",
    bad=sh("# Full restart, with rebuild\ndocker compose down\ndocker compose up -d"),
    good=sh("# Full restart, with rebuild\ndocker compose down\ndocker compose up -d --build"),
)
def rebuild_builds_nothing(context: Context) -> Iterator[Fault]:
    """A comment that promises a rebuild, over steps of which none builds or pulls."""
    for block in context.scripts:
        promise, builds = "", False
        for step in block.top:
            if step.command.comment and step.command.comment != promise:
                promise = step.command.comment
                under = [s for s in block.top if s.command.comment in ("", promise)]
                builds = any(re.search(r"\bbuild\b|--build\b|\bpull\b|\bmake\b", s.command.text) for s in under)
            call = step.call
            if (
                call is not None
                and call.tool == "docker compose"
                and call.verb == "up"
                and re.search(r"\bre-?build", promise, re.I)
                and not builds
            ):
                yield Fault(step.place, "rebuilds nothing: the image that is there is started", Fix("--build"))


@rule(
    "OB348",
    "restart-keeps-the-old-settings",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="docker compose restart to put a changed .env or compose file into effect",
    reason=(
        "restart stops and starts the containers as they were made. Changes of the compose file, of .env and of "
        "env_file are seen only when up makes them anew."
    ),
    source="https://docs.docker.com/reference/cli/docker/compose/restart/",
    bad=sh("vim /srv/shop/.env\ndocker compose restart"),
    good=sh("vim /srv/shop/.env\ndocker compose up -d"),
)
def restart_keeps_settings(context: Context) -> Iterator[Fault]:
    """restart behind a step of the same block that edits, copies or unpacks settings."""
    settings = re.compile(r"(?:^|[\s/'\"=>])\.env(?:\.\w+)?\b|docker-compose[\w.-]*\.ya?ml|(?:^|[\s/])compose\.ya?ml")
    editors = ("vim", "vi", "nano", "sed", "cp", "mv", "tee", "echo", "printf", "cat", "emacs")
    for step in context.calls("docker compose", "restart"):
        changed = any(
            s.program in editors
            and settings.search(s.command.text)
            and (
                s.program not in ("echo", "printf", "cat")
                or any(r.operator in (">", ">>") for r in s.command.redirects)
            )
            and (s.program != "sed" or "-i" in s.command.text)
            for s in step.block.before(step)
        )
        if changed:
            yield Fault(
                step.place,
                "starts the containers with their old settings",
                Fix("docker compose up -d"),
                subject="restart",
            )


@rule(
    "OB347",
    "swarm-secret-for-compose",
    FaultClass.WILL_NOT_RUN,
    Severity.WARNING,
    summary="docker secret create where docker compose starts the services",
    reason=(
        "Secrets of a swarm are given to the services of a stack only. Containers that docker compose starts do not "
        "see them: compose takes secrets from files or the environment."
    ),
    source="https://docs.docker.com/engine/swarm/secrets/",
    bad=sh("printf %s x | docker secret create db_password -\ndocker compose up -d"),
    good=sh("printf %s x | docker secret create db_password -\ndocker stack deploy -c compose.yml shop"),
)
def swarm_secret_for_compose(context: Context) -> Iterator[Fault]:
    """secret create in a manual with compose up and neither stack deploy nor service create."""
    swarm = re.search(r"\bdocker\s+(?:stack\s+deploy|service\s+(?:create|update))", context.text)
    starts = any(True for _ in context.calls("docker compose", "up"))
    for step in context.steps:
        if step.program == "docker" and step.words[1:3] == ("secret", "create") and starts and not swarm:
            yield Fault(
                step.place, "containers of docker compose do not see a swarm's secrets", Fix("docker stack deploy")
            )
