"""ULS-DRAM against its equations, each written out once more, and what each of its variants has."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

from ameli_llm.attributes.tagging.batches import Batch, Batches
from ameli_llm.attributes.tagging.pictures import Pictures
from ameli_llm.attributes.tagging.settings import made_of
from ameli_llm.attributes.tagging.text_encoder import TextEncoder
from ameli_llm.attributes.tagging.trained import build
from ameli_llm.attributes.uls_dram import KIND
from ameli_llm.attributes.uls_dram.decoder import Decoder
from ameli_llm.attributes.uls_dram.network import UlsDram, of_attribute
from ameli_llm.attributes.uls_dram.settings import UlsDramSettings
from ameli_llm.errors import AmeliError
from tests.attributes.tagging_world import prepare, shop, text_of, tiny_bert, tiny_regions

LABELS = ("Colour", "Material", "Size")
VARIANTS = tuple(
    itertools.product(("vanilla", "self_attention", "tir"), ("all", "prototype", "dynet", "bert"))
)
Make = Callable[..., tuple[UlsDram, Batch]]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """A model with these settings, and a batch of three texts, the last without a picture and shorter."""
    folder = tmp_path_factory.mktemp("uls")
    bert = tiny_bert(folder / "bert")
    texts = [*shop(folder / "shop").split("train")[:2], text_of("a <Colour>red</Colour> bag")]

    def made(**changes: Any) -> tuple[UlsDram, Batch]:
        given = {"encoder": str(bert), "image_encoder": "tiny", "max_tokens": 20, **changes}
        settings = UlsDramSettings.model_validate(given)
        tagger, cutter, image = build(KIND, settings, LABELS, tiny_regions, seed=1)
        assert isinstance(tagger, UlsDram)
        words = cutter.cut([text.text for text in texts])
        pictures = Pictures(prepare) if image else None
        batches = Batches(texts, words, LABELS, pad=cutter.pad, device=tagger.device, pictures=pictures)
        return tagger.eval(), batches.batch([0, 1, 2])

    return made


def test_tir_asks_text_and_picture(make: Make) -> None:
    """Equations 3 to 5, for a text with a picture and for one without; no softmax."""
    tagger, batch = make(attention=5)
    assert tagger.fusion is not None
    assert batch.seen is not None
    words, patches = torch.randn(3, batch.ids.shape[1], 16), torch.randn(3, 4, 16)
    there = batch.seen[:, None].expand(3, 4)
    with torch.no_grad():
        found = tagger.fusion.fused(words, patches, batch.attention.bool(), there).numpy()
    w = {name: tensor.detach().numpy().T for name, tensor in tagger.fusion.state_dict().items()}

    def attention(part: str, asking: Any, asked: Any) -> Any:
        query, key, value = (w[f"{part}.{name}.weight"] for name in ("query", "key", "value"))
        return (asking @ query) @ (asked @ key).T / np.sqrt(5) @ (asked @ value)

    for row in range(3):
        x = words[row, : int(batch.attention[row].sum())].numpy()
        expected = attention("within", x, x)
        if row < 2:
            expected = expected + attention("across", x, patches[row].numpy())
        expected = x + expected @ w["back.weight"]
        np.testing.assert_allclose(found[row, : len(x)], expected, atol=1e-4)


def test_guidance_is_the_cosine_with_the_prototype(make: Make) -> None:
    """Equations 6 to 8."""
    tagger, batch = make()
    assert tagger.range is not None
    with torch.no_grad():
        states = tagger.encoded(batch)
        logits = tagger.range.logits(states)
        expected = states[:, 0] @ tagger.range.classify.weight.T
        torch.testing.assert_close(logits, expected)
        features = tagger.range.features(states[:1], torch.tensor([2])).numpy()[0]
        prototype = tagger.range.prototypes[2].numpy()
        f = states[0].numpy()
    cosine = f @ prototype / np.linalg.norm(f, axis=1) / np.linalg.norm(prototype)
    np.testing.assert_allclose(features, np.concatenate([f, cosine[:, None] * f], axis=1), atol=1e-5)


@pytest.mark.parametrize(
    ("chances", "gold", "most", "selected"),
    [
        ([[0.9, 0.4, 0.6]], None, 3, [(0, 0), (0, 2)]),
        ([[0.9, 0.4, 0.6]], None, 1, [(0, 0)]),
        ([[0.5, 0.4, 0.3]], None, 3, []),  # more than S_thr, not as much
        ([[0.9, 0.4, 0.6]], [[0, 1, 0]], 3, [(0, 0), (0, 1), (0, 2)]),
        ([[0.9, 0.4, 0.6]], [[0, 1, 0]], 2, [(0, 0), (0, 1)]),
        ([[0.1, 0.1, 0.1], [0.1, 0.7, 0.1]], [[1, 0, 0], [0, 0, 0]], 3, [(0, 0), (1, 1)]),
    ],
)
def test_the_range(make: Make, chances: Any, gold: Any, most: int, selected: list[tuple[int, int]]) -> None:
    tagger, _ = make(most=most)
    assert tagger.range is not None
    wanted = None if gold is None else torch.tensor(gold, dtype=torch.float32)
    rows, attributes = tagger.range.selected(torch.logit(torch.tensor(chances)), wanted)
    assert list(zip(rows.tolist(), attributes.tolist(), strict=True)) == selected


def test_an_attribute_sees_its_own_tags_only() -> None:
    tags = torch.tensor([[0, 1, 2, 3, 5, 6], [0, 1, 2, 3, 5, 6]])
    assert of_attribute(tags, torch.tensor([0, 2])).tolist() == [[0, 1, 2, 0, 0, 0], [0, 0, 0, 0, 1, 2]]


def test_the_loss_is_of_values_and_of_attributes(make: Make) -> None:
    tagger, batch = make(attributes="prototype", threshold=1.0)  # nothing is selected but what is there
    assert tagger.range is not None
    with torch.no_grad():
        states = tagger.encoded(batch)
        chances = torch.sigmoid(tagger.range.logits(states))
        wanted = batch.wanted
        of_attributes = -(wanted * chances.log() + (1 - wanted) * (1 - chances).log()).mean()
        rows, labels = wanted.nonzero(as_tuple=True)
        words, own = batch.words[:, 1:], of_attribute(batch.tags[rows, 1:], labels)
        losses = []
        for row, label, tags in zip(rows, labels, own, strict=True):
            length = int(words[row].sum())
            features = tagger.range.features(states[row : row + 1, 1 : length + 1], label[None])
            mask = torch.ones(1, length, dtype=torch.bool)
            losses.append(tagger.decoder.loss(features, mask, tags[None, :length]))
        expected = of_attributes + torch.stack(losses).mean()
        torch.testing.assert_close(tagger.loss(batch), expected, atol=1e-4, rtol=1e-4)


def sequences(count: int, length: int) -> Iterator[tuple[int, ...]]:
    return itertools.product(range(count), repeat=length)


def test_the_crf_against_all_sequences() -> None:
    """Its likelihoods add up to 1 over all tag sequences, and the best is the likeliest of them."""
    torch.manual_seed(0)
    decoder = Decoder(4, 6, 3)
    features, words = torch.randn(1, 4, 4), torch.tensor([[True, True, True, False]])
    with torch.no_grad():
        chances = {
            tags: float((-decoder.loss(features, words, torch.tensor([[*tags, 0]]))).exp())
            for tags in sequences(3, 3)
        }
        best = decoder.best(features, words)
    assert sum(chances.values()) == pytest.approx(1, abs=1e-5)
    assert best == [list(max(chances, key=chances.__getitem__))]


@pytest.mark.parametrize(("fusion", "attributes"), VARIANTS)
def test_a_text_is_read_as_if_it_were_alone(make: Make, fusion: str, attributes: str) -> None:
    """Padding and the pictures of others change nothing, in any variant; all of them can be trained."""
    tagger, batch = make(fusion=fusion, attributes=attributes, threshold=0.0)
    tokens = int(batch.attention[2].sum())
    alone = Batch(
        ids=batch.ids[2:, :tokens],
        attention=batch.attention[2:, :tokens],
        words=batch.words[2:, :tokens],
        tags=batch.tags[2:, :tokens],
        wanted=batch.wanted[2:],
        seen=torch.tensor([False]),
    )
    with torch.no_grad():
        torch.testing.assert_close(
            tagger.encoded(alone)[0], tagger.encoded(batch)[2, :tokens], atol=1e-5, rtol=1e-5
        )
        assert tagger.said(alone) == tagger.said(batch)[2:]
    assert (tagger.said(batch)[0].attributes is None) == (attributes == "all")
    tagger.loss(batch).backward()
    silent = [name for name, p in tagger.named_parameters() if p.grad is None]
    assert silent == []


def test_uls_l_reads_no_picture(make: Make) -> None:
    tagger, batch = make(image_encoder="none", attributes="all")
    assert (tagger.image, tagger.fusion, batch.seen) == (None, None, None)
    assert len(tagger.said(batch)) == 3


def test_names_guide_as_the_untrained_encoder_reads_them(make: Make) -> None:
    tagger, _ = make(attributes="bert")
    assert tagger.range is not None
    assert "prototypes" not in dict(tagger.range.named_parameters())
    assert tagger.range.prototypes.shape == (3, 16)


def test_too_many_regions_for_the_encoder(make: Make) -> None:
    tagger, batch = make(fusion="vanilla")
    tagger.text.model.config.max_position_embeddings = 14
    with pytest.raises(AmeliError, match=r"and 4 regions are more than the 14 that .* reads"):
        tagger.loss(batch)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"encoder": "bilstm"}, "words and regions are read by a pretrained encoder"),
        ({"threshold": 2}, "threshold: Input should be less than or equal to 1"),
        ({"lstm": 5}, "lstm has to be even"),
        ({"fusion": "late"}, "fusion: Input should be 'vanilla', 'self_attention' or 'tir'"),
        ({"frozen": True}, "No setting named 'frozen'"),
    ],
)
def test_wrong_settings(changes: Any, said: str) -> None:
    with pytest.raises(AmeliError, match=said):
        made_of(UlsDramSettings, changes)


def test_titles() -> None:
    assert UlsDramSettings().title == "ULS-DRAM"
    assert UlsDramSettings(image_encoder="none", attributes="all").title == "ULS-L"
    assert UlsDramSettings(fusion="vanilla", attributes="all").title == "ULS-VL"
    assert UlsDramSettings(fusion="vanilla").title == "ULS-VL + PAR"
    assert UlsDramSettings(attributes="dynet").title == "ULS-VL + TIR + DyN-AR"


def test_a_roberta_counts_positions_from_behind_its_padding() -> None:
    from transformers import RobertaConfig, RobertaModel

    config = RobertaConfig(
        vocab_size=12, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, max_position_embeddings=12
    )
    encoder = TextEncoder(RobertaModel(config, add_pooling_layer=False).eval(), "tiny", "1")
    ids, attention = torch.tensor([[0, 5, 6, 2]]), torch.ones(1, 4, dtype=torch.long)
    with torch.no_grad():
        torch.testing.assert_close(encoder(ids, attention), encoder.encoded(encoder.embedded(ids), attention))
    assert encoder.window == 10
