"""A command read by its tool's grammar: verb, flags with their values, arguments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from opsbook.manual.grammar.load import Tool, tool
from opsbook.manual.shell import Command, Word

_SAME = {"redis-cli": "redis-cli", "valkey-cli": "redis-cli", "pip3": "pip", "apt-get": "apt", "oc": "kubectl"}
_PYTHONS = frozenset({"python", "python3"})
_DEEPEST = 3


@dataclass(frozen=True)
class Flag:
    """A flag as written, its value where it has one."""

    name: str
    value: str | None
    word: Word


@dataclass(frozen=True)
class Invocation:
    """One command as its tool reads it. `rest` is what stands behind `--`; `unknown` are flags the verb does not take.

    `unknown_verb` is a verb that the tool does not have; for an open tool it may come from a plugin.
    """

    tool: str
    verb: str
    flags: tuple[Flag, ...]
    args: tuple[Word, ...]
    rest: tuple[Word, ...] = ()
    unknown: tuple[Flag, ...] = ()
    unknown_verb: Word | None = None

    def flag(self, *names: str) -> Flag | None:
        """The last flag of one of these names."""
        return next((flag for flag in reversed(self.flags) if flag.name in names), None)

    def has(self, *names: str) -> bool:
        """Whether one of these flags is given."""
        return self.flag(*names) is not None

    def value(self, *names: str) -> str | None:
        """The value of the last flag of one of these names."""
        found = self.flag(*names)
        return None if found is None else found.value

    def values(self, *names: str) -> list[str]:
        """The values of every flag of these names."""
        return [flag.value for flag in self.flags if flag.name in names and flag.value is not None]

    @property
    def words(self) -> tuple[str, ...]:
        """The text of the arguments."""
        return tuple(spoken(word) for word in self.args)


def spoken(word: Word) -> str:
    """A word as the program gets it, expansions left as written."""
    return word.value if word.value is not None else word.text


def invocation(command: Command) -> Invocation | None:
    """How the tool of a command reads it, or None for a tool without a grammar."""
    name, words = command.program, list(command.argv[1:])
    if name == "docker-compose":
        name = "docker compose"
    elif name == "docker" and words:
        at = next((i for i, word in enumerate(words) if not spoken(word).startswith("-")), None)
        if at == 0 and spoken(words[0]) == "compose":
            name, words = "docker compose", words[1:]
    elif name in _PYTHONS and len(words) > 1 and spoken(words[0]) == "-m" and spoken(words[1]) == "pip":
        name, words = "pip", words[2:]
    elif name.endswith("manage.py") or (name in _PYTHONS and words and spoken(words[0]).endswith("manage.py")):
        name, words = "django-admin", words if name.endswith("manage.py") else words[1:]
    grammar = tool(_SAME.get(name, name))
    return None if grammar is None else _read(grammar, words)


def _read(grammar: Tool, words: Sequence[Word]) -> Invocation:
    flags: list[Flag] = []
    args: list[Word] = []
    rest: list[Word] = []
    unknown: list[Flag] = []
    verb, verb_words, no_verb = "", 0, None
    waiting = bool(grammar.verbs)
    index = 0
    single_dash = grammar.name in ("terraform", "openssl", "find")
    while index < len(words):
        word, text = words[index], spoken(words[index])
        index += 1
        if text == "--":
            rest = list(words[index:])
            break
        if text.startswith("-") and len(text) > 1 and not word.quote.startswith("$"):
            known = grammar.flags if waiting and not verb else grammar.flags_of(verb)
            taken, index = _flags(word, text, words, index, _Flags(grammar, known, single_dash))
            flags += [flag for flag, _ in taken]
            unknown += [flag for flag, ok in taken if not ok]
            continue
        if waiting:
            deeper = f"{verb} {text}".strip()
            deeper = grammar.aliases.get(deeper, deeper)
            if deeper in grammar.verbs or _is_group(grammar, deeper):
                verb, verb_words = deeper, verb_words + 1
                waiting = verb_words < _DEEPEST and any(name.startswith(verb + " ") for name in grammar.verbs)
                continue
            group = verb not in grammar.verbs or grammar.verbs[verb] is not None
            if not verb or (group and not args and _is_group(grammar, verb)):
                no_verb = word
            waiting = False
        args.append(word)
        if verb in ("exec", "run") and grammar.name in ("docker", "docker compose") and _carrier_done(args):
            rest = list(words[index:])
            break
    return Invocation(grammar.name, verb, tuple(flags), tuple(args), tuple(rest), tuple(unknown), no_verb)


def _carrier_done(args: list[Word]) -> bool:
    return len(args) == 1


def _is_group(grammar: Tool, verb: str) -> bool:
    return any(name.startswith(verb + " ") for name in grammar.verbs)


@dataclass(frozen=True)
class _Flags:
    """The flags that may stand at a place: of the tool alone, or of its verb too; None where they are not known."""

    grammar: Tool
    known: dict[str, int] | None
    single_dash: bool

    def takes(self, name: str) -> int | None:
        """Whether a flag takes a value, or None for one that is not known."""
        if self.known is None or name in self.known:
            return 0 if self.known is None else self.known[name]
        if self.grammar.abbreviates and name.startswith("--"):
            meant = [takes for flag, takes in self.known.items() if flag.startswith(name)]
            if meant:
                return meant[0]
        return 0 if name.startswith(self.grammar.plugin_flags or ("\0",)) else None


def _flags(
    word: Word, text: str, words: Sequence[Word], index: int, flags: _Flags
) -> tuple[list[tuple[Flag, bool]], int]:
    """The flag or bundle of flags that begins here, each with whether it is known, and where to go on."""
    if text.startswith("--") or flags.single_dash:
        name, equals, value = text.partition("=")
        takes = flags.takes(name)
        if equals:
            return [(Flag(name, value, word), takes is not None)], index
        if takes == 1 and index < len(words):
            return [(Flag(name, spoken(words[index]), word), True)], index + 1
        return [(Flag(name, None, word), takes is not None)], index
    taken: list[tuple[Flag, bool]] = []
    letters = text[1:]
    while letters:
        name, letters = "-" + letters[0], letters[1:]
        takes = flags.takes(name)
        if letters and (takes == 1 or (takes == 2 and letters[0] in "=+-0123456789")):
            taken.append((Flag(name, letters.removeprefix("="), word), True))
            return taken, index
        if takes == 1 and index < len(words):
            taken.append((Flag(name, spoken(words[index]), word), True))
            return taken, index + 1
        taken.append((Flag(name, None, word), takes is not None))
    return taken, index
