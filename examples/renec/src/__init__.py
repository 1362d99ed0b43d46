"""The RENEC Harvester: collects a public register of competency standards and serves it as an API."""
