"""A promotion: whether one is under way, where it left the old timeline, and what the old primary had beyond that."""

from __future__ import annotations

from opsbook.connectors.change import Json
from opsbook.connectors.postgres_folder import DataFolder
from opsbook.connectors.postgres_pair import NoAnswer, Server, lsn, position_of
from opsbook.errors import OpsbookError

TOLD = """
SELECT (pg_stat_file('promote', true)).size IS NOT NULL
    OR EXISTS (SELECT FROM pg_stat_activity
                WHERE state = 'active' AND pid <> pg_backend_pid() AND query ~* 'pg_promote\\s*\\(')
"""
"""pg_promote and pg_ctl leave the file `promote`, which lies until the server begins with it."""
BEGUN = """
SELECT CASE WHEN pg_is_wal_replay_paused() THEN pg_wal_replay_pause() ELSE pg_wal_replay_resume() END
"""
"""Changes nothing, and is refused once a promotion was begun
(https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-RECOVERY-CONTROL)."""


def under_way(server: Server) -> str:
    """Why a server in recovery may become a primary by itself; empty where nobody told it to. Blocking."""
    try:
        ((told,),) = server.rows(TOLD)
        if told:
            return "it was told to promote"
        server.rows(BEGUN)
    except NoAnswer as error:
        return error.message
    return ""


def switched_at(new: Server, timeline: int) -> int:
    """Where the new timeline left the old one, from its history file. Blocking."""
    ((text,),) = new.rows("SELECT pg_read_file(%s::text, 0, 1000000, true)", f"pg_wal/{timeline:08X}.history")
    lines = [line.split() for line in (text or "").splitlines() if line.strip() and not line.startswith("#")]
    return position_of(lines[-1][1]) if lines else 0


async def never_received(old: Server, folder: DataFolder | None, switched: int) -> dict[str, Json]:
    """What the old primary wrote that the new one never had, as far as its data folder can be read. Raises nothing:
    the promotion is done.
    """
    if folder is None or not switched:
        return _unknown(f"what {old.workload} wrote last is not known: its data folder cannot be reached from here")
    try:
        lost = await folder.written_after(switched)
    except (OpsbookError, OSError) as error:
        return _unknown(f"what {old.workload} wrote last cannot be read: {getattr(error, 'message', error)}")
    told = f"{lost.commits} transactions and {lost.bytes:,} bytes of {old.workload}'s log were never received"
    return {"lost_bytes": lost.bytes, "lost_commits": lost.commits, "lost": told, "old_end": lsn(lost.end)}


def _unknown(why: str) -> dict[str, Json]:
    return {"lost_bytes": None, "lost_commits": None, "lost": why}
