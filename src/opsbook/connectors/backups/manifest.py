"""The manifest of a backup: what it holds, of what, and how each part is proven. Where it is not, there is no backup.

A backup lies below `<backup id>/<stamp>/` of its store:

    objects/<attempt>/…        the parts, written under the attempt's own id
    manifest.json              published last; makes the backup visible
    manifest.sig               Ed25519 signature of manifest.json, and the public key
    proof-<time>.json          a restore that proved it, with its figures (`Proof`)
    hold-<name>.json           keeps it from being pruned (`Hold`)
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

FORMAT: Literal[1] = 1
MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"
STAMP = "%Y%m%dT%H%M%SZ"
"""Of the start in UTC; a second backup of the same second gets `-2`."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Part(_Frozen):
    """One stored object."""

    key: str
    """Below the backup's own folder."""
    role: Literal["schema", "data", "globals", "blobs", "archive", "rdb", "store"]
    stored: int
    """Bytes as they lie there."""
    sha256: str
    """Of the stored bytes: tells damage without a key."""
    plain: int
    """Bytes before compression and encryption."""
    plain_sha256: str
    """Of those: tells a swapped or wrongly decrypted part."""
    table: str = ""
    """For `data`: schema.table as PostgreSQL quotes it."""
    order: int = 0
    """A table may be cut in several parts; they are loaded independently."""


class TableFacts(_Frozen):
    """What one table held under the backup's snapshot."""

    name: str
    """schema.table as PostgreSQL quotes it."""
    columns: tuple[str, ...]
    """Those that were copied: generated ones are not."""
    rows: int
    checksum: str
    """`record:` and the sum over the rows of hash_record_extended(row, 0), mod 2^64, under fixed settings: independent
    of order. Of a server before 14, and in older backups, that of hashtextextended(row as text, 0), as a bare number.
    """
    bytes: int = 0


class SequenceFacts(_Frozen):
    name: str
    last_value: int
    is_called: bool


class DatabaseFacts(_Frozen):
    """The database that was backed up."""

    name: str
    owner: str
    encoding: str
    collation: str
    ctype: str
    server_version: int
    """As server_version_num."""
    lsn: str
    snapshot: str = ""
    extensions: dict[str, str] = {}
    settings: dict[str, str] = {}
    """Of ALTER DATABASE … SET."""
    roles: tuple[str, ...] = ()
    """Owners and grantees that the schema names: a target must have them."""
    tables: tuple[TableFacts, ...] = ()
    sequences: tuple[SequenceFacts, ...] = ()
    materialized: tuple[str, ...] = ()
    """Materialized views in the order in which they can be filled."""
    from_replica: bool = False


class FileFacts(_Frozen):
    """One file of an archive."""

    path: str
    size: int
    sha256: str
    mode: int


class Manifest(_Frozen):
    """Everything that a restore and a verification need to know."""

    format: Literal[1] = FORMAT
    system: str
    environment: str
    backup: str
    """The book's id of it."""
    component: str
    method: str
    stamp: str
    attempt: str
    started: datetime
    finished: datetime
    data_time: datetime
    """What was committed before this is in it: the snapshot's time. RPO counts from here."""
    tool: str
    """Name and version of what dumped it."""
    opsbook: str
    book_revision: str = ""
    compression: Literal["zstd", "gzip", "none"]
    encryption: Literal["age", "none"]
    recipient: str = ""
    """The public recipient it is encrypted for; never a secret."""
    parts: tuple[Part, ...]
    database: DatabaseFacts | None = None
    files: tuple[FileFacts, ...] = ()
    copied_to: tuple[str, ...] = ()

    @property
    def stored(self) -> int:
        """Bytes of all parts as they lie there."""
        return sum(part.stored for part in self.parts)

    @property
    def plain(self) -> int:
        return sum(part.plain for part in self.parts)

    @property
    def folder(self) -> str:
        """Below the store's prefix."""
        return f"{self.backup}/{self.stamp}"


class Phase(_Frozen):
    name: str
    seconds: float


class Proof(_Frozen):
    """A restore that was verified, or found damage."""

    at: datetime
    good: bool
    kind: Literal["checksums", "restore", "drill"]
    problems: tuple[str, ...] = ()
    phases: tuple[Phase, ...] = ()
    tables: int = 0
    rows: int = 0
    run: str = ""


class Hold(_Frozen):
    """Keeps a backup from being pruned."""

    name: str
    by: str
    reason: str
    at: datetime
    until: datetime | None = None
