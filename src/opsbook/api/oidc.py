"""Bearer tokens of the identity provider that the book names (OpenID Connect Core 1.0; RFC 7519, RFC 8725).

The provider's keys come from its discovery document and are kept; an unknown key id asks for them again, but not more
often than every half minute. Only signatures of public keys count: neither `none` nor a shared secret.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, TypeGuard
from urllib.parse import urlsplit

import httpx
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import Key, KeySet, import_key

from opsbook.api.problems import Denied
from opsbook.book.people import Oidc
from opsbook.clock import Clock
from opsbook.errors import Unreachable

log = logging.getLogger(__name__)

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
LEEWAY = 30
"""Seconds that clocks may differ."""
KEYS_LAST = 3600.0
AGAIN_AFTER = 30.0
TIMEOUT = 5.0
LARGEST = 1 << 20
"""Bytes of a document of the provider."""
LONGEST_TOKEN = 16_384
NAMES = ("preferred_username", "email", "sub")
"""Claims that name a person, the first that is there; an e-mail only where the provider has verified it."""


@dataclass(frozen=True)
class Person:
    """Whom the provider vouches for."""

    name: str
    subject: str
    groups: frozenset[str]


class Provider:
    """One identity provider. `fetch` gets a JSON document of an address; blocking."""

    def __init__(self, settings: Oidc, clock: Clock, fetch: Callable[[str], Any] | None = None) -> None:
        self.settings, self._clock, self._fetch = settings, clock, fetch or _fetched
        self._keys: KeySet | None = None
        self._fetched_at = self._tried_at = float("-inf")
        self._guard = threading.Lock()

    def person(self, token: str) -> Person:
        """Who a token is of. Blocking. Raises Denied, or Unreachable where the provider does not answer."""
        if len(token) > LONGEST_TOKEN:
            raise _denied("it is too long")
        claims = self._claims(token)
        self._check(claims)
        name = next((str(claims[key]) for key in NAMES if _names(claims, key)), "")
        if not name or len(name) > 200 or not name.isprintable() or name == "opsbook":
            raise _denied("it names nobody")
        groups = claims.get(self.settings.groups_claim, ())
        found = [groups] if isinstance(groups, str) else groups if isinstance(groups, list) else []
        return Person(name, str(claims.get("sub", "")), frozenset(one for one in found if isinstance(one, str)))

    def _claims(self, token: str) -> Mapping[str, Any]:
        try:
            return jwt.decode(token, self._keyset(), algorithms=list(ALGORITHMS)).claims
        except (JoseError, ValueError, TypeError, KeyError) as first:
            # Perhaps a key that the provider has only just made.
            if not self._renew():
                raise _denied("its signature or form is not right") from first
        try:
            return jwt.decode(token, self._keyset(), algorithms=list(ALGORITHMS)).claims
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise _denied("its signature or form is not right") from error

    def _check(self, claims: Mapping[str, Any]) -> None:
        now = self._clock.now().timestamp()
        audience = claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        if claims.get("iss") != self.settings.issuer:
            raise _denied("another provider made it")
        if self.settings.client_id not in audiences:
            raise _denied("it is for somebody else")
        if len(audiences) > 1 and claims.get("azp", self.settings.client_id) != self.settings.client_id:
            raise _denied("it is for somebody else")
        until, begins = claims.get("exp"), claims.get("nbf", 0)
        if not (_number(until) and _number(begins)):
            raise _denied("it does not say how long it lasts")
        if float(until) + LEEWAY <= now:
            raise _denied("it has expired")
        if float(begins) - LEEWAY > now:
            raise _denied("it does not hold yet")

    def _keyset(self) -> KeySet:
        with self._guard:
            now = self._clock.monotonic()
            if self._keys is None or now - self._fetched_at > KEYS_LAST:
                self._load(now)
            assert self._keys is not None
            return self._keys

    def _renew(self) -> bool:
        """Ask for the keys again; False where that was done just now."""
        with self._guard:
            now = self._clock.monotonic()
            if now - max(self._fetched_at, self._tried_at) < AGAIN_AFTER:
                return False
            self._load(now)
            return True

    def _load(self, now: float) -> None:
        if self._keys is None and now - self._tried_at < 1.0:
            raise Unreachable("the identity provider did not answer", "try again in a moment")
        self._tried_at = now
        try:
            told = self._fetch(_secure(self.settings.issuer.rstrip("/") + "/.well-known/openid-configuration"))
            if told["issuer"] != self.settings.issuer:
                raise ValueError(f"its discovery document is of {told['issuer']}")
            keys = self._fetch(_secure(told["jwks_uri"]))["keys"]
            # A key for encryption, or a shared one, must not verify anything.
            public = [key for key in keys if key.get("use", "sig") == "sig" and key.get("kty") in ("RSA", "EC", "OKP")]
            self._keys, self._fetched_at = KeySet(list(_usable(public))), now
        except (httpx.HTTPError, JoseError, ValueError, TypeError, KeyError, AttributeError) as error:
            log.error("the identity provider %s: %s", self.settings.issuer, error)
            if self._keys is None:
                raise Unreachable(
                    f"the identity provider {self.settings.issuer} cannot be used", "use a token meanwhile"
                ) from error


def _usable(keys: Iterable[Any]) -> Iterator[Key]:
    """Those of kinds that can be used; a provider may have others besides."""
    for key in keys:
        try:
            yield import_key(key)
        except (JoseError, ValueError) as error:
            log.warning("a key of the identity provider is left out: %s", error)


def _names(claims: Mapping[str, Any], key: str) -> bool:
    if key == "email" and claims.get("email_verified") is not True:
        return False
    return isinstance(claims.get(key), str) and bool(claims[key])


def _number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _denied(why: str) -> Denied:
    return Denied(f"this sign-in does not count: {why}", "sign in again", challenge=True)


def _secure(address: str) -> str:
    """Raises ValueError for an address on which anybody on the way could put keys of their own."""
    parts = urlsplit(address)
    if parts.scheme == "https" or (parts.scheme == "http" and loopback(parts.hostname or "")):
        return address
    raise ValueError(f"{address} is not https")


def loopback(host: str) -> bool:
    """Whether a host is this machine alone."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _fetched(address: str) -> Any:
    with httpx.Client(timeout=TIMEOUT, follow_redirects=False) as client, client.stream("GET", address) as response:
        response.raise_for_status()
        body = b""
        for part in response.iter_bytes():
            body += part
            if len(body) > LARGEST:
                raise ValueError(f"{address} sends more than {LARGEST} bytes")
    return httpx.Response(200, content=body).json()
