"""Benchmarks: adapters of their items, painting, looking at faces, and scores that others read."""
