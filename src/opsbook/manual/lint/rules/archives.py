"""Archives and uploads: what is looked for where nobody put it, and what is emptied too early."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import sh
from opsbook.manual.lint.facts.steps import ShellBlock, Step
from opsbook.manual.lint.finding import FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, rule

_BUCKET = ("s3://", "gs://")


@rule(
    "OB527",
    "download-below-upload",
    FaultClass.DANGLING,
    Severity.ERROR,
    summary="The restore downloads from a dated folder that the upload does not make",
    reason=(
        "sync copies what is inside the folder, not the folder: the files of every day land right under the target, "
        "each over the one of the day before, and the dated prefix that the restore asks for never exists."
    ),
    source="https://docs.aws.amazon.com/cli/latest/reference/s3/sync.html",
    bad=sh('aws s3 sync "/backup/$(date +%F)" s3://shop-backups/daily/')
    + "\n\n## Restore\n\n"
    + sh('aws s3 sync "s3://shop-backups/daily/$DAY/" /restore/'),
    good=sh('aws s3 sync "/backup/$(date +%F)" "s3://shop-backups/daily/$(date +%F)/"')
    + "\n\n## Restore\n\n"
    + sh('aws s3 sync "s3://shop-backups/daily/$DAY/" /restore/'),
)
def download_below_upload(context: Context) -> Iterator[Fault]:
    """A sync from TARGET/$VARIABLE/ where the only uploads of folders go to TARGET itself."""
    copies = [
        (step, step.call.words[0], step.call.words[1])
        for step in context.calls("aws", "s3 sync", "s3 cp")
        if step.call and len(step.call.words) == 2 and (step.call.verb == "s3 sync" or step.call.has("--recursive"))
    ]
    targets = {target.rstrip("/") for _, _, target in copies if target.startswith(_BUCKET)}
    for step, source, _ in copies:
        above, _, last = source.rstrip("/").rpartition("/")
        if (
            source.startswith(_BUCKET)
            and last.startswith("$")
            and above in targets
            and not any(re.match(rf"{re.escape(above)}/[^/]*\$", target) for target in targets)
        ):
            yield Fault(step.place, f"the upload goes to {above}/ itself: there is no {last} below it", subject=above)


@rule(
    "OB528",
    "unpacked-elsewhere",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="An archive of relative names is unpacked below /",
    reason=(
        "tar keeps the names as they were given. config/app.yaml packed in the application's folder comes out as "
        "/config/app.yaml, and the application goes on with what it had."
    ),
    source="https://www.gnu.org/software/tar/manual/html_node/directory.html",
    bad=sh("tar -czf /backup/config.tar.gz config/ app.yaml")
    + "\n\n## Restore\n\n"
    + sh("tar -xzf /backup/config.tar.gz -C /"),
    good=sh("tar -czf /backup/config.tar.gz -C /srv/shop config app.yaml")
    + "\n\n## Restore\n\n"
    + sh("tar -xzf /backup/config.tar.gz -C /srv/shop"),
)
def unpacked_elsewhere(context: Context) -> Iterator[Fault]:
    """`tar x… -C /` of an archive that a step packs by relative names without -C; matched by its file name."""
    packed: dict[str, bool] = {}
    for step in context.steps:
        made = _tar(step, "c")
        if made:
            name, members = made
            moved = any(word in ("-C", "--directory", "-P") for word in step.words)
            relative = bool(members) and all(re.match(r"[\w.*]", member) for member in members)
            packed[name] = packed.get(name, True) and relative and not moved
    for step in context.steps:
        taken = _tar(step, "x")
        words = step.words
        root = "-C" in words[:-1] and words[words.index("-C") + 1] == "/"
        if taken and root and packed.get(taken[0]):
            yield Fault(
                step.place,
                f"{taken[0]} holds relative names: they are unpacked right below /",
                Fix("-C with the folder it was packed in"),
                subject="root",
            )


def _tar(step: Step, mode: str) -> tuple[str, list[str]] | None:
    """File name and members of a tar command of a mode."""
    words = step.words
    if step.program != "tar" or len(words) < 3 or not re.match(rf"-?[a-zA-Z]*{mode}[a-zA-Z]*f$", words[1]):
        return None
    name = posixpath.basename(words[2].strip("\"'"))
    if "$" in name.split(".")[0]:
        return None
    return name, [word for word in words[3:] if not word.startswith("-")]


@rule(
    "OB130",
    "emptied-though-archive-failed",
    FaultClass.UNSAFE,
    Severity.WARNING,
    summary="A log is emptied whether or not it was archived",
    reason=(
        "If tar or cp fails, for a full disk say, the log is emptied all the same; and lines written between the two "
        "are lost in any case. logrotate with copytruncate or a signal does both in order."
    ),
    source="https://man7.org/linux/man-pages/man8/logrotate.8.html",
    bad=sh('tar -czf archive/app.tar.gz logs/app.log\necho "" > logs/app.log'),
    good=sh("tar -czf archive/app.tar.gz logs/app.log && : > logs/app.log"),
)
def emptied_though_failed(context: Context) -> Iterator[Fault]:
    """`> FILE` or truncate of what the step before packs or copies, not joined by && and not under set -e."""
    for block in context.scripts:
        if not block.strict:
            yield from _emptied(block)


def _emptied(block: ShellBlock) -> Iterator[Fault]:
    kept: set[str] = set()
    for step in block.top:
        if step.program in ("tar", "cp", "gzip", "zip", "rsync", "aws", "scp"):
            kept |= {word.strip("\"'") for word in step.words[1:] if not word.startswith("-")}
            continue
        gone: set[str] = set()
        if step.program in ("echo", ":", "cat", "") and step.words[1:] in ((), ("",), ("/dev/null",)):
            gone = {r.target.text.strip("\"'") for r in step.command.redirects if r.operator == ">"}
        elif step.program == "truncate":
            gone = {word.strip("\"'") for word in step.words[1:]}
        if gone & kept and step.command.before != "&&" and not step.command.within:
            yield Fault(step.place, f"{min(gone & kept)} is emptied even if its copy failed", Fix("join them by &&"))
