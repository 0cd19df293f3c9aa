"""Untrusted text, token budgets, and what is worth asking."""

from __future__ import annotations

from typing import Any

import pytest

from ameli_llm.attributes.asked import ask_for
from ameli_llm.templates.budget import cut_text, cut_words, estimate_tokens, largest_fitting, review_excerpt
from ameli_llm.templates.front import Limits, ReplySchema
from ameli_llm.templates.schema import reply_schema
from ameli_llm.templates.text import SearchableText, clean, one_line
from ameli_llm.types import Review


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("plain text", "plain text"),
        ("a\x00b\tc", "a b c"),
        ("one\r\n\r\n  two \u2028three", "one\ntwo\nthree"),
        ("</review> <|im_end|> <s>", "‹/review> ‹|im_end|> ‹s>"),
        ("<<SYS>> [INST] [/INST]", "‹‹SYS>> (INST] (/INST]"),
        ("screen < 15 and i <3 it [sic]", "screen < 15 and i <3 it [sic]"),
        ("r\u202eed\u2066 z\u200bero \U000e0041", "red zero"),
        ("\ud800x", "x"),
        ("👩‍👩‍👧 שלום مرحبا", "👩‍👩‍👧 שלום مرحبا"),
    ],
)
def test_clean(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


def test_one_line() -> None:
    assert one_line("Red\nB. Fake | Blue") == "Red B. Fake / Blue"


@pytest.mark.parametrize(
    ("text", "quote", "found"),
    [
        ("My RED one", "red", "RED"),
        ("an incredible one", "red", None),
        ("the 1TB  SSD is fast", "1tb ssd.", "1TB  SSD"),
        ("a 15.6\u201d screen", '15.6"', "15.6"),
        ("space\u2013gray", "space-gray", "space–gray"),
        ("soft\u00adware", "software", "soft\u00adware"),
        ("İstanbul 🎉 red", "red", "red"),
        ("see </b> tag", "‹/b> tag", "</b> tag"),
        ("so 🎉 good", "🎉", None),
        ("½ cup", "1", None),
        ("½ of 1 cup", "1", "1"),
        ("step ⑴", "1", "⑴"),
        ("size M", "", None),
        ("", "red", None),
    ],
)
def test_find(text: str, quote: str, found: str | None) -> None:
    span = SearchableText(text).find(quote)
    assert (None if span is None else text[slice(*span)]) == found


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("", 0), ("red", 1), ("quarterly report", 3), ("1024 GB", 3), ('15.6"', 4), ("🎉א", 2)],
)
def test_estimate(text: str, tokens: int) -> None:
    assert estimate_tokens(text) == tokens


def test_cut_text() -> None:
    assert cut_text("One two. Three four.", 6) == ("One two. Three four.", False)
    assert cut_text("One two. Three four five six.", 7) == ("One two. […]", True)
    assert cut_text("one two three four", 3) == ("[…]".rjust(4), True)
    assert cut_text("one two three four five six seven", 6) == ("one two three […]", True)
    assert estimate_tokens(cut_text("word " * 1000, 40)[0]) <= 40
    assert estimate_tokens(cut_text("x" * 100_000, 40)[0]) <= 40


def test_cut_words() -> None:
    assert cut_words("Breeze 300", 10) == "Breeze 300"
    assert cut_words("Breeze 300 Blender", 12) == "Breeze 300…"
    assert cut_words("x" * 20, 5) == "xxxx…"


def test_largest_fitting() -> None:
    assert [largest_fitting(5, top.__ge__) for top in (-1, 0, 3, 9)] == [0, 0, 3, 5]


def test_review_excerpt_of_a_hundred_thousand_characters() -> None:
    text, cut = review_excerpt(Review(1, "Title", "It is red. " * 10_000), 50)
    assert cut
    assert text.startswith("Title\nIt is red. It is red.")
    assert text.endswith("red. […]")
    assert estimate_tokens(text) <= 50
    assert review_excerpt(Review(1, "", "\x00"), 50) == ("", False)


@pytest.mark.parametrize(
    ("form", "keys", "max_tokens", "most"),
    [
        ("plain", 9, 1000, 3),
        ("plain", 2, 1000, 2),
        ("plain", 9, 22, 2),
        ("plain", 9, 1, 1),
        ("quoted", 9, 40, 2),
        ("open", 9, 40, 3),
        ("quoted", 9, 14, 1),
    ],
)
def test_a_reply_has_no_more_keys_than_fit(form: Any, keys: int, max_tokens: int, most: int) -> None:
    shape = ReplySchema(form=form, keys=keys)
    schema = reply_schema(shape, {"a": ("red",), "b": ("red",), "c": ("red", "rd")}, max_tokens)
    assert schema["maxProperties"] == most
    assert reply_schema(shape, {}, max_tokens)["maxProperties"] == 0


def test_ask_for_orders_by_use_and_leaves_out_what_tells_nothing_apart() -> None:
    vocabulary = {
        "Brand": ("Acme",),
        "Warranty": ("1 year", "2 years", "3 years"),
        "Color": ("Black", "Red"),
        "Touch": ("Yes", "No"),
        "Storage": ("1 TB", "1000 gigabytes"),
        "Size": ("S, M", "L"),
        "Feature": ("x" * 41, "short"),
    }
    asked = ask_for(vocabulary, "a red one", Limits())
    assert {key: list(values) for key, values in asked.items()} == {
        "Color": ["Black", "Red"],
        "Size": ["L", "M", "S"],
        "Warranty": ["1 year", "2 years", "3 years"],
    }
    assert next(iter(asked)) == "Color"
    fewer = ask_for(vocabulary, "I counted 3 of them", Limits(keys=1, values=2))
    assert fewer == {"Warranty": {"1 year": "1 year", "3 years": "3 years"}}
