"""Credentials that are rotated: where they are kept, where they are valid, and what is to come."""
