"""Forms of everyday commands that delete, stop or unmake more than was meant, as a table."""

from __future__ import annotations

import re
from collections.abc import Iterator

from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import sh
from opsbook.manual.lint.facts.steps import Step
from opsbook.manual.lint.finding import FaultClass, Severity
from opsbook.manual.lint.rule import Fault, rule

# The data folder itself, by its usual names; a file in it or the archive beside it is something else.
_PGDATA = (
    r"/var/lib/(?:postgresql/(?:[\d.]+/)?(?:main|data)|pgsql/(?:[\d.]+/)?data|postgres(?:ql|/data)?|pgsql)/?(?= |$)"
)
# Words of a place where data may go: a test, a laptop, a copy.
_SPARE = r"(?i:\b|_)(?i:test\w*|scratch|sandbox|local\w*|dev|development|staging|tmp|old|copy|restored?)(?:\b|_)"
# Program, a pattern over its words, and what it does.
_DESTROYS: tuple[tuple[str, str, str], ...] = (
    (
        "find",
        r"^find \S+ (?:-maxdepth \d+ )?-delete\s+-\w+",
        "-delete ahead of the tests deletes everything below the folder",
    ),
    (
        "find",
        r"^find / (?!.*-(?:maxdepth|xdev|mount|prune|fstype)).*(?:-delete|-exec rm)",
        "deletes through the whole system, mounts included",
    ),
    (
        "chown|chmod",
        r"^ch(?:own|mod) (?:-\S*R\S*|--recursive) \S+ (?:/|/etc|/usr|/var|/bin|/lib)/?$",
        "unmakes the rights of the whole system",
    ),
    (
        "docker|podman",
        r"\bvolume rm .*\$\((?:docker|podman) volume (?:ls|list)(?: -q| --quiet)*\)",
        "deletes every volume: all data of all containers",
    ),
    (
        "docker|podman",
        r"\b(?:rm|kill)\b .*\$\((?:docker|podman) (?:ps|container ls) (?:-\w*q\w*|--quiet)(?: -a)?\)",
        "takes every container of the host, whosever it is",
    ),
    (
        "redis-cli|valkey-cli",
        r"(?i)\bshutdown nosave\b",
        "ends the server without saving: what is younger than the last snapshot is lost",
    ),
    ("redis-cli|valkey-cli", r"(?i)\bdebug (?:segfault|restart|crash\S*)\b", "crashes the server"),
    ("redis-cli|valkey-cli", r"(?i)\bcluster flushslots\b", "forgets the node's slots: they are served by nobody"),
    ("tar", rf"^tar (?:\S+ )*-?\w*x.*(?:-C|--directory)[ =]?{_PGDATA}", "unpacks over the files of a database server"),
    ("rsync", r"^rsync .*--delete\S* (?:.*(?<!--exclude) )?(?:/tmp|/empty)/? \S+", "empties the target"),
    ("mongosh|mongo", rf"^(?!.*{_SPARE}).*db\.dropDatabase\(\)", "drops the whole database"),
    ("kafka-topics|kafka-topics.sh", r"--delete .*--topic [\"']?(?:\.\*|\*)", "deletes every topic"),
    (
        "lvremove|vgremove|zpool|zfs",
        r"^(?:lvremove (?:-\w+ )*-\w*f\w* [\w.-]+$|vgremove (?:-\w+ )*-\w*f|zpool destroy|"
        r"zfs destroy (?!-\w*n|.*@)(?:-\w+ )*-\w*[rR])",
        "deletes volumes for good",
    ),
    (
        "helm",
        r"^helm uninstall .*\$\(helm (?:ls|list)(?!.*(?:--filter|--selector| -[fl] |\| ))",
        "removes every release",
    ),
    (
        "npx|yarn|pnpm|npm|knex|sequelize|sequelize-cli|typeorm|prisma|rails|rake|bundle",
        rf"^(?!.*{_SPARE}).*(?:\bmigrate:rollback\b.*--all\b|\bdb:migrate:undo:all\b|\bschema:drop\b|"
        r"\bmigrate reset\b|\bdb:(?:drop|reset)\b)",
        "takes every migration back: the tables go with their rows",
    ),
)


