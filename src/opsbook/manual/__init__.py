"""Markdown manuals: reading them, what they say, what their commands do. Pure: nothing but the file is read."""
