"""Named changes, a module per subject."""
