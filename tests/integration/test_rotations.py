"""Credentials rotated on real servers: both valid until all have the new one, the old one dead at the end."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from opsbook.book.system import parse_env
from opsbook.connectors.change import ChangeFailed
from opsbook.connectors.credentials import pending
from opsbook.connectors.registry import OpenConnections
from opsbook.errors import Refused
from opsbook.upkeep.rotations import families
from tests.integration.hands import Hands
from tests.integration.servers import Postgres, make_system, new_postgres, new_redis

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with new_postgres() as found:
        found.sql(
            "CREATE ROLE shop LOGIN PASSWORD 'first-word'", "CREATE DATABASE shop OWNER shop", database="postgres"
        )
        yield found


class Application:
    """What reads its address from an env file at its start, and asks the database all the time."""

    def __init__(self, server: Postgres, folder: Path) -> None:
        self.env = folder / "app.env"
        address = f"postgresql://shop:first-word@127.0.0.1:{server.port}/shop"
        self.env.write_text(f"# of the shop\nexport DATABASE_URL='{address}'\nCACHE=on\n")
        self.failed, self.asked = 0, 0
        self.address = ""
        self.busy = asyncio.Lock()

    async def restart(self) -> None:
        """As a workload does it: what it is in the middle of is finished first."""
        async with self.busy:
            self.read()

    def read(self) -> None:
        line = next(one for one in self.env.read_text().splitlines() if "DATABASE_URL" in one)
        self.address = line.partition("=")[2].strip("'")

    async def work(self) -> None:
        """A new connection for each request, as without a pool: the hardest case."""
        self.read()
        while True:
            self.asked += 1
            async with self.busy:
                try:
                    async with await psycopg.AsyncConnection.connect(self.address, connect_timeout=5) as connection:
                        await connection.execute("SELECT 1")
                except psycopg.Error:
                    self.failed += 1
            await asyncio.sleep(0.01)


def hands(server: Postgres, folder: Path, **keys: Any) -> Hands:
    rotation = {
        "id": "shop", "of": "database", "role": "shop", "every": "90d", "to": f"env:{folder}/app.env#DATABASE_URL",
        **keys,
    }  # fmt: skip
    components = {"database": {"kind": "postgres", "dsn": server.url(database="shop")}}
    return Hands(OpenConnections(make_system(folder / "book", components, rotations=[rotation])))


async def act(hands: Hands, name: str, **more: Any) -> Any:
    return await hands.do(f"credential.{name}", of="database", rotation="shop", **more)


async def test_no_request_fails_and_the_old_password_is_dead(server: Postgres, tmp_path: Path) -> None:
    app, one = Application(server, tmp_path), hands(server, tmp_path)
    working = asyncio.create_task(app.work())
    try:
        for login in ("shop_a", "shop_b", "shop_a"):
            before = app.address or app.env.read_text()
            await act(one, "prepare")
            await act(one, "distribute")
            await app.restart()
            assert login in app.address
            retired = await act(one, "retire", within="20s")
            assert retired == {"login": login, "dead": True}
            if before.startswith("postgresql"):
                with pytest.raises(psycopg.OperationalError):
                    psycopg.connect(before, connect_timeout=5)
    finally:
        working.cancel()
    assert app.asked > 5
    assert app.failed == 0
    lines = app.env.read_text().splitlines()
    assert lines[0] == "# of the shop"
    assert lines[2] == "CACHE=on"
    assert not (tmp_path / ".app.env.shop.pending").exists()
    with psycopg.connect(app.address) as connection:
        row = connection.execute("SELECT session_user::text, current_user::text").fetchone()
    assert row == ("shop_a", "shop"), "what it makes belongs to the role"


async def test_nothing_that_is_said_holds_a_secret(server: Postgres, tmp_path: Path) -> None:
    Application(server, tmp_path)
    server.sql("ALTER ROLE shop LOGIN PASSWORD 'first-word'", database="postgres")
    one = hands(server, tmp_path)
    changes = await one.plan("credential.prepare", of="database", rotation="shop")
    told = [json.dumps([change.effect, change.evidence, str(change.inverse)]) for change in changes]
    told += [json.dumps(await one.apply(change)) for change in changes]
    pending = json.loads((tmp_path / ".app.env.shop.pending").read_text())
    assert (tmp_path / ".app.env.shop.pending").stat().st_mode & 0o077 == 0
    told += [json.dumps(await act(one, "distribute")), one.out.text]
    for secret in (pending["new"]["secret"], pending["old"]["secret"]):
        assert len(secret) >= 10
        assert not any(secret in text for text in told)
    log = "".join(path.read_text(errors="replace") for path in server.data.parent.rglob("*.log"))
    assert pending["new"]["secret"] not in log
    await act(one, "retire")


async def test_one_that_was_cut_off_goes_on_with_the_secret_that_it_made(server: Postgres, tmp_path: Path) -> None:
    app, one = Application(server, tmp_path), hands(server, tmp_path)
    server.sql("ALTER ROLE shop LOGIN PASSWORD 'first-word'", database="postgres")
    await act(one, "prepare")
    made = (tmp_path / ".app.env.shop.pending").read_text()
    await act(one, "prepare")
    assert (tmp_path / ".app.env.shop.pending").read_text() == made
    await act(one, "distribute")
    await act(one, "withdraw")
    await app.restart()
    assert "first-word" in app.address
    with pytest.raises(ChangeFailed, match="do not hold the new credential"):
        await act(one, "retire")
    with psycopg.connect(app.address) as connection:
        connection.execute("SELECT 1")
    await act(one, "distribute")
    await act(one, "retire")
    assert await act(one, "retire") == {"login": "", "dead": True}, "twice is once"


async def test_where_sessions_live_by_the_old_one_it_stays_valid(server: Postgres, tmp_path: Path) -> None:
    app, one = Application(server, tmp_path), hands(server, tmp_path)
    server.sql("ALTER ROLE shop LOGIN PASSWORD 'first-word'", database="postgres")
    await app.restart()
    with psycopg.connect(app.address) as forgotten:
        await act(one, "prepare")
        await act(one, "distribute")
        with pytest.raises(ChangeFailed, match="1 sessions still live by the old credential of shop"):
            await act(one, "retire", within="1s")
        forgotten.execute("SELECT 1")
        psycopg.connect(app.address).close()
    await act(one, "retire")


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"to": None}, "does not say where shop is read"),
        ({"to": "secret:db/password"}, "secret:db: the environment 'test' has no runtime that opsbook can ask"),
        ({"to": "vault:db/password"}, "no place that a credential can be written to"),
        ({"to": "env:{folder}/app.env#NOWHERE"}, "has no variable NOWHERE"),
        ({"role": "other"}, "neither other nor one of its two logins"),
    ],
)
async def test_what_cannot_be_done_is_refused_in_the_plan(
    server: Postgres, tmp_path: Path, keys: dict[str, Any], says: str
) -> None:
    Application(server, tmp_path)
    told = {name: value.format(folder=tmp_path) if isinstance(value, str) else value for name, value in keys.items()}
    with pytest.raises(Refused, match=says):
        await hands(server, tmp_path, **told).plan("credential.prepare", of="database", rotation="shop")


async def test_redis_takes_both_until_the_old_one_is_dead(tmp_path: Path) -> None:
    file, env, config = tmp_path / "password", tmp_path / "env", tmp_path / "redis.conf"
    file.write_text("old-word\n")
    env.write_text("PASSWORD=old-word\n")
    config.write_text("requirepass old-word\n")
    with new_redis(str(config)) as found:
        rotation = {
            "id": "cache", "of": "cache", "every": "90d", "to": f"file:{file}", "also": [f"env:{env}#PASSWORD"],
        }  # fmt: skip
        system = make_system(
            tmp_path / "book",
            {"cache": {"kind": "redis", "url": f"redis://default:${{PASSWORD}}@127.0.0.1:{found.port}/0"}},
            rotations=[rotation],
            environments={"test": {"policy": "open", "env_file": str(env)}},
        )
        one = Hands(OpenConnections(system))
        assert (await one.do("credential.prepare", of="cache", rotation="cache"))["tried"]
        new = json.loads((tmp_path / ".password.cache.pending").read_text())["new"]["secret"]
        for word in ("old-word", new):
            assert redis.Redis(port=found.port, password=word).ping()
        await one.do("credential.distribute", of="cache", rotation="cache")
        assert (await one.do("credential.retire", of="cache", rotation="cache"))["dead"]
        assert file.read_text() == f"{new}\n"
        assert redis.Redis(port=found.port, password=new).ping()
        with pytest.raises(redis.AuthenticationError):
            redis.Redis(port=found.port, password="old-word").ping()
        kept = config.read_text()
        assert "old-word" not in kept, "a restart does not bring it back"
        assert new not in kept


async def test_a_secret_of_an_application_is_distributed_and_nobody_claims_that_the_old_one_is_dead(
    tmp_path: Path,
) -> None:
    file = tmp_path / "signing-key"
    file.write_text("old-signing-key\n")
    rotation = {"id": "key", "of": "api", "kind": "key", "every": "90d", "to": f"file:{file}", "length": 48}
    components = {"api": {"kind": "http", "url": "http://127.0.0.1:1"}}
    one = Hands(OpenConnections(make_system(tmp_path / "book", components, rotations=[rotation])))
    assert (await one.do("credential.prepare", of="api", rotation="key"))["tried"] is None
    await one.do("credential.distribute", of="api", rotation="key")
    assert len(file.read_text().strip()) == 48
    assert (await one.do("credential.retire", of="api", rotation="key"))["dead"] is None
    assert "only the application can say" in one.out.text


ISSUER = """\
import hashlib, json, pathlib, secrets, sys
known = pathlib.Path(sys.argv[1])
tokens = json.loads(known.read_text()) if known.exists() else []
digest = hashlib.sha256(sys.stdin.read().strip().encode()).hexdigest() if sys.argv[2] != "make" else ""
if sys.argv[2] == "make":
    token = secrets.token_urlsafe(32)
    known.write_text(json.dumps([*tokens, hashlib.sha256(token.encode()).hexdigest()]))
    print(token)
