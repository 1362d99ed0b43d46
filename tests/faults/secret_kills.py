"""Rotations of a credential and renewals of a certificate, killed at every border and within, and gone on with.

What must hold after every death, and at the end: the system serves (who reads its place gets in; the server shows a
valid certificate); no secret is lost (whatever the server still takes is in a place, or kept for the way back); and no
secret is in the store, a log or the argv of a process.
"""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import psycopg
import yaml

from opsbook.book.load import load_book
from opsbook.book.system import in_environment
from opsbook.catalogue import catalogue
from opsbook.connectors.runtimes.kubernetes_api import KubernetesApi, NotThere
from opsbook.connectors.tls import TlsAddress, look
from opsbook.engine.service import Service, Wish
from opsbook.engine.setting import Setting, open_setting
from opsbook.engine.states import ChangeState, RunState
from opsbook.engine.views import View, view_of
from opsbook.recovery.packaged import packaged_procedures
from tests.faults.deadly import PLACES, SEE_SECONDS, Fault, engine
from tests.faults.kills import Count
from tests.faults.targets import effects
from tests.faults.warm import Warm
from tests.integration.authority import pebble
from tests.integration.cluster import GIVEN, NOT_GIVEN, Cluster, new_namespace
from tests.integration.servers import new_postgres, own_folder
from tests.integration.test_certificates import Site, serving_site

PENDING = "shop.shop.pending"
"""The Secret that keeps what is to come of the rotation `shop` beside the Secret `shop`."""
FRACTIONS = (0.15, 0.4, 0.65, 0.9)
"""Of the time that a change takes undisturbed: where its middle is cut."""
Chosen = Callable[[list[Fault]], list[Fault]]


class Held(Protocol):
    """What is renewed, on real servers."""

    folder: Path
    procedures: tuple[str, ...]

    def book(self) -> dict[str, Any]: ...

    def prepare(self, procedure: str) -> None:
        """The state before: each run of the procedure has something to do."""
        ...

    def wrong(self) -> str:
        """Why it does not serve now, or what is lost; empty where all is well."""
        ...

    def unfinished(self, procedure: str) -> str:
        """Why it is not as a run says that has ended well."""
        ...

    def secrets(self) -> set[str]:
        """Everything that must not be seen elsewhere."""
        ...


