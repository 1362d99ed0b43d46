"""The configuration of Alertmanager: everything goes to opsbook, which knows who is on call; causes hush what follows.

That opsbook itself is gone is told by Alertmanager, to those whom the escalation path tells first. Where a team wants
Alertmanager to tell people of all alerts, it goes by severity, to the channels that the book names at once. It cannot
climb an escalation path or follow a rotation: only opsbook knows who acknowledged, and who is on call.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from typing import Any

from opsbook.book.people import Channel, Contact
from opsbook.book.system import System
from opsbook.checks.evaluate import State
from opsbook.watch.generate.inhibition import inhibit_rules
from opsbook.watch.generate.names import DOWN, INCIDENT_SEVERITY, STUCK, where
from opsbook.watch.generate.options import Places
from opsbook.watch.generate.promql import duration, quoted
from opsbook.watch.generate.yaml_text import block

OPSBOOK = "opsbook"
NOBODY = "nobody"
WEBHOOK = "/api/v1/alertmanager"
REPEAT = timedelta(hours=4)
"""How often Alertmanager tells again what still fires: also how soon a message that was lost is made good."""


def alertmanager_text(system: System, places: Places, notify: str = "opsbook") -> str:
    """The file. `notify` is who tells people: opsbook, channels (Alertmanager does), or both."""
    receivers = Receivers(system, places)
    here = where(system)
    head = [
        f"Alertmanager for {here['system']} in {here['environment']}, made by `opsbook generate alertmanager`.",
        "Secrets stay in files on its host.",
    ]
    body = {
        "global": {"smtp_smarthost": places.smarthost, "smtp_from": places.mail_from},
        "route": _root(system, receivers, notify),
        "inhibit_rules": inhibit_rules(system),
        "receivers": receivers.as_yaml(),
    }
    head += [f"Only opsbook can tell {name}: {reason}" for name, reason in sorted(receivers.unreachable.items())]
    return "\n".join(f"# {line}" for line in head) + "\n" + block(body)


class Receivers:
    """The receivers that routes use, made as they are asked for."""

    def __init__(self, system: System, places: Places) -> None:
        self.system, self.places = system, places
        self.unreachable: dict[str, str] = {}
        self._made: dict[str, dict[str, Any]] = {OPSBOOK: self._opsbook(), NOBODY: {"name": NOBODY}}

    def as_yaml(self) -> list[dict[str, Any]]:
        return list(self._made.values())

    def of(self, names: Iterable[str]) -> list[str]:
        """The receivers of channels, contacts and rotations of the book, those that Alertmanager can reach."""
        return [name for name in dict.fromkeys(names) if self._reachable(name)]

    def _opsbook(self) -> dict[str, Any]:
        authorization = {"type": "Bearer", "credentials_file": self.places.token_file}
        config = {
            "url": self.places.opsbook + WEBHOOK,
            "send_resolved": True,
            "max_alerts": 0,
            "http_config": {"authorization": authorization},
        }
        return {"name": OPSBOOK, "webhook_configs": [config]}

    def _reachable(self, name: str) -> bool:
        if name not in self._made:
            model = self.system.model
            found: dict[str, Any] | str = "it is a rotation"
            if name in model.channels:
                found = self._channel(name, model.channels[name])
            elif name in model.contacts:
                found = self._contact(name, model.contacts[name])
            if isinstance(found, str):
                self.unreachable[name] = found
                return False
            self._made[name] = {"name": name, **found}
        return True

    def _contact(self, name: str, contact: Contact) -> dict[str, Any] | str:
        if contact.notify is not None:
            return self._address(name, contact.notify.text, "")
        return _mail(contact.email) if contact.email else "its contact has no e-mail address"

    def _channel(self, name: str, channel: Channel) -> dict[str, Any] | str:
        return self._address(name, channel.url.text, channel.format or "")

    def _address(self, name: str, text: str, form: str) -> dict[str, Any] | str:
        """By the form of the message, or what the address begins with. The address itself may be a secret."""
        secret = f"{self.places.secrets}/{name}"
        scheme = text.partition(":")[0].lower()
        if form == "slack" or scheme == "slack":
            return {"slack_configs": [{"api_url_file": secret, "send_resolved": True}]}
        if form == "pagerduty" or scheme == "pagerduty":
            return {"pagerduty_configs": [{"routing_key_file": secret, "send_resolved": True}]}
        if scheme == "mailto" and re.fullmatch(r"mailto:[^\s/?$:@]+@[^\s/?$:@]+", text):
            return _mail(text.partition(":")[2])
        return "Alertmanager has no file for an address of this form"


def _mail(address: str) -> dict[str, Any]:
    return {"email_configs": [{"to": address, "send_resolved": True}]}


def _root(system: System, receivers: Receivers, notify: str) -> dict[str, Any]:
    """What is not of this book goes to nobody here, and to opsbook: its rules may be a team's own."""
    # Of these opsbook cannot say who is on call, since it is they that it is gone: all of a rotation are told.
    first = receivers.of(_everybody(system, _at_once(system, None)))
    routes = [_route([f'alertname=~"{DOWN}|{STUCK}"'], name, more=n < len(first) - 1) for n, name in enumerate(first)]
    if notify != "channels":
        routes.append({**_route([], OPSBOOK, more=notify == "both"), "group_wait": "0s", "group_interval": "10s"})
    if notify != "opsbook":
        routes += _by_severity(system, receivers)
    if notify == "both" or notify == "channels":
        routes.append(_route([], NOBODY))
    return {
        "receiver": OPSBOOK if notify != "channels" else NOBODY,
        "group_by": ["system", "environment", "component", "check"],
        "group_wait": "10s",
        "group_interval": "1m",
        "repeat_interval": duration(REPEAT.total_seconds()),
        "routes": routes,
    }


def _everybody(system: System, names: Iterable[str]) -> Iterator[str]:
    """The names, rotations as their members and who stands behind them."""
    for name in names:
        rotation = system.model.oncall.get(name)
        yield from (name,) if rotation is None else (*rotation.members, *filter(None, [rotation.backup]))


def _by_severity(system: System, receivers: Receivers) -> list[dict[str, Any]]:
    """A route for each receiver of each severity, then what follows from the state alone."""
    routes = []
    for check in system.checks:
        routes += [_route([f'check="{check.id}"'], name, more=True) for name in receivers.of(check.notify)]
    for severity in system.model.severities:
        matcher = f"{INCIDENT_SEVERITY}={quoted(severity)}"
        routes += [_route([matcher], name, more=True) for name in receivers.of(_at_once(system, severity))]
    for state in (State.CRITICAL, State.UNKNOWN, State.WARNING):
        if state.value in system.model.incidents.open_for:  # rules of others, and books without severities
            matchers = [f'severity="{state}"', f'{INCIDENT_SEVERITY}=""']
            routes += [_route(matchers, name, more=True) for name in receivers.of(_at_once(system, None))]
    return routes


def _at_once(system: System, severity: str | None) -> list[str]:
    """Who is told at the beginning: the first rungs of the path, and those that the severity names."""
    found = system.model.severities.get(severity or "")
    path = (found.escalation if found else ()) or system.model.escalation
    soonest = min((level.within for level in path), default=timedelta(0))
    return [*(found.notify if found else ()), *(level.notify for level in path if level.within == soonest)]


def _route(matchers: Sequence[str], receiver: str, *, more: bool = False) -> dict[str, Any]:
    chosen = {"matchers": list(matchers)} if matchers else {}
    return {**chosen, "receiver": receiver, **({"continue": True} if more else {})}
