"""Sends what is in the outbox: claims it, sends it, and writes what became of it.

At least once: a sender that dies between sending and writing leaves a claim that runs out, and the message goes out
again; its key is the same, so that who can, forgets the second one. A channel has one sender at a time, and none waits
for another. When much waits for one channel it goes out as one digest; a service that keeps incidents of its own gets
each message by itself, and no faster than it bears.

What cannot be delivered goes another way (`recipients.further`) when it is a page, and the channel is an alert itself.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from sqlalchemy import Connection

from opsbook.engine.output import Mask
from opsbook.errors import OpsbookError
from opsbook.printable import one_line
from opsbook.store import incidents, messages
from opsbook.store.database import StoreFailed, reading
from opsbook.store.messages import Crowd, MessageRow
from opsbook.watch import fallback
from opsbook.watch.channels.contract import NotDelivered, NotWanted, Sending, alone, make_ready, sender
from opsbook.watch.contract import Watch
from opsbook.watch.leadership import this_process
from opsbook.watch.links import LinkKeyFailed, link_key, make
from opsbook.watch.passing_on import unheard
from opsbook.watch.recipients import Route, route, secrets_of_route, settings_of
from opsbook.watch.registry import part
from opsbook.watch.waking import wake
from opsbook.watch.wording import rendered

log = logging.getLogger(__name__)

ADDRESS = "OPSBOOK_URL"
"""The variable that says where people reach `opsbook serve`: links in messages begin with it."""
LATELY = 60.0
BURST = 5
"""Messages that a channel gets one by one within `LATELY` seconds; after that what waits goes out as one."""
ALONE_A_MINUTE = 60
"""Messages that a service with incidents of its own gets within `LATELY` seconds; after that one in `ALONE_PAUSE`.
PagerDuty takes 120 events a minute for one key."""
ALONE_PAUSE = 1.0
HOLD = 30.0
"""Seconds for which a channel that got its burst collects before the next digest."""
GRACE = 15.0
"""Seconds of a claim beyond the channel's own time-out."""
REST = timedelta(seconds=3)
"""How long it rests where nothing is due: another process may have put something into the outbox."""
LINES = 40
"""Lines of a digest."""
LINKS = 5
"""Incidents of a digest that it has a link for: a text message bears no more, and who answers one sees the others."""


@dataclass(frozen=True)
class Outcome:
    """What became of an attempt: a receipt, or an error, or why the channel has no use for it."""

    receipt: str = ""
    error: str = ""
    permanent: bool = False
    unwanted: str = ""


@dataclass(frozen=True)
class Claimed:
    """How many messages were claimed, and those of them that are still to be sent."""

    count: int = 0
    rows: Sequence[MessageRow] = ()


