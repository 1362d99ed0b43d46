"""Programs that run other programs: sudo, kubectl exec, ssh, sh -c, xargs …, and where the inner one begins."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from opsbook.manual.shell_model import Command, Heredoc, Word

Origin = Callable[[int], tuple[int, int]]


@dataclass(frozen=True)
class Inner:
    """The inner program: words of the same command, or a script of its own (text, way to the file, whether outer
    variables stay out)."""

    carrier: str
    remote: bool = False
    words: tuple[Word, ...] = ()
    script: tuple[str, Origin, bool] | None = None


@dataclass(frozen=True)
class _Prefix:
    """`PROGRAM [options] [operands] COMMAND …`: the options that take a value, and how many operands come first."""

    valued: frozenset[str] = frozenset()
    operands: int = 0
    remote: bool = False
    assignments: bool = False


def _options(text: str) -> frozenset[str]:
    return frozenset(text.split())


_PREFIXES: dict[str, _Prefix] = {
    "sudo": _Prefix(_options("-u -g -h -p -C -D -R -T -t -r --user --group --host --chdir --prompt"), assignments=True),
    "doas": _Prefix(_options("-u -C")),
    "env": _Prefix(_options("-u -C -S --unset --chdir"), assignments=True),
    "nohup": _Prefix(),
    "time": _Prefix(_options("-f -o")),
    "setsid": _Prefix(),
    "exec": _Prefix(_options("-a")),
    "command": _Prefix(),
    "builtin": _Prefix(),
    "nice": _Prefix(_options("-n --adjustment")),
    "ionice": _Prefix(_options("-c -n --class --classdata")),
    "chrt": _Prefix(operands=1),
    "taskset": _Prefix(operands=1),
    "stdbuf": _Prefix(_options("-i -o -e")),
    "timeout": _Prefix(_options("-k -s --kill-after --signal"), operands=1),
    "gtimeout": _Prefix(_options("-k -s --kill-after --signal"), operands=1),
    "xargs": _Prefix(
        _options("-I -n -P -L -d -a -E -s --max-args --max-procs --max-lines --replace --delimiter --arg-file")
    ),
    "parallel": _Prefix(_options("-j -a --jobs -N --colsep")),
    "watch": _Prefix(_options("-n --interval")),
    "chroot": _Prefix(_options("--userspec --groups"), operands=1),
    "gosu": _Prefix(operands=1),
    "su-exec": _Prefix(operands=1),
    "setpriv": _Prefix(_options("--reuid --regid")),
    "flock": _Prefix(_options("-w -E --timeout --wait"), operands=1),
    "unbuffer": _Prefix(),
    "nsenter": _Prefix(_options("-t --target")),
    "systemd-run": _Prefix(_options("-p -u --unit --property --on-calendar --on-active --uid")),
    "caffeinate": _Prefix(),
    "ts-node": _Prefix(operands=99),
}

# Sub-commands after which a command follows: (program, sub-command, options with values, operands before it, remote).
_SUBCOMMANDS: tuple[tuple[str, str, frozenset[str], int, bool], ...] = (
    ("poetry", "run", frozenset(), 0, False),
    ("pipenv", "run", frozenset(), 0, False),
    ("uv", "run", _options("--with --python -p --project --extra"), 0, False),
    ("bundle", "exec", frozenset(), 0, False),
    ("pnpm", "exec", frozenset(), 0, False),
    ("pdm", "run", frozenset(), 0, False),
    ("hatch", "run", frozenset(), 0, False),
    ("doppler", "run", _options("-p -c --project --config"), 0, False),
    ("op", "run", _options("--env-file"), 0, False),
    ("railway", "run", _options("-s -e"), 0, True),
    ("heroku", "run", _options("-a --app"), 0, True),
    ("aws-vault", "exec", frozenset(), 1, False),
    ("chamber", "exec", frozenset(), 1, False),
    ("lxc", "exec", frozenset(), 1, True),
    ("incus", "exec", frozenset(), 1, True),
    ("k3s", "kubectl", frozenset(), 0, False),
    ("microk8s", "kubectl", frozenset(), 0, False),
    ("minikube", "kubectl", frozenset(), 0, False),
)

_KUBECTL = frozenset({"kubectl", "oc", "k", "microk8s.kubectl", "kubecolor"})
_KUBECTL_VALUED = _options(
    "-n --namespace -c --container --context --kubeconfig --cluster -f --filename --user --as --image "
    "--target --profile -l --selector"
    " --request-timeout --pod-running-timeout -s --server --token --env --labels --overrides --port --restart"
)
_ENGINES = frozenset({"docker", "podman", "nerdctl"})
_COMPOSERS = frozenset({"docker-compose", "podman-compose"})
_ENGINE_VALUED = _options(
    "-e --env -u --user -w --workdir --env-file --detach-keys -v --volume -p --publish --name --network "
    "--net --entrypoint -h --hostname"
    " --mount -m --memory --cpus --restart -l --label --add-host --volumes-from --platform --ulimit --pid "
    "--ipc --link --log-driver"
    " --cap-add --cap-drop --device --dns --gpus --shm-size --tmpfs --index -H --host --context -c"
)
_COMPOSE_VALUED = _options(
    "-f --file -p --project-name --env-file --profile --project-directory --ansi --progress --parallel"
)
_SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ash", "ksh", "busybox"})
_SSH_VALUED = _options("-i -p -l -o -F -J -L -R -D -b -c -E -e -I -m -O -Q -S -W -w -B -P")


def inner_program(command: Command) -> Inner | None:
    """What a command runs by itself, or None."""
    if not command.argv:
        return None
    words, program = command.argv, command.program
    if program in _PREFIXES:
        return _prefixed(program, _PREFIXES[program], words)
    if program in _SHELLS:
        return _shell(program, words, command.heredoc)
    if program in _KUBECTL:
        return _kubectl(program, words)
    if program in _ENGINES or program in _COMPOSERS:
        return _engine(program, words)
    if program in ("ssh", "autossh", "sshpass", "mosh"):
        return _ssh(program, words, command.heredoc)
    if program in ("su", "runuser"):
        return _su(program, words)
    if program in ("eval", "trap"):
        return _script(program, words[1], False) if len(words) > 1 and " " in words[1].text else None
    if program == "find":
        return _find(words)
    if program == "ip" and len(words) > 4 and [w.text for w in words[1:3]] == ["netns", "exec"]:
        return Inner("ip netns exec", words=words[4:])
    return _subcommand(program, words) or _command_option(program, words)


def after_options(words: tuple[Word, ...], start: int, valued: frozenset[str]) -> int:
    """The index of the first word from `start` that is neither an option nor an option's value."""
    index = start
    while index < len(words):
        text = words[index].text
        if text == "--":
            return index + 1
        if not text.startswith("-") or text == "-":
            return index
        index += 2 if text in valued else 1
    return index


