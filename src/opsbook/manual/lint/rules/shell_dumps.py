"""Dumps and uploads: what happens when they fail."""

from __future__ import annotations

import re
from collections.abc import Iterator

from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import sh
from opsbook.manual.lint.facts.steps import Step
from opsbook.manual.lint.facts.writing import DUMPS
from opsbook.manual.lint.finding import FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, rule

_VERIFIES = re.compile(
    r"pg_restore\s+(?:--list|-l)\b|gzip -t|gunzip -t|zstd -t|--verify|sha256sum|md5sum|"
    r"PIPESTATUS|\$\?|test -s|\[\[? -s|restore.{0,20}test|verifybackup|tar -t"
)


def _dump(step: Step) -> Step | None:
    """The dump that a step of the block itself runs, also inside a container."""
    for inner in step.block.steps:
        if inner.program in DUMPS and inner.outermost.index == step.index:
            return inner
    return None


@rule(
    "OB110",
    "dump-in-pipe",
    FaultClass.UNSAFE,
    Severity.WARNING,
    summary="A dump in a pipe whose failure nobody sees",
    reason=(
        "The status of a pipeline is that of its last command. When pg_dump fails, gzip "
        "still writes a valid, empty archive, and it is uploaded as the backup."
    ),
    source="https://www.gnu.org/software/bash/manual/html_node/Pipelines.html",
    bad=sh("pg_dump -U app shop | gzip > shop.sql.gz\naws s3 cp shop.sql.gz s3://backups/"),
    good=sh("set -euo pipefail\npg_dump -U app shop | gzip > shop.sql.gz\naws s3 cp shop.sql.gz s3://backups/"),
)
def dump_in_pipe(context: Context) -> Iterator[Fault]:
    """Dumps that are not last in their pipeline, in blocks without pipefail or a check."""
    for block in context.scripts:
        for step in block.top:
            dump = _dump(step)
            if dump is None or step.command.position >= step.command.length - 1 or step.command.length < 2:
                continue
            if block.pipefail or _VERIFIES.search(block.text):
                continue
            into = block.pipeline(step)[-1]
            if into.program in (
                "psql",
                "mysql",
                "kubectl",
                "docker",
                "docker-compose",
                "ssh",
                "pg_restore",
                "grep",
                "head",
                "wc",
                "less",
            ):
                continue
            yield Fault(
                dump.place,
                f"when {dump.program} fails, {into.program} still writes an archive that looks like a backup",
                Fix("set -o pipefail"),
                subject=f"pipe-{block.number}",
            )
    yield from _outside_of_shell(context)


def _outside_of_shell(context: Context) -> Iterator[Fault]:
    """The same in crontab lines and in the arguments of a CronJob."""
    for fence in context.document.fences():
        if fence.language not in ("crontab", "yaml") or _VERIFIES.search(fence.text) or "pipefail" in fence.text:
            continue
        for number, line in enumerate(fence.text.split("\n"), fence.line):
            found = re.search(
                r"\b(pg_dump(?:all)?|mysqldump|mongodump)\b[^|;&]*\|\s*(gzip|pigz|zstd|xz|bzip2|aws|gpg|openssl)\b",
                line,
            )
            if found and not line.lstrip().startswith("#"):
                yield Fault(
                    context.place(number, found[1]),
                    f"when {found[1]} fails, {found[2]} still writes an archive that looks like a backup",
                    Fix("set -o pipefail"),
                    subject=f"pipe-{fence.line}",
                )


@rule(
    "OB111",
    "dump-unchecked",
    FaultClass.UNSAFE,
    Severity.WARNING,
    summary="A dump whose failure does not stop what follows",
    reason=(
        "The redirection makes the file before pg_dump runs. If it fails, the empty file is "
        "compressed, uploaded and counted as a backup, and old backups are deleted in its "
        "favour."
    ),
    source="https://www.postgresql.org/docs/current/backup-dump.html",
    bad=sh("pg_dump shop > shop.sql\ngzip shop.sql\naws s3 cp shop.sql.gz s3://backups/"),
    good=sh("set -e\npg_dump shop > shop.sql\ngzip shop.sql\naws s3 cp shop.sql.gz s3://backups/"),
)
def dump_unchecked(context: Context) -> Iterator[Fault]:
    """A dump into a file followed by steps that compress, upload or delete, with no set -e and no check."""
    for block in context.scripts:
        if (
            block.strict
            or _VERIFIES.search(block.text)
            or re.search(r"\|\|\s*(?:exit|return|\{)|\bif\b.*(?:pg_dump|mysqldump)", block.text)
        ):
            continue
        for step in block.top:
            dump = _dump(step)
            if dump is None or step.command.length > 1 or step.command.after in ("&&", "||") or step.command.within:
                continue
            followed = [
                s
                for s in block.after(step)
                if s.outer is None and re.match(r"(?:gzip|xz|zstd|aws|gsutil|rclone|az|rm|find|tar|gpg)$", s.program)
            ]
            if followed and any(s.command.redirects for s in (step, dump)):
                yield Fault(
                    dump.place,
                    f"if {dump.program} fails, an empty file goes on to {followed[0].program} as the backup",
                    Fix("set -e"),
                    subject=f"dump-{block.number}",
                )


@rule(
    "OB112",
    "removed-though-upload-failed",
    FaultClass.UNSAFE,
    Severity.WARNING,
    summary="The local copy is deleted whether or not the upload worked",
    reason=("Without set -e or &&, rm runs after a failed upload too: then there is no copy at all."),
    source="https://www.gnu.org/software/bash/manual/html_node/The-Set-Builtin.html",
    bad=sh("tar -czf data.tar.gz data\naws s3 cp data.tar.gz s3://backups/\nrm -rf data.tar.gz"),
    good=sh("tar -czf data.tar.gz data\naws s3 cp data.tar.gz s3://backups/ && rm data.tar.gz"),
)
def removed_though_failed(context: Context) -> Iterator[Fault]:
    """rm of what an upload ahead of it sent, not joined by && and not under set -e."""
    for block in context.scripts:
        if block.strict:
            continue
        sent: list[str] = []
        for step in block.top:
            call = step.call
            if step.program in ("aws", "gsutil", "rclone", "scp", "rsync", "az") and step.command.after != "&&":
                sent += [
                    word.text.strip('"')
                    for word in (call.args if call else step.command.argv[1:])
                    if not word.text.startswith(("s3:", "gs:", "-"))
                ]
            elif step.program == "rm" and step.command.before != "&&" and not step.command.within:
                gone = [word for word in step.command.argv[1:] if word.text.strip('"') in sent]
                if gone:
                    yield Fault(
                        step.place,
                        f"{gone[0].text} is deleted even if its upload failed",
                        Fix("join them by &&, or set -e"),
                    )
