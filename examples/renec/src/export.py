"""The export: everything harvested, as JSON, CSV and Excel in one zip with a manifest."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, select

from src.models import Centre, Certifier, Standard, Table

Row = dict[str, Any]
TABLES: tuple[type[Table], ...] = (Standard, Certifier, Centre)


def as_json(rows: list[Row]) -> bytes:
    return json.dumps(rows, default=str, ensure_ascii=False, indent=1).encode()


def as_csv(rows: list[Row]) -> bytes:
    out = io.StringIO(newline="")
    if rows:
        writer = csv.DictWriter(out, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return out.getvalue().encode()


def as_excel(rows: list[Row]) -> bytes:
    from openpyxl import Workbook  # slow to import, and no other command needs it

    book = Workbook(write_only=True)
    sheet = book.create_sheet("data")
    if rows:
        sheet.append(list(rows[0]))
    for row in rows:
        # Excel knows no time zones; the times are UTC
        sheet.append([v.astimezone(UTC).replace(tzinfo=None) if isinstance(v, datetime) else v for v in row.values()])
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


FORMATS: dict[str, tuple[str, Callable[[list[Row]], bytes]]] = {
    "json": ("json", as_json),
    "csv": ("csv", as_csv),
    "excel": ("xlsx", as_excel),
}


def export_bundle(engine: Engine, output: Path, formats: list[str]) -> dict[str, int]:
    """Write the zip whole or not at all; returns the rows by table."""
    counts: dict[str, int] = {}
    files: dict[str, str] = {}
    partial = output.with_name(output.name + ".part")
    with engine.connect() as connection, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as bundle:
        for table in TABLES:
            name = table.__tablename__
            rows = [dict(row) for row in connection.execute(select(table.__table__).order_by("code")).mappings()]
            counts[name] = len(rows)
            for wanted in formats:
                suffix, render = FORMATS[wanted]
                content = render(rows)
                bundle.writestr(f"{name}.{suffix}", content)
                files[f"{name}.{suffix}"] = hashlib.sha256(content).hexdigest()
        manifest = {"made_at": datetime.now(UTC), "rows": counts, "sha256": files}
        bundle.writestr("manifest.json", json.dumps(manifest, default=str, indent=1))
    partial.replace(output)
    return counts
