"""Roll-outs, pretraining and ReReFL."""
