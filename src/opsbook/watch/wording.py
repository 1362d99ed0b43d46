"""The words of messages: one text file a kind, its first line the subject. What is not ours is made printable."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from opsbook.printable import one_line, printable

if TYPE_CHECKING:
    from jinja2 import Environment

LONGEST_SUBJECT = 160
LONGEST_BODY = 20_000
PLAIN = "plain"
"""The template of kinds that have none of their own: subject and body as they are."""


def rendered(kind: str, subject: str, body: str, facts: dict[str, Any]) -> tuple[str, str]:
    """Subject and body of a message."""
    templates = _templates()
    name = f"{kind}.txt.jinja"
    template = templates.get_template(name if name in templates.list_templates() else f"{PLAIN}.txt.jinja")
    text = template.render(**facts, subject=one_line(subject), body=printable(body))
    head, _, rest = text.partition("\n")
    return one_line(head)[:LONGEST_SUBJECT], printable(rest).strip("\n")[:LONGEST_BODY]


@cache
def _templates() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    # Plain text: there is nothing to escape; each channel escapes for its own format.
    loader = PackageLoader("opsbook.watch", "messages")
    return Environment(
        loader=loader, undefined=StrictUndefined, autoescape=select_autoescape([]), trim_blocks=True, lstrip_blocks=True
    )
