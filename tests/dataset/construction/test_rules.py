"""Every rule by itself, on reviews whose answer one sees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

from ameli_llm.dataset.construction.knowledge import KnowledgeBase, plain_name
from ameli_llm.dataset.construction.raw import RawReview
from ameli_llm.dataset.construction.rules import RULES, default_rules, make_rules
from ameli_llm.dataset.construction.store import BuildStore
from ameli_llm.dataset.importing.losses import LeftOutError
from ameli_llm.errors import AmeliError

CONTRADICTED = "is filed under a variant that its product details contradict"
PRODUCTS = {1: ("Acme - Breeze - Red", "Red"), 2: ("Acme - Breeze - Blue", "Blue")}
NAMED = (
    "variant: review was filed under another variant than its product details name, and is linked to that one"
)


@pytest.fixture
def knowledge(tmp_path: Path) -> KnowledgeBase:
    store = BuildStore(tmp_path / "build.sqlite")
    with store.batch():
        for row, (id_, (name, colour)) in enumerate(PRODUCTS.items()):
            spec = [{"subsection": "General", "text": [{"specification": "Color", "value": colour}]}]
            record = {"id": id_, "product_name": name, "product_category": "Blenders", "Spec": spec}
            store.add_product(row, str(id_), plain_name(name), 0, record)
    return KnowledgeBase(store)


def review(
    body: str = "Love it",
    *,
    images: tuple[str, ...] = ("a.jpg",),
    details: Any = None,
    product: Any = 1,
    **more: Any,
) -> RawReview:
    record = {
        "review_id": 7,
        "header": "",
        "body": body,
        "mention": "blender",
        "review_image_path": list(images),
        "gold_entity_info": {"id": product},
    }
    return RawReview(0, 0, "reviews.csv:2", record | more, details)


def outcome(
    name: str, one: RawReview, knowledge: KnowledgeBase, folder: Path, **settings: Any
) -> tuple[str, RawReview, list[str]]:
    """The reason why the rule drops the review ("" for none), what goes on, and what was noted."""
    rule = make_rules({name: settings}, {"knowledge": lambda: knowledge, "crops": lambda: folder / "crops"})[
        name
    ]
    notes: list[str] = []
    try:
        passed = rule.review(one, [folder], lambda what, reason: notes.append(f"{what} {reason}"))
    except LeftOutError as reason:
        return str(reason), one, notes
    return "", passed, notes


@pytest.mark.parametrize(
    ("name", "settings", "one", "reason"),
    [
        ("no_images", {}, review(images=()), "names no image"),
        ("no_images", {}, review(), ""),
        ("no_images", {"reviews": False}, review(images=()), ""),
        ("length", {"most_tokens": 3}, review("one two three"), ""),
        ("length", {"most_tokens": 3}, review("one two three!"), "has more than 3 tokens"),
        ("length", {}, review("word " * 500), ""),
        ("length", {}, review("word " * 501), "has more than 500 tokens"),
        (
            "unhelpful",
            {},
            review(feedback={"number_helpful": 0, "number_unhelpful": 1}),
            "is only voted unhelpful",
        ),
        ("unhelpful", {}, review(feedback={"number_helpful": 1, "number_unhelpful": 9}), ""),
        ("unhelpful", {}, review(), ""),
        (
            "unhelpful",
            {},
            review(feedback={"number_helpful": None, "number_unhelpful": "2"}),
            "is only voted unhelpful",
        ),
        ("unhelpful", {}, review(feedback="none"), ""),
        ("profanity", {}, review("What SHIT."), "has a word of the block list"),
        ("profanity", {}, review("A big blow job"), "has a word of the block list"),
        ("profanity", {}, review("Shitake mushrooms blow; the job is done"), ""),
        ("profanity", {}, review("Ugly, stupid screw!"), ""),
        ("profanity", {"allowed": []}, review("Ugly"), "has a word of the block list"),
        ("profanity", {"allowed": ["shit"]}, review("What shit"), ""),
        ("variant", {}, review(), ""),
        ("variant", {"missing": "drop"}, review(), "has no product details"),
        ("variant", {}, review(details=1), ""),
        ("variant", {}, review(details="1"), ""),
        ("variant", {}, review(details={"skuId": "1", "Color": "Blue"}), ""),
        ("variant", {}, review(details={"name": "acme -  breeze - RED"}), ""),
        ("variant", {}, review(details={"sku": 3}), "names a variant that is not in the knowledge base"),
        ("variant", {}, review(details="no such thing"), "names a variant that is not in the knowledge base"),
        ("variant", {}, review(details={"Color": " red "}), ""),
        ("variant", {}, review(details={"Weight": "2 lbs"}), ""),
        (
            "variant",
            {},
            review(details="Color: Blue"),
            "is filed under a variant that its product details contradict",
        ),
        (
            "variant",
            {"relink": False},
            review(details=2),
            "is filed under another variant than its product details name",
        ),
    ],
)
def test_rules_of_words_votes_and_links(
    name: str, settings: dict[str, Any], one: RawReview, reason: str, knowledge: KnowledgeBase, tmp_path: Path
) -> None:
    assert outcome(name, one, knowledge, tmp_path, **settings)[0] == reason


def test_a_wrong_link_is_mended_by_the_variant_that_is_named(
    knowledge: KnowledgeBase, tmp_path: Path
) -> None:
    for details in (2, {"sku": 2}, "Acme - Breeze - Blue"):
        reason, passed, notes = outcome("variant", review(details=details), knowledge, tmp_path)
        assert (reason, passed.product, len(notes)) == ("", 2, 1)


def test_own_block_list_and_tokenizer(knowledge: KnowledgeBase, tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("frobnicate\nvery odd thing\n", encoding="utf-8")
    for body, reason in (("What shit", ""), ("A very ODD thing!", "has a word of the block list")):
        assert outcome("profanity", review(body), knowledge, tmp_path, words=str(words))[0] == reason
    words.write_text("\n", encoding="utf-8")
    with pytest.raises(AmeliError, match="has no word left"):
        outcome("profanity", review(), knowledge, tmp_path, words=str(words))
    with pytest.raises(AmeliError, match="Cannot read the tokenizer"):
        outcome("length", review(), knowledge, tmp_path, tokenizer=str(words))


def test_images_that_are_broken_small_or_elsewhere_are_left_out(
    knowledge: KnowledgeBase, tmp_path: Path
) -> None:
    (tmp_path / "review_images").mkdir()
    noise = Image.effect_noise((400, 300), 80).convert("RGB")
    noise.save(tmp_path / "good.jpg")
    Image.new("RGB", (9, 9)).save(tmp_path / "review_images" / "tiny.png")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "good.jpg").read_bytes()[:5000])
    (tmp_path / "text.jpg").write_text("no image", encoding="utf-8")
    names = (
        "good.jpg",
        "good.jpg",
        "tiny.png",
        "cut.jpg",
        "text.jpg",
        "absent.jpg",
        "../out.jpg",
        "http://x/y.jpg",
    )
    _, passed, notes = outcome("readable_images", review(images=names), knowledge, tmp_path, smallest_side=10)
    assert passed.images == ("good.jpg",)
    assert notes == [
        "image is less than 10 pixels wide or high",
        "image is truncated",
        "image is not an image",
        "image has no file in the folder",
        "image leads out of the folder",
        "image is a link into the web",
    ]
    reason, _, notes = outcome(
        "readable_images", review(images=("tiny.png",)), knowledge, tmp_path, smallest_kb=20
    )
    assert (reason, notes) == ("has no image that can be used", ["image has less than 20 KB"])


def test_the_crop_of_edges_is_the_part_with_detail(knowledge: KnowledgeBase, tmp_path: Path) -> None:
    photo = Image.new("RGB", (400, 300), "white")
    draw = ImageDraw.Draw(photo)
    for x in range(220, 340, 8):
        draw.line([(x, 60), (x, 180)], fill="black", width=3)
    photo.save(tmp_path / "a.jpg")
    Image.new("RGB", (400, 300), "white").save(tmp_path / "blank.jpg")
    both = review(images=("a.jpg", "blank.jpg"))
    _, passed, notes = outcome("crop", both, knowledge, tmp_path, cropper="edges")
    assert passed.images == ("a.jpg",)
    assert notes == ["image shows no object that the cropper finds"]
    (crop,) = (tmp_path / "crops").iterdir()
    with Image.open(crop) as cut:
        assert (120, 120) <= cut.size < (200, 200)
    kept = outcome("crop", both, knowledge, tmp_path, cropper="edges", not_found="keep")[1]
    assert kept.images == ("a.jpg", "blank.jpg")
    alone = outcome("crop", review(images=("blank.jpg",)), knowledge, tmp_path, cropper="edges")
    assert alone[0] == "has no photo that shows its object"
    assert make_rules({"crop": {}}, {"knowledge": lambda: knowledge, "crops": lambda: tmp_path}) == {}


@pytest.mark.parametrize(
    ("cropper", "message"),
    [
        ("edgse", "No cropper named 'edgse'. Available: edges, grounding_dino. Did you mean 'edges'?"),
        ("edges:big", "The cropper edges has no model, found 'big'. Write: edges"),
        pytest.param("grounding_dino:nowhere", "Cannot load the detector 'nowhere'", marks=pytest.mark.slow),
    ],
)
def test_a_cropper_that_is_not_there_says_so(
    cropper: str, message: str, knowledge: KnowledgeBase, tmp_path: Path
) -> None:
    with pytest.raises(AmeliError) as error:
        outcome("crop", review(), knowledge, tmp_path, cropper=cropper)
    assert str(error.value).startswith(message)


def test_rules_come_in_the_order_of_the_paper_those_of_words_first() -> None:
    assert list(default_rules()) == [
        *("no_images", "length", "unhelpful", "variant", "profanity", "readable_images", "crop")
    ]
    assert set(default_rules()) == set(RULES.names())
