"""Changes that reach only a part: rollbacks without their migration, rotations that forget a process."""

from __future__ import annotations

import re
from collections.abc import Iterator

from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import sh
from opsbook.manual.lint.facts.inventory import inventory
from opsbook.manual.lint.facts.names import is_variant, targets, writes
from opsbook.manual.lint.facts.restores import restores, stopped
from opsbook.manual.lint.facts.steps import ShellBlock, Step
from opsbook.manual.lint.finding import FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, rule

_FORWARD = re.compile(
    r"\balembic\b.*\bupgrade\b|manage\.py migrate\b|\bmigrate\b.*\bup\b|migrate-mongo up|flyway\b.*\bmigrate\b|"
    r"prisma migrate deploy|knex migrate:latest|sequelize\S* db:migrate\b|rails db:migrate|typeorm migration:run|"
    r"goose\b.*\bup\b|"
    r"npm run (?:db:)?migrat\w*|make migrate\b"
)
_BACK = re.compile(r"downgrade|migrat|\bschema\b|rollback.*\bdown\b|backward|database (?:change|version)|restore", re.I)
_GOES_BACK = re.compile(
    r"kubectl\b.*\brollout undo\b|\bhelm rollback\b|git checkout (?:HEAD|v?\d|<|\$|[\w./-]*prev)|git reset --hard|"
    r"git revert|"
    r"docker (?:compose )?.*(?:up|run|pull)\b|ecs update-service|kubectl\b.*\bset image\b"
)
_MIGRATION = "## Deploy\n\n" + sh("alembic upgrade head\nkubectl apply -f k8s/api.yaml") + "\n\n## Rollback\n\n"


@rule(
    "OB661",
    "rollback-leaves-the-schema",
    FaultClass.UNSAFE,
    Severity.WARNING,
    summary="A rollback of the code that says nothing of the migration that was deployed with it",
    reason="The old code meets the new schema: columns that it reads may be gone, and what to do then is not said.",
    source="https://martinfowler.com/articles/evodb.html",
    bad=_MIGRATION + sh("kubectl rollout undo deployment/api"),
    good=_MIGRATION + "Migrations only add, so the schema stays.\n\n" + sh("kubectl rollout undo deployment/api"),
)
def rollback_leaves_schema(context: Context) -> Iterator[Fault]:
    """A section headed rollback in a manual whose deployment migrates, with no word of schema or migration in it."""
    if not any(_FORWARD.search(step.command.text) for step in context.steps):
        return
    for section in context.document.all_sections():
        if not re.search(r"roll(?:ing)?[ -]?back|revert", section.title, re.I):
            continue
        last = max((block.end_line for part in section.walk() for block in part.blocks), default=section.line)
        text = "\n".join(context.document.lines[section.line - 1 : last])
        if _BACK.search(text) or re.search(
            r"backward|additive|forward[- ]compatible|downgrade|migrat\w+ only add|db:rollback", context.text
        ):
            continue
        for step in context.steps:
            if section.line < step.command.line <= last and _GOES_BACK.search(step.command.text):
                yield Fault(
                    step.place, "takes the code back; the migration of the deployment stays", subject="rollback"
                )
                break


_ROTATES = re.compile(
    r"ALTER (?:USER|ROLE)\b.*PASSWORD|create secret generic|SET PASSWORD|--master-user-password|"
    r"requirepass|apply.*secret",
    re.I | re.S,
)


@rule(
    "OB662",
    "rotation-restarts-one",
    FaultClass.UNSAFE,
    Severity.WARNING,
    summary="A secret is changed and one of several workloads that use it is restarted",
    reason="The others keep the old value until something else restarts them, and fail then or at once.",
    source="https://kubernetes.io/docs/concepts/configuration/secret/#using-secrets-as-environment-variables",
    bad="| Component | Port |\n|---|---|\n| shop-api | 8000 |\n| shop-worker | - |\n\n## Rotate the password\n\n"
    + sh("kubectl apply -f secret.yaml -n shop  # new secret\nkubectl rollout restart deployment/shop-api -n shop"),
    good="| Component | Port |\n|---|---|\n| shop-api | 8000 |\n| shop-worker | - |\n\n## Rotate the password\n\n"
    + sh(
        "kubectl apply -f secret.yaml -n shop\n"
        "kubectl rollout restart deployment/shop-api deployment/shop-worker -n shop"
    ),
)
def rotation_restarts_one(context: Context) -> Iterator[Fault]:
    """Rotations of kubectl, where commands and inventory know another workload that writes to the database."""
    known = context.names.writers() | {e.name for e in inventory(context.document) if writes(e.name)}
    for block in context.scripts:
        said = " ".join(block.section_path[-2:])
        if not re.search(r"rotat|password|credential|secret", f"{said} {block.text[:80]}", re.I) or not _ROTATES.search(
            block.text
        ):
            continue
        if re.search(r"ALTER (?:USER|ROLE).*PASSWORD", block.text, re.I | re.S) and context.names.writers():
            continue  # rotation-forgets-consumers speaks of it
        restarts = [s for s in block.steps if s.call and s.call.tool == "kubectl" and s.call.verb == "rollout restart"]
        done = {t.name for s in restarts if s.call for t in targets(s.call)}
        left = sorted(name for name in known - done if not is_variant(name, done))
        if restarts and done and "" not in done and done & known and left:
            yield Fault(restarts[-1].place, f"{', '.join(left)} go on with the old secret", Fix("restart them too"))


