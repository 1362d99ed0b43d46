"""Certificates in files by openssl, certbot, cat and a signal. What is replaced is kept where opsbook keeps it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from opsbook.book.references import Reference
from opsbook.connectors.by_hand.script import Script, as_commands
from opsbook.connectors.by_hand.shell_text import comment, word
from opsbook.connectors.certificates.places import certificate_of
from opsbook.connectors.change import Json
from opsbook.connectors.held.places import parts_of
from opsbook.connectors.tls import TlsComponent

GENERATED = {
    "ecdsa-p256": "EC -pkeyopt ec_paramgen_curve:P-256", "ecdsa-p384": "EC -pkeyopt ec_paramgen_curve:P-384",
    "rsa-2048": "RSA -pkeyopt rsa_keygen_bits:2048", "rsa-4096": "RSA -pkeyopt rsa_keygen_bits:4096",
}  # fmt: skip
"""`key_type` of the book → how openssl is told."""


@as_commands("certificate-request")
def request(change: Json, script: Script) -> Iterator[str]:
    """A key beside the one that is served, and a signing request."""
    effect = change["effect"]
    if not _named(effect["certificate"], script):
        yield from comment(f"by hand: make a request for {effect['certificate']}; only files have commands", "    ")
        return
    yield from _places(effect["certificate"], script)
    yield from _requested(effect)


@as_commands("certificate-issue")
def issue(change: Json, script: Script) -> Iterator[str]:
    """certbot is given the request: the key stays where opsbook looks for it, and so does the chain."""
    effect = change["effect"]
    one = certificate_of(script.system, effect["certificate"])
    if not _named(one.id, script):
        yield from comment(f"by hand: obtain the certificate {one.id} by ACME; only files have commands", "    ")
        return
    yield from _places(one.id, script)
    yield from _requested(effect)
    told = ["certbot certonly -n --agree-tos --csr", '"$chain.csr"']
    told += [f"-m {word(one.account_email)}" if one.account_email else "--register-unsafely-without-email"]
    told += [f"--server {script.value(one.directory, f'directory of {one.id}')}"] if one.directory else []
    if one.challenge == "http-01":
        told += [f"--webroot -w {word(str(script.system.path(one.webroot)))}"]
    else:
        hook = word(str(script.system.path(one.dns_hook)))
        for verb, option in (("set", "auth"), ("remove", "cleanup")):
            call = f'{hook} {verb} "_acme-challenge.$CERTBOT_DOMAIN" "$CERTBOT_VALIDATION"'
            told += [f"--manual-{option}-hook {word(call)}"]
        told += ["--manual --preferred-challenges dns"]
    told += ['--fullchain-path "$(beside_it "$chain" next)"', '--cert-path "$new/cert" --chain-path "$new/chain"']
    trust = f"REQUESTS_CA_BUNDLE={word(str(script.system.path(one.authority)))} " if one.authority else ""
    yield "new=$(mktemp -d)"
    yield f"{trust}{' '.join(told)}"
    yield 'rm -r -- "$new"'


def _requested(effect: Json) -> Iterator[str]:
    """Its names are in the request; nothing of the key is in an argv."""
    names = [f"{'IP' if _is_address(name) else 'DNS'}:{name}" for name in effect["names"]]
    yield 'with=$(beside_it "$key" next)'
    yield f'[ -s "$with" ] || ( umask 077; openssl genpkey -algorithm {GENERATED[effect["key_type"]]} -out "$with" )'
    subject, named = word(f"/CN={effect['names'][0]}"), word(f"subjectAltName={','.join(names)}")
    yield f'openssl req -new -key "$with" -subj {subject} -addext {named} -out "$chain.csr"'


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


@as_commands("certificate-install")
def install(change: Json, script: Script) -> Iterator[str]:
    """The pair is held against each other, kept, replaced, taken up, and seen."""
    effect = change["effect"]
    if not _named(effect["certificate"], script):
        yield from comment(
            f"by hand: install the certificate {effect['certificate']}; only files have commands", "    "
        )
        return
    yield from _places(effect["certificate"], script)
    take = effect["take"]
    if take in ("next", "previous"):
        yield f'from=$(beside_it "$chain" {take}) with=$(beside_it "$key" {take})'
    else:
        yield f'from={word(take)} with=$(beside_it "$key" next)'
    yield 'public=$(openssl x509 -in "$from" -noout -pubkey); own=$(openssl pkey -in "$with" -pubout)'
    yield '[ "$public" = "$own" ]  # they belong together'
    yield 'new=$(mktemp -d); cat "$from" > "$new/chain"; cat "$with" > "$new/key"'
    yield 'for one in "$chain" "$key"; do [ ! -e "$one" ] || cp -p -- "$one" "$(beside_it "$one" previous)"; done'
    yield 'cat "$new/key" > "$key"; cat "$new/chain" > "$chain"; rm -r -- "$new"'
    for name in effect["reload"]:
        switch = script.component(name).maintenance
        if not switch.pid_file:
            yield from comment(f"by hand: let {name} read its files again where it runs", "    ")
            continue
        yield " ".join(script.value(Reference(one), f"maintenance.check of {name}") for one in switch.check)
        yield f'kill -HUP "$(cat {script.value(Reference(switch.pid_file), f"maintenance.pid_file of {name}")})"'
    yield from _served(effect["served_by"], script)


@as_commands("certificate-served")
def served(change: Json, script: Script) -> Iterator[str]:
    """What lies there is what is served."""
    if _named(change["effect"]["certificate"], script):
        yield from _places(change["effect"]["certificate"], script)
        yield from _served(change["effect"]["served_by"], script)


def _named(name: str, script: Script) -> bool:
    one = certificate_of(script.system, name)
    found = [parts_of(script.system, each) for each in (one.certificate, one.key) if each is not None]
    return len(found) == 2 and all(each is None or each.scheme == "file" for each in found)


def _places(name: str, script: Script) -> Iterator[str]:
    script.calls("beside_it")
    one = certificate_of(script.system, name)
    for what, written in (("chain", one.certificate), ("key", one.key)):
        assert written is not None, "asked before"
        path = Reference(written.text.removeprefix("file:"))
        yield f"{what}={script.value(path, f'{what} of {name}')}"


def _served(components: list[str], script: Script) -> Iterator[str]:
    for name in components:
        settings = script.component(name)
        if not isinstance(settings, TlsComponent):
            yield from comment(f"look: does {name} serve it?", "    ")
            continue
        script.calls("serves")
        address = script.value(settings.address, f"address of {name}")
        yield f'serves {address} {word(settings.server_name)} "$chain"'
