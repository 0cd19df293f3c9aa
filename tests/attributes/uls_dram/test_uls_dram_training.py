"""ULS-DRAM trained: it learns what the picture tells, goes on to the same bytes, and extracts."""

from __future__ import annotations

from pathlib import Path

import pytest

from ameli_llm.attributes.extractor import ExtractionTask
from ameli_llm.attributes.tagging import folder as folders
from ameli_llm.attributes.tagging.examples import Corpus
from ameli_llm.attributes.tagging.tags import attribute_f1, span_f1
from ameli_llm.attributes.tagging.trained import load_trained
from ameli_llm.attributes.tagging.training import Training, train
from ameli_llm.attributes.uls_dram import KIND, create
from ameli_llm.errors import AmeliError
from ameli_llm.types import Review
from tests.attributes.tagging_world import settings_of, shop, tiny_bert, tiny_regions


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


def test_the_picture_tells_what_gold_is(learned: Training, corpus: Corpus) -> None:
    texts = corpus.split("test")
    trained = load_trained(KIND, learned.folder, tiny_regions)
    found = trained.found(texts)
    assert span_f1(texts, found) == attribute_f1(texts, found) == 1.0
    assert folders.read(learned.folder, KIND).title == "ULS-DRAM"
    # The encoders are fine-tuned: what the folder holds is not what they began with.
    assert "text.model.embeddings.word_embeddings.weight" in trained.tagger.state_dict()
    assert trained.tagger.text.revision == learned.description.encoder_revision


def test_it_extracts(learned: Training, corpus: Corpus) -> None:
    image = corpus.split("train")[0].image
    extractor = create(str(learned.folder), lambda name: image, tiny_regions)
    review = Review(1, body="a red shirt of silk, a gold shirt", images=("Colour.png",))
    (found,) = extractor.extract([ExtractionTask(review, {"Colour": ("Red", "Gold"), "Material": ("Silk",)})])
    assert [(v.key, v.value, v.source, v.evidence.start) for v in found.values] == [
        ("Colour", "Red", "uls_dram", 2),
        ("Material", "Silk", "uls_dram", 15),
        ("Colour", "Gold", "uls_dram", 23),
    ]


def test_interrupted_it_goes_on_to_the_same_bytes(corpus: Corpus, bert: Path, tmp_path: Path) -> None:
    settings = settings_of(KIND, bert, epochs=2)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train(KIND, corpus, whole, settings, tiny_regions, checkpoint_seconds=0)

    def stop(stage: str, done: int, total: int) -> None:
        if done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(KIND, corpus, broken, settings, tiny_regions, progress=stop, checkpoint_seconds=0)
    train(KIND, corpus, broken, settings, tiny_regions, checkpoint_seconds=0)
    for name in (folders.WEIGHTS, folders.DESCRIPTION):
        assert (broken / name).read_bytes() == (whole / name).read_bytes()


def test_another_rate_is_another_training(learned: Training, corpus: Corpus, bert: Path) -> None:
    other = settings_of(KIND, bert, image_share=0.25)
    with pytest.raises(AmeliError, match=r"settings\.image_share 0\.5 instead of 0\.25"):
        train(KIND, corpus, learned.folder, other, tiny_regions, seed=1)
