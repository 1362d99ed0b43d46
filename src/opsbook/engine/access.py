"""Who acts, from where, and with which roles of the book."""

from __future__ import annotations

import grp
import json
import os
import pwd
import socket
import sys
from dataclasses import dataclass

from opsbook.book.people import Access
from opsbook.engine.policy import Asker

ROLES = ("viewer", "responder", "operator", "admin")
"""A role includes those before it."""


@dataclass(frozen=True)
class Actor:
    """Who acts, and from where: host, terminal or address, process."""

    name: str
    origin: str
    most: str = ""
    """The highest role in which it acts, whatever the book gives: that of a token. Empty: no bound."""
    groups: frozenset[str] | None = None
    """The groups that an identity provider vouches for; None: those of the operating system."""
    itself: bool = False
    """opsbook, because the book asks for it; no user of that name is meant."""

    @property
    def asked_as(self) -> str:
        """The bounds as a run keeps them, JSON; empty where there are none."""
        if self.itself:
            return json.dumps({"itself": True})
        if not self.most and self.groups is None:
            return ""
        return json.dumps({"most": self.most, "groups": None if self.groups is None else sorted(self.groups)})


def local_actor() -> Actor:
    """The operating-system user of this process. No variable can say otherwise."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = f"uid {os.getuid()}"
    # Who became root by sudo is still somebody. The kernel does not vouch for it, so the user that acts stays first.
    try:
        login = os.getlogin()
    except OSError:
        login = ""
    behind = f", login {login}" if login and login != name else ""
    try:
        where = os.ttyname(sys.stdin.fileno())
    except (OSError, ValueError):
        where = "no terminal"
    return Actor(name, f"{socket.gethostname()}, {where}, pid {os.getpid()}{behind}")


def watch_actor(reason: str) -> Actor:
    """opsbook itself, when a schedule or an alert asked for it."""
    return Actor("opsbook", f"{socket.gethostname()}, {reason}, pid {os.getpid()}", itself=True)


def asker_of(access: Access, actor: Actor) -> Asker:
    """Somebody that acts, with the roles of the book within the actor's own bounds. opsbook itself needs no role: who
    wrote the book has asked for what it does."""
    if actor.itself:
        return Asker(actor.name, None, itself=True)
    found = asker(access, actor.name, actor.groups)
    if not actor.most:
        return found
    within = frozenset(ROLES[: ROLES.index(actor.most) + 1])
    return Asker(found.name, within if found.roles is None else found.roles & within)


def requester_of(access: Access, name: str, asked_as: str) -> Asker:
    """Who asked for a run, within the bounds that held when it was asked for."""
    kept = json.loads(asked_as) if asked_as else {}
    groups = kept.get("groups")
    known = None if groups is None else frozenset(groups)
    bound = Actor(name, "", kept.get("most", ""), known, bool(kept.get("itself")))
    return asker_of(access, bound)


def asker(access: Access, name: str, groups: frozenset[str] | None = None) -> Asker:
    """Somebody with the roles that the book gives. A book that names nobody gives everybody all of them."""
    lists = {role: getattr(access, role) for role in ROLES}
    if access.everybody is None and not any(lists.values()):
        return Asker(name, None)
    named = {name, *(f"group:{group}" for group in (groups if groups is not None else groups_of(name)))}
    highest = max((n for n, role in enumerate(ROLES) if named & set(lists[role])), default=-1)
    if highest < 0 and access.everybody is not None:
        highest = ROLES.index(access.everybody)
    return Asker(name, frozenset(ROLES[: highest + 1]))


def groups_of(name: str) -> frozenset[str]:
    """The operating system's groups of a user; none where it knows no such user."""
    try:
        ids = os.getgrouplist(name, pwd.getpwnam(name).pw_gid)
    except KeyError:
        return frozenset()
    found = set()
    for number in ids:
        try:
            found.add(grp.getgrgid(number).gr_name)
        except KeyError:
            continue
    return frozenset(found)
