"""The model of a book: its schema, loading with positions, environments, secret references."""