elif sys.argv[2] == "test":
    sys.exit(0 if digest in tokens else 1)
else:
    known.write_text(json.dumps([one for one in tokens if one != digest]))
"""


async def test_a_token_is_made_tried_and_revoked_by_its_issuer(tmp_path: Path) -> None:
    known, place, program = tmp_path / "known.json", tmp_path / "token", tmp_path / "issuer.py"
    program.write_text(ISSUER)
    known.write_text(json.dumps([hashlib.sha256(b"the-token-of-before").hexdigest()]))
    place.write_text("the-token-of-before\n")
    issuer = {name: [sys.executable, str(program), str(known), name] for name in ("make", "test", "revoke")}
    rotation = {"id": "hook", "of": "api", "kind": "token", "every": "90d", "to": f"file:{place}", "issuer": issuer}
    components = {"api": {"kind": "http", "url": "http://127.0.0.1:1"}}
    one = Hands(OpenConnections(make_system(tmp_path / "book", components, rotations=[rotation])))
    named = {"of": "api", "rotation": "hook"}
    assert (await one.do("credential.prepare", **named))["tried"] is True
    assert place.read_text() == "the-token-of-before\n"
    await one.do("credential.distribute", **named)
    new = place.read_text().strip()
    assert len(json.loads(known.read_text())) == 2, "both are valid"
    assert (await one.do("credential.retire", **named))["dead"] is True
    assert json.loads(known.read_text()) == [hashlib.sha256(new.encode()).hexdigest()]
    assert new not in one.out.text


async def test_a_token_that_cannot_be_kept_is_revoked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known, place, program = tmp_path / "known.json", tmp_path / "token", tmp_path / "issuer.py"
    program.write_text(ISSUER)
    before = json.dumps([hashlib.sha256(b"the-token-of-before").hexdigest()])
    known.write_text(before)
    place.write_text("the-token-of-before\n")
    issuer = {name: [sys.executable, str(program), str(known), name] for name in ("make", "test", "revoke")}
    rotation = {"id": "hook", "of": "api", "kind": "token", "every": "90d", "to": f"file:{place}", "issuer": issuer}
    components = {"api": {"kind": "http", "url": "http://127.0.0.1:1"}}
    one = Hands(OpenConnections(make_system(tmp_path / "book", components, rotations=[rotation])))

    async def full(*_: object) -> None:
        raise ChangeFailed("no space left on device")

    monkeypatch.setattr(pending, "write", full)
    with pytest.raises(ChangeFailed, match="no space left"):
        await one.do("credential.prepare", of="api", rotation="hook")
    assert known.read_text() == before, "a token that nobody knows of is not valid"


async def test_a_key_from_before_is_accepted_until_its_overlap_is_over(tmp_path: Path) -> None:
    env = tmp_path / "app.env"
    env.write_text("SIGNING_KEY=the-key-of-before\nCACHE=on\n")
    rotation = {
        "id": "signing", "of": "api", "kind": "key", "every": "90d", "to": f"env:{env}#SIGNING_KEY",
        "previous": f"env:{env}#SIGNING_KEY_BEFORE", "overlap": "1s", "restart": ["api"],
    }  # fmt: skip
    components = {"api": {"kind": "http", "url": "http://127.0.0.1:1", "workload": "api"}}
    system = make_system(tmp_path / "book", components, rotations=[rotation])
    texts = dict(families(system))
    assert re.findall(r"id=(\S+)", texts["rotate-signing"]) == [
        "prepare", "distribute", "restart-api", "expire", "restart-api-again", "retire",
    ]  # fmt: skip
    one, named = Hands(OpenConnections(system)), {"of": "api", "rotation": "signing"}
    await one.do("credential.prepare", **named)
    await one.do("credential.distribute", **named)
    assert parse_env(env.read_text())["SIGNING_KEY_BEFORE"] == "the-key-of-before"
    new = parse_env(env.read_text())["SIGNING_KEY"]
    await one.do("credential.withdraw", **named)
    assert parse_env(env.read_text()) == {
        "SIGNING_KEY": "the-key-of-before", "SIGNING_KEY_BEFORE": new, "CACHE": "on",
    }  # fmt: skip
    await one.do("credential.distribute", **named)
    await one.do("credential.expire", **named)
    assert parse_env(env.read_text()) == {"SIGNING_KEY": new, "SIGNING_KEY_BEFORE": "", "CACHE": "on"}
    await one.do("credential.retire", **named)
