"""What the book says of how long data is kept and what is handed out, as procedures."""

from __future__ import annotations

from collections.abc import Iterator

from opsbook.book.recovery import Retention
from opsbook.book.system import System
from opsbook.book.units import write_duration
from opsbook.connectors.files import FilesComponent
from opsbook.connectors.postgres import PostgresComponent
from opsbook.recovery.templates import filled


def families(system: System) -> Iterator[tuple[str, str]]:
    """Name and Markdown of each."""
    for one in system.model.retention:
        if step := _step(system, one):
            keep = write_duration(one.keep.total_seconds())
            template = "retention" if one.archive_to is None else f"retention-archive{'-rows' if one.table else ''}"
            yield (
                f"retention-{retention_name(one)}",
                filled(template, what=one.table or f"the files of {one.of}", component=one.of, keep=keep, step=step),
            )
    for export in system.model.exports:
        if export.to and isinstance(system.components.get(export.of), PostgresComponent):
            names = {"export": export.id, "component": export.of, "sheets": ", ".join(export.queries)}
            yield f"export-{export.id}", filled("export", **names)


def retention_name(one: Retention) -> str:
    """Its own, or that of its table; of files without a name that of their component."""
    return one.id or one.table or one.of


def _step(system: System, one: Retention) -> str:
    """The operation; empty where this version has none that does just that."""
    component, age = system.components.get(one.of), write_duration(one.keep.total_seconds()).replace(" ", "")
    if one.table and not one.where and isinstance(component, PostgresComponent):
        archive = f"\n     rule: {retention_name(one)}" if one.archive_to is not None else ""
        return (
            f"postgres.purge:\n     of: {one.of}\n     table: {one.table}\n     column: {one.column}\n"
            f"     older_than: {age}\n     batch: {one.batch}\n     timezone: {system.model.timezone}{archive}"
        )
    if one.path and isinstance(component, FilesComponent) and (pattern := _pattern(one.path, component)):
        if one.archive_to is not None:
            rule = retention_name(one)
            return f'files.archive: {{of: {one.of}, rule: {rule}, pattern: "{pattern}", older_than: {age}}}'
        return f'files.purge: {{of: {one.of}, pattern: "{pattern}", older_than: {age}}}'
    return ""


def _pattern(path: str, component: FilesComponent) -> str:
    """What the path means within the component's folder; empty where it lies elsewhere."""
    root = component.path.rstrip("/")
    if path.rstrip("/") == root:
        return "*"
    return path.removeprefix(f"{root}/") if path.startswith(f"{root}/") else ""
