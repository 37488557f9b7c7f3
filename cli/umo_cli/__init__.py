"""The `umo` command."""
