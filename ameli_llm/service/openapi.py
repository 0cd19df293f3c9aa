"""The service's description in OpenAPI 3.1: what FastAPI cannot see because bodies are read by hand."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from ameli_llm.service.access import OPEN_PATHS
from ameli_llm.service.asking import MULTIPART, REVIEW
from ameli_llm.service.bodies import FailedAnswer, LinkAnswer, ProductBody, ReviewBody
from ameli_llm.service.problems import ProblemBody

NDJSON = "application/x-ndjson"
_JSON = "application/json"
_REF = "#/components/schemas/{model}"
_MODELS: tuple[type[BaseModel], ...] = (ReviewBody, ProductBody, LinkAnswer, FailedAnswer, ProblemBody)


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _REF.format(model=model.__name__)}


_ONE_OR_MANY = {"oneOf": [_ref(ReviewBody), {"type": "array", "minItems": 1, "items": _ref(ReviewBody)}]}
_ANSWER = {"oneOf": [_ref(LinkAnswer), _ref(FailedAnswer)]}
_TWO = [{"body": "Love my red one", "mention": "blender"}, {"id": "r2", "body": "The blue one is loud"}]

LINK_BODY = {
    "required": True,
    "content": {
        _JSON: {
            "schema": _ONE_OR_MANY,
            "examples": {
                "one": {"value": {"body": "Love my red one with its 500 watts", "mention": "blender"}},
                "several": {"value": _TWO},
            },
        },
        MULTIPART: {
            "schema": {
                "type": "object",
                "required": [REVIEW],
                "properties": {REVIEW: _ONE_OR_MANY},
                "propertyNames": {"minLength": 1},
                "additionalProperties": {"type": "string", "format": "binary"},
            },
            "encoding": {REVIEW: {"contentType": _JSON}},
        },
    },
}
LINK_ANSWERS = {
    "description": "A link, or one for each review in their order; as NDJSON a line for each",
    "content": {
        _JSON: {"schema": {"oneOf": [_ref(LinkAnswer), {"type": "array", "items": _ANSWER}]}},
        NDJSON: {"schema": _ANSWER},
    },
}
PRODUCT_BODY = {"required": True, "content": {_JSON: {"schema": _ref(ProductBody)}}}


def describe(app: FastAPI, *, secured: bool) -> None:
    """Gives ``app`` the whole description; ``secured`` where requests need a token."""

    def made() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
            _, ours = models_json_schema([(model, "validation") for model in _MODELS], ref_template=_REF)
            schemas = schema.setdefault("components", {}).setdefault("schemas", {})
            schemas.update(ours["$defs"])
            if secured:
                schema["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
                schema["security"] = [{"token": []}]
                for path in OPEN_PATHS:
                    schema["paths"][path]["get"]["security"] = []
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = made  # type: ignore[method-assign]
