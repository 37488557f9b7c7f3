"""The endpoint that answers after each denoising step."""

from umo_serving.backend.front import Front as TritonPythonModel

__all__ = ["TritonPythonModel"]
