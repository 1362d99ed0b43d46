"""The acts of a failover, each of which may be done again: fencing, promoting, repointing.

They are shared by the changes of their kinds and by the drill that does them all and measures.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from datetime import UTC, datetime
from typing import Any, TypeVar

from opsbook.book.system import System
from opsbook.connectors.change import ChangeFailed, Json, More, Sink
from opsbook.connectors.contract import Connections, ReadFailed
from opsbook.connectors.executors.file import FileExecutor, write_file
from opsbook.connectors.executors.secrets import resolve
from opsbook.connectors.http import HttpConnector
from opsbook.connectors.pgbouncer import PgBouncerComponent
from opsbook.connectors.postgres_containers import LASTS_SECONDS, data_folder, kept_stopped, left, look_at_both
from opsbook.connectors.postgres_folder import DataFolder
from opsbook.connectors.postgres_pair import (
    NoAnswer,
    Seen,
    Server,
    failover_of,
    lsn,
    one_primary,
    pair,
    position_of,
    see,
)
from opsbook.connectors.postgres_places import pooled, rewritten
from opsbook.connectors.postgres_service import follow
from opsbook.connectors.postgres_session import plain_url
from opsbook.connectors.registry import registered
from opsbook.connectors.runtimes import compose_make, kubernetes_wait, supervisor_executor
from opsbook.connectors.runtimes.contract import CRASHED, Runtime, Status, Verb
from opsbook.errors import OpsbookError, Refused

T = TypeVar("T")

LOOK_SECONDS = 0.1
STOP_SECONDS = 60.0
STOP_AGAIN_SECONDS = 2.0
CATCH_UP_SECONDS = 60.0
RELOAD_SECONDS = 15.0
SERVE_IN_A_ROW = 2
SERVING = ("ready", "running")
"""Kinds of events after which an end before was not the last."""
ENDED_BADLY = (CRASHED, "killed")
"""Kinds of events of an end that nobody asked for; the second is that of compose for SIGKILL."""
NOT_READY = (supervisor_executor.NotReady, compose_make.NotReady, kubernetes_wait.NotReady)


class Work:
    """What is done to one pair of servers."""

    def __init__(self, connections: Connections, component: str, key: str, out: Sink) -> None:
        self.connections, self.system, self.out = connections, connections.system, out
        self.component, self.key = component, key

    @property
    def reaching(self) -> System:
        """The system in which addresses lead to the servers, also to those inside a cluster."""
        return self.connections.of(self.component).system

    def runtime(self) -> Runtime:
        return self.connections.runtime

    async def servers(self) -> tuple[Server, Server]:
        return await asyncio.to_thread(pair, self.reaching, self.component)

    async def look(self) -> tuple[Seen, Seen]:
        return await look_at_both(self.reaching, self.runtime, self.component)

    def folder(self, server: Server, lasts: float = LASTS_SECONDS) -> AbstractAsyncContextManager[DataFolder | None]:
        """The data folder of a server; None where it cannot be reached."""
        return data_folder(server, self.runtime, self.key, self.out, lasts)

    async def named(self, workload: str) -> tuple[Server, Server]:
        """The server of this workload, and the other. Raises Refused."""
        first, second = await self.servers()
        for one, other in ((first, second), (second, first)):
            if one.workload == workload:
                return one, other
        raise Refused(f"{workload} is no server of {self.component} any more", "plan anew")

    async def tell_runtime(self, workload: str, verb: Verb, wait: float = STOP_SECONDS) -> None:
        """Start or stop a workload, on whatever runtime. Raises what the runtime raises."""
        change = await self.connections.runtime.change(workload, verb, {"wait": wait})
        executor, cursor = registered().executors[change.kind](self.connections), None
        while isinstance(said := await executor.apply(self.key, change, cursor, self.out), More):
            cursor = said.cursor

    # --- fencing -----------------------------------------------------------------------------------------------

    async def fence(self, workload: str, *, planned: bool) -> dict[str, Json]:
        """The server serves nobody, and cannot come back as a primary. Raises Refused, ChangeFailed."""
        old, new = await self.named(workload)
        seen_old, seen_new = await asyncio.to_thread(see, old), await asyncio.to_thread(see, new)
        one_primary((seen_old, seen_new))
        began = datetime.now(UTC)
        if seen_old.primary:
            if not planned:
                raise Refused(
                    f"{old.workload} serves as primary ({seen_old.told})", "ask for a planned switchover: planned=true"
                )
            await self._caught_up(old, new)
            gone = began = datetime.now(UTC)
        else:
            gone = began if seen_old.answers else await self._gone_since(old, began)
        if not seen_new.answers:
            raise Refused(f"{new.workload} does not answer: {seen_new.words}", "nobody would be left to serve")
        async with self.folder(old) as folder:
            if seen_old.primary:
                # A container beside it may have taken a while; that nobody is served begins here.
                gone = datetime.now(UTC)
            if folder is not None:
                await folder.fence()
            await self.stop(old)
            behind = await self._behind(folder, old, new) if seen_old.primary else None
            fenced = folder is not None and await folder.fenced()
        if behind is not None:
            await self.unfence(workload)
            raise behind
        kept = "standby.signal lies in its data folder" if fenced else "nothing but its runtime keeps it stopped"
        await self.out.write(f"{old.workload} is stopped, {old.address} accepts nobody; {kept}\n")
        return {
            "server": old.workload, "address": old.address, "gone_at": gone.timestamp(), "planned": planned,
            "fenced": fenced, "last": lsn(seen_old.position) if seen_old.answers else "",
        }  # fmt: skip

    async def unfence(self, workload: str) -> dict[str, Json]:
        """The undo: it may serve again. Raises Refused where the other server is primary by now."""
        old, new = await self.named(workload)
        if (await asyncio.to_thread(see, new)).primary:
            raise Refused(f"{new.workload} was promoted", f"rebuild {old.workload} as its standby")
        async with self.folder(old) as folder:
            lifted = folder is not None and await folder.lift()
        if lifted and (await asyncio.to_thread(see, old)).answers:
            await self.stop(old)  # it was started behind the fence, as a standby of nobody
        await self.tell_runtime(old.workload, Verb.START)
        await self.until(lambda: see(old).primary, STOP_SECONDS, f"{old.workload} does not serve again")
        return {"server": old.workload, "serves": True}

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

    async def stop(self, old: Server) -> None:
        """Stop it until it stays stopped: a runtime may be about to start it anew after a crash."""
        deadline, quiet = time.monotonic() + STOP_SECONDS, 0
        while quiet < 2:
            # Started anew between two looks, it would be waited for in vain: the loop stops it again.
            with suppress(*NOT_READY):
                await self.tell_runtime(old.workload, Verb.STOP, STOP_AGAIN_SECONDS)
            status = await self.runtime().status(old.workload)
            running = await self._running(old, status)
            if not running:
                # STOPPED is final; any other word may be the moment before a restart.
                quiet += 2 if all(one.state == "STOPPED" for one in status.instances) else 1
            elif time.monotonic() > deadline:
                raise ChangeFailed(
                    f"{old.workload} does not end, what is left of it: {running}", "end that; then resume"
                )
            else:
                quiet = 0
            if quiet < 2:
                await asyncio.sleep(0.5 if quiet else LOOK_SECONDS)

    async def _running(self, old: Server, status: Status) -> str:
        """What is left of a server, in words; empty where nothing is."""
        if old.inside:
            found = left(status)
        else:
            found = [str(one) for one in await asyncio.to_thread(old.processes)]
            found += [one.name for one in status.instances if one.pid or one.ready]
        if not found and await asyncio.to_thread(old.accepts):
            found = [f"{old.address} accepts connections"]
        return ", ".join(found)

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
        """The standby is the primary, and the only one. Raises Refused where the other is not fenced."""
        new, old = await self.named(workload)
        if await asyncio.to_thread(old.accepts):
            raise Refused(f"{old.workload} accepts connections at {old.address}", "fence it first")
        if old.inside and not await kept_stopped(self.runtime(), old.workload):
            raise Refused(f"{old.workload} is not stopped: it could come back as a primary", "fence it first")
        async with self.folder(old) as folder:
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
            await asyncio.to_thread(new.rows, "SELECT pg_promote(true, 60)")
        await self.until(lambda: see(new).primary, STOP_SECONDS, f"{new.workload} was told to promote, and is not yet")
        await asyncio.to_thread(new.rows, "CHECKPOINT")
        now = await asyncio.to_thread(see, new)
        switched = await asyncio.to_thread(_switched_at, new, now.timeline)
        lost = await _lost(old, folder, switched)
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

    async def until(self, condition: Callable[[], bool], seconds: float, otherwise: str) -> None:
        """Raises ChangeFailed with `otherwise` where that does not come true."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                if await asyncio.to_thread(condition):
                    return
            except NoAnswer as error:
                otherwise = f"{otherwise.partition(' (')[0]} ({error.message})"
            if time.monotonic() > deadline:
                raise ChangeFailed(otherwise, "see the log of the server")
            await asyncio.sleep(LOOK_SECONDS)


def _switched_at(new: Server, timeline: int) -> int:
    """Where the new timeline left the old one, from its history file."""
    ((text,),) = new.rows("SELECT pg_read_file(%s::text, 0, 1000000, true)", f"pg_wal/{timeline:08X}.history")
    lines = [line.split() for line in (text or "").splitlines() if line.strip() and not line.startswith("#")]
    return position_of(lines[-1][1]) if lines else 0


async def _lost(old: Server, folder: DataFolder | None, switched: int) -> dict[str, Json]:
    """What the old primary wrote that was never received, as far as its data folder can be read."""
    if folder is None or not switched:
        return {"lost_bytes": None, "lost_commits": None,
                "lost": f"what {old.workload} wrote last is not known: its data folder is not here"}  # fmt: skip
    try:
        lost = await folder.written_after(switched)
    except (ChangeFailed, OSError) as error:
        return {"lost_bytes": None, "lost_commits": None,
                "lost": f"what {old.workload} wrote last cannot be read: {error}"}  # fmt: skip
    told = f"{lost.commits} transactions and {lost.bytes:,} bytes of {old.workload}'s log were never received"
    return {"lost_bytes": lost.bytes, "lost_commits": lost.commits, "lost": told, "old_end": lsn(lost.end)}


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
