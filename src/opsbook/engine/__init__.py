"""Procedures: compile, plan, approve, run, resume."""
