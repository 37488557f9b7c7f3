"""Unified Multi-identity Optimization: rewards, ReReFL, metrics and their pipeline steps."""
