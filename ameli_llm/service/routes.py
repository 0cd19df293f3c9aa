"""The routes: links, products, and what tells whether the service is well."""

from __future__ import annotations

import asyncio
import logging

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from ameli_llm.dataset.image_files import is_image_name
from ameli_llm.errors import AmeliError
from ameli_llm.ids import as_id
from ameli_llm.service import problems
from ameli_llm.service.answering import answer_all, answer_one, lines, submitted, taken
from ameli_llm.service.asking import read_asked, read_body
from ameli_llm.service.bodies import ChangeAnswer, HealthAnswer, ProductAnswer, ProductBody
from ameli_llm.service.door import passage_of
from ameli_llm.service.journal import Change
from ameli_llm.service.knowledge import Changed
from ameli_llm.service.linking import jobs_of
from ameli_llm.service.logs import FIELDS
from ameli_llm.service.metrics import MEDIA_TYPE
from ameli_llm.service.openapi import LINK_ANSWERS, LINK_BODY, NDJSON, PRODUCT_BODY
from ameli_llm.service.problems import Problem, invalid, responses
from ameli_llm.service.service import Service

log = logging.getLogger(__name__)
router = APIRouter()

_ALWAYS = (problems.UNAUTHORIZED, problems.TOO_LARGE, problems.FOREIGN_HOST, problems.INTERNAL)
_BODY = (*_ALWAYS, problems.MALFORMED, problems.MEDIA, problems.INVALID)
_QUEUE = (problems.QUEUE_FULL, problems.UNAVAILABLE, problems.DEADLINE)
_CHANGE = (*_BODY, *_QUEUE, problems.READ_ONLY, problems.NOT_FOUND)


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


@router.post(
    "/v1/link",
    operation_id="link",
    tags=["links"],
    openapi_extra={"requestBody": LINK_BODY},
    responses={200: LINK_ANSWERS, **responses(*_BODY, problems.BAD_IMAGE, *_QUEUE)},
)
async def link(request: Request) -> Response:
    """Link one review, or several.

    One is answered with its link, a list with a list. With `Accept: application/x-ndjson` every review is
    answered with a line, in order, as soon as it is linked.
    """
    service, passage = _service(request), passage_of(request.scope)
    asked = await read_asked(request, service.limits)
    passage.noted["reviews"] = len(asked.reviews)
    if service.log_texts:
        keys = {"id", "review_id", "header", "body", "mention"}
        passage.noted["texts"] = [review.model_dump(include=keys) for review in asked.reviews]
    if any(review.images for review in asked.reviews):
        jobs = await asyncio.to_thread(jobs_of, asked, service.images, service.limits)
    else:
        jobs = jobs_of(asked, service.images, service.limits)
    try:
        waiting = submitted(service.links, jobs)
    except Problem:
        for job in jobs:
            job.close()
        raise
    if NDJSON in request.headers.get("accept", ""):
        return lines(jobs, waiting, passage)
    if asked.many:
        return await answer_all(jobs, waiting, passage)
    return await answer_one(waiting[0], passage)


@router.get(
    "/v1/products/{id:path}",
    operation_id="get_product",
    tags=["products"],
    response_model=ProductAnswer,
    responses=responses(*_ALWAYS, problems.NOT_FOUND, problems.INVALID),
)
async def get_product(request: Request, id: str) -> ProductAnswer:
    """Show a product as the knowledge base has it now."""
    product, kb_version = _service(request).knowledge.product(id)
    if product is None:
        raise Problem(problems.NOT_FOUND, f"There is no product {id[:80]!r}.")
    return ProductAnswer.of(product, kb_version)


@router.put(
    "/v1/products/{id:path}",
    operation_id="put_product",
    tags=["products"],
    openapi_extra={"requestBody": PRODUCT_BODY},
    responses={200: {"model": ChangeAnswer}, 201: {"model": ChangeAnswer}, **responses(*_CHANGE)},
)
async def put_product(request: Request, id: str) -> Response:
    """Add a product, or replace it as a whole.

    When it is answered, the change is in every link that is asked for from then on and, where `kept` says so,
    on the disk.
    """
    service = _service(request)
    _require_changeable(service)
    body = await read_body(request, ProductBody, service.limits)
    try:
        named = as_id(id)
    except ValueError as error:
        raise Problem(problems.INVALID, f"The id in the path must be {error}.") from None
    if body.id is not None and str(body.id) != named:
        raise invalid("/id", f"{str(body.id)[:80]!r} is not the id of the path")
    for number, name in enumerate(body.images):
        if not is_image_name(name):
            raise invalid(f"/images/{number}", "not a bare file name")
    changed = await _apply(request, Change.put(body.product(named if body.id is None else body.id)))
    return _changed(changed, service.knowledge.keeps)


@router.delete(
    "/v1/products/{id:path}",
    operation_id="delete_product",
    tags=["products"],
    response_model=ChangeAnswer,
    responses={200: {"model": ChangeAnswer}, **responses(*_CHANGE, problems.LAST_PRODUCT)},
)
async def delete_product(request: Request, id: str) -> Response:
    """Delete a product, for good: no link that is asked for from then on is to it."""
    service = _service(request)
    _require_changeable(service)
    return _changed(await _apply(request, Change.delete(id)), service.knowledge.keeps)


@router.get("/healthz", operation_id="health", tags=["service"], responses=responses(*_ALWAYS))
async def health(request: Request) -> HealthAnswer:
    """Say that the process answers."""
    return _state(request, "ok")


@router.get(
    "/readyz",
    operation_id="ready",
    tags=["service"],
    responses=responses(*_ALWAYS, problems.UNAVAILABLE),
)
async def ready(request: Request) -> HealthAnswer:
    """Say that links can be asked for: nothing is being stopped, and the model has answered its test."""
    service = _service(request)
    if service.stopping:
        raise Problem(problems.UNAVAILABLE, "The service is stopping.")
    try:
        async with asyncio.timeout_at(passage_of(request.scope).deadline):
            await asyncio.shield(service.checked())
    except (AmeliError, TimeoutError) as error:
        log.warning("not ready", extra={FIELDS: {"reason": str(error) or "no answer yet"}})
        raise Problem(problems.UNAVAILABLE, "The model has not answered its test questions.") from None
    return _state(request, "ready")


@router.get(
    "/metrics",
    operation_id="metrics",
    tags=["service"],
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **responses(*_ALWAYS)},
)
async def metrics(request: Request) -> Response:
    """Show what is counted, for Prometheus."""
    return Response(_service(request).metrics.exposition(), media_type=MEDIA_TYPE)


def _state(request: Request, status: str) -> HealthAnswer:
    knowledge = _service(request).knowledge
    return HealthAnswer(status=status, kb_version=knowledge.version, products=len(knowledge))


def _require_changeable(service: Service) -> None:
    if service.knowledge.read_only:
        raise Problem(problems.READ_ONLY, "The service was started with --read-only.")


async def _apply(request: Request, change: Change) -> Changed:
    passage = passage_of(request.scope)
    (waiting,) = submitted(_service(request).changes, [change])
    changed = await taken(waiting, passage)
    passage.noted["kb_version"] = changed.kb_version
    return changed


def _changed(changed: Changed, kept: bool) -> Response:
    answer = ChangeAnswer(id=changed.id, kb_version=changed.kb_version, kept=kept)
    return Response(answer.model_dump_json(), 201 if changed.created else 200, media_type="application/json")
