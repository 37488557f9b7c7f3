"""Evaluation: metrics, the comparison of models on held-out people, figures and the report."""
