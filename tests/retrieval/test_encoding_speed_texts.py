"""The text encoder in bfloat16: near the vectors of float32, and an encoder of its own for every index."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from ameli_llm.config import RetrievalConfig
from ameli_llm.errors import AmeliError, MissingPackageError
from ameli_llm.machine import computes_in_bfloat16
from retrieval import encoders
from retrieval.encoders import sbert, sbert_bfloat16
from retrieval.encoders.encoder import TextEncoder, Vectors
from retrieval.index import open_index, read_index
from tests.retrieval.tiny_sbert import tiny_sbert
from tests.shared_setup import cache_of

TEXTS = ("", "a red blender", "Größe 4TB \U0001f600", "word " * 1000, "quiet headphones with two cups")
needs_bfloat16 = pytest.mark.skipif(not computes_in_bfloat16(), reason="no bfloat16 in this CPU")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_sbert(tmp_path_factory)


@pytest.fixture
def cache(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMELI_LLM_CACHE", str(cache_of(tmp_path_factory, tmp_path / "cache")))


@pytest.fixture(scope="module")
def packaged() -> TextEncoder:
    pytest.importorskip("openvino")
    return encoders.text_encoder("sbert_bfloat16")


def cosines(found: Vectors, expected: Vectors) -> Vectors:
    rows: Vectors = (found * expected).sum(axis=1)
    return rows


@needs_bfloat16
class TestVectors:
    def test_they_are_near_those_of_float32(self, packaged: TextEncoder) -> None:
        found, expected = packaged.encode(TEXTS), encoders.text_encoder("sbert").encode(TEXTS)
        assert found.shape == (5, 384)
        assert found.dtype == np.float32
        assert np.linalg.norm(found, axis=1) == pytest.approx(1)
        assert cosines(found, expected).min() > 0.9999
        assert np.abs(found - expected).max() > 1e-5, "it is float32"

    def test_other_texts_hardly_count(self, packaged: TextEncoder) -> None:
        together = packaged.encode(TEXTS)
        alone = np.concatenate([packaged.encode([text]) for text in TEXTS])
        assert cosines(together, alone).min() > 0.99998
        np.testing.assert_array_equal(together, packaged.encode(TEXTS))

    def test_threads_share_it(self, packaged: TextEncoder) -> None:
        expected = [packaged.encode([text]) for text in TEXTS]
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda text: packaged.encode([text]), TEXTS * 4))
        np.testing.assert_array_equal(np.concatenate(found), np.concatenate(expected * 4))

    def test_no_texts(self, packaged: TextEncoder) -> None:
        assert packaged.encode([]).shape == (0, 384)

    def test_it_says_what_it_is(self, packaged: TextEncoder) -> None:
        plain = encoders.text_encoder("sbert")
        assert (packaged.name, packaged.model) == ("sbert_bfloat16", plain.model)
        assert packaged.revision == plain.revision.replace("-onnx", "-bfloat16")

    def test_a_model_of_one_s_own(self, tiny: Path, cache: None) -> None:
        pytest.importorskip("openvino")
        found = encoders.text_encoder("sbert_bfloat16", str(tiny)).encode(TEXTS)
        assert cosines(found, sbert.create(str(tiny)).encode(TEXTS)).min() > 0.999


class TestIndex:
    @needs_bfloat16
    def test_a_review_is_encoded_as_the_index_says(
        self, indexed: Callable[..., Path], tmp_path: Path, packaged: TextEncoder
    ) -> None:
        config = RetrievalConfig(text_encoder="sbert_bfloat16", image_encoders=(), pool=10)
        index = open_index(indexed(config, tmp_path / "index"), config)
        assert index.manifest.text.name == index.text_encoder.name == "sbert_bfloat16"
        texts = [entry.text for entry in index.entries]
        assert cosines(index.text_vectors, packaged.encode(texts)).min() > 0.99998
        with pytest.raises(AmeliError, match=r"text vectors of 'sbert_bfloat16 .*', the configuration asks"):
            open_index(index.folder, RetrievalConfig(image_encoders=()))

    def test_an_index_of_float32_is_refused(self, indexed: Callable[..., Path], tmp_path: Path) -> None:
        plain = RetrievalConfig(image_encoders=(), pool=10)
        folder = indexed(plain, tmp_path / "index")
        asked = plain.model_copy(update={"text_encoder": "sbert_bfloat16"})
        with pytest.raises(
            AmeliError, match=r"has text vectors of 'sbert .*asks for 'sbert_bfloat16 "
        ) as caught:
            open_index(folder, asked)
        assert caught.value.hint.startswith("Type: ameli-llm index DATASET")
        assert read_index(folder).manifest.text.name == "sbert"


class TestFailures:
    def test_a_cpu_without_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sbert_bfloat16, "computes_in_bfloat16", lambda: False)
        with pytest.raises(AmeliError, match="needs a CPU that computes in bfloat16") as caught:
            sbert_bfloat16.create()
        assert caught.value.hint == "Set retrieval.text_encoder to sbert."

    @needs_bfloat16
    def test_without_openvino(self, tiny: Path, cache: None, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "openvino", None)
        with pytest.raises(MissingPackageError, match="openvino is not installed"):
            sbert_bfloat16.create(str(tiny))

    @needs_bfloat16
    @pytest.mark.parametrize("model", ["sentence-transformers/all-mpnet-base-v2", "FOLDER"])
    def test_another_kind_of_model(self, model: str, tmp_path: Path) -> None:
        (tmp_path / "modules.json").write_text(json.dumps([]))
        model = str(tmp_path) if model == "FOLDER" else model
        with pytest.raises(AmeliError, match="it runs folders of a BERT with mean pooling"):
            sbert_bfloat16.create(model)