class Login:
    """A login of PostgreSQL that stands in an env file and in a file of its own."""

    procedures = ("rotate-shop", "rotate-shop-back")

    def __init__(self, folder: Path, server: Any) -> None:
        self.folder, self.server = folder, server
        self.env, self.file = folder / "app.env", folder / "password"
        self.pending = folder / ".app.env.shop.pending"
        self._seen: set[str] = set()
        self._forward: Callable[[], None] = lambda: None

    def book(self) -> dict[str, Any]:
        rotation = {"id": "shop", "of": "database", "role": "shop", "every": "90d",
                    "to": f"env:{self.env}#DATABASE_URL", "also": [f"file:{self.file}"]}  # fmt: skip
        database = {"kind": "postgres", "dsn": self.server.url(database="shop")}
        return {"components": {"database": database}, "rotations": [rotation]}

    def prepare(self, procedure: str) -> None:
        self._make()
        for login in ("shop_a", "shop_b"):
            with suppress(psycopg.Error):
                self.server.sql(f"DROP ROLE IF EXISTS {login}", database="postgres")
        self.server.sql("ALTER ROLE shop LOGIN PASSWORD 'first-password-of-the-shop'", database="postgres")
        if procedure == "rotate-shop-back":
            self._begin()

    def _make(self) -> None:
        """The places as they are before the first rotation."""
        self.pending.unlink(missing_ok=True)
        self.env.write_text(
            f"A=1\nDATABASE_URL=postgresql://shop:first-password-of-the-shop@127.0.0.1:{self.server.port}/shop\n"
        )
        self.file.write_text("first-password-of-the-shop\n")

    def _begin(self) -> None:
        """A rotation that is under way: both are valid, the places hold the new one."""
        from opsbook.connectors.registry import OpenConnections
        from tests.integration.hands import Hands

        async def act() -> None:
            system = in_environment(load_book(self.folder / "book.yaml", catalogue()))
            hands = Hands(OpenConnections(system))
            for name in ("prepare", "distribute"):
                await hands.do(f"credential.{name}", of="database", rotation="shop")
            await hands.connections.close()

        asyncio.run(act())

    def _held(self) -> dict[str, str]:
        """Login → secret, of what is kept anywhere, the place that is read last."""
        found: dict[str, str] = {}
        if pending := self._pending():
            told = json.loads(pending)
            found |= {told[name]["login"]: told[name]["secret"] for name in ("old", "new")}
        url = self._url()
        who = url.split("//")[1].split("@")[0]
        found[who.split(":")[0]] = who.split(":")[1]
        self._seen |= set(found.values())
        return found

    def _pending(self) -> str:
        """What is to come, as it is kept; empty where no rotation is under way."""
        return self.pending.read_text() if self.pending.exists() else ""

    def _password(self) -> str:
        return self.file.read_text().strip()

    def _url(self) -> str:
        return self.env.read_text().splitlines()[1].partition("=")[2]

    def wrong(self) -> str:
        held = self._held()
        try:
            psycopg.connect(self._url(), connect_timeout=10).close()
        except psycopg.Error as error:
            return f"who reads the place does not get in: {error}"
        rows = self.server.sql(
            "SELECT rolname FROM pg_authid WHERE rolname LIKE 'shop%' AND rolcanlogin AND rolpassword IS NOT NULL",
            database="postgres",
        )
        for (login,) in rows:
            try:
                url = f"host=127.0.0.1 port={self.server.port} dbname=shop user={login} password={held.get(login, '')}"
                psycopg.connect(url, connect_timeout=10).close()
            except psycopg.Error:
                # A login whose password nothing holds, and that nobody uses, is made anew by the next rotation.
                if login in held:
                    return f"the server wants another secret for {login} than any place holds"
        return ""

    def unfinished(self, procedure: str) -> str:
        login = self._url().split("//")[1].split(":")[0]
        if procedure.endswith("-back"):
            return "" if login == "shop" and self._pending() else f"the place holds {login}"
        if login != "shop_a" or self._pending():
            return f"the place holds {login}; pending: {bool(self._pending())}"
        if self._password() not in self._url():
            return "the two places hold different secrets"
        try:
            url = f"host=127.0.0.1 port={self.server.port} dbname=shop user=shop password=first-password-of-the-shop"
            psycopg.connect(url).close()
        except psycopg.Error:
            return ""
        return "the old password is not dead"

    def secrets(self) -> set[str]:
        self._held()
        return self._seen


class LoginInSecrets(Login):
    """A login whose places are two keys of a Secret of Kubernetes; what is to come is in a Secret of its own."""

    def __init__(self, folder: Path, server: Any, cluster: Cluster) -> None:
        super().__init__(folder, server)
        self.cluster = cluster

    def book(self) -> dict[str, Any]:
        runtime = {"kind": "kubernetes", "namespace": self.cluster.namespace}
        (rotation,) = super().book()["rotations"]
        return {
            **super().book(), "environments": {"test": {"policy": "open", "disposable": True, "runtime": runtime}},
            "rotations": [{**rotation, "to": "secret:shop/url", "also": ["secret:shop/password"]}],
        }  # fmt: skip

    def _make(self) -> None:
        first = "first-password-of-the-shop"
        url = f"postgresql://shop:{first}@127.0.0.1:{self.server.port}/shop"
        objects = [_secret(name) for name in ("shop", PENDING)]
        self.cluster.remove(*objects)
        self.cluster.make({**objects[0], "stringData": {"url": url, "password": first, "colour": "green"}})

    def _values(self, name: str) -> dict[str, str]:
        async def read(api: KubernetesApi) -> dict[str, str]:
            try:
                found = await api.get(self.cluster.path(_secret(name), name))
            except NotThere:
                return {}
            return {key: base64.b64decode(value).decode() for key, value in (found.get("data") or {}).items()}

        return self.cluster.do(read)

    def _pending(self) -> str:
        return self._values(PENDING).get("url", "")

    def _url(self) -> str:
        return self._values("shop")["url"]

    def _password(self) -> str:
        return self._values("shop")["password"]

    def unfinished(self, procedure: str) -> str:
        if self._values("shop").get("colour") != "green":
            return "a key of the Secret that is somebody else's is gone"
        return super().unfinished(procedure)


