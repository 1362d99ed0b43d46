"""Releases: copies of the application side by side, one of which `current` points to."""

from __future__ import annotations

import compileall
import py_compile
import re
import shutil
from pathlib import Path

from stack.errors import StackError
from stack.instance import EXAMPLE, Instance

PARTS = ("src", "migrations", "alembic.ini")
NEXT_VERSION = "1.1.0"
"""Lies beside the first wherever the system runs in containers: something to deploy."""
FAULTS = ("slow", "crash", "errors")
VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+-]{0,31}")
EXTRA_MIGRATION = '''"""Remember who asked for a harvest."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("harvest_runs", sa.Column("requested_by", sa.Text))


def downgrade() -> None:
    op.drop_column("harvest_runs", "requested_by")
'''


def first_version() -> str:
    return (EXAMPLE / "VERSION").read_text().strip()


def make(instance: Instance, version: str, fault: str = "", migration: bool = False) -> Path:
    """Copy the application as a release; it is whole or absent. `migration` adds one that makes a column.

    Raises StackError for a version that exists or is no version, and for an unknown fault.
    """
    if not VERSION.fullmatch(version):
        raise StackError(f"{version!r} is no version", "use letters, digits, dots and dashes, as in 1.1.0")
    if fault and fault not in FAULTS:
        raise StackError(f"unknown fault {fault!r}", f"use one of {', '.join(FAULTS)}")
    target = instance.folder("releases") / version
    if target.exists():
        raise StackError(f"release {version} exists", f"remove {target} or choose another version")
    partial = target.with_name(f".{version}.new")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    copy(partial, version, fault, migration)
    compile_sources(partial, target)
    partial.replace(target)
    return target


def copy(folder: Path, version: str, fault: str = "", migration: bool = False) -> None:
    """The application's sources in a folder, as a release of this version."""
    for part in PARTS:
        source = EXAMPLE / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, folder / part)
    (folder / "VERSION").write_text(version + "\n")
    if fault:
        (folder / "FAULT").write_text(fault + "\n")
    if migration:
        (folder / "migrations" / "versions" / "0004_requested_by.py").write_text(EXTRA_MIGRATION)


def compile_sources(folder: Path, place: Path) -> None:
    """Compile for the `place` that `folder` will have; an image keeps no times, so sums are compared."""
    compileall.compile_dir(
        folder / "src", quiet=2, stripdir=str(folder), prependdir=str(place),
        invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH,
    )  # fmt: skip


def point_current_to(instance: Instance, version: str) -> None:
    """Switch `current` in one step; processes that run keep the release that they were started from."""
    fresh = instance.root / ".current.new"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(Path("releases") / version)
    fresh.replace(instance.current)
