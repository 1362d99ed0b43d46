"""Files, containers and repositories: commands that delete without asking."""

from __future__ import annotations

import re
from collections.abc import Iterator

from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import sh
from opsbook.manual.lint.facts.steps import Step
from opsbook.manual.lint.finding import FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, rule

_DEV = re.compile(
    (
        r"\b(?:local(?:ly|host)?|development|dev (?:environment|setup)|test(?:ing)? environment|"
        r"sandbox|clean (?:start|slate|up everything)|reset everything|fresh (?:start|install)|"
        r"uninstall|tear ?down|decommission)\b"
    ),
    re.I,
)


def _saved_before(step: Step) -> bool:
    ahead = " ".join(s.command.text for s in step.block.before(step))
    return bool(re.search(r"backup|pg_dump|mysqldump|mongodump|snapshot|\btar\b.*c|cp -r|--rdb|rsync", ahead))


def _said(step: Step) -> str:
    return f"{' '.join(step.block.section_path)} {step.comment}"


@rule(
    "OB620",
    "compose-down-volumes",
    FaultClass.DESTROYS,
    Severity.ERROR,
    summary="docker compose down -v",
    reason=("-v removes the named volumes of the project: the database's files go with the containers."),
    source="https://docs.docker.com/reference/cli/docker/compose/down/",
    bad=("## Restart the stack\n\n") + sh("docker compose down -v\ndocker compose up -d"),
    good=("## Restart the stack\n\n") + sh("docker compose down\ndocker compose up -d"),
)
def down_volumes(context: Context) -> Iterator[Fault]:
    """down with -v, unless a backup stands ahead of it or the section is about development or removal."""
    for step in context.calls("docker compose", "down"):
        if step.call and step.call.has("-v", "--volumes") and not _DEV.search(_said(step)):
            told = bool(
                re.search(
                    r"delet|destroy|remov|wipe|data loss|⚠|warning|caution|danger|reset",
                    _said(step) + step.command.trailing_comment,
                    re.I,
                )
            )
            severity = Severity.WARNING if told or _saved_before(step) else None
            yield Fault(
                step.place,
                "removes the volumes too: the data is deleted with the containers",
                Fix("leave out -v"),
                severity=severity,
            )


@rule(
    "OB621",
    "prune",
    FaultClass.DESTROYS,
    Severity.WARNING,
    summary="docker prune of volumes, or of everything with --volumes or -a, without asking",
    reason=(
        "prune takes what no running container uses at this moment: the volumes of a "
        "database that is stopped for maintenance, the image a rollback would need."
    ),
    source="https://docs.docker.com/reference/cli/docker/system/prune/",
    bad=sh("docker volume prune -f"),
    good=sh("docker image prune -f\ndocker container prune --filter 'until=168h'"),
)
def prune(context: Context) -> Iterator[Fault]:
    """volume prune, system prune --volumes, system prune -af."""
    for step in context.calls("docker", "system prune", "volume prune"):
        call = step.call
        assert call is not None
        if _DEV.search(_said(step)):
            continue
        if call.verb == "volume prune" or call.has("--volumes"):
            what = (
                "every volume that no container uses now"
                if call.has("-a", "--all") or call.verb == "system prune"
                else "unused anonymous volumes"
            )
            yield Fault(
                step.place, f"deletes {what}, a stopped database's among them", Fix("remove single volumes by name")
            )
        elif call.has("-a", "--all") and not call.has("--filter"):
            yield Fault(
                step.place,
                "deletes every image that no container runs, the previous release's among them",
                Fix("docker image prune --filter 'until=168h'"),
                fault=FaultClass.UNSAFE,
            )
        elif any(s.call and s.call.tool == "docker compose" and s.call.verb == "down" for s in step.block.before(step)):
            yield Fault(
                step.place,
                "behind down every container counts as unused: those of other projects and their logs go too",
                Fix("leave it out of the recovery"),
                fault=FaultClass.UNSAFE,
            )


