"""Bearer tokens of an identity provider: only those that it signed, for this client, that hold now."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey
from tests.unit.api.conftest import BOOK, Doors, Time
from tests.unit.watch.watched import a_system

from opsbook.api.callers import known_as
from opsbook.api.oidc import AGAIN_AFTER, KEYS_LAST, Provider
from opsbook.api.problems import Denied
from opsbook.book.people import Oidc
from opsbook.errors import Unreachable

ISSUER = "http://127.0.0.1:9/realm"
KEY = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})
OTHER = RSAKey.generate_key(2048, {"kid": "two", "use": "sig"})
CURVE = ECKey.generate_key("P-256", {"kid": "curve", "use": "sig"})
WITH_OIDC = BOOK.replace("access:\n", f"access:\n  oidc: {{issuer: {ISSUER!r}, client_id: opsbook}}\n").replace(
    "operator: [ann, ben]", "operator: [ann, ben, 'group:sre']"
)


class Directory:
    """A provider whose documents are read without a network."""

    def __init__(self) -> None:
        self.keys: list[Any] = [KEY, CURVE]
        self.asked: list[str] = []
        self.down = False
        self.issuer = ISSUER

    def __call__(self, address: str) -> Any:
        self.asked.append(address)
        if self.down:
            raise httpx.ConnectError("refused")
        if address.endswith("/.well-known/openid-configuration"):
            return {"issuer": self.issuer, "jwks_uri": f"{ISSUER}/keys"}
        return {"keys": [{"kty": "quantum", "kid": "?"}, *(key.as_dict(private=False) for key in self.keys)]}


@pytest.fixture
def clock() -> Time:
    found = Time()
    found.move(1000)
    return found


@pytest.fixture
def directory() -> Directory:
    return Directory()


@pytest.fixture
def provider(clock: Time, directory: Directory) -> Provider:
    return Provider(Oidc(issuer=ISSUER, client_id="opsbook"), clock, directory)


def claims(clock: Time, **other: Any) -> dict[str, Any]:
    now = int(clock.now().timestamp())
    told = {"iss": ISSUER, "aud": "opsbook", "sub": "u-17", "preferred_username": "ann", "exp": now + 300,
            "nbf": now, "groups": ["sre", "all"], **other}  # fmt: skip
    return {name: value for name, value in told.items() if value is not None}


def signed(body: dict[str, Any], key: Any = KEY, alg: str = "RS256", kid: str | None = None) -> str:
    header = {"alg": alg, "kid": kid or key.kid}
    return jwt.encode(header, body, key, algorithms=[alg])


def part(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def by_hand(body: dict[str, Any], alg: str, sign: Callable[[bytes], bytes]) -> str:
    """As somebody forges one whose library would not."""
    head = part(json.dumps({"alg": alg, "kid": "one"}).encode())
    signing = f"{head}.{part(json.dumps(body).encode())}"
    return f"{signing}.{part(sign(signing.encode()))}"


def test_it_knows_a_person_by_name_and_groups(provider: Provider, clock: Time) -> None:
    for key, alg in ((KEY, "RS256"), (KEY, "PS256"), (CURVE, "ES256")):
        person = provider.person(signed(claims(clock), key, alg))
        assert (person.name, person.subject, person.groups) == ("ann", "u-17", {"sre", "all"})
    verified = claims(clock, preferred_username=None, email="ann@kiln.example", email_verified=True)
    assert provider.person(signed(verified)).name == "ann@kiln.example"
    assert provider.person(signed({**verified, "email_verified": False})).name == "u-17"


def forged(clock: Time) -> dict[str, Callable[[], str]]:
    """What is wrong → a token that is so."""
    now = int(clock.now().timestamp())
    public = KEY.as_pem(private=False)
    good = signed(claims(clock))
    head, body, mark = good.split(".")
    other = part(json.dumps(claims(clock, preferred_username="cleo")).encode())
    return {
        "no algorithm": lambda: by_hand(claims(clock), "none", lambda _: b""),
        "a shared secret made of the public key": lambda: by_hand(
            claims(clock), "HS256", lambda text: hmac.digest(public, text, "sha256")
        ),
        "another key of the same name": lambda: signed(claims(clock), OTHER, kid="one"),
        "a key that nobody knows": lambda: signed(claims(clock), OTHER),
        "another body": lambda: f"{head}.{other}.{mark}",
        "no signature": lambda: f"{head}.{body}.",
        "another audience": lambda: signed(claims(clock, aud="shop")),
        "no audience": lambda: signed(claims(clock, aud=None)),
        "for another of two": lambda: signed(claims(clock, aud=["opsbook", "shop"], azp="shop")),
        "another issuer": lambda: signed(claims(clock, iss=f"{ISSUER}/")),
        "expired": lambda: signed(claims(clock, exp=now - 31)),
        "never expires": lambda: signed(claims(clock, exp=None)),
        "not yet": lambda: signed(claims(clock, nbf=now + 31)),
        "an odd time": lambda: signed(claims(clock, exp="later")),
        "nobody": lambda: signed(claims(clock, preferred_username=None, sub=None)),
        "opsbook itself": lambda: signed(claims(clock, preferred_username="opsbook")),
        "a name that steers": lambda: signed(claims(clock, preferred_username="ann\x1b[2K")),
        "no token at all": lambda: "a.b.c",
        "much too long": lambda: good + "x" * 20_000,
    }


def test_it_refuses_everything_else(provider: Provider, clock: Time) -> None:
    for why, made in forged(clock).items():
        with pytest.raises(Denied) as denied:
            provider.person(made())
        assert denied.value.challenge, why


def test_a_new_key_is_fetched_once_and_unknown_ones_ask_only_now_and_then(
    provider: Provider, directory: Directory, clock: Time
) -> None:
    provider.person(signed(claims(clock)))
    assert len(directory.asked) == 2
    directory.keys = [OTHER]
    with pytest.raises(Denied):
        provider.person(signed(claims(clock), OTHER))
    assert len(directory.asked) == 2, "asked again at once"
    clock.move(AGAIN_AFTER + 1)
    assert provider.person(signed(claims(clock), OTHER)).name == "ann"
    with pytest.raises(Denied):
        provider.person(signed(claims(clock)))


def test_known_keys_go_on_while_the_provider_is_down(provider: Provider, directory: Directory, clock: Time) -> None:
    provider.person(signed(claims(clock)))
    directory.down = True
    clock.move(KEYS_LAST + 1)
    assert provider.person(signed(claims(clock))).name == "ann"


def test_a_provider_that_was_never_reached_is_said_and_not_asked_by_every_request(
    provider: Provider, directory: Directory, clock: Time
) -> None:
    directory.down = True
    for _ in range(5):
        with pytest.raises(Unreachable):
            provider.person(signed(claims(clock)))
    assert len(directory.asked) == 1


@pytest.mark.parametrize("issuer", ["http://login.example/realm", "ftp://login.example", "login.example"])
def test_keys_that_come_without_tls_from_elsewhere_are_not_taken(
    issuer: str, clock: Time, directory: Directory
) -> None:
    with pytest.raises(Unreachable):
        Provider(Oidc(issuer=issuer, client_id="opsbook"), clock, directory).person(signed(claims(clock)))
    assert not directory.asked


def test_a_discovery_document_of_another_provider_is_not_taken(
    provider: Provider, directory: Directory, clock: Time
) -> None:
    directory.issuer = "http://127.0.0.1:9/other"
    with pytest.raises(Unreachable):
        provider.person(signed(claims(clock)))


async def test_groups_of_the_provider_are_roles_of_the_book(
    open_doors: Callable[..., Doors], directory: Directory, clock: Time
) -> None:
    doors = open_doors(WITH_OIDC, provider=Provider(Oidc(issuer=ISSUER, client_id="opsbook"), clock, directory))
    zoe = doors.bearing(signed(claims(clock, preferred_username="zoe", sub="u-9")))
    me = (await zoe.get("/api/v1/me")).json()
    assert me["name"] == "zoe@127.0.0.1" and me["roles"] == ["viewer", "responder", "operator"]
    run = (await zoe.post("/api/v1/runs", json={"procedure": "careful"})).json()
    assert run["requester"] == "zoe@127.0.0.1" and run["origin"].endswith("sign-in of u-9")
    guest = doors.bearing(signed(claims(clock, preferred_username="guest", groups=["visitors"])))
    assert (await guest.get("/api/v1/checks")).status_code == 403
    for why, made in forged(clock).items():
        assert (await doors.bearing(made()).get("/api/v1/checks")).status_code == 401, why


async def test_a_book_that_gives_nobody_a_role_gives_none_to_people_of_a_provider(
    open_doors: Callable[..., Doors], directory: Directory, clock: Time
) -> None:
    open_book = WITH_OIDC[: WITH_OIDC.index("  viewer: [vera]")]
    doors = open_doors(open_book, provider=Provider(Oidc(issuer=ISSUER, client_id="opsbook"), clock, directory))
    answer = await doors.bearing(signed(claims(clock))).get("/api/v1/checks")
    assert answer.status_code == 403 and "no role" in answer.json()["detail"]


def test_a_name_of_a_provider_is_nobodys_of_this_house_unless_the_book_says_so(tmp_path: Path) -> None:
    book = a_system(tmp_path / "book", contacts={"ann": {"user": "root"}, "bob": {"user": "bob"}}).model
    assert known_as(book, "bob", ISSUER) == "bob"
    for name in ("ann", "opsbook", "zoe@else.example"):
        assert known_as(book, name, "https://login.example:8443/realms/ops") == f"{name}@login.example"


def test_who_is_known_by_another_name_there_is_one_person_where_the_book_says_so(tmp_path: Path) -> None:
    contacts = {
        "zoe": {"user": "zk", "sign_in": "zoe.kay"}, "bob": {"user": "bob"}, "pat": {"sign_in": "pat.lee"},
        "one": {"user": "a", "sign_in": "shared"}, "other": {"user": "b", "sign_in": "shared"},
    }  # fmt: skip
    book = a_system(tmp_path / "book", contacts=contacts).model
    assert known_as(book, "zoe.kay", ISSUER) == "zk"
    # Their name of here is somebody else's there; who has none here, and who could be two, is nobody of this house.
    for name in ("zk", "zoe", "pat.lee", "shared"):
        assert known_as(book, name, ISSUER).startswith(f"{name}@")
