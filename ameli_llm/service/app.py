"""The application: the routes of a service behind its door."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route

import ameli_llm
from ameli_llm.service import openapi
from ameli_llm.service.access import Access
from ameli_llm.service.door import Door, passage_of
from ameli_llm.service.problems import of_http
from ameli_llm.service.routes import router
from ameli_llm.service.service import Service


def make_app(service: Service, access: Access | None = None) -> FastAPI:
    """The ASGI application of a service, which runs from its startup to its shutdown."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with service.running():
            yield

    access = access or Access()
    app = FastAPI(
        title="ameli-llm",
        version=ameli_llm.__version__,
        summary="Links product reviews to the one right product of a knowledge base.",
        lifespan=lifespan,
        docs_url=None,  # pages that load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.service = service
    app.include_router(router)
    app.add_middleware(Door, access=access, limits=service.limits, metrics=service.metrics)
    app.add_exception_handler(HTTPException, _answer_problem)
    openapi.describe(app, secured=bool(access.token))
    return app


async def _answer_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        # The framework names the methods of the first route of the path alone.
        error.headers = {"Allow": ", ".join(sorted(_methods(request)))}
    return of_http(error).response(passage_of(request.scope).id)


def _methods(request: Request) -> set[str]:
    routes = [route for route in request.app.routes if isinstance(route, Route)]
    matching = (route for route in routes if route.matches(request.scope)[0] is not Match.NONE)
    return {method for route in matching for method in route.methods or ()}
