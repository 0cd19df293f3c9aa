"""The text encoder without torch: the vectors of sentence-transformers, from a graph that is made once."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ameli_llm.errors import AmeliError, MissingPackageError
from ameli_llm.paths import encoders_dir
from retrieval.encoders import _exporting, _onnx_export
from retrieval.encoders._mean_bert import is_mean_bert
from retrieval.encoders._onnx import NETWORK, open_graph
from retrieval.encoders.encoder import Vectors
from retrieval.encoders.sbert import SBERT, OnnxSBERT, create, quiet_loading
from tests.retrieval.tiny_sbert import tiny_sbert, write_tiny_sbert

ROOT = Path(__file__).parents[2]
WORDS = ["a", "red", "blender", "with", "500", "watts", "and", "two", "cups"]
LENGTHS = (1, 2, 3, 7, 20, 63, 64, 65, 120, 254, 255, 300, 5_000)
TEXTS = (
    "",
    " ",
    *(" ".join((WORDS * 600)[:length]) for length in LENGTHS),
    "\U0001f600" * 50,
    "Größe 4TB – مرحبا بالعالم",
    "\x00",
    'naïve café déjà-vu 13-1/4"',
    "日本語のレビュー",
)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_sbert(tmp_path_factory)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache without any encoder."""
    monkeypatch.setenv("AMELI_LLM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def packaged() -> OnnxSBERT:
    encoder = create()
    assert isinstance(encoder, OnnxSBERT)
    return encoder


class TestVectors:
    def test_they_are_those_of_sentence_transformers(self, packaged: OnnxSBERT) -> None:
        found, expected = packaged.encode(TEXTS), SBERT("").encode(TEXTS)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=1e-5)
        assert (found * expected).sum(axis=1).min() > 1 - 1e-6

    def test_they_depend_on_no_other_text(self, packaged: OnnxSBERT) -> None:
        together = packaged.encode(TEXTS)
        np.testing.assert_allclose(
            together, np.concatenate([packaged.encode([one]) for one in TEXTS]), atol=1e-6
        )
        np.testing.assert_allclose(together[::-1], packaged.encode(TEXTS[::-1]), atol=1e-6)

    def test_what_is_beyond_the_window_does_not_count(self, packaged: OnnxSBERT) -> None:
        cut, window, longer = packaged.encode(["word " * count for count in (253, 254, 900)])
        np.testing.assert_allclose(window, longer, atol=1e-6)
        assert np.abs(cut - window).max() > 1e-4

    def test_two_backends_are_two_encoders(self, packaged: OnnxSBERT) -> None:
        other = SBERT("")
        assert (packaged.name, packaged.model, packaged.dimension) == (
            other.name,
            other.model,
            other.dimension,
        )
        assert packaged.revision == f"{other.revision}-onnx"


