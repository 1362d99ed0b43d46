"""Shell blocks that bash or shellcheck refuse, and blocks of another language."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from opsbook.manual.lint.bash import parses
from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import sh, sql
from opsbook.manual.lint.facts.tags import TAGGED
from opsbook.manual.lint.finding import Edit, FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, Place, rule
from opsbook.manual.model import Fence

_LIST_ITEM = re.compile(r"\s*(?:\d{1,2}\.\s+[A-Za-z]|[□☐✓✔•]\s*\w|- \[[ x]\] )")
_REALLY = {
    "bash": "shell",
    "sql": "SQL",
    "conf": "a configuration file",
    "ini": "a configuration file",
    "yaml": "YAML",
    "json": "JSON",
    "python": "Python",
    "promql": "PromQL",
    "env": "variables",
    "crontab": "a crontab",
    "nginx": "nginx configuration",
    "dockerfile": "a Dockerfile",
    "hcl": "Terraform",
}


@rule(
    "OB101",
    "shell-syntax",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="A shell block that bash refuses to parse",
    reason=(
        "bash reads the whole block before it runs the broken command; a block that does not "
        "parse does nothing, or stops half way."
    ),
    source="bash -n, confirmed against shellcheck; https://www.shellcheck.net/wiki/SC1072",
    bad=sh("npm audit (in frontend/)"),
    good=sh("(cd frontend && npm audit)"),
    needs="shellcheck",
)
def shell_syntax(context: Context) -> Iterator[Fault]:
    """Blocks where shellcheck meets a parse error and bash -n agrees; blanks to fill in are left alone."""
    seen: set[int] = set()
    for complaint in context.complaints:
        block = complaint.block
        if complaint.level != "error" or not 1000 <= complaint.code < 2000 or block.number in seen:
            continue
        if complaint.code in (1090, 1091, 1128, 1017, 1082, 1083) or re.search(
            r"(?m)^\s*\.\.\.|<[\w .-]+>|…|\{\{", block.text
        ):
            continue
        seen.add(block.number)
        refused = parses(block.text)
        if refused:
            row, said = refused
            line = block.line + row - 1
            yield Fault(context.place(line), f"bash refuses it: {said}")


@rule(
    "OB102",
    "wrong-language",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="A block tagged as one language that holds another",
    reason=(
        "Who pastes the block into what its tag names gets an error for every line; some "
        "lines even run as something else (timeout 300 is a program)."
    ),
    source="https://github.github.com/gfm/#info-string",
    bad=sh("CREATE USER reader;\nGRANT SELECT ON ALL TABLES IN SCHEMA public TO reader;"),
    good=sql("CREATE USER reader;\nGRANT SELECT ON ALL TABLES IN SCHEMA public TO reader;"),
)
def wrong_language(context: Context) -> Iterator[Fault]:
    """Tag and content disagree, and the content is one that would fail as what the tag says."""
    for fence in context.document.fences():
        told, really = TAGGED.get(fence.tag.lower()), _REALLY.get(fence.language)
        if not told or not really or told == really or fence.language in ("env", "diagram", "text"):
            continue
        if told == "SQL" and fence.language == "sql":
            continue
        if told == "shell" and fence.language not in (
            "sql",
            "conf",
            "nginx",
            "python",
            "yaml",
            "json",
            "promql",
            "ini",
        ):
            continue
        if told != "shell" and fence.language != "bash":
            continue
        if told == "JSON" or (told == "shell" and fence.language == "json" and not _is_json(fence.text)):
            continue
        first = next(
            (n for n, text in enumerate(fence.text.split("\n")) if text.strip() and not re.match(r"\s*(?:#|--)", text)),
            0,
        )
        lead = fence.text.split("\n")[first]
        if told == "shell" and fence.language == "sql" and re.match(r"\s*(?:show|set|use)\b[^;]*$", lead, re.I):
            continue
        tag = {"conf": "conf", "ini": "ini"}.get(fence.language, fence.language)
        source = context.document.lines[fence.opening_line - 1]
        at = source.find(fence.tag)
        edits = (Edit(fence.opening_line, at + 1, at + 1 + len(fence.tag), tag),) if at >= 0 else ()
        yield Fault(
            context.place(fence.line), f"this is {really}, not {told}", Fix(f"tag the block {tag}", edits, safe=True)
        )


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), (dict, list))
    except ValueError:
        return False


@rule(
    "OB109",
    "prose-in-shell",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="Numbered prose inside a shell block",
    reason=(
        "The shell takes the number for a command: “1.: command not found”. A step that is "
        "prose belongs outside the block, so that what is inside can be run."
    ),
    source="https://spec.commonmark.org/0.31.2/#list-items",
    bad=sh(
        "1. Check pod status: kubectl get pods -n shop\n"
        "2. Restart if necessary: kubectl rollout restart deployment/api -n shop"
    ),
    good=sh(
        "# 1. Check pod status\n"
        "kubectl get pods -n shop\n"
        "# 2. Restart if necessary\n"
        "kubectl rollout restart deployment/api -n shop"
    ),
)
def prose_in_shell(context: Context) -> Iterator[Fault]:
    """Lines of a shell-tagged block that are list items or ticked boxes; here-documents and strings are left alone."""
    for fence in context.document.fences():
        if TAGGED.get(fence.tag.lower()) == "shell":
            yield from _windows_path(context, fence)
            yield from _output_and_prompts(context, fence)
            yield from _prose(context, fence)
    for fence in context.document.fences():
        if fence.tag.lower() in ("sql", "postgresql", "postgres", "mysql"):
            yield from _shell_in_sql(context, fence)


def _windows_path(context: Context, fence: Fence) -> Iterator[Fault]:
    for number, line in enumerate(fence.text.split("\n")):
        if re.match(r"\s*\.\\[\w-]+\\?[\w\\.-]+", line):
            yield Fault(
                context.place(fence.line + number),
                "a Windows path: bash drops the backslashes and finds no such command",
                Fix("tag the block powershell, or give the shell script"),
                subject=f"windows-{fence.line}",
            )
            return


def _output_and_prompts(context: Context, fence: Fence) -> Iterator[Fault]:
    for step in (s for b in context.scripts if b.fence is fence for s in b.top):
        command = step.command
        if command.argv:
            bare = command.argv[0]
            if bare.quote and len(step.words) > 1 and re.fullmatch(r"(?!https?:|file:)[\w-]+:", bare.text):
                yield Fault(
                    step.place,
                    f"output of a command, not a command: the shell looks for a program {bare.text}",
                    Fix("put the output into a block of its own"),
                    subject=f"output-{fence.line}",
                )
        elif command.redirects and not command.assignments:
            target = command.redirects[0].target.text
            if re.fullmatch(r"[A-Z]{3,}", target):
                yield Fault(
                    step.place,
                    f"the shell writes a file {target}: > is a prompt here",
                    Fix("give the command to the client, without its prompt"),
                    subject=f"prompt-{fence.line}",
                )


def _prose(context: Context, fence: Fence) -> Iterator[Fault]:
    lines = fence.text.split("\n")
    hits = [number for number, line in enumerate(lines) if _LIST_ITEM.match(line)]
    if hits and not re.search(r"<<-?\s*['\"]?\w+", fence.text) and fence.text.count('"') % 2 == 0:
        told = f"{len(hits)} line{'s are' if len(hits) > 1 else ' is'} prose"
        yield Fault(
            context.place(fence.line + hits[0]),
            f"{told}: the shell takes “{lines[hits[0]].split()[0]}” for a command",
            Fix("put the prose into comments or outside the block"),
        )


def _shell_in_sql(context: Context, fence: Fence) -> Iterator[Fault]:
    for number, line in enumerate(fence.text.split("\n")):
        if re.match(r"\s*(?:sudo |psql |mysql |docker |kubectl |pg_dump |pg_restore )", line):
            yield Fault(
                context.place(fence.line + number),
                f"{line.split()[0]} is a shell command in an SQL block",
                Fix("a block of its own, tagged bash"),
            )
            return


@rule(
    "OB108",
    "shellcheck",
    FaultClass.WILL_NOT_RUN,
    Severity.WARNING,
    summary="What shellcheck is sure of",
    reason=(
        "A table of shellcheck's findings that mean a command does not do what it says; "
        "matters of style and quoting are left out."
    ),
    source="https://www.shellcheck.net/wiki/",
    bad=sh("sudo echo 'vm.overcommit_memory=1' >> /etc/sysctl.conf"),
    good=sh("echo 'vm.overcommit_memory=1' | sudo tee -a /etc/sysctl.conf"),
    needs="shellcheck",
)
def shellcheck(context: Context) -> Iterator[Fault]:
    """The codes of the table below."""
    for complaint in context.complaints:
        if complaint.code in _SURE and not (
            complaint.code == 2024 and not _OWNED.search(context.document.lines[complaint.line - 1])
        ):
            yield Fault(Place(complaint.line, complaint.column), f"{_SURE[complaint.code]} (SC{complaint.code})")


_OWNED = re.compile(
    r"sudo (?!-u)[^|;&]*>\s*/(?:etc|var|root|usr|opt|proc|sys|lib)/"
)  # sudo -u with one's own file is what people want


_SURE = {
    2024: "sudo does not cover the redirection: the shell opens the file as you",
    2069: "stderr goes to the terminal: 2>&1 must stand after the redirection",
    2088: "a tilde in quotes stays a tilde",
    2094: "reads and writes the same file in one pipeline",
    2095: "ssh inside the loop eats the rest of the loop's input",
    2117: "su starts a shell that waits: the lines below run as you when it ends",
    2157: "this test is always true or always false",
    2216: "the pipe feeds a program that does not read its input",
    2217: "the redirection feeds a program that does not read its input",
    2224: "mv has no target",
    2225: "cp has no target",
    2259: "the redirection replaces what the pipe brings",
    2261: "several redirections compete for the same output",
}
