"""The description is true: whatever is asked, the answer has a status, a type and a form that it names."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

NDJSON = "application/x-ndjson"
IDS = ["B1", "2", "B/3", "B4"]

texts = st.text(max_size=30) | st.sampled_from(
    ["my red one", "x" * 10_001, "\x00", "\u202e", "=cmd|'/C calc'!A0"]
)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=8,
)
ids = st.integers() | texts | st.sampled_from(IDS)
images = st.fixed_dictionaries(
    {}, optional={"path": texts | st.just("77/front.png"), "base64": texts, "upload": texts}
)
reviews = st.fixed_dictionaries(
    {},
    optional={
        **{"id": ids, "header": texts | st.none(), "body": texts | st.none(), "mention": texts | st.none()},
        "images": st.lists(images, max_size=2),
    },
)
products = st.fixed_dictionaries(
    {"name": texts},
    optional={
        **{
            "category": st.lists(texts, max_size=2),
            "description": texts,
            "features": st.lists(texts, max_size=2),
        },
        "attributes": st.dictionaries(texts, scalars | st.lists(scalars, max_size=2), max_size=3),
        "images": st.lists(texts, max_size=2),
    },
)
links = st.tuples(
    st.sampled_from([("POST", "/v1/link", "")]),
    reviews | reviews | st.lists(reviews, max_size=3) | anything,
    st.sampled_from(["*/*", NDJSON]),
)
shown = st.tuples(
    st.builds(lambda id_: ("GET", "/v1/products/{id}", id_), texts | st.sampled_from(IDS)),
    st.none(),
    st.just("*/*"),
)
changed = st.tuples(
    st.sampled_from([("PUT", "/v1/products/{id}", "N"), ("DELETE", "/v1/products/{id}", "N")]),
    products,
    st.just("*/*"),
)
refused = st.tuples(
    st.builds(lambda id_: ("PUT", "/v1/products/{id}", id_), texts), anything | reviews, st.just("*/*")
)
watched = st.tuples(
    st.sampled_from([("GET", path, "") for path in ("/healthz", "/readyz", "/metrics")]),
    st.none(),
    st.just("*/*"),
)
calls = st.one_of(links, links, links, links, shown, shown, refused, refused, watched, changed)


class Contract:
    """What the service says of itself."""

    def __init__(self, described: dict[str, Any]) -> None:
        self.described = described

    def check(self, method: str, template: str, answer: Any) -> None:
        """Fails where the answer is not among those described."""
        responses = self.described["paths"][template][method.lower()]["responses"]
        assert str(answer.status_code) in responses, answer.text
        media = answer.headers["content-type"].partition(";")[0]
        content = responses[str(answer.status_code)]["content"]
        assert media in content, (media, answer.text)
        if media == "text/plain":
            return
        values = (
            [json.loads(line) for line in answer.text.splitlines()] if media == NDJSON else [answer.json()]
        )
        for value in values:
            schema = {**content[media]["schema"], "components": self.described["components"]}
            jsonschema.Draft202012Validator(schema).validate(value)


@pytest.fixture(scope="module")
def contract(client: TestClient) -> Contract:
    return Contract(client.get("/openapi.json").json())


def test_it_is_openapi_3_1_and_every_reference_in_it_leads_somewhere(contract: Contract) -> None:
    described = contract.described
    assert described["openapi"].startswith("3.1")
    text = json.dumps(described)
    named = {part.partition('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert named == described["components"]["schemas"].keys()
    for schema in described["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_its_examples_are_answered(client: TestClient, contract: Contract) -> None:
    described = contract.described
    bodies = described["paths"]["/v1/link"]["post"]["requestBody"]["content"]["application/json"]["examples"]
    examples = [one["value"] for one in bodies.values()]
    examples += described["components"]["schemas"]["ReviewBody"]["examples"]
    assert [client.post("/v1/link", json=example).status_code for example in examples] == [200] * 3


def ask(client: TestClient, contract: Contract, call: Any) -> None:
    (method, template, id_), body, accept = call
    path = template.replace("{id}", quote(id_, safe="") if id_.strip(".") else "%20")
    content = None if body is None else json.dumps(body)
    headers = {"Accept": accept, "Content-Type": "application/json"}
    contract.check(method, template, client.request(method, path, content=content, headers=headers))


def always(times: int) -> Callable[[Any], Any]:
    return settings(
        max_examples=times,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[*HealthCheck],
    )


@always(50)
@given(call=calls)
def test_every_answer_is_described(client: TestClient, contract: Contract, call: Any) -> None:
    ask(client, contract, call)


@pytest.mark.slow
@always(2000)
@given(call=calls)
def test_every_answer_is_described_to_2000_requests(
    client: TestClient, contract: Contract, call: Any
) -> None:
    ask(client, contract, call)


def test_the_check_sees_what_is_not_described(client: TestClient, contract: Contract, photos: Path) -> None:
    health = client.get("/healthz")
    with pytest.raises(AssertionError):
        contract.check("GET", "/metrics", health)
    with pytest.raises(jsonschema.ValidationError):
        contract.check("DELETE", "/v1/products/{id}", health)
