"""What a manual says, one module a kind: each a function from a document to typed items with their lines."""
