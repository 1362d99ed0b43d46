"""The procedures of a book, from those of the manuals: prose kept, steps lifted, each proven to compile."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from opsbook.manual.document import Block, Fence, Heading, ListItem, Paragraph
from opsbook.manual.facts import Procedure
from opsbook.manual.importing.literals import spells_out
from opsbook.manual.importing.sources import Source
from opsbook.manual.lift.context import Context
from opsbook.manual.lift.inventory import slug, unique
from opsbook.manual.lift.model import Form, Step, Why
from opsbook.manual.lift.statements import lift_fence

Compile = Callable[[str, str], list[tuple[int, str]]]
"""Text and file name of a procedure → line and sentence of every mistake."""

SAFETY = "A backup of {component} was taken just now and can be read"
_RESTORES = re.compile(r"loads a dump|restores over live data")


@dataclass
class Piece:
    """A part of a procedure's text: prose as it is, acts of a person, or a step."""

    text: str = ""
    acts: tuple[str, ...] = ()
    step: Step | None = None


@dataclass
class Written:
    """A procedure of the book."""

    name: str
    title: str
    source: Source
    line: int
    pieces: list[Piece]
    context: Context
    dropped: list[str] = field(default_factory=list)

    @property
    def steps(self) -> list[Step]:
        return [piece.step for piece in self.pieces if piece.step is not None]

    @property
    def place(self) -> str:
        return self.source.place(self.line)


def names_of(sources: list[Source]) -> dict[tuple[int, int], str]:
    """(manual, line) → the name of each procedure's file; of two titled alike the later one says where it is from."""
    found: dict[tuple[int, int], str] = {}
    words = [set(slug(source.name.rpartition(".")[0] or source.name).split("-")) for source in sources]
    for number, source in enumerate(sources):
        for one in source.manual.procedures:
            name = slug(_title(one.title))[:60].strip("-") or f"procedure-{one.line}"
            if name in found.values():
                parent = slug(one.path[-1])[:40].strip("-") if one.path else ""
                others = set().union(*(w for n, w in enumerate(words) if n != number)) if len(sources) > 1 else set()
                own = [word for word in slug(source.name.rpartition(".")[0]).split("-") if word not in others]
                taken_here = [n for (m, _), n in found.items() if m == number]
                suffix = parent if name in taken_here or not own else "-".join(own)
                name = f"{name}-{suffix}" if suffix else name
            found[number, one.line] = unique(name, found.values())
    return found


def _title(title: str) -> str:
    text = re.sub(r"^\W*(?:\d+(?:\.\d+)*[.)]?\s+)?", "", title)
    return re.sub(r"^(?:runbook|procedure|playbook|how to)\s*:\s*", "", text, flags=re.I).strip() or title


def written(procedure: Procedure, source: Source, name: str, context: Context) -> Written:
    """One procedure of a manual as one of the book, not compiled yet."""
    made = Written(name, _title(procedure.title), source, procedure.line, [], context)
    blocks = list(_blocks(procedure, source))
    has_code = any(isinstance(block, Fence) and block in source.fences for block in blocks)
    title = ""
    for at, block in enumerate(blocks):
        following = blocks[at + 1] if at + 1 < len(blocks) else None
        if isinstance(block, Fence):
            steps = lift_fence(block, context) if block in source.fences else []
            if steps and title:
                steps[0] = steps[0].having(title=steps[0].title or title)
            title = ""
            for step in steps:
                _add(made, _refused(step, source))
            if not steps and block not in source.fences and len(block.text) < 4000:
                made.pieces.append(
                    Piece(_quoted(block.text, block.language if block.language not in STEPS else "text"))
                )
        elif isinstance(block, ListItem):
            title = _item(made, block, following, has_code, title)
        elif isinstance(block, Heading) and block.line != procedure.line:
            made.pieces.append(Piece(f"## {_plain(block.text)}"))
        elif isinstance(block, Paragraph) and block.line != procedure.line:
            made.pieces.append(Piece(_plain(block.text)))
    if not any(piece.step or piece.acts for piece in made.pieces):
        acts = tuple(_plain(step.text) for step in procedure.steps) or (f"{made.title}: done as the manual says",)
        made.pieces.append(Piece(acts=acts))
    return made


STEPS = frozenset(["op", "sh", "sql", "promql", "http", "check"])


