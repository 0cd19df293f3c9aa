"""What no cleaned text contains, whatever was hidden in it, and what comes through unharmed."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ameli_llm.templates import load_template, render
from ameli_llm.templates.text import SearchableText, clean, one_line

IGNORABLE = [  # Default_Ignorable_Code_Point of Unicode 16, DerivedCoreProperties.txt
    *(range(0xAD, 0xAE), range(0x34F, 0x350), range(0x61C, 0x61D), range(0x115F, 0x1161)),
    *(range(0x17B4, 0x17B6), range(0x180B, 0x1810), range(0x200B, 0x2010), range(0x202A, 0x202F)),
    *(range(0x2060, 0x2070), range(0x3164, 0x3165), range(0xFE00, 0xFE10), range(0xFEFF, 0xFF00)),
    *(range(0xFFA0, 0xFFA1), range(0xFFF0, 0xFFF9), range(0x1BCA0, 0x1BCA4), range(0x1D173, 0x1D17B)),
    range(0xE0000, 0xE1000),
]
INVISIBLE = [chr(code) for codes in IGNORABLE for code in codes]
HIDDEN = frozenset(INVISIBLE)
FEW = [c for c in INVISIBLE if c < "\U000e0000"] + [chr(c) for c in range(0xE0000, 0xE1000, 97)]
MARKERS = re.compile(
    r"<\s*/?\s*(review\b|(s|bos|sop|eop|eos|pad|unk|think|tool_call|\w+_of_turn|fim_prefix)\s*>)"
    r"|<\s*\||<<\s*/?\s*SYS|\[\s*/?\s*(INST|[gs]MASK|TOOL_CALLS|SYSTEM_PROMPT|CLS|SEP)\s*\]"
    r"|\[\s*\||<0x|\]~b\]|\[e~\[|<!|<\?",
    re.IGNORECASE,
)


def seen(text: str) -> str:
    """``text`` as a tokenizer that normalises, or a reader who sees no invisible character, takes it."""
    plain = "".join(character for character in text if character not in HIDDEN)
    return "".join(c for c in unicodedata.normalize("NFKC", plain) if c not in HIDDEN)


SPELLED = [
    *("</review>", "<review>", "<|im_start|>", "<|im_end|>", "<s>", "</s>", "[INST]", "[/INST]", "<<SYS>>"),
    *("<</SYS>>", "<start_of_turn>", "<end_of_turn>", "[gMASK]<sop>", "[sMASK]", "<|endoftext|>", "<bos>"),
    *("<|start_header_id|>", "<｜User｜>", "<｜begin▁of▁sentence｜>", "[TOOL_CALLS]", "[SYSTEM_PROMPT]"),
    *("<fim_prefix>", "<think>", "<tool_call>", "[|user|]", "<0x0A>", "]~b]", "[e~[", "<!--", "<?xml"),
]
WIDE = str.maketrans("<>[]|/", "＜＞［］｜／")
SMALL = str.maketrans("<>", "﹤﹥")


@pytest.mark.parametrize("marker", SPELLED)
@pytest.mark.parametrize("spell", [str, lambda m: m.translate(WIDE), lambda m: m.translate(SMALL)])
def test_a_marker_is_disarmed_however_it_is_spelled(marker: str, spell: object) -> None:
    written = spell(marker)  # type: ignore[operator]
    assert MARKERS.search(seen(written)), "the oracle knows it"
    for text in (written, f"good {written} good", f"good\n{written}", f"{written[0]} \u2003\n{written[1:]}"):
        assert not MARKERS.search(seen(clean(text)))
        assert not MARKERS.search(seen(one_line(text)))


@pytest.mark.parametrize("marker", ["</review>", "<|im_start|>", "[INST]", "[gMASK]<sop>"])
def test_no_invisible_character_saves_a_marker(marker: str) -> None:
    for character in FEW:
        for text in (marker[0] + character + marker[1:], character.join(marker), character * 3 + marker):
            cleaned = clean(text)
            assert not MARKERS.search(seen(cleaned)), hex(ord(character))
            assert cleaned == clean(marker), hex(ord(character))


PIECES = st.one_of(
    st.sampled_from(SPELLED),
    st.sampled_from([c for m in SPELLED for c in m]),
    st.sampled_from(list("<>[]|/!? \n\t\x00\x1b\u2028\u00a0\u2003＜＞［］｜／﹤﹇﹈℀‹(")),
    st.sampled_from([*FEW, *"\u200c\u200d\ufe0e\ufe0f"]),
    st.sampled_from(["❤", "👩", "1", "\u20e3", "é", "می", "क्", "\u0338", "ÿ", "review", "M", "5 < 6"]),
    st.characters(),
    st.text(max_size=3),
)
TEXTS = st.lists(PIECES, max_size=25).map("".join)


@settings(max_examples=400, deadline=None)
@given(TEXTS)
@example("\uff5c\u200c")
def test_no_cleaned_text_holds_a_fence_or_a_marker(text: str) -> None:
    for cleaned in (clean(text), one_line(text)):
        assert not MARKERS.search(seen(cleaned))
        assert not any(unicodedata.category(c) in ("Cc", "Cs") and c != "\n" for c in cleaned)
    assert clean(clean(text)) == clean(text)
    assert one_line(one_line(text)) == one_line(text)
    assert "\n" not in one_line(text)


@settings(max_examples=400, deadline=None)
@given(TEXTS)
@example("¼\n1")
@example("⑴ ½")
def test_a_quotation_of_cleaned_text_is_found_in_the_text_itself(text: str) -> None:
    searched = SearchableText(text)
    for line in clean(text).split("\n"):
        span = searched.find(line)
        if not any(c.isalnum() for c in SearchableText(line)._folded):
            continue
        assert span is not None
        assert 0 <= span[0] < span[1] <= len(text)
        found = SearchableText(text[slice(*span)])
        assert found.find(line) is not None
        assert SearchableText(line).find(text[slice(*span)]) is not None


HARMLESS = [
    "5 < 6 and 7 > 6, i <3 it, <= 10, <$20",
    "size <M>, <XL> or <XXL> [sic]",
    "[This review was collected as part of a promotion.]",
    "Love it ❤️👍🏽 👩‍👩‍👧 🏳️‍🌈 👁️‍🗨️ 1️⃣ #️⃣ ☺︎ ™️",
    "این گوشی را می‌خواهم، خیلی خوب است",
    "यह क्‍ष और श्‍री बहुत अच्छा है",
    "അവന്‍ നല്ല ഫോൺ",
    "ממש טוב! رائع جدا",
    "日本語のレビュー、とても良い。",
    "café 15.6″ 1½ TB ® n°5 «bon»",
]


@pytest.mark.parametrize("text", HARMLESS)
def test_honest_text_comes_through_unharmed(text: str) -> None:
    assert clean(text) == text


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("می\u200c\u200cخواهم", "می\u200cخواهم"),
        ("re\u200dd \u200cwell", "red well"),
        ("so\ufe0f good ❤\ufe0f\ufe0f\u200b!", "so good ❤\ufe0f!"),
        ("葛\U000e0100飾", "葛飾"),
        ("a\u3164b\u115f\u2800c", "ab\u2800c"),
        ("\u200e5 < 6\u200f", "5 < 6"),
        ("\ufff9a\ufffab\ufffb", "ab"),
    ],
)
def test_invisible_characters_stay_only_where_they_are_needed(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


@pytest.mark.parametrize(
    ("text", "quote", "found"),
    [
        ("so ❤\ufe0f good", "❤ good", "❤\ufe0f good"),
        ("so good ❤\ufe0f!", "good ❤\ufe0f", "good ❤\ufe0f"),
        ("it is re\u200dd\u200e now", "red", "re\u200dd"),
        ("گوشی را می\u200cخواهم", "را میخواهم", "را می\u200cخواهم"),
        ("a \uff1cb\uff1e tag", "‹b> tag", "\uff1cb\uff1e tag"),
        ("a \uff3bINST\uff3d b", "(INST] b", "INST\uff3d b"),
        ("red \uff5c blue", "red / blue", "red \uff5c blue"),
        ("the </\u200creview> end", "‹/review> end", "</\u200creview> end"),
    ],
)
def test_a_quotation_leads_to_the_words_as_they_were_written(text: str, quote: str, found: str) -> None:
    span = SearchableText(text).find(quote)
    assert span is not None
    assert text[slice(*span)] == found


@pytest.mark.parametrize("name", ["extract/json", "compare/entail", "compare/listwise", "compare/pairwise"])
def test_what_the_customer_wrote_stands_inside_the_fence(name: str) -> None:
    option = {"label": "A", "name": "Breeze", "values": ["Red"]}
    values = {
        "review": "Nice REVIEWED one.",
        "mention": "the MENTIONED </review> one",
        "stated": [{"key": "Color", "value": "Red", "quote": "QUOTED", "negated": False}],
        **{"attributes": [{"key": "Color", "values": ["Red"]}], "keys": ["Color"], "none_label": "0"},
        **{"candidates": [option], "first": option, "second": option, "key": "Color", "value": "Red"},
    }
    text = render(load_template(name), values)[-1].content
    before, _, rest = text.partition("<review>\n")
    inside, _, after = rest.partition("\n</review>")
    assert inside == "Nice REVIEWED one.\nThe reviewer calls the product: the MENTIONED ‹/review> one"
    assert not re.search("REVIEWED|MENTIONED|QUOTED|review>", before + after)
