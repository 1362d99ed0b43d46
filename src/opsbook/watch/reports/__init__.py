"""Reports for people who were not there: gathered from the store, as HTML, Markdown or JSON, also on schedule."""
