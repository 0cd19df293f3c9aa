"""How texts are cut for an encoder: places, windows, and languages that it does not know."""

from __future__ import annotations

from pathlib import Path

import pytest

from ameli_llm.attributes.tagging.text_encoder import load_text
from ameli_llm.attributes.tagging.words import WordCutter, require_known
from ameli_llm.errors import AmeliError
from tests.attributes.tagging_world import tiny_bert


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def cutter(bert: Path) -> WordCutter:
    return load_text(str(bert), 6)[1]


def written(text: str, places: tuple[tuple[int, int], ...]) -> list[str]:
    return [text[start:end] for start, end in places]


def test_parts_of_words_have_their_places(cutter: WordCutter) -> None:
    (words,) = cutter.cut(["a Golden  bag"])
    assert written("a Golden  bag", words.places) == ["a", "Gold", "en", "bag"]
    assert (words.before, words.after, len(words.ids)) == (1, 1, 6)
    assert not words.cut


def test_what_is_beyond_the_window_is_cut_and_told(cutter: WordCutter) -> None:
    text = "a red bag of silk, a blue bag"
    (words,) = cutter.cut([text])
    assert written(text, words.places) == ["a", "red", "bag", "of", "silk", ","]
    assert words.cut


def test_windows_end_with_sentences(cutter: WordCutter) -> None:
    text = "a red bag. a blue bag of silk, a shoe of wool of linen"
    assert [" ".join(written(text, one.places)) for one in cutter.pieces(text)] == [
        "a red bag .",
        "a blue bag of silk ,",
        "a shoe of wool of linen",
    ]
    assert cutter.pieces("") == []


def test_an_unknown_language(cutter: WordCutter) -> None:
    require_known(cutter.cut(["a red bag of unheard silk"]), "tiny")
    words = cutter.cut(["voici une chemise rouge", "a red bag"])
    with pytest.raises(AmeliError, match="'tiny' does not know the language of these texts: 4 of 7 tokens"):
        require_known(words, "tiny")


def test_a_window_that_is_too_long(bert: Path) -> None:
    with pytest.raises(
        AmeliError, match=r"max_tokens is 39 and the encoder's window 40.* Set it to 38 or less"
    ):
        load_text(str(bert), 39)


def test_no_encoder_of_that_name(tmp_path: Path) -> None:
    with pytest.raises(AmeliError, match="Cannot load the text encoder"):
        load_text(str(tmp_path), 10)
