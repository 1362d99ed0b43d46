"""Observations held against thresholds."""
