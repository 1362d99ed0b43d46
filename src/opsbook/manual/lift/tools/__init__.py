"""One file a tool: what its commands mean in a book."""
