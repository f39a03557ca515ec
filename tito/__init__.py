"""`tito`, the command that runs the course."""
