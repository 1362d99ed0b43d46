"""`opsbook init`: a first book from what lies in the folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from opsbook.book.discover import Found


@click.command("init")
@click.option("--into", default="ops", show_default=True, metavar="FOLDER", help="Where book.yaml is written.")
@click.argument("folder", default=".", type=click.Path(exists=True, file_okay=False, path_type=Path))
def command(into: str, folder: Path) -> int:
    """Write a commented starter book from what lies in FOLDER.

    Looks at a compose file, Kubernetes manifests, supervisord.conf, a Procfile and .env (its names, never its values).
    An existing book is never overwritten.
    """
    from opsbook.book.discover import look
    from opsbook.book.load import BOOK_FILE
    from opsbook.book.starter import starter
    from opsbook.catalogue import catalogue
    from opsbook.connectors.registry import registered

    target = folder / into / BOOK_FILE
    _refuse_existing(folder, target)
    found = look(folder)
    text = starter(found, target.parent, catalogue(), registered().runtimes)
    _write(target, text)
    _tell(found, target)
    return 0


def _refuse_existing(folder: Path, target: Path) -> None:
    from opsbook.book.load import BOOK_FILE
    from opsbook.errors import UsageError

    for book in (target, folder / BOOK_FILE, folder / "ops" / BOOK_FILE):
        if book.exists():
            raise UsageError(f"there is a book already: {book}", "edit it; or move it away, if a new one is wanted")


def _write(target: Path, text: str) -> None:
    """All of it or nothing, and never over a book that somebody wrote meanwhile."""
    import os
    import tempfile

    from opsbook.errors import UsageError

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"{target} cannot be written: {error.strerror}", "choose another folder with --into"
        ) from error
    try:
        with tempfile.NamedTemporaryFile(
            "w", dir=target.parent, prefix=".book-", encoding="utf-8", delete=False
        ) as new:
            new.write(text)
        temporary = Path(new.name)
        temporary.chmod(0o644)
        try:
            os.link(temporary, target)
        finally:
            temporary.unlink()
    except FileExistsError as error:
        raise UsageError(f"there is a book already: {target}", "edit it; or move it away") from error
    except OSError as error:
        raise UsageError(
            f"{target} cannot be written: {error.strerror}", "choose another folder with --into"
        ) from error


def _tell(found: Found, target: Path) -> None:
    click.echo(str(target))
    if found.sources:
        parts = found.parts
        what = f"{len(parts)} part{'s' if len(parts) != 1 else ''}" if parts else "variables"
        click.echo(f"found {what} in {', '.join(found.sources)}", err=True)
    else:
        click.echo("found nothing that tells of a system; the book watches this machine", err=True)
    for reason in found.unread:
        click.echo(f"not understood: {reason}", err=True)
    click.echo("next: read it, set the variables that it names, then `opsbook doctor`", err=True)
