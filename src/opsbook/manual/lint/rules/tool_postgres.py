"""PostgreSQL's command-line clients: who connects to what, and which tool reads which dump."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sqlglot import exp

from opsbook.manual.catalogue import postgres
from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import sh
from opsbook.manual.lint.facts.databases import CLIENTS, database_names, database_of, is_connection, user_of
from opsbook.manual.lint.facts.steps import Step
from opsbook.manual.lint.finding import FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, rule


def _clients(context: Context) -> Iterator[Step]:
    for step in context.steps:
        if step.program in CLIENTS and step.call is not None:
            yield step


def _environment(step: Step, name: str) -> bool:
    """Whether PGUSER or PGDATABASE is set for the command."""
    at: Step | None = step
    while at is not None:
        if any(assignment.name == name for assignment in at.command.assignments):
            return True
        at = at.outer
    return f"{name}=" in step.block.text


@rule(
    "OB330",
    "role-root",
    FaultClass.WILL_NOT_RUN,
    Severity.WARNING,
    summary="psql or pg_dump in a container without -U",
    reason=(
        "exec enters the usual postgres image as root, and the clients take the system "
        'user\'s name: FATAL: role "root" does not exist.'
    ),
    source=(
        "https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-USER, "
        "https://hub.docker.com/_/postgres"
    ),
    bad=sh("docker exec db psql -c 'SELECT count(*) FROM pg_stat_activity;'"),
    good=sh("docker exec db psql -U app -d shop -c 'SELECT count(*) FROM pg_stat_activity;'"),
)
def role_root(context: Context) -> Iterator[Fault]:
    """Clients inside containers with neither -U nor a URL nor PGUSER, entered as no named user."""
    for step in _clients(context):
        call = step.call
        carrier = step.container
        if call is None or carrier is None or carrier.call is None or user_of(call) or _environment(step, "PGUSER"):
            continue
        named = database_of(call, step.program)
        if is_connection(named) or call.has("--help", "--version", "-V", "-?", "-h", "--host"):
            continue
        if step.program == "pg_restore" and not call.has("-d", "--dbname"):
            continue
        if carrier.call.has("-u", "--user") or any(
            via in ("su", "gosu", "sudo", "su-exec", "runuser") for via in step.command.via
        ):
            continue
        if re.search(r"cnpg|cloudnative|bitnami|crunchy|zalando|spilo|patroni", context.text) or re.search(
            r"-e\s+PGUSER|PGUSER", carrier.command.text
        ):
            continue
        if any(
            "$" in word.text and re.search(r"URL|DSN|CONN|OPTS|ARGS|@", word.text) for word in step.command.argv[1:]
        ):
            continue
        yield Fault(
            step.place,
            f'{step.program} without -U runs as root in the container: role "root" does not exist',
            Fix("-U USER -d DATABASE"),
            subject="role-root",
        )


@rule(
    "OB331",
    "database-not-named",
    FaultClass.WILL_NOT_RUN,
    Severity.WARNING,
    summary="psql without the database that the rest of the manual names",
    reason=(
        "Without -d the client takes the database named like the user. It does not exist, or "
        "holds none of the application's tables."
    ),
    source="https://www.postgresql.org/docs/current/app-psql.html#R2-APP-PSQL-CONNECTING",
    bad=sh("psql -U shop -d shop_prod -c 'SELECT 1;'\npsql -U shop -c 'SELECT count(*) FROM orders;'"),
    good=sh("psql -U shop -d shop_prod -c 'SELECT 1;'\npsql -U shop -d shop_prod -c 'SELECT count(*) FROM orders;'"),
)
def database_not_named(context: Context) -> Iterator[Fault]:
    """-U X without -d where the manual's database is not called X; no -U and no -d for statements on own tables."""
    known = database_names(context.steps, context.document.lines)
    if not known:
        return
    usual = known.most_common(1)[0][0]
    for step in _clients(context):
        call = step.call
        if (
            call is None
            or step.program not in ("psql", "pg_dump", "vacuumdb", "reindexdb")
            or database_of(call, step.program)
            or _environment(step, "PGDATABASE")
        ):
            continue
        if call.has("-l", "--list", "--help", "--version", "-V", "-a", "--all") or any(
            "$" in w.text or "://" in w.text for w in call.args
        ):
            continue
        user = user_of(call)
        if user and (user in known or "$" in user):
            continue
        if user and user not in ("postgres",):
            yield Fault(
                step.place,
                f"connects to a database called {user}; the manual's is {usual}",
                Fix(f"-d {usual}"),
                subject=f"user-{user}",
            )
        elif _speaks_of_tables(context, step):
            yield Fault(
                step.place,
                f"looks in another database than {usual}, where the tables are",
                Fix(f"-d {usual}"),
                subject="tables",
            )