def _secret(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}}


class Served:
    """A certificate that nginx serves, renewed by ACME."""

    procedures = ("renew-web", "restore-web")

    def __init__(self, site: Site) -> None:
        self.site, self.folder = site, site.folder / "kills"
        self.folder.mkdir()
        self._seen: set[str] = set()
        self._before = ""

    def book(self) -> dict[str, Any]:
        return self.site.keys()

    def prepare(self, procedure: str) -> None:
        tls = self.site.chain.parent
        if procedure == "restore-web" and not self.site.previous.exists():
            raise AssertionError("renew it first")
        for one in tls.glob(".*.next"):
            one.unlink()
        self._before = self._served()

    def _served(self) -> str:
        found = asyncio.run(look(TlsAddress("127.0.0.1", self.site.port, "localhost")))
        return found.leaf.public_bytes(_pem()).decode()

    def wrong(self) -> str:
        self.secrets()
        try:
            self._served()
        except Exception as error:
            return f"nothing is served: {error}"
        return ""

    def unfinished(self, procedure: str) -> str:
        now = self._served()
        if now == self._before:
            return "the same certificate as before is served"
        if not self.site.chain.read_text().startswith(now):
            return "another one is served than lies there"
        return "" if self.site.previous.read_text().startswith(self._before) else "the old one was not kept"

    def secrets(self) -> set[str]:
        for one in self.site.chain.parent.iterdir():
            with suppress(OSError):
                text = one.read_text()
                if "PRIVATE KEY" in text:
                    self._seen |= {line for line in text.splitlines() if len(line) > 40}
        return self._seen


def _pem() -> Any:
    from cryptography.hazmat.primitives.serialization import Encoding

    return Encoding.PEM


class Arguments:
    """What stands in the argv of any process, looked at all the time."""

    def __init__(self) -> None:
        self.seen: set[bytes] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._over.wait(0.05):
            for one in Path("/proc").glob("[0-9]*/cmdline"):
                with suppress(OSError):
                    self.seen.add(one.read_bytes())

    def end(self) -> None:
        self._over.set()
        self._thread.join()


