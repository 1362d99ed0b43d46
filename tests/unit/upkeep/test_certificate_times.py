"""When a certificate is renewed, and what may be served."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st
from tests.integration.web import issue

from opsbook.book.planned import Certificate
from opsbook.connectors.certificates.pairs import KEYS, Chain, fault, read_key, request_pem
from opsbook.errors import Refused
from opsbook.upkeep.certificates import due

NOW = datetime(2026, 11, 21, tzinfo=UTC)
WEB = Certificate(id="web", names=("shop.test",))


@given(days=st.integers(1, 400), passed=st.floats(0, 1))
def test_it_is_renewed_in_its_time_and_before_its_end(days: int, passed: float) -> None:
    begins = NOW - timedelta(days=days) * passed
    ends = begins + timedelta(days=days)
    moment = due(WEB, begins, ends, NOW)
    if ends > NOW:
        assert begins <= moment < ends
        assert ends - moment <= WEB.renew_before
    else:
        assert moment == NOW, "one that has ended is renewed at once"


def test_one_of_ten_days_is_not_renewed_every_day() -> None:
    assert due(WEB, NOW, NOW + timedelta(days=9), NOW) == NOW + timedelta(days=6)


ROOT = issue("root", authority=True)
LEAF = issue("shop.test", ROOT, ("shop.test", "*.shop.test"))


@pytest.mark.parametrize(
    ("chain", "names", "now", "says"),
    [
        ((LEAF, ROOT), ["shop.test"], 0, ""),
        ((LEAF, ROOT), ["SHOP.test", "*.shop.test"], 0, ""),
        ((LEAF, ROOT), ["www.shop.test"], 0, "not for www.shop.test"),
        ((LEAF, ROOT), ["shop.test"], 91, "it ended on"),
        ((LEAF, LEAF), ["shop.test"], 0, "not in order"),
    ],
)
def test_what_must_not_be_served_is_said(chain: tuple[object, ...], names: list[str], now: int, says: str) -> None:
    found = fault(Chain(tuple(one.certificate for one in chain)), None, names, datetime.now(UTC) + timedelta(days=now))  # type: ignore[attr-defined]
    assert says in found
    assert bool(says) == bool(found)


def test_another_key_is_found() -> None:
    chain = Chain((LEAF.certificate,))
    assert fault(chain, LEAF.key, ["shop.test"], datetime.now(UTC)) == ""
    assert "does not belong" in fault(chain, KEYS["ecdsa-p256"](), ["shop.test"], datetime.now(UTC))


def test_a_request_asks_for_every_name() -> None:
    request = x509.load_pem_x509_csr(request_pem(KEYS["ecdsa-p384"](), ["shop.test", "*.shop.test", "127.0.0.1"]))
    names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["shop.test", "*.shop.test"]
    assert [str(one) for one in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]


def test_a_file_that_is_no_key_is_not_quoted() -> None:
    with pytest.raises(Refused) as refused:
        read_key(b"-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n", "web.key")
    assert "c2VjcmV0" not in str(refused.value)
    assert refused.value.__cause__ is None
