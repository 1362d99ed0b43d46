"""The restores of a manual: steps that write a dump into a database, with what stands around them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from opsbook.manual.lint.facts.names import targets
from opsbook.manual.lint.facts.steps import ShellBlock, Step

_DUMP_FILE = re.compile(
    r"\.(?:sql|dump|bak|psql)(?:\.(?:gz|bz2|xz|zst|gpg|enc|age))?\b|backup|dump|\$\{?\w*(?:BACKUP|DUMP)\w*", re.I
)
_REHEARSAL = re.compile(
    (
        r"drill|\bdr[-_ ]|test|staging|verif|rehears|scratch|temp|_restored?\b|\bnew[-_ "
        r"](?!backup|dump|password)|migrat|another|fresh|clean (?:install|server)|(?:complete|"
        r"full|entire|whole) (?:server|host) |single table|specific table|partial|selective|"
        r"sandbox|clone|\blocal(?:ly\b|[ -](?:dev|copy|machine|test|env|work))|_local\b|develop|dry|"
        r"migrat|import|seed|init|setup|install|schema"
    ),
    re.I,
)


@dataclass(frozen=True)
class Restore:
    """One restore. `plain` for SQL fed to psql, `live` where it goes into the system's own database."""

    step: Step
    block: ShellBlock
    plain: bool
    live: bool

    @property
    def before(self) -> tuple[Step, ...]:
        """The steps of the block ahead of the restore and of its pipeline."""
        first = min((s.index for s in self.block.pipeline(self.step)), default=self.step.index)
        return self.block.steps[:first]

    @property
    def after(self) -> tuple[Step, ...]:
        """The steps behind it."""
        last = max((s.index for s in self.block.pipeline(self.step)), default=self.step.index)
        return tuple(s for s in self.block.steps if s.index > last and s.outermost.index > self.step.outermost.index)


def restores(steps: Iterable[Step]) -> Iterator[Restore]:
    """pg_restore with a database, psql, mysql or mongorestore fed with a dump."""
    for step in steps:
        kind = _kind(step)
        if kind is None:
            continue
        if (
            step.call is not None
            and step.call.has("-t", "--table", "-a", "--data-only")
            and step.program == "pg_restore"
        ):
            continue
        names = " ".join(str(v) for v in (step.call.values("-d", "--dbname", "-h", "--host") if step.call else []))
        namespace = ""
        if step.container and step.container.call:
            namespace = step.container.call.value("-n", "--namespace") or ""
        live = not _REHEARSAL.search(
            f"{names} {namespace} {step.outermost.comment} {step.comment} {' '.join(step.block.section_path[-2:])}"
        ) and not _made_here(step)
        yield Restore(step, step.block, kind == "plain", live)


def _made_here(step: Step) -> bool:
    """Whether the block makes the database anew before the restore."""
    ahead = " ".join(s.command.text for s in step.block.before(step))
    if re.search(r"volume rm|down -v|down --volumes|rm -rf \S*(?:pgdata|postgres|mysql)", ahead):
        return True
    return bool(re.search(r"createdb|CREATE DATABASE|docker run", ahead, re.I)) and not re.search(
        r"dropdb|DROP DATABASE", ahead, re.I
    )


def _kind(step: Step) -> str | None:
    if step.program == "pg_restore":
        call = step.call
        if call is None or call.has("-l", "--list", "-f", "--file", "--help") or not call.has("-d", "--dbname"):
            return None
        return None if call.has("-s", "--schema-only") else "archive"
    if step.program == "mongorestore":
        return "archive"
    if step.program not in ("psql", "mysql", "mariadb"):
        return None
    fed = [r.target.text for s in (step, step.outermost) for r in s.command.redirects if r.operator == "<"]
    call = step.call
    if call is not None and step.program == "psql":
        fed += call.values("-f", "--file")
    said = f"{step.comment} {step.outermost.comment} {' '.join(step.block.section_path[-2:])}"
    for name in fed:
        if (
            _DUMP_FILE.search(name)
            and not re.search(r"migration|schema|seed|init|\.sql\.template|scripts?/|cache", name, re.I)
            and (
                re.search(r"backup|dump|latest|snapshot|\d{6,}|YYYY|\.gz", name, re.I)
                or re.search(r"restor|recover|恢复|还原|복원|복구|restaur", said, re.I)
            )
        ):
            return "plain"
    ahead = [s for s in step.block.pipeline(step) if s.index < step.outermost.index]
    if any(
        s.program
        in ("gunzip", "zcat", "gzip", "xzcat", "zstdcat", "zstd", "bzcat", "aws", "gpg", "age", "openssl", "cat")
        and (s.program != "cat" or _DUMP_FILE.search(s.command.text))
        for s in ahead
    ):
        return "plain"
    return None


def stopped(steps: Iterable[Step]) -> set[str]:
    """The workloads and services that steps stop: scale to 0, compose stop, systemctl stop."""
    found: set[str] = set()
    for step in steps:
        call = step.call
        if call is None:
            continue
        if call.tool == "kubectl" and call.verb == "scale" and call.value("--replicas") == "0":
            found |= {target.name for target in targets(call)}
        elif call.tool == "docker compose" and call.verb in ("stop", "down", "pause", "kill"):
            found |= set(call.words) or {"*"}
        elif call.tool == "docker" and call.verb in ("stop", "pause", "kill"):
            found |= set(call.words)
        elif call.tool == "systemctl" and call.verb in ("stop", "isolate"):
            found |= {word.removesuffix(".service") for word in call.words}
        elif step.program in ("supervisorctl", "pm2", "service") and "stop" in step.words:
            found |= set(step.words[1:]) - {"stop"}
    return found
