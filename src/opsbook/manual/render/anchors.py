"""Where links lead: the anchors of a manual's headings, made as GitHub makes them, so that Markdown and HTML agree."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from opsbook.manual.render.pieces import Manual, Prose, Section

OUTERMOST = 2
"""The level of a manual's own sections; its title is the only heading above."""
_HEADING = re.compile(r" {0,3}(?P<marks>#{1,6})[ \t]+(?P<text>.*?)[ \t]*#*[ \t]*$")
_FENCE = re.compile(r"\s*(?:[-*+]|\d+[.)])?\s*(?P<marks>`{3,}|~{3,})")
_FILE = re.compile(r"\]\((?:\./)?(?P<name>[a-z0-9][a-z0-9_.-]*)\.md(?:#[^)\s]*)?\)")


def slug(title: str, taken: dict[str, int]) -> str:
    """The anchor of a heading; one that is taken gets a number. Notes it in `taken`."""
    plain = re.sub(r"[`*]|(?<!\w)_|_(?!\w)", "", title).lower()
    found = re.sub(r"[^\w\- ]", "", plain).strip().replace(" ", "-") or "section"
    if found not in taken:
        taken[found] = 0
        return found
    taken[found] += 1
    return slug(f"{found}-{taken[found]}", taken)


def anchors_of(manual: Manual) -> tuple[dict[int, str], dict[str, str]]:
    """The anchor of each section by its identity, and of each key."""
    taken: dict[str, int] = {}
    slug(manual.title, taken)
    slug("Contents", taken)
    by_section: dict[int, str] = {}
    by_key: dict[str, str] = {}
    for section, level in walk(manual.sections):
        by_section[id(section)] = anchor = slug(section.title, taken)
        if section.key:
            by_key[section.key] = anchor
        for block in section.blocks:
            if isinstance(block, Prose):
                for _, _, text in headings(block.text, level):
                    slug(text, taken)
    return by_section, by_key


def walk(sections: tuple[Section, ...], level: int = OUTERMOST) -> Iterator[tuple[Section, int]]:
    """Every section with its level, in order."""
    for section in sections:
        yield section, level
        yield from walk(section.parts, level + 1)


def headings(text: str, below: int) -> Iterator[tuple[int, int, str]]:
    """Line number from 0, level and text of the headings of a prose that stands below a heading of level `below`."""
    found = list(_headings(text))
    shift = below + 1 - min((level for _, level, _ in found), default=1)
    for number, level, title in found:
        yield number, min(6, level + shift), title


def _headings(text: str) -> Iterator[tuple[int, int, str]]:
    fence = ""
    for number, line in enumerate(text.split("\n")):
        mark = _FENCE.match(line)
        if fence:
            if mark and mark["marks"].startswith(fence) and not line.strip(" `~"):
                fence = ""
        elif mark:
            fence = mark["marks"]
        elif match := _HEADING.match(line):
            yield number, len(match["marks"]), match["text"]


def prose_of(block: Prose, level: int, anchors: Mapping[str, str], procedure: str = "procedure-") -> str:
    """A prose with its headings at their level and its links to other procedures leading to them."""
    lines = block.text.split("\n")
    for number, depth, title in headings(block.text, level):
        lines[number] = f"{'#' * depth} {title}"

    def lead(match: re.Match[str]) -> str:
        anchor = anchors.get(procedure + match["name"])
        return f"](#{anchor})" if anchor else match[0]

    return "\n".join(_FILE.sub(lead, one) for one in lines)
