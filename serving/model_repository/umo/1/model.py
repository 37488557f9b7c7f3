"""The endpoint that answers once."""

from umo_serving.backend.front import Front as TritonPythonModel

__all__ = ["TritonPythonModel"]