@rule(
    "OB663",
    "worker-keeps-the-old-code",
    FaultClass.UNSAFE,
    Severity.WARNING,
    summary="New code is installed and only the web server restarted",
    reason="Workers and schedulers run the old code against the new schema until somebody restarts them.",
    source="https://docs.celeryq.dev/en/stable/userguide/workers.html#restarting-the-worker",
    bad=sh("systemctl restart shop-celery")
    + "\n\n## Deploy\n\n"
    + sh("git pull\npython manage.py migrate\nsystemctl restart shop-gunicorn"),
    good=sh("systemctl restart shop-celery")
    + "\n\n## Deploy\n\n"
    + sh("git pull\npython manage.py migrate\nsystemctl restart shop-gunicorn shop-celery"),
)
def worker_keeps_old_code(context: Context) -> Iterator[Fault]:
    """git pull or a migration with systemctl restart of one unit, in a manual with a worker's unit elsewhere."""
    workers = {word for step in _restarts(context.steps) for word in _units(step) if _is_worker(word)}
    for block in context.scripts:
        news = [
            s
            for s in block.steps
            if re.search(r"\bgit pull\b|pip install -r|manage\.py migrate|alembic upgrade", s.command.text)
        ]
        own = list(_restarts(block.steps))
        units = {word for step in own for word in _units(step)}
        whole = f"{' '.join(block.section_path[-2:])} {block.text}"
        if (
            news
            and own
            and workers
            and not units & workers
            and not re.search(r"celery|worker|reboot|\btarget\b", whole, re.I)
        ):
            yield Fault(own[-1].place, f"{', '.join(sorted(workers))} run the old code on", Fix("restart them too"))


def _restarts(steps: tuple[Step, ...]) -> Iterator[Step]:
    for step in steps:
        if step.call is not None and step.call.tool == "systemctl" and step.call.verb in ("restart", "reload"):
            yield step


def _units(step: Step) -> list[str]:
    return [word.removesuffix(".service") for word in step.call.words] if step.call else []


def _is_worker(unit: str) -> bool:
    return bool(re.search(r"celery(?!.?beat)|worker|sidekiq|rq\b", unit)) and "*" not in unit


@rule(
    "OB664",
    "worker-writes-through-restore",
    FaultClass.UNSAFE,
    Severity.ERROR,
    summary="The web server is stopped for a restore, the workers are not",
    reason="The worker writes into tables that are being replaced: the restored data is mixed with the old.",
    source="https://www.postgresql.org/docs/current/backup-dump.html#BACKUP-DUMP-RESTORE",
    bad=sh("systemctl restart shop-celery")
    + "\n\n"
    + sh("systemctl stop shop-web\nmysql shop < backup.sql\nsystemctl start shop-web"),
    good=sh("systemctl restart shop-celery")
    + "\n\n"
    + sh("systemctl stop shop-web shop-celery\nmysql shop < backup.sql\nsystemctl start shop-web shop-celery"),
)
def worker_writes_through_restore(context: Context) -> Iterator[Fault]:
    """systemctl and compose stop, with a worker's unit elsewhere; kubectl where only the table has it."""
    units = {word for step in _restarts(context.steps) for word in _units(step) if _is_worker(word)}
    table = {entry.name for entry in inventory(context.document) if _is_worker(entry.name)}
    scaled = context.names.writers()
    for block in context.scripts:
        first = next((s for s in block.steps if stopped([s])), None)
        heavy = next(iter(restores(block.steps)), None)
        halted = stopped(block.steps)
        if first is None or heavy is None or "*" in halted or first.index > heavy.step.index:
            continue
        kubectl = first.call is not None and first.call.tool == "kubectl"
        left = sorted((table - scaled if kubectl else units) - halted)
        if left and not any(_is_worker(name) for name in halted) and not _others(block, left):
            yield Fault(
                first.place,
                f"stops {', '.join(sorted(halted))}, but {', '.join(left)} go on writing",
                Fix("stop them too"),
            )


def _others(block: ShellBlock, left: list[str]) -> bool:
    return any(name in block.text for name in left)


@rule(
    "OB326",
    "secret-is-there-already",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="kubectl create secret in a rotation",
    reason="The secret that is rotated exists: create answers AlreadyExists and the old value stays.",
    source="https://kubernetes.io/docs/reference/kubectl/generated/kubectl_create/",
    bad="## Rotate the database password\n\n" + sh("kubectl create secret generic db --from-file=password -n shop"),
    good="## Rotate the database password\n\n"
    + sh("kubectl create secret generic db --from-file=password -n shop --dry-run=client -o yaml | kubectl apply -f -"),
)
def secret_there_already(context: Context) -> Iterator[Fault]:
    """create secret under a heading or comment of rotation, with no dry run and no delete ahead of it."""
    for step in context.calls("kubectl", "create secret generic", "create secret tls", "create secret docker-registry"):
        call = step.call
        said = f"{' '.join(step.block.section_path[-2:])} {step.comment} {step.outermost.comment}"
        if call is None or call.has("--dry-run") or not re.search(r"\brotat|\brenew|\bupdat\w* .*secret", said, re.I):
            continue
        gone = any(s.call and s.call.tool == "kubectl" and s.call.verb == "delete" for s in step.block.before(step))
        new = re.search(r"-(?:new|v\d+|\$|\d{4})", step.command.text)
        if not gone and not new and not re.search(r"kubectl delete secret", step.command.text):
            yield Fault(
                step.place, "the secret exists: AlreadyExists", Fix("--dry-run=client -o yaml | kubectl apply -f -")
            )
