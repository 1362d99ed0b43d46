"""The words of a Redis command behind redis-cli's own options."""

from __future__ import annotations

from opsbook.manual.lint.facts.steps import Step

_VALUED = frozenset(
    [
        "-h",
        "-p",
        "-s",
        "-a",
        "-u",
        "-r",
        "-i",
        "-n",
        "-X",
        "-d",
        "-D",
        "-e",
        "--user",
        "--pass",
        "--sni",
        "--cacert",
        "--cert",
        "--key",
        "--pattern",
        "--count",
        "--tls-ciphers",
    ]
)
_MODES = frozenset(
    [
        "--scan",
        "--bigkeys",
        "--memkeys",
        "--hotkeys",
        "--stat",
        "--latency",
        "--latency-history",
        "--latency-dist",
        "--rdb",
        "--pipe",
        "--eval",
        "--cluster",
        "--intrinsic-latency",
        "--replica",
        "--slave",
        "--lru-test",
        "--functions-rdb",
        "--version",
        "--help",
    ]
)


def redis_words(step: Step) -> tuple[str, ...]:
    """The command for the server, empty where redis-cli runs in a mode of its own or opens a prompt."""
    words = list(step.words[1:])
    while words and words[0].startswith("-"):
        option = words.pop(0)
        if option in _MODES:
            return ()
        if option in _VALUED and words:
            words.pop(0)
    if len(words) == 1 and " " in words[0].strip():
        words = words[0].split()
    return tuple(words)
