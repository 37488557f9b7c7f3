"""Review of a candidate: evidence, gates, the pack a person reads, and the model card."""
