"""The watch: checks around the clock, alerts, incidents, escalation, windows, notifications, schedules, reports."""
