"""Who is told: from a name of the book (channel, rotation, contact) to the addresses that it has now. Pure.

An address has a name that may be stored and shown, such as `channel:ops` or `contact:ana/email`. What it stands for is
a secret of the book, and is looked up when something is sent.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote, urlsplit

from opsbook.book.model import BookModel
from opsbook.book.people import Channel
from opsbook.book.rotations import on_call
from opsbook.book.system import System
from opsbook.errors import UsageError
from opsbook.watch.escalation import Rung

MAIL = ("mailto", "mailtos", "smtp", "smtps")
"""Schemes of channels through which mail can be sent to a contact, too."""
HOSTED = (*MAIL, "http", "https", "json", "jsons")
"""Schemes in which the host is a host; in others of Apprise it may be a token, as in `slack://`."""


@dataclass(frozen=True)
class Address:
    """One way to somebody. `who` is the contact that it belongs to; empty for a channel."""

    name: str
    who: str = ""


@dataclass(frozen=True)
class Route:
    """What an address is at the moment of sending: a secret."""

    url: str
    settings: Channel
    to: str = ""
    """A mail address, where the channel's own is not meant."""


def addresses(book: BookModel, target: str, moment: datetime) -> list[Address]:
    """The ways to a target, the best one first; none where nobody is on call, or no address is known."""
    if target in book.channels:
        return [Address(f"channel:{target}")]
    if target in book.oncall:
        duty = on_call(book, target, moment)
        return addresses(book, duty.who, moment) if duty.who and duty.who not in book.oncall else []
    return list(_of_contact(book, target))


def person(book: BookModel, target: str, moment: datetime) -> str:
    """The contact that a target is at a moment; empty for a channel, or where nobody is on call."""
    if target in book.oncall:
        return on_call(book, target, moment).who
    return target if target in book.contacts else ""


def further(
    book: BookModel, target: str, path: Sequence[Rung], tried: Collection[str], moment: datetime
) -> Iterator[tuple[str, Address]]:
    """Whom a page is sent to that could not be delivered, best first: the same person by another way, the next levels
    of the path, every other channel of the book, and the levels that were told before."""
    level = next((place for place, rung in enumerate(path) if rung.notify == target), -1)
    after, before = ([rung.notify for rung in some] for some in (path[level + 1 :], path[: level + 1]))
    seen = set(tried)
    for name in (target, *after, *book.channels, *before):
        for address in addresses(book, name, moment):
            if address.name not in seen:
                seen.add(address.name)
                yield name, address


def settings_of(book: BookModel, address: str) -> Channel | None:
    """What the book says of an address; None where it no longer knows it."""
    kind, _, name = address.partition(":")
    if kind == "channel":
        return book.channels.get(name)
    contact = book.contacts.get(name.rpartition("/")[0])
    if contact is None:
        return None
    if name.endswith("/notify") and contact.notify is not None:
        return Channel(url=contact.notify)
    mail = _mail_channel(book)
    return book.channels[mail] if mail else None


def route(system: System, address: str) -> Route:
    """Where a message really goes. Raises UsageError or MissingSecret where the book does not say any more."""
    settings = settings_of(system.model, address)
    if settings is None:
        raise UsageError(f"the book no longer has {address}", "name it in `channels` or `contacts` again")
    url = system.resolve(settings.url)
    name = address.partition(":")[2]
    to = system.model.contacts[name.removesuffix("/email")].email if name.endswith("/email") else ""
    return Route(url, settings, to)


def secrets_of_route(found: Route) -> list[str]:
    """What of a route must not be shown: the address as a whole, and the parts of it that carry tokens."""
    parts = urlsplit(found.url)
    words = [found.url, parts.password or "", parts.query, parts.username or ""]
    words += [part for part in parts.path.split("/") if len(part) >= 8]
    words += [] if parts.scheme in HOSTED else [parts.netloc.rpartition("@")[2]]
    return [word for word in (*words, *(quote(word) for word in words)) if len(word) >= 4]


def _of_contact(book: BookModel, name: str) -> Iterator[Address]:
    contact = book.contacts.get(name)
    if contact is None:
        return
    if contact.notify is not None:
        yield Address(f"contact:{name}/notify", name)
    if contact.email and _mail_channel(book):
        yield Address(f"contact:{name}/email", name)


def _mail_channel(book: BookModel) -> str:
    """The channel through which mail goes to contacts: the first of the book that is mail, or is called `mail`."""
    for name, one in book.channels.items():
        scheme = one.url.text.partition(":")[0]
        if scheme in MAIL or name in ("mail", "email", "smtp"):
            return name
    return ""
