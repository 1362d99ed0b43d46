"""The REST API over what was harvested."""
