"""What holds a manual together: blocks of configuration, and links between its sections."""

from __future__ import annotations

import re

from opsbook.manual.document import Document, Fence
from opsbook.manual.extract.yaml_nodes import entries
from opsbook.manual.facts import ConfigBlock, Reference

_CONFIG = frozenset(
    {"yaml", "json", "toml", "ini", "env", "conf", "nginx", "hcl", "dockerfile", "crontab", "xml", "python"}
)


def config_blocks(document: Document) -> list[ConfigBlock]:
    """All blocks that configure something, with what they configure where they say so."""
    return [
        ConfigBlock(line=fence.line, language=fence.language, what=_what(fence))
        for fence in document.fences()
        if fence.language in _CONFIG
    ]


def _what(fence: Fence) -> str:
    if fence.language == "yaml":
        for entry in entries(fence.text, fence.line):
            meta = entry.entry("metadata")
            if entry.text("kind"):
                return f"{entry.text('kind')} {meta.text('name') if meta else ''}".strip()
            break
        if re.search(r"^\s*-\s*alert:", fence.text, re.M):
            return "Prometheus rules"
    first = fence.text.lstrip().split("\n")[0]
    comment = re.match(r"(?:#|//|;|--)\s*(.+)", first)
    if comment:
        return comment[1].strip()
    return fence.section_path[-1] if fence.section_path else ""


def references(document: Document) -> list[Reference]:
    """All links, with whether those into the same manual lead anywhere."""
    anchors = {heading.anchor for heading in document.headings()}
    found = []
    for link in document.links():
        if link.target.startswith("#"):
            target = link.target[1:]
            found.append(
                Reference(
                    line=link.line,
                    text=link.text,
                    target=link.target,
                    kind="section",
                    resolves=target.lower() in anchors,
                )
            )
        elif re.match(r"[a-z][a-z0-9+.-]*:", link.target, re.I):
            found.append(Reference(line=link.line, text=link.text, target=link.target, kind="url"))
        elif link.target:
            found.append(Reference(line=link.line, text=link.text, target=link.target, kind="file"))
    return found