class TestGraph:
    def test_it_is_made_once_and_then_runs_without_torch(self, tiny: Path, cache: Path) -> None:
        first = create(str(tiny)).encode(["red"])
        (graph,) = cache.glob("encoders/*/model.onnx")
        made = graph.stat()
        code = (
            "import sys\n"
            "from retrieval.encoders.sbert import create\n"
            f"print(create({str(tiny)!r}).encode(['red']).tolist())\n"
            "print(sorted({'torch', 'transformers', 'sentence_transformers', 'onnx'} & sys.modules.keys()))\n"
        )
        environment = {**os.environ, "AMELI_LLM_CACHE": str(cache), "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        vectors, heavy = map(json.loads, done.stdout.splitlines())
        np.testing.assert_allclose(vectors, first, atol=1e-6)
        assert heavy == []
        assert graph.stat() == made

    @pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "checksums.json"])
    def test_what_is_damaged_is_made_again(
        self, tiny: Path, cache: Path, name: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        expected = create(str(tiny)).encode(TEXTS)
        (path,) = cache.glob(f"encoders/*/{name}")
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        np.testing.assert_array_equal(create(str(tiny)).encode(TEXTS), expected)
        assert "is damaged and is made again" in caplog.text
        assert path.read_bytes() != bytes(content)

    def test_other_weights_have_a_graph_of_their_own(self, tiny: Path, cache: Path, tmp_path: Path) -> None:
        other = write_tiny_sbert(tmp_path / "other", seed=1)
        one, two = create(str(tiny)), create(str(other))
        assert one.revision != two.revision
        assert np.abs(one.encode(["red"]) - two.encode(["red"])).max() > 1e-3
        assert len(list(cache.glob("encoders/*/model.onnx"))) == 2

    def test_a_cache_that_cannot_be_written(
        self, tiny: Path, cache: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        cache.write_text("")
        encoder = create(str(tiny))
        assert "it is made for this time only" in caplog.text
        np.testing.assert_allclose(encoder.encode(TEXTS), SBERT(str(tiny)).encode(TEXTS), atol=1e-5)

    def test_a_window_of_the_model_s_own(self, cache: Path, tmp_path: Path) -> None:
        model = write_tiny_sbert(tmp_path / "narrow", window=16)
        np.testing.assert_allclose(
            create(str(model)).encode(TEXTS), SBERT(str(model)).encode(TEXTS), atol=1e-5
        )

    def test_threads_are_those_that_torch_would_take(
        self, tiny: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cores = len(os.sched_getaffinity(0))
        for asked, expected in (("1", 1), ("3", 3), ("2,1", 2), ("", cores), ("0", cores), ("x", cores)):
            monkeypatch.setenv("OMP_NUM_THREADS", asked)
            graph: Any = vars(create(str(tiny)))["_graph"]
            session = vars(graph)["_network"].session
            assert session.get_session_options().intra_op_num_threads == expected


class TestFailures:
    def test_a_model_that_cannot_be_exported(
        self, tiny: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_exporting, "OPSET", 99)
        with pytest.raises(
            AmeliError, match=r"Cannot export the text model .*: Exporting to ONNX opset version 99"
        ) as caught:
            create(str(tiny))
        assert "uv pip install -c constraints.txt -e '.[retrieval]'" in caught.value.hint
        assert not list(cache.glob("encoders/*/*"))

    def test_without_onnx(self, tiny: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "onnx", None)
        with pytest.raises(MissingPackageError, match="onnx is not installed"):
            create(str(tiny))

    def test_a_model_that_is_cut_off(self, tiny: Path, cache: Path, tmp_path: Path) -> None:
        model = Path(shutil.copytree(tiny, tmp_path / "cut"))
        weights = model / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:1000])
        with pytest.raises(AmeliError, match=r"Cannot load the text model"):
            create(str(model))
        assert not list(cache.glob("encoders/*/*"))

    def test_a_graph_of_other_vectors_is_refused(self, tiny: Path, tmp_path: Path) -> None:
        """Claims to be what it is not: its pooling is another one."""
        from sentence_transformers import SentenceTransformer

        folder = pooled(tiny, tmp_path, pooling_mode="cls")
        with quiet_loading():
            transformer = SentenceTransformer(str(folder))
        with pytest.raises(
            AmeliError, match=r"Cannot export the text model 'own' to ONNX: .* vectors differ by"
        ):
            _onnx_export.export(transformer, "own", tmp_path)

    def test_a_file_that_is_no_graph(self, cache: Path) -> None:
        def write(folder: Path) -> None:
            (folder / NETWORK).write_bytes(b"no graph")

        with pytest.raises(AmeliError, match="Cannot open the encoder in") as caught:
            open_graph("none", write)
        assert caught.value.hint == "Delete that folder: it is made again."
        assert (encoders_dir() / "none-1").is_dir()


def pooled(model: Path, tmp_path: Path, **settings: object) -> Path:
    """A copy of the model with another pooling."""
    folder = Path(shutil.copytree(model, tmp_path / "pooled"))
    path = folder / "1_Pooling" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))
    return folder


def edited(name: str, change: Callable[[Any], Any]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        path = folder / name
        path.write_text(json.dumps(change(json.loads(path.read_text()))))

    return edit


NORMALIZE = {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}
DENSE = {"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"}
OLD = {"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": False}
FITS = {
    "as it is": lambda folder: None,
    "normalised": edited("modules.json", lambda modules: [*modules, NORMALIZE]),
    "older description": edited("1_Pooling/config.json", lambda _: OLD),
}
FITS_NOT = {
    "another module": edited("modules.json", lambda modules: [*modules, DENSE]),
    "a module of one's own": edited("modules.json", lambda m: [{**m[0], "type": "mine.Transformer"}, m[1]]),
    "no pooling": edited("modules.json", lambda modules: modules[:1]),
    "no list": edited("modules.json", lambda modules: {"modules": modules}),
    "another architecture": edited("config.json", lambda config: config | {"model_type": "mpnet"}),
    "a decoder": edited("config.json", lambda config: config | {"is_decoder": True}),
    "first token": edited("1_Pooling/config.json", lambda config: config | {"pooling_mode": "cls"}),
    "two poolings": edited("1_Pooling/config.json", lambda _: OLD | {"pooling_mode_max_tokens": True}),
    "a prompt": edited("config_sentence_transformers.json", lambda c: c | {"default_prompt_name": "query"}),
    "an adapter": lambda folder: (folder / "adapter_config.json").write_text("{}"),
    "no configuration": lambda folder: (folder / "config.json").unlink(),
    "cut off": lambda folder: (folder / "modules.json").write_text("[{"),
}


@pytest.mark.parametrize(("change", "fits"), [(c, True) for c in FITS] + [(c, False) for c in FITS_NOT])
def test_the_model_decides_what_runs_it(change: str, fits: bool, tiny: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny, tmp_path / "model"))
    {**FITS, **FITS_NOT}[change](folder)
    assert is_mean_bert(folder) == fits


def test_what_is_no_mean_bert_runs_in_sentence_transformers(tiny: Path, cache: Path, tmp_path: Path) -> None:
    encoder = create(str(pooled(tiny, tmp_path, pooling_mode="cls")))
    assert isinstance(encoder, SBERT)
    mean: Vectors = create(str(tiny)).encode(["a red blender"])
    assert np.abs(encoder.encode(["a red blender"]) - mean).max() > 1e-3