@rule(
    "OB670",
    "destroys-more-than-meant",
    FaultClass.DESTROYS,
    Severity.ERROR,
    summary="A form of a command that reaches further than the step",
    reason="As written it takes what belongs to others too, and what it took is not to be had back.",
    source="the tools' own manual pages",
    bad=sh("find /var/log/shop -delete -name '*.gz' -mtime +30"),
    good=sh("find /var/log/shop -name '*.gz' -mtime +30 -delete"),
)
def destroys_more(context: Context) -> Iterator[Fault]:
    """The table."""
    for step in context.steps:
        text = step.command.text if "$(" in step.command.text else " ".join(step.words)
        told = next(
            (t for program, p, t in _DESTROYS if re.fullmatch(program, step.program) and re.search(p, text)), ""
        )
        told = told or _every_key(step)
        if told and not _meant(context, step):
            yield Fault(step.place, told)


def _every_key(step: Step) -> str:
    """etcdctl del of the empty key or of "/" as a prefix, or of all from the empty key on."""
    words = step.words
    if step.program != "etcdctl" or "del" not in words:
        return ""
    behind = words[words.index("del") + 1 :]
    keys = [word for word in behind if not word.startswith("--")]
    open_end = "--from-key" in words or "--prefix" in words or "--prefix=true" in words
    return "deletes every key of the cluster" if open_end and keys[:1] in ([""], ["/"]) else ""


def _meant(context: Context, step: Step) -> bool:
    """Whether what stands beside a command makes of it the right one.

    A Redis whose dump is about to be put in place must not save; a backup is unpacked into the folder of a server that
    was stopped or of a new one; a laptop's database may be reset.
    """
    section, path = context.section_text(step.block.section_path), " ".join(step.block.section_path).lower()
    if step.program in ("redis-cli", "valkey-cli"):
        return bool(re.search(r"\.rdb\b|appendonly", section))
    if step.program == "tar":
        return bool(
            re.search(r"\b(?:stop|mv|mkdir|install -d|initdb|rm -rf|pg_dropcluster|recovery\.signal)\b", section)
        )
    given = " ".join(f"{a.name}={a.value.text}" for s in (step, step.outermost) for a in s.command.assignments)
    return bool(re.search(r"\b(?:local|develop\w*|test|tests|sandbox)\b", path) or re.search(_SPARE, given))


# Program, a pattern over its words, class, and what is wrong with it.
_UNSAFE: tuple[tuple[str, str, FaultClass, str], ...] = (
    (
        "python|python3|manage.py|django-admin",
        r"\bmanage\.py migrate .*--fake(?!-initial)|^django-admin migrate .*--fake(?!-initial)",
        FaultClass.UNSAFE,
        "--fake records the migration and leaves the schema as it is: code and tables no longer agree",
    ),
    (
        "python|python3|manage.py|django-admin",
        r"\bmanage\.py runserver\b",
        FaultClass.UNSAFE,
        "the server for development: one process, no limits, tracebacks for everybody",
    ),
    ("flask", r"^flask run\b", FaultClass.UNSAFE, "the server for development: one process, no limits"),
    (
        "uvicorn|gunicorn|hypercorn",
        r"\s--reload\b",
        FaultClass.UNSAFE,
        "--reload is for development: a changed file restarts production",
    ),
    (
        "alembic",
        r"\bstamp (?:head|heads|--purge)",
        FaultClass.UNSAFE,
        "stamp records the revision and runs no migration: code and tables no longer agree",
    ),
    (
        "cp|rsync|tar",
        rf"^(?:cp -\w*[Rra]\w*|rsync -\w+) (?:\S+ )*{_PGDATA} \S|^tar -?\w*c\w* (?:\S+ )*{_PGDATA}",
        FaultClass.UNSAFE,
        "the files of a running server are no backup: they belong to different moments",
    ),
    (
        "gpg",
        r"--passphrase[ =](?!\$|<)\S+",
        FaultClass.INSECURE,
        "the passphrase stands in the arguments and in this manual",
    ),
    (
        "openssl",
        r"^openssl enc .*\s-k (?!\$|<)\S+|-pass(?:in|out)? pass:(?!\$|<)\S+",
        FaultClass.INSECURE,
        "the passphrase stands in the arguments and in this manual",
    ),
    (
        "openssl",
        r"\brsa:(?:512|1024)\b|\bgenrsa (?:\S+ )*(?:512|1024)\b",
        FaultClass.INSECURE,
        "the key is too short: 2048 bits at least",
    ),
    (
        "redis-cli|valkey-cli",
        r"(?i)config set (?:protected-mode no|requirepass ?$)",
        FaultClass.INSECURE,
        "lets everybody in",
    ),
    (
        "docker|podman",
        r"^\S+ (?:container )?run (?!.*(?:qemu-user-static|binfmt|dind|cadvisor|/kind)).*--privileged\b",
        FaultClass.INSECURE,
        "--privileged hands the host to the container",
    ),
    (
        "docker|podman",
        r"^\S+ (?:container )?run .*-v /:/(?!\S*:ro)",
        FaultClass.INSECURE,
        "mounts the whole host into the container",
    ),
    (
        "kubectl",
        r"\bcreate clusterrolebinding (?=.*--serviceaccount).*--clusterrole[ =]cluster-admin",
        FaultClass.INSECURE,
        "makes the account master of the cluster",
    ),
    (
        "sysctl",
        r"net\.ipv4\.tcp_tw_recycle",
        FaultClass.ROT,
        "is gone from kernels since 4.12",
    ),
    (
        r"kafka-(?!configs)[\w-]+(?:\.sh)?",
        r"\s--zookeeper(?= |=)",
        FaultClass.DEPRECATED,
        "--zookeeper is gone since Kafka 3.0: --bootstrap-server",
    ),
    (
        r"kafka-consumer-groups(?:\.sh)?",
        r"--reset-offsets\b(?=.*--to-earliest)(?=.*--execute)",
        FaultClass.UNSAFE,
        "every event is handled a second time",
    ),
)


