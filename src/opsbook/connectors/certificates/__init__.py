"""Certificates that opsbook keeps valid: their files, how they are obtained, and what is served of them."""
