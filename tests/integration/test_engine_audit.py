"""What the book says of the audit chain holds: its key signs, its copies grow, and without them nothing begins."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from opsbook.engine import acts
from opsbook.engine.access import Actor
from opsbook.engine.states import RunState
from opsbook.errors import OpsbookError
from opsbook.store import audit
from opsbook.store.audit_head import HeadFailed, verify_store
from opsbook.store.runs import newest
from tests.faults.world import World, op, person, procedure

MORE = "more: {disruptive: {confirm: true}}\naudit: {key: 'file:audit.pem', head: 'file:heads/head', export_to: copies}"
STEPS = procedure(op("one", text="a"), person("ask", "look"), op("two", text="b"))


def make_key(path: Path) -> None:
    private = Ed25519PrivateKey.generate()
    form = serialization.PrivateFormat.PKCS8
    path.write_bytes(private.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))


async def test_a_run_is_signed_and_copied_as_the_book_says(tmp_path: Path) -> None:
    make_key(tmp_path / "audit.pem")
    world = World(tmp_path, more=MORE)
    view = await world.run(STEPS)
    acts.tick(world.setting, view, Actor("bob", "a test"), None, "")
    assert (await world.see(view.run.id)).state is RunState.DONE
    assert verify_store(world.setting.store, world.setting.head).broken is None
    assert not list((tmp_path / ".opsbook").glob("*.key")), "none is made beside the store"
    (copy,) = (tmp_path / "copies").iterdir()
    copied = [json.loads(line) for line in copy.read_text().splitlines()]
    records = [one.hash for one in audit.records(world.setting.store)]
    assert [one["hash"] for one in copied if "seq" in one] == records and "head" in copied[-1]
    assert copied[-1]["head"]["key"] == world.setting.head.public


async def test_without_its_key_or_its_copy_nothing_begins(tmp_path: Path) -> None:
    world = World(tmp_path, more=MORE)
    with pytest.raises(OpsbookError, match=r"audit\.pem: No such file") as lost:
        await world.run(STEPS)
    assert "create" in str(lost.value)
    make_key(tmp_path / "audit.pem")
    (tmp_path / "copies").write_text("not a folder")
    with pytest.raises(HeadFailed, match="is no record of an audit chain"):
        await world.run(STEPS)
    assert newest(world.setting.store) == [] and world.attempts == []
    (tmp_path / "copies").unlink()
    view = await world.run(STEPS)
    (tmp_path / "audit.pem").write_text("lost")
    again = World(tmp_path, more=MORE)
    with pytest.raises(HeadFailed, match=r"`audit\.key` of the book is no private key"):
        acts.tick(again.setting, view, Actor("bob", "a test"), None, "")
    assert again.view(view.run.id).state is RunState.PERSON, "what cannot be recorded is not done"
