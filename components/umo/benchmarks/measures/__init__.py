"""Measures of pictures beside identity, each by a model that the user names."""
