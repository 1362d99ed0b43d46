"""Compiling procedures: Markdown of a book becomes typed steps, or every mistake of it at once."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from opsbook.book.catalogue import Catalogue, Risk
from opsbook.book.positions import Place
from opsbook.book.system import System
from opsbook.book.words import nearest
from opsbook.engine.front_matter import FrontMatter, compile_front_matter
from opsbook.engine.markdown import LARGEST_FILE, FenceSource, Source, TasksSource, read_source
from opsbook.engine.mistakes import InvalidProcedure, Mistakes
from opsbook.engine.procedure import Procedure, Step, StepKind
from opsbook.engine.steps import StepCompiler
from opsbook.errors import UsageError

FOLDER = "procedures"
PACKAGED = "opsbook/"
"""Stands before the file's name of a procedure that is not the book's own."""
NONE_PACKAGED: Mapping[str, str] = MappingProxyType({})


def load_procedures(
    system: System, catalogue: Catalogue, packaged: Mapping[str, str] = NONE_PACKAGED
) -> dict[str, Procedure]:
    """Every procedure of the book, by the name of its file. Raises InvalidProcedure with the mistakes of all files.

    `packaged` are texts of opsbook's own by their names; the book overrides one by a file of that name.
    """
    found, wrong = compile_all(system, catalogue, packaged)
    if wrong:
        raise InvalidProcedure([one for mistakes in wrong.values() for one in mistakes])
    return found


def compile_all(
    system: System, catalogue: Catalogue, packaged: Mapping[str, str] = NONE_PACKAGED
) -> tuple[dict[str, Procedure], dict[str, list[Mistakes]]]:
    """Every procedure of the book that can be compiled, and the mistakes of the others, by the names of their files."""
    found: dict[str, Procedure] = {}
    wrong: dict[str, list[Mistakes]] = {}
    for name, path in _own_files(system).items():
        try:
            found[name] = _compile_file(path, system, catalogue)
        except InvalidProcedure as error:
            wrong[name] = list(error.mistakes)
    for name, text in packaged.items():
        if name in found or name in wrong:
            continue
        try:
            found[name] = compile_procedure(text, f"{PACKAGED}{name}.md", system, catalogue)
        except InvalidProcedure as error:
            wrong[name] = list(error.mistakes)
    return found, wrong


def compile_named(
    name: str, system: System, catalogue: Catalogue, packaged: Callable[[], Mapping[str, str]]
) -> Procedure:
    """One procedure of the book or of opsbook, and no other: a book may have a hundred.

    Raises InvalidProcedure for its mistakes, UsageError with the nearest name.
    """
    own = _own_files(system)
    if name in own:
        return _compile_file(own[name], system, catalogue)
    texts = packaged()
    if name not in texts:
        raise UsageError(f"there is no procedure named {name!r}", nearest(name, [*own, *texts]))
    return compile_procedure(texts[name], f"{PACKAGED}{name}.md", system, catalogue)


def _own_files(system: System) -> dict[str, Path]:
    """Name → file of each procedure of the book."""
    files = sorted((system.folder / FOLDER).glob("*.md"))
    return {
        path.name.removesuffix(".md"): path
        for path in files
        if path.name.lower() != "readme.md" and not path.name.startswith(".")
    }


def _compile_file(path: Path, system: System, catalogue: Catalogue) -> Procedure:
    file = os.path.relpath(path)
    return compile_procedure(_read(path, file), file, system, catalogue)


def compile_procedure(text: str, file: str, system: System, catalogue: Catalogue) -> Procedure:
    """One procedure; its name is that of the file without `.md`. Raises InvalidProcedure with all its mistakes."""
    mistakes = Mistakes(file, text.split("\n"))
    name = Path(file).name.removesuffix(".md")
    if not re.fullmatch(r"[a-z0-9][a-z0-9_.-]*", name):
        wanted = re.sub(r"[^a-z0-9_.-]+", "-", name.lower()).strip("-_.")
        mistakes.add((1, 1), f"a procedure cannot be named {name!r}", f"name the file {wanted}.md")
    source = read_source(text, mistakes)
    front = compile_front_matter(source.front, system, mistakes)
    compiler = StepCompiler(front.parameters, system, catalogue, mistakes)
    steps = _with_ids([(one, step) for one in source.steps if (step := compiler.compile(one)) is not None], mistakes)
    if not source.steps:
        mistakes.add(
            (1, 1), "the procedure has no step", "write a fence (op, sh, sql, promql, http, check) or `- [ ] …`"
        )
    risk = _risk(front, steps, source, mistakes)
    if mistakes.found:
        raise InvalidProcedure([mistakes])
    return Procedure(
        name=name,
        title=front.title,
        risk=risk,
        steps=tuple(steps),
        parameters=front.parameters,
        lock=front.lock,
        owner=front.owner,
        objective=front.objective,
        prose=source.prose,
        file=file,
        revision=hashlib.sha256(text.encode()).hexdigest(),
    )


def _read(path: Path, name: str) -> str:
    mistakes = Mistakes(name, [])
    try:
        if path.stat().st_size <= LARGEST_FILE:
            return path.read_text(encoding="utf-8")
        mistakes.add((1, 1), "the file is larger than 1 MiB", "is it a procedure?")
    except UnicodeDecodeError:
        mistakes.add((1, 1), "the file is not UTF-8 text", "save it as UTF-8")
    except OSError as error:
        mistakes.add((1, 1), f"the file cannot be read: {error.strerror}", "check its permissions")
    raise InvalidProcedure([mistakes])


def _risk(front: FrontMatter, steps: list[Step], source: Source, mistakes: Mistakes) -> Risk:
    """As declared, or that of the riskiest step."""
    highest = max(steps, key=lambda step: step.risk.rank, default=None)
    if highest is None or front.risk is None:
        return highest.risk if highest else front.risk or Risk.READ
    if front.risk.rank < highest.risk.rank:
        place: Place = source.front.value(("risk",))
        hint = f"write `risk: {highest.risk}`"
        if highest.kind in (StepKind.SH, StepKind.SQL, StepKind.HTTP):
            hint += ", or say at the step what it does (risk=safe)"
        message = f"step {highest.id!r} (line {highest.line}) is {highest.risk}, which is more than {front.risk}"
        mistakes.add((place.line, place.column), message, hint, len(front.risk))
    return front.risk


def _with_ids(found: list[tuple[FenceSource | TasksSource, Step]], mistakes: Mistakes) -> list[Step]:
    """Every step gets an id of its own: the given one, or one made of its title or number."""
    taken: dict[str, int] = {}
    for source, step in found:
        if not step.id:
            continue
        assert isinstance(source, FenceSource)
        attribute = source.attributes["id"]
        if step.id in taken:
            message = f"the id {step.id!r} is already taken in line {taken[step.id]}"
            mistakes.add(attribute.value_place, message, "give each step its own", attribute.length)
        taken.setdefault(step.id, step.line)
    steps = []
    for number, (_, step) in enumerate(found, 1):
        if not step.id:
            slug = _slug(step.title) or f"step-{number}"
            identity, n = slug, 2
            while identity in taken:
                identity, n = f"{slug}-{n}", n + 1
            taken[identity] = step.line
            step = Step(**{**step.__dict__, "id": identity})
        steps.append(step)
    return steps


def _slug(title: str) -> str:
    """The first words of a title as an id."""
    words = re.findall(r"[a-z0-9]+", re.sub(r"\{\{.*?\}\}", " ", title).lower().replace("'", ""))
    slug = ""
    for word in words[:6]:
        if len(slug) + len(word) > 40:
            break
        slug += ("-" if slug else "") + word
    return slug