@rule(
    "OB622",
    "remove-root-or-variable",
    FaultClass.DESTROYS,
    Severity.ERROR,
    summary="rm -rf of a path that may turn out to be /",
    reason=("If the variable is empty, rm -rf $DIR/* becomes rm -rf /*. ${DIR:?} stops the shell instead."),
    source="https://www.shellcheck.net/wiki/SC2115",
    bad=sh("rm -rf $BACKUP_DIR/*"),
    good=sh('rm -rf "${BACKUP_DIR:?}"/*'),
)
def remove_variable(context: Context) -> Iterator[Fault]:
    """rm -r of /$X, $X/ or $X/* where X is not set to a static text in the block."""
    for step in context.steps:
        if step.program != "rm" or not any(re.match(r"-\w*[rR]", word) for word in step.words[1:]):
            continue
        set_here = {a.name for s in step.block.top for a in s.command.assignments if a.value.text.strip()}
        for word in step.command.argv[1:]:
            found = re.match(r"^/?\$\{?(\w+)\}?/(?:\*)?$", word.text)
            if found and found[1] not in set_here and not re.match(r"\d|HOME$|PWD$", found[1]):
                yield Fault(
                    step.at(word), f"becomes rm -rf /* where {found[1]} is empty", Fix(f"write ${{{found[1]}:?}}")
                )
            elif word.text in ("/", "/*", "~", "~/", "/var/lib/postgresql", "/var/lib/mysql"):
                yield Fault(step.at(word), f"deletes {word.text} without a copy")


@rule(
    "OB623",
    "git-discards",
    FaultClass.DESTROYS,
    Severity.WARNING,
    summary="git reset --hard, clean -fd or a forced push in a procedure for production",
    reason=(
        "Changes on the host that were never committed are gone for good, and a forced push "
        "takes others' commits away. Deploy a named revision instead."
    ),
    source="https://git-scm.com/docs/git-reset",
    bad=("## Rollback\n\n") + sh("git push --force origin main"),
    good=("## Rollback\n\n") + sh("git revert --no-edit HEAD\ngit push origin main"),
)
def git_discards(context: Context) -> Iterator[Fault]:
    """Forced pushes to main or master are warned of, hard resets are a hint."""
    for step in context.calls("git"):
        call = step.call
        assert call is not None
        words = step.words
        if call.verb == "push" and any(word in ("-f", "--force") for word in words):
            yield Fault(
                step.place, "a forced push takes the commits of others away", Fix("git revert, or --force-with-lease")
            )
        elif (call.verb == "reset" and "--hard" in words) or (
            call.verb == "clean" and any(re.match(r"-\w*f", w) for w in words)
        ):
            yield Fault(
                step.place,
                f"git {call.verb} discards what was changed on this host and never committed",
                severity=Severity.HINT,
            )


@rule(
    "OB624",
    "git-previous-commit",
    FaultClass.UNSAFE,
    Severity.WARNING,
    summary="Rolling back to whatever the previous commit was",
    reason=(
        "HEAD~1 is the previous commit of any kind, seldom the previous release; files taken "
        "from it leave a dirty tree that nobody can name. A rollback names its release."
    ),
    source="https://git-scm.com/docs/git-checkout",
    bad=("## Rollback\n\n") + sh("git checkout HEAD~1 deploy/\n./deploy.sh"),
    good=("## Rollback\n\n") + sh("git checkout v1.4.2 -- deploy/\n./deploy.sh"),
)
def git_previous(context: Context) -> Iterator[Fault]:
    """checkout or reset to HEAD~n or HEAD^."""
    for step in context.calls("git", "checkout", "reset", "restore"):
        if any(
            re.match(r"(?:HEAD|main|master)(?:~\d*|\^)$", word) or re.match(r"--source=HEAD[~^]", word)
            for word in step.words
        ):
            if "--soft" in step.words or _DEV.search(_said(step)):
                continue
            yield Fault(
                step.place,
                "goes back to the previous commit, whatever that was, not to a named release",
                Fix("name the tag of the release"),
            )


