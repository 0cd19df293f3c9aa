"""M-JAVE against its equations, each written out once more with numpy, and what each ablation takes away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from ameli_llm.attributes.mjave import KIND
from ameli_llm.attributes.mjave.network import Mjave
from ameli_llm.attributes.mjave.settings import MjaveSettings
from ameli_llm.attributes.tagging.batches import Batch, Batches
from ameli_llm.attributes.tagging.pictures import Pictures
from ameli_llm.attributes.tagging.settings import made_of
from ameli_llm.attributes.tagging.trained import build
from ameli_llm.errors import AmeliError
from tests.attributes.tagging_world import prepare, shop, text_of, tiny_bert, tiny_regions

LABELS = ("Colour", "Material")
Make = Callable[..., tuple[Mjave, Batch]]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """A model with these settings, and a batch of three texts, the last without a picture and shorter."""
    folder = tmp_path_factory.mktemp("mjave")
    bert = tiny_bert(folder / "bert")
    texts = [*shop(folder / "shop").split("train")[:2], text_of("a <Colour>red</Colour> bag")]

    def made(**changes: Any) -> tuple[Mjave, Batch]:
        image = changes.pop("image_encoder", "tiny")
        settings = MjaveSettings(
            encoder=str(bert), image_encoder=image, max_tokens=20, attention=5, **changes
        )
        tagger, cutter, _ = build(KIND, settings, LABELS, tiny_regions, seed=1)
        assert isinstance(tagger, Mjave)
        pictures = Pictures(prepare) if image != "none" else None
        words = cutter.cut([text.text for text in texts])
        batches = Batches(texts, words, LABELS, pad=cutter.pad, device=tagger.device, pictures=pictures)
        return tagger.eval(), batches.batch([0, 1, 2])

    return made


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def softmax(x: Any) -> Any:
    powers = np.exp(x - x.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def by_hand(tagger: Mjave, batch: Batch, row: int, seen: bool) -> dict[str, Any]:
    """Equations 1 to 14 for one text, over its own words only."""
    weights = {name: tensor.detach().double().numpy() for name, tensor in tagger.state_dict().items()}

    def w(name: str) -> Any:
        return weights[f"{name}.weight"].T

    with torch.no_grad():
        all_states = tagger.states(batch)[row].double().numpy()
    h = all_states[batch.words[row].numpy()]
    h0 = all_states[0]
    root = np.sqrt(w("fusion.query_text").shape[1])
    text_weights = softmax(h @ w("fusion.query_text") @ (h @ w("fusion.key_text")).T / root)  # 1, 2
    fused = text_weights @ (h @ w("fusion.value_text"))
    if seen:
        with torch.no_grad():
            v = tagger.regions(batch)[row].double().numpy()  # type: ignore[index]
        image_weights = softmax(h @ w("fusion.query_image") @ (v @ w("fusion.key_image")).T / root)  # 3, 4
        values = v @ w("fusion.value_image")
        gate = sigmoid(
            h @ w("fusion.gate_text") + v.mean(0) @ w("fusion.gate_image") + weights["fusion.gate_image.bias"]
        )  # 6
        fused = fused + gate * (image_weights @ values)  # 5
    y_a = sigmoid(
        h.sum(0) @ w("attribute_head.of_words")
        + fused.sum(0) @ w("attribute_head.of_fused")
        + h0 @ w("attribute_head.of_whole")
    )  # 7
    total = (
        h @ w("value_head.of_words") + fused @ w("value_head.of_fused") + y_a @ w("value_head.of_attributes")
    )
    if seen:
        region_gate = sigmoid(
            y_a @ w("value_head.gate_attributes") + (v @ w("value_head.gate_regions"))[:, 0]
        )  # 10
        total = total + (image_weights * region_gate) @ values
    y_v = softmax(total @ w("value_head.tags") + weights["value_head.tags.bias"])  # 9
    mapped = np.array([(y_v[:, 2 * n + 1].max() + y_v[:, 2 * n + 2].max()) / 2 for n in range(len(LABELS))])
    wanted, tags = batch.wanted[row].numpy(), batch.tags[row][batch.words[row]].numpy()
    return {
        "y_a": y_a,
        "y_v": y_v,
        "loss_a": -np.sum(wanted * np.log(y_a) + (1 - wanted) * np.log(1 - y_a)),  # 8
        "loss_v": -np.sum(np.log(y_v[np.arange(len(tags)), tags])),  # 11
        "kl": np.sum(y_a * np.log(y_a / mapped)),  # 12, 13
    }


def test_the_equations(make: Make) -> None:
    tagger, batch = make()
    with torch.no_grad():
        attributes, values = tagger(batch)
        loss = tagger.loss(batch)
    found = [by_hand(tagger, batch, row, seen=row < 2) for row in range(3)]
    for row, expected in enumerate(found):
        np.testing.assert_allclose(torch.sigmoid(attributes[row]).numpy(), expected["y_a"], atol=1e-5)
        chances = values[row].softmax(1)[batch.words[row]].numpy()
        np.testing.assert_allclose(chances, expected["y_v"], atol=1e-5)
    of_a, of_v, of_kl = (np.mean([one[name] for one in found]) for name in ("loss_a", "loss_v", "kl"))
    assert float(loss) == pytest.approx(of_a + of_v + 0.5 * of_kl, abs=1e-5)  # 14


def test_a_text_is_read_as_if_it_were_alone(make: Make) -> None:
    """Padding and the pictures of others change nothing."""
    tagger, batch = make()
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
        one, among = tagger(alone), tagger(batch)
    torch.testing.assert_close(one[0][0], among[0][2], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(one[1][0], among[1][2, :tokens], atol=1e-5, rtol=1e-5)


def reached(tagger: Mjave, batch: Batch) -> set[str]:
    """The layers to which the loss has a gradient that is not zero."""
    tagger.train()
    tagger.zero_grad()
    tagger.loss(batch).backward()
    return {
        name.removesuffix(".weight")
        for name, weight in tagger.named_parameters()
        if name.endswith(".weight") and weight.grad is not None and float(weight.grad.abs().max()) > 0
    }


VISUAL = {"fusion.query_image", "fusion.key_image", "fusion.value_image"}
GLOBAL_GATE = {"fusion.gate_text", "fusion.gate_image"}
REGIONAL_GATE = {"value_head.gate_attributes", "value_head.gate_regions"}


@pytest.mark.parametrize(
    ("changes", "gone"),
    [
        ({"without": ("global_gate",)}, GLOBAL_GATE),
        ({"without": ("regional_gate",)}, REGIONAL_GATE),
        ({"without": ("global_attention",)}, GLOBAL_GATE),
        ({"without": ("regional_attention",)}, REGIONAL_GATE),
        ({"without": ("global_attention", "regional_attention")}, VISUAL | GLOBAL_GATE | REGIONAL_GATE),
        ({"without": ("attributes",)}, {"value_head.of_attributes"}),
        ({"without": ("multitask",)}, {"value_head.of_attributes", "value_head.gate_attributes"}),
    ],
    ids=lambda value: "+".join(value["without"]) if isinstance(value, dict) else "",
)
def test_an_ablation_takes_these_layers_away(make: Make, changes: Any, gone: set[str]) -> None:
    whole = reached(*make())
    assert VISUAL | GLOBAL_GATE | REGIONAL_GATE | {"value_head.of_attributes"} <= whole
    left = reached(*make(**changes))
    assert whole - left == gone
    assert {name.partition(".")[0] for name in left - whole} <= {"own_fusion"}


def test_jave_has_no_visual_layer(make: Make) -> None:
    tagger, batch = make(image_encoder="none")
    assert batch.seen is None
    assert not any("image" in name or "gate" in name for name, _ in tagger.named_parameters())
    assert float(tagger.loss(batch).detach()) > 0


def test_without_the_divergence_the_loss_is_that_of_both_tasks(make: Make) -> None:
    tagger, batch = make()
    losses = {}
    for name, changes in {"whole": {}, "kl": {"without": ("kl",)}, "lambda": {"kl": 0.0}}.items():
        other, _ = make(**changes)
        other.load_state_dict(tagger.state_dict())
        losses[name] = float(other.loss(batch).detach())
    assert losses["kl"] == losses["lambda"] != losses["whole"]


def test_tasks_apart_share_no_layer(make: Make) -> None:
    tagger, batch = make(without=("multitask",))
    attributes, values = tagger(batch)
    own = list(tagger.fusion.parameters())
    assert all(
        g is None for g in torch.autograd.grad(values.sum(), own, retain_graph=True, allow_unused=True)
    )
    assert tagger.own_fusion is not None
    other = list(tagger.own_fusion.parameters())
    assert all(g is None for g in torch.autograd.grad(attributes.sum(), other, allow_unused=True))


def test_upper_bounds_read_gold(make: Make) -> None:
    tagger, batch = make(gold="attributes")
    said = [one.attributes for one in tagger.said(batch)]
    assert said == [(0, 1), (0, 1), (0,)]
    turned = Batch(**{**vars(batch), "wanted": 1 - batch.wanted})
    assert not torch.equal(tagger(batch)[1], tagger(turned)[1])
    plain, _ = make()
    assert torch.equal(plain(batch)[1], plain(turned)[1])
    bound, _ = make(gold="values")
    without, _ = make(without=("kl",))
    assert not torch.equal(bound.loss(batch), without.loss(batch))


def test_encoders_learn_only_where_they_are_not_frozen(make: Make) -> None:
    frozen, batch = make()
    assert not {name for name in reached(frozen, batch) if name.startswith(("text", "image"))}
    tuned, batch = make(frozen=False)
    assert {"text.model.embeddings.word_embeddings", "image.0"} <= reached(tuned, batch)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"without": ["sound"]}, "without.0: Input should be 'multitask'"),
        ({"image_encoder": "none", "without": ["global_gate"]}, "without global_gate: there is no picture"),
        ({"gold": "values", "without": ["multitask"]}, "gold values leads from one task to the other"),
        ({"lambda": 1}, "No setting named 'lambda'."),
        ({"epochs": 0}, "epochs: Input should be greater than or equal to 1"),
    ],
)
def test_wrong_settings(changes: Any, said: str) -> None:
    with pytest.raises(AmeliError, match=said):
        made_of(MjaveSettings, changes)


def test_titles() -> None:
    assert MjaveSettings().title == "M-JAVE"
    assert MjaveSettings(image_encoder="none", without=("kl",)).title == "JAVE, w/o kl"
    assert MjaveSettings(frozen=False).title == "M-JAVE, fine-tuned"