class Sweep:
    """The kills of one site."""

    def __init__(self, held: Held, count: Count, tell: Callable[[str], None]) -> None:
        self.held, self.count, self.tell = held, count, tell
        book = {"opsbook": 1, "system": "sweep",
                "environments": {"test": {"policy": "open", "disposable": True}}, **held.book()}  # fmt: skip
        (held.folder / "book.yaml").write_text(yaml.safe_dump(book))
        self.arguments = Arguments()

    def sweep(self, chosen: Chosen) -> None:
        try:
            for procedure in self.held.procedures:
                self._one(procedure, (), durations := {})
                for number, fault in enumerate(chosen(list(faults_of(durations)))):
                    self._one(procedure, (fault,), {})
                    self.tell(f"{procedure} {number} at {fault}: {self.count}")
        finally:
            self.arguments.end()

    def _one(self, procedure: str, faults: tuple[Fault, ...], durations: dict[str, float]) -> None:
        where = f"{procedure} at {', '.join(map(str, faults)) or 'no place'}"
        folder = Path(tempfile.mkdtemp(prefix="opsbook-secret-kill-"))
        self.held.prepare(procedure)
        for one in self.held.folder.glob(".opsbook*"):
            shutil.rmtree(one)
        system = in_environment(load_book(self.held.folder / "book.yaml", catalogue()))
        setting = open_setting(system, packaged_procedures)
        try:
            self._run(procedure, faults, folder, Service(setting, system), setting, where)
            durations |= {key: float(took) for key, took in map(str.split, effects(folder, "durations"))}
        finally:
            setting.close()
            self._scan(folder, where)
            shutil.rmtree(folder, ignore_errors=True)

    def _run(
        self, procedure: str, faults: tuple[Fault, ...], folder: Path, service: Service, setting: Setting, where: str
    ) -> None:
        plan = asyncio.run(service.plan(service.procedure(procedure)))
        run = service.submit(plan, Wish()).id
        finished: dict[str, int] = {}
        for _ in range(len(faults) + 2):
            process = Warm(engine, self.held.folder / "book.yaml", "", run, faults, folder, log=folder / "log")
            if process.wait(SEE_SECONDS + 30) is None:
                process.kill()
                self.count.stuck += 1
                self.count.wrong.append(f"{where}: stuck")
                return
            view = view_of(setting.store, run)
            if why := self.held.wrong():
                self.count.wrong.append(f"{where}: {why}")
            attempts = Counter(effects(folder, "attempts"))
            for row in view.changes:
                if row.state == ChangeState.DONE:
                    finished.setdefault(row.key, attempts[row.key])
            if not process.killed:
                break
            self.count.kills += 1
        self._judge(procedure, view, folder, finished, where)
        if faults and not any(folder.glob("died-*")):
            self.count.missed += 1

    def _judge(self, procedure: str, view: View, folder: Path, finished: dict[str, int], where: str) -> None:
        if view.state is not RunState.DONE:
            self.count.stuck += 1
            log = folder / "log"
            said = log.read_text()[-1500:] if log.exists() else ""
            self.count.wrong.append(f"{where}: ended {view.run.state}: {view.run.message}\n{said}")
            return
        self.count.resumed += len(list(folder.glob("died-*")))
        if why := self.held.unfinished(procedure):
            self.count.wrong.append(f"{where}: {why}")
        attempts = Counter(effects(folder, "attempts"))
        if again := [key for key, times in finished.items() if attempts[key] > times]:
            self.count.twice += 1
            self.count.wrong.append(f"{where}: was finished and began again: {', '.join(again)}")

    def _scan(self, folder: Path, where: str) -> None:
        """Nothing of a secret is in the store, its journals, a log, or an argv."""
        secrets = [one.encode() for one in self.held.secrets()]
        for path in [*folder.rglob("*"), *(self.held.folder / ".opsbook").rglob("*")]:
            content = path.read_bytes() if path.is_file() else b""
            if any(one in content for one in secrets):
                self.count.wrong.append(f"{where}: a secret is in {path.name}")
        if any(one in seen for seen in tuple(self.arguments.seen) for one in secrets):
            self.count.wrong.append(f"{where}: a secret stood in an argv")


def faults_of(durations: dict[str, float]) -> Iterator[Fault]:
    """Every border of every change, and moments within."""
    for key, seconds in durations.items():
        if "/" not in key:
            continue
        for place in PLACES:
            for part in FRACTIONS if place == "middle" else (0.0,):
                yield Fault(key, place, seconds * part)


@contextmanager
def _login() -> Iterator[Held]:
    with new_postgres() as server, own_folder("rotation-kills") as folder:
        server.sql("CREATE ROLE shop LOGIN PASSWORD 'x'", "CREATE DATABASE shop OWNER shop", database="postgres")
        yield Login(folder, server)


@contextmanager
def _served() -> Iterator[Held]:
    with (
        own_folder("certificate-kills") as folder,
        pebble(folder / "pebble") as authority,
        serving_site(folder, authority) as site,
    ):
        yield Served(site)


@contextmanager
def _login_in_secrets() -> Iterator[Held]:
    with new_namespace() as cluster, new_postgres() as server, own_folder("secret-kills") as folder:
        server.sql("CREATE ROLE shop LOGIN PASSWORD 'x'", "CREATE DATABASE shop OWNER shop", database="postgres")
        yield LoginInSecrets(folder, server, cluster)


SITES = {"rotation": _login, "certificate": _served}
ON_CLUSTER = {"kubernetes-rotation": _login_in_secrets}
"""These are skipped without a disposable Kubernetes."""


def secret_sweep(
    only: str, tell: Callable[[str], None], chosen: Callable[[list[Fault]], list[Fault]] = lambda every: every
) -> Count:
    """All, or one of SITES or ON_CLUSTER."""
    count = Count()
    for name, site in (SITES | ON_CLUSTER).items():
        if only in ("", name) and name in ON_CLUSTER and not GIVEN:
            print(f"secrets: {name} is skipped: {NOT_GIVEN}", flush=True)
        elif only in ("", name):
            with site() as held:
                Sweep(held, count, tell).sweep(chosen)
    return count
