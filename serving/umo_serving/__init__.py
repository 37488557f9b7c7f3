"""Serving of promoted models."""
