"""What a team says of its monitoring, where a book does not."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Places:
    """Where things are, as Prometheus and Alertmanager see them."""

    opsbook: str = "http://127.0.0.1:8340"
    """Where `opsbook serve` answers."""
    token_file: str = "/etc/alertmanager/opsbook.token"  # noqa: S105  a path
    """The file on Alertmanager's host that holds a token of opsbook."""
    scrape_token_file: str = "/etc/prometheus/opsbook.token"  # noqa: S105  a path
    """The same on Prometheus' host."""
    secrets: str = "/etc/alertmanager/secrets"
    """The folder on Alertmanager's host with one file for each channel that has a secret."""
    smarthost: str = "localhost:25"
    mail_from: str = "opsbook@localhost"
    blackbox: str = "127.0.0.1:9115"
    exporters: frozenset[str] = frozenset()
    """Which exporters Prometheus scrapes, with `component` on their targets."""
