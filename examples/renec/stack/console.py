"""The `renec` command."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence

from stack import environment, lifecycle, places, releases, setup, supervisor, switches, traffic
from stack.errors import StackError
from stack.instance import existing, require
from stack.postgres import DATABASE
from stack.programs import programs
from stack.progress import Progress


def up(arguments: argparse.Namespace) -> int:
    progress = Progress(arguments.quiet)
    progress.say("Starting the RENEC Harvester")
    if arguments.on != places.HERE:
        places.place(arguments.on).up(progress)
        return 0
    instance = lifecycle.up(progress)
    progress.say(f"Ready in {progress.seconds:.1f} s: {environment.addresses(instance)['API_URL']} (renec addresses)")
    return 0


def down(arguments: argparse.Namespace) -> int:
    if arguments.on != places.HERE:
        places.place(arguments.on).down()
    else:
        lifecycle.down()
    return 0


def destroy(arguments: argparse.Namespace) -> int:
    if arguments.on != places.HERE:
        places.place(arguments.on).destroy()
    else:
        lifecycle.destroy()
    return 0


def status(arguments: argparse.Namespace) -> int:
    """0 where everything that should run does, else 1."""
    if arguments.on != places.HERE:
        return places.place(arguments.on).status()
    instance = existing()
    if instance is None or supervisor.pid(instance) is None:
        print("down" if instance else "not set up")
        return 1
    known = supervisor.states(instance)
    whole = True
    for program in programs(instance):
        infos = [known[name] for name in program.processes(program.slots)]
        alive = sum(info["statename"] == "RUNNING" for info in infos)
        whole = whole and alive >= program.running
        others = sorted({i["statename"] for i in infos} - {"RUNNING", "STOPPED"})
        of = "" if program.slots == 1 else f"{alive} of {program.running}"
        print(f"{program.name:<18}{'running' if alive else 'stopped':<9}{of:<8}{' '.join(others)}".rstrip())
    for name in switches.thrown(instance):
        print(f"switch thrown: {name} ({switches.SWITCHES[name].shows})")
    return 0 if whole else 1


def harvest(arguments: argparse.Namespace) -> int:
    if arguments.on != places.HERE:
        return places.place(arguments.on).harvest(arguments.mode)
    command = [sys.executable, "-m", "src.cli", "harvest", "--mode", arguments.mode]
    instance = require()
    environ = setup.release_environment(instance)
    return subprocess.run(command, cwd=instance.current, env=environ, check=False).returncode


def break_(arguments: argparse.Namespace) -> int:
    elsewhere = places.place(arguments.on) if arguments.on != places.HERE else None
    if arguments.list or not arguments.name:
        for name, shows in (
            elsewhere.SWITCHES if elsewhere else {name: switch.shows for name, switch in switches.SWITCHES.items()}
        ).items():
            print(f"{name:<24}{shows}")
        return 0
    parameters = {name: number(name, value) for name, _, value in (item.partition("=") for item in arguments.set)}
    also = f"; set: {', '.join(arguments.set)}" if arguments.set else ""
    if elsewhere:
        elsewhere.throw(arguments.name, parameters)
        print(f"{arguments.name}: {elsewhere.SWITCHES[arguments.name]}{also}")
        return 0
    instance = require()
    with instance.lock():
        switches.throw(instance, arguments.name, parameters)
    print(f"{arguments.name}: {switches.SWITCHES[arguments.name].shows}{also}")
    return 0


def number(name: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise StackError(f"{name}={value} is no number", "write for example --set seconds=1") from None


def mend(arguments: argparse.Namespace) -> int:
    if arguments.on != places.HERE:
        for name in places.place(arguments.on).mend(arguments.name):
            print(f"mended: {name}")
        return 0
    instance = require()
    with instance.lock():
        # the database first: mending others may need it
        names = sorted(switches.thrown(instance), key=lambda name: name != "database-down")
        for name in names if arguments.name == "all" else [arguments.name]:
            switches.mend(instance, name)
            print(f"mended: {name}")
    return 0


def addresses(_arguments: argparse.Namespace) -> int:
    """Addresses without secrets; those with are in the file that the last line names."""
    instance = require()
    found = environment.addresses(instance)
    servers = {"DATABASE": "postgres", "REPLICA": "replica", "PGBOUNCER": "pgbouncer", "REDIS": "redis"}
    for name, address in found.items():
        print(f"{name:<18}{address}")
    for name, port in servers.items():
        suffix = "" if port == "redis" else f"/{DATABASE}"
        print(f"{name:<18}127.0.0.1:{instance.port(port)}{suffix}")
    print(f"{'CA_FILE':<18}{instance.folder('tls') / 'trusted.crt'}")
    print(f"with passwords    {instance.root / 'env'}")
    return 0


def traffic_(_arguments: argparse.Namespace) -> int:
    print(f"the log of the API has {traffic.write(require()):,} requests")
    return 0


def release(arguments: argparse.Namespace) -> int:
    if arguments.on != places.HERE:
        print(places.place(arguments.on).release(arguments.version, arguments.fault, arguments.migration))
        return 0
    print(releases.make(require(), arguments.version, arguments.fault, arguments.migration))
    return 0


def exec_(arguments: argparse.Namespace) -> int:
    instance = require()
    command = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    if not command:
        raise StackError("no command given", "as in: renec exec -- python -m src.cli validate")
    environ = setup.release_environment(instance)
    try:
        return subprocess.run(command, cwd=instance.current, env=environ, check=False).returncode
    except FileNotFoundError as error:
        raise StackError(f"no program {command[0]!r}", "give a program that is on PATH") from error


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="renec", description="The RENEC Harvester: a small real system to operate.")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, act: object, help_: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=help_)
        made.set_defaults(act=act)
        return made

    def placed(name: str, act: object, help_: str) -> argparse.ArgumentParser:
        made = command(name, act, help_)
        made.add_argument("--on", choices=places.NAMES, default=places.HERE, help="where it runs")
        return made

    placed("up", up, "set up if needed, start, wait until ready").add_argument("--quiet", action="store_true")
    placed("down", down, "stop everything, keep the data")
    placed("destroy", destroy, "stop everything, remove all data")
    placed("status", status, "what runs, and which switches are thrown")
    crawl = placed("harvest", harvest, "crawl the register, showing progress")
    crawl.add_argument("--mode", choices=("full", "probe"), default="full")
    spoil = placed("break", break_, "throw a switch that spoils something")
    spoil.add_argument("name", nargs="?")
    spoil.add_argument("--list", action="store_true", help="what can be broken")
    spoil.add_argument(
        "--set", action="append", default=[], metavar="KEY=NUMBER", help="slow-api: seconds; api-errors: share"
    )
    placed("mend", mend, "mend what a switch spoiled").add_argument("name", help="a switch, or all")
    command("addresses", addresses, "where everything listens")
    command("traffic", traffic_, "write two months of the API's log, so that there is something to back up")
    new = placed("release", release, "make another release, without switching to it")
    new.add_argument("version")
    new.add_argument("--fault", choices=releases.FAULTS, default="", help="one that fails when it runs")
    new.add_argument("--migration", action="store_true", help="with a migration that adds a column")
    command("exec", exec_, "run a command as the application would").add_argument("command", nargs=argparse.REMAINDER)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Exit codes: 0 fine · 1 bad result · 2 wrong usage · 3 could not run · 130 interrupted."""
    arguments = parser().parse_args(argv)
    try:
        return int(arguments.act(arguments))
    except StackError as error:
        print(f"renec: {error}" + (f"\n  → {error.hint}" if error.hint else ""), file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        print("renec: interrupted", file=sys.stderr)
        return 130