@part
class Delivery:
    """The part of the watch that sends."""

    name = "messages"

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.who = this_process()
        self._going: dict[str, asyncio.Task[None]] = {}
        self._alone: set[str] = set()
        """Channels that get each message by itself."""
        self._taken_over = False

    async def tick(self, now: datetime) -> datetime:
        """Start a sender for each channel that has something to send."""
        await self._take_over()
        self._gather()
        setting = self.watch.setting
        if self._alone:
            await setting.in_writer(self._pass_on)
        crowds, following, taken = await setting.in_writer(lambda: self._look(now.timestamp(), set(self._going)))
        for channel, first in taken.items():
            task = asyncio.create_task(self._send_all(channel, first), name=f"sender {channel}")
            task.add_done_callback(_ended)
            self._going[channel] = task
        holds = [self._held(channel, crowd, now.timestamp()) for channel, crowd in crowds.items()]
        moments = [moment for moment in (following, *holds) if moment is not None and moment > now.timestamp()]
        wait = min(moments, default=now.timestamp() + REST.total_seconds()) - now.timestamp()
        return now + min(timedelta(seconds=max(wait, 1.0)), REST)

    async def settled(self) -> None:
        """Wait for the senders that are under way. Raises what one of them met, as the store that is gone."""
        if self._going:
            await asyncio.wait(self._going.values())
        self._gather()

    def _gather(self) -> None:
        """Let go of the senders that have ended. Raises what one of them met."""
        ended = {channel: task for channel, task in self._going.items() if task.done()}
        for channel in ended:
            del self._going[channel]
        for task in ended.values():
            task.result()

    async def _take_over(self) -> None:
        """On a file there is one process: what an earlier one had claimed is free. On a server claims run out."""
        if self._taken_over:
            return
        setting = self.watch.setting
        if setting.embedded:
            free = [lambda connection: messages.release(connection, self.watch.where, self.who)]
            await setting.in_writer(lambda: setting.write(free))
        await asyncio.to_thread(self._make_ready)
        self._taken_over = True

    def _make_ready(self) -> None:
        routes = dict(self._routes())
        self._alone = {name for name, one in routes.items() if alone(one)}
        make_ready(routes.values())

    def _routes(self) -> Iterator[tuple[str, Route]]:
        model = self.watch.system.model
        # Without those that a program tells: each may take seconds, and a page waits for this.
        known = ((name, one.notify) for name, one in model.contacts.items() if one.notify is not None)
        contacts = (f"contact:{name}/notify" for name, one in known if not one.text.startswith("cmd:"))
        for name in (*(f"channel:{one}" for one in model.channels), *contacts):
            with suppress(OpsbookError):
                yield name, route(self.watch.system, name)

    def _pass_on(self) -> None:
        setting = self.watch.setting
        with reading(setting.store) as connection:
            news = unheard(connection, self.watch.system, self._alone, setting.clock.now())
        if news:
            setting.write([lambda connection: messages.add(connection, news)])

    def _held(self, channel: str, crowd: Crowd, now: float) -> float | None:
        return held_alone(crowd, now) if channel in self._alone else held(crowd, now)

    def _look(self, now: float, busy: Collection[str]) -> tuple[dict[str, Crowd], float | None, dict[str, Claimed]]:
        """What waits, when more is due, and what was claimed for the channels that nobody sends to now."""
        with reading(self.watch.setting.store) as connection:
            crowds = messages.crowds(connection, self.watch.where, now, LATELY)
            free = [name for name, crowd in crowds.items() if name not in busy and self._held(name, crowd, now) is None]
            following = None if free else messages.next_due(connection, self.watch.where)
        if not free:
            return crowds, following, {}
        # One transaction for all of them: whoever is paged waits for it. What is due later is asked when they are done.
        return crowds, None, self._claim(free, crowds)

    async def _send_all(self, channel: str, claimed: Claimed) -> None:
        """Send to one channel until nothing is due there, or it fails."""
        setting = self.watch.setting
        while claimed.count:
            rows = claimed.rows
            outcome = await self._attempt(channel, rows) if rows else Outcome()
            rest: Sequence[MessageRow] = []
            if channel in self._alone:
                rows, rest = rows[:1], rows[1:]
            claimed = await setting.in_writer(partial(self._write, channel, rows, outcome, rest))

    def _claim(self, channels: Sequence[str], crowds: Mapping[str, Crowd]) -> dict[str, Claimed]:
        """Take what is to be sent to these channels; those that get nothing now are left out."""
        found: dict[str, Claimed] = {}
        now = self.watch.setting.now()
        self.watch.setting.write([lambda connection: found.update(self._claimed(connection, channels, crowds, now))])
        return found

    def _claimed(
        self, connection: Connection, channels: Sequence[str], crowds: Mapping[str, Crowd], now: float
    ) -> dict[str, Claimed]:
        """`crowds`: as they were seen a moment ago. What somebody else took since is not claimed: the rows say so."""
        found: dict[str, Claimed] = {}
        for channel in channels:
            crowd = crowds.get(channel)
            if crowd is None or self._held(channel, crowd, now) is not None:
                continue
            settings = settings_of(self.watch.system.model, channel)
            lease = (settings.timeout.total_seconds() if settings else 0.0) + GRACE
            # A page is alone on its way as long as there are few of them.
            many = crowd.waiting > BURST or crowd.sent >= BURST or bool(settings and settings.digest)
            limit = messages.AT_ONCE if many and channel not in self._alone else 1
            rows = messages.claim(connection, self.watch.where, channel, self.who, now, lease, limit)
            found[channel] = Claimed(len(rows), self._still_wanted(connection, rows))
        return found

    def _waiting_too(self, connection: Connection, channel: str, outcome: Outcome, now: float) -> Sequence[MessageRow]:
        """What fails with the one that was tried: a service that is away would keep each of them waiting in turn."""
        if channel not in self._alone or outcome.permanent:
            return ()
        claimed = messages.claim(connection, self.watch.where, channel, self.who, now, GRACE, messages.AT_ONCE)
        return self._still_wanted(connection, claimed)

    def _still_wanted(self, connection: Connection, rows: Sequence[MessageRow]) -> list[MessageRow]:
        """Without what calls for an answer to incidents that got one, and reminders of those that are over."""
        done = incidents.answered(connection, {row.incident for row in rows if _calls(row)})
        over = incidents.over_of(connection, {row.incident for row in rows if _hurries(row)})
        late = [row.id for row in rows if row.incident in done and _calls(row)]
        late += [row.id for row in rows if row.incident in over and _hurries(row)]
        if late:
            messages.settle(connection, late, self.who, state="dropped", error="it was answered before this was sent")
        return [row for row in rows if row.id not in set(late)]

    async def _attempt(self, channel: str, rows: Sequence[MessageRow]) -> Outcome:
        if channel.startswith("nobody:"):
            name = channel.partition(":")[2]
            return Outcome(
                error=f"{name} has no address now: nobody is on call, or none is in the book", permanent=True
            )
        try:
            found = await asyncio.to_thread(route, self.watch.system, channel)
        except OpsbookError as error:
            return Outcome(error=error.message, permanent=True)
        mask = Mask(secrets_of_route(found))
        (self._alone.add if alone(found) else self._alone.discard)(channel)
        try:
            single = channel in self._alone
            sending = self._sending(channel, rows[:1] if single else rows)
            if single:
                sending = replace(sending, over=await asyncio.to_thread(self._over, rows[0]))
            limit = found.settings.timeout.total_seconds()
            async with asyncio.timeout(limit + GRACE / 2):
                receipt = await sender(found)(found, sending)
            return Outcome(receipt=one_line(mask.whole(receipt))[:300])
        except NotWanted as error:
            return Outcome(unwanted=error.message)
        except NotDelivered as error:
            return Outcome(error=_told(mask, error.message), permanent=error.permanent)
        except TimeoutError:
            return Outcome(error="it did not take the message in time")
        except OpsbookError as error:
            return Outcome(error=_told(mask, error.message), permanent=True)
        except Exception as error:  # the edge: a fault of one channel must not keep the others from being told
            # Without the traceback: it may quote the address.
            log.error("sending to %s: a fault: %s", channel, type(error).__name__)
            return Outcome(error=f"a fault of this channel: {type(error).__name__}")

    def _over(self, row: MessageRow) -> bool | None:
        if not row.incident:
            return None
        with reading(self.watch.setting.store) as connection:
            return bool(incidents.over_of(connection, [row.incident]))

    def _sending(self, channel: str, rows: Sequence[MessageRow]) -> Sending:
        if len(rows) == 1:
            row = rows[0]
            link = self._link(channel, row)
            facts = {"system": row.system, "environment": row.environment, **_facts(row)}
            return Sending(row.key, row.kind, row.urgency, row.subject, row.body, row.incident, link, facts)
        return digest(rows, self._links(channel, rows), self.watch.system.folder)

    def _links(self, channel: str, rows: Sequence[MessageRow]) -> dict[str, str]:
        """By incident: of the first that these messages call for."""
        first: dict[str, MessageRow] = {}
        for row in rows:
            if row.incident and row.kind == "page":
                first.setdefault(row.incident, row)
        links = {incident: self._link(channel, first[incident]) for incident in list(first)[:LINKS]}
        return {incident: link for incident, link in links.items() if link}

    def _link(self, channel: str, row: MessageRow) -> str:
        base = self.watch.system.variables.get(ADDRESS, "").rstrip("/")
        if not base or row.kind not in ("page", "practice") or not row.incident:
            return ""
        who = channel.removeprefix("contact:").rpartition("/")[0] if channel.startswith("contact:") else channel
        try:
            key = link_key(self.watch.setting.folder)
        except LinkKeyFailed as error:
            # A page without a link is a page.
            log.error("no link to acknowledge by: %s → %s", error.message, error.hint)
            return ""
        return base + make(key, row.incident, who, self.watch.setting.clock.now())

    def _write(
        self, channel: str, rows: Sequence[MessageRow], outcome: Outcome, rest: Sequence[MessageRow] = ()
    ) -> Claimed:
        """Keep what became of an attempt, and claim what is next for this channel; nothing where it failed.

        `rest`: what was claimed with it, and not tried."""
        setting, now = self.watch.setting, self.watch.setting.clock.now()
        ids = [row.id for row in rows]
        following: list[Claimed] = []

        def write(connection: Connection) -> None:
            messages.put_back(connection, [row.id for row in rest], self.who)
            if outcome.error:
                fallen = [*rows, *self._waiting_too(connection, channel, outcome, now.timestamp())]
                fallback.failed(connection, self.watch.system, self.who, channel, fallen, outcome.error,
                                permanent=outcome.permanent, now=now)  # fmt: skip
                return
            if outcome.unwanted:
                messages.settle(connection, ids, self.who, state="dropped", error=outcome.unwanted)
            elif ids:
                at, receipt = now.timestamp(), outcome.receipt
                messages.settle(
                    connection, ids, self.who, state="delivered", delivered_at=at, receipt=receipt, error=""
                )
                fallback.works(connection, self.watch.system, channel, now)
            crowds = messages.crowds(connection, self.watch.where, now.timestamp(), LATELY)
            following.extend(self._claimed(connection, [channel], crowds, now.timestamp()).values())

        try:
            setting.write([write])
        except StoreFailed:
            log.error("what became of %d messages to %s cannot be written: they will go out again", len(rows), channel)
            raise
        return following[0] if following else Claimed()


