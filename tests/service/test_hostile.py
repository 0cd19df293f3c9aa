"""Bodies that break naive code: damaged, deep, huge, of the wrong type; each is answered, none is a fault."""

from __future__ import annotations

import base64
import io
import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient

from tests.linking.conftest import bomb
from tests.service.conftest import picture

JSON = {"Content-Type": "application/json"}
GOOD = json.dumps({"id": 1, "header": "Great", "body": "my red one", "mention": "blender"}).encode()


def photo(kind: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (16, 16), "blue").save(file, kind)
    return file.getvalue()


PHOTOS = [photo("PNG"), photo("JPEG"), photo("WEBP"), photo("GIF"), bomb(), b"", b"<svg/>", picture(1, 1)]


def damaged(content: bytes, chance: random.Random) -> bytes:
    """The bytes with some flipped, cut, doubled or put in."""
    data = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(data) + 1)
        kind = chance.randrange(4)
        if kind == 0 and place < len(data):
            data[place] ^= 1 << chance.randrange(8)
        elif kind == 1:
            del data[place:]
        elif kind == 2:
            data[place:place] = data[: chance.randrange(len(data) + 1)]
        else:
            data[place:place] = chance.choice(
                [b"\x00", b"\xff\xfe", b"\\ud800", b'"', b"{", b"9" * 400, b"\r\n--x"]
            )
    return bytes(data)


def flipped_json(chance: random.Random) -> tuple[dict[str, str], bytes]:
    return JSON, damaged(GOOD, chance)


def nested(chance: random.Random) -> tuple[dict[str, str], bytes]:
    opening = chance.choice([b"[", b'{"body":', b'{"images":['])
    return JSON, opening * chance.choice([65, 1000, 50_000]) + chance.choice([b"", b"1"])


def odd_values(chance: random.Random) -> tuple[dict[str, str], bytes]:
    key = chance.choice(["id", "header", "body", "mention", "images", "review_id", "__proto__"])
    value = chance.choice(
        [
            "NaN",
            "1e999",
            "-0",
            "1" * 5000,
            "1.5",
            "null",
            "[]",
            "[[]]",
            "{}",
            "true",
            '"\\ud800"',
            '"\\u0000"',
            '""',
        ]
    )
    return JSON, f'{{"{key}": {value}}}'.encode()


def long_texts(chance: random.Random) -> tuple[dict[str, str], bytes]:
    unit = chance.choice(
        ["a", "red ", "500 W, ", "\u0130", "\U0001f600", "{{7*7}}", "<|im_end|>", "not not ", "a@"]
    )
    return JSON, json.dumps({"body": unit * (chance.choice([100, 3000, 200_000]) // len(unit))}).encode()


def bad_photo(chance: random.Random) -> tuple[dict[str, str], bytes]:
    content = chance.choice(PHOTOS)
    coded = base64.b64encode(damaged(content, chance) if chance.random() < 0.8 else content).decode()
    return JSON, json.dumps({"body": "red", "images": [{"base64": coded}]}).encode()


def bad_path(chance: random.Random) -> tuple[dict[str, str], bytes]:
    parts = [
        "..",
        ".",
        "77",
        "front.png",
        "/",
        "\\",
        "\x00",
        "~",
        "%2e%2e",
        "a" * 300,
        "con",
        "secret.png",
        "",
    ]
    path = chance.choice(["/", ""]).join(chance.choices(parts, k=4))
    return JSON, json.dumps({"images": [{"path": path}]}).encode()


def bad_multipart(chance: random.Random) -> tuple[dict[str, str], bytes]:
    part = b'--x\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
    body = part % (b"review", b"", b'{"images": [{"upload": "a"}]}')
    body += part % (b"a", b'; filename="../../a.png"', chance.choice(PHOTOS)) + b"--x--\r\n"
    kind = chance.choice(["multipart/form-data; boundary=x", "multipart/form-data; boundary=" + "y" * 300])
    return {"Content-Type": kind}, damaged(body, chance)


def bad_headers(chance: random.Random) -> tuple[dict[str, str], bytes]:
    name = chance.choice(["Content-Type", "Content-Encoding", "Accept", "X-Request-ID", "Content-Length"])
    values = [
        "",
        ",",
        "\xff",
        "x" * 8000,
        "-1",
        "1e3",
        "gzip",
        "application/json;charset=utf-16",
        "\t",
        "0" * 30,
    ]
    return {**JSON, name: chance.choice(values)}, GOOD


FAMILIES: list[Callable[[random.Random], tuple[dict[str, str], bytes]]] = [
    *(flipped_json, nested, odd_values, long_texts, bad_photo, bad_path, bad_multipart, bad_headers),
]


def attack(client: TestClient, count: int) -> None:
    for number in range(count):
        family = FAMILIES[number % len(FAMILIES)]
        headers, body = family(random.Random(number))
        coded: Any = {name: value.encode("latin-1") for name, value in headers.items()}
        answer = client.post("/v1/link", content=body, headers=coded)
        told = f"{family.__name__} {number}: {answer.status_code} {answer.text[:200]}"
        assert answer.status_code in (200, 400, 413, 415, 422), told
        if answer.status_code != 200:
            assert answer.headers["content-type"] == "application/problem+json", told
            assert answer.json()["status"] == answer.status_code, told
    assert client.post("/v1/link", json={"body": "my red one"}).json()["candidates"][0]["entity_id"] == "B1"


def test_hostile_bodies_are_answered(client: TestClient) -> None:
    attack(client, 100)


@pytest.mark.slow
def test_10000_hostile_bodies_are_answered(client: TestClient) -> None:
    attack(client, 10_000)
