"""Commands against their tools' grammars: verbs and flags that do not exist, or no longer."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator

from opsbook.manual.grammar import Invocation, removed, tool
from opsbook.manual.grammar.load import removed_flags
from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import sh
from opsbook.manual.lint.facts.steps import Step
from opsbook.manual.lint.finding import Edit, FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, rule

# Tools whose flags the grammar knows completely enough to call another one unknown.
_CHECKED = frozenset(
    [
        "kubectl",
        "docker",
        "psql",
        "pg_dump",
        "pg_dumpall",
        "pg_restore",
        "pg_basebackup",
        "pg_isready",
        "alembic",
        "aws",
        "journalctl",
        "helm",
        "argocd",
        "velero",
        "certbot",
        "gpg",
        "rsync",
        "restic",
        "borg",
        "django-admin",
        "ansible",
        "ansible-playbook",
        "openssl",
        "createdb",
        "dropdb",
        "vacuumdb",
        "reindexdb",
        "pgbench",
        "tar",
        "curl",
    ]
) | {"docker compose"}
_OWN_VERBS = frozenset(
    {
        "go",
        "pip",
        "apt",
        "alembic",
        "celery",
        "systemctl",
        "docker compose",
        "terraform",
        "npm",
        "pgbackrest",
        "restic",
        "borg",
        "argocd",
        "eksctl",
        "rabbitmqctl",
    }
)
# Tools whose grammar a distribution's older version gave: what is not like any flag of theirs may be a newer one.
_OLDER = frozenset({"restic", "borg", "curl", "certbot", "gpg", "tar", "openssl", "journalctl", "ansible", "velero"})
_SINGLE_DASH = frozenset({"openssl"})


@rule(
    "OB301",
    "flag-unknown",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="A flag that the command does not have",
    reason=("The tool refuses the whole command: unknown flag. The grammars are read from the tools' own help."),
    source="kubectl 1.32, docker 28, PostgreSQL 18 clients, AWS CLI and others: their --help and reference pages",
    bad=sh("kubectl top pod api-0 -n shop --watch"),
    good=sh("watch kubectl top pod api-0 -n shop"),
)
def flag_unknown(context: Context) -> Iterator[Fault]:
    """Flags of known verbs that neither the verb nor the tool has in any version."""
    for step in context.steps:
        call = step.call
        if call is None or call.tool not in _CHECKED or (tool(call.tool) or tool("kubectl")) is None:
            continue
        if call.tool != "psql" and not call.verb and (tool(call.tool) or _NONE).verbs:
            continue
        for flag in call.unknown:
            shape = r"-[a-z]\w+" if call.tool in _SINGLE_DASH else r"-[A-Za-z]|--[a-z][\w-]*"
            if not re.fullmatch(shape, flag.name) or flag.word.placeholders or "$" in flag.word.text.split("=")[0]:
                continue
            key = f"{call.tool} {call.verb} {flag.name}".replace("  ", " ")
            if key in removed_flags() or flag.name in ("-h", "--help"):
                continue
            near = _near(call, flag.name)
            what = f"{call.tool} {call.verb}".strip()
            yield Fault(
                step.at(flag.word),
                f"{what} has no flag {flag.name}",
                Fix(f"{near}?") if near else None,
                subject=key,
                severity=Severity.HINT if call.tool in _OLDER and not near else None,
            )


class _None:
    verbs: dict[str, object] = {}


_NONE = _None()


def _near(call: Invocation, name: str) -> str:
    grammar = tool(call.tool)
    known = list((grammar.flags_of(call.verb) or {}) if grammar else {})
    dashes = "-" if call.tool in _SINGLE_DASH else "--"
    return next(iter(difflib.get_close_matches(name, [k for k in known if k.startswith(dashes)], 1, 0.75)), "")


@rule(
    "OB302",
    "verb-unknown",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="A subcommand that the tool does not have",
    reason=(
        "The tool answers: unknown command. Tools that take plugins (kubectl, docker, git, "
        "helm) are left alone, for what is not in their help may be installed."
    ),
    source="the tools' own help",
    bad=sh("go mod audit"),
    good=sh("govulncheck ./..."),
)
def verb_unknown(context: Context) -> Iterator[Fault]:
    """Unknown verbs of closed tools, and of the groups of open ones."""
    for step in context.steps:
        call = step.call
        if call is None or call.unknown_verb is None or call.unknown_verb.value is None:
            continue
        grammar, word = tool(call.tool), call.unknown_verb.value
        if (
            grammar is None
            or not re.fullmatch(r"[a-z][\w-]*", word)
            or f"{call.tool} {call.verb} {word}".replace("  ", " ") in removed()
        ):
            continue
        if f"{call.tool} {call.verb}" in _IN_PART:
            continue
        group_of_open = bool(call.verb) and call.verb in _CLOSED_GROUPS.get(call.tool, grammar.groups)
        closed = call.tool in _OWN_VERBS and (not call.verb or call.verb in ("mod", "inspect", "control"))
        if closed or group_of_open:
            verbs = [name.removeprefix(call.verb).strip() for name in grammar.verbs if name.startswith(call.verb)]
            near = next(iter(difflib.get_close_matches(word, verbs, 1, 0.7)), "")
            if grammar.open and not near and not group_of_open:
                continue
            extra = {"go mod audit": "govulncheck ./..."}.get(f"{call.tool} {call.verb} {word}", near)
            yield Fault(
                step.at(call.unknown_verb),
                f"{call.tool} {call.verb} has no command {word}".replace("  ", " "),
                Fix(f"{extra}?") if extra else None,
            )


# Groups whose verbs are all known; of tools that are not named here these are the groups that are no verbs themselves.
_KUBECTL = frozenset({"rollout", "top", "set", "config", "auth", "certificate"})
_DOCKER = frozenset(
    "container image network volume system context builder node service stack swarm secret".split()  # noqa: SIM905
)
# Groups of which the grammar has only what a manual of operations speaks of.
_IN_PART = frozenset({"aws ec2"})
_CLOSED_GROUPS = {"kubectl": _KUBECTL, "docker": _DOCKER}


@rule(
    "OB303",
    "command-removed",
    FaultClass.DEPRECATED,
    Severity.WARNING,
    summary="A command or flag that a release took away",
    reason=("The manual was written for an older release; today's answers: unknown command or unknown flag."),
    source="the release notes named in each message",
    bad=sh("docker scan shop/api:1.8.2"),
    good=sh("docker scout cves shop/api:1.8.2"),
)
def command_removed(context: Context) -> Iterator[Fault]:
    """The table of removed commands and flags."""
    for step in context.steps:
        call = step.call
        words = [step.program, *(w for w in step.words[1:3] if not w.startswith("-"))] if step.words else []
        for length in (3, 2, 1):
            entry = removed().get(" ".join(words[:length]))
            if entry:
                fix = Fix(entry["instead"]) if entry["instead"] else None
                yield Fault(
                    step.place,
                    f"{entry['why']} ({entry['source']})",
                    fix,
                    fault=FaultClass(entry["class"]),
                    subject=" ".join(words[:length]),
                )
                break
        for flag in call.flags if call else ():
            gone = removed_flags().get(f"{call.tool} {call.verb} {flag.name}") if call else None
            if gone:
                at = step.at(flag.word)
                edits = (
                    (Edit(at.line, at.column, at.column + len(flag.name), gone["instead"]),)
                    if gone["instead"].startswith("--")
                    else ()
                )
                yield Fault(
                    at,
                    f"{flag.name} is gone since {gone['since']}",
                    Fix(gone["instead"], edits, safe=bool(edits)) if gone["instead"] else None,
                )


@rule(
    "OB304",
    "compose-v1",
    FaultClass.DEPRECATED,
    Severity.WARNING,
    summary="docker-compose, the first version",
    reason=(
        "Compose V1 has had no updates, security fixes included, since July 2023, and new "
        "hosts no longer carry it. Its successor is the subcommand docker compose."
    ),
    source="https://docs.docker.com/compose/releases/migrate/",
    bad=sh("docker-compose -f docker-compose.prod.yml up -d"),
    good=sh("docker compose -f docker-compose.prod.yml up -d"),
)
def compose_v1(context: Context) -> Iterator[Fault]:
    """Every docker-compose, told once, with an edit for each."""
    found: list[Step] = [
        step
        for step in context.steps
        if step.program == "docker-compose" and step.command.argv[0].text == "docker-compose"
    ]
    if not found or re.search(r"command -v docker-compose|which docker-compose|podman-compose", context.text):
        return
    edits = tuple(
        Edit(
            s.command.argv[0].line,
            s.command.argv[0].column,
            s.command.argv[0].column + len("docker-compose"),
            "docker compose",
        )
        for s in found
    )
    for step in found:
        yield Fault(
            step.at(step.command.argv[0]),
            "docker-compose (V1) is out of support since July 2023",
            Fix("docker compose", edits, safe=True),
            subject="v1",
        )
