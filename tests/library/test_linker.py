"""Linker: one review, lists, streams, threads, asyncio; what it is opened with and how it ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ameli_llm.config import RunConfig
from ameli_llm.dataset.images import ImageProblem
from ameli_llm.errors import AmeliError
from ameli_llm.linker import Linker
from ameli_llm.types import Link, Product, Review, SpecRow, State
from tests.engines.scripted import Answer, ScriptedServer, said, scripted

Open = Callable[..., Linker]
Records = list[dict[str, Any]]
BLENDERS = [
    {"id": "B1", "name": "Acme blender", "attributes": {"Color": "Red", "Power": "500 W"}},
    {"id": 2, "name": "Acme blender", "attributes": {"Color": "Blue", "Power": "500 W"}},
    {"id": "B3", "name": "Acme toaster", "attributes": {"Color": "Red"}},
]
RED = {"body": "Love my red one with its 500 watts", "mention": "blender"}


def timeless(links: Any) -> list[Link]:
    return [replace(link, seconds=0.0, stage_seconds={}) for link in links]


def choices(links: Any) -> list[tuple[Any, ...]]:
    return [(link.review_id, link.state, link.best.entity_id, link.attributes) for link in links]


def test_a_review_of_products_that_a_program_has(open_linker: Open) -> None:
    linker = open_linker(BLENDERS)
    link = linker.link(RED)
    assert link.review_id == 1
    assert link.best is not None
    assert link.best.entity_id == "B1"
    assert link.best == link.candidates[0]
    assert link.runner_up == link.candidates[1]
    assert link.best.score > link.candidates[1].score
    assert {(v.key, v.verdict, v.evidence.field, v.evidence.text) for v in link.verdicts} == {
        ("Color", "agree", "body", "red"),
        ("Power", "agree", "body", "500 watts"),
    }
    assert link.state is not State.LINKED or link.entity_id == "B1"
    blue = linker.link({"id": "r-7", "body": "Mine is blue", "mention": "blender"})
    assert blue.review_id == "r-7"
    assert blue.best is not None
    assert blue.best.entity_id == 2, "the id comes back as it came"
    assert linker.products[2].name == "Acme blender"
    assert linker.attributes("B3") == {"Color": ("Red",)}


def test_products_that_only_their_names_tell_apart(open_linker: Open) -> None:
    drives = [f"Imation {size} GB pocket flash drive" for size in (4, 8, 16, 32)]
    linker = open_linker([{"id": name, "name": name} for name in drives])
    link = linker.link({"body": "Small, fast, and 32gb is plenty", "mention": "flash drive"})
    assert link.best is not None
    assert link.best.entity_id == drives[3]
    assert link.attributes == ()
    (verdict,) = link.verdicts
    assert (verdict.key, verdict.verdict, verdict.evidence.text) == ("name", "agree", "32gb")


def test_domain_values_are_taken_too(open_linker: Open) -> None:
    products = [
        Product("x", "Acme lamp", spec=(SpecRow("", "Color", "Green"),)),
        Product("y", "Acme lamp", spec=(SpecRow("", "Color", "White"),)),
    ]
    link = open_linker(products).link(Review(5, body="The green lamp"))
    assert link.review_id == 5
    assert link.best is not None
    assert link.best.entity_id == "x"


def test_a_folder_and_its_products_file_are_one_knowledge_base(
    open_linker: Open, twin: Path, reviews: Records
) -> None:
    folder = open_linker(twin)
    file = open_linker(str(twin / "products.json"))
    assert list(folder.products) == list(file.products)
    assert timeless([folder.link(reviews[0])]) == timeless([file.link(reviews[0])])


def test_many_are_linked_as_one_by_one(open_linker: Open, reviews: Records) -> None:
    linker = open_linker()
    many = list(linker.link_many(reviews))
    assert [link.review_id for link in many] == list(range(1, len(reviews) + 1))
    alone = [linker.link({"id": number, **review}) for number, review in enumerate(reviews, start=1)]
    assert choices(many) == choices(alone)
    assert list(linker.link_many([])) == []


def test_a_stream_is_read_as_it_is_asked_for(open_linker: Open) -> None:
    linker = open_linker()
    taken = 0

    def endless() -> Iterator[dict[str, Any]]:
        nonlocal taken
        while True:
            taken += 1
            yield {"body": "red"}

    links = linker.link_many(endless())
    assert taken == 0
    for number in range(1, 50):
        assert next(links).review_id == number
        assert taken <= number + linker.batch_size * linker.workers


def test_a_wrong_review_comes_after_the_links_before_it(open_linker: Open) -> None:
    linker = open_linker()
    links = linker.link_many([{"body": "red"}, {"body": "blue"}, {"text": "x"}, {"body": "green"}])
    assert [next(links).review_id for _ in range(2)] == [1, 2]
    with pytest.raises(AmeliError, match=r"^review 3: .*text"):
        next(links)
    with pytest.raises(AmeliError, match=r"^review 1: field body"):
        linker.link({"body": 3})


def test_images_are_paths_of_the_caller(open_linker: Open, tmp_path: Path) -> None:
    Image.new("RGB", (40, 40), "red").save(tmp_path / "red.png")
    Image.new("RGB", (40, 40), "blue").save(tmp_path / "blue.png")
    products = [
        {"id": colour, "name": "Acme lamp", "images": [f"{colour}.png"]} for colour in ("red", "blue")
    ]
    settings = ("retrieval.weights={image: 30.0}",)
    linker = open_linker(products, settings, images=tmp_path)
    for images in ("blue.png", [tmp_path / "blue.png"], str(tmp_path / "blue.png")):
        link = linker.link({"images": images})
        assert link.best is not None
        assert link.best.entity_id == "blue"
        blue, red = (one.scores["image"] for one in link.candidates)
        assert blue == pytest.approx(-red)
        assert blue > 1.5
    with pytest.raises(ImageProblem, match=r"Image none\.png: missing"):
        linker.link({"images": ["none.png"]})


def test_threads_share_a_linker(open_linker: Open, reviews: Records) -> None:
    linker = open_linker(settings=("retrieval.weights={title: 5.0, tfidf: 8.0, sbert: 10.0, prior: 3.0}",))
    asked = [{"id": number, **review} for number, review in enumerate(reviews[:8], 1)] * 3
    expected = timeless(map(linker.link, asked))
    fresh = open_linker(settings=("retrieval.weights={title: 5.0, tfidf: 8.0, sbert: 10.0, prior: 3.0}",))
    with ThreadPoolExecutor(8) as pool:
        assert timeless(pool.map(fresh.link, asked)) == expected


def test_asyncio(open_linker: Open, reviews: Records) -> None:
    linker = open_linker()
    expected = choices(linker.link_many(reviews))

    async def source() -> AsyncIterator[dict[str, Any]]:
        for review in reviews:
            await asyncio.sleep(0)
            yield review

    async def all_ways() -> None:
        async with linker:
            numbered = ({"id": number, **review} for number, review in enumerate(reviews, start=1))
            assert choices(await asyncio.gather(*map(linker.alink, numbered))) == expected
            assert choices([link async for link in linker.alink_many(source())]) == expected
            assert choices([link async for link in linker.alink_many(reviews)]) == expected
        with pytest.raises(AmeliError, match="closed"):
            await linker.alink(reviews[0])

    asyncio.run(all_ways())


def test_a_closed_linker_says_so(open_linker: Open, reviews: Records) -> None:
    with open_linker() as linker:
        begun = linker.link_many(reviews * 2)
        next(begun)
    linker.close()
    for use in (
        lambda: linker.link(reviews[0]),
        lambda: linker.link_many(reviews),
        lambda: list(begun),
        linker.check,
        linker.__enter__,
    ):
        with pytest.raises(AmeliError, match=r"^The linker is closed\. Use it inside its with block"):
            use()


def test_configuration_of_every_form(open_linker: Open, tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("fusion: {text: 2.5}\n", encoding="utf-8")
    assert open_linker(BLENDERS, config=file).config.fusion.text == 2.5
    given = RunConfig.model_validate({"fusion": {"text": 3.5}})
    linker = open_linker(BLENDERS, ("retrieval.candidates=2",), config=given)
    assert (linker.config.fusion.text, linker.config.retrieval.candidates) == (3.5, 2)
    assert linker.link(RED).compared == 2


@pytest.mark.parametrize(
    ("knowledge_base", "options", "message"),
    [
        ("nowhere", {}, r"No dataset folder at nowhere\."),
        ([], {}, "has no products"),
        ([{"name": "x"}], {}, "product 1: field id is missing"),
        ([{"id": 1, "name": "x"}, {"id": "1", "name": "y"}], {}, "product"),
        (BLENDERS, {"settings": ("fusion.txt=1",)}, "No setting named 'fusion.txt'"),
        (BLENDERS, {"config": "none.yaml"}, "none.yaml"),
        (BLENDERS, {"engine": "gpt"}, "No engine named 'gpt'"),
    ],
)
def test_what_cannot_be_opened(
    open_linker: Open, knowledge_base: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(AmeliError, match=message):
        open_linker(knowledge_base, **options)


def model(body: dict[str, Any]) -> Answer:
    """Passes the test questions, answers A, and finds no attribute."""
    asked = json.dumps(body)
    if "alphabet" in asked or "choice" in asked:
        return said("A", **{"A": -0.1, "B": -3.0, "0": -4.0})
    return said('{"state": "ready"}' if "ready" in asked else '{"values": []}')


def served(server: ScriptedServer) -> dict[str, Any]:
    settings = (
        "attributes.extractors=[rules]",
        f"engine.base_url={server.base_url}",
        "retrieval.candidates=2",
    )
    return {"engine": "vllm_server", "settings": settings}


def test_the_model_is_tested_once_and_before_the_first_review(open_linker: Open) -> None:
    with scripted() as server:
        server.answers = [model]
        linker = open_linker(BLENDERS, **served(server))
        assert server.posts == []
        links = [linker.link(RED), *linker.link_many([RED, {"body": "blue", "mention": "blender"}])]
        assert [link.error for link in links] == [None] * 3
        tests = [number for number, (_, body) in enumerate(server.posts) if "alphabet" in json.dumps(body)]
        assert len(tests) == 1
        assert tests[0] < 2
        (exchange,) = links[0].exchanges
        assert (exchange.asked_by, exchange.reply.text) == ("listwise", "A")
        assert RED["body"] in exchange.request.messages[-1].content
        linker.close()


def test_a_model_that_fails_its_test_raises_and_is_asked_again(open_linker: Open) -> None:
    with scripted() as server:
        server.answers = [Answer(400, {"error": {"message": "no such thing"}})]
        linker = open_linker(BLENDERS, **served(server))
        for use in (linker.check, lambda: linker.link(RED), lambda: list(linker.link_many([RED]))):
            with pytest.raises(AmeliError, match="test"):
                use()
        server.answers = [model]
        assert linker.link(RED).error is None
        linker.close()
