"""Rehearsals: every procedure of a book run against a disposable copy of the system."""
