"""The statements of a code block, one step each: lifted where a lifter knows them, else shell with what it needs."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from opsbook.manual.console import blank_console
from opsbook.manual.danger import why_destructive
from opsbook.manual.document import Fence
from opsbook.manual.extract.statements import _SCENERY as SCENERY
from opsbook.manual.extract.statements import read_block, sql_lines
from opsbook.manual.lift.backups import same_file
from opsbook.manual.lift.carried import as_shell
from opsbook.manual.lift.context import _DATE as DATE
from opsbook.manual.lift.context import Context, Stay, Use
from opsbook.manual.lift.endless import bounded
from opsbook.manual.lift.harmless import LOOKS, only_adds, only_looks
from opsbook.manual.lift.model import Form, Step, Why
from opsbook.manual.lift.registry import lift
from opsbook.manual.lift.script import environment, keeping_templates, needed, templated, with_quotes
from opsbook.manual.lift.sql import lift_statement
from opsbook.manual.shell import Command, commands
from opsbook.manual.shell_tree import Node, Source, parse, point_of

FEEDERS = frozenset({"cat", "echo", "printf", "zcat", "gunzip", "gzip", "yes", "zstdcat", "bzcat", "xzcat"})
FILTERS = LOOKS | {"less", "more", "column", "python", "python3", "json_pp"}
_WRITING = frozenset({">", ">>", "&>", "&>>", ">|"})
_COMPOUND = frozenset(
    [
        "if_statement",
        "for_statement",
        "while_statement",
        "case_statement",
        "subshell",
        "compound_statement",
        "c_style_for_statement",
    ]
)


@dataclass(frozen=True)
class Statement:
    """One statement of a block: its place, its text, the comment above it, and its commands."""

    node: Node
    line: int
    end_line: int
    text: str
    comment: str
    commands: tuple[Command, ...]
    whole: bool = False
    """A construct that only bash can run."""


def lift_fence(fence: Fence, context: Context) -> list[Step]:
    """The steps of a block of shell or SQL, in order."""
    if fence.language == "sql":
        return _of_sql(fence, context)
    block = read_block(fence)
    console = True if fence.language == "console" else None
    source = parse(blank_console(fence.text, console), fence.text, fence.line, fence.columns)
    if source.first_error() is not None and _cannot_run(source):
        return _unreadable(fence, len(block.commands))
    if any(node.type == "function_definition" for node in source.root.children):
        return _as_one(fence, context, list(block.parsed), len(block.commands))
    steps: list[Step] = []
    setup: list[str] = []
    for statement in _statements(source, block.parsed):
        if _sets(statement, context, setup):
            continue
        looks = not context.changed
        made = [_going_on(step) if looks else step for step in _lifted(statement, context, setup, source)]
        if made and statement.comment:
            made[0] = made[0].having(title=statement.comment)
        if made and made[0].joins:
            _join(steps, made[0])
        else:
            steps += made
    return steps


def _join(steps: list[Step], more: Step) -> None:
    """Put a command into the step that does what it does; by itself it is that step again."""
    for at in range(len(steps) - 1, -1, -1):
        one = steps[at]
        if one.body == more.body:
            fallback = one.fallback
            if fallback is not None and more.fallback is not None:
                fallback = fallback.having(body=f"{fallback.body}\n{more.fallback.body}")
            steps[at] = one.having(
                source=f"{one.source}\n{more.source}", commands=one.commands + more.commands,
                end_line=max(one.end_line, more.end_line), fallback=fallback,
            )  # fmt: skip
            return
    steps.append(more.having(joins=False))


def _going_on(step: Step) -> Step:
    """A look before anything is changed does not end the run: a diagnosis goes on to its next question."""
    reads = (step.form is Form.SH and step.risk == "read") or step.form is Form.PROMQL
    reads = reads or (step.form is Form.SQL and "write" not in step.flags)
    reads = reads or (step.form is Form.HTTP and str(step.body).startswith(("GET", "HEAD")))
    return step.having(attributes={**step.attributes, "on_failure": "continue"}) if reads else step


def _cannot_run(source: Source) -> bool:
    error = source.first_error()
    return error is not None and error.type == "ERROR" and error.end_byte - error.start_byte > 1


def _unreadable(fence: Fence, commands: int) -> list[Step]:
    if not commands:
        return []
    return [
        Step(
            Form.PERSON,
            "",
            fence.line,
            fence.text,
            why=Why.UNFIT,
            note="bash cannot read it as it is written",
            commands=commands,
            end_line=fence.end_line,
        )
    ]


def _as_one(fence: Fence, context: Context, commands: list[Command], count: int) -> list[Step]:
    if not count:
        return []
    script = templated(fence.text, context)
    risk = "read" if all(only_looks(c) or c.program in SCENERY or not c.argv for c in commands) else ""
    names = environment(commands, script)
    step = Step(
        Form.SH,
        script,
        fence.line,
        fence.text,
        why=Why.SCRIPT,
        note="it defines functions of its own",
        risk=risk,
        attributes={"env": ",".join(names)} if names else {},
        commands=count,
        end_line=fence.end_line,
    )
    return [step]


def _of_sql(fence: Fence, context: Context) -> list[Step]:
    part = context.inventory.one("postgres")
    steps: list[Step] = []
    for line in sql_lines(fence.text, fence.line):
        text = line.text.strip().rstrip(";").strip()
        title = _clean(line.comment.split("\n")[-1])
        command = Command((), line.line, 1, line.line, text)
        use = Use(command, context, line.line, text)
        looks = not context.changed
        end = line.line + line.text.rstrip().count("\n")
        if part is None:
            step = Step(Form.PERSON, "", line.line, line.text, why=Why.ELSEWHERE, note="the book has no PostgreSQL")
            made = [step]
        else:
            found = lift_statement(text, use, part)
            if isinstance(found, Stay):
                made = [
                    Step(
                        Form.PERSON,
                        "",
                        line.line,
                        line.text,
                        part.name,
                        why=found.why,
                        note=found.note,
                        needs=found.needs,
                    )
                ]
            else:
                made = [_going_on(one) if looks else one for one in found]
        made = [step.having(end_line=end, commands=int(n == 0)) for n, step in enumerate(made)]
        steps += [made[0].having(title=title or made[0].title), *made[1:]] if made else []
    return steps


# Cutting


def _statements(source: Source, commands: Sequence[Command]) -> Iterator[Statement]:
    comment = ""
    for node in source.root.children:
        if node.type == "comment":
            said = _clean(source.raw(node))
            comment = said or comment
            continue
        for piece, whole in _pieces(node, source):
            start, end = source.place(point_of(piece.start_point)), source.place(point_of(piece.end_point))
            own = tuple(c for c in commands if start <= (c.line, c.column) < end)
            text = textwrap.dedent(source.raw(piece))
            yield Statement(piece, start[0], end[0] if end[1] > 1 else end[0] - 1, text, comment, own, whole)
            comment = ""


def _pieces(node: Node, source: Source) -> Iterator[tuple[Node, bool]]:
    """`a && b` are two steps: the second is not reached where the first fails. `a || echo failed` is a."""
    if node.type != "list":
        yield node, node.type in _COMPOUND
        return
    parts = [child for child in node.children if child.is_named]
    operators = [child.type for child in node.children if not child.is_named]
    if "||" in operators:
        rest = source.raw(parts[-1]).strip()
        if len(parts) == 2 and re.match(r"(?:echo|exit|true|:|printf|return|\{\s*echo)\b", rest):
            yield from _pieces(parts[0], source)
        else:
            yield node, True
        return
    for part in parts:
        yield from _pieces(part, source)


def _clean(comment: str) -> str:
    """A comment as a title; none where it is code, a rule or a shebang."""
    text = comment.strip()
    if text.startswith("#!"):
        return ""
    text = re.sub(r"^[#\-\s=*/]+|[=\-#*\s]+$", "", text)
    text = re.sub(r"^(?:step\s*)?\d+\s*[.):]\s*", "", text, flags=re.I)
    return " ".join(text.replace("{{", "{ {").replace("`", "'").split())[:160]


# Variables


def _sets(statement: Statement, context: Context, setup: list[str]) -> bool:
    """Whether it only sets the scene for what follows; then it is remembered for the steps that need it."""
    kinds = {statement.node.type}
    words = statement.commands[0].words if statement.commands else ()
    program = words[0] if words else ""
    if kinds & {"variable_assignment", "variable_assignments", "declaration_command"}:
        for command in statement.commands:
            for assignment in command.assignments:
                context.setting[assignment.name] = assignment.value.text
        setup.append(statement.text)
        return True
    if program in ("cd", "source", ".", "pushd", "umask", "alias") and not statement.whole:
        setup.append(statement.text)
        return True
    if (
        program in ("set", "shopt", "trap", "popd", "clear", "exit", "wait", "unset", "true", ":")
        and not statement.whole
    ):
        return True
    silent = program in ("echo", "printf", "sleep") and len(statement.commands) == 1
    return silent and not any(r.operator in _WRITING for r in statement.commands[0].redirects)


# Lifting


def _lifted(statement: Statement, context: Context, setup: Sequence[str], _source: Source) -> list[Step]:
    main = [c for c in statement.commands if not any(e.kind == "substitution" for e in c.within)]
    count = len({c.pipeline for c in main if c.argv and (c.program not in SCENERY or why_destructive(c))})
    if not count:
        return []
    stay: Stay | None = Stay(Why.SCRIPT, "a loop, a condition or an alternative") if statement.whole else None
    if not statement.whole and main:
        before = set(context.parameters.found)
        changed, stopped = context.changed, set(context.stopped)
        found = _pipeline(main, statement, context)
        if isinstance(found, list):
            made = [
                step.having(line=statement.line, end_line=statement.end_line, commands=count if n == 0 else 0)
                for n, step in enumerate(found)
            ]
            return [_with_fallback(step, statement, context, setup) for step in made]
        stay = found
        context.changed, context.stopped = changed, stopped
        for name in set(context.parameters.found) - before:
            _forget(context, name)
    return [_shell(statement, context, setup, stay, main, count)]


def _forget(context: Context, name: str) -> None:
    del context.parameters.found[name]
    for key in [key for key, value in context.parameters.sources.items() if value == name]:
        del context.parameters.sources[key]


def _pipeline(main: list[Command], statement: Statement, context: Context) -> list[Step] | Stay | None:
    head = main[0]
    if len({c.pipeline for c in main}) > 1:
        return Stay(Why.SCRIPT, "several commands that belong together")
    fed = head.program in FEEDERS and len(main) > 1
    command, behind, before = (main[-1], (), tuple(main[:-1])) if fed else (head, tuple(main[1:]), ())
    redirected = any(
        r.operator in _WRITING and not r.target.text.startswith(("/dev/null", "&")) for c in main for r in c.redirects
    )
    filters = all(_filters(one) for one in behind)
    written = tuple(
        r.target.text for c in main for r in c.redirects
        if r.operator in _WRITING and not r.target.text.startswith(("/dev/null", "&"))
    )  # fmt: skip
    use = Use(
        command, context, statement.line, statement.text, None, () if filters else behind, redirected, before, written
    )
    found = lift(use)
    if not isinstance(found, list):
        return found
    consumed = any(
        isinstance(step.body, dict) and {"redis.unlink", "redis.delete_expired", "backup.take"} & set(step.body)
        for step in found
    )
    if redirected or (not filters and not consumed):
        if found[0].form in (Form.OP,) and (not behind or consumed):
            return found
        return Stay(
            Why.OUTPUT, "what it prints is kept in a file or goes on to another program", "", found[0].component
        )
    return found


def _filters(command: Command) -> bool:
    return command.program in FILTERS and not why_destructive(command)


def _with_fallback(step: Step, statement: Statement, context: Context, setup: Sequence[str]) -> Step:
    plain = _shell(
        statement, context, setup, Stay(Why.UNFIT, "", "", step.component), list(statement.commands), step.commands
    )
    if step.form is Form.SH:
        return step.having(fallback=None, commands=step.commands)
    return replace(step, fallback=plain)


def _no_file(statement: Statement, use: Use, stay: Stay | None) -> Stay | None:
    """What is said of a command that reads a dump which is a stored backup now, and no file."""
    words = [use.expanded(word) for command in statement.commands for word in command.words]
    name = next((use.context.dumped[same_file(word)] for word in words if same_file(word) in use.context.dumped), None)
    if name is None:
        return None
    why = stay.why if stay else Why.PROGRAM
    note = f"the dump it names is the stored backup {name} now, and not that file"
    return Stay(why, note, stay.needs if stay else "", stay.component if stay else "")


def _shell(
    statement: Statement, context: Context, setup: Sequence[str], stay: Stay | None, main: Sequence[Command], count: int
) -> Step:
    use = Use(
        main[0] if main else Command((), statement.line, 1, statement.line, ""), context, statement.line, statement.text
    )
    if stay is not None and stay.why in (Why.INTERACTIVE, Why.HARM):
        step = as_shell(use, "", stay, "")
        return step.having(form=Form.PERSON, end_line=statement.end_line, commands=count)
    if gone := _no_file(statement, use, stay):
        stay = gone
    script, mended = bounded(statement.text)
    if mended:
        main = [c for c in commands(script, console=False) if not any(e.kind == "substitution" for e in c.within)]
    script = "\n".join([*needed(script, setup, context), script]) if "$" in script or setup else script
    looks = bool(main) and all(only_looks(c) or (c.program in SCENERY and not why_destructive(c)) for c in main)
    if stay is None and looks:
        stay = Stay(Why.LOOKS)
    script = with_quotes(script, context)
    adds = bool(main) and all(
        only_adds(c) or only_looks(c) or (c.program in SCENERY and not why_destructive(c)) for c in main
    )
    risk = "read" if looks else "safe" if adds else ""
    step = as_shell(use, keeping_templates(script, context), stay, risk)
    names = environment(main, script)
    names = [name for name in names if DATE.fullmatch(context.setting.get(name, "").strip()) is None]
    attributes = {"env": ",".join(names)} if names else {}
    told = (mended,) if mended else ()
    return step.having(attributes=attributes, end_line=statement.end_line, commands=count, mended=told)