def _blocks(procedure: Procedure, source: Source) -> Iterator[Block]:
    """The blocks between its first and last line that belong to no later procedure inside it."""
    inner = [p for p in source.manual.procedures if procedure.line < p.line <= procedure.end_line]
    for block in source.document.walk():
        at = block.opening_line if isinstance(block, Fence) else block.line
        if procedure.line <= at <= procedure.end_line and not any(p.line <= at <= p.end_line for p in inner):
            yield block


def _item(made: Written, block: ListItem, following: Block | None, has_code: bool, title: str) -> str:
    """What an item of a list becomes; the title that it gives to the block behind it."""
    text = _plain(block.text)
    if not text:
        return title
    if block.checked is not None or (block.ordered and not isinstance(following, Fence) and not _holds_code(block)):
        if block.checked is not None or not has_code or block.ordered:
            made.pieces.append(Piece(acts=(text,)))
        return ""
    if block.ordered or isinstance(following, Fence):
        return text.split("\n")[0].rstrip(":")
    made.pieces.append(Piece("- " + text.replace("\n", "\n  ")))
    return ""


def _holds_code(block: ListItem) -> bool:
    return any(
        isinstance(child, Fence) or (isinstance(child, ListItem) and _holds_code(child)) for child in block.children
    )


def _add(made: Written, step: Step) -> None:
    """A step; before one that loads a dump over live data, somebody vouches for a backup."""
    from opsbook.manual.danger import why_destructive
    from opsbook.manual.shell import commands

    loads = step.needs == "postgres.restore" or (
        step.form is Form.SH and any(_RESTORES.search(why_destructive(c)) for c in commands(step.source) if c.argv)
    )
    part = made.context.inventory.parts.get(step.component) or made.context.inventory.one("postgres")
    saved = any("backup" in one.needs or one.needs == "postgres.backup" for one in made.steps)
    if (
        loads
        and not saved
        and part is not None
        and not any(SAFETY.format(component=part.name) in p.acts for p in made.pieces)
    ):
        made.pieces.append(Piece(acts=(SAFETY.format(component=part.name),)))
        step = step.having(mended=(*step.mended, "a person vouches for a safety backup before it"))
    made.pieces.append(Piece(step=step))


_SECRETS = frozenset({"OB632", "OB639"})
"""Rules that find a secret written out."""
_NEVER = frozenset({"OB201", "OB203", "OB222", "OB223"})


def _refused(step: Step, source: Source) -> Step:
    """A query that PostgreSQL is known to refuse is no step: somebody has to write it anew."""
    if step.form in (Form.SH, Form.SQL, Form.PERSON, Form.HTTP):
        lines = range(step.line, max(step.end_line, step.line) + 1)
        if spells_out(step.source) or any(f.rule in _SECRETS and f.line in lines for f in source.findings):
            note = "it spells out a secret, which is not copied: put a reference in its place"
            text = f"# see {source.place(step.line)}"
            return step.having(form=Form.PERSON, body="", source=text, why=Why.LITERAL, note=note, fallback=None)
    if step.form is not Form.SQL or step.mended:
        return step
    fixed = {one.text for one in source.fixed}
    for finding in source.findings:
        here = step.line <= finding.line <= max(step.end_line, step.line)
        if finding.rule in _NEVER and here and finding.message not in fixed:
            return step.having(
                form=Form.PERSON, body="", why=Why.UNFIT, note=f"PostgreSQL refuses it: {finding.message}"
            )
    return step


def _plain(text: str) -> str:
    return "\n".join(line.strip() for line in text.replace("{{", "{ {").strip().split("\n"))


# Text


def proven(made: Written, compile_: Compile, digest: Callable[[str, str], str]) -> str:
    """The text of a procedure that compiles. What does not is written as shell, or left to a person."""
    for _ in range(12):
        text, lines = render(made)
        text = digest(text, made.place)
        mistakes = compile_(text, f"{made.name}.md")
        if not mistakes:
            return text
        wrong: dict[int, str] = {}
        for line, message in mistakes:
            number = next((n for n, (first, last) in lines.items() if first <= line <= last), None)
            if number is not None:
                wrong.setdefault(number, message)
        if not wrong:
            break
        for number, message in wrong.items():
            made.pieces[number] = _degraded(made.pieces[number], message)
    for number, piece in enumerate(made.pieces):
        if piece.step is not None:
            made.pieces[number] = _degraded(
                piece.__class__(step=piece.step.having(fallback=None, form=Form.SH)), "it does not compile"
            )
    made.context.parameters.found.clear()
    return digest(render(made)[0], made.place)


