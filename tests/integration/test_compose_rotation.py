"""Logins of an application in containers rotated under load: no request fails, and the old passwords are dead."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from opsbook.book.system import parse_env
from opsbook.connectors.credentials.places import credential_in
from tests.integration.asking import asked
from tests.integration.labelled import LABEL, Labelled
from tests.integration.podman import lacking, new_podman, python
from tests.integration.servers import free_port, until
from tests.integration.toy_server import UNTIL_ASKED

BIN = Path("/usr/lib/postgresql/15/bin")
pytestmark = [
    pytest.mark.real,
    pytest.mark.xdist_group("compose"),
    pytest.mark.skipif(bool(lacking()), reason=lacking()),
    pytest.mark.skipif(not BIN.exists(), reason="PostgreSQL 15 is not installed"),
    pytest.mark.skipif(not Path("/usr/bin/redis-server").exists(), reason="Redis is not installed"),
    pytest.mark.timeout(400),
]

SERVE = (
    """\
import ctypes, http.server, os, signal, socket, threading
from urllib.parse import unquote, urlsplit
pq = ctypes.CDLL("libpq.so.5")
pq.PQconnectdb.restype = pq.PQexec.restype = ctypes.c_void_p
pq.PQconnectdb.argtypes, pq.PQexec.argtypes = [ctypes.c_char_p], [ctypes.c_void_p, ctypes.c_char_p]
for one in (pq.PQstatus, pq.PQfinish, pq.PQresultStatus, pq.PQclear):
    one.argtypes = [ctypes.c_void_p]
def database():
    connection = pq.PQconnectdb(os.environ["DATABASE_URL"].encode())
    try:
        if pq.PQstatus(connection):
            return False
        result = pq.PQexec(connection, b"SELECT 1")
        good = pq.PQresultStatus(result) == 2
        pq.PQclear(result)
        return good
    finally:
        pq.PQfinish(connection)
