"""Files of a dataset that somebody broke, or made in order to break what reads them."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

from tests.abuse.damage import damaged

PRODUCTS = "products.json"
REVIEWS = "test/reviews.json"
FILES = (PRODUCTS, REVIEWS)
CLIMBING = (
    *(
        "../outside/secret.png",
        "../../outside/secret.png",
        "OUTSIDE/secret.png",
        "leaves.png",
        "folder/secret.png",
    ),
    *("..", ".", "", "\x00", "secret.png\x00.png", "file://OUTSIDE/secret.png", "~/secret.png", "a" * 5000),
    *(
        "..\\outside\\secret.png",
        "\u2025/outside/secret.png",
        "%2e%2e/outside/secret.png",
        "/dev/zero",
        "pipe.png",
    ),
)
"""Names of pictures that lead out of the dataset; OUTSIDE stands for the folder with what is secret."""

WRONG: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        -1,
        10**30,
        1.5,
        1e308,
        -0.0,
        "",
        " ",
        "x\x1b[31m",
        "\ud800",
        "\x00",
        "{{ 7 * 7 }}",
    ),
    *([], [[]], [None], ["a", 1], {}, {"a": {}}, {"id": 1}, [{"text": [{}]}]),
)
"""Values for places where others belong."""

DEEP = 100_000
LONG = 10_000_000

Content = dict[str, bytes]
"""The files of a dataset that are hostile, by name; the others are good."""


def product(number: int) -> dict[str, Any]:
    colour = ("Red", "Blue", "White")[number % 3]
    rows = [{"specification": "Color", "value": colour}, {"specification": "Power", "value": f"{number}00 W"}]
    return {
        "id": number,
        "product_name": f"Acme - Breeze {number} Blender - {colour}",
        "product_category": "Kitchen -> Blenders",
        "overview_section": {
            "description": "It blends.",
            "features": [{"header": "Jar", "description": "Big"}],
        },
        "Spec": [{"subsection": "Key", "text": rows}],
        "image_path": ["good.png"],
    }


def review(number: int) -> dict[str, Any]:
    return {
        "review_id": number,
        "header": "Great",
        "body": f"My red blender has {number}00 W.",
        "mention": "blender",
        "review_image_path": ["good.png"],
        "gold_entity_info": {"id": number, "product_name": f"Acme - Breeze {number} Blender - Red"},
        "hard": True,
    }


def records() -> dict[str, list[dict[str, Any]]]:
    """The good content of both files."""
    return {PRODUCTS: [product(n) for n in (1, 2, 3)], REVIEWS: [review(n) for n in (1, 2)]}


def places(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    children = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, child in children:
        yield from places(child, (*path, key))


def put(tree: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    tree = copy.deepcopy(tree)
    place = tree
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return tree


def wrong_values() -> Iterator[tuple[str, Content]]:
    """Every place of the first record of each file, and the whole file, with each wrong value in turn."""
    for file, good in records().items():
        for place in (path for path in places(good) if path[:1] in ((), (0,))):
            for value in WRONG:
                yield f"{file} {place}: {value!r:.20}", {file: json.dumps(put(good, place, value)).encode()}


def texts() -> Iterator[tuple[str, Content]]:
    """Files that are no JSON, or such JSON as few have thought of."""
    for file, good in records().items():
        text = json.dumps(good)
        name = '"product_name": "' if file == PRODUCTS else '"body": "'
        number = '"id": 1' if file == PRODUCTS else '"review_id": 1'
        cases: dict[str, bytes | str] = {
            "empty": "",
            "a byte order mark": b"\xef\xbb\xbf" + text.encode(),
            "UTF-16": text.encode("utf-16"),
            "latin-1": text.replace("Great", "Gr\u00fc\u00df").replace("blends", "\u00fc").encode("latin-1"),
            "not UTF-8": text.encode().replace(b"e", b"\xff\xfe", 1),
            "text after it": text + " x",
            "twice": text + text,
            "lines": "\n".join(map(json.dumps, good)),
            "a comment": "// products\n" + text,
            "a comma more": text[:-1] + ",]",
            "single quotes": text.replace('"', "'"),
            "an object": json.dumps({"records": good}),
            "a string": json.dumps(text),
            "a number": "7",
            "HTML": "<!DOCTYPE html><html></html>",
            "NUL": text.replace("e", "\x00", 1),
            "a bare line end": text.replace(name, name + "\n"),
            "deep lists": "[" * DEEP + "]" * DEEP,
            "deep objects": '[{"a":' + '{"a":' * DEEP + "1" + "}" * DEEP + "}]",
            "a deep field": text.replace(number, '"extra": ' + "[" * DEEP + "]" * DEEP + ", " + number, 1),
            "a somewhat deep field": text.replace(number, f'"extra": {"[" * 500}{"]" * 500}, {number}', 1),
            "many records": json.dumps([{}] * 200_000),
            "many ids": json.dumps([{**good[0], "extra": n} for n in range(20_000)]),
            "the same key twice": text.replace(number, number + ", " + number.replace("1", "9")),
            "keys that look alike": text.replace(number, number + ', "\u0456d": 3, "ID": 4'),
            "half a pair": text.replace(name, name + "\\ud83d"),
            "a pair the wrong way round": text.replace(name, name + "\\ude00\\ud83d"),
            "an escaped NUL": text.replace(name, name + "\\u0000"),
            "terminal codes": text.replace(name, name + "\\u001b[2J\\u001b]0;x\\u0007"),
            "the other direction": text.replace(name, name + "\\u202e\\u2066"),
            "one long word": text.replace(name, name + "w" * LONG),
            "a long text": text.replace(name, name + "the red blender has 100 W. " * (LONG // 27)),
            "many spaces": text.replace(name, name + " " * LONG),
            "many figures": text.replace(name, name + "1" * LONG),
            "many brackets": text.replace(name, name + "(" * 1_000_000),
            "many marks": text.replace(name, name + "a\\u0301" * 200_000),
        }
        for value in (
            "NaN",
            "Infinity",
            "-Infinity",
            "1e999",
            "-0",
            "1E400",
            "0x10",
            "01",
            "9" * 5000,
            "1.0",
            "1e0",
        ):
            cases[f"the number {value:.9}"] = text.replace(number, number.replace("1", value))
        for what, content in cases.items():
            yield f"{file}: {what}", {file: content if isinstance(content, bytes) else content.encode()}


def climbing() -> Iterator[tuple[str, Content]]:
    """Lists of pictures that lead out of the dataset, alone and among good ones."""
    for file, good in records().items():
        field = "image_path" if file == PRODUCTS else "review_image_path"
        for name in CLIMBING:
            changed = [{**good[0], field: ["good.png", name]}, *good[1:]]
            yield f"{file}: {name!r:.30}", {file: json.dumps(changed).encode()}
        changed = [{**good[0], field: ["good.png"] * 5000 + [f"{n}.png" for n in range(5000)]}, *good[1:]]
        yield f"{file}: ten thousand pictures", {file: json.dumps(changed).encode()}


def damages(times: int, seed: int) -> Iterator[tuple[str, Content]]:
    """Good files with damages at random places."""
    draw, good = (
        random.Random(seed),
        {file: json.dumps(content).encode() for file, content in records().items()},
    )
    for number in range(times):
        file = FILES[number % 2]
        what, content = damaged(good[file], draw)
        yield f"{file}: {what}", {file: content}
