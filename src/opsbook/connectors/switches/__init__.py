"""What sends the traffic of a component to one of its two sides: a proxy's file, a map of HAProxy, a service."""
