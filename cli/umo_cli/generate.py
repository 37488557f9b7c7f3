"""`umo serve generate`: ask a server for a picture."""

import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from umo.errors import UmoError
from umo_cli.options import Format
from umo_cli.output import print_facts, print_json, progress_bar, work_on_stderr

if TYPE_CHECKING:
    from umo_serving.client import Client, Generation, Options

KEY = "UMO_SERVING_KEY"


def generate(
    prompt: Annotated[str, typer.Argument(help="What to paint.", show_default=False)],
    reference: Annotated[
        list[Path] | None,
        typer.Option(help="Picture of a person; once for each person.", show_default=False),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="PNG to write; several are numbered.")
    ] = Path("picture.png"),
    server: Annotated[
        str, typer.Option(help="host:port of the server.", envvar="UMO_SERVER")
    ] = "127.0.0.1:8000",
    protocol: Annotated[
        Literal["http", "grpc"], typer.Option(help="gRPC, on a port of its own, shows progress.")
    ] = "http",
    tls: Annotated[bool, typer.Option("--tls", help="Encrypt the connection.")] = False,
    authorities: Annotated[
        Path | None,
        typer.Option(help="PEM file of the authorities to trust.", show_default="the usual ones"),
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait, repetitions included.")] = 120.0,
    seed: Annotated[
        int | None, typer.Option(help="Seed of the first picture.", show_default="drawn")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="Denoising steps.", show_default="the server's")
    ] = None,
    guidance: Annotated[
        float | None, typer.Option(help="Strength of the prompt.", show_default="the server's")
    ] = None,
    width: Annotated[
        int | None, typer.Option(help="Width in pixels.", show_default="the model's")
    ] = None,
    height: Annotated[
        int | None, typer.Option(help="Height in pixels.", show_default="the model's")
    ] = None,
    images: Annotated[int, typer.Option(help="Number of pictures.")] = 1,
    matches: Annotated[
        bool, typer.Option("--matches", help="Compare the faces with the references.")
    ] = False,
    output: Annotated[Format, typer.Option(help="How to print the result on stdout.")] = "table",
) -> None:
    """Ask a server for a picture; its metadata says the prompt, the seed and the model.

    A gateway's key is taken from the environment variable UMO_SERVING_KEY.
    """
    with work_on_stderr():
        from umo_serving.client import Client, Options, check_name
        from umo_serving.trace import exported

        check_name(out)
        options = Options(
            seed=seed,
            steps=steps,
            guidance=guidance,
            width=width,
            height=height,
            images=images,
            matches=matches,
        )
        with (
            exported("umo-cli"),
            Client(
                server,
                protocol=protocol,
                key=os.environ.get(KEY),
                timeout=timeout,
                tls=authorities or tls,
            ) as client,
        ):
            painted = _painted(client, protocol, prompt, reference or [], options)
            files = painted.save(out)
    if output == "json":
        print_json(
            {
                "files": files,
                "seeds": painted.seeds,
                "model_version": painted.model_version,
                "model_digest": painted.model_digest,
                "request_id": painted.request_id,
                "matches": painted.matches,
            }
        )
        return
    scores = [match["score"] for match in painted.matches] or [None] * len(files)
    for file, seed_used, score in zip(files, painted.seeds, scores, strict=True):
        facts = {"picture": file, "seed": seed_used}
        print_facts(facts if score is None else {**facts, "identity": score})
    print_facts({"version": painted.model_version, "digest": painted.model_digest})


def _painted(
    client: "Client", protocol: str, prompt: str, references: list[Path], options: "Options"
) -> "Generation":
    if protocol == "http":
        return client.generate(prompt, references, **options)
    with (
        progress_bar("paint") as show,
        closing(client.stream(prompt, references, **options)) as steps,
    ):
        for progress in steps:
            show({"done": progress.step, "total": progress.steps})
            if progress.result:
                return progress.result
    raise UmoError("the stream ended without a picture", hint="try again")
