"""A certificate from an ACME authority (RFC 8555), by the library of the protocol's own project.

Blocking: call it on a thread. What proves control (a file under the web root, a DNS record) is removed again whatever
happens.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opsbook.connectors.change import ChangeFailed
from opsbook.connectors.executors.secrets import NotReached
from opsbook.errors import OpsbookError, UsageError

if TYPE_CHECKING:
    from acme import client, messages

LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"
ASK_SECONDS = 30
HOOK_SECONDS = 120
WEB_FOLDER = Path(".well-known") / "acme-challenge"


@dataclass(frozen=True)
class Authority:
    """Whom it is asked of, and how control is proven."""

    directory: str
    account_key: bytes
    """PEM."""
    email: str
    roots: str
    """Path of the authority's own root; empty: this machine's store."""
    challenge: str
    """http-01 or dns-01."""
    webroot: Path | None
    hook: str
    """Program that is called as `HOOK set|remove NAME VALUE` for a DNS record of the type TXT."""


def order(authority: Authority, request: bytes, within: timedelta) -> bytes:
    """The chain for a signing request, as PEM.

    Raises ChangeFailed with what the authority says, NotReached where it does not answer.
    """
    try:
        import requests
        from acme import errors
    except ImportError as error:
        raise UsageError("certificates need packages that are not installed", "pip install 'opsbook[acme]'") from error

    # The library compares with the machine's own clock, without a zone.
    deadline = datetime.now() + within
    try:
        acme, account = _client(authority)
        found = acme.new_order(request)
        with _proving(authority, account, found) as answers:
            for challenge, response in answers:
                acme.answer_challenge(challenge, response)
            return str(acme.poll_and_finalize(found, deadline).fullchain_pem).encode()
    except errors.ValidationError as error:
        raise ChangeFailed(f"{authority.directory} could not verify: {_refused(error)}", _proof(authority)) from error
    except errors.TimeoutError as error:
        raise ChangeFailed(f"{authority.directory} gave no certificate within {within}", "try again later") from error
    except (requests.RequestException, OSError) as error:
        raise NotReached(f"{authority.directory}: {_short(error)}", "is the authority reachable?") from error
    except errors.Error as error:
        raise ChangeFailed(f"{authority.directory} says no: {_short(error)}", "see its limits and terms") from error


def _client(authority: Authority) -> tuple[client.ClientV2, Any]:
    from acme import client, errors, messages
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from josepy.jwa import ES256, RS256
    from josepy.jwk import JWKEC, JWKRSA

    key: Any = load_pem_private_key(authority.account_key, None)
    jwk: Any = JWKRSA(key=key) if isinstance(key, RSAPrivateKey) else JWKEC(key=key)
    algorithm = RS256 if isinstance(jwk, JWKRSA) else ES256
    verify: Any = authority.roots or True
    network = client.ClientNetwork(jwk, alg=algorithm, verify_ssl=verify, user_agent="opsbook", timeout=ASK_SECONDS)
    acme = client.ClientV2(client.ClientV2.get_directory(authority.directory, network), network)
    wish = messages.NewRegistration.from_data(email=authority.email or None, terms_of_service_agreed=True)
    try:
        network.account = acme.new_account(wish)
    except errors.ConflictError as known:
        network.account = messages.RegistrationResource(body=messages.Registration(), uri=known.location)
    return acme, jwk


@contextmanager
def _proving(
    authority: Authority, account: Any, found: messages.OrderResource
) -> Iterator[list[tuple[messages.ChallengeBody, Any]]]:
    """Puts the proofs of control in their places for as long as it lasts."""
    answers: list[tuple[messages.ChallengeBody, Any]] = []
    placed: list[Path | tuple[str, str]] = []
    try:
        for authorization in found.authorizations:
            if authorization.body.status.name == "valid":
                continue
            challenge = _challenge(authority, authorization)
            response, validation = challenge.response_and_validation(account)
            name = authorization.body.identifier.value
            if authority.challenge == "http-01":
                placed.append(_place_file(authority, challenge.chall.encode("token"), validation))
            else:
                domain = challenge.chall.validation_domain_name(name)
                _hook(authority, "set", domain, validation)
                placed.append((domain, validation))
            answers.append((challenge, response))
        yield answers
    finally:
        for one in placed:
            with suppress(OSError, OpsbookError):
                one.unlink() if isinstance(one, Path) else _hook(authority, "remove", *one)


def _challenge(authority: Authority, authorization: messages.AuthorizationResource) -> messages.ChallengeBody:
    for one in authorization.body.challenges:
        if one.chall.typ == authority.challenge:
            return one
    offered = ", ".join(sorted(one.chall.typ for one in authorization.body.challenges))
    raise ChangeFailed(
        f"{authority.directory} does not take {authority.challenge} for {authorization.body.identifier.value}",
        f"set `challenge` to one of: {offered}",
    )


def _place_file(authority: Authority, token: str, validation: str) -> Path:
    assert authority.webroot is not None, "planned with one"
    folder = authority.webroot / WEB_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    # Its name comes from outside: base64url, as the standard has it, or nothing.
    if not token or set(token) - set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"):
        raise ChangeFailed(f"{authority.directory} sent a token that no file is named after", "is it an authority?")
    path = folder / token
    path.write_text(validation)
    path.chmod(0o644)
    return path


def _hook(authority: Authority, verb: str, name: str, value: str) -> None:
    try:
        done = subprocess.run(
            [authority.hook, verb, name, value], capture_output=True, text=True, timeout=HOOK_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotReached(f"{authority.hook}: {_short(error)}", "check `dns_hook`") from error
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines()
        said = words[-1] if words else ""
        raise NotReached(f"{authority.hook} ended with {done.returncode}: {said}", "run it by hand")


def _proof(authority: Authority) -> str:
    if authority.challenge == "http-01":
        return f"the names must be answered over HTTP from {authority.webroot}"
    return f"the record that {authority.hook} sets must be seen by everybody"


def _refused(error: Any) -> str:
    said = [
        f"{one.body.identifier.value}: {challenge.error.detail if challenge.error else challenge.status.name}"
        for one in error.failed_authzrs
        for challenge in one.body.challenges
        if challenge.error
    ]
    return "; ".join(said) or "it gave no reason"


def _short(error: Exception) -> str:
    return (getattr(error, "detail", None) or str(error) or type(error).__name__).strip().splitlines()[0][:300]


def required(names: Sequence[str], challenge: str, webroot: str, hook: str) -> str:
    """What a certificate by ACME lacks; empty where it lacks nothing."""
    if challenge == "http-01" and not webroot:
        return "set its `webroot`, the folder that is served under /.well-known/acme-challenge"
    if challenge == "dns-01" and not hook:
        return "set its `dns_hook`, the program that sets and removes a DNS record"
    if challenge == "http-01" and any(name.startswith("*.") for name in names):
        return "names with * are proven by dns-01 only; set `challenge` and `dns_hook`"
    return ""
