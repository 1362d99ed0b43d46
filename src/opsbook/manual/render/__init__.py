"""A book as one well-set manual for people, as Markdown and as HTML. Pure: what ran and was measured is handed in."""
