"""What command-line tools can do: their verbs and flags as data, and how a command is read by them."""

from opsbook.manual.grammar.invocation import Flag, Invocation, invocation
from opsbook.manual.grammar.load import Tool, redis_command, removed, risk_of, tool

__all__ = ["Flag", "Invocation", "Tool", "invocation", "redis_command", "removed", "risk_of", "tool"]