@rule(
    "OB671",
    "form-unsafe",
    FaultClass.UNSAFE,
    Severity.WARNING,
    summary="A form of a command that is not for production",
    reason="It works on a laptop. In production it leaves two truths, one open door or a copy that cannot be used.",
    source="the tools' own documentation",
    bad=sh("python manage.py migrate orders 0041 --fake"),
    good=sh("python manage.py migrate orders 0041"),
)
def form_unsafe(context: Context) -> Iterator[Fault]:
    """The table, each form told once."""
    for step in context.steps:
        text = " ".join(step.words)
        for program, pattern, fault, told in _UNSAFE:
            if re.fullmatch(program, step.program) and re.search(pattern, text) and not _in_place(context, step, told):
                yield Fault(step.place, told, fault=fault, subject=told, severity=_HINTED.get(told))
                break


# What is a fault in one manual and the purpose of the step in another.
_HINTED = {"every event is handled a second time": Severity.HINT}


def _in_place(context: Context, step: Step, told: str) -> bool:
    """Whether it is a laptop's step, a stopped server's copy or a schema that is there already."""
    section, path = context.section_text(step.block.section_path), " ".join(step.block.section_path).lower()
    if "for development" in told or "one process" in told:
        return bool(re.search(r"\b(?:local|develop\w*|debug\w*|test|tests)\b", path))
    if "no backup" in told:
        before = " ".join(s.command.text for s in step.block.before(step))
        return bool(re.search(r"\bstop\b|pg_backup_start|pg_start_backup|lvcreate|zfs snapshot", before))
    if told.startswith("stamp"):
        return bool(
            re.search(r"create_all|baseline|from scratch|existing (?:schema|database)|pg_restore|adopt", section)
        )
    return False


_RESTART = r"(?:sudo )?(?:reboot|shutdown -r|systemctl reboot)"


@rule(
    "OB672",
    "host-restarted-at-once",
    FaultClass.UNSAFE,
    Severity.WARNING,
    summary="Packages upgraded and the host restarted in one breath",
    reason="Nobody has seen whether the upgrade went through, and nothing was taken off the host first.",
    source="https://manpages.debian.org/bookworm/apt/apt-get.8.en.html",
    bad=sh("apt-get upgrade -y && reboot"),
    good=sh("apt-get upgrade -y\n# look at what it said, then take the host out of service\nneedrestart -r l"),
)
def host_restarted(context: Context) -> Iterator[Fault]:
    """An unattended upgrade and a restart of the host in one line."""
    for block in context.scripts:
        upgraded = 0
        for step in block.top:
            if re.match(r"(?:sudo )?(?:apt(?:-get)?|dnf|yum) .*\b(?:upgrade|update|dist-upgrade)\b", step.command.text):
                upgraded = step.command.line
            elif upgraded == step.command.line and re.match(_RESTART, step.command.text):
                yield Fault(step.place, "restarts the host whatever the upgrade said")
