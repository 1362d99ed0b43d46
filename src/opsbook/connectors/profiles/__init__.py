"""Profiles of a workload's processes: where its CPU time goes, and what its memory is."""
