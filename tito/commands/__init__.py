"""The commands of `tito`, one file a command, each with a click command called `command`."""
