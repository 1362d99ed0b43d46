"""Files that the manual names, looked up in the repository that it lives in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote

from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import sh
from opsbook.manual.lint.facts.steps import Step
from opsbook.manual.lint.finding import FaultClass, Severity
from opsbook.manual.lint.rule import Fault, Place, rule
from opsbook.manual.lint.suppress import suppressions
from opsbook.manual.shell import Word


@rule(
    "OB509",
    "link-missing",
    FaultClass.DANGLING,
    Severity.WARNING,
    summary="A link to a file that the repository does not have",
    reason=(
        "The reader meets “404” in the middle of the work. Links are looked up from the "
        "manual's own folder, as code hosts do; without a repository around the manual "
        "nothing is said."
    ),
    source="https://docs.github.com/en/get-started/writing-on-github/getting-started-with-writing-and-formatting-on-github/basic-writing-and-formatting-syntax#relative-links",
    bad="See [the architecture](./docs/architecture.md).",
    good="See [the architecture](./README.md).",
    needs="repository",
)
def link_missing(context: Context) -> Iterator[Fault]:
    """Relative targets without a scheme."""
    if context.repository is None:
        return
    for link in context.document.links():
        target = unquote(link.target.split("#")[0].split("?")[0])
        if not target or re.match(r"[\w+.-]+:|//|/|\{|<|\$", target) or "@" in target:
            continue
        if not context.repository.has(target, from_folder=True):
            yield Fault(Place(link.line, link.column), f"the repository has no {target}")


@rule(
    "OB510",
    "script-missing",
    FaultClass.DANGLING,
    Severity.ERROR,
    summary="A script or manifest that a command names and the repository does not have",
    reason=("The step ends with “No such file or directory”. Without a repository around the manual nothing is said."),
    source="the repository around the manual",
    bad=sh("./scripts/restore.sh\nkubectl apply -f k8s/dr/ -n shop"),
    good=sh("./scripts/backup.sh\nkubectl apply -f k8s/ -n shop"),
    needs="repository",
)
def script_missing(context: Context) -> Iterator[Fault]:
    """Relative paths that are run or given to -f, from the top of the repository, in blocks that change no folder."""
    if context.repository is None:
        return
    for step in context.steps:
        if step.remote or any(s.program in ("cd", "pushd") for s in step.block.before(step)):
            continue
        for word in _named(step):
            name = word.text.strip("\"'")
            local = re.fullmatch(r"(?:\./)?[\w-]+(?:/[\w.-]+)+/?", name)
            made = sum(name in line for line in context.document.lines) > 1 and re.search(
                rf">\s*{re.escape(name)}|{re.escape(name)}\s*<<", "\n".join(context.document.lines)
            )
            if (
                local
                and not made
                and not context.repository.has(name)
                and not context.repository.has(name, from_folder=True)
            ):
                yield Fault(step.at(word), f"the repository has no {name}", subject=name)


def _named(step: Step) -> Iterator[Word]:
    """The words of a command that name files of the repository."""
    argv = step.command.argv
    if argv and argv[0].text.startswith("./"):
        yield argv[0]
    if (
        step.program in ("bash", "sh", "python", "python3", "node", "pytest")
        and len(argv) > 1
        and not argv[1].text.startswith("-")
    ):
        yield argv[1]
    if step.call is not None and step.call.tool in ("kubectl", "docker compose", "helm"):
        for flag in step.call.flags:
            if (
                flag.name in ("-f", "--filename", "--file", "--values")
                and flag.value
                and "://" not in flag.value
                and flag.value != "-"
            ):
                yield next((word for word in argv if word.text.strip("\"'") == flag.value), flag.word)


@rule(
    "OB590",
    "ignored-without-reason",
    FaultClass.UNSAFE,
    Severity.WARNING,
    summary="An inline ignore that gives no reason",
    reason=(
        "Who reads the manual next cannot tell whether the finding was wrong or a nuisance. "
        "Without a reason the comment ignores nothing."
    ),
    source="opsbook's own convention",
    bad=("<!-- opsbook: ignore OB603 -->\n\n") + sh("redis-cli KEYS 'a:*'"),
    good=("<!-- opsbook: ignore OB603 the staging cache holds a hundred keys -->\n\n") + sh("redis-cli KEYS 'a:*'"),
)
def ignored_without_reason(context: Context) -> Iterator[Fault]:
    """Every suppression whose reason is empty."""
    for entry in suppressions(context.document).entries:
        if not entry.reason:
            yield Fault(context.place(entry.line), f"ignores {', '.join(sorted(entry.ids))} and gives no reason")