def _ended(task: asyncio.Task[None]) -> None:
    """A sender has ended: what it could not send goes another way now, or later."""
    if not task.cancelled():
        wake("messages")


def held(crowd: Crowd, now: float) -> float | None:
    """Until when a channel that got a burst collects; None where it may be told now. Pure."""
    until = crowd.oldest + HOLD
    return until if crowd.sent >= BURST and now < until else None


def held_alone(crowd: Crowd, now: float) -> float | None:
    """As `held`, for a service that gets each message by itself. Pure."""
    until = (now if crowd.last is None else crowd.last) + ALONE_PAUSE
    # A last one in times to come: the clock was set back.
    return until if crowd.sent >= ALONE_A_MINUTE and now < until <= now + ALONE_PAUSE else None


def digest(
    rows: Sequence[MessageRow], links: Mapping[str, str] | None = None, book_folder: Path | None = None
) -> Sending:
    """Many messages as one. `links`: incident → the address that acknowledges it."""
    lines = [f"{row.subject} ({row.incident})" if row.incident else row.subject for row in rows]
    first = next((row for row in rows if row.urgency == "page"), rows[0])
    facts = {"count": len(rows), "lines": lines[:LINES], "more": max(0, len(rows) - LINES)}
    pages = sum(row.urgency == "page" for row in rows)
    told = f"{pages} pages" if pages else f"{len(rows)} messages"
    facts |= {"system": first.system, "environment": first.environment}
    title = f"{told} — {first.system} {first.environment}: {first.subject}"
    subject, body = rendered("digest", title, "", facts, book_folder)
    ids = sorted({row.incident for row in rows if row.incident})
    whole = {"system": first.system, "environment": first.environment, "count": len(rows), "incidents": ids[:LINES]}
    key = f"digest|{rows[0].key}|{len(rows)}"
    return Sending(key, "digest", first.urgency, subject, body, "", "", whole, links or {})


def _facts(row: MessageRow) -> Mapping[str, object]:
    found = json.loads(row.detail) if row.detail else {}
    return found if isinstance(found, dict) else {}


def _told(mask: Mask, text: str) -> str:
    return one_line(mask.whole(text))[:500]


def _calls(row: MessageRow) -> bool:
    """Whether it asks somebody to acknowledge."""
    return row.kind in ("page", "practice") or (row.kind == "reminder" and "|respond|" in row.key)


def _hurries(row: MessageRow) -> bool:
    """Whether it asks for something of an incident that goes on. A post-mortem is asked for of one that is over."""
    return row.kind == "reminder" and row.key.startswith(("update|", "clock|"))
