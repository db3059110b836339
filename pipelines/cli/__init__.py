"""The command line. Every heavy import sits inside the command that needs it."""
