"""Containers of a service as the engine tells them, and why one is not ready in one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from opsbook.connectors.runtimes.compose_create import NUMBER, SERVICE
from opsbook.connectors.runtimes.contract import Instance

LONGEST_WORDS = 300
SIGNALS = {130: "SIGINT", 134: "SIGABRT", 137: "SIGKILL", 139: "SIGSEGV", 143: "SIGTERM"}
ASKED_EXITS = frozenset({0, 130, 143})
"""Ends that somebody asked for: by itself, SIGINT, SIGTERM."""


@dataclass(frozen=True)
class Container:
    """One container. `told` is what the engine says of it; it holds secrets."""

    told: Mapping[str, Any]

    @property
    def id(self) -> str:
        return str(self.told["Id"])

    @property
    def name(self) -> str:
        return str(self.told["Name"]).lstrip("/")

    @property
    def service(self) -> str:
        return str(self.labels.get(SERVICE, ""))

    @property
    def number(self) -> int:
        written = str(self.labels.get(NUMBER, ""))
        return int(written) if written.isdigit() else 0

    @property
    def labels(self) -> Mapping[str, str]:
        return self.told["Config"].get("Labels") or {}

    @property
    def image(self) -> str:
        """As it was named when the container was made."""
        return str(self.told["Config"].get("Image") or self.told.get("Image") or "")

    @property
    def state(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.told["State"]
        return found

    @property
    def active(self) -> bool:
        """Whether it runs, or the engine is about to start it again."""
        return bool(self.state.get("Running") or self.state.get("Restarting"))

    @property
    def health(self) -> str:
        """`starting`, `healthy`, `unhealthy`; empty where nothing is checked."""
        told = str((self.state.get("Health") or {}).get("Status") or "")
        return "" if told == "none" or not self.checked else told

    @property
    def checked(self) -> bool:
        test = (self.told["Config"].get("Healthcheck") or {}).get("Test") or []
        return bool(test) and test != ["NONE"]

    @property
    def ready(self) -> bool:
        running = self.state.get("Running") and not self.state.get("Restarting") and not self.state.get("Paused")
        return bool(running) and self.health in ("", "healthy")

    @property
    def started(self) -> datetime | None:
        return moment(self.state.get("StartedAt"))

    @property
    def restarts(self) -> int:
        return int(self.told.get("RestartCount") or 0)

    @property
    def exit_code(self) -> int:
        return int(self.state.get("ExitCode") or 0)

    @property
    def networks(self) -> Mapping[str, Any]:
        return (self.told.get("NetworkSettings") or {}).get("Networks") or {}

    @property
    def ports(self) -> Mapping[int, frozenset[int]]:
        """Its TCP ports → the ports of the host that lead there."""
        told = (self.told.get("NetworkSettings") or {}).get("Ports") or {}
        return {
            int(exposed.partition("/")[0]): frozenset(
                int(one["HostPort"]) for one in published or () if one["HostPort"]
            )
            for exposed, published in told.items()
            if exposed.endswith("/tcp")
        }

    @property
    def last_check(self) -> Mapping[str, Any]:
        return next(reversed((self.state.get("Health") or {}).get("Log") or [{}]))

    def instance(self, words: str = "") -> Instance:
        """As an instance; `words` are the last that it wrote."""
        state = "unhealthy" if self.health == "unhealthy" and self.active else str(self.state.get("Status", ""))
        pid = int(self.state.get("Pid") or 0) or None
        return Instance(self.name, self.ready, state, self.started, pid, self.reason(words))

    def reason(self, words: str = "") -> str:
        """Why it is not ready, in one sentence; empty where it is."""
        if self.ready:
            return ""
        state, last = self.state, f"; its last words: {words}" if words else ""
        if state.get("OOMKilled"):
            return f"it was killed because it used more memory than its limit{last}"
        if state.get("Paused"):
            return "it is paused"
        if self.active and self.health == "unhealthy":
            said = " ".join(str(self.last_check.get("Output", "")).split())[:LONGEST_WORDS]
            return "its health check fails" + (f": {said}" if said else "")
        if self.active and self.health == "starting":
            return "its health check has not passed yet"
        if state.get("Restarting"):
            return f"it ended with {ended(self.exit_code)} and is started again ({self.restarts} times so far){last}"
        if state.get("Status") in ("created", "initialized", "configured"):
            failed = str(state.get("Error") or "")
            return f"it could not be started: {failed}" if failed else "it was not started"
        if state.get("Error"):
            return f"it could not be started: {state['Error']}"
        if self.exit_code in ASKED_EXITS:
            return f"it is stopped; it ended with {ended(self.exit_code)}"
        return f"it ended with {ended(self.exit_code)}{last}"


def ended(code: int) -> str:
    """An exit code in words."""
    return f"exit status {code}" + (f" ({SIGNALS[code]})" if code in SIGNALS else "")


def moment(written: Any) -> datetime | None:
    """A time of the API, which has nine digits after the second; None for its zero."""
    text = str(written or "")
    if not text or text.startswith("0001"):
        return None
    whole, _, rest = text.partition(".")
    fraction = "".join(one for one in rest if one.isdigit())[:6] if rest else ""
    try:
        found = datetime.fromisoformat(whole.removesuffix("Z"))
    except ValueError:
        return None
    micro = int(fraction.ljust(6, "0")) if fraction else 0
    return found.replace(microsecond=micro, tzinfo=found.tzinfo or UTC)
