"""Training a tagger: what it learns, that it goes on to the same bytes, and what is wrong with folders."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from ameli_llm.attributes.mjave import KIND
from ameli_llm.attributes.tagging import folder as folders
from ameli_llm.attributes.tagging.examples import Corpus
from ameli_llm.attributes.tagging.pictures import RegionNetwork
from ameli_llm.attributes.tagging.tags import attribute_f1, span_f1
from ameli_llm.attributes.tagging.trained import load_trained
from ameli_llm.attributes.tagging.training import Training, train
from ameli_llm.errors import AmeliError
from tests.attributes.tagging_world import settings_of, shop, text_of, tiny_bert, tiny_regions


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def learned(bert: Path, corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Training:
    out = tmp_path_factory.mktemp("learned")
    return train(KIND, corpus, out, settings_of(KIND, bert), tiny_regions, seed=1)


def test_the_picture_tells_what_gold_is(
    learned: Training, corpus: Corpus, bert: Path, tmp_path: Path
) -> None:
    texts = corpus.split("test")
    found = load_trained(KIND, learned.folder, tiny_regions).found(texts)
    assert span_f1(texts, found) == attribute_f1(texts, found) == 1.0
    blind = settings_of(KIND, bert, image_encoder="none")
    train(KIND, corpus, tmp_path, blind, tiny_regions, seed=1)
    without = load_trained(KIND, tmp_path, tiny_regions).found(texts)
    # Each text is there with both pictures: of its three values one can be right in half of the cases.
    assert 0.4 < span_f1(texts, without) <= 5 / 6


def test_what_is_kept(learned: Training) -> None:
    described = folders.read(learned.folder, KIND)
    assert described.labels == ("Colour", "Material")
    assert (described.title, described.image_encoder) == ("M-JAVE", "tiny")
    assert described.best_score == 1.0
    assert described.counts["train texts"] == 36
    assert sorted(path.name for path in learned.folder.iterdir()) == [folders.DESCRIPTION, folders.WEIGHTS]
    size = (learned.folder / folders.WEIGHTS).stat().st_size
    assert size < 400_000, "frozen encoders are not in it"


def test_a_second_time_nothing_is_done(learned: Training, corpus: Corpus, bert: Path) -> None:
    again = train(KIND, corpus, learned.folder, settings_of(KIND, bert), tiny_regions, seed=1)
    assert again == dataclasses.replace(learned, already=True)


@pytest.mark.parametrize("frozen", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_interrupted_it_goes_on_to_the_same_bytes(
    frozen: bool, corpus: Corpus, bert: Path, tmp_path: Path
) -> None:
    settings = settings_of(KIND, bert, epochs=2, frozen=frozen)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train(KIND, corpus, whole, settings, tiny_regions, checkpoint_seconds=0)
    for last in (1, 7):

        def stop(stage: str, done: int, total: int, last: int = last) -> None:
            if stage == "training steps" and done > last:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            train(KIND, corpus, broken, settings, tiny_regions, progress=stop, checkpoint_seconds=0)
        assert not (broken / folders.DESCRIPTION).exists()
    train(KIND, corpus, broken, settings, tiny_regions, checkpoint_seconds=0)
    for name in (folders.WEIGHTS, folders.DESCRIPTION):
        assert (broken / name).read_bytes() == (whole / name).read_bytes()


def test_the_checkpoint_of_other_labels(corpus: Corpus, bert: Path, tmp_path: Path) -> None:
    def stop(stage: str, done: int, total: int) -> None:
        if stage == "training steps":
            raise KeyboardInterrupt

    settings = settings_of(KIND, bert, epochs=1)
    with pytest.raises(KeyboardInterrupt):
        train(KIND, corpus, tmp_path, settings, tiny_regions, progress=stop, checkpoint_seconds=0)
    texts = (*corpus.split("train")[:-1], text_of("<Size>a</Size> bag", _image(corpus)))
    other = Corpus("mepave", {**corpus.splits, "train": texts})
    with pytest.raises(AmeliError, match="is the checkpoint of a training on other data"):
        train(KIND, other, tmp_path, settings, tiny_regions)


def test_the_folder_of_another_training(learned: Training, corpus: Corpus, bert: Path) -> None:
    other = settings_of(KIND, bert, kl=0.1)
    with pytest.raises(AmeliError, match=r"weights of another training: settings\.kl 0\.5 instead of 0\.1"):
        train(KIND, corpus, learned.folder, other, tiny_regions, seed=1)
    fewer = Corpus("mepave", {**corpus.splits, "train": (text_of("<Size>a</Size> bag", _image(corpus)),)})
    with pytest.raises(AmeliError, match=r"labels '.*' instead of '"):
        train(KIND, fewer, learned.folder, settings_of(KIND, bert), tiny_regions, seed=1)


def test_one_attribute_is_enough(corpus: Corpus, bert: Path, tmp_path: Path) -> None:
    texts = tuple(text_of(f"a <Colour>{c}</Colour> bag", _image(corpus)) for c in ("red", "blue", "green"))
    one = Corpus("mepave", {"train": texts, "dev": texts})
    done = train(KIND, one, tmp_path, settings_of(KIND, bert, batch_size=3), tiny_regions)
    assert done.description.labels == ("Colour",)
    assert done.description.best_score == 1.0


def test_broken_and_missing_pictures_are_counted(corpus: Corpus, bert: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    good = _image(corpus)
    texts = tuple(text_of("a <Colour>red</Colour> bag", image) for image in (good, broken, None))
    corpus = Corpus("mepave", {"train": texts, "dev": texts})
    done = train(KIND, corpus, tmp_path / "out", settings_of(KIND, bert, epochs=1), tiny_regions)
    assert done.description.counts["train texts without a picture"] == 1
    assert done.description.counts["image truncated"] == 1


@pytest.mark.parametrize("frozen", [True, False])
def test_pictures_of_which_none_can_be_read(frozen: bool, bert: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"GIF89a and no more")
    made = (text_of("a <Colour>red</Colour> bag", broken),)
    corpus = Corpus("mepave", {"train": made, "dev": made})
    with pytest.raises(AmeliError, match="None of the pictures can be used: 1 x image unsupported format"):
        train(KIND, corpus, tmp_path / "out", settings_of(KIND, bert, frozen=frozen), tiny_regions)


@pytest.mark.parametrize(
    ("texts", "changes", "said"),
    [
        (
            ["a <Colour>red</Colour> bag"],
            {},
            "M-JAVE looks at pictures, and none of the 1 training texts has one",
        ),
        (["a bag"], {"image_encoder": "none"}, "None of the 1 texts states a value"),
        (
            ["une <Colour>rouge</Colour> chemise"],
            {"image_encoder": "none"},
            "does not know the language of these texts: 3 of 3 tokens",
        ),
        (["a <Colour>red</Colour> bag"], {"max_tokens": 60}, "Set it to 38 or less"),
    ],
)
def test_what_cannot_be_trained_on(
    texts: list[str], changes: dict[str, Any], said: str, bert: Path, tmp_path: Path
) -> None:
    made = tuple(map(text_of, texts))
    corpus = Corpus("mepave", {"train": made, "dev": made})
    if "max_tokens" in changes:
        changes = {**changes, "image_encoder": "none"}
    with pytest.raises(AmeliError, match=said):
        train(KIND, corpus, tmp_path / "out", settings_of(KIND, bert, **changes), tiny_regions)
    assert not (tmp_path / "out" / folders.WEIGHTS).exists()


@pytest.mark.parametrize("what", ["weights", "labels", "kind", "image", "missing", "description"])
def test_a_folder_that_cannot_be_used(what: str, learned: Training, tmp_path: Path) -> None:
    for path in learned.folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    described = json.loads((tmp_path / folders.DESCRIPTION).read_text(encoding="utf-8"))
    regions, said = tiny_regions, ""
    if what == "weights":
        (tmp_path / folders.WEIGHTS).write_bytes(b"\0" * 64)
        said = "are not those that the training wrote"
    elif what == "labels":
        described["labels"] = ["Colour", "Material", "Size"]
        said = r"is not of this model: attribute_head\.of_fused\.weight is \[2, 50\] there and \[3, 50\] here"
    elif what == "kind":
        described["kind"] = "uls_dram"
        said = "holds a trained uls_dram, not mjave"
    elif what == "image":
        said = "was trained on the image encoder tiny of revision 1; the one found now is of revision 2"

        def regions(name: str) -> RegionNetwork:
            return dataclasses.replace(tiny_regions(name), revision="2")

    elif what == "description":
        described["labels"] = []
        said = "labels: Tuple should have at least 1 item"
    (tmp_path / folders.DESCRIPTION).write_text(json.dumps(described), encoding="utf-8")
    if what == "missing":
        (tmp_path / folders.DESCRIPTION).unlink()
        said = r"No trained mjave in .*Train one: ameli-llm train mjave DATA --out DIR"
    with pytest.raises(AmeliError, match=said):
        load_trained(KIND, tmp_path, regions)


def _image(corpus: Corpus) -> Path | None:
    return corpus.split("train")[0].image
