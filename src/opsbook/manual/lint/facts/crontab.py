"""The crontab lines of a manual, wherever they stand: blocks, echo into crontab, comments of shell blocks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from opsbook.manual.document import Document

_LINE = re.compile(
    r"^\s*(?:#\s*)?(?P<fields>(?:(?:[\d*][\d*/,-]*|(?:MON|TUE|WED|THU|FRI|SAT|SUN|JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC)[A-Z,-]*)\s+){3,6}?)"
    r"(?P<command>(?:root|www-data|postgres|ubuntu|deploy)?\s*(?:cd|/|\.{1,2}/|[a-z][\w./-]*)\S*.*)$",
    re.I,
)
_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


@dataclass(frozen=True)
class Job:
    """One line of a crontab: its fields, its command, the comment above it; `commented` where it stands behind #."""

    line: int
    fields: tuple[str, ...]
    command: str
    comment: str
    commented: bool

    @property
    def fault(self) -> str:
        """Why cron refuses the line, or nothing."""
        if len(self.fields) != 5:
            return f"{len(self.fields)} time fields, cron wants five"
        for field, (low, high) in zip(self.fields, _RANGES, strict=True):
            for number in re.findall(r"(?<!/)\b\d+", re.sub(r"/\d+", "", field)):
                if not low <= int(number) <= high:
                    return f"{number} in {' '.join(self.fields)}: that field goes from {low} to {high}"
        return ""


def jobs(document: Document) -> Iterator[Job]:
    """Every line of a crontab block, and lines of shell blocks that are nothing else."""
    for fence in document.fences():
        if fence.language not in ("crontab", "bash", "text") and fence.tag.lower() not in ("cron", "crontab"):
            continue
        own = fence.language == "crontab" or fence.tag.lower() in ("cron", "crontab")
        comment = ""
        for number, text in enumerate(fence.text.split("\n"), fence.line):
            stripped = text.strip()
            found = _LINE.match(stripped)
            if found and (own or len(found["fields"].split()) == 5):
                commented = stripped.startswith("#")
                sure = re.search(r"[*]", found["fields"]) is not None
                if sure:
                    yield Job(number, tuple(found["fields"].split()), found["command"].strip(), comment, commented)
                comment = "" if not commented else comment
            elif stripped.startswith("#"):
                comment = stripped.lstrip("# ")
            elif not stripped:
                comment = ""
