"""Checklists: lists of boxes to tick."""

from __future__ import annotations

from opsbook.manual.document import Document, ListItem, Section
from opsbook.manual.facts import Checklist
from opsbook.manual.outline import Part, parts, within
from opsbook.manual.vocabulary import says


def checklists(document: Document) -> list[Checklist]:
    """All checklists of a manual: one for each title that stands over boxes.

    Boxes below the items of one numbered list are one checklist in stages. A list without boxes counts where its
    title says so.
    """
    found: list[Checklist] = []
    for section in document.all_sections():
        found.extend(_of_section(section))
    return found


def _of_section(section: Section) -> list[Checklist]:
    found: list[Checklist] = []
    for part in parts(section):
        boxes = [block for block in within(part.blocks) if isinstance(block, ListItem) and block.checked is not None]
        if not boxes and _says_so(part):
            boxes = [item for item in part.items() if not item.children or len(part.items()) >= 3]
        if boxes:
            made = Checklist(line=_line(part, boxes[0]), title=part.title, items=tuple(box.text for box in boxes))
            found.append(made)
    return found


def _says_so(part: Part) -> bool:
    """A plain list is a checklist where its own title says so."""
    items = part.items()
    return (
        says(part.title, "checklist")
        and len(items) >= 3
        and not part.fences()
        and not any(item.links for item in items)
    )


def _line(part: Part, first: ListItem) -> int:
    """The title's line; the list's own where the title is far above it."""
    return part.line if part.lead is not None or first.line - part.line <= 12 else first.list_line
