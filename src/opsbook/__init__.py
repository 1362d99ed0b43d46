"""opsbook: operations manuals that run, are tested, and keep their promises."""

__version__ = "0.1.0"
