"""What was deployed: the versions of a service, and which of two sides carries the labels that a proxy looks for.

A record beside the compose file, since an engine keeps none.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from opsbook.connectors.change import ChangeFailed
from opsbook.connectors.runtimes.contract import Revision
from opsbook.connectors.runtimes.succession import before, succession


def repository(image: str) -> str:
    """An image without its tag or digest."""
    bare = image.partition("@")[0]
    head, slash, last = bare.rpartition("/")
    return head + slash + last.partition(":")[0]


def version_of(image: str, declared: str) -> str:
    """An image as a version: its tag or digest; whole where it is of another repository than the file's."""
    own = repository(declared)
    if repository(image) != own:
        return image
    rest = image[len(own) :]
    return rest[1:] if rest else "latest"


def image_of(version: str, declared: str) -> str:
    """The image of a version, which is a tag, a digest (`sha256:…`) or a whole image."""
    if version.startswith("sha256:"):
        return f"{repository(declared)}@{version}"
    if "/" in version or ":" in version or "@" in version:
        return version
    return f"{repository(declared)}:{version}"


@dataclass(frozen=True)
class Deployed:
    """One deploy. `declared` is the image of the compose file then: a file that was changed since wins."""

    image: str
    declared: str
    at: datetime | None


@dataclass(frozen=True)
class Record:
    """The lines of one project."""

    path: Path

    def deployed(self, service: str) -> list[Deployed]:
        """Its deploys, oldest first."""
        found = []
        for entry in self._entries(service):
            try:
                at = datetime.fromisoformat(entry["at"]) if entry.get("at") else None
                found.append(Deployed(str(entry["image"]), str(entry["declared"]), at))
            except (ValueError, KeyError, TypeError):
                continue  # it tells of something else
        return found

    def carries(self, service: str) -> bool | None:
        """Whether its containers shall carry the labels that a proxy looks for; None where it was never switched."""
        said = [entry["carries"] for entry in self._entries(service) if isinstance(entry.get("carries"), bool)]
        return said[-1] if said else None

    def carry(self, sides: Mapping[str, bool]) -> None:
        """Write down which services carry the labels from now on. Raises ChangeFailed."""
        if any(self.carries(service) is not one for service, one in sides.items()):
            at = datetime.now(UTC).isoformat()
            self._append([{"service": service, "carries": one, "at": at} for service, one in sides.items()])

    def _entries(self, service: str) -> Iterator[dict[str, Any]]:
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines()
        except OSError:
            return
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:
                continue  # a line that was cut by a full disk tells nothing
            if isinstance(entry, dict) and entry.get("service") == service:
                yield entry

    def wanted(self, service: str, declared: str) -> str:
        """The image that a new container is to have: the one deployed last, unless the file was changed since."""
        last = next(reversed(self.deployed(service)), None)
        return last.image if last is not None and last.declared == declared else declared

    def previous(self, service: str, now: str) -> str:
        """The image that the one that runs followed; empty where there is none."""
        return before([one.image for one in self.deployed(service)], now)

    def revisions(self, service: str, declared: str, now: str) -> list[Revision]:
        """Every image that was deployed, by its last deploy; the one that runs as current."""
        last: dict[str, datetime | None] = {} if self.deployed(service) else {now: None}
        for one in self.deployed(service):
            last.pop(one.image, None)
            last[one.image] = one.at
        if now and now not in last:
            last[now] = None
        followed = succession([one.image for one in self.deployed(service)])
        left = {image for image in last if image not in followed and image != now}
        return [Revision(number, version_of(image, declared), at, image == now, image in left)
                for number, (image, at) in enumerate(last.items(), 1)]  # fmt: skip

    def begin(self, service: str, declared: str, now: str) -> None:
        """Write down what runs before the first deploy. Raises ChangeFailed where nothing can be written."""
        self._append([] if not now or self.deployed(service) else [_line(service, now, declared, None)])

    def note(self, service: str, declared: str, image: str) -> None:
        """Write a deploy down; once, however often it is applied. Raises ChangeFailed."""
        last = next(reversed(self.deployed(service)), None)
        if last is None or (last.image, last.declared) != (image, declared):
            self._append([_line(service, image, declared, datetime.now(UTC).isoformat())])

    def _append(self, lines: Sequence[Mapping[str, str | bool | None]]) -> None:
        try:
            # A line that a full disk cut must not take the next one with it.
            cut = bool(lines) and self.path.exists() and self.path.read_bytes()[-1:] not in (b"", b"\n")
            with self.path.open("a", encoding="utf-8") as file:
                file.write("\n" * cut)
                file.writelines(json.dumps(line) + "\n" for line in lines)
        except OSError as error:
            raise ChangeFailed(
                f"{self.path}: {error.strerror}", "the versions of services are kept there; this user must write it"
            ) from error


def _line(service: str, image: str, declared: str, at: str | None) -> dict[str, str | None]:
    return {"service": service, "image": image, "declared": declared, "at": at}
