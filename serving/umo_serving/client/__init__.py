"""The client: asks a server for pictures, over HTTP or gRPC. Needs no torch."""

from umo_serving.client.aio import AsyncClient
from umo_serving.client.failures import UnavailableError
from umo_serving.client.generation import Generation, Progress, check_name
from umo_serving.client.order import Options, Picture
from umo_serving.client.sync import Client

__all__ = [
    "AsyncClient",
    "Client",
    "Generation",
    "Options",
    "Picture",
    "Progress",
    "UnavailableError",
    "check_name",
]
