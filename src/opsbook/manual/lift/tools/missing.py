"""Programs whose meaning is known and whose operation is not registered yet, as a table."""

from __future__ import annotations

from opsbook.manual.lift.context import Lifted, Stay, Use
from opsbook.manual.lift.model import Why
from opsbook.manual.lift.registry import lifts

MEANT = {
    "alembic": ("upgrade downgrade stamp", "database.migrate", "postgres"),
    "flyway": ("migrate undo clean", "database.migrate", "postgres"),
    "gsutil": ("cp rsync rm", "bucket.copy", ""),
    "rclone": ("copy sync", "bucket.copy", ""),
    "s3cmd": ("put get sync", "bucket.copy", ""),
    "nginx": ("reload", "proxy.reload", "proxy"),
}
"""Program → the words that change something, the operation that would mean them, the kind of component."""


@lifts(*MEANT)
def meant(use: Use) -> Lifted:
    words, operation, kind = MEANT[use.command.program]
    if not set(words.split()) & set(use.command.words[1:4]):
        return None
    part = use.of_kind(kind) if kind else None
    return Stay(Why.MISSING, f"`{operation}` would mean it", operation, part.name if part else "")
