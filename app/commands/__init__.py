"""One file a command, or a few that belong together: add(command) says what it takes, the rest does it."""
