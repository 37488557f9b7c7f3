"""Pipeline steps: each parses, builds, runs, closes."""