def _speaks_of_tables(context: Context, step: Step) -> bool:
    """Whether a command lists or reads tables of the application."""
    said = " ".join(piece.text for piece in step.command.embedded) or step.command.text
    if re.search(r"\\d[tdi+]*\b", said) and not re.search(r"\\d[un]\b|\\du|\\dn|\\l\b", said):
        return True
    for statement in context.statements:
        if (
            statement.step is step
            and statement.tree is not None
            and not re.search(r"\bDATABASE\b|\bROLE\b|\bUSER\b", statement.upper.split(" FROM ")[0])
        ):
            tables = {t.name.lower() for t in statement.tree.find_all(exp.Table) if t.name}
            created = {c.alias.lower() for c in statement.tree.find_all(exp.CTE)}
            if any(not postgres.relation_known(t) and not t.startswith("pg_") for t in tables - created):
                return True
    return False


@rule(
    "OB332",
    "restore-of-plain-dump",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="pg_restore of a plain SQL dump, or psql of an archive",
    reason=(
        "pg_restore reads archives (-Fc, -Fd, -Ft) only: “input file appears to be a text "
        "format dump. Please use psql.” psql in turn takes an archive for broken SQL."
    ),
    source="https://www.postgresql.org/docs/current/app-pgrestore.html",
    bad=sh("pg_restore -U app -d shop backup.sql"),
    good=sh("pg_restore -U app -d shop backup.dump\npsql -U app -d shop -v ON_ERROR_STOP=1 -f backup.sql"),
)
def restore_of_plain(context: Context) -> Iterator[Fault]:
    """The name's ending, and the format that the manual's own pg_dump writes under such a name."""
    formats = _written_formats(context)
    for step in _clients(context):
        call = step.call
        assert call is not None
        if step.program == "pg_restore":
            names = list(call.words) + [
                r.target.text for r in (*step.command.redirects, *step.outermost.command.redirects) if r.operator == "<"
            ]
            for name in names:
                base = name.strip("\"'").rsplit("/", 1)[-1]
                if re.search(r"\.(?:dump|custom|pgdump|bak)\.(?:gz|xz|bz2|zst)$", base):
                    yield Fault(
                        step.place,
                        f"pg_restore cannot read a compressed file ({base}): an archive of -Fc is compressed already",
                        Fix("do not gzip it, or gunzip -c … | pg_restore"),
                    )
                elif re.search(r"\.sql(?:\.gz|\.bz2|\.xz)?$", base) and not any(
                    fmt == "archive" and _alike(base, known) for known, fmt in formats
                ):
                    yield Fault(
                        step.place, f"pg_restore cannot read plain SQL ({base})", Fix("psql -v ON_ERROR_STOP=1 -f FILE")
                    )
        elif step.program == "psql":
            names = list(call.values("-f", "--file")) + [
                r.target.text for r in (*step.command.redirects, *step.outermost.command.redirects) if r.operator == "<"
            ]
            for name in names:
                base = name.strip("\"'").rsplit("/", 1)[-1]
                if re.search(r"\.(?:dump|pgdump|custom|bak)$", base) and not any(
                    fmt == "plain" and _alike(base, known) for known, fmt in formats
                ):
                    if re.search(r"\.dump$", base) and not any(fmt == "archive" for _, fmt in formats):
                        continue
                    yield Fault(step.place, f"psql cannot read an archive ({base})", Fix("pg_restore -d DATABASE FILE"))


