"""LoRA files as others write and read them."""
