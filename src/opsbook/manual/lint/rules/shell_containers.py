"""The border between this host and a container: pipes, files, streams, terminals."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import sh
from opsbook.manual.lint.facts.names import targets
from opsbook.manual.lint.facts.steps import Step
from opsbook.manual.lint.facts.writing import DUMPS, local_files, pattern_of
from opsbook.manual.lint.finding import FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, rule


@rule(
    "OB113",
    "pipe-leaves-container",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="A pipe that leaves the container and goes on against this host",
    reason=(
        "The pipe belongs to the shell outside. What stands behind it runs on the operator's "
        "machine: redis-cli there talks to localhost, not to the server in the pod."
    ),
    source="https://kubernetes.io/docs/reference/kubectl/generated/kubectl_exec/",
    bad=sh("kubectl exec deploy/redis -n shop -- redis-cli --scan --pattern 'cache:*' | xargs redis-cli DEL"),
    good=sh(
        "kubectl exec deploy/redis -n shop -- sh -c \"redis-cli --scan --pattern 'cache:*' | xargs -r redis-cli DEL\""
    ),
)
def pipe_leaves(context: Context) -> Iterator[Fault]:
    """The same client inside a container and, behind the pipe, outside of one."""
    clients = ("redis-cli", "psql", "mysql", "mongosh", "rabbitmqctl", "celery")
    for step in context.steps:
        if step.program not in clients or step.container is None or step.container.outer is not None:
            continue
        for later in step.block.steps:
            same = (
                later.outermost.command.pipeline == step.outermost.command.pipeline
                and later.outermost.index > step.outermost.index
            )
            if (
                same
                and later.program == step.program
                and later.container is None
                and not (later.call and later.call.has("-h", "--host", "-u"))
            ):
                yield Fault(
                    later.place if later.command.line else step.place,
                    f"{later.program} behind the pipe runs on this host, not in the container",
                    Fix("put the whole pipeline into sh -c '…' inside the container"),
                )


@rule(
    "OB114",
    "file-across-exec",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="A file written on this host and read inside a container",
    reason=(
        "A redirection behind kubectl exec writes on the operator's machine; a program "
        "inside the pod looks for the name in the pod's own file system and does not find it."
    ),
    source="https://kubernetes.io/docs/reference/kubectl/generated/kubectl_exec/",
    bad=sh(
        "kubectl exec db-0 -- pg_dump -Fc shop > /backups/shop.dump\n"
        "kubectl exec db-0 -- pg_restore -l /backups/shop.dump"
    ),
    good=sh(
        "kubectl exec db-0 -- pg_dump -Fc shop > /backups/shop.dump\n"
        "kubectl exec -i db-0 -- pg_restore -l < /backups/shop.dump"
    ),
)
def file_across_exec(context: Context) -> Iterator[Fault]:
    """Arguments of programs in containers that name a file, or a folder, that only local steps wrote."""
    written: dict[str, int] = {}
    folders: dict[str, int] = {}
    inside: set[str] = set()
    for step in context.steps:
        for name in local_files(step):
            written.setdefault(pattern_of(name), step.command.line)
            if "/" in name.rstrip("/") and re.match(r"/\w", name):
                folders.setdefault(posixpath.dirname(name), step.command.line)
        if step.remote:
            inside.update(re.findall(r"(?:-f|--file|>|-o|-C|--output)[ =]*(/[\w./$(){}%+*-]+)", step.command.text))
        if (
            step.program in ("kubectl", "docker")
            and step.call
            and step.call.verb == "cp"
            and len(step.call.words) > 1
            and ":" in step.call.words[1]
        ):
            inside.add(step.call.words[1].split(":", 1)[1])
    for step in context.steps:
        if step.container is None or step.program not in (
            "pg_restore",
            "psql",
            "mysql",
            "mongorestore",
            "redis-cli",
            "gunzip",
            "zcat",
            "tar",
        ):
            continue
        for word in step.command.argv[1:]:
            name = word.text
            if not re.match(r"/?[\w.$-]+/|[\w-]+\.(?:dump|sql|gz)", name) or not re.search(
                r"\.(?:dump|sql|gz|tar|bak|rdb|archive)\b", name
            ):
                continue
            pattern, folder = pattern_of(name), posixpath.dirname(name)
            if any(
                pattern_of(i) == pattern or (i.rstrip("/") == folder) or posixpath.dirname(i) == folder for i in inside
            ):
                continue
            line = written.get(pattern) or folders.get(folder)
            if line and _taken(step, word.text):
                yield Fault(
                    step.at(word),
                    f"{name} was written on this host (line {line}); inside the container there is no such file",
                    Fix(f"feed it: … -i … {step.program} < {name}"),
                )


def _taken(step: Step, name: str) -> bool:
    """Whether a word is an input file, not an output."""
    words = step.words
    at = words.index(name) if name in words else -1
    return not (step.program == "tar" and at > 0 and "c" in words[at - 1])


@rule(
    "OB115",
    "container-stderr",
    FaultClass.WILL_NOT_RUN,
    Severity.WARNING,
    summary="docker logs piped without 2>&1",
    reason=(
        "docker logs keeps the two streams apart. Servers that log to stderr (PgBouncer, "
        "PostgreSQL, nginx errors, most Python programs) give grep nothing to read; their "
        "lines pass by on the terminal."
    ),
    source="https://docs.docker.com/reference/cli/docker/container/logs/",
    bad=sh("docker logs pgbouncer | grep -i pool"),
    good=sh("docker logs pgbouncer 2>&1 | grep -i pool"),
)
def container_stderr(context: Context) -> Iterator[Fault]:
    """docker logs of a known stderr logger into a filter; for others a hint."""
    for step in context.calls("docker", "logs"):
        if step.command.length < 2 or step.command.position == step.command.length - 1:
            continue
        joined = any(
            r.operator in ("&>", ">&", "2>&", "|&") or (r.descriptor == 2 and r.target.text.lstrip("&") == "1")
            for r in step.command.redirects
        )
        if joined or "2>&1" in step.command.text or step.command.after == "|&":
            continue
        name = step.call.words[0] if step.call and step.call.words else ""
        sure = re.search(
            (
                r"pgbouncer|postgres|pgsql|(?:^|[-_])db(?:$|[-_])|nginx|celery|worker|gunicorn|uvicorn|"
                r"django|flask|api|backend|haproxy|traefik|mysql|maria"
            ),
            name,
        )
        if sure:
            yield Fault(
                step.place,
                f"what {name} logs to stderr does not reach the pipe",
                Fix("docker logs NAME 2>&1 | …"),
                subject=f"stderr-{name}",
                severity=None if re.search(r"pgbouncer|postgres|nginx|mysql|maria|haproxy", name) else Severity.HINT,
            )


@rule(
    "OB119",
    "prompt-in-script",
    FaultClass.WILL_NOT_RUN,
    Severity.WARNING,
    summary="A terminal asked for where there is none",
    reason=(
        "In a script run by cron or a pipeline, -t fails: the input device is not a TTY. An "
        "interactive program without -it ends at once."
    ),
    source="https://docs.docker.com/reference/cli/docker/container/exec/",
    bad=sh("#!/bin/bash\n# nightly, by cron\ndocker exec -it db pg_dump -U app shop > shop.sql"),
    good=sh("#!/bin/bash\n# nightly, by cron\ndocker exec db pg_dump -U app shop > shop.sql"),
)
def prompt_in_script(context: Context) -> Iterator[Fault]:
    """-t with output redirected or piped in; a shell in a container without -it."""
    for step in context.steps:
        call = step.call
        if call is None or call.verb != "exec" or call.tool not in ("kubectl", "docker"):
            continue
        tty = call.has("-t", "--tty")
        piped_in = (
            step.command.position > 0
            or any(r.operator in ("<", "<<", "<<<") for r in step.command.redirects)
            or step.command.heredoc is not None
        )
        if tty and piped_in:
            yield Fault(
                step.place,
                "-t fails where the input is a file or a pipe: the input device is not a TTY",
                Fix("-i without -t"),
            )
        elif (
            tty
            and step.block.text.startswith("#!")
            and re.search(r"cron|nightly|schedul|automat", context.section_text(step.block.section_path))
        ):
            yield Fault(step.place, "-t fails under cron: the input device is not a TTY", Fix("leave out -t"))
        inner = next((s for s in step.block.steps if s.outer is step), None)
        dump = next((s for s in step.block.steps if s.outer is step and s.program in (*DUMPS, "tar", "cat")), None)
        if (
            tty
            and dump is not None
            and step.command.length == 1
            and any(r.operator in (">", ">>") for r in step.command.redirects)
            and not piped_in
        ):
            yield Fault(
                step.place,
                f"-t writes \\r\\n for every line end: what {dump.program} writes into the file is broken",
                Fix("leave out -t"),
            )
        bare_shell = inner is not None and inner.program in ("bash", "sh", "zsh", "ash") and len(inner.words) == 1
        if bare_shell and not call.has("-i", "--stdin", "--interactive") and not piped_in:
            yield Fault(step.place, "a shell without -it ends at once", Fix("add -it"))


@rule(
    "OB124",
    "glob-across-exec",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="A wildcard meant for the container that this host's shell expands",
    reason=(
        "The shell here expands * before kubectl or docker starts. Where nothing matches here, the program inside gets "
        "the bare * and, having no shell, finds no file of that name; else it gets this host's names."
    ),
    source="https://www.gnu.org/software/bash/manual/html_node/Filename-Expansion.html",
    bad=sh("kubectl exec deploy/api -n shop -- rm -rf /var/cache/app/*"),
    good=sh("kubectl exec deploy/api -n shop -- sh -c 'rm -rf /var/cache/app/*'"),
)
def glob_across_exec(context: Context) -> Iterator[Fault]:
    """Unquoted wildcards of paths among the words that an exec carries directly."""
    for step in context.steps:
        carrier = step.outer
        if carrier is None or carrier.call is None or carrier.call.verb != "exec" or carrier.outer is not None:
            continue
        if step.program in ("sh", "bash", "ash") or carrier.call.tool not in ("kubectl", "docker", "docker compose"):
            continue
        for word in step.command.argv[1:]:
            own = any(word is other for other in carrier.command.argv)
            if own and not word.quote and re.fullmatch(r"/[\w./-]*\*[\w./*-]*", word.raw):
                yield Fault(
                    step.at(word),
                    f"{word.raw} is expanded on this host, not inside",
                    Fix("sh -c '…' inside the container"),
                )


@rule(
    "OB125",
    "exec-into-stopped",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="A command in a workload that the same block scaled to zero",
    reason=(
        "With no pods there is nothing to run in: “no pods found”. What the step was to repair stays as it was, and "
        "the block goes on."
    ),
    source="https://kubernetes.io/docs/reference/kubectl/generated/kubectl_exec/",
    bad=sh(
        "kubectl scale deployment/app --replicas=0 -n shop\nkubectl exec deployment/app -n shop -- tar -xzf /tmp/a.tgz"
    ),
    good=sh(
        "kubectl exec deployment/app -n shop -- tar -xzf /tmp/a.tgz\nkubectl scale deployment/app --replicas=0 -n shop"
    ),
)
def exec_into_stopped(context: Context) -> Iterator[Fault]:
    """exec or cp of a name that a scale to 0 ahead of it stopped and nothing started again."""
    for block in context.scripts:
        down: set[str] = set()
        for step in block.top:
            call = step.call
            if call is None or call.tool != "kubectl":
                continue
            named = {target.name for target in targets(call) if target.name and target.kind != "pod"}
            if call.verb == "scale":
                down = down | named if call.value("--replicas") == "0" else down - named
            elif call.verb == "exec" and named & down:
                yield Fault(step.place, f"{sorted(named & down)[0]} was scaled to 0: there is no pod to run in")