def _written_formats(context: Context) -> list[tuple[str, str]]:
    found = []
    for step in _clients(context):
        call = step.call
        if step.program == "pg_dump" and call is not None:
            plain = (call.value("-F", "--format") or "p")[:1] == "p"
            targets = [
                r.target.text
                for r in (*step.command.redirects, *step.outermost.command.redirects)
                if r.operator.startswith(">")
            ]
            targets += [call.value("-f", "--file") or ""]
            found += [(t.strip("\"'").rsplit("/", 1)[-1], "plain" if plain else "archive") for t in targets if t]
    return found


def _alike(name: str, known: str) -> bool:
    def ending(text: str) -> str:
        return "." + text.split(".", 1)[1] if "." in text else ""

    return ending(name) == ending(known)


@rule(
    "OB333",
    "migration-in-old-image",
    FaultClass.WILL_NOT_RUN,
    Severity.WARNING,
    summary="Migrations run in the old image, before the new one is deployed",
    reason=(
        "The new revision files are in the new image. In the container that still runs the "
        "old one upgrade head finds nothing to do and says so with success."
    ),
    source="https://alembic.sqlalchemy.org/en/latest/tutorial.html#running-our-first-migration",
    bad=sh(
        "kubectl exec deploy/api -n shop -- alembic upgrade head\n"
        "kubectl set image deployment/api api=shop/api:1.9 -n shop"
    ),
    good=sh(
        "kubectl set image deployment/api api=shop/api:1.9 -n shop\n"
        "kubectl rollout status deployment/api -n shop\n"
        "kubectl exec deploy/api -n shop -- alembic upgrade head"
    ),
)
def migration_in_old_image(context: Context) -> Iterator[Fault]:
    """A migration by exec ahead of set image, or of compose pull and up, in one block."""
    migrate = re.compile(
        r"alembic\b.*\bupgrade\b|manage\.py migrate|rails db:migrate|prisma migrate deploy|flask "
        r"db upgrade|sequelize\S* db:migrate|artisan migrate|migrate:?(?:latest|up)"
    )
    for block in context.scripts:
        for step in block.top:
            if not re.match(r"(?:kubectl|docker|docker-compose)\b", step.command.text) or not migrate.search(
                step.command.text
            ):
                continue
            if step.call is None or step.call.verb != "exec":
                continue
            later = next(
                (
                    s
                    for s in block.after(step)
                    if s.call
                    and (
                        s.call.verb == "set image"
                        or (s.call.tool == "helm" and s.call.verb == "upgrade")
                        or (s.call.tool == "docker compose" and s.call.verb in ("pull", "up"))
                    )
                ),
                None,
            )
            renewed = any(
                s.call and (s.call.verb in ("set image", "pull", "build", "apply") or (s.call.verb == "up"))
                for s in block.before(step)
            )
            if later is not None and not renewed:
                yield Fault(
                    step.place,
                    f"runs in the image that is deployed now; the new one comes only at line {later.command.line}",
                    Fix("deploy first, or run the migration as a Job of the new image"),
                )


@rule(
    "OB334",
    "migration-made-in-container",
    FaultClass.UNSAFE,
    Severity.WARNING,
    summary="A migration is generated inside a running container",
    reason=(
        "The new file lives in the container's own layer: it is in no repository, in no "
        "other environment, and gone at the next restart."
    ),
    source="https://alembic.sqlalchemy.org/en/latest/autogenerate.html",
    bad=sh('kubectl exec deploy/api -n shop -- alembic revision --autogenerate -m "add field"'),
    good=sh('alembic revision --autogenerate -m "add field"\ngit add migrations/versions'),
)
def migration_made_in_container(context: Context) -> Iterator[Fault]:
    """revision, makemigrations and the like behind an exec."""
    make = re.compile(
        r"alembic\b.*\brevision\b|makemigrations|flask db (?:migrate|revision)|prisma migrate dev|"
        r"migration:(?:generate|create)"
    )
    for step in context.steps:
        if (
            step.container is not None
            and make.search(step.command.text)
            and not re.search(r"local|develop", " ".join(step.block.section_path), re.I)
        ):
            volume = (
                step.container.call
                and step.container.call.tool == "docker compose"
                and not re.search(r"prod", step.container.command.text + " ".join(step.block.section_path), re.I)
            )
            yield Fault(
                step.place,
                "the new revision exists in this container only and is lost at its restart",
                Fix("generate it in the repository"),
                severity=Severity.HINT if volume else None,
            )
