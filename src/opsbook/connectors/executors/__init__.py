"""What applies changes, a kind each."""
