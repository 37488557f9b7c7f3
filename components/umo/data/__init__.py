"""Samples: their schema, their files and their sources."""
