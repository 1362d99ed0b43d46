"""Checklists: lists of boxes to tick."""

from __future__ import annotations

import re

from opsbook.manual.document import Document, ListItem, Section
from opsbook.manual.facts import Checklist
from opsbook.manual.outline import Part, parts, within
from opsbook.manual.vocabulary import says

_DRAWN = re.compile(r"\s*(?:[-*]\s+)?(?:[□☐☑]|\[[ xX]?\])\s+(\S.*)")


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
        if boxes and all(box.checked for box in boxes):
            continue  # what is ticked already tells what is so
        if not boxes:
            found.extend(_of_texts(part))
        elif (item := _item_over(part, boxes)) is not None:
            title = item.strong.rstrip(":：") or item.text.split("\n")[0]
            found.append(Checklist(line=item.line, title=title, items=tuple(box.text for box in boxes)))
        else:
            made = Checklist(line=_line(part, boxes[0]), title=part.title, items=tuple(box.text for box in boxes))
            found.append(made)
    return found


def _item_over(part: Part, boxes: list[ListItem]) -> ListItem | None:
    """The one item of several that alone holds all the boxes: it titles them."""
    items = part.items()
    over = [item for item in items if any(box in boxes for box in within(item.children))]
    inner = over and not any(item.checked is not None for item in items)
    return over[0] if inner and len(items) >= 1 and len(over) == 1 and over[0].line - part.line > 2 else None


def _of_texts(part: Part) -> list[Checklist]:
    """Boxes drawn in a block of text (`□ Check the logs`), line below line."""
    found: list[Checklist] = []
    for fence in part.fences():
        lines = [line for line in fence.text.split("\n") if line.strip() and not line.lstrip().startswith("#")]
        boxes = [match[1] for line in lines if (match := _DRAWN.match(line)) is not None]
        if len(boxes) >= 3 and len(boxes) * 3 >= len(lines) * 2 and fence.language != "markdown":
            line = part.line if fence.opening_line - part.line <= 3 else fence.opening_line
            found.append(Checklist(line=line, title=part.title, items=tuple(boxes)))
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
