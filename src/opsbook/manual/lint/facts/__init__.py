"""What rules look at: the commands, statements, expressions and manifests of a manual, and the names it speaks of."""
