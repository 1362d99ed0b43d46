"""Manuals as the command line names them: files read as text, whatever their quality."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from opsbook.errors import UsageError

if TYPE_CHECKING:
    from opsbook.manual.document import Document

LARGEST_MANUAL = 8 * 2**20
"""Bytes; what is larger was not written by people."""


@dataclass(frozen=True)
class ManualFile:
    """A manual and where it lies. `text` is as the file has it, but for bytes that are no UTF-8."""

    path: Path
    text: str
    document: Document


def read_manual_file(path: Path) -> ManualFile:
    """Raises UsageError for a file that cannot be read."""
    from opsbook.manual.document import read_document

    text = read_manual_text(path)
    return ManualFile(path, text, read_document(text, str(path)))


def read_manual_text(path: Path) -> str:
    """The text of a manual or of a file that stands beside one. Raises UsageError."""
    try:
        if path.is_dir():
            raise UsageError(f"{path} is a folder", "name the Markdown files in it")
        if path.stat().st_size > LARGEST_MANUAL:
            raise UsageError(f"{path} is larger than {LARGEST_MANUAL // 2**20} MiB", "is it a manual?")
        return path.read_bytes().decode("utf-8", "replace")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", "give the path of a Markdown file") from error
