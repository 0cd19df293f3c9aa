"""Trained taggers as extractors: values of the vocabulary with their spans, the others counted by reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from ameli_llm.attributes import EXTRACTORS
from ameli_llm.attributes.extractor import Extraction, ExtractionTask, Extractor
from ameli_llm.attributes.mjave import KIND, create
from ameli_llm.attributes.tagging.examples import Corpus
from ameli_llm.attributes.tagging.training import train
from ameli_llm.config import RunConfig, override
from ameli_llm.errors import AmeliError
from ameli_llm.linker import Linker
from ameli_llm.parts import Parts
from ameli_llm.types import Review, Vocabulary
from tests.attributes.tagging_world import settings_of, shop, tiny_bert, tiny_regions

VOCABULARY: Vocabulary = {"colour": ("RED", "Blue/Green", "Gold"), "Material": ("Silk", "Gold")}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("world")


@pytest.fixture(scope="module")
def corpus(world: Path) -> Corpus:
    return shop(world / "shop")


@pytest.fixture(scope="module")
def extractor(world: Path, corpus: Corpus) -> Extractor:
    settings = settings_of(KIND, tiny_bert(world / "bert"))
    train(KIND, corpus, world / "model", settings, tiny_regions, seed=1)
    return create(str(world / "model"), lambda name: path_of(world, name), tiny_regions)


def path_of(world: Path, name: str) -> Path | None:
    path = world / "shop" / name
    return path if path.is_file() else None


def extracted(extractor: Extractor, vocabulary: Vocabulary = VOCABULARY, **review: object) -> Extraction:
    (found,) = extractor.extract([ExtractionTask(Review(1, **review), vocabulary)])  # type: ignore[arg-type]
    return found


def shown(found: Extraction) -> list[tuple[str, str, str, str, bool]]:
    return [
        (value.key, value.value, value.evidence.field, value.evidence.text, value.negated)
        for value in found.values
    ]


def test_values_have_the_candidates_spelling_and_their_place(extractor: Extractor) -> None:
    body = "a red shirt of silk, a gold shirt"
    found = extracted(extractor, body=body, images=("Colour.png",))
    assert shown(found) == [
        ("colour", "RED", "body", "red", False),
        ("Material", "Silk", "body", "silk", False),
        ("colour", "Gold", "body", "gold", False),
    ]
    assert {value.source for value in found.values} == {"mjave"}
    assert [body[v.evidence.start : v.evidence.end] for v in found.values] == ["red", "silk", "gold"]


def test_the_picture_decides(extractor: Extractor) -> None:
    found = extracted(
        extractor, body="a red shirt of silk, a gold shirt", images=("gone.png", "Material.png")
    )
    assert ("Material", "Gold", "body", "gold", False) in shown(found)
    assert found.dropped["image_missing"] == 1


def test_what_no_candidate_has_is_counted(extractor: Extractor) -> None:
    body = "a red shirt of wool, a gold shirt"
    found = extracted(extractor, {"colour": ("RED",)}, body=body, images=("Colour.png",))
    assert shown(found) == [("colour", "RED", "body", "red", False)]
    assert found.dropped == {"unknown_key": 1, "unknown_value": 1}


def test_a_long_text_is_read_to_its_end(extractor: Extractor) -> None:
    sentence = "a green bag of wool, a gold bag. "
    body = 6 * sentence + "a red bag of silk, a gold bag"
    found = extracted(extractor, body=body, images=("Colour.png",))
    red = next(value for value in found.values if value.value == "RED")
    assert red.evidence.start == len(6 * sentence) + 2
    assert next(value for value in found.values if value.value == "Green").evidence.start == 2


def test_a_broken_picture_is_counted(extractor: Extractor, world: Path) -> None:
    (world / "shop" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    found = extracted(extractor, body="a red shirt of silk, a gold shirt", images=("broken.png",))
    assert found.dropped["image_truncated"] == 1
    assert ("colour", "RED", "body", "red", False) in shown(found)


def test_what_is_denied_is_negated(extractor: Extractor) -> None:
    found = extracted(extractor, body="not a red shirt of silk, a gold shirt", images=("Colour.png",))
    assert ("colour", "RED", "body", "red", True) in shown(found)


def test_nothing_to_read(extractor: Extractor) -> None:
    assert extracted(extractor) == Extraction()
    assert extractor.extract([]) == []
    assert extracted(extractor, header="\n", body=" ").values == ()


def test_the_configuration_names_the_folder(extractor: Extractor, world: Path) -> None:
    folder = world / "model"
    config = override(
        RunConfig(), ["attributes.extractors=[rules,mjave]", f"attributes.trained={{mjave: {folder}}}"]
    )
    parts = Parts(config, None, None, lambda name: path_of(world, name), lambda texts: [], tiny_regions)  # type: ignore[arg-type,return-value]
    made = parts.extractors({})
    found = extracted(made["mjave"], body="a red shirt of silk, a gold shirt", images=("Colour.png",))
    assert len(found.values) == 3
    assert made["mjave"].revision == extractor.revision  # type: ignore[attr-defined]


def test_what_is_wrong_with_the_folder(world: Path, corpus: Corpus) -> None:
    assert "mjave" in EXTRACTORS.names()
    with pytest.raises(
        AmeliError, match=r"needs a folder with its weights.*attributes\.trained=\{mjave: DIR\}"
    ):
        create("", lambda name: None, tiny_regions)
    with pytest.raises(AmeliError, match="No trained mjave in"):
        create(str(world / "none"), lambda name: None, tiny_regions)


def test_an_upper_bound_is_no_extractor(world: Path, corpus: Corpus) -> None:
    settings = settings_of(KIND, tiny_bert(world / "bert2"), gold="attributes", epochs=1)
    train(KIND, corpus, world / "bound", settings, tiny_regions)
    bound = create(str(world / "bound"), lambda name: None, tiny_regions)
    with pytest.raises(AmeliError, match="reads the right attributes of a text: no review tells them"):
        extracted(bound, body="a red bag")


def test_the_linker_goes_by_what_it_finds(world: Path, corpus: Corpus) -> None:
    folder = world / "without pictures"
    settings = settings_of(KIND, tiny_bert(world / "bert2"), image_encoder="none")
    train(KIND, corpus, folder, settings, tiny_regions, seed=1)
    products = [
        {"id": f"{colour} {stuff}", "name": "Shirt", "attributes": {"colour": colour, "Material": stuff}}
        for colour in ("red", "blue")
        for stuff in ("silk", "wool")
    ]
    trained = ["attributes.extractors=[mjave]", f"attributes.trained={{mjave: '{folder}'}}"]
    cheap = ["retrieval.weights={title: 1.0}", "retrieval.image_encoder=none"]
    with Linker.open(products, settings=[*cheap, *trained]) as linker:
        for product in linker.products:
            colour, stuff = str(product).split()
            link = linker.link({"body": f"a {colour} shirt of {stuff}, a gold shirt", "mention": "shirt"})
            found = {(one.key, one.value, one.source) for one in link.attributes}
            assert (link.entity_id, found) == (
                product,
                {("colour", colour, "mjave"), ("Material", stuff, "mjave")},
            )
