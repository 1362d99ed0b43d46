"""Rotations and certificates as the commands of a plan, run by a shell without opsbook."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import psycopg
import pytest

from opsbook.book.system import parse_env
from opsbook.connectors.by_hand.script import RENDERERS, Script
from opsbook.connectors.certificates.pairs import key_pem
from opsbook.connectors.change import Change
from opsbook.connectors.registry import OpenConnections
from tests.integration.hands import Hands
from tests.integration.servers import make_system, new_postgres, own_folder
from tests.integration.test_certificates import Site, site  # noqa: F401
from tests.integration.web import issue

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("acme"), pytest.mark.timeout(120)]


def ran(hands: Hands, changes: list[Change], **variables: str) -> subprocess.CompletedProcess[str]:
    """Their commands, as `plan --as-commands` prints them, in a shell that has nothing else."""
    script = Script(hands.facts.system)
    lines = [line for one in changes for line in RENDERERS[one.kind](_plain(one), script)]
    text = "\n".join([*script.opening(), *lines]) + "\n"
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    return subprocess.run(["bash"], input=text, capture_output=True, text=True, timeout=60, check=False, cwd="/",
                          env={"PATH": path, "HOME": "/", **variables})  # fmt: skip


def _plain(change: Change) -> dict[str, Any]:
    return {"kind": change.kind, "effect": change.effect, "evidence": change.evidence, "guard": change.guard}


async def test_a_login_is_rotated_by_the_commands(tmp_path: Path) -> None:
    env, also = tmp_path / "app.env", tmp_path / "pass word"
    with new_postgres() as server, own_folder("by-hand"):
        server.sql("CREATE ROLE shop LOGIN PASSWORD 'first'", "CREATE DATABASE shop OWNER shop", database="postgres")
        env.write_text(f"# it's mine\nexport DATABASE_URL=postgresql://shop:first@127.0.0.1:{server.port}/shop\nA=1\n")
        also.write_text("first\n")
        also.chmod(0o640)
        rotation = {"id": "shop", "of": "database", "role": "shop", "every": "90d",
                    "to": f"env:{env}#DATABASE_URL", "also": [f"file:{also}"]}  # fmt: skip
        components = {"database": {"kind": "postgres", "dsn": "${ADMIN}"}}
        system = make_system(tmp_path / "book", components, rotations=[rotation])
        hands, named = Hands(OpenConnections(system)), {"of": "database", "rotation": "shop"}
        admin = {"ADMIN": server.url(database="shop")}
        for login in ("shop_a", "shop_b"):
            before = parse_env(env.read_text())["DATABASE_URL"]
            for act in ("prepare", "distribute", "retire"):
                done = ran(hands, await hands.plan(f"credential.{act}", **named), **admin)
                assert done.returncode == 0, f"{act}: {done.stderr}"
                if act == "prepare":
                    pending = env.with_name(".app.env.shop.pending")
                    assert pending.stat().st_mode & 0o077 == 0
                    assert json.loads(pending.read_text())["new"]["login"] == login
                    psycopg.connect(before).close()
            after = parse_env(env.read_text())["DATABASE_URL"]
            assert f"//{login}:{also.read_text().strip()}@" in after
            with psycopg.connect(after) as connection:
                assert connection.execute("SELECT current_user::text").fetchone() == ("shop",)
            with pytest.raises(psycopg.OperationalError):
                psycopg.connect(before)
            assert not pending.exists()
        assert env.read_text().splitlines()[::2] == ["# it's mine", "A=1"]
        assert also.stat().st_mode & 0o777 == 0o640


async def test_a_certificate_is_installed_by_the_commands(site: Site) -> None:  # noqa: F811
    hands = site.hands()
    new = issue("localhost", None, ("localhost",), days=40)
    site.chain.with_name(".chain.pem.next").write_bytes(new.pem())
    site.chain.with_name(".key.pem.next").write_bytes(key_pem(new.key))
    _, install = await hands.plan("certificate.renew", of="site", certificate="web")
    old = site.chain.read_bytes()
    done = ran(hands, [install])
    assert done.returncode == 0, done.stderr
    assert await site.served() == new.certificate
    assert site.previous.read_bytes() == old
    site.chain.with_name(".key.pem.next").write_bytes(key_pem(issue("other", None, ("x",)).key))
    assert ran(hands, [install]).returncode != 0, "a key of another certificate is refused"
    assert await site.served() == new.certificate
