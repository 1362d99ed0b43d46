"""What is said before a verb of a verb holds for it, where it has an option for that which takes it."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from opsbook.cli.group import Verbs


@pytest.fixture
def group() -> Verbs:
    """A verb that lists, with one that shows."""

    @click.group(cls=Verbs, invoke_without_command=True)
    @click.option("--format", "output", type=click.Choice(["table", "json"]), default="table")
    @click.option("--env", default="production")
    @click.option("--step", "step", multiple=True)
    @click.option("--run", "run")
    def verbs(**_: object) -> None:
        """A verb."""

    @verbs.command("show")
    @click.argument("run")
    @click.option("--format", "output", type=click.Choice(["text", "json"]), default="text")
    @click.option("--env", default="its own")
    @click.option("--step", default="")
    def show(**values: object) -> None:
        """Show it."""
        click.echo(" ".join(f"{name}={value}" for name, value in sorted(values.items())))

    return verbs


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("", "r1", "env=its own output=text run=r1 step="),
        ("--env staging --format json", "r1", "env=staging output=json run=r1 step="),
        ("--env staging --format json", "r1 --env test --format text", "env=test output=text run=r1 step="),
        ("--format table", "r1", "env=its own output=text run=r1 step="),
        ("--run other --step a", "r1", "env=its own output=text run=r1 step="),
    ],
)
def test_a_verb_takes_what_was_said_before_it_where_it_can(
    group: Verbs, before: str, after: str, expected: str
) -> None:
    done = CliRunner().invoke(group, [*before.split(), "show", *after.split()])
    assert (done.exit_code, done.output.strip()) == (0, expected)


def test_an_option_before_a_verb_is_not_its_argument(group: Verbs) -> None:
    assert CliRunner().invoke(group, ["--run", "r1", "show"]).exit_code == 2
