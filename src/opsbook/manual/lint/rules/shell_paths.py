"""Paths after a change of folder."""

from __future__ import annotations

import re
from collections.abc import Iterator

from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import sh
from opsbook.manual.lint.facts.steps import Step
from opsbook.manual.lint.finding import FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, rule


@rule(
    "OB116",
    "path-after-cd",
    FaultClass.WILL_NOT_RUN,
    Severity.WARNING,
    summary="Relative paths of the repository after cd into one of its folders",
    reason=("The block changes into a folder and then names paths as they are from above it; they do not exist there."),
    source="the manual itself",
    bad=sh("cd terraform\nterraform apply plan.out\nkubectl apply -f kubernetes/\n./scripts/restore.sh"),
    good=sh("(cd terraform && terraform apply plan.out)\nkubectl apply -f kubernetes/\n./scripts/restore.sh"),
)
def path_after_cd(context: Context) -> Iterator[Fault]:
    """cd NAME, and later in the block ./scripts/… or another top folder that the manual uses elsewhere without cd."""
    roots = _folders_used_from_root(context)
    for block in context.scripts:
        inside = ""
        for step in block.top:
            words = step.words
            if step.program == "cd" and len(words) > 1 and not step.command.within:
                target = words[1].rstrip("/")
                inside = (
                    target
                    if re.fullmatch(r"(?:\./)?[\w.-]+(?:/[\w.-]+)*", target) and target not in (".", "..")
                    else ""
                )
                continue
            if not inside or step.command.within:
                continue
            for word in step.command.argv:
                found = re.match(r"(?:\./)?([\w-]+)/[\w./-]*$", word.text)
                if (
                    found
                    and "/" in inside
                    and found[1] == inside.split("/")[0]
                    and step.program
                    in ("git", "kubectl", "helm", "cat", "docker", "kustomize", "terraform", "vim", "nano")
                ):
                    yield Fault(
                        step.at(word), f"after cd {inside}, {word.text} is looked for inside it", Fix("cd back first")
                    )
                    continue
                if (
                    found
                    and found[1] != inside
                    and word.text.rstrip("/").count("/") >= 0
                    and _is_folder(step, word.text)
                    and (
                        found[1] in roots
                        or found[1] in ("scripts", "kubernetes", "k8s", "terraform", "deploy", "deployment")
                    )
                ):
                    yield Fault(
                        step.at(word),
                        f"after cd {inside}, {word.text} is looked for inside {inside}/",
                        Fix(f"cd back, or (cd {inside} && …)"),
                    )


def _folders_used_from_root(context: Context) -> set[str]:
    found: set[str] = set()
    for block in context.scripts:
        if any(step.program in ("cd", "pushd") for step in block.top):
            continue
        for step in block.top:
            found.update(re.findall(r"(?:^|\s)\./([\w-]+)/", step.command.text))
    return found


def _is_folder(step: Step, text: str) -> bool:
    """Whether a word is a path for this program: a script that is run, a file for -f."""
    return text.startswith("./") or (
        step.program in ("kubectl", "helm", "docker", "ansible-playbook", "bash", "sh")
        and "/" in text
        and not re.match(
            r"(?:deployment|deploy|pod|svc|service|statefulset|sts|job|cronjob|configmap|secret|node)s?/", text
        )
    )