def _prefixed(program: str, prefix: _Prefix, words: tuple[Word, ...]) -> Inner | None:
    if program == "command" and any(word.text in ("-v", "-V") for word in words[1:2]):
        return None
    index = after_options(words, 1, prefix.valued)
    for _ in range(prefix.operands):
        index = after_options(words, index + 1, prefix.valued)
    while prefix.assignments and index < len(words) and re.match(r"\w+=", words[index].text):
        index += 1
    if index >= len(words):
        return None
    rest = words[index:]
    if program == "flock" and rest[0].text == "-c" and len(rest) > 1:
        return _script(program, rest[1], False)
    if program == "watch" and len(rest) == 1 and " " in rest[0].text:
        return _script(program, rest[0], False)
    return Inner(program, prefix.remote, rest)


def _shell(program: str, words: tuple[Word, ...], heredoc: Heredoc | None) -> Inner | None:
    index = 1
    while index < len(words) and words[index].text.startswith(("-", "+")):
        text = words[index].text
        if re.fullmatch(r"-[a-zA-Z]*c", text):
            return _script(f"{program} -c", words[index + 1], False) if index + 1 < len(words) else None
        index += 2 if text in ("-o", "+o", "--rcfile") else 1
    if heredoc is not None and (index >= len(words) or "-s" in [word.text for word in words]):
        return _script_of_heredoc(program, heredoc, False)
    return None


def _script(carrier: str, word: Word, remote: bool) -> Inner:
    return Inner(carrier, remote, script=(word.text, word.at, word.quote == "'"))


def _script_of_heredoc(carrier: str, heredoc: Heredoc, remote: bool) -> Inner:
    return Inner(carrier, remote, script=(heredoc.text, heredoc.at, not heredoc.expands))


