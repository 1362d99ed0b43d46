"""The words of messages: one text file a kind, its first line the subject. What is not ours is made printable.

A team may have words of its own: `templates/KIND.txt.jinja` beside the book. They run in a sandbox (Jinja's: no
attributes of Python's inside, nothing is changed), and one that fails is told of in the message that the packaged one
words in its place: a message is never lost by its words.
"""

from __future__ import annotations

import logging
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opsbook.printable import one_line, printable

if TYPE_CHECKING:
    from jinja2 import Environment

log = logging.getLogger(__name__)

LONGEST_SUBJECT = 160
LONGEST_BODY = 20_000
LONGEST_FAULT = 200
PLAIN = "plain"
"""The template of kinds that have none of their own: subject and body as they are."""
FOLDER = "templates"
"""The folder beside the book with templates of its team."""
ENDING = ".txt.jinja"


KINDS = (
    "page", "practice", "update", "acknowledged", "resolved", "reminder", "alert", "notice", "report", "digest",
)  # fmt: skip
"""Kinds of messages that a team may word."""
FAULTS = (ArithmeticError, AttributeError, LookupError, MemoryError, OSError, RuntimeError, TypeError, ValueError)
"""What the expressions of a template may raise besides Jinja's own errors."""


class Broken(Exception):
    """A template of the team cannot word a message. Its text says where and why."""


def rendered(
    kind: str, subject: str, body: str, facts: dict[str, Any], book_folder: Path | None = None
) -> tuple[str, str]:
    """Subject and body of a message, by the template of the team where the book's folder has one."""
    known = {**facts, "kind": kind, "subject": one_line(subject), "body": printable(body)}
    folder = None if book_folder is None else book_folder / FOLDER
    name = f"{kind}{ENDING}"
    if folder is None or not (folder / name).is_file():
        return _worded(_packaged(), kind, known)
    try:
        return _of_team(folder, name, known)
    except Broken as fault:
        log.error("%s; the packaged words are used", fault)
        head, text = _worded(_packaged(), kind, known)
        return head, f"{text}\n\n({fault})".lstrip("\n")


def faults_of(book_folder: Path) -> list[tuple[str, str]]:
    """Of the templates of a team those that cannot be read, or word nothing: the path, and what is wrong."""
    from jinja2 import TemplateError

    folder = book_folder / FOLDER
    found = []
    for file in sorted(folder.glob(f"*{ENDING}")):
        if file.name.removesuffix(ENDING) not in KINDS:
            found.append((f"{FOLDER}/{file.name}", f"no kind of message has this name: {', '.join(KINDS)}"))
            continue
        try:
            _of_book(folder).get_template(file.name)
        except (TemplateError, *FAULTS) as error:
            found.append((f"{FOLDER}/{file.name}", _fault(file.name, error)))
    return found


def _of_team(folder: Path, name: str, known: dict[str, Any]) -> tuple[str, str]:
    """Raises Broken, whatever a template does: it is read while somebody waits for a page."""
    from jinja2 import TemplateError

    try:
        head, text = _split(_of_book(folder).get_template(name).render(known))
    except (TemplateError, *FAULTS) as error:
        raise Broken(_fault(name, error)) from error
    if not head.strip():
        raise Broken(f"{FOLDER}/{name} is broken: its first line, the subject, is empty")
    return head, text


def _fault(name: str, error: Exception) -> str:
    """Where it is broken, and why, in a line."""
    from jinja2 import TemplateSyntaxError

    place, line = name, 0
    if isinstance(error, TemplateSyntaxError):
        place, line = error.name or name, error.lineno
    trace = error.__traceback__
    while trace is not None and not line:
        file = Path(trace.tb_frame.f_code.co_filename)
        if file.name == name and file.parent.name == FOLDER:
            line = trace.tb_lineno
        trace = trace.tb_next
    why = one_line(str(error))[:LONGEST_FAULT] or type(error).__name__
    return f"{FOLDER}/{place}{f', line {line}' if line else ''}, is broken: {why}"


def _worded(templates: Environment, kind: str, known: dict[str, Any]) -> tuple[str, str]:
    return _split(templates.select_template([f"{kind}{ENDING}", f"{PLAIN}{ENDING}"]).render(known))


def _split(text: str) -> tuple[str, str]:
    head, _, rest = text.partition("\n")
    return one_line(head)[:LONGEST_SUBJECT], printable(rest).strip("\n")[:LONGEST_BODY]


@cache
def _packaged() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    # Plain text: there is nothing to escape; each channel escapes for its own format.
    loader = PackageLoader("opsbook.watch", "messages")
    return Environment(
        loader=loader, undefined=StrictUndefined, autoescape=select_autoescape([]), trim_blocks=True, lstrip_blocks=True
    )


@cache
def _of_book(folder: Path) -> Environment:
    from jinja2 import ChoiceLoader, FileSystemLoader, PackageLoader, PrefixLoader, StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    packaged = PackageLoader("opsbook.watch", "messages")
    # A template may include the packaged one that it takes the place of, as `opsbook/page.txt.jinja`.
    loader = ChoiceLoader([FileSystemLoader(folder), PrefixLoader({"opsbook": packaged})])
    return ImmutableSandboxedEnvironment(
        loader=loader, undefined=StrictUndefined, autoescape=False, trim_blocks=True, lstrip_blocks=True
    )
