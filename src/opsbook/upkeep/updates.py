"""The whole system brought up to date in one run, which goes back as a whole where one part of it turns out to be bad.

The order: gates and checklist, all well, how it answers now, backups, the banner, then one component after the other,
each after what it needs, the schema before the first that reads it; the banner away, and every proof of a deploy. What
stands behind a proxy that shows a banner cannot be asked through it, so its health page and its proofs wait until the
banner is away; a side is asked past the proxy before.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from datetime import timedelta

from opsbook.book.delivery import Deploy
from opsbook.book.system import System
from opsbook.connectors.http import ProxyComponent
from opsbook.connectors.sides import has_sides
from opsbook.engine.front_matter import RESERVED
from opsbook.upkeep import deploys
from opsbook.upkeep.maintenance import MESSAGE
from opsbook.upkeep.order import health_of, needs
from opsbook.upkeep.templates import Steps, filled, listed

VERSION = '{type: text, default: "", pattern: "|[A-Za-z0-9][A-Za-z0-9._+-]*", doc: "@doc@"}'
OWN = ("maintenance", "schema_version")
WAIT = timedelta(minutes=10)
AFTER_SECONDS = 120
"""How long everything may take to be well once users are let in: they meet what is bad meanwhile."""


def update_of(system: System, order: Sequence[str]) -> str:
    """The Markdown of `update-system`; `order` says which components, each after what it needs."""
    update = _Update(system, order)
    return filled("update-system", params="\n".join(update.parameters()), steps=str(update.steps()))


class _Update:
    def __init__(self, system: System, order: Sequence[str]) -> None:
        self.system, self.order, self.text = system, order, Steps()
        self.names = {name: parameter_of(name) for name in order}
        proxy = system.components.get(system.model.maintenance.of or "")
        self.closes = isinstance(proxy, ProxyComponent) and proxy.maintenance is not None
        self.readers = self._readers()
        self.schema = " or ".join(["schema_version", *(self.names[name] for name in self.readers)])
        some = " or ".join([*self.names.values(), *(["schema_version"] if self.readers else [])])
        self.anything = f"({some}) != ''"

    def _readers(self) -> list[str]:
        """The components whose version says how the schema is, the first that is given before the others.

        None where the book tells of no migrations; all that have versions where it does not say who needs the database.
        """
        migrations = self.system.model.deploys.migrations
        if migrations is None:
            return []
        own = [name for name in self.order if self._is_deployed(name)]
        reading = [name for name in own if needs(self.system, name, migrations.of)] or own
        first = [name for name in self.system.model.deploys.components if name in reading]
        inside = [migrations.inside] if migrations.inside in own else []
        return list(dict.fromkeys([*inside, *first, *reading]))

    def _is_deployed(self, name: str) -> bool:
        kind = self.system.components[name].kind
        return name in self.system.model.deploys.components or deploys.is_application(kind)

    def parameters(self) -> list[str]:
        """The front matter's lines, one for each."""

        def line(name: str, doc: str) -> str:
            return f"  {name}: {VERSION.replace('@doc@', doc)}"

        found = [line(name, f"version of {component}; it stays where left out")
                 for component, name in self.names.items()]  # fmt: skip
        if self.readers:
            of = f"{'that' if len(self.readers) == 1 else 'the first given'} of {', '.join(self.readers)}"
            found.append(line("schema_version", f"version whose migrations are made; {of} if empty"))
        if self.closes:
            found.append("  maintenance: {type: bool, default: true, doc: users read a banner meanwhile}")
        return found

    def steps(self) -> Steps:
        self._before()
        front, closed = self.system.model.maintenance.of, f' when="maintenance and {self.anything}"'
        if self.closes:
            message = json.dumps(self.system.model.maintenance.message or MESSAGE, ensure_ascii=False)
            self.text.op("Users read a banner in place of errors.", f"id=enter timeout=5m on_failure=undo{closed}",
                         f"maintenance.enter: {{of: {front}, message: {message}}}")  # fmt: skip
        schema_waits = bool(self.readers)
        for name in self.order:
            if schema_waits and name in self.readers:
                schema_waits = False
                self._schema()
            self._bring(name)
        if self.closes:
            self.text.op("Let users in.", f"id=leave timeout=5m on_failure=undo{closed}",
                         f"maintenance.leave: {{of: {front}}}")  # fmt: skip
        self._after()
        return self.text

    def _before(self) -> None:
        system, text, said = self.system, self.text, self.system.model.deploys
        own = [self.names[name] for name in self.order if self._is_deployed(name)]
        if system.environment.runtime.kind == "supervisor" and len(own) > 1:
            several = f"([{', '.join(own)}] | select | unique | list | length) > 1"
            text.op("All that runs from the releases of one host is of one version.",
                    f"id=one-version risk=read idempotent when=\"{several}\"", ONE_VERSION, "sh")  # fmt: skip
        for name in filter(self._is_deployed, self.order):
            if self._settings(name).strategy == "recreate":
                text.op(f"{name} can be brought to its version as the book says.",
                        f"id=recreate-{name} risk=read idempotent{self._wanted(name)}",
                        f"echo {shlex.quote(deploys.recreated(name))} >&2\nexit 1", "sh")  # fmt: skip
        if any(one.kind == "host" for one in system.components.values()):
            text.op("What Debian would change on opsbook's host. It is only shown: its owner installs them.",
                    "id=host-packages risk=read timeout=5m idempotent", HOST_PACKAGES, "sh")  # fmt: skip
        text.act("Somebody has read what is out of date, and chosen the versions.")
        for gate in said.gates:
            if not deploys.asks_about_version(gate):
                deploys.held(text, gate)
        if said.checklist:
            deploys.checklist(text, system, said.checklist)
        for name in self.order:
            for gate in said.gates:
                if self._is_deployed(name) and deploys.asks_about_version(gate):
                    deploys.held(text, gate, self.names[name], of=f"-{name}", when=self._wanted(name))
        if checks := self._health():
            text.op("All of it is well: an update on top of a fault hides both.", "id=well retry=2", listed(checks),
                    "check")  # fmt: skip
        for name in filter(self._is_deployed, self.order):
            deploys.measured(text, system, name, self._settings(name), of=f"-{name}", when=self._wanted(name))
        for backup in system.model.backups:
            if backup.to and not backup.continuous and system.holds(backup.environments):
                text.op("A backup before anything changes.", f"id=backup-{backup.id} timeout=12h",
                        f"backup.take: {{of: {backup.of}, backup: {backup.id}}}")  # fmt: skip

    def _schema(self) -> None:
        migrations = self.system.model.deploys.migrations
        assert migrations is not None, "asked for where there are some"
        self.text.op("The schema, before what reads it.",
                     f"id=schema timeout=1h retry=2 on_failure=undo when=\"({self.schema}) != ''\"",
                     f'migrations.upgrade: {{of: {migrations.of}, version: "{{{{ {self.schema} }}}}"}}')  # fmt: skip

    def _bring(self, name: str) -> None:
        system, text, when = self.system, self.text, self._wanted(name)
        settings = self._settings(name)
        wait = settings.wait or WAIT
        version = f'version: "{{{{ {self.names[name]} }}}}"'
        asked = '"{{ not maintenance }}"' if self.closes else "true"
        if has_sides(system, name):
            text.op(f"Bring the side of {name} without traffic to its version, and prove it.",
                    f"id=bring-up-{name} timeout={deploys.span(wait * 4)} on_failure=undo{when}",
                    f"side.bring_up: {{of: {name}, {version}, wait: {deploys.span(wait)}}}")  # fmt: skip
            patience = deploys.span(deploys.switch_lasts(settings))
            text.op(f"Send the traffic of {name} there.",
                    f"id=switch-{name} timeout={patience} save=switched{parameter_of(name)} on_failure=undo{when}",
                    f'traffic.switch: {{of: {name}, ask: {asked}}}')  # fmt: skip
        else:
            text.op(
                f"Bring {name} to its version.",
                f"id=update-{name} timeout={deploys.span(wait * 4)} on_failure=undo{when}",
                f"workload.deploy: {{of: {name}, {version}, wait: {wait.total_seconds():g}, health: {asked}}}",
            )
        through = {one.id for one in system.checks if one.observe.startswith("http.")} if self.closes else set()
        health = health_of(system, name)
        self._wait(name, [one for one in health if one not in through], f"id=well-{name}{when}", wait)
        open_ = when.replace('when="', 'when="not maintenance and ')
        self._wait(name, [one for one in health if one in through], f"id=serves-{name}{open_}", wait)

    def _wait(self, name: str, checks: Sequence[str], attributes: str, wait: timedelta) -> None:
        if checks:
            within = wait.total_seconds()
            self.text.op("Go on when it is well.", f"{attributes} timeout={deploys.span(wait * 2)} on_failure=undo",
                         f"checks.wait: {{of: {name}, checks: [{', '.join(checks)}], within: {within:g}}}")  # fmt: skip

    def _after(self) -> None:
        system, text = self.system, self.text
        if checks := self._health():
            of = next(one.of for one in system.checks if one.id == checks[0])
            text.op("All of it is well, as before.", "id=all-well timeout=10m on_failure=undo",
                    f"checks.wait: {{of: {of}, checks: [{', '.join(checks)}], within: {AFTER_SECONDS}}}")  # fmt: skip
        for name in self.order:
            if self._is_deployed(name):
                settings, when = self._settings(name), self._wanted(name)
                deploys.proven(text, system, name, settings, of=f"-{name}", when=when)
        for name in self.order:
            if has_sides(system, name):
                drain = self._settings(name).drain or timedelta(seconds=30)
                keep = f"switched{parameter_of(name)}.active"
                text.op(
                    f"Stop the old side of {name}.",
                    f"id=retire-{name} timeout={deploys.span(drain + deploys.SPARE)}{self._wanted(name)}",
                    f'side.retire: {{of: {name}, drain: {deploys.span(drain)}, keep: "{{{{ {keep} }}}}"}}',
                )

    def _health(self) -> list[str]:
        return [check for name in self.order for check in health_of(self.system, name)]

    def _settings(self, name: str) -> Deploy:
        return deploys.settings_of(self.system.model.deploys, name)

    def _wanted(self, name: str) -> str:
        return f" when=\"{self.names[name]} != ''\""


def parameter_of(component: str) -> str:
    """The name of its version as a parameter: a name of the language, and none that means something else there."""
    name = re.sub(r"[^a-z0-9_]", "_", component)
    taken = name in RESERVED or name in OWN or not name[0].isalpha()
    return f"version_of_{name}" if taken else name


HOST_PACKAGES = """\
if command -v apt-get >/dev/null; then
  apt list --upgradable 2>/dev/null
  apt-get --simulate --quiet upgrade | tail -n 3
else
  echo 'this host has no apt: ask its own package manager'
fi"""
ONE_VERSION = """\
echo 'what runs from the releases of one host is of one version: give all of them the same' >&2
exit 1"""
