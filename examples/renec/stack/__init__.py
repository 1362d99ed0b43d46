"""Everything that the `renec` command does: setting up, starting, stopping, spoiling and mending the system."""
