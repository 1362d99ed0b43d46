"""Schema migrations that come with a version, through the tool that the application itself uses."""
