"""The role for a book whose credentials stand in Secrets: those by name, and no other."""

from __future__ import annotations

from pathlib import Path

from tests.integration.servers import make_system

from opsbook.connectors.runtimes.kubernetes_rbac import needed


def test_only_the_secrets_of_the_book_may_be_read_and_written(tmp_path: Path) -> None:
    components = {
        "database": {"kind": "postgres", "dsn": "postgresql://db/shop"},
        "site": {"kind": "tls", "address": "a:1"},
    }
    rotation = {"id": "shop_db", "of": "database", "role": "shop", "every": "90d", "to": "secret:shop/url"}
    certificate = {"id": "web", "of": "site", "names": ["a.test"], "certificate": "secret:web-tls"}
    system = make_system(tmp_path, components, rotations=[rotation], certificates=[certificate])
    rights = [one for one in needed(system, ["workload.restart"]) if one.resource == "secrets"]
    beside = ("web-tls.account", "web-tls.next", "web-tls.previous", "web-tls.restoring")
    every = ("shop", "shop.shop-db.pending", "web-tls", *beside)
    assert {one.verb: one.names for one in rights} == {
        "get": every, "patch": every, "delete": ("shop.shop-db.pending", *beside), "create": (),
    }  # fmt: skip
    assert not [one for one in needed(system, ()) if one.resource == "secrets"]


def test_a_certificate_that_cert_manager_keeps_is_read_where_it_is_proven_and_never_written(tmp_path: Path) -> None:
    components = {"site": {"kind": "tls", "address": "a:1", "workload": "site"}}
    kept = {"id": "web", "of": "site", "names": ["a.test"], "method": "runtime", "certificate": "secret:web-tls"}

    def secrets(**keys: object) -> list[tuple[str, tuple[str, ...]]]:
        system = make_system(tmp_path, components, certificates=[{**kept, **keys}])
        return [(one.verb, one.names) for one in needed(system, ["certificate.ask"]) if one.resource == "secrets"]

    assert secrets(reload=["site"]) == [("get", ("web-tls",))]
    assert secrets() == []
