"""Deployments, rotations and infrastructure: steps that do less, or more, than their heading says."""

from __future__ import annotations

import re
from collections.abc import Iterator

from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import sh
from opsbook.manual.lint.facts.steps import Step
from opsbook.manual.lint.finding import FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, rule


@rule(
    "OB535",
    "rotation-forgets-consumers",
    FaultClass.UNSAFE,
    Severity.WARNING,
    summary="A password is changed and only some of its users are restarted",
    reason=(
        "Workloads read a Secret when they start. Those that are not restarted keep the old "
        "password and fail at their next connection, hours later."
    ),
    source="https://kubernetes.io/docs/concepts/configuration/secret/#using-secrets-as-environment-variables",
    bad=sh(
        "kubectl get deployment/celery-worker -n shop\n"
        "psql -c \"ALTER USER app PASSWORD '$NEW'\"\n"
        "kubectl create secret generic db --from-file=password -n shop --dry-run=client "
        "-o yaml | kubectl apply -f -\n"
        "kubectl rollout restart deployment/backend -n shop"
    ),
    good=sh(
        "kubectl get deployment/celery-worker -n shop\n"
        "psql -c \"ALTER USER app PASSWORD '$NEW'\"\n"
        "kubectl create secret generic db --from-file=password -n shop --dry-run=client "
        "-o yaml | kubectl apply -f -\n"
        "kubectl rollout restart deployment/backend deployment/celery-worker -n shop"
    ),
)
def rotation_forgets(context: Context) -> Iterator[Fault]:
    """Blocks that change a database password and restart, leaving out a writer."""
    from opsbook.manual.lint.facts.names import is_variant, targets

    known = context.names.writers()
    for block in context.scripts:
        if not re.search(r"ALTER (?:USER|ROLE).*PASSWORD", block.text, re.I | re.S):
            continue
        restarts = [s for s in block.steps if s.call and s.call.verb in ("rollout restart", "restart")]
        restarted = {t.name for s in restarts if s.call for t in targets(s.call)}
        left = sorted(name for name in known - restarted if not is_variant(name, restarted))
        if restarts and restarted and left:
            yield Fault(
                restarts[-1].place,
                (
                    f"restarts {', '.join(sorted(restarted))}, but {', '.join(left)} "
                    f"keep{'s' if len(left) == 1 else ''} the old password"
                ),
                Fix("restart every user of the password"),
            )


@rule(
    "OB536",
    "downtime-called-rolling",
    FaultClass.UNSAFE,
    Severity.WARNING,
    summary="A “rolling” or “zero-downtime” update that stops the only container",
    reason=(
        "docker compose up recreates the container: the old one stops before the new one "
        "starts. With one container that is downtime, and nothing goes back when the new one "
        "fails its health check."
    ),
    source="https://docs.docker.com/reference/cli/docker/compose/up/",
    bad=sh("# Rolling update\ndocker compose -f docker-compose.prod.yml up -d --no-deps api"),
    good=sh("# Update, with a short interruption\ndocker compose -f docker-compose.prod.yml up -d --no-deps api"),
)
def downtime_called_rolling(context: Context) -> Iterator[Fault]:
    """compose up of a service under a comment or heading that says rolling or zero downtime."""
    for step in context.calls("docker compose", "up", "restart"):
        call = step.call
        assert call is not None
        said = f"{step.command.comment} {' '.join(step.block.section_path[-1:])}"
        if (
            (
                re.search(
                    (
                        r"rolling (?:update|deploy|restart|upgrade|release)|zero[- ]?downtime|no downtime|without "
                        r"downtime|无停机|무중단"
                    ),
                    said,
                    re.I,
                )
                and not call.has("--scale")
                and (call.words or call.verb == "up")
            )
            and not step.command.within
            and not re.search(r"docker rollout|--scale|blue|green|canary|\bfor \w+ in\b|-[12]\b", step.block.text)
        ):
            yield Fault(
                step.place,
                "recreates the only container: that is downtime, not a rolling update",
                subject=f"rolling-{step.block.number}",
            )


_BY_HAND = r"\b(?:restore|set|edit|change|pin|update|revert)\b.*(?:\.env|tag|image|compose|config)"