def _kubectl(program: str, words: tuple[Word, ...]) -> Inner | None:
    verb = after_options(words, 1, _KUBECTL_VALUED)
    if verb >= len(words) or words[verb].text not in ("exec", "run", "debug", "rsh"):
        return None
    carrier = f"{program} {words[verb].text}"
    for index in range(verb + 1, len(words)):
        if words[index].text == "--":
            return Inner(carrier, True, words[index + 1 :]) if index + 1 < len(words) else None
    if words[verb].text not in ("exec", "rsh"):
        return None
    index = after_options(words, after_options(words, verb + 1, _KUBECTL_VALUED) + 1, _KUBECTL_VALUED)
    return Inner(carrier, True, words[index:]) if index < len(words) else None


def _engine(program: str, words: tuple[Word, ...]) -> Inner | None:
    valued = _COMPOSE_VALUED if program in _COMPOSERS else _options("-H --host -c --context --config -l --log-level")
    verb, carrier = after_options(words, 1, valued), program
    if verb < len(words) and words[verb].text in ("compose", "container"):
        carrier = f"{program} {words[verb].text}"
        verb = after_options(words, verb + 1, _COMPOSE_VALUED)
    if verb >= len(words) or words[verb].text not in ("exec", "run"):
        return None
    target = after_options(words, verb + 1, _ENGINE_VALUED)
    start = target + 1
    if start < len(words) and words[start].text == "--":
        start += 1
    if start >= len(words) or words[start].text.startswith("-"):
        return None
    return Inner(f"{carrier} {words[verb].text}", True, words[start:])


def _ssh(program: str, words: tuple[Word, ...], heredoc: Heredoc | None) -> Inner | None:
    if program == "sshpass":
        index = after_options(words, 1, _options("-p -f -d"))
        return Inner(program, False, words[index:]) if index < len(words) else None
    start = after_options(words, after_options(words, 1, _SSH_VALUED) + 1, _SSH_VALUED)
    rest = words[start:]
    if not rest:
        return _script_of_heredoc(program, heredoc, True) if heredoc is not None else None
    return _script(program, rest[0], True) if len(rest) == 1 else Inner(program, True, rest)


def _su(program: str, words: tuple[Word, ...]) -> Inner | None:
    for index, word in enumerate(words[1:], 1):
        if word.text in ("-c", "--command") and index + 1 < len(words):
            return _script(f"{program} -c", words[index + 1], False)
        if word.text == "--" and index + 1 < len(words):
            return Inner(program, False, words[index + 1 :])
    if program == "runuser" and len(words) > 3 and words[1].text == "-u":
        return Inner(program, False, words[3:])
    return None


def _find(words: tuple[Word, ...]) -> Inner | None:
    for index, word in enumerate(words):
        if word.text in ("-exec", "-execdir", "-ok", "-okdir"):
            rest = words[index + 1 :]
            end = next((at for at, each in enumerate(rest) if each.text in (";", "\\;", "+")), len(rest))
            return Inner(f"find {word.text}", False, rest[:end]) if end else None
    return None


def _subcommand(program: str, words: tuple[Word, ...]) -> Inner | None:
    for name, verb, valued, operands, remote in _SUBCOMMANDS:
        if program == name and len(words) > 2 and words[1].text == verb:
            index = after_options(words, 2, valued)
            for _ in range(operands):
                index = after_options(words, index + 1, valued)
            return Inner(f"{name} {verb}", remote, words[index:]) if index < len(words) else None
    return None


def _command_option(program: str, words: tuple[Word, ...]) -> Inner | None:
    """`gcloud compute ssh … --command="…"`, `fly ssh console -C "…"`, `vagrant ssh -c "…"`."""
    texts = [word.text for word in words]
    if program not in ("gcloud", "fly", "flyctl", "vagrant", "aws") or not {"ssh", "execute-command"} & set(texts):
        return None
    for index, text in enumerate(texts):
        if text in ("--command", "-C", "-c") and index + 1 < len(words):
            return _script(f"{program} ssh", words[index + 1], True)
        if text.startswith("--command="):
            word, cut = words[index], len("--command=")
            return Inner(
                f"{program} ssh",
                True,
                script=(text[cut:], partial(_shifted, word, cut), "'" in word.raw),
            )
    return None


def _shifted(word: Word, cut: int, offset: int) -> tuple[int, int]:
    return word.at(offset + cut)
