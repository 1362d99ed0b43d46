"""Lifting: commands of a manual become operations, checks and queries of a book that mean the same on every runtime."""
