"""Celery tasks and their timetable."""
