"""Questions asked from inside a workload, their answers read, and network policies read in one sentence."""

from __future__ import annotations

from typing import Any

import pytest

from opsbook.connectors.inside.look import Question, argvs, question_of, read
from opsbook.connectors.inside.policies import End, ruling
from opsbook.connectors.inside.policies_read import _is_address
from opsbook.errors import UsageError

API = End("api", "shop", {"part": "api"}, {"team": "a"}, "10.0.0.1", {"web": 8000})
DATABASE = End("database", "data", {"part": "db"}, {"team": "b"}, "10.0.0.2", {"sql": 5432})


def policy(name: str, namespace: str, selector: dict[str, str], **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"podSelector": {"matchLabels": selector}, **spec},
    }


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("database", Question("dns", "database")),
        ("db.shop.svc:5432", Question("tcp", "db.shop.svc", 5432)),
        ("[::1]:80", Question("tcp", "::1", 80)),
        ("https://ann:secret@api/health?a=1", Question("http", "api", 443, "/health?a=1", "https")),
    ],
)
def test_it_reads_what_is_to_be_asked(written: str, expected: Question) -> None:
    assert question_of(written) == expected


@pytest.mark.parametrize("written", ["-x:80", "a b", "$(id):80", "a:0", "a:70000", "ftp://a/", "http://a/ b", "a;b"])
def test_it_refuses_what_is_no_address(written: str) -> None:
    with pytest.raises(UsageError):
        question_of(written)


def test_values_are_arguments_of_their_own() -> None:
    one = Question("tcp", "db", 5432)
    for argv in argvs([one], 3):
        assert argv[-4:] == ["tcp", "db", "5432", "http://db:5432/"]
        assert not any("5432" in word for word in argv[:-4]), "no value is in the program"


def test_it_reads_answers_between_other_lines_and_names_what_was_cut_off() -> None:
    asked = [Question("dns", "a"), Question("tcp", "a", 1), Question("http", "a", 1)]
    said = "motd\nopsbook\t0\tok\t0.01\t10.0.0.1\nopsbook\t2\tcannot\t0.00\tno tool\n"
    first, second, third = read("pod", asked, said)
    assert (first.ok, first.words, first.seconds) == (True, "10.0.0.1", 0.01)
    assert (second.ok, second.words) == (None, "the look from inside was cut off")
    assert (third.ok, third.status) == (None, None)


def test_without_policies_everything_passes() -> None:
    found = ruling([], API, DATABASE, 5432)
    assert (found.allowed, found.sentence) == (
        True, "yes: no network policy selects api for egress or database for ingress"
    )  # fmt: skip


def test_a_policy_that_selects_and_allows_nothing_forbids_and_is_named() -> None:
    closed = policy("default-deny", "shop", {}, policyTypes=["Ingress", "Egress"])
    found = ruling([closed], API, DATABASE, 5432)
    assert not found.allowed
    assert found.sentence == "no: default-deny selects api, and no rule allows egress to database:5432"


@pytest.mark.parametrize(
    ("rule", "allowed"),
    [
        ({}, True),
        ({"ports": [{"port": 5432}]}, True),
        ({"ports": [{"port": "sql"}]}, True),
        ({"ports": [{"port": 5432, "protocol": "UDP"}]}, False),
        ({"ports": [{"port": 5000, "endPort": 6000}]}, True),
        ({"ports": [{"port": 80}]}, False),
        ({"from": [{"podSelector": {"matchLabels": {"part": "api"}}}]}, False),
        ({"from": [{"namespaceSelector": {"matchLabels": {"team": "a"}}}]}, True),
        ({"from": [{"namespaceSelector": {}, "podSelector": {"matchLabels": {"part": "ui"}}}]}, False),
        ({"from": [{"ipBlock": {"cidr": "10.0.0.0/24"}}]}, True),
        ({"from": [{"ipBlock": {"cidr": "10.0.0.0/24", "except": ["10.0.0.1/32"]}}]}, False),
    ],
)
def test_a_rule_allows_by_port_pod_namespace_and_address(rule: dict[str, Any], allowed: bool) -> None:
    into = policy("db-in", "data", {"part": "db"}, ingress=[rule])
    other = policy("others", "data", {"part": "cache"})
    assert ruling([into, other], API, DATABASE, 5432).allowed is allowed


def test_both_sides_must_allow() -> None:
    out = policy("api-out", "shop", {"part": "api"}, policyTypes=["Egress"],
                 egress=[{"to": [{"ipBlock": {"cidr": "10.0.0.2/32"}}]}])  # fmt: skip
    into = policy("db-in", "data", {"part": "db"}, ingress=[{"from": [{"namespaceSelector": {}}]}])
    found = ruling([out, into], API, DATABASE, 5432)
    assert found.sentence == "yes: allowed are egress of api by api-out and ingress of database by db-in"
    assert not ruling([out, policy("shut", "data", {})], API, DATABASE, 5432).allowed


@pytest.mark.parametrize(
    ("host", "address"), [("10.0.0.1", True), ("::1", True), ("999.1.1.1", False), ("1.2", False), ("a:b", False)]
)
def test_only_an_address_is_held_against_the_blocks_of_a_policy(host: str, address: bool) -> None:
    assert _is_address(host) is address