def cache():
    url = urlsplit(os.environ["CACHE_URL"])
    with socket.create_connection((url.hostname, url.port), 5) as to:
        to.sendall(f"AUTH {url.username} {unquote(url.password)}\\r\\n".encode())
        return to.recv(100).startswith(b"+OK")
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        try:
            lacks = [one.__name__ for one in (database, cache) if not one()]
        except OSError as error:
            lacks = [str(error)]
        body = (f'{{"items": [], "lacks": {len(lacks)}}}').encode()
        self.send_response(500 if lacks else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
"""
    + UNTIL_ASKED
)
DATABASE = f"""\
set -e
install -d -o postgres -m 700 /var/database
echo admin-word > /tmp/word
as="setpriv --reuid=postgres --regid=postgres --clear-groups"
$as {BIN}/initdb -D /var/database -U postgres --pwfile=/tmp/word -A scram-sha-256 --no-sync -E UTF8 --locale=C.UTF-8
echo "host all all all scram-sha-256" >> /var/database/pg_hba.conf
exec $as {BIN}/postgres -D /var/database -c listen_addresses='*' -c unix_socket_directories=/var/database -c fsync=off
"""
CACHE = """\
printf 'requirepass admin-word\\nbind 0.0.0.0\\nsave ""\\nuser shop on >first-word ~* +@all\\n' > /tmp/redis.conf
exec redis-server /tmp/redis.conf
"""


def listens(port: int) -> dict[str, Any]:
    test = f"""python3 -S -c 'import socket; socket.create_connection(("127.0.0.1", {port}))' """
    return {"test": test, "interval": "1s"}


def server(script: str, port: int, published: int) -> dict[str, Any]:
    return {
        "image": "localhost/base:1", "command": ["sh", "-c", script.replace("$", "$$")], "stop_grace_period": "1s",
        "volumes": [f"{one}:{one}:ro" for one in ("/usr", "/etc/passwd", "/etc/group")],
        "ports": [f"127.0.0.1:{published}:{port}"], "healthcheck": listens(port),
    }  # fmt: skip


class Shop(Labelled):
    """An application of two containers, its database and its cache, whose logins stand in one env file."""

    def __init__(self, engine: Any) -> None:
        self.database, self.cache, self.env = free_port(), free_port(), engine.folder / "app.env"
        self.env.write_text(
            "# of the shop\nDATABASE_URL=postgresql://shop:first-word@database:5432/shop\n"
            "CACHE_URL=redis://shop:first-word@cache:6379/0\n"
        )
        super().__init__(engine, {
            "database": server(DATABASE, 5432, self.database),
            "cache": server(CACHE, 6379, self.cache),
            "api": python(SERVE, healthcheck=listens(8000), labels={LABEL: "true"}, env_file="app.env",
                          deploy={"replicas": 2}),
        })  # fmt: skip
        every = {"every": "90d", "restart": ["api"]}
        self.book(
            components={
                "database": {"kind": "postgres", "dsn": f"postgresql://postgres:admin-word@127.0.0.1:{self.database}/shop"},
                "cache": {"kind": "redis", "url": f"redis://:admin-word@127.0.0.1:{self.cache}/0"},
            },
            deploys={"components": {"api": {}}},
            rotations=[
                {"id": "login", "of": "database", "role": "shop", "to": f"env:{self.env}#DATABASE_URL", **every},
                {"id": "user", "of": "cache", "role": "shop", "to": f"env:{self.env}#CACHE_URL", **every},
            ],
        )  # fmt: skip

    def admin(self, *statements: str) -> None:
        url = f"postgresql://postgres:admin-word@127.0.0.1:{self.database}/postgres"
        with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
            for one in statements:
                connection.execute(one)

    def lets_in(self, name: str, address: str) -> bool:
        """Whether the server itself takes the login of an address."""
        login = credential_in(address)
        if name == "cache":
            try:
                return bool(redis.Redis(port=self.cache, username=login.login, password=login.secret).ping())
            except redis.AuthenticationError:
                return False
        try:
            psycopg.connect(host="127.0.0.1", port=self.database, dbname="shop", user=login.login,
                            password=login.secret, connect_timeout=10).close()  # fmt: skip
        except psycopg.OperationalError:
            return False
        return True


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    with new_podman("1") as engine:
        one = Shop(engine)
        one.start("database", "cache")
        one.admin("CREATE ROLE shop LOGIN PASSWORD 'first-word'", "CREATE DATABASE shop OWNER shop")
        one.start("api")
        with one.proxy():
            until(lambda: one.items().get("lacks") == 0, 60, "the shop serves")
            yield one


def test_logins_of_containers_are_rotated_and_no_request_fails(shop: Shop) -> None:
    before = parse_env(shop.env.read_text())
    client = shop.engine.client()

    def containers() -> set[str]:
        return {one["Id"] for one in client.containers(filters={"label": "com.docker.compose.service=api"})}

    there = containers()
    with asked(shop.port, rate=10) as requests:
        shop.killed("run", "rotate-login", when=lambda: len(containers() - there) == 1)
        assert shop.lets_in("database", before["DATABASE_URL"]), "the old one is valid as long as somebody has it"
        (run, *_) = shop.opsbook("runs")
        view = shop.opsbook("runs", "follow", run["id"])
        assert view["state"] == "done", view["message"]
        view = shop.opsbook("run", "rotate-user")
        assert view["state"] == "done", view["message"]
    now = parse_env(shop.env.read_text())
    assert set(requests) == {"200"}, requests
    assert requests["200"] > 20
    for name, variable in (("database", "DATABASE_URL"), ("cache", "CACHE_URL")):
        assert shop.lets_in(name, now[variable])
        assert not shop.lets_in(name, before[variable]), "the old one is dead"
    assert credential_in(now["DATABASE_URL"]).login == "shop_a"
    assert "database:5432" in now["DATABASE_URL"]
    assert not list(shop.folder.glob(".app.env.*.pending"))
    environments = [client.inspect_container(one)["Config"]["Env"] for one in containers()]
    client.close()
    assert len(environments) == 2
    assert all(f"{name}={value}" in one for one in environments for name, value in now.items())
