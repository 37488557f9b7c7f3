"""Face detection, differentiable alignment and embedding."""
