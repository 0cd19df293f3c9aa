"""Sequences as the tokenizer makes them, each text once; vectors that no order of units changes."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from ameli_llm.errors import AmeliError
from eval.baselines.amelink import features
from eval.baselines.amelink.encoder import TextEncoder, load_encoder, pooler_weights
from eval.baselines.amelink.features import encoded, stored
from eval.baselines.amelink.pairs import TextPair
from eval.baselines.amelink.settings import MINILM, settings_for
from tests.abuse.damage import damaged
from tests.baselines.amelink_world import tiny_settings, write_tiny_deberta

PAIRS = [
    TextPair("i bought it in red", "color: red"),
    TextPair("i bought it in red", "color: blue"),
    TextPair("", "size: small"),
    TextPair("the large lamp", "a lamp for every home."),
]


@pytest.fixture(scope="module")
def deberta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_deberta(tmp_path_factory.mktemp("deberta"))


@pytest.fixture(scope="module")
def encoder(deberta: Path) -> TextEncoder:
    return load_encoder(tiny_settings(deberta))


@pytest.mark.parametrize("name", ["deberta", MINILM])
def test_pairs_are_put_together_as_the_tokenizer_does(name: str, deberta: Path) -> None:
    given = deberta if name == "deberta" else MINILM
    tokens = load_encoder(tiny_settings(given, pairing="joint", max_tokens=40)).tokens
    long = TextPair("large red lamp " * 30, "color " * 7)
    for pair in [*PAIRS, long, TextPair(long.second, long.first), TextPair(long.first, long.first)]:
        own = tokens._tokenizer(*pair, truncation="longest_first", max_length=40)
        [made] = tokens.sequences([pair])
        assert len(made.ids) <= 40
        assert sorted(made.ids.tolist()) == sorted(own["input_ids"])
        if len(made.ids) < 40:
            assert made.ids.tolist() == own["input_ids"]
            types = [int(position >= made.second) for position in range(len(made.ids))]
            assert types == own["token_type_ids"]


@pytest.mark.parametrize("name", ["deberta", MINILM])
def test_a_written_separator_gives_the_sequence_of_the_one_string(name: str, deberta: Path) -> None:
    given = deberta if name == "deberta" else MINILM
    tokens = load_encoder(tiny_settings(given, pairing="joint", literal_sep=True)).tokens
    for pair in PAIRS:
        [made] = tokens.sequences([pair])
        assert made.ids.tolist() == tokens._tokenizer(f"{pair.first} [SEP] {pair.second}")["input_ids"]
        assert made.second == len(made.ids)


def test_every_text_is_tokenised_once(deberta: Path) -> None:
    tokens = load_encoder(tiny_settings(deberta)).tokens
    tokens.sequences(PAIRS)
    tokens.sequences(PAIRS)
    assert tokens.tokenised == len({text for pair in PAIRS for text in pair})


def test_vectors_depend_on_no_order(encoder: TextEncoder) -> None:
    units = [*PAIRS, *(TextPair(f"{word} lamp", "size") for word in ("red", "blue", "green"))]
    forth = encoded(encoder, units)
    back = encoded(encoder, units[::-1])
    np.testing.assert_array_equal(forth, back[::-1])
    assert len({row.tobytes() for row in forth}) == len(units)


def test_padding_changes_nothing(deberta: Path) -> None:
    alone = load_encoder(tiny_settings(deberta), budget=1)
    together = load_encoder(tiny_settings(deberta))
    found = [encoded(one, PAIRS).astype(np.float32) for one in (alone, together)]
    np.testing.assert_allclose(*found, atol=2e-3)


def test_minilm_gives_the_vectors_of_its_package() -> None:
    from retrieval.encoders.sbert import create

    texts = ["Color: Red", "I wanted the small one but got the large one."]
    with torch.no_grad():
        found = load_encoder(settings_for("paper", MINILM)).vectors(texts).numpy()
    np.testing.assert_allclose(found, create().encode(texts), atol=1e-5)


def test_no_units_give_no_vectors(encoder: TextEncoder) -> None:
    assert encoded(encoder, []).shape == (0, 32)


def test_no_units_are_no_file(encoder: TextEncoder, tmp_path: Path) -> None:
    assert stored(tmp_path / "none", encoder, []).shape == (0, 32)
    assert not (tmp_path / "none").exists()


def test_stored_vectors_are_those_of_one_call_whenever_it_was_stopped(
    encoder: TextEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "PART", 2)
    units = sorted(
        TextPair(f"{a} lamp", f"size: {b}") for a in ("red", "blue") for b in ("small", "huge", "x")
    )
    whole = np.array(stored(tmp_path / "a", encoder, units))
    calls = []

    def stop(done: int, total: int) -> None:
        calls.append(done)
        assert total == len(units)
        if len(calls) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stored(tmp_path / "b", encoder, units, stop)
    assert json.loads((tmp_path / "b" / features.STATE).read_text())["done"] == 2
    calls.clear()
    again = stored(tmp_path / "b", encoder, units, lambda done, total: calls.append(done))
    assert calls == [4, 6]
    np.testing.assert_array_equal(again, whole)
    features.discard(tmp_path / "b")
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("file", [features.FILE, features.STATE])
def test_stored_vectors_that_are_damaged_are_encoded_again(
    file: str, encoder: TextEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "PART", 2)
    units = sorted(TextPair(f"{a} lamp", "size: small") for a in ("red", "blue", "green"))
    whole = np.array(stored(tmp_path, encoder, units))
    content, draw = (tmp_path / file).read_bytes(), random.Random(17)
    for _ in range(25):
        what, changed = damaged(content, draw)
        (tmp_path / file).write_bytes(changed)
        np.testing.assert_array_equal(stored(tmp_path, encoder, units), whole, what)


def test_stored_vectors_of_other_texts_are_not_taken(encoder: TextEncoder, tmp_path: Path) -> None:
    first = np.array(stored(tmp_path, encoder, PAIRS))
    other = [TextPair("black kettle", pair.second) for pair in PAIRS]
    assert not np.array_equal(np.array(stored(tmp_path, encoder, other)), first)


def test_the_checkpoints_pooler_is_found(tmp_path: Path, deberta: Path) -> None:
    folder = write_tiny_deberta(tmp_path / "pooled", pooler=True)
    assert {name: list(w.shape) for name, w in pooler_weights(str(folder)).items()} == {
        "weight": [32, 32],
        "bias": [32],
    }
    assert pooler_weights(str(deberta)) == {}


def test_a_folder_that_is_no_encoder(tmp_path: Path) -> None:
    with pytest.raises(AmeliError, match="Cannot load the text encoder") as caught:
        load_encoder(tiny_settings(tmp_path))
    assert "minilm" in (caught.value.hint or "")


def test_a_name_that_no_hub_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(AmeliError, match="Cannot load the text encoder 'nobody/has-this'"):
        load_encoder(tiny_settings("nobody/has-this"))