def _degraded(piece: Piece, message: str) -> Piece:
    step = piece.step
    if step is None:
        return Piece(text="\n".join(piece.acts))
    if step.form is not Form.SH and step.fallback is not None:
        return Piece(step=step.fallback.having(title=step.title, why=Why.UNFIT, note=message, commands=step.commands))
    note = step.note or message
    return Piece(step=step.having(form=Form.PERSON, body="", note=note, why=step.why or Why.UNFIT, fallback=None))


def render(made: Written) -> tuple[str, dict[int, tuple[int, int]]]:
    """The Markdown, and the lines of each piece."""
    body: list[str] = []
    places: dict[int, tuple[int, int]] = {}
    number = 0
    for at, piece in enumerate(made.pieces):
        first = len(body)
        if piece.step is not None:
            number += 1
            body += _step(piece.step, number)
        elif piece.acts:
            number += 1
            for act in piece.acts:
                body += [f"- [ ] {' '.join(act.split())}"]
            body.append("")
        else:
            body += [*piece.text.split("\n"), ""]
        places[at] = (first, len(body))
    text = "\n".join(body)
    front: dict[str, Any] = {"title": made.title or made.name}
    parameters = made.context.parameters.used_in(text)
    head = ["---", "title: " + json.dumps(front["title"], ensure_ascii=False)]
    if parameters:
        head.append("params:")
        for one in parameters:
            says: dict[str, Any] = {"type": one.type}
            if one.default is not None:
                says["default"] = one.default
            if one.example is not None:
                says["example"] = one.example
            if one.doc:
                says["doc"] = one.doc
            head.append(f"  {one.name}: {flow(says)}")
    head += ["---", ""]
    offset = len(head) + 1
    return "\n".join(head) + "\n" + text.rstrip() + "\n", {n: (a + offset, b + offset) for n, (a, b) in places.items()}


def _step(step: Step, number: int) -> list[str]:
    title = " ".join((step.title or _say(step)).split()).rstrip(".:")
    if step.form is Form.PERSON:
        why = step.note or (str(step.why) if step.why else "")
        lead = [f"- [ ] {title}" + (f" ({why})" if why and why not in title else "") + "."]
        return [*lead, *("  " + line if line else "" for line in _quoted(step.source, "bash").split("\n")), ""]
    prefix = f"{number}. "
    indent = " " * len(prefix)
    fence = _fence(step)
    return [f"{prefix}{title}.", *(indent + line if line else "" for line in fence), ""]


def _say(step: Step) -> str:
    """A title where the manual gives none."""
    if step.form is Form.OP:
        name = next(iter(step.body))
        return f"{name.partition('.')[2].replace('_', ' ').capitalize()} {step.component}"
    if step.form is Form.CHECK:
        return "Look at " + ", ".join(step.body[:3]) + (" and others" if len(step.body) > 3 else "")
    if step.form in (Form.SQL, Form.HTTP, Form.PROMQL):
        return f"Ask {step.component}" if step.component else "Ask outside"
    return "By hand" if step.form is Form.PERSON else "Run it"


def _fence(step: Step) -> list[str]:
    attributes = dict(step.attributes)
    if step.risk:
        attributes["risk"] = step.risk
    words = [f"{key}={_attribute(value)}" for key, value in attributes.items()]
    body = _body(step)
    marks = "`" * max(3, *(len(run) + 1 for run in re.findall(r"`{3,}", body)), 3)
    return [f"{marks}{' '.join([step.form.value, *step.flags, *words])}", *body.split("\n"), marks]


def _attribute(value: str) -> str:
    if re.fullmatch(r"[\w./:-]+", value):
        return value
    return json.dumps(value, ensure_ascii=False)


def _body(step: Step) -> str:
    if step.form is Form.OP:
        ((name, parameters),) = step.body.items()
        return f"{name}: {flow(parameters)}"
    if step.form is Form.CHECK:
        return flow(list(step.body))
    text = str(step.body).strip("\n")
    return text.rstrip(";") + ";" if step.form is Form.SQL else text


def _quoted(text: str, language: str) -> str:
    marks = "`" * max(3, *(len(run) + 1 for run in re.findall(r"`{3,}", text)), 3)
    return f"{marks}{language if re.fullmatch(r'[a-z]+', language or '') else 'text'}\n{text.strip(chr(10))}\n{marks}"


def flow(value: Any) -> str:
    """A value as YAML on one line."""
    text: str = yaml.safe_dump(value, default_flow_style=True, width=10**9, allow_unicode=True, sort_keys=False)
    return text.strip().removesuffix("\n...").removesuffix("...").strip()
