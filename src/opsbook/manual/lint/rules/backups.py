"""Backups: names that nothing writes, retention elsewhere, checks by looking."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import sh
from opsbook.manual.lint.facts.steps import Step
from opsbook.manual.lint.facts.writing import DUMPS, local_files
from opsbook.manual.lint.finding import FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, rule


@rule(
    "OB523",
    "latest-never-written",
    FaultClass.DANGLING,
    Severity.WARNING,
    summary="A “latest” backup that nothing writes",
    reason=(
        "The backups carry dates in their names. The restore asks for a file or object that "
        "no step makes, links or copies: it is found missing on the day it is needed."
    ),
    source="the manual itself",
    bad=sh("pg_dump -U app -Fc shop > shop-$(date +%F).dump\naws s3 cp shop-$(date +%F).dump s3://shop-backups/")
    + ("\n\n## Restore\n\n")
    + sh("aws s3 cp s3://shop-backups/latest.dump ."),
    good=sh(
        "pg_dump -U app -Fc shop > shop-$(date +%F).dump\naws s3 cp shop-$(date +%F).dump s3://shop-backups/latest.dump"
    )
    + ("\n\n## Restore\n\n")
    + sh("aws s3 cp s3://shop-backups/latest.dump ."),
)
def latest_never_written(context: Context) -> Iterator[Fault]:
    """Names with latest that are read first, and that no step writes, copies to or links."""
    told: set[str] = set()
    for step in context.steps:
        fed = [redirect.target for redirect in step.command.redirects if redirect.operator == "<"]
        for word in (*step.command.argv[1:], *fed):
            found = re.search(
                (
                    r"(?:^|/)([\w.-]*latest[\w.-]*\.(?:dump|sql|gz|tar|zip|bak|rdb|archive|tgz)[\w.]*|"
                    r"[\w-]*latest[_-]backup[\w.-]*|latest)$"
                ),
                word.text,
            )
            if (
                not found
                or (found[1] == "latest" and not word.text.startswith("s3://"))
                or ("/" in word.text and re.search(r"releases/latest|https?://", word.text))
            ):
                continue
            base = re.sub(r"\.(?:gz|zst|xz)$", "", found[1])
            if (
                step.call
                and step.call.tool == "aws"
                and len(step.call.args) > 1
                and word is step.call.args[-1]
                and word.text.startswith("s3://")
            ):
                told.add(base)
            if base in told:
                continue
            told.add(base)
            if not _makes(context, base, step):
                yield Fault(
                    step.at(word),
                    f"nothing in this manual writes {found[1]}",
                    Fix("name the backup, or let the backup step copy it to that name"),
                )


def _makes(context: Context, base: str, reader: Step) -> bool:
    for step in context.steps:
        text, call = step.command.text, step.call
        if step.program == "ln" and base in text:
            return True
        if (
            any(posixpath.basename(name).startswith(base) for name in local_files(step))
            and not (call and call.tool == "aws")
            and step.program not in ("gunzip", "gzip", "kubectl")
        ):
            return True
        if step.program in ("cp", "mv") and base in step.words[-1]:
            return True
        if (
            call
            and call.tool == "aws"
            and len(call.words) > 1
            and base in call.words[-1]
            and call.words[-1].startswith("s3://")
            and step is not reader
        ):
            return True
    return False


def _filled(name: str, values: dict[str, str]) -> str:
    """A name with the variables of its block filled in."""
    return re.sub(r"\$\{?(\w+)\}?", lambda found: values.get(found[1], found[0]), name)


@rule(
    "OB524",
    "retention-elsewhere",
    FaultClass.CONTRADICTION,
    Severity.WARNING,
    summary="Retention deletes in another place than the backups are written to",
    reason=("The old backups are never removed, and what is deleted instead belongs to somebody else."),
    source="the manual itself",
    bad=sh(
        "pg_dump -U app -f shop.sql shop\n"
        "gzip shop.sql\n"
        "aws s3 cp shop.sql.gz s3://backups/\n"
        "find /backups -name '*.gz' -mtime +30 -delete"
    ),
    good=sh(
        "pg_dump -U app -f /backups/shop.sql shop\n"
        "gzip /backups/shop.sql\n"
        "find /backups -name '*.gz' -mtime +30 -delete"
    ),
)
def retention_elsewhere(context: Context) -> Iterator[Fault]:
    """find FOLDER … -delete in a block that writes dumps, none of them below FOLDER."""
    for block in context.scripts:
        dumps = [
            s
            for s in block.steps
            if s.program in DUMPS or (s.program == "tar" and re.search(r"backup", s.command.text))
        ]
        if not dumps or any(step.program in ("cd", "pushd") for step in block.top):
            continue
        written = [name.strip("\"'") for step in block.steps for name in local_files(step)]
        values = {a.name: a.value.text for s in block.top for a in s.command.assignments}
        written = [_filled(name, values) for name in written]
        for step in block.top:
            if step.program != "find" or not re.search(r"-delete|-exec rm", step.command.text) or len(step.words) < 2:
                continue
            folder = _filled(step.command.argv[1].text, values).rstrip("/")
            if (
                written
                and folder.startswith("/")
                and not any(folder in name or name.startswith("$") for name in written)
            ):
                yield Fault(
                    step.place,
                    (
                        f"deletes under {folder}, but this block writes to "
                        f"{posixpath.dirname(written[0]) or 'the current directory'}"
                    ),
                )


@rule(
    "OB525",
    "verified-by-looking",
    FaultClass.UNSAFE,
    Severity.WARNING,
    summary="A backup “verified” by listing it",
    reason=(
        "ls shows that a file exists: the redirection made it before pg_dump ran. Whether it "
        "can be restored only a restore tells, whether it is whole pg_restore --list."
    ),
    source="https://www.postgresql.org/docs/current/app-pgrestore.html",
    bad=sh("pg_dump -U app -Fc shop > shop.dump\n# Verify backup\nls -lh shop.dump"),
    good=sh("pg_dump -U app -Fc shop > shop.dump\n# Verify backup\npg_restore --list shop.dump > /dev/null"),
)
def verified_by_looking(context: Context) -> Iterator[Fault]:
    """A step said to verify a backup whose only command is ls."""
    for block in context.scripts:
        backup = any(s.program in DUMPS for s in block.steps) or re.search(
            r"backup", " ".join(block.section_path) + " ".join(s.command.comment for s in block.top), re.I
        )
        deeper = re.search(
            (
                r"pg_restore\s+(?:-l|--list)|gzip -t|gunzip -t|sha256sum|md5sum|--verify|restore.*(?:test|"
                r"verify)|tar -t|tar t"
            ),
            block.text,
        )
        if not backup or deeper:
            continue
        for step in block.top:
            listing = step.program in ("ls", "du", "stat") or (step.call is not None and step.call.verb == "s3 ls")
            if listing and re.search(r"verif|validat|check", step.command.comment, re.I) and step.command.length == 1:
                yield Fault(
                    step.place,
                    "shows only that a file of that name exists",
                    Fix("pg_restore --list, and now and then a restore"),
                    subject=f"verify-{block.number}",
                )
