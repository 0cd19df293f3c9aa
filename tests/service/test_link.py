"""POST /v1/link: one review, several, line by line, with photos; and what is refused."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from ameli_llm.dataset.images import open_image
from ameli_llm.linker import Linker
from ameli_llm.runs import PredictionRow
from ameli_llm.service.limits import Limits
from tests.service.conftest import CHEAP, picture

RED = {"body": "Love my red one", "mention": "blender"}
BLUE = {"id": "r2", "body": "The blue one is loud"}


PARTS = {"Content-Type": "multipart/form-data; boundary=x"}


def part(name: str, content: str) -> bytes:
    return f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{content}\r\n'.encode()


def first(link: dict[str, Any]) -> Any:
    return link["candidates"][0]["entity_id"]


def test_one_review_is_answered_with_its_line_of_predictions(client: TestClient) -> None:
    answer = client.post("/v1/link", json=RED)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    link = answer.json()
    assert first(link) == "B1"
    assert link["attributes"][0]["evidence"] == {
        **{"field": "body", "start": 8, "end": 11, "text": "red"},
        **{"image": None, "box": None, "confidence": None},
    }
    assert link.pop("kb_version") == client.get("/healthz").json()["kb_version"]
    assert link.keys() == PredictionRow.model_fields.keys()
    assert PredictionRow.model_validate(link).review_id == 1


def test_several_are_answered_in_their_order_with_their_ids(client: TestClient) -> None:
    links = client.post("/v1/link", json=[RED, BLUE, {}, {"review_id": 9}]).json()
    assert [link["review_id"] for link in links] == [1, "r2", 3, 9]
    assert [first(link) for link in links[:2]] == ["B1", 2]


def test_ndjson_is_a_line_a_review(client: TestClient) -> None:
    answer = client.post("/v1/link", json=[RED, BLUE], headers={"Accept": "application/x-ndjson"})
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert [first(json.loads(line)) for line in answer.text.splitlines()] == ["B1", 2]


def test_photos_come_as_base64_as_upload_and_by_path(client: TestClient) -> None:
    coded = base64.b64encode(picture()).decode()
    review = {**RED, "images": [{"base64": coded}, {"path": "77/front.png"}, {"upload": "side"}]}
    files = {"review": (None, json.dumps(review)), "side": ("x.png", picture(), "image/png")}
    assert client.post("/v1/link", files=files).status_code == 200


@pytest.mark.parametrize(
    ("image", "says"),
    [
        ({"path": "../secret.png"}, "no file '../secret.png' in the folder of images"),
        ({"path": "out.png"}, "no file 'out.png' in the folder of images"),
        ({"path": "/etc/passwd"}, "no file '/etc/passwd' in the folder of images"),
        ({"path": "77"}, "no file '77' in the folder of images"),
        ({"path": "a\x01b"}, "no file 'a\\x01b' in the folder of images"),
        ({"base64": "***"}, "not base64"),
        ({"base64": base64.b64encode(b"GIF89a").decode()}, "unsupported format"),
        ({"base64": base64.b64encode(b"no image").decode()}, "not an image"),
        (
            {"base64": base64.b64encode(picture(200, 201)).decode()},
            "200 x 201; an image may have 40,000 pixels",
        ),
        ({"base64": base64.b64encode(bytes(20_001)).decode()}, "20,001 bytes; an image may have 20,000"),
        ({"upload": "side"}, "no part of the body is named 'side'"),
        ({"url": "http://127.0.0.1/x.png"}, "Extra inputs are not permitted"),
        ({"path": "77/front.png", "base64": "AA=="}, "needs exactly one of path, base64 and upload"),
        ({}, "needs exactly one of path, base64 and upload"),
        ("77/front.png", "valid dictionary"),
    ],
)
def test_a_photo_that_cannot_be_used_is_named(tight: TestClient, image: object, says: str) -> None:
    answer = tight.post("/v1/link", json=[RED, {"images": [image]}])
    problem = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert problem["errors"][0]["pointer"].startswith("/1/images/0")
    assert says in problem["errors"][0]["detail"]


@pytest.fixture(scope="module")
def tight(serving: Any) -> TestClient:
    """A service with narrow limits, whose products cannot be changed."""
    return serving(
        limits=Limits(body=100_000, reviews=3, images=2, image_bytes=20_000, pixels=40_000, queue=3)
    )


@pytest.mark.parametrize(
    ("body", "status", "kind", "says"),
    [
        ([], 422, "invalid-request", "0 reviews; a request has 1 to 3"),
        ([{}] * 4, 422, "invalid-request", "4 reviews; a request has 1 to 3"),
        ({"images": [{"path": "a"}] * 3}, 422, "invalid-request", "3 images; a review may have 2"),
        ({"text": "x"}, 422, "invalid-request", "/text: Extra inputs"),
        ({"body": 5}, 422, "invalid-request", "/body: Input should be a valid string"),
        ([{}, {"id": True}], 422, "invalid-request", "/1/id: "),
        ({"body": "x" * 100_001}, 413, "too-large", "A body may have 100,000 bytes."),
        ({"header": "x" * 10_001}, 422, "invalid-request", "/header: String should have at most 10000"),
        (None, 422, "invalid-request", "the body: must be an object"),
        ("text", 422, "invalid-request", "the body: must be an object"),
    ],
)
def test_a_body_beyond_its_schema_or_its_bounds_is_refused(
    tight: TestClient, body: object, status: int, kind: str, says: str
) -> None:
    answer = tight.post("/v1/link", content=json.dumps(body), headers={"Content-Type": "application/json"})
    problem = answer.json()
    assert (answer.status_code, problem["status"]) == (status, status)
    assert problem["type"] == f"urn:ameli-llm:problem:{kind}"
    assert says in problem["detail"]
    assert problem["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("headers", "content", "status", "says"),
    [
        ({"Content-Type": "text/plain"}, b"{}", 415, "expected application/json or multipart/form-data"),
        ({}, b"{}", 415, "Content-Type is ''"),
        ({"Content-Encoding": "gzip"}, b"{}", 415, "compressed"),
        ({}, b"", 400, "not JSON"),
        ({}, b'{"body": NaN}', 400, "NaN is no JSON number"),
        ({}, b"\xff", 400, "not UTF-8"),
        ({}, b"[" * 40_000, 400, "nested more than 64 deep"),
        ({"Content-Length": "999999999"}, b"{}", 413, "100,000 bytes"),
        ({"Content-Type": "multipart/form-data"}, b"{}", 400, "boundary"),
        (PARTS, b"{}", 400, "damaged"),
        (PARTS, b"--x--\r\n", 400, "named 'review'"),
        (PARTS, part("review", "{}") + b"--x", 400, "no end"),
        (PARTS, part("review", "{}") * 2 + b"--x--\r\n", 400, "Two parts of the body are named 'review'"),
        (PARTS, part("", "{}") + b"--x--\r\n", 400, "no name"),
        (PARTS, part("review", "{}") + part("a", "x") + b"--x--\r\n", 422, "No review has the image"),
        (PARTS, b"".join(part(f"p{i}", "") for i in range(8)) + b"--x--\r\n", 400, "more than 7 parts"),
    ],
)
def test_what_is_no_body_is_refused(
    tight: TestClient, headers: dict[str, str], content: bytes, status: int, says: str
) -> None:
    given = (
        {"Content-Type": "application/json"}
        if "Content-Type" not in headers and says != "Content-Type is ''"
        else {}
    )
    answer = tight.post("/v1/link", content=content, headers=given | headers)
    assert answer.status_code == status, answer.text
    assert says in answer.json()["detail"]


def test_a_body_without_a_length_is_cut_off_at_its_bound(tight: TestClient) -> None:
    def parts() -> Any:
        yield from [b" " * 50_000] * 1000

    answer = tight.post("/v1/link", content=parts(), headers={"Content-Type": "application/json"})
    assert answer.json()["type"] == "urn:ameli-llm:problem:too-large"


class TornLinker(Linker):
    """Fails where a photo has no end, as a part that decodes it may; the header alone does not show it."""

    def link_batch(self, reviews: Any) -> Any:
        for review in reviews:
            for image in review.images:
                open_image(Path(image))
        return super().link_batch(reviews)


def test_a_photo_that_breaks_while_it_is_decoded_fails_its_review_alone(serving: Any, shop: Path) -> None:
    client = serving(linker=TornLinker.open(shop, settings=CHEAP))
    torn = {"id": 9, "images": [{"path": "cut.png"}]}
    red, failed, blue = client.post("/v1/link", json=[RED, torn, BLUE]).json()
    assert [first(red), first(blue)] == ["B1", 2]
    assert (failed["review_id"], failed["problem"]["errors"]) == (
        9,
        [{"pointer": "/1/images", "detail": "truncated"}],
    )
    assert client.post("/v1/link", json=torn).status_code == 422


def test_a_large_body_is_read_like_a_small_one(client: TestClient) -> None:
    for content, status in ((json.dumps(RED), 200), ("[", 400)):
        body = content.encode() + b" " * (1 << 20)
        answer = client.post("/v1/link", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == status


def test_stored_photos_are_deleted(client: TestClient, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    coded = {"base64": base64.b64encode(picture()).decode()}
    for body, status in ([{**RED, "images": [coded]}], 200), ([{"images": [coded, {"path": "no"}]}], 422):
        assert client.post("/v1/link", json=body).status_code == status
    assert list(tmp_path.iterdir()) == []
