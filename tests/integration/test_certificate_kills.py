"""A pair that is installed or put back, killed before every single touch of a file, and gone on with."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from opsbook.connectors.certificates.pairs import belongs, key_pem, read_chain, read_key
from opsbook.connectors.certificates.places import Places
from opsbook.connectors.change import Change
from opsbook.connectors.held.files import InFile
from opsbook.connectors.registry import OpenConnections
from tests.integration.dying import dies
from tests.integration.hands import Hands
from tests.integration.servers import make_system
from tests.integration.web import Issued, issue

pytestmark = pytest.mark.real

OLD = issue("shop.test", None, ("shop.test",), days=1)
NEW = issue("shop.test", None, ("shop.test",), days=40)


class Site:
    """The files of a certificate, and the book that names them."""

    def __init__(self, folder: Path, layout: str) -> None:
        self.folder, self.tls = folder, folder / "tls"
        if layout == "linked":
            (folder / "tls.0").mkdir(parents=True)
            self.tls.symlink_to("tls.0")
        else:
            self.tls.mkdir(parents=True)
        (self.tls / "of-somebody-else").write_text("stays\n")
        self.places = Places(InFile(self.tls / "chain.pem"), InFile(self.tls / "key.pem"))
        certificate = {
            "id": "web", "of": "site", "names": ["shop.test"], "certificate": f"file:{self.tls}/chain.pem",
            "key": f"file:{self.tls}/key.pem",
        }  # fmt: skip
        components = {"site": {"kind": "http", "url": "http://127.0.0.1:1"}}
        system = make_system(folder / "book", components, certificates=[certificate])
        self.hands = Hands(OpenConnections(system))

    def put(self, where: Places, pair: Issued) -> None:
        _path(where.chain).write_bytes(pair.pem())
        _path(where.key).write_bytes(key_pem(pair.key))

    def prepare(self, take: str) -> tuple[Change, Issued, Issued]:
        """The change, what it puts, and what it replaces."""
        named = {"of": "site", "certificate": "web"}
        if take == "previous":
            self.put(self.places, NEW)
            self.put(self.places.previous, OLD)
            return self._planned("certificate.restore", **named), OLD, NEW
        self.put(self.places, OLD)
        _path(self.places.next.key).write_bytes(key_pem(NEW.key))
        (self.folder / "signed.pem").write_bytes(NEW.pem())
        install = self._planned("certificate.install", **named, file=str(self.folder / "signed.pem"))
        if take == "next":
            self.put(self.places.next, NEW)
            install = Change(install.kind, {**install.effect, "take": "next"}, inverse=install.inverse)
        return install, NEW, OLD

    def _planned(self, name: str, **parameters: Any) -> Change:
        return asyncio.run(self.hands.only(name, **parameters))

    def apply(self, change: Change) -> None:
        asyncio.run(self.hands.apply(change))

    def served(self) -> Issued | None:
        """The pair that a server would read now; None where it could not start."""
        return _pair(self.places)

    def known(self) -> list[Issued | None]:
        """The pairs that lie anywhere."""
        one = self.places
        held = [one, one.next, one.previous, one.restoring, Places(InFile(self.folder / "signed.pem"), one.next.key)]
        return [_pair(each) for each in held]

    def left(self) -> list[str]:
        names = [path.name for path in self.tls.iterdir() if ".next" in path.name or ".restoring" in path.name]
        return names + [path.name for path in self.tls.iterdir() if path.name.endswith(".new")]


def _path(held: object) -> Path:
    assert isinstance(held, InFile)
    return held.path


def _pair(where: Places) -> Issued | None:
    try:
        chain = read_chain(_path(where.chain).read_bytes(), "chain")
        key = read_key(_path(where.key).read_bytes(), "key")
    except FileNotFoundError:
        return None
    if not belongs(chain, key):
        return None
    return next(one for one in (OLD, NEW) if one.certificate == chain.leaf)


@pytest.mark.parametrize("layout", ["plain", "linked"])
@pytest.mark.parametrize("take", ["next", "signed", "previous"])
def test_a_kill_between_any_two_files_is_repaired_when_it_goes_on(tmp_path: Path, take: str, layout: str) -> None:
    number = 0
    while True:
        number += 1
        site = Site(tmp_path / str(number), layout)
        change, wanted, replaced = site.prepare(take)
        killed = dies(lambda site=site, change=change: site.apply(change), number)
        where = f"killed before touch {number}"
        assert wanted in site.known(), f"{where}: the pair that is wanted is lost"
        assert replaced in site.known(), f"{where}: the pair that was served is lost"
        if layout == "linked":
            assert site.served() is not None, f"{where}: key and chain do not belong together"
        site.apply(change)
        site.apply(change)  # as a run that died before it noted that it had ended
        assert site.served() is wanted, where
        assert _pair(site.places.previous) is replaced, where
        assert site.left() == [], where
        assert (site.tls / "of-somebody-else").read_text() == "stays\n"
        if not killed:
            break
    assert number > 4


@pytest.mark.parametrize("layout", ["plain", "linked"])
def test_a_restore_that_was_killed_and_is_planned_anew_puts_back_the_same_pair(tmp_path: Path, layout: str) -> None:
    for number in range(1, 40):
        site = Site(tmp_path / str(number), layout)
        change, wanted, _ = site.prepare("previous")
        killed = dies(lambda site=site, change=change: site.apply(change), number)
        if site.served() is not wanted:
            again = asyncio.run(site.hands.only("certificate.restore", of="site", certificate="web"))
            site.apply(again)
            assert site.served() is wanted, f"killed before touch {number}"
        if not killed:
            break
    assert not killed
