"""Who asks, as what, and for what: read from the `Authorization` header of a request."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from urllib.parse import urlsplit

from opsbook.api import tokens as making
from opsbook.api.house import House
from opsbook.api.problems import Denied
from opsbook.book.model import BookModel
from opsbook.book.people import Access
from opsbook.engine.access import ROLES, Actor, asker_of
from opsbook.errors import OpsbookError
from opsbook.store import tokens
from opsbook.store.database import writing

NOBODY = "say who you are"
HINT = "send `Authorization: Bearer TOKEN`; `opsbook token make NAME` makes a token"


@dataclass(frozen=True)
class Caller:
    """Somebody who has shown who they are. Empty lists of scopes, systems and environments are all."""

    actor: Actor
    key: str
    """What its requests are counted by: its token, or its name at the identity provider."""
    scopes: tuple[str, ...] = ()
    systems: tuple[str, ...] = ()
    environments: tuple[str, ...] = ()

    @property
    def bound(self) -> bool:
        """Whether it may not see all that is in the store."""
        return bool(self.systems or self.environments)

    def roles(self, access: Access) -> frozenset[str]:
        """Its roles by the book, within its own bounds."""
        found = asker_of(access, self.actor).roles
        return frozenset(ROLES) if found is None else found

    def reaches(self, system: str, environment: str) -> bool:
        """Whether it may see anything of an environment."""
        return system in (self.systems or (system,)) and environment in (self.environments or (environment,))


class Recent:
    """When the use of a token was written down last, so that not every request writes."""

    def __init__(self) -> None:
        self._written: OrderedDict[str, float] = OrderedDict()
        self._guard = threading.Lock()

    def due(self, id: str, now: float) -> bool:
        """Whether to write it down now."""
        with self._guard:
            if now - self._written.get(id, float("-inf")) < making.USED_SECONDS:
                return False
            self._written[id] = now
            while len(self._written) > 1000:
                self._written.popitem(last=False)
            return True


def caller(house: House, authorization: str, address: str, recent: Recent) -> Caller:
    """Who sends this header. Blocking. Raises Denied."""
    scheme, _, text = authorization.partition(" ")
    text = text.strip()
    if scheme.lower() != "bearer" or not text:
        raise Denied(NOBODY, HINT, challenge=True)
    if text.startswith("opsbook_"):
        return _by_token(house, text, address, recent)
    if house.provider is None:
        raise Denied("this token is not known here", HINT, challenge=True)
    person = house.provider.person(text)
    book = house.last_system().model
    access, name = book.access, known_as(book, person.name, house.provider.settings.issuer)
    actor = Actor(name, f"{address}, sign-in of {person.subject}", "", person.groups)
    if asker_of(access, actor).roles is None:
        # Locally such a book lets everybody do all, for they hold its files. A provider knows more people than those.
        raise Denied(f"the book gives {name} no role", "name them, or their group, under `access` of the book")
    return Caller(actor, f"person {name}")


def known_as(book: BookModel, name: str, issuer: str) -> str:
    """The name by which somebody of a provider acts: theirs with its host behind it, so that it is nobody's of this
    house; that of a contact's `user` where the book says that it is them."""
    mine = {one.user for one in book.contacts.values() if one.user and (one.sign_in or one.user) == name}
    if len(mine) == 1:
        return mine.pop()
    return f"{name}@{urlsplit(issuer).hostname or issuer}"


def _by_token(house: House, text: str, address: str, recent: Recent) -> Caller:
    setting = house.watch.setting
    row = making.known(setting, text)
    if row is None:
        raise Denied("this token is not known here", HINT, challenge=True)
    now = setting.now()
    if why := row.dead(now):
        raise Denied(f"this token lets nobody in: {why}", HINT, challenge=True)
    if recent.due(row.id, now):
        _note_use(house, row.id, now)
    actor = Actor(row.owner, f"{address}, token {row.id}", row.role)
    return Caller(actor, f"token {row.id}", row.scopes, row.systems, row.environments)


def _note_use(house: House, id: str, now: float) -> None:
    try:
        with writing(house.watch.setting.store) as connection:
            tokens.used(connection, id, now)
    except OpsbookError:
        # A disk that is full must not keep anybody from looking.
        return
