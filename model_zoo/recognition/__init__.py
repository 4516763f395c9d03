"""Which architecture bare weights belong to, by the names and shapes of its parameters."""
