"""`opsbook`: verbs are imported only when they are used, so that `--help` answers at once."""

from __future__ import annotations

import errno
import importlib
import os
import sys
from typing import NoReturn

import click

from opsbook import __version__
from opsbook.cli import garbage
from opsbook.errors import OpsbookError

VERBS = {
    "advise": ("opsbook.cli.advise", "Advise on settings, sizes and numbers from machine and load."),
    "approve": ("opsbook.cli.approve", "Look at the plan of a run that waits, and say yes to it."),
    "audit": ("opsbook.cli.audit", "Read, verify and export the record of every act."),
    "backup": ("opsbook.cli.backup", "Take a backup of the book now."),
    "backups": ("opsbook.cli.backups", "List, verify, hold and prune the backups that the stores have."),
    "check": ("opsbook.cli.check", "Run the checks of a book and say what is wrong and why."),
    "checklist": ("opsbook.cli.checklist", "Show the checklists that are open, and tick their lines."),
    "deploy": ("opsbook.cli.deploy", "Bring a component to a version, watch it, and go back where it is worse."),
    "doctor": ("opsbook.cli.doctor", "Tell whether everything that a book needs can be reached."),
    "drill": ("opsbook.cli.drill", "Prove that a backup restores, and measure it against the promise."),
    "environment": ("opsbook.cli.environment", "Show the variables of a workload, their values masked."),
    "generate": ("opsbook.cli.generate", "Write rules, routes, dashboards and probes for Prometheus."),
    "import": ("opsbook.cli.import_", "Make a book and its procedures of manuals."),
    "incident": ("opsbook.cli.incident", "List incidents, and work them: acknowledge, note, resolve, review."),
    "init": ("opsbook.cli.init", "Write a starter book from what lies here."),
    "inside": ("opsbook.cli.inside", "Show what a workload reaches, asked from within it."),
    "lint": ("opsbook.cli.lint", "Say what is wrong with a manual or a book, line by line."),
    "logs": ("opsbook.cli.logs", "Show, follow, search and keep the logs of a workload."),
    "objectives": ("opsbook.cli.objectives", "Show what is promised about recovery, and what was measured."),
    "observations": ("opsbook.cli.observations", "List the facts that can be observed."),
    "oncall": ("opsbook.cli.oncall", "Tell who is on call now and next, and page for practice."),
    "operations": ("opsbook.cli.operations", "List the changes that can be made."),
    "plan": ("opsbook.cli.plan", "Show what a procedure would do now."),
    "procedures": ("opsbook.cli.procedures", "List the procedures of a book, or show one."),
    "rehearse": ("opsbook.cli.rehearse", "Prove that every procedure works, where nothing can be lost."),
    "render": ("opsbook.cli.render", "Write the book as one manual for people."),
    "report": ("opsbook.cli.report", "Write a report for people who were not there."),
    "restore": ("opsbook.cli.restore", "Restore a backup beside the database that is used, or in its place."),
    "rollback": ("opsbook.cli.rollback", "Take a component back to a version that ran before."),
    "run": ("opsbook.cli.run", "Run a procedure, durably."),
    "runs": ("opsbook.cli.runs", "Show runs; cancel, resolve or repeat one."),
    "schema": ("opsbook.cli.schema", "Print the JSON Schema of book.yaml."),
    "serve": ("opsbook.cli.serve", "Watch around the clock: checks, alerts, schedules, runs, HTTP."),
    "shell": ("opsbook.cli.shell", "Open psql, redis-cli or a shell on a component, recorded."),
    "silence": ("opsbook.cli.silence", "Silence alerts that are known, for a while."),
    "status": ("opsbook.cli.status", "What fires, who has it, what changed, runs and waits."),
    "status-page": ("opsbook.cli.status_page", "Write the public status page, and tell the public of an incident."),
    "worker": ("opsbook.cli.worker", "Execute runs that others submit, beside other workers."),
    "token": ("opsbook.cli.token", "Make, list and revoke the tokens of the API."),
    "window": ("opsbook.cli.window", "Show maintenance windows; open, extend or close one."),
}
"""Verb → module that defines `command`, and its line in `--help`."""

UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
"""What writing to a full or broken disk ends with."""


class LazyGroup(click.Group):
    """Knows its verbs by name and line; imports one when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        command = importlib.import_module(VERBS[name][0]).command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in VERBS:
            import difflib

            close = difflib.get_close_matches(args[0], VERBS, n=1)
            hint = f"did you mean `opsbook {close[0]}`?" if close else "see `opsbook --help`"
            raise click.UsageError(f"there is no verb {args[0]!r}; {hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl([(name, line) for name, (_, line) in sorted(VERBS.items())])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="opsbook")
def cli() -> None:
    """Operations manuals that run, are tested, and keep their promises."""


def main() -> None:
    """The console script. Every error is a sentence with a next step and an exit code; none is a traceback."""
    garbage.seldom()
    _open_closed()
    for stream in (sys.stdout, sys.stderr):
        # A terminal without these characters shows a question mark; no mark is worth a failed check.
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    try:
        code = cli.main(standalone_mode=False)
        sys.stdout.flush()
        sys.exit(code if isinstance(code, int) else 0)
    except click.exceptions.Abort:
        click.echo("interrupted", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except OpsbookError as error:
        click.echo(f"opsbook: {error}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        sys.exit(130)
    except SystemExit as ended:
        # What click and rich make of a reader that went away.
        if not isinstance(ended.__context__, BrokenPipeError):
            raise
        _nobody_reads()
    except BrokenPipeError:
        _nobody_reads()
    except OSError as error:
        if error.errno not in UNWRITABLE:
            _report_fault(error)
        else:
            click.echo(f"opsbook: the output cannot be written: {error.strerror}", err=True)
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(3)
    except Exception as error:
        _report_fault(error)
        sys.exit(3)


def _nobody_reads() -> NoReturn:
    """The reader went away (`| head`): that is its right. Python would complain once more when it closes stdout."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.exit(0)


def _open_closed() -> None:
    """Streams that the caller has closed (`>&-`) go nowhere: else the next file that is opened would be one of them."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w", encoding="utf-8"))


def _report_fault(error: Exception) -> None:
    """The last edge: a fault of opsbook itself. The traceback goes to a file, not to the person."""
    import tempfile
    import traceback
    from pathlib import Path

    with tempfile.NamedTemporaryFile("w", prefix="opsbook-fault-", suffix=".txt", delete=False) as report:
        report.write("".join(traceback.format_exception(error)))
    click.echo(f"opsbook: a fault of opsbook itself: {type(error).__name__}: {error}", err=True)
    click.echo(f"  → please report it with {Path(report.name)}", err=True)