@rule(
    "OB625",
    "kill-database",
    FaultClass.UNSAFE,
    Severity.WARNING,
    summary="kill -9 of a database server",
    reason=(
        "SIGKILL of one PostgreSQL backend makes the whole server go through crash recovery "
        "and cuts every connection; of the postmaster it leaves shared memory behind."
    ),
    source="https://www.postgresql.org/docs/current/server-shutdown.html",
    bad=sh("pkill -9 postgres"),
    good=sh("pg_ctl stop -m fast"),
)
def kill_database(context: Context) -> Iterator[Fault]:
    """kill, pkill and killall with -9 that name a database."""
    for step in context.steps:
        if step.program in ("kill", "pkill", "killall") and any(w in ("-9", "-KILL", "-SIGKILL") for w in step.words):
            named = re.search(r"postgres|postmaster|mysqld|mongod|redis-server", step.command.text)
            if named:
                yield Fault(
                    step.place,
                    f"SIGKILL of {named[0]} skips its shutdown",
                    Fix("stop it by its own command (pg_ctl stop -m fast)"),
                )


@rule(
    "OB627",
    "crontab-replaced",
    FaultClass.DESTROYS,
    Severity.ERROR,
    summary="A crontab replaced by the one line that was to be added",
    reason=(
        "crontab - installs what it reads as the whole table: every other job of the user is "
        "gone, the nightly backup among them."
    ),
    source="https://man7.org/linux/man-pages/man1/crontab.1.html",
    bad=sh('echo "*/5 * * * * /opt/shop/check.sh" | crontab -'),
    good=sh('(crontab -l; echo "*/5 * * * * /opt/shop/check.sh") | crontab -'),
)
def crontab_replaced(context: Context) -> Iterator[Fault]:
    """echo or a here-document into crontab - with no crontab -l ahead in the pipeline; crontab -r."""
    for step in context.steps:
        if step.program != "crontab":
            continue
        line = " ".join(s.command.text for s in step.block.pipeline(step))
        if (
            "-" in step.words[1:]
            and "crontab -l" not in line
            and not re.search(r"crontab -l\s*>", step.block.text)
            and (step.command.position > 0 or step.command.heredoc)
        ):
            if re.search(r"\becho\b|\bprintf\b|<<", line):
                yield Fault(
                    step.place,
                    "replaces the whole crontab: every other job of this user is gone",
                    Fix("(crontab -l; echo …) | crontab -"),
                )
        elif "-r" in step.words[1:]:
            yield Fault(
                step.place,
                "removes every job of this user and asks nothing",
                Fix("crontab -e, or crontab -l > before.cron first"),
                severity=Severity.WARNING,
            )


@rule(
    "OB626",
    "bucket-emptied",
    FaultClass.DESTROYS,
    Severity.WARNING,
    summary="aws s3 rm --recursive or sync --delete over a whole bucket or backup prefix",
    reason=(
        "Without a narrow prefix every object goes, and unless the bucket keeps versions "
        "nothing brings it back. sync --delete also deletes what the source happens to lack."
    ),
    source="https://docs.aws.amazon.com/cli/latest/reference/s3/rm.html",
    bad=sh("aws s3 rm s3://shop-backups/ --recursive"),
    good=sh("aws s3 rm s3://shop-backups/ --recursive --exclude '*' --include 'tmp-*'"),
)
def bucket_emptied(context: Context) -> Iterator[Fault]:
    """rm --recursive without --include; rb --force."""
    for step in context.calls("aws", "s3 rm", "s3 rb"):
        call = step.call
        assert call is not None
        if call.has("--dryrun"):
            continue
        bare = bool(call.words) and re.match(r"s3://[^/]+/?$", call.words[0])
        emptied = call.verb == "s3 rm" and call.has("--recursive") and bare and not call.has("--include")
        if (emptied or call.has("--force")) and not _DEV.search(_said(step)):
            fix = Fix("give a prefix; try it with --dryrun")
            yield Fault(step.place, f"deletes every object of {call.words[0]}", fix)
