"""Importing manuals: the book, its procedures, and a report. Pure: texts in, texts out."""
