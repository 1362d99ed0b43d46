"""The acts of a failover, each of which may be done again: fencing, promoting, repointing.

They are shared by the changes of their kinds and by the drill that does them all and measures.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any

from opsbook.connectors.change import ChangeFailed, Json
from opsbook.connectors.contract import ReadFailed
from opsbook.connectors.executors.failover_servers import LOOK_SECONDS, STOP_SECONDS, Servers, in_the_middle
from opsbook.connectors.executors.file import FileExecutor, write_file
from opsbook.connectors.executors.secrets import resolve
from opsbook.connectors.http import HttpConnector
from opsbook.connectors.pgbouncer import PgBouncerComponent
from opsbook.connectors.postgres_containers import kept_stopped
from opsbook.connectors.postgres_folder import DataFolder
from opsbook.connectors.postgres_pair import (
    NoAnswer,
    Seen,
    Server,
    failover_of,
    lsn,
    one_primary,
    position_of,
    see,
)
from opsbook.connectors.postgres_places import pooled, rewritten
from opsbook.connectors.postgres_promotion import never_received, switched_at, under_way
from opsbook.connectors.postgres_service import follow
from opsbook.connectors.postgres_session import plain_url
from opsbook.connectors.runtimes.contract import CRASHED, Verb
from opsbook.errors import OpsbookError, Refused

CATCH_UP_SECONDS = 60.0
RELOAD_SECONDS = 15.0
SERVE_IN_A_ROW = 2
SERVING = ("ready", "running")
"""Kinds of events after which an end before was not the last."""
ENDED_BADLY = (CRASHED, "killed")
"""Kinds of events of an end that nobody asked for; the second is that of compose for SIGKILL."""
PROMOTE_OPEN_SECONDS = 30.0
"""The fence has waited for the data folder longer: nobody is served meanwhile, and what was lost can be asked later."""
HALF_FENCED = "it may be stopped or fenced by now"


class Work(Servers):
    """What is done to one pair of servers."""

    # --- fencing -----------------------------------------------------------------------------------------------

    async def fence(self, workload: str, *, planned: bool) -> dict[str, Json]:
        """The server serves nobody, and cannot come back as a primary. Raises Refused or ChangeFailed where nothing
        of it happened, Ambiguous where it may be stopped or fenced: then it is done again, or undone.
        """
        old, new = await self.named(workload)
        seen_old, seen_new = await asyncio.to_thread(see, old), await asyncio.to_thread(see, new)
        one_primary((seen_old, seen_new))
        # One that is fenced, or was to be left in order and serves no more: an attempt before may have come so far.
        before = not seen_old.primary and (planned or seen_old.fenced)
        with in_the_middle(f"{old.workload}: {HALF_FENCED}") if before else nullcontext():
            return await self._fence(seen_old, seen_new, planned=planned)

    async def _fence(self, seen_old: Seen, seen_new: Seen, *, planned: bool) -> dict[str, Json]:
        old, new, began = seen_old.server, seen_new.server, datetime.now(UTC)
        if seen_old.primary:
            if not planned:
                raise Refused(
                    f"{old.workload} serves as primary ({seen_old.told})", "ask for a planned switchover: planned=true"
                )
            await self._caught_up(old, new)
        else:
            began = began if seen_old.answers else await self._gone_since(old, began)
        if not seen_new.answers:
            raise Refused(f"{new.workload} does not answer: {seen_new.words}", "nobody would be left to serve")
        async with self.folder(old) as folder:
            # A container beside it may have taken a while; that nobody is served begins here.
            gone = datetime.now(UTC) if seen_old.primary else began
            await self._lay(folder, old)
            with in_the_middle(f"{old.workload}: {HALF_FENCED}"):
                await self.stop(old)
                behind = await self._behind(folder, old, new) if planned else None
                fenced = folder is not None and await folder.fenced()
        if behind is not None:
            with in_the_middle(f"{behind.message}; {old.workload}: {HALF_FENCED}"):
                await self.unfence(old.workload)
            raise behind
        kept = "standby.signal lies in its data folder" if fenced else "nothing but its runtime keeps it stopped"
        await self.out.write(f"{old.workload} is stopped, {old.address} accepts nobody; {kept}\n")
        return {
            "server": old.workload, "address": old.address, "gone_at": gone.timestamp(), "planned": planned,
            "fenced": fenced, "last": lsn(seen_old.position) if seen_old.answers else "",
        }  # fmt: skip

    async def _lay(self, folder: DataFolder | None, old: Server) -> None:
        """Lay the signal. Raises ChangeFailed where it does not lie, Ambiguous where it may."""
        if folder is None:
            return
        try:
            await folder.fence()
        except ChangeFailed as error:
            with in_the_middle(f"{error.message}; {old.workload}: {HALF_FENCED}"):
                await folder.lift()
            raise

    async def unfence(self, workload: str) -> dict[str, Json]:
        """The undo: it may serve again. Raises Refused where the other server is primary, or may become one."""
        old, new = await self.named(workload)
        await self._no_primary(new)
        async with self.folder(old) as folder:
            # A container beside it may have taken a while.
            await self._no_primary(new)
            lifted = folder is not None and await folder.lift()
            unseen = "" if folder is not None else ": whether a standby.signal keeps it from that is not known"
        seen = await asyncio.to_thread(see, old)
        if lifted and seen.answers and seen.in_recovery:
            await self.stop(old)  # it was started behind the fence, as a standby of nobody
        await self.tell_runtime(old.workload, Verb.START)
        await self.until(lambda: see(old).primary, STOP_SECONDS, f"{old.workload} does not serve again{unseen}")
        return {"server": old.workload, "serves": True}

    async def _no_primary(self, new: Server) -> None:
        """Raises Refused unless a server is a standby that nobody told to promote, or is kept stopped."""
        seen = await asyncio.to_thread(see, new)
        if seen.primary:
            raise Refused(f"{new.workload} was promoted", "rebuild the other server as its standby")
        if seen.answers:
            if why := await asyncio.to_thread(under_way, new):
                raise Refused(f"{new.workload} may become primary at any moment: {why}",
                              "see its log; once it is primary, run the same failover again")  # fmt: skip
            return
        if not await self.kept_stopped(new):
            raise Refused(f"{new.workload} does not answer, and may be primary: {seen.words}",
                          "start it and fail over again; or stop it through its runtime, lift the fence and start the"
                          " other by hand")  # fmt: skip
        await self.out.write(
            f"{new.workload} does not answer; its runtime keeps it stopped: rebuild it before it is started\n"
        )

    async def _caught_up(self, old: Server, new: Server) -> None:
        """Raises ChangeFailed where the standby does not come to where the primary is now; nothing has changed."""
        if not (await asyncio.to_thread(see, new)).streaming:
            raise ChangeFailed(f"{new.workload} does not stream from {old.workload}", "rebuild it first")
        goal = (await asyncio.to_thread(see, old)).position

        def there() -> bool:
            return see(new).position >= goal

        await self.until(there, CATCH_UP_SECONDS, f"{new.workload} has not all of {old.workload}: writers go on?")

    async def _behind(self, folder: DataFolder | None, old: Server, new: Server) -> ChangeFailed | None:
        """Why the standby has not all. A server that stops in order hands its last record on before it ends."""
        if folder is None:
            return None
        try:
            goal = position_of((await folder.control())["Latest checkpoint location"])
            await self.until(
                lambda: see(new).position > goal, CATCH_UP_SECONDS,
                f"{new.workload} has not all that {old.workload} wrote before it stopped",
            )  # fmt: skip
        except ChangeFailed as error:
            return error
        return None

    async def _gone_since(self, old: Server, now: datetime) -> datetime:
        """When the runtime saw it die, where it tells."""
        last = None
        try:
            async for event in self.connections.runtime.events(old.workload):
                if event.kind in ENDED_BADLY:
                    last = last or event.at
                elif event.kind in SERVING:
                    last = None
        except (OpsbookError, OSError):
            return now
        return last if last is not None and last <= now else now

    # --- promoting ---------------------------------------------------------------------------------------------

    async def promote(self, workload: str) -> dict[str, Json]:
        """The standby is the primary, and the only one. Raises Refused where the other is not fenced, ChangeFailed
        where it was not told to promote, Ambiguous where it was.
        """
        new, old = await self.named(workload)
        if await asyncio.to_thread(old.accepts):
            raise Refused(f"{old.workload} accepts connections at {old.address}", "fence it first")
        if old.inside and not await kept_stopped(self.runtime(), old.workload):
            raise Refused(f"{old.workload} is not stopped: it could come back as a primary", "fence it first")
        async with self.folder(old, patience=PROMOTE_OPEN_SECONDS) as folder:
            if folder is not None and await folder.there() and not await folder.fenced():
                raise Refused(f"{old.workload} is not fenced: it could come back as a primary", "fence it first")
            return await self._promoted(new, old, folder)

    async def _promoted(self, new: Server, old: Server, folder: DataFolder | None) -> dict[str, Json]:
        began = time.monotonic()
        seen = await asyncio.to_thread(see, new)
        if not seen.answers:
            raise NoAnswer(f"{new.workload} does not answer: {seen.words}", "see its log")
        if seen.in_recovery:
            await self._replayed(new)
        # A promotion that was asked for is not taken back: it may come later than anybody waits.
        with in_the_middle(f"{new.workload} was told to promote"):
            now, switched = await self._told_to_promote(new)
        lost = await never_received(old, folder, switched)
        other = await asyncio.to_thread(see, old)
        one_primary((now, other))
        told = {
            "server": new.workload, "address": new.address, "timeline": now.timeline, "switched": lsn(switched),
            "seconds": round(time.monotonic() - began, 2), "promoted_at": datetime.now(UTC).timestamp(),
            "asked": {new.workload: now.told, old.workload: other.told}, **lost,
        }  # fmt: skip
        await self.out.write(f"{new.workload} is primary on timeline {now.timeline}; {old.workload} {other.told}\n")
        await self.out.write(f"{lost['lost']}\n")
        return told

    async def _told_to_promote(self, new: Server) -> tuple[Seen, int]:
        """The server as primary, and where it left the old timeline."""
        if (await asyncio.to_thread(see, new)).in_recovery:
            await asyncio.to_thread(new.rows, "SELECT pg_promote(true, 60)")
        await self.until(lambda: see(new).primary, STOP_SECONDS, f"{new.workload} is not primary yet")
        await asyncio.to_thread(new.rows, "CHECKPOINT")
        now = await asyncio.to_thread(see, new)
        return now, await asyncio.to_thread(switched_at, new, now.timeline)

    async def _replayed(self, new: Server) -> None:
        """Everything that came is applied first: promotion must not wait for it unseen."""

        def done() -> bool:
            seen = see(new)
            return seen.primary or seen.position >= seen.received

        await self.until(done, CATCH_UP_SECONDS, f"{new.workload} has not applied all that it received")

    # --- repointing --------------------------------------------------------------------------------------------

    async def repoint(self, number: int) -> dict[str, Json]:
        """One place of the book names the primary. Raises Refused where there is none, ChangeFailed."""
        place = failover_of(self.system, self.component).repoint[number]
        seen = await self.look()
        primary = one_primary(seen)
        if primary is None:
            raise Refused("there is no primary now", "promote one first")
        (other,) = [one for one in seen if one is not primary]
        if place.service:
            leads, away = (primary, other) if place.follows == "primary" else (other, primary)
            changed = await follow(self.runtime(), place.service, leads.server.workload, away.server.workload,
                                   serving=place.follows == "primary")  # fmt: skip
            await self.out.write(f"service/{place.service} leads to {leads.server.workload}\n")
            return {"service": place.service, "changed": changed, "primary": primary.server.address}
        assert place.file is not None
        path = self.system.path(place.file.text)
        try:
            before = await asyncio.to_thread(path.read_text, "utf-8")
        except OSError as error:
            raise ChangeFailed(f"{path}: {error.strerror}", "see `failover.repoint`") from error
        text = rewritten(place, before, primary.server, other.server)
        if text != before:
            written = write_file(self.system, str(path), text)
            await FileExecutor(self.connections).apply(self.key, written, None, self.out)
            self.system.forget_variables()
            self.connections.forget()
        if place.reload:
            await self._reload(place.reload, primary.server, other.server)
        return {"file": str(path), "changed": text != before, "primary": primary.server.address}

    async def _reload(self, pool: str, primary: Server, other: Server) -> None:
        settings = self.system.components.get(pool)
        if not isinstance(settings, PgBouncerComponent):
            raise ChangeFailed(f"{pool} is no PgBouncer of the book", "see `reload` of `failover.repoint`")
        url = (await resolve(self.system, {"url": (settings.admin or settings.dsn).text}))["url"]
        await asyncio.to_thread(_console, url, "RELOAD")

        def follows() -> bool:
            rows = _console(url, "SHOW DATABASES")
            return bool(pooled(rows, primary)) and not pooled(rows, other)

        await self.until(follows, RELOAD_SECONDS, f"{pool} does not lead to {primary.address} after RELOAD")
        await self.out.write(f"{pool} leads to {primary.address}\n")

    # --- serving -----------------------------------------------------------------------------------------------

    async def serves(self, pages: list[dict[str, str]], within: float) -> dict[str, Json]:
        """Every page answers well twice in a row, and the primary takes writes. Raises ChangeFailed."""
        began, good, said = time.monotonic(), 0, "nobody was asked"
        while time.monotonic() - began < within:
            primary = one_primary(await self.look())
            said = "there is no primary" if primary is None else await self._pages(pages)
            good = 0 if said else good + 1
            if good >= SERVE_IN_A_ROW:
                return {"at": datetime.now(UTC).timestamp(), "seconds": round(time.monotonic() - began, 2)}
            await asyncio.sleep(LOOK_SECONDS)
        raise ChangeFailed(f"it does not serve after {within:g} s: {said}", "`opsbook check`; see the logs")

    async def _pages(self, pages: list[dict[str, str]]) -> str:
        """What is wrong; empty where all is well."""
        for page in pages:
            connector = self.connections.of(page["component"])
            assert isinstance(connector, HttpConnector), "planned for an http component"
            try:
                answer = await connector.client.get(page["path"])
            except (OpsbookError, ReadFailed, OSError) as error:
                return f"{page['component']}{page['path']}: {error}"
            if not 200 <= answer.status < 300:
                return f"{page['component']}{page['path']}: {answer.words}"
        return ""


def _console(url: str, words: str) -> list[dict[str, Any]]:
    """Rows of a command of PgBouncer's console, which knows neither transactions nor the extended protocol."""
    import psycopg
    from psycopg.conninfo import conninfo_to_dict
    from psycopg.rows import dict_row

    try:
        given: dict[str, Any] = {**conninfo_to_dict(plain_url(url)), "dbname": "pgbouncer", "connect_timeout": 5}
        with psycopg.connect(**given, autocommit=True, row_factory=dict_row) as connection:
            cursor = connection.execute(words.encode(), prepare=False)
            return cursor.fetchall() if cursor.description else []
    except psycopg.Error as error:
        said = error.diag.message_primary or str(error).strip().splitlines()[-1]
        raise ChangeFailed(
            f"the pool's console refuses {words}: {said}", "set `admin` of it to a user of admin_users"
        ) from None
