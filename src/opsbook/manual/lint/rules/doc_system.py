"""The manual against itself: framework, database pools, Redis, jobs, certificates."""

from __future__ import annotations

import re
from collections.abc import Iterator

from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import sh
from opsbook.manual.lint.facts.inventory import inventory
from opsbook.manual.lint.facts.redis import redis_words
from opsbook.manual.lint.finding import FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, rule

_FRAMEWORKS = {
    "django": re.compile(r"\bdjango\b|manage\.py\b", re.I),
    "fastapi": re.compile(r"\bfastapi\b|\balembic\b|\buvicorn\b|\bsqlalchemy\b", re.I),
    "rails": re.compile(r"\brails\b|\bbundle exec\b|\brake db:", re.I),
    "laravel": re.compile(r"\bartisan\b|\blaravel\b", re.I),
    "express": re.compile(r"\bexpress(?:\.js| on node)|\bnest\.?js\b", re.I),
}


_TITLES = {
    "django": "Django",
    "fastapi": "FastAPI/SQLAlchemy",
    "rails": "Rails",
    "laravel": "Laravel",
    "express": "Node.js",
}


@rule(
    "OB540",
    "other-framework",
    FaultClass.ROT,
    Severity.WARNING,
    summary="One step speaks of another framework than the rest of the manual",
    reason=(
        "manage.py is Django's, Alembic is SQLAlchemy's. A step left over from another "
        "project does not run in this one."
    ),
    source="https://docs.djangoproject.com/en/stable/ref/django-admin/",
    bad=("The API is a FastAPI application.\n\n") + sh("alembic upgrade head\npython manage.py createsuperuser"),
    good=("The API is a FastAPI application.\n\n") + sh("alembic upgrade head\npython -m app.cli create-admin"),
)
def other_framework(context: Context) -> Iterator[Fault]:
    """Django beside FastAPI or SQLAlchemy (and Rails beside Laravel …) where one has a single mention."""
    lines: dict[str, list[int]] = {name: [] for name in _FRAMEWORKS}
    for number, line in enumerate(context.document.lines, 1):
        for name, pattern in _FRAMEWORKS.items():
            if pattern.search(line):
                lines[name].append(number)
    if len(lines["django"]) > 2 and len(lines["fastapi"]) > 2:
        return
    for name in ("django", "rails", "laravel"):
        others = [other for other in _FRAMEWORKS if other != name and lines[other]]
        if 0 < len(lines[name]) <= 2 and others and len(lines[others[0]]) >= 1:
            for number in lines[name]:
                found = _FRAMEWORKS[name].search(context.document.lines[number - 1])
                if found and not re.search(
                    r"like|unlike|instead of|migrat(?:ed|ion|ing)|formerly|compared|vs\.?",
                    context.document.lines[number - 1],
                    re.I,
                ):
                    yield Fault(
                        context.place(number, found[0]),
                        (
                            f"{found[0]} is {_TITLES[name]}; elsewhere the application is {_TITLES[others[0]]} (line "
                            f"{lines[others[0]][0]})"
                        ),
                        subject=name,
                    )


_URL = re.compile(
    r"\b(?:CELERY_BROKER_URL|BROKER_URL|CACHE_URL|REDIS_URL|REDIS_HOST|"
    r"REDIS_URI)\s*[=:]\s*[\"']?(?:rediss?://)?(?:[^@\s/]*@)?([\w.-]+)"
)


@rule(
    "OB544",
    "redis-elsewhere",
    FaultClass.WILL_NOT_RUN,
    Severity.WARNING,
    summary="redis-cli without a host, where the manual's Redis is another machine",
    reason=(
        "Without -h redis-cli talks to localhost. The manual's own configuration names "
        "another host: the command finds no server, or the wrong one."
    ),
    source="https://redis.io/docs/latest/develop/tools/cli/",
    bad=sh("REDIS_URL=redis://redis.shop.internal:6379/0") + ("\n\n## Maintenance\n\n") + sh("redis-cli INFO memory"),
    good=sh("REDIS_URL=redis://redis.shop.internal:6379/0")
    + ("\n\n## Maintenance\n\n")
    + sh('redis-cli -u "$REDIS_URL" INFO memory'),
)
def redis_elsewhere(context: Context) -> Iterator[Fault]:
    """Clients outside containers without -h, -u or -s, and a URL whose host is a full name."""
    hosts = [host for line in context.document.lines for host in _URL.findall(line)]
    remote = [host for host in hosts if "." in host and not re.match(r"127\.|0\.0\.0\.0|localhost", host)]
    if not remote or any(re.match(r"localhost|127\.", host) for host in hosts):
        return
    for step in context.steps:
        if (
            step.program == "redis-cli"
            and not step.remote
            and step.call is not None
            and not step.call.has("-h", "-u", "-s")
            and (redis_words(step) or step.call.has("--scan"))
        ):
            if "ssh" in step.block.text or "REDISCLI" in context.document.lines[step.command.line - 1]:
                continue
            yield Fault(
                step.place,
                f"talks to localhost; the manual's Redis is {remote[0]}",
                Fix(f'-h {remote[0]}, or -u "$REDIS_URL"'),
                subject="redis-host",
            )


