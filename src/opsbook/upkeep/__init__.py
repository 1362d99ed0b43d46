"""Upkeep: what keeps a running system fresh. Certificates, credentials and versions, as packaged procedures."""
