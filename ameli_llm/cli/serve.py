"""``ameli-llm serve``: the HTTP service."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from ameli_llm.cli.options import (
    ConfigOption,
    EngineOption,
    IndexOption,
    ModelOption,
    PromptsOption,
    SettingsOption,
)
from ameli_llm.cli.terminal import progress, say
from ameli_llm.errors import AmeliError, MissingPackageError

_MIB = 1 << 20


def register(app: typer.Typer) -> None:
    """Adds ``serve`` to the app."""
    app.command("serve")(serve)


def serve(
    knowledge_base: Annotated[
        Path, typer.Argument(metavar="KB", help="Dataset folder, or a products.json alone.")
    ],
    host: Annotated[
        str, typer.Option("--host", metavar="HOST", help="Another than 127.0.0.1 needs AMELI_LLM_TOKEN.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0: a free one.")] = 8000,
    changes: Annotated[
        Path | None,
        typer.Option(
            "--changes", metavar="FILE", help="Keep PUT and DELETE of products here; otherwise until the end."
        ),
    ] = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="Refuse PUT and DELETE.")] = False,
    images: Annotated[
        Path | None, typer.Option("--images", metavar="DIR", help="Image paths in requests lie below it.")
    ] = None,
    config: ConfigOption = None,
    engine: EngineOption = "",
    model: ModelOption = "",
    index: IndexOption = None,
    prompts: PromptsOption = None,
    settings: SettingsOption = None,
    queue: Annotated[int, typer.Option("--queue", min=1, help="Reviews that may wait.")] = 512,
    deadline: Annotated[
        float, typer.Option("--deadline", min=1, metavar="SECONDS", help="Of a request.")
    ] = 30.0,
    max_reviews: Annotated[int, typer.Option("--max-reviews", min=1, help="In a request.")] = 256,
    max_body: Annotated[int, typer.Option("--max-body", min=1, help="MiB of a request.")] = 32,
    max_image: Annotated[int, typer.Option("--max-image", min=1, help="MiB of an image.")] = 10,
    max_pixels: Annotated[
        int, typer.Option("--max-pixels", min=1, help="Width x height of an image.")
    ] = 50_000_000,
    log_texts: Annotated[
        bool, typer.Option("--log-texts", help="Write what reviews say into the log.")
    ] = False,
) -> None:
    """Serve links over HTTP.

    POST /v1/link, GET, PUT and DELETE /v1/products/ID, /healthz, /readyz, /metrics, /openapi.json. Listens on
    127.0.0.1 alone unless the environment has AMELI_LLM_TOKEN, which every request then has to bear. Logs are
    JSON lines on stderr. SIGTERM or Ctrl-C ends it when every request that has begun is answered.
    """
    try:
        from ameli_llm.service.access import Access
        from ameli_llm.service.app import make_app
        from ameli_llm.service.journal import Journal
        from ameli_llm.service.limits import Limits
        from ameli_llm.service.logs import log_as_json
        from ameli_llm.service.server import address, listen
        from ameli_llm.service.server import serve as run
        from ameli_llm.service.service import Service
    except ModuleNotFoundError as error:
        raise MissingPackageError(error.name or "fastapi", "serve") from error
    from ameli_llm.config import chosen, load_config
    from ameli_llm.dataset.load import load_dataset
    from ameli_llm.linker import Linker

    limits = Limits(
        body=max_body * _MIB,
        reviews=max_reviews,
        image_bytes=max_image * _MIB,
        pixels=max_pixels,
        queue=queue,
        seconds=deadline,
    )
    access = Access.for_host(host)
    if images is not None and not images.is_dir():
        raise AmeliError(f"No folder of images at {images}.", hint="Name one with --images, or leave it out.")
    with ExitStack() as stack:
        listening = stack.enter_context(listen(host, port))
        journal = stack.enter_context(Journal.open(changes)) if changes else None
        dataset = load_dataset(knowledge_base)
        if journal is not None:
            dataset = dataset.with_products(journal.applied(dataset.products))
        resolved = limits.within(chosen(load_config(config), engine, model, settings or ()))
        with progress() as show:
            linker = Linker.open(dataset, config=resolved, index=index, prompts=prompts, progress=show)
        stack.enter_context(linker)
        service = Service(
            linker,
            journal=journal,
            read_only=read_only,
            images=images,
            limits=limits,
            log_texts=log_texts,
        )
        say(f"{len(linker.products)} products; {address(listening)}; Ctrl-C ends.", err=True)
        if not (changes or read_only):
            say("Changes of products last until it ends; --changes FILE keeps them.", err=True)
        log_as_json()
        run(make_app(service, access), listening, limits)