@rule(
    "OB545",
    "pool-above-limit",
    FaultClass.CONTRADICTION,
    Severity.WARNING,
    summary="More pooled connections than the server accepts",
    reason=(
        "Each worker process of each instance opens its own pool. Their product is above "
        "max_connections: under load the server answers “too many clients already”."
    ),
    source="https://www.postgresql.org/docs/current/runtime-config-connection.html",
    bad=sh("DATABASE_POOL_SIZE=50\nAPI_WORKERS=4")
    + ("\n\n```sql\nALTER SYSTEM SET max_connections = 150; -- needs a restart\n```"),
    good=sh("DATABASE_POOL_SIZE=10\nAPI_WORKERS=4")
    + ("\n\n```sql\nALTER SYSTEM SET max_connections = 150; -- needs a restart\n```"),
)
def pool_above_limit(context: Context) -> Iterator[Fault]:
    """pool × workers × instances against max_connections, all as the manual gives them."""
    pool = _number(context, r"\b(?:\w*POOL_SIZE|pool_size|\w*MAX_OPEN_CONNS)`?\s*[=:|]\s*`?(\d+)") or _number(
        context, r"\b[Ee]ach (?:pod|process|worker|instance|replica)\b[^.|]{0,40}?\b(\d+) (?:database |db )?connections"
    )
    workers = _number(
        context,
        r"\b(?:API_WORKERS|WEB_CONCURRENCY|GUNICORN_WORKERS|UVICORN_WORKERS|WORKERS|workers)`?\s*[=:|]\s*`?(\d+)",
    ) or (1, 0)
    limit = _number(context, r"\bmax_connections`?\s*(?:=|to|:)\s*'?(\d+)")
    if pool is None or limit is None:
        return
    scaled = [least or 1 for least, _ in context.names.autoscaled().values()]
    served = [
        e.replicas for e in inventory(context.document) if e.replicas and re.search(r"api|web|backend|app", e.name)
    ]
    instances = max([*scaled, *served, 1])
    wanted = pool[0] * workers[0] * instances
    if wanted > limit[0]:
        each = f" × {workers[0]} workers (line {workers[1]})" if workers[1] else ""
        times = f" × {instances} instances" if instances > 1 else ""
        yield Fault(
            context.place(limit[1], "max_connections"),
            (f"pool {pool[0]} (line {pool[1]}){each}{times} = {wanted} connections, the server accepts {limit[0]}"),
        )


def _number(context: Context, pattern: str) -> tuple[int, int] | None:
    for number, line in enumerate(context.document.lines, 1):
        found = re.search(pattern, line)
        if found:
            return int(found[1]), number
    return None


@rule(
    "OB546",
    "cronjob-not-described",
    FaultClass.DANGLING,
    Severity.WARNING,
    summary="A job is started from a CronJob that the manual says nothing else of",
    reason=("What it backs up, where to and when is nowhere written; whether it exists at all only the cluster knows."),
    source="https://kubernetes.io/docs/tasks/job/automated-tasks-with-cron-jobs/",
    bad=sh("kubectl create job --from=cronjob/weekly-backup manual-backup -n shop"),
    good=("The CronJob `weekly-backup` dumps the database to s3://shop-backups on Sundays.\n\n")
    + sh("kubectl create job --from=cronjob/weekly-backup manual-backup -n shop"),
)
def cronjob_not_described(context: Context) -> Iterator[Fault]:
    """create job --from=cronjob/NAME where NAME is on no other line."""
    for step in context.calls("kubectl", "create job"):
        call = step.call
        assert call is not None
        found = re.fullmatch(r"cronjobs?/([\w.-]+)", call.value("--from") or "")
        if (
            found
            and sum(
                bool(re.search(rf"(?<![\w-]){re.escape(found[1])}(?![\w-])", line)) for line in context.document.lines
            )
            == 1
        ):
            yield Fault(step.place, f"CronJob {found[1]} is named here only: what it does is not said")


@rule(
    "OB547",
    "signed-by-itself",
    FaultClass.INSECURE,
    Severity.WARNING,
    summary="A self-signed certificate for production",
    reason=(
        "No client trusts it: people click warnings away, programs switch verification off. "
        "-nodes leaves the key unencrypted where the command ran, and without -subj and a "
        "SAN the command asks questions and browsers refuse the result."
    ),
    source="https://docs.openssl.org/3.0/man1/openssl-req/",
    bad=("## Certificates\n\n")
    + sh("openssl req -x509 -nodes -days 365 -newkey rsa:2048 -keyout shop.key -out shop.crt"),
    good=("## Certificates\n\n") + sh("certbot certonly --nginx -d api.shop.com"),
)
def signed_by_itself(context: Context) -> Iterator[Fault]:
    """req -x509 outside of development, test and CA sections; then also curl that has to verify it."""
    for step in context.steps:
        if step.program != "openssl" or "req" not in step.words[1:2] or "-x509" not in step.words:
            continue
        said = f"{' '.join(step.block.section_path)} {step.comment} {step.block.text}"
        if re.search(
            r"\b(?:dev(?:elopment)?|local(?:host)?|test(?:ing)?|staging|internal|self-?signed|\bca\b|root)\b",
            said,
            re.I,
        ):
            continue
        yield Fault(
            step.place, "a self-signed certificate with an unencrypted key for production", Fix("issue it from a CA")
        )
        for later in step.block.after(step):
            if (
                later.program == "curl"
                and re.search(r"https://", later.command.text)
                and later.call
                and not later.call.has("-k", "--insecure", "--cacert")
            ):
                yield Fault(
                    later.place,
                    "stops at verification: the certificate is self-signed, what follows is never printed",
                    Fix("openssl s_client -connect HOST:443, or --cacert"),
                    fault=FaultClass.WILL_NOT_RUN,
                )