@rule(
    "OB550",
    "rollback-goes-nowhere",
    FaultClass.WILL_NOT_RUN,
    Severity.WARNING,
    summary="A “rollback” that starts the same version again",
    reason=(
        "compose up takes the image or the build that the compose file names now. Unless a "
        "tag, the file or the checkout changes, what comes up is what was running."
    ),
    source="https://docs.docker.com/reference/cli/docker/compose/up/",
    bad=("## Rollback\n\n") + sh("docker compose down\ndocker compose up -d --build"),
    good=("## Rollback\n\n") + sh("git checkout v1.4.2\ndocker compose up -d --build"),
)
def rollback_goes_nowhere(context: Context) -> Iterator[Fault]:
    """compose up under a rollback heading or comment in a block that changes no version."""
    for block in context.scripts:
        head = " ".join(block.section_path[-1:])
        ups = [s for s in block.top if s.call and s.call.tool == "docker compose" and s.call.verb == "up"]
        if not ups or not re.search(r"roll ?back|revert", head + " " + " ".join(s.command.comment for s in ups), re.I):
            continue
        if re.search(
            (
                r"checkout|git (?:reset|revert|switch)|export \w*(?:TAG|VERSION)|\b[A-Z_]*(?:TAG|VERSION|"
                r"IMAGE)=|sed -i|docker tag|-f \S*(?:prev|rollback|old)|\bcp \S+|\bmv |restore|previous|"
                r"backup|\.sh\b"
            ),
            re.sub(rf"(?m)#(?!.*{_BY_HAND}).*$", "", block.text),
        ):
            continue
        if any(s.program in ("pg_restore", "alembic", "psql", "vi", "vim", "nano") for s in block.steps):
            continue
        yield Fault(
            ups[0].place,
            "starts the version that the compose file names now: nothing goes back",
            Fix("check out or set the version first"),
        )


@rule(
    "OB537",
    "state-shared-with-production",
    FaultClass.UNSAFE,
    Severity.WARNING,
    summary="terraform apply for another environment on the same state",
    reason=(
        "A variable changes the values, not the state. In the same folder and workspace "
        "Terraform turns production into the other environment instead of building a second "
        "one."
    ),
    source="https://developer.hashicorp.com/terraform/language/state/workspaces",
    bad=sh('terraform apply -var="environment=dr-test"'),
    good=sh('terraform workspace select dr-test\nterraform apply -var="environment=dr-test"'),
)
def state_shared(context: Context) -> Iterator[Fault]:
    """apply with -var environment=… and no workspace, backend configuration, other folder or state."""
    for step in context.calls("terraform", "apply"):
        value = _other_environment(step)
        if value:
            yield Fault(
                step.place,
                f"uses the state of this folder: production is changed into {value}",
                Fix(f"terraform workspace select {value}, or a folder and backend of its own"),
            )


def _other_environment(step: Step) -> str:
    call = step.call
    assert call is not None
    around = step.block.text
    if re.search(
        (
            r"workspace (?:select|new)|-backend-config|-chdir|TF_WORKSPACE|-state[= ]|terraform "
            r"init.*backend|cd \S*(?:env|/\w)"
        ),
        around,
    ) or call.has("-chdir"):
        return ""
    for flag in call.flags:
        found = re.match(r"(?:env|environment|stage|(?:aws_)?region)=([\w-]+)$", (flag.value or "").strip("\"'"))
        if flag.name == "-var" and found and not re.match(r"prod", found[1]):
            return found[1]
    return ""


@rule(
    "OB538",
    "destroy-of-shared-state",
    FaultClass.DESTROYS,
    Severity.ERROR,
    summary="terraform destroy of whatever the state holds",
    reason=(
        "destroy takes down everything in the state that is selected. A variable does not "
        "choose a state: without a workspace or backend of its own the drill tears down "
        "production."
    ),
    source="https://developer.hashicorp.com/terraform/cli/commands/destroy",
    bad=sh('terraform destroy -var="environment=dr-test"'),
    good=sh(
        "terraform workspace select dr-test\nterraform plan -destroy -out=destroy.plan\nterraform apply destroy.plan"
    ),
)
def destroy_of_shared(context: Context) -> Iterator[Fault]:
    """destroy without workspace, target or other folder; -auto-approve in production sections."""
    for step in context.calls("terraform", "destroy"):
        call = step.call
        assert call is not None
        if call.has("-target") or re.search(
            r"workspace select|TF_WORKSPACE|-backend-config|cd \S+|-chdir", step.block.text
        ):
            continue
        yield Fault(
            step.place,
            "tears down whatever this folder's state holds: no workspace or backend is chosen",
            Fix("terraform workspace select NAME; look at plan -destroy first"),
        )
