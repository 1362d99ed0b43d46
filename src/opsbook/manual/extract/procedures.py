"""Procedures: what people do, found by its shape — a title over commands or over numbered steps."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from opsbook.manual.danger import prose_destructive
from opsbook.manual.document import Block, Document, Fence, ListItem, Paragraph, Prose, Quote, Section
from opsbook.manual.extract.statements import Block as CodeBlock
from opsbook.manual.extract.statements import inline_command, read_block
from opsbook.manual.facts import Procedure, Step
from opsbook.manual.outline import Part, is_bold_lead, lead_title, names_a_part, parts, repeated_titles, within
from opsbook.manual.vocabulary import is_template, says

# Sections whose numbered lists are facts, not acts.
_NO_STEPS = ("contents", "component", "escalation", "severity", "prerequisite", "metric", "contact")
_ADVICE = re.compile(
    r"principle|best practice|lesson|tips|glossary|philosophy|overview|objective|feature|purpose|definition|"
    r"assumption|principio|grundsätz|buenas prácticas|boas práticas|принцип|最佳实践|原则|概述|概要|개요|"
    r"background|faq|agenda|root cause|lifecycle|life cycle|how it works|"
    r"important|notice|注意|提示|dashboard|layout|panel",
    re.I,
)
_STEP_HEADING = re.compile(
    r"\W*(?:step|phase|stage|schritt|paso|passo|etapa|fase|étape|шаг|этап)\s*\d+|\W*(?:步骤|阶段|第\s*\d+\s*步|"
    r"手順\s*\d|단계\s*\d|ステップ)",
    re.I,
)
# One of several ways: run after the other it would undo it.
_ALTERNATIVE = re.compile(
    r"\W*(?:option|method|alternative|variant|approach|opción|opção|variante|methode|méthode|вариант|способ|"
    r"方案|方法|選択肢|옵션|방법)\s*(?:[A-H]\b|\d+\b|[一二三四])",
    re.I,
)


# Stages of an answer to an incident, whatever is said behind the word.
_STAGE_NAME = re.compile(
    r"\W*(?:containment|eradication|investigation|notification|remediation|communication|assessment|escalation|tools?|scripts?|"
    r"eindämmung|contención|contenção|сдерживание|封じ込め|遏制)\b(?!\s+(?:plan|procedure|script|policy|template))",
    re.I,
)
# What a bold line names beside a subject: the step of a stage, monitoring in one word, the platform of a variant.
_NO_SUBJECT = re.compile(
    r"\W*(?:[\w-]+\s+)?(?:step|schritt|paso|passo|étape|шаг)\s*\d|\W*(?:monitoring|logs|überwachung|확인 ?사항)\W*$|"
    r"\W*(?:(?:on|for|via|using|with|in)\s+)?(?:(?:linux|macos|mac|windows|ubuntu|debian|centos|rhel|alpine|unix|wsl|bash|"
    r"powershell|cmd|docker|compose|kubernetes|k8s|systemd|podman|swarm|helm|and|or)(?:\W+|$)){1,4}$",
    re.I,
)
# An item that tells somebody to do something is a step, whatever the title speaks of.
_TELLS = re.compile(
    r"\W*(?:attach|call|change|check|clear|confirm|copy|create|delete|deploy|detach|disable|drain|edit|enable|ensure|"
    r"export|inspect|install|log in|monitor|notify|open|pause|point|post|prepare|pull|push|remove|rename|replace|"
    r"restart|restore|resume|roll|rotate|run|scale|send|start|stop|switch|take|test|trigger|update|upload|validate|"
    r"verify|wait)\b(?!\s*:)",
    re.I,
)
# A collection of commands is one thing to look at, however it is grouped.
_COLLECTION = re.compile(
    r"\b(?:useful|common|handy|essential|important|frequent\w*|quick)\s+commands?\b|\bcommands?\s+(?:reference|cheat)|\bcommands\W*$|명령어\W*$|"
    r"cheat ?sheet|quick reference|nützliche befehle|comandos útiles|comandos úteis|полезные команды|常用命令|"
    r"よく使うコマンド|자주 사용하는 명령",
    re.I,
)
# "Memory Issues" is one matter; "Common Issues" are many.
_ONE_MATTER = re.compile(
    r"(?!\W*(?:common|known|frequent|typical|other|general|usual|recurring|troubleshooting)\b)"
    r".*\w.*\b(?:issues|problems|problemas|probleme|проблемы|checks)\W*$",
    re.I,
)


@dataclass
class _Draft:
    """A procedure in the making."""

    title: str
    line: int
    path: tuple[str, ...]
    blocks: list[Block] = field(default_factory=list)


def procedures(document: Document) -> list[Procedure]:
    """All procedures of a manual, in the order in which they stand."""
    repeated = repeated_titles(document) | _repeated_headings(document)
    found: list[Procedure] = []
    for section in document.sections():
        _of_section(section, repeated, found)
    return sorted(found, key=lambda procedure: procedure.line)


def _repeated_headings(document: Document) -> frozenset[str]:
    seen: dict[str, int] = {}
    for section in document.all_sections():
        key = re.sub(r"\W+", " ", section.title).strip().lower()
        seen[key] = seen.get(key, 0) + 1
    return frozenset(title for title, count in seen.items() if count >= 3 and title)


def _of_section(section: Section, repeated: frozenset[str], found: list[Procedure]) -> None:
    steps = [child for child in section.children if _is_stage(child, repeated)]
    if not steps and _is_template_of_one(section):
        steps = list(section.children)
    whole = _Draft(section.title, section.line, section.path[:-1])
    if section.heading is not None or section.blocks:
        _of_parts(section, repeated, whole, found)
    apart = [child for child in section.children if child not in steps]
    for stage in steps:
        whole.blocks.append(stage.heading) if stage.heading else None
        _gather(stage, whole, apart)
    made = _made(whole, bool(steps))
    if made is not None:
        found.append(made)
    for child in apart:
        _of_section(child, repeated, found)


def _gather(stage: Section, whole: _Draft, apart: list[Section]) -> None:
    """All that a stage holds goes into the whole, but ways to choose among stay apart."""
    whole.blocks.extend(stage.blocks)
    for child in stage.children:
        if _ALTERNATIVE.match(child.title):
            apart.append(child)
        else:
            _gather(child, whole, apart)


def _is_stage(section: Section, repeated: frozenset[str]) -> bool:
    """Whether a section is only a step of the one above it."""
    if _ALTERNATIVE.match(section.title):
        return False
    key = re.sub(r"\W+", " ", section.title).strip().lower()
    return bool(_STEP_HEADING.match(section.title)) or (key in repeated and section.level >= 3)


def _is_template_of_one(section: Section) -> bool:
    """Whether all that stands below a heading are the stages that any procedure has: diagnosis, resolution …"""
    children = section.children
    return len(children) >= 2 and children[0].level >= 3 and all(is_template(child.title) for child in children)


def _of_parts(section: Section, repeated: frozenset[str], whole: _Draft, found: list[Procedure]) -> None:
    """Bold titles that name a subject are procedures of their own; the rest belongs to the section."""
    divided = parts(section, plain=False)
    named = [
        part
        for part in divided
        if part.lead is not None
        and not (names_a_part(part.title, repeated) or _NO_SUBJECT.match(part.title) or _STAGE_NAME.match(part.title))
        and _runs(part.blocks)
    ]
    if _COLLECTION.search(section.title):
        named = []
    if len(named) == 1 and named[0].line - section.line <= 2:
        named = []  # a lone bold line right below the heading only explains it
    for part in divided:
        if part in named:
            made = _made(_Draft(part.title, part.line, section.path, list(part.blocks)), False)
            if made is not None:
                found.append(made)
            continue
        if part.lead is not None:
            whole.blocks.append(part.lead)
        whole.blocks.extend(_without_items(part, section, found))


def _without_items(part: Part, section: Section, found: list[Procedure]) -> Sequence[Block]:
    """Take out the items that are procedures of their own: bold titles over commands in a section of several tasks."""
    items = [block for block in part.blocks if isinstance(block, ListItem) and block.ordered]
    titled = [item for item in items if _is_titled(item)]
    many = says(section.title, "several") and not _ONE_MATTER.match(section.title)
    if len(titled) < max(len(items), 1) or not many:
        return part.blocks
    kept: list[Block] = []
    current: _Draft | None = None
    for block in part.blocks:
        if isinstance(block, ListItem) and block in titled:
            _finish(current, found)
            current = _Draft(block.strong.rstrip(":："), block.line, section.path, list(block.children))
        elif current is not None and isinstance(block, (Fence, Quote, Paragraph)):
            current.blocks.append(block)
        else:
            kept.append(block)
    _finish(current, found)
    return kept


def _is_titled(item: ListItem) -> bool:
    """Whether an item is nothing but a bold title, with a remark in brackets at most."""
    rest = item.text.strip().removeprefix(item.strong) if item.strong else "-"
    return not re.sub(r"\s*[(（][^()（）]*[)）]", "", rest).strip(" :：")


def _finish(draft: _Draft | None, found: list[Procedure]) -> None:
    if draft is not None and _runs(draft.blocks):
        made = _made(draft, False)
        if made is not None:
            found.append(made)


def _runs(blocks: Iterable[Block]) -> bool:
    return any(isinstance(block, Fence) and read_block(block).runnable for block in within(tuple(blocks)))


def _made(draft: _Draft, staged: bool) -> Procedure | None:
    """The procedure, or None where there is nothing to do in it."""
    code: list[CodeBlock] = []
    variables: dict[str, str] = {}
    for block in within(tuple(draft.blocks)):
        if isinstance(block, Fence):
            read = read_block(block, variables)
            variables = dict(read.variables)
            code.append(read)
    steps = _steps(draft, code)
    runnable = any(block.runnable for block in code)
    if not runnable and not _is_numbered_list(draft, steps, staged):
        return None
    lines = [line for block in code for line in block.commands]
    inline = [
        made
        for block in within(tuple(draft.blocks))
        if isinstance(block, Prose)
        for span in block.code
        if (made := inline_command(span))
    ]
    why = list(dict.fromkeys(line.destructive for line in lines if line.destructive))
    if not lines:
        acts = [line.destructive for line in inline] + [prose_destructive(step.text) for step in steps]
        why = list(dict.fromkeys(reason for reason in acts if reason))
    everything = sorted((*lines, *inline), key=lambda line: line.line)
    end = max((block.end_line for block in draft.blocks), default=draft.line)
    return Procedure(
        line=draft.line,
        title=draft.title,
        path=draft.path,
        end_line=end,
        steps=tuple(steps),
        commands=tuple(everything),
        prose=tuple(block.text for block in draft.blocks if isinstance(block, Paragraph) and not is_bold_lead(block)),
        parameters=_parameters(code),
        destructive=bool(why),
        why=tuple(why),
    )


def _is_numbered_list(draft: _Draft, steps: Sequence[Step], staged: bool) -> bool:
    items = [block for block in draft.blocks if isinstance(block, ListItem) and block.ordered]
    if len(steps) < 3 or len(items) < 3 or staged:
        return False
    boxes = all(item.checked is not None for item in items)
    coded = any(item.code for item in items)
    if boxes and not coded and any(_is_checklist(block, draft.title) for block in draft.blocks):
        return False
    facts = [meaning for meaning in _NO_STEPS if not (boxes and meaning in ("severity", "metric"))]
    told = sum(bool(_TELLS.match(item.text)) for item in items) * 2 > len(items)
    if any(says(draft.title, meaning) for meaning in facts) and not (told or says(draft.title, "process")):
        return False
    if _ADVICE.search(draft.title) or _of_several(draft, items):
        return False
    if any(isinstance(block, Fence) and block.language == "promql" for block in within(tuple(draft.blocks))):
        return False
    linked = sum(bool(item.links) for item in items)
    return linked * 2 < len(items) and not says(draft.title, "contents")


def _is_checklist(block: Block, title: str) -> bool:
    """Whether a line over numbered boxes calls them a checklist, as their heading does not."""
    name = lead_title(block)
    return name is not None and name != title and says(name, "checklist")


def _of_several(draft: _Draft, items: Sequence[ListItem]) -> bool:
    """A list of titled jobs in a section of several tasks: none of them says how it is done."""
    titled = sum(bool(item.strong) and item.text.strip().rstrip(":：") == item.strong.rstrip(":：") for item in items)
    boxes = any(isinstance(child, ListItem) and child.checked is not None for item in items for child in item.children)
    return titled == len(items) and not boxes and says(draft.title, "several")


def _steps(draft: _Draft, code: Sequence[CodeBlock]) -> list[Step]:
    """The numbered items, or the numbered comments of the blocks, or the blocks' titles."""
    items = [block for block in draft.blocks if isinstance(block, ListItem) and block.ordered]
    by_line = sorted(line.line for block in code for line in block.commands)
    if len(items) >= 2:
        return _bounded([(item.line, item.text) for item in items], by_line)
    numbered = [pair for block in code for pair in block.numbered]
    if len(numbered) >= 2:
        return _bounded(numbered, by_line)
    comments: dict[str, int] = {}
    for block in code:
        for line in block.commands:
            if line.comment and line.comment not in comments:
                comments[line.comment] = line.line
    return _bounded([(line, text) for text, line in comments.items()], by_line)


def _bounded(starts: Sequence[tuple[int, str]], lines: Sequence[int]) -> list[Step]:
    steps = []
    for index, (line, text) in enumerate(starts):
        end = starts[index + 1][0] if index + 1 < len(starts) else 10**9
        steps.append(Step(line=line, text=text, commands=tuple(at for at in lines if line <= at < end)))
    return steps


def _parameters(code: Sequence[CodeBlock]) -> tuple[str, ...]:
    """What must be filled in: positional parameters of scripts and placeholders."""
    found: dict[str, None] = {}
    for block in code:
        for command in block.parsed:
            for word in command.argv:
                found.update((f"${name}", None) for name in word.variables if name.isdigit() and name != "0")
                found.update((name, None) for name in word.placeholders)
    return tuple(found)
