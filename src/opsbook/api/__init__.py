"""The REST API: one of the four faces. No logic of its own."""
