"""Rotations and certificates as the commands of a plan, run by a shell without opsbook."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from cryptography import x509

from opsbook.book.system import parse_env
from opsbook.connectors.by_hand.script import RENDERERS, Script
from opsbook.connectors.certificates.pairs import key_pem
from opsbook.connectors.change import Change
from opsbook.connectors.held.kubernetes_secrets import Secret
from opsbook.connectors.registry import OpenConnections
from opsbook.connectors.runtimes.kubernetes import Kubernetes
from tests.integration.cluster import needs_kubernetes, new_namespace
from tests.integration.hands import Hands, hands_of
from tests.integration.servers import make_system, new_postgres, new_redis, own_folder
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


def gets_in(port: int, user: str, password: str) -> bool:
    try:
        return bool(redis.Redis(port=port, username=user, password=password).ping())
    except redis.AuthenticationError:
        return False


@pytest.mark.parametrize("user", ["default", "shop"])
async def test_a_password_of_redis_is_rotated_by_the_commands(tmp_path: Path, user: str) -> None:
    env, also, config = tmp_path / "app.env", tmp_path / "word", tmp_path / "redis.conf"
    also.write_text("old-word\n")
    config.write_text("requirepass old-word\n" if user == "default" else "user shop on >old-word ~* +@all\n")
    with new_redis(str(config)) as found:
        env.write_text(f"CACHE_URL='redis://{user}:old-word@127.0.0.1:{found.port}/0'\n")
        admin = f"redis://{user}:${{WORD}}@127.0.0.1:{found.port}/0"
        rotation = {"id": "cache", "of": "cache", "every": "90d", "to": f"env:{env}#CACHE_URL",
                    "also": [f"file:{also}"], "role": "" if user == "default" else user}  # fmt: skip
        environments = {"test": {"policy": "open", "env_file": str(tmp_path / "opsbook.env")}}
        rotations = {"rotations": [rotation], "environments": environments}
        (tmp_path / "opsbook.env").write_text("WORD=old-word\n")
        old = "old-word"
        for _ in range(2):
            system = make_system(tmp_path / "book", {"cache": {"kind": "redis", "url": admin}}, **rotations)
            hands, named = Hands(OpenConnections(system)), {"of": "cache", "rotation": "cache"}
            for act in ("prepare", "distribute", "retire"):
                done = ran(hands, await hands.plan(f"credential.{act}", **named))
                assert done.returncode == 0, f"{act}: {done.stderr}"
                if act == "distribute":
                    new = also.read_text().strip()
                    assert gets_in(found.port, user, old) and gets_in(found.port, user, new), "both are valid"
                    (tmp_path / "opsbook.env").write_text(f"WORD={new}\n")
                    system.forget_variables()
                assert old not in done.stdout + done.stderr and also.read_text().strip() not in done.stdout
            assert gets_in(found.port, user, new) and not gets_in(found.port, user, old)
            assert f"//{user}:{new}@" in env.read_text()
            assert old not in config.read_text() and new not in config.read_text(), "a restart reads their digests"
            assert not env.with_name(".app.env.cache.pending").exists()
            await hands.connections.close()
            old = new


@needs_kubernetes
@pytest.mark.skipif(shutil.which("kubectl") is None, reason="not installed: kubectl")
async def test_a_password_in_a_secret_of_kubernetes_is_rotated_by_the_commands(tmp_path: Path) -> None:
    config = tmp_path / "redis.conf"
    config.write_text("requirepass admin-word\nuser shop on >old-word ~* +@all\n")
    with new_redis(str(config)) as found, new_namespace() as cluster:
        held = {"url": f"redis://shop:old-word@127.0.0.1:{found.port}/0", "word": "old-word", "colour": "green"}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "cache"}, "stringData": held}
        cluster.make(secret)
        rotation = {"id": "cache", "of": "cache", "role": "shop", "every": "90d", "to": "secret:cache/url",
                    "also": ["secret:cache/word"]}  # fmt: skip
        url = f"redis://default:admin-word@127.0.0.1:{found.port}/0"
        async with hands_of(cluster.system({"cache": {"kind": "redis", "url": url}}, rotations=[rotation])) as hands:
            variables = {"KUBECONFIG": os.environ["KUBECONFIG"], "URL_OF_CACHE": url}
            for act in ("prepare", "distribute", "retire"):
                done = ran(hands, await hands.plan("credential." + act, of="cache", rotation="cache"), **variables)
                assert done.returncode == 0, f"{act}: {done.stderr}"
            values = {key: one.decode() for key, one in (await Secret(_api(hands), "cache").keys() or {}).items()}
            assert values["colour"] == "green"
            assert values["url"] == f"redis://shop:{values['word']}@127.0.0.1:{found.port}/0"
            assert gets_in(found.port, "shop", values["word"]) and not gets_in(found.port, "shop", "old-word")
            assert await Secret(_api(hands), "cache.cache.pending").keys() is None


def _api(hands: Hands) -> Kubernetes:
    found = hands.connections.runtime
    assert isinstance(found, Kubernetes)
    return found


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"kind": "token", "issuer": {"opsbook": True}}, "only its issuer, or its application, makes and ends it"),
        ({"to": "secret:cache/url"}, "its Secrets are of a Kubernetes that this environment has not"),
        ({"previous": "file:before"}, "write both into their places yourself"),
    ],
)
def test_what_has_no_commands_is_said(tmp_path: Path, keys: dict[str, Any], says: str) -> None:
    rotation = {"id": "cache", "of": "cache", "every": "90d", "to": f"file:{tmp_path}/word", **keys}
    components = {"cache": {"kind": "redis", "url": "redis://127.0.0.1:1/0"}}
    system = make_system(tmp_path / "book", components, rotations=[rotation])
    change = {"kind": "credential", "effect": {"rotation": "cache", "component": "cache", "act": "prepare"}}
    lines = list(RENDERERS["credential"](change, Script(system)))
    assert says in " ".join(line.lstrip("# ") for line in lines)
    assert all(line.startswith("#") for line in lines)


async def test_a_request_is_made_by_the_commands_and_certbot_is_told_all_but_the_key(site: Site) -> None:  # noqa: F811
    hands, next_key = site.hands(method="by-hand"), site.chain.with_name(".key.pem.next")
    next_key.unlink(missing_ok=True)
    done = ran(hands, await hands.plan("certificate.request", of="site", certificate="web"))
    assert done.returncode == 0, done.stderr
    wanted = x509.load_pem_x509_csr(site.chain.with_name("chain.pem.csr").read_bytes())
    names = wanted.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert next_key.stat().st_mode & 0o077 == 0
    issued, _ = await site.hands().plan("certificate.renew", of="site", certificate="web")
    lines = list(RENDERERS[issued.kind](_plain(issued), Script(site.hands().facts.system)))
    (certbot,) = [line for line in lines if "certbot" in line]
    assert f"--server {site.authority.directory}" in certbot and f"--webroot -w {site.folder}/web" in certbot
    assert '--fullchain-path "$(beside_it "$chain" next)"' in certbot
    next_key.unlink()


async def test_a_certificate_is_installed_by_the_commands(site: Site) -> None:  # noqa: F811
    hands = site.hands()
    new = issue("localhost", None, ("localhost",), days=40)
    site.chain.with_name(".chain.pem.next").write_bytes(new.pem())
    site.chain.with_name(".key.pem.next").write_bytes(key_pem(new.key))
    _, install = await hands.plan("certificate.renew", of="site", certificate="web")
    old = site.chain.read_bytes()
    done = ran(hands, [install])
    assert done.returncode == 0, done.stderr
    async with asyncio.timeout(20):  # nginx answers a reload before its workers have changed
        while await site.served() != new.certificate:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    assert site.previous.read_bytes() == old
    site.chain.with_name(".key.pem.next").write_bytes(key_pem(issue("other", None, ("x",)).key))
    assert ran(hands, [install]).returncode != 0, "a key of another certificate is refused"
    assert await site.served() == new.certificate
