"""A version of the model; copied for each one that is served."""

from umo_serving.backend.painter import Painter as TritonPythonModel

__all__ = ["TritonPythonModel"]
