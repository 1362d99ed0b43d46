"""Forms of everyday commands that delete, stop or unmake more than was meant, as a table."""

from __future__ import annotations

import re
from collections.abc import Iterator

from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import sh
from opsbook.manual.lint.finding import FaultClass, Severity
from opsbook.manual.lint.rule import Fault, rule

_PGDATA = r"/var/lib/(?:postgresql|pgsql|postgres)\S*"
# Program, a pattern over its words, and what it does.
_DESTROYS: tuple[tuple[str, str, str], ...] = (
    (
        "find",
        r"^find \S+ (?:-maxdepth \d+ )?-delete\s+-\w+",
        "-delete ahead of the tests deletes everything below the folder",
    ),
    ("find", r"^find / (?!.*-maxdepth).*(?:-delete|-exec rm)", "deletes through the whole system, mounts included"),
    (
        "chown|chmod",
        r"^ch(?:own|mod) (?:-\S*R\S*|--recursive) \S+ (?:/|/etc|/usr|/var|/bin|/lib)/?$",
        "unmakes the rights of the whole system",
    ),
    (
        "docker|podman",
        r"\bvolume rm .*\$\((?:docker|podman) volume ls",
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
    (
        "redis-cli|valkey-cli",
        r"(?i)\bcluster reset hard\b|\bcluster flushslots\b",
        "takes the node out of its cluster and forgets its slots",
    ),
    ("tar", rf"^tar -?\w*x.*-C {_PGDATA}", "unpacks over the files of a database server"),
    ("rsync", r"^rsync .*--delete\S* (?:.* )?(?:/tmp|/empty|\S*/empty)/? \S+", "empties the target"),
    ("mongosh|mongo", r"db\.dropDatabase\(\)", "drops the whole database"),
    (
        "etcdctl",
        r"\bdel (?:--prefix )?(?:\"\"|/|'') *(?:--prefix)?|\bdel .*--prefix (?:\"\"|/$)",
        "deletes every key of the cluster",
    ),
    ("kafka-topics|kafka-topics.sh", r"--delete .*--topic [\"']?(?:\.\*|\*)", "deletes every topic"),
    (
        "lvremove|vgremove|zpool|zfs",
        r"^(?:lvremove -f|vgremove -f|zpool destroy|zfs destroy -r)",
        "deletes volumes for good",
    ),
    ("helm", r"^helm uninstall .*\$\(helm (?:ls|list)", "removes every release"),
    (
        "npx|yarn|pnpm|npm|knex|sequelize|sequelize-cli|typeorm|prisma|rails|rake|bundle",
        r"\bmigrate:rollback\b.*--all\b|\bdb:migrate:undo:all\b|\bschema:drop\b|"
        r"\bmigrate reset\b|\bdb:(?:drop|reset)\b",
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
        for program, pattern, told in _DESTROYS:
            if told and re.fullmatch(program, step.program) and re.search(pattern, text):
                yield Fault(step.place, told)
                break
    for block in context.scripts:
        for step in block.steps:
            looped = any(e.kind in ("for", "while", "until") for e in step.command.within)
            if looped and re.match(r"kubectl delete (?:-n \S+ )?(?:pods? )?[\"']?\$\w+", step.command.text):
                yield Fault(step.place, "deletes in a loop: every replica goes down together")


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
        rf"^(?:cp -\w*[ra]\w*|rsync -\w+|tar -?\w*c\w*) (?:\S+ )*{_PGDATA}",
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
        r"(?i)config set (?:protected-mode no|requirepass [\"']{2})",
        FaultClass.INSECURE,
        "lets everybody in",
    ),
    (
        "docker|podman",
        r"^\S+ (?:container )?run .*--privileged\b",
        FaultClass.INSECURE,
        "--privileged hands the host to the container",
    ),
    (
        "docker|podman",
        r"^\S+ (?:container )?run .*-v /:/\S*",
        FaultClass.INSECURE,
        "mounts the whole host into the container",
    ),
    (
        "kubectl",
        r"\bcreate clusterrolebinding .*--clusterrole[ =]cluster-admin",
        FaultClass.INSECURE,
        "makes the account master of the cluster",
    ),
    (
        "kubectl",
        r"\bdelete (?:.* )?--force\b(?=.*--grace-period[ =]0)|\bdelete (?:.* )?--grace-period[ =]0 .*--force",
        FaultClass.UNSAFE,
        "forgets the pod while it may still run: two may write to one volume",
    ),
    (
        "sysctl",
        r"net\.ipv4\.tcp_tw_recycle",
        FaultClass.ROT,
        "is gone from kernels since 4.12",
    ),
    (
        r"kafka-[\w-]+(?:\.sh)?",
        r"\s--zookeeper\b",
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
            if re.fullmatch(program, step.program) and re.search(pattern, text):
                yield Fault(step.place, told, fault=fault, subject=told)
                break


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
