"""Certificates: what is served is looked at; renewal has no operation yet."""

from __future__ import annotations

from opsbook.manual.lift.context import Lifted, Stay, Use
from opsbook.manual.lift.inventory import Part
from opsbook.manual.lift.model import Why
from opsbook.manual.lift.registry import lifts

RENEW = "certificate.renew"


def served(use: Use) -> Part | None:
    """What serves the certificate that is meant."""
    return use.inventory.one("tls") or next(
        (p for p in use.inventory.of_kind("proxy", "http") if any(":" not in h or h.endswith(":443") for h in p.hosts)),
        None,
    )


@lifts("openssl")
def openssl(use: Use) -> Lifted:
    words = use.command.words
    if words[1:2] != ("s_client",) and words[1:2] != ("x509",):
        return Stay(Why.ELSEWHERE, "it makes keys and files, not something of a component")
    part = served(use)
    for at, word in enumerate(words[:-1]):
        if word == "-connect" and (found := use.inventory.at(f"https://{words[at + 1].partition(':')[0]}")):
            part = found[0]
    if part is None or words[1] == "x509":
        return Stay(Why.ELSEWHERE, "the certificate is none that the book's components serve")
    return use.check("tls.days_left", part)


@lifts("certbot", "cmctl", "acme.sh")
def certbot(use: Use) -> Lifted:
    part = served(use)
    if "certificates" in use.command.words and part:
        return use.check("tls.days_left", part)
    return Stay(Why.MISSING, f"`{RENEW}` would mean it", RENEW, part.name if part else "")
