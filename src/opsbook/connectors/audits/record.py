"""The evidence of a security audit: one record as JSON and as Markdown, each with its SHA-256.

The record says what was asked and answered, what could not be asked and why, and the findings with their severity.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from opsbook.connectors.preserved import sum_of, write
from opsbook.errors import OpsbookError

FOLDER = ".opsbook/audits"
SHOWN = 100
"""Findings of one question in the Markdown; the JSON has all that were kept."""


@dataclass(frozen=True)
class Asked:
    """One question of an audit and its answer. `severity` is empty where nothing was found."""

    subject: str
    question: str
    component: str
    severity: str
    value: str
    sentence: str
    detail: Any = None
    not_asked: tuple[str, ...] = ()
    """Why it has no answer, or what was left out of it."""


@dataclass(frozen=True)
class Audit:
    """All of it."""

    system: str
    environment: str
    at: datetime
    asked: tuple[Asked, ...]
    without: tuple[Asked, ...]
    """Questions without an answer."""

    @property
    def findings(self) -> list[Asked]:
        order = ("critical", "warning")
        return sorted((one for one in self.asked if one.severity), key=lambda one: order.index(one.severity))

    @property
    def partly(self) -> list[Asked]:
        return [one for one in self.asked if one.not_asked]

    @property
    def summary(self) -> str:
        count = {name: sum(one.severity == name for one in self.asked) for name in ("critical", "warning")}
        told = f"{len(self.asked)} asked: {count['critical']} critical, {count['warning']} warning"
        partly = f", {len(self.partly)} answered in part" if self.partly else ""
        return f"{told}{partly}; {len(self.without)} could not be asked"


def as_json(audit: Audit) -> bytes:
    """Stable: the same audit gives the same bytes."""
    told = {**asdict(audit), "at": audit.at.isoformat(), "summary": audit.summary}
    return (json.dumps(told, indent=2, ensure_ascii=False, sort_keys=True, default=str) + "\n").encode(
        "utf-8", "replace"
    )


def as_markdown(audit: Audit, digest: str) -> bytes:
    """For people; `digest` is that of the JSON."""
    title, when = f"# Security audit of {audit.system}, {audit.environment}", f"{audit.at:%Y-%m-%d %H:%M} UTC"
    lines = [title, "", f"{when}. {audit.summary}.", "", "## Findings", ""]
    lines += [line for one in audit.findings for line in _finding(one)] or ["None of what was asked.", ""]
    lines += ["## Not asked", "", "Nobody knows the answers to these.", ""] if audit.without or audit.partly else []
    lines += [
        f"- {_plain(one.subject)}: {_plain(why)}"
        for one in (*audit.without, *audit.partly)
        for why in one.not_asked[:10]
    ]
    lines += ["", "## Asked", "", "| what | of | question | answer |", "|---|---|---|---|"]
    lines += [_line(one) for one in audit.asked]
    lines += ["", f"SHA-256 of the record as JSON: `{digest}`", ""]
    return "\n".join(lines).encode("utf-8", "replace")


def _line(one: Asked) -> str:
    return f"| {_cell(one.subject)} | {_cell(one.component)} | `{one.question}` | {_cell(one.sentence or one.value)} |"


def _finding(one: Asked) -> list[str]:
    lines = [
        f"### {one.severity}: {_plain(one.subject)}",
        "",
        _plain(one.sentence or one.value),
        "",
    ]
    rows = one.detail.get("findings", []) if isinstance(one.detail, dict) else one.detail
    rows = rows if isinstance(rows, list) else []
    lines += [f"- {_plain(_row(each))}" for each in rows[:SHOWN]]
    more = len(rows) - SHOWN
    return [*lines, *([f"- and {more} more in the JSON"] if more > 0 else []), *([""] if rows else [])]


def _row(row: object) -> str:
    if not isinstance(row, dict):
        return str(row)
    told = {name: value for name, value in row.items() if value not in (None, "", [])}
    first = " ".join(
        str(told.pop(name)) for name in ("subject", "version", "what", "severity", "words") if name in told
    )
    return ", ".join([first, *(f"{name} {value}" for name, value in told.items())]).removeprefix(", ")


def _plain(text: object) -> str:
    return " ".join(str(text).split()).replace("<", "&lt;")


def _cell(text: object) -> str:
    return _plain(text).replace("|", "\\|")


def written(folder: Path, audit: Audit) -> dict[str, Any]:
    """Both files, never over another. Raises OpsbookError where they cannot be written."""
    data = as_json(audit)
    digest = sum_of(data)
    page = as_markdown(audit, digest)
    name = f"{audit.system}-{audit.environment}-{audit.at:%Y%m%dT%H%M%S%fZ}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path, content in ((folder / f"{name}.json", data), (folder / f"{name}.md", page)):
            write(path, content)
    except OSError as error:
        raise OpsbookError(
            f"{folder}: the evidence cannot be written: {error.strerror}", "make room or check its rights"
        ) from error
    return {"json": f"{name}.json", "sha256": digest, "markdown": f"{name}.md",
            "markdown_sha256": sum_of(page)}  # fmt: skip
