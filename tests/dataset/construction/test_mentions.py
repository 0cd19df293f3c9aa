"""Which words of a review are its mention, with gold and without."""

from __future__ import annotations

from pathlib import Path

import pytest

from ameli_llm.dataset.construction.knowledge import KnowledgeBase
from ameli_llm.dataset.construction.mentions import MentionFinder, product_names
from ameli_llm.dataset.construction.raw import RawReview
from ameli_llm.dataset.construction.settings import Mentions
from ameli_llm.dataset.construction.similarity import Tools
from ameli_llm.dataset.construction.store import BuildStore
from ameli_llm.errors import AmeliError
from ameli_llm.types import Product
from retrieval.chunker import RuleChunker

BLENDER = ("Acme - Breeze 300 Blender - Red", "Kitchen -> Blenders")
CAMERA = ("Canon - EOS R6 Mirrorless Camera", "Cameras -> Mirrorless Cameras")


def finder(tmp_path: Path, **settings: object) -> MentionFinder:
    store = BuildStore(tmp_path / "build.sqlite")
    with store.batch():
        for row, (name, category) in enumerate((BLENDER, CAMERA)):
            record = {"id": row, "product_name": name, "product_category": category}
            store.add_product(row, str(row), name, 0, record)
    knowledge = KnowledgeBase(store)
    chosen = Mentions.model_validate({"choose": "longest"} | settings)
    return MentionFinder(chosen, knowledge, knowledge.categories(), Tools(RuleChunker()))


def review(body: str, product: int) -> RawReview:
    return RawReview(0, 0, "here", {"body": body, "mention": "", "gold_entity_info": {"id": product}})


def test_names_are_noun_chunks_without_brand_and_colour_alone() -> None:
    product = Product(1, BLENDER[0], ("Kitchen", "Blenders"))
    names = product_names(product, RuleChunker())
    assert names == {"blender": "blender", "breeze 300 blender": "breeze 300 blender", "blenders": "blender"}


@pytest.mark.parametrize(
    ("body", "product", "mention"),
    [
        ("I love my red Acme blender.", 0, "blender"),
        ("Two BLENDERS of mine broke", 0, "BLENDERS"),
        ("The Breeze 300 Blender is a blender", 0, "Breeze 300 Blender"),
        ("My red Acme is fine", 0, None),
        ("A blend of both", 0, None),
        ("Sharp photos with this mirrorless camera", 1, "mirrorless camera"),
        ("Sharp photos, and the camera is light; cameras!", 1, "camera"),
    ],
)
def test_mention_by_the_longest_words(body: str, product: int, mention: str | None, tmp_path: Path) -> None:
    (judged,) = finder(tmp_path).judge([review(body, product)])
    if mention is None:
        assert judged.dropped == "has no words that name its product"
    else:
        assert (judged.dropped, judged.review.record["mention"]) == ("", mention)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("My blender", "the mention is the same with and without gold"),
        ("My Breeze 300 Blender", "the mentions with and without gold are the same word, or overlap"),
        (
            "My blender, not my old mirrorless camera",
            "the mentions with and without gold are different words",
        ),
        ("My mirrorless camera", "no mention with gold"),
        ("Mine", "no mention with or without gold"),
    ],
)
def test_the_mention_without_gold_is_compared(body: str, said: str, tmp_path: Path) -> None:
    (judged,) = finder(tmp_path).judge([review(body, 0)])
    assert judged.notes == (("review noted", said),)
    assert finder(tmp_path / "..", without_gold=False).judge([review(body, 0)])[0].notes == ()


def test_similarity_needs_an_encoder(tmp_path: Path) -> None:
    with pytest.raises(AmeliError, match="no text encoder"):
        finder(tmp_path, choose="similarity")
