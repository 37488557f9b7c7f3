"""What runs inside Triton's Python backend; nothing else may import it."""
