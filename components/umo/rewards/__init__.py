"""Identity rewards: pure tensors in, tensors out."""
