"""Blocking connections: one call over HTTP or gRPC, its answer or its error."""

import ssl
from collections.abc import Generator

import grpc
import urllib3
from tritonclient.grpc import service_pb2_grpc

from umo_serving.client import wire
from umo_serving.client.failures import from_grpc, from_http
from umo_serving.client.target import CHANNEL_OPTIONS, Target

KEPT_CONNECTIONS = 64


class HttpTransport:
    """Calls over HTTP/1.1; may be used by many threads."""

    def __init__(self, target: Target) -> None:
        self._target = target
        context = ssl.create_default_context(cafile=target.authorities) if target.tls else None
        self._pool = urllib3.PoolManager(maxsize=KEPT_CONNECTIONS, ssl_context=context)

    def infer(self, call: wire.Infer, timeout: float) -> wire.Outputs:
        """Answer of a call that may take `timeout` seconds.

        Raises:
            UmoError: There is none, or it is an error.
        """
        body, headers = call.http()
        try:
            answer = self._pool.request(
                "POST",
                self._target.url + call.path,
                body=body,
                headers={**self._target.headers(call), **headers},
                timeout=urllib3.Timeout(total=timeout),
                retries=False,
            )
        except urllib3.exceptions.NewConnectionError as error:
            raise self._target.unreachable(error) from error
        except urllib3.exceptions.TimeoutError:
            raise self._target.silent() from None
        except urllib3.exceptions.HTTPError as error:
            raise self._target.unreachable(error) from error
        if answer.status != 200:
            raise from_http(answer.status, answer.data, answer.headers.get("retry-after"))
        return wire.from_http(answer.data, answer.headers)

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()


class GrpcTransport:
    """Calls over gRPC; may be used by many threads."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._channel = (
            grpc.secure_channel(target.address, credentials(target), CHANNEL_OPTIONS)
            if target.tls
            else grpc.insecure_channel(target.address, CHANNEL_OPTIONS)
        )
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)

    def infer(self, call: wire.Infer, timeout: float) -> wire.Outputs:
        """Answer of a call that may take `timeout` seconds.

        Raises:
            UmoError: There is none, or it is an error.
        """
        try:
            answer = self._stub.ModelInfer(
                call.grpc(), timeout=timeout, metadata=tuple(self._target.headers(call).items())
            )
        except grpc.RpcError as error:
            raise self._target.failure(error) from error
        return wire.from_grpc(answer)

    def stream(self, call: wire.Infer, timeout: float) -> Generator[wire.Outputs]:
        """Answers of a call to a decoupled model; closing the generator cancels the call.

        Raises:
            UmoError: The call failed, or took longer than `timeout` seconds.
        """
        answers = self._stub.ModelStreamInfer(
            iter([call.grpc()]), timeout=timeout, metadata=stream_metadata(self._target, call)
        )
        try:
            for answer in answers:
                if answer.error_message:
                    raise from_grpc("UNKNOWN", answer.error_message)
                yield wire.from_grpc(answer.infer_response)
        except grpc.RpcError as error:
            raise self._target.failure(error) from error
        finally:
            answers.cancel()

    def close(self) -> None:
        """Close the channel; calls under way are cancelled."""
        self._channel.close()


def credentials(target: Target) -> grpc.ChannelCredentials:
    """TLS for gRPC."""
    authorities = target.authorities
    return grpc.ssl_channel_credentials(authorities.read_bytes() if authorities else None)


def stream_metadata(target: Target, call: wire.Infer) -> tuple[tuple[str, str], ...]:
    """Metadata of a stream; the last entry lets Triton end it with the status of an error."""
    return (*target.headers(call).items(), ("triton_grpc_error", "true"))
