"""A bundle of data that is handed out: the answers of queries at one moment, as JSON, CSV and Excel files in one zip.

Rows are streamed: memory is bounded whatever the queries yield. `manifest.json` in the zip says of each file its rows,
bytes and SHA-256. Blocking.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from opsbook.book.recovery import Export
from opsbook.connectors.backups.postgres_restore import Interrupted, Target, words
from opsbook.connectors.change import ChangeFailed
from opsbook.connectors.objectstore.contract import ObjectStore
from opsbook.connectors.objectstore.keys import safe
from opsbook.connectors.plain_values import plain

ROWS = 2000
"""Rows that are fetched at a time."""
PIECE = 1 << 20
EXCEL_ROWS = 1_048_575
"""What a sheet holds below its headings."""
STAMP = "%Y%m%dT%H%M%S%fZ"


class Format(Protocol):
    """One file that is being written."""

    def row(self, values: Sequence[Any], /) -> None: ...
    def end(self) -> None: ...


class JsonRows:
    """A list of objects."""

    def __init__(self, file: BinaryIO, columns: Sequence[str]) -> None:
        self.file, self.columns, self.between = file, columns, b"[\n"

    def row(self, values: Sequence[Any], /) -> None:
        told = dict(zip(self.columns, map(plain, values), strict=True))
        self.file.write(self.between + json.dumps(told, ensure_ascii=False).encode())
        self.between = b",\n"

    def end(self) -> None:
        self.file.write(b"\n]\n" if self.between != b"[\n" else b"[]\n")


class CsvRows:
    """RFC 4180, with a line of headings. A text that a spreadsheet would run as a formula begins with a quote."""

    def __init__(self, file: BinaryIO, columns: Sequence[str]) -> None:
        self.text = io.TextIOWrapper(file, "utf-8", newline="", write_through=True)
        self.writer = csv.writer(self.text, lineterminator="\r\n")
        self.writer.writerow(columns)

    def row(self, values: Sequence[Any], /) -> None:
        self.writer.writerow([_harmless(plain(one)) for one in values])

    def end(self) -> None:
        self.text.flush()
        self.text.detach()


class ExcelRows:
    """One sheet."""

    def __init__(self, file: BinaryIO, columns: Sequence[str]) -> None:
        try:
            from openpyxl import Workbook  # type: ignore[import-untyped]
        except ImportError:
            raise ChangeFailed("Excel files need openpyxl", "pip install 'opsbook[excel]'") from None
        self.file, self.count = file, 0
        self.book = Workbook(write_only=True)
        self.sheet = self.book.create_sheet("data")
        self.sheet.append(list(columns))

    def row(self, values: Sequence[Any], /) -> None:
        self.count += 1
        if self.count > EXCEL_ROWS:
            raise ChangeFailed(f"an Excel sheet holds no more than {EXCEL_ROWS:,} rows", "export it as csv or json")
        self.sheet.append([_harmless(_cell(one)) for one in values])

    def end(self) -> None:
        self.book.save(self.file)


FORMATS: dict[str, Callable[[BinaryIO, Sequence[str]], Format]] = {
    "json": JsonRows, "csv": CsvRows, "xlsx": ExcelRows,
}  # fmt: skip


@dataclass(frozen=True)
class Exported:
    """A bundle that was written."""

    name: str
    bytes: int
    rows: Mapping[str, int]
    removed: tuple[str, ...]
    """Older bundles that were deleted."""


def export(
    one: Export, server: Target, store: ObjectStore, now: datetime, stop: threading.Event,
    tell: Callable[[str], None] = lambda _: None,
) -> Exported:  # fmt: skip
    """Write the bundle into the store, where it appears whole or not at all; then delete the oldest ones.

    Raises ChangeFailed with the query that failed, and what the store raises.
    """
    name = f"{one.id}-{now.strftime(STAMP)}.zip"
    with tempfile.TemporaryDirectory(prefix="opsbook-export-") as folder:
        bundle = Path(folder) / name
        rows = _bundled(one, server, bundle, Path(folder), now, stop, tell)
        size = bundle.stat().st_size
        writing = store.begin(f"{one.id}/{name}")
        try:
            with bundle.open("rb") as file:
                while data := file.read(PIECE):
                    _look(stop)
                    writing.write(data)
            writing.commit()
        finally:
            writing.abort()
    return Exported(name, size, rows, tuple(_pruned(one, store)))


def _bundled(
    one: Export, server: Target, bundle: Path, folder: Path, now: datetime, stop: threading.Event,
    tell: Callable[[str], None],
) -> dict[str, int]:  # fmt: skip
    """All queries see one moment."""
    manifest: dict[str, Any] = {"export": one.id, "at": now.isoformat(), "files": {}}
    counted = {}
    with server.session() as connection, zipfile.ZipFile(bundle, "w", zipfile.ZIP_DEFLATED) as archive:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        for number, (name, query) in enumerate(one.queries.items()):
            files: dict[str, Path] = {form: folder / f"{number}.{form}" for form in one.formats}
            counted[name] = _answered(connection, name, query, files, stop)
            for form, path in files.items():
                archive.write(path, told := f"{safe(name)}.{form}")
                manifest["files"][told] = {"rows": counted[name], **_told(path)}
                path.unlink()
            tell(f"{name}: {counted[name]:,} rows\n")
        connection.execute("ROLLBACK")
        archive.writestr("manifest.json", json.dumps(manifest, indent=1, ensure_ascii=False))
    return counted


def _answered(connection: Any, name: str, query: str, files: Mapping[str, Path], stop: threading.Event) -> int:
    import psycopg

    count = 0
    try:
        with connection.cursor(name="opsbook_export") as cursor:
            cursor.itersize = ROWS
            cursor.execute(query.encode())
            first = cursor.fetchmany(ROWS)
            columns = [column.name for column in cursor.description or ()]
            with _written(files, columns) as formats:
                while first:
                    _look(stop)
                    for values in first:
                        for form in formats:
                            form.row(values)
                    count += len(first)
                    first = cursor.fetchmany(ROWS)
    except psycopg.Error as error:
        raise ChangeFailed(f"the query {name}: {words(error)}", "correct it under `exports` of the book") from None
    return count


@contextmanager
def _written(files: Mapping[str, Path], columns: Sequence[str]) -> Iterator[list[Format]]:
    with ExitStack() as open_files:
        formats = [FORMATS[form](open_files.enter_context(path.open("wb")), columns) for form, path in files.items()]
        yield formats
        for form in formats:
            form.end()


def _told(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _pruned(one: Export, store: ObjectStore) -> Iterator[str]:
    """The stamps order as they were written."""
    if not one.keep:
        return
    found = sorted(stored.key for stored in store.list(one.id) if stored.key.endswith(".zip"))
    for key in found[: -one.keep]:
        store.delete(key)
        yield key


def _look(stop: threading.Event) -> None:
    if stop.is_set():
        raise Interrupted("the export was stopped")


def _harmless(value: Any) -> Any:
    """OWASP, "CSV injection": a cell that begins so is a formula to a spreadsheet."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def _cell(value: Any) -> Any:
    told = plain(value)
    return json.dumps(told, ensure_ascii=False) if isinstance(told, list | dict) else told
