"""Read-only facts, a module per subject."""
