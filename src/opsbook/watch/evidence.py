"""Preserving the evidence of an incident: one archive with all that is known of it, each file with its SHA-256.

The archive is `tar.zst`; `manifest.json` in it lists every file with size and sum, and the sum of the archive itself
goes into the audit chain, whose head is signed outside the store. So who holds the archive can show later that nothing
of it was changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select

from opsbook.book.system import System
from opsbook.connectors.preserved import as_json, held_against_its_list, packed, sum_of, write
from opsbook.engine.access import Actor
from opsbook.engine.setting import Setting
from opsbook.errors import OpsbookError, UsageError
from opsbook.store import audit
from opsbook.store import incidents as store
from opsbook.store.database import reading
from opsbook.store.evidence import Evidence
from opsbook.store.incidents import Event, Incident
from opsbook.store.tables import audit as audit_table
from opsbook.watch.acting import act, must_be
from opsbook.watch.incident_acts import find
from opsbook.watch.incident_views import view_of

PRESERVED = "evidence preserved"
AROUND = 3600.0
"""Seconds before the opening from which audit records are preserved."""


@dataclass(frozen=True)
class Preserved:
    """An archive that was written."""

    archive: Path
    sha256: str
    files: int


class NotPreserved(OpsbookError):
    """Evidence could not be written or read."""


def preserve(
    setting: Setting, system: System, actor: Actor, which: str, folder: Path, files: Sequence[Path] = ()
) -> Preserved:
    """Write the archive of an incident into a folder, and record it. Raises NotPreserved, UsageError, Refused."""
    must_be(system, actor, "responder", "preserve evidence")
    setting.check_audit()
    now = setting.clock.now()
    with reading(setting.store) as connection:
        one = find(connection, system, which)
        view = view_of(connection, system, one, now)
    parts = [*_parts(setting, one, view.as_json()), *_gathered(view.evidence), *_given(files)]
    archive = folder / f"{one.id}-{now:%Y%m%dT%H%M%SZ}.tar.zst"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        data = packed(one.id, parts, now.timestamp(), {"incident": one.id})
        write(archive, data)
    except OSError as error:
        raise NotPreserved(f"{archive}: {error.strerror}", "name another folder with --to") from error
    digest = sum_of(data)
    text = f"evidence preserved: {archive.name}, {len(parts)} files, sha256 {digest}"
    record = act(system, actor, now, PRESERVED, {"incident": one.id, "archive": str(archive), "sha256": digest})
    setting.write(
        [
            lambda connection: store.tell(connection, [Event(one.id, now.timestamp(), actor.name, "evidence", text)]),
            lambda connection: audit.append(connection, [record]),
        ]
    )
    setting.write_head()
    return Preserved(archive, digest, len(parts))


def _parts(setting: Setting, one: Incident, view: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    yield "incident.json", as_json(view)
    lines = [f"{event['at']:.3f}\t{event['actor']}\t{event['kind']}\t{event['text']}" for event in view["timeline"]]
    yield "timeline.tsv", ("\n".join(lines) + "\n").encode("utf-8", "replace")
    with reading(setting.store) as connection:
        first = connection.execute(
            select(audit_table.c.seq).where(audit_table.c.at >= one.opened_at - AROUND).order_by(audit_table.c.seq)
        ).scalar()
    records = audit.records(setting.store, after=(first or 1) - 1) if first else iter(())
    yield "audit.jsonl", "".join(audit.as_line(record) + "\n" for record in records).encode("utf-8", "replace")


def _gathered(found: Sequence[Evidence]) -> Iterator[tuple[str, bytes]]:
    for one in found:
        name = "".join(letter if letter.isalnum() or letter in "-._" else "-" for letter in one.name)
        yield f"gathered/{name}.txt", one.text.encode("utf-8", "replace")
    yield "gathered/index.json", as_json([{**asdict(one), "text": None} for one in found])


def _given(files: Sequence[Path]) -> Iterator[tuple[str, bytes]]:
    for number, path in enumerate(files):
        try:
            yield f"files/{number:03d}-{path.name}", path.read_bytes()
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}", "name files that can be read") from error


@dataclass(frozen=True)
class Checked:
    """What a look at an archive found. `wrong` says what of it is not as it was preserved; empty where all is."""

    archive: Path
    sha256: str
    files: int
    wrong: tuple[str, ...] = ()
    recorded_at: float | None = None
    """When it was preserved, by the audit chain of this store; None where the chain does not know its sum."""


def verify(setting: Setting, archive: Path, incident: str) -> Checked:
    """Hold an archive of an incident against its own list of sums, and its sum against the audit chain. Raises
    NotPreserved."""
    try:
        data = archive.read_bytes()
    except OSError as error:
        raise NotPreserved(f"{archive}: {error.strerror}", "name an archive that `--to` wrote") from error
    digest = sum_of(data)
    kept = (one.act for one in audit.records(setting.store) if one.act.event == PRESERVED)
    recorded = next((one for one in kept if one.detail.get("sha256") == digest), None)
    if recorded and recorded.detail.get("incident") != incident:
        raise NotPreserved(f"{archive} is of {recorded.detail.get('incident')}", "name that incident")
    wrong = [] if recorded else ["the audit chain knows no archive of this sum: it was changed, or is of another store"]
    files, problems = held_against_its_list(data)
    return Checked(archive, digest, files, (*wrong, *problems), recorded.at if recorded else None)
