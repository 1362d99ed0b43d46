"""The parts of a section: what stands under each bold title or introducing line, as readers see it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from opsbook.manual.document import Block, Document, Fence, Heading, ListItem, Paragraph, Prose, Quote, Section
from opsbook.manual.inline import leading_strong
from opsbook.manual.vocabulary import is_template

_NUMBERED = re.compile(
    r"\s*(?:step\s+|schritt\s+|paso\s+|passo\s+|phase\s+|fase\s+|шаг\s+|步骤\s*|第)?(\d+)\s*(?:[.):：步]|[-–—]\s)", re.I
)


@dataclass(frozen=True)
class Part:
    """A run of blocks of one section.

    `lead` is the paragraph that titles it (bold, or ending in a colon), None before the first.
    """

    section: Section
    title: str
    line: int
    bold: bool
    lead: Paragraph | None
    blocks: tuple[Block, ...]

    @property
    def path(self) -> tuple[str, ...]:
        return self.section.path

    @property
    def context(self) -> str:
        """The title and those of all sections above, for the words in them."""
        return " · ".join((*self.section.path, self.title))

    def items(self) -> list[ListItem]:
        """The outermost list items."""
        return [block for block in self.blocks if isinstance(block, ListItem)]

    def fences(self) -> list[Fence]:
        """All code blocks, those inside list items too."""
        return [block for block in within(self.blocks) if isinstance(block, Fence)]


def within(blocks: tuple[Block, ...]) -> Iterator[Block]:
    """Every block and what it holds."""
    for block in blocks:
        yield block
        if isinstance(block, (ListItem, Quote)):
            yield from within(block.children)


def lead_title(block: Block) -> str | None:
    """The title that a paragraph gives to what follows, or None where it is running text.

    A title is one line that is bold as a whole, or bold up to a colon or a remark in brackets; or a short line ending
    in a colon.
    """
    if not isinstance(block, Paragraph) or len(block.lines) != 1:
        return None
    text = block.text.strip()
    if block.strong:
        rest = text[len(block.strong) :] if text.startswith(block.strong) else text.partition(block.strong)[2]
        if re.fullmatch(r"\s*(?:\([^)]*\)|（[^）]*）)?\s*[:：.]?\s*", rest):
            return text.rstrip(" :：")
    if text.endswith((":", "：")) and len(text) <= 100 and not re.search(r"[.!?。]\s", text):
        return text.rstrip(" :：")
    return None


def is_bold_lead(block: Block) -> bool:
    """Whether a title is set in bold."""
    return isinstance(block, Paragraph) and bool(block.strong) and lead_title(block) is not None


def parts(section: Section, *, plain: bool = True) -> list[Part]:
    """The parts of a section's own blocks. With `plain` off only bold titles divide it."""
    heading: Heading | None = section.heading
    found: list[Part] = []
    lead: Paragraph | None = None
    title, line, bold = section.title, heading.line if heading else section.line, False
    blocks: list[Block] = []
    for block in section.blocks:
        name = lead_title(block)
        if name and isinstance(block, Paragraph) and (plain or is_bold_lead(block)):
            if blocks or lead is not None:
                found.append(Part(section, title, line, bold, lead, tuple(blocks)))
            lead, title, line, bold, blocks = block, name, block.line, is_bold_lead(block), []
        else:
            blocks.append(block)
    if blocks or lead is not None:
        found.append(Part(section, title, line, bold, lead, tuple(blocks)))
    return found


def all_parts(document: Document, *, plain: bool = True) -> Iterator[Part]:
    """The parts of every section."""
    for section in document.all_sections():
        yield from parts(section, plain=plain)


def repeated_titles(document: Document) -> frozenset[str]:
    """Bold titles that three sections or more share: they are the manual's own template, in whatever language."""
    seen: Counter[str] = Counter()
    for section in document.all_sections():
        seen.update({_key(part.title) for part in parts(section, plain=False) if part.lead is not None})
    return frozenset(title for title, count in seen.items() if count >= 3)


# A bold line that tells to do something, or when, is a step; one that names a thing is a title.
_INSTRUCTION = re.compile(
    r"\W*(?:check|verify|run|test|confirm|tail|query|execute|wait|stop|start|install|build|view|show|get|list|"
    r"use|enable|disable|add|remove|edit|set|open|connect|login|log in|copy|"
    r"if|for|or|option|using|via|then|finally|first|next|alternative(?:ly)?|optional|otherwise|after|before|"
    r"once|when|in case|expected|ensure|review|identify|gather|look|note|"
    r"zu|si|para|cuando|ejecutar|verificar|comprobar|wenn|falls|prüfen|ausführen|если|проверить|se|quando|executar)\b",
    re.I,
)


def names_a_part(title: str, repeated: frozenset[str]) -> bool:
    """Whether a bold title only names a stage of the procedure around it."""
    return (
        is_template(title) or _key(title) in repeated or bool(_NUMBERED.match(title)) or bool(_INSTRUCTION.match(title))
    )


def number_of(title: str) -> int | None:
    """The number that a title begins with, as in `1. Detection` or `Step 2: Restore`."""
    match = _NUMBERED.match(title)
    return int(match[1]) if match else None


def key_value(block: Prose) -> tuple[str, str] | None:
    """`**Time**: 3 AM`, `Time: 3 AM`, `Time - 3 AM`: name and value of a line, or None."""
    text = block.text.split("\n")[0].strip()
    return split_pair(text, block.strong)


def split_pair(text: str, strong: str = "") -> tuple[str, str] | None:
    """Name and value of a text of the form `name: value`; a bold opening is a name even before a dash."""
    if strong and text.startswith(strong):
        name, rest = strong, text[len(strong) :]
        match = re.match(r"\s*(?:[(（][^)）]*[)）])?\s*[:：–—-]?\s*", rest)
        value = rest[match.end() :] if match else rest
        if name.rstrip().endswith((":", "：")) or (match and re.search(r"[:：–—-]", match[0])):
            return name.strip(" :："), value.strip()
        return None
    match = re.match(r"([^:：]{1,60}?)\s*(?::\s+|：\s*|\s[–—-]\s|\s→\s)(.+)$", text, re.S)
    if match and not match[1].strip().startswith(("http", "//")):
        return match[1].strip(" *"), match[2].strip()
    return None


def named_values(part: Part) -> Iterator[tuple[str, str, int]]:
    """The `name: value` lines of a part, of its outermost list items and of its paragraphs, with their lines."""
    for block in part.blocks:
        if isinstance(block, ListItem) and block.checked is None:
            pair = key_value(block)
            if pair is not None:
                yield (*pair, block.line)
        elif isinstance(block, Paragraph) and block.strong:
            for line in block.lines:
                pair = split_pair(line.text, leading_strong(line.source))
                if pair is not None:
                    yield (*pair, line.line)


def _key(title: str) -> str:
    return re.sub(r"\W+", " ", title).strip().lower()
