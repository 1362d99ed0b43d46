"""`opsbook generate`: what Prometheus and its neighbours are told, made of the book."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from opsbook.cli.generate_rbac import rbac
from opsbook.cli.group import Verbs
from opsbook.cli.options import book_options, read_system
from opsbook.cli.written import written

if TYPE_CHECKING:
    from opsbook.watch.generate.options import Places

F = TypeVar("F", bound=Callable[..., Any])
EXPORTERS = ("node", "postgres", "redis", "blackbox")


@click.group("generate", cls=Verbs)
def command() -> None:
    """Write rules, routes, dashboards and probes from the thresholds of the book's checks.

    Each prints its file, or writes it with --to. The book is the source: change it and generate anew. Exit codes: 0
    written, 2 an invalid book.
    """


command.add_command(rbac)


def options(function: F) -> F:
    """`--to`, `--url`, and the options of the book."""
    to = click.option("--to", default="-", metavar="FILE", show_default=True, help="Write it there; - prints it.")
    url = click.option(
        "--url", default="", metavar="URL", help="Where `opsbook serve` answers, for links and messages."
    )
    return book_options(to(url(function)))


exporter_option = click.option(
    "--exporter",
    "exporters",
    multiple=True,
    type=click.Choice(EXPORTERS),
    help="An exporter that Prometheus scrapes with the label `component` on its targets. Repeatable; what none shows"
    " comes from opsbook's own /metrics.",
)


@command.command("prometheus-rules")
@options
@exporter_option
def prometheus_rules(book: str | None, env: str | None, to: str, url: str, exporters: tuple[str, ...]) -> int:
    """Recording and alerting rules of every check and service level. `promtool check rules FILE` accepts them."""
    from opsbook.watch.generate.rules import rules_text

    return written(to, rules_text(read_system(book, env), _places(url, exporters=frozenset(exporters))))


@command.command("rule-tests")
@options
@exporter_option
@click.option("--rules", default="rules.yml", show_default=True, metavar="FILE", help="The rules, seen from the tests.")
def rule_tests(book: str | None, env: str | None, to: str, url: str, exporters: tuple[str, ...], rules: str) -> int:
    """Tests that prove when each alert fires, and that it does not before. Run them with `promtool test rules FILE`.

    Give the options that the rules were made with.
    """
    from opsbook.watch.generate.proofs import tests_text

    return written(to, tests_text(read_system(book, env), _places(url, exporters=frozenset(exporters)), rules))


@command.command("alertmanager")
@options
@click.option("--notify", type=click.Choice(("opsbook", "channels", "both")), default="opsbook", show_default=True,
              help="Who tells people. That opsbook itself is gone is always told by Alertmanager.")  # fmt: skip
@click.option("--token-file", metavar="FILE", help="On Alertmanager's host: a token of opsbook.")
@click.option("--secrets", metavar="FOLDER", help="On Alertmanager's host: one file for each channel with a secret.")
@click.option("--smarthost", metavar="HOST:PORT", help="The mail server.")
@click.option("--mail-from", metavar="ADDRESS", help="Whom its mails come from.")
def alertmanager(book: str | None, env: str | None, to: str, url: str, notify: str, **places: str | None) -> int:
    """Routes, receivers and inhibitions. Secrets are named by their files. `amtool check-config FILE` accepts it."""
    from opsbook.watch.generate.alertmanager import alertmanager_text

    return written(to, alertmanager_text(read_system(book, env), _places(url, **places), notify))


@command.command("grafana")
@options
@exporter_option
def grafana(book: str | None, env: str | None, to: str, url: str, exporters: tuple[str, ...]) -> int:
    """A dashboard as JSON: every check with its unit and its thresholds as colours, environments as a variable."""
    from opsbook.watch.generate.grafana import dashboard_text

    return written(to, dashboard_text(read_system(book, env), _places(url, exporters=frozenset(exporters))))


@command.command("blackbox")
@options
@click.option("--address", metavar="HOST:PORT", help="Where blackbox_exporter answers.")
@click.option("--token-file", metavar="FILE", help="On Prometheus' host: a token of opsbook, to read its metrics.")
@click.option("--scrape-to", metavar="FILE", help="Write the scrape configuration there instead of behind the modules.")
def blackbox(
    book: str | None,
    env: str | None,
    to: str,
    url: str,
    address: str | None,
    token_file: str | None,
    scrape_to: str | None,
) -> int:
    """Modules for blackbox_exporter, and the scrape configuration for Prometheus: a target for each check."""
    from opsbook.watch.generate.blackbox import modules_text, scrape_text

    system, places = read_system(book, env), _places(url, blackbox=address, scrape_token_file=token_file)
    modules, scrape = modules_text(system, places), scrape_text(system, places)
    if scrape_to is None:
        return written(to, modules + "---\n" + scrape)
    written(scrape_to, scrape)
    return written(to, modules)


def _places(url: str, **said: Any) -> Places:
    from opsbook.watch.generate.options import Places

    given: dict[str, Any] = {name: value for name, value in said.items() if value}
    if url:
        given["opsbook"] = url.rstrip("/")
    return Places(**given)
