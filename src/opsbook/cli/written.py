"""What a verb wrote: printed, or put into the file that `--to` names."""

from __future__ import annotations

from pathlib import Path

import click

from opsbook.errors import UsageError


def written(to: str, text: str) -> int:
    """Returns the exit code. Raises UsageError where the file cannot be written; `-` prints."""
    if to == "-":
        click.echo(text, nl=False)
        return 0
    try:
        Path(to).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{to}: {error.strerror}", "name a file that can be written with --to") from error
    return 0
