"""Changes as plain commands of a shell, for the day when opsbook itself is down; a module per tool of the hand."""
