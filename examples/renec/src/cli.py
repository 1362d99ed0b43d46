"""`python -m src.cli`: harvest, export, validate, seed-logs, check-config."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from src.artifacts import ArtifactsFull
from src.logs import log_to_stderr
from src.settings import MissingSetting, missing, read_variables, settings_file


def harvest(arguments: argparse.Namespace) -> int:
    """0 completed · 1 too many errors · 4 another harvest runs."""
    from src.harvester import harvest as crawl
    from src.harvester.progress import describe, printer
    from src.harvester.runs import HarvestRunning

    mode = "codes" if arguments.codes else arguments.mode
    try:
        figures = crawl.harvest(mode, arguments.codes, printer(arguments.quiet))
    except HarvestRunning as running:
        print(running, file=sys.stderr)
        return 4
    if sys.stderr.isatty() and not arguments.quiet:
        print(file=sys.stderr)
    print(f"{figures.status}: {describe(figures)}")
    return 0 if figures.status == "completed" else 1


def export(arguments: argparse.Namespace) -> int:
    from src.artifacts import require_room
    from src.db import engine
    from src.export import FORMATS, export_bundle
    from src.settings import settings

    formats = arguments.formats.split(",")
    unknown = [name for name in formats if name not in FORMATS]
    if unknown:
        print(f"unknown format {', '.join(unknown)}; known: {', '.join(FORMATS)}", file=sys.stderr)
        return 2
    output = arguments.output.resolve()
    artifacts = settings().artifacts_dir.resolve()
    if output.is_relative_to(artifacts):
        require_room(artifacts, settings().artifacts_quota)
    counts = export_bundle(engine(), output, formats)
    print(f"{output}: " + ", ".join(f"{rows} {table}" for table, rows in counts.items()))
    return 0


def validate(_arguments: argparse.Namespace) -> int:
    from src.db import engine
    from src.validation import RULES, broken_rules

    broken = broken_rules(engine())
    for rule, codes in broken.items():
        print(f"broken: {rule}: {', '.join(codes[:20])}{' …' if len(codes) > 20 else ''}")
    print(f"{len(RULES) - len(broken)} of {len(RULES)} rules hold")
    return 1 if broken else 0


def seed_logs(arguments: argparse.Namespace) -> int:
    from src import old_logs
    from src.db import engine

    old_logs.seed_logs(engine(), arguments.rows, arguments.days)
    print(f"{arguments.rows} rows over {arguments.days} days in each of {', '.join(old_logs.SEED)}")
    return 0


def check_config(_arguments: argparse.Namespace) -> int:
    absent = missing(read_variables(settings_file()))
    print(f"{settings_file()}: " + (f"not set: {', '.join(absent)}" if absent else "complete"))
    return 1 if absent else 0


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m src.cli", description=__doc__)
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    crawl = commands.add_parser("harvest", help="crawl the register")
    crawl.add_argument("--mode", choices=("full", "probe"), default="full")
    crawl.add_argument("--codes", nargs="+", default=[], metavar="CODE", help="only these records")
    crawl.add_argument("--quiet", action="store_true")
    crawl.set_defaults(act=harvest)
    bundle = commands.add_parser("export", help="write what was harvested").add_subparsers(required=True)
    whole = bundle.add_parser("bundle", help="all tables in one zip")
    whole.add_argument("--output", type=Path, required=True)
    whole.add_argument("--formats", default="json,csv,excel")
    whole.set_defaults(act=export)
    commands.add_parser("validate", help="hold the data against its rules").set_defaults(act=validate)
    seed = commands.add_parser("seed-logs", help="add old log rows")
    seed.add_argument("--rows", type=int, default=5000)
    seed.add_argument("--days", type=int, default=500)
    seed.set_defaults(act=seed_logs)
    commands.add_parser("check-config", help="see that every variable is set").set_defaults(act=check_config)
    return top


def main() -> int:
    """Exit codes: 0 fine · 1 bad result · 2 wrong usage · 3 could not run · 4 another harvest runs."""
    arguments = parser().parse_args()
    quiet = getattr(arguments, "quiet", True)
    log_to_stderr("INFO" if quiet else "WARNING")  # between the lines of the progress only what is wrong
    try:
        return int(arguments.act(arguments))
    except (MissingSetting, ArtifactsFull) as error:
        print(error, file=sys.stderr)
        return 3
    except Exception as error:
        print(f"{type(error).__name__}: {str(error).splitlines()[0]}", file=sys.stderr)
        return 3


if __name__ == "__main__":
    sys.exit(main())
