"""Where an index lies, what it takes over, and what happens when two processes want it at once."""

from __future__ import annotations

import logging
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from ameli_llm.config import RetrievalConfig
from ameli_llm.dataset.load import Dataset
from ameli_llm.errors import AmeliError
from ameli_llm.paths import index_dir
from ameli_llm.seal import seal
from ameli_llm.types import Product, Review
from retrieval.building import build_index
from retrieval.candidates import CandidateFinder
from retrieval.generations import current, writer
from retrieval.index import Index, open_index
from tests.command import running
from tests.shared_setup import cache_of

Count = Callable[[Dataset, Path, RetrievalConfig], dict[str, int]]


@pytest.fixture(scope="session")
def text_model(tiny_text_model: str) -> str:
    return tiny_text_model


def place_of(dataset: Dataset, config: RetrievalConfig) -> Path:
    """The folder in the cache."""
    return index_dir(dataset.key, config)


@pytest.fixture
def bare(text_model: str) -> RetrievalConfig:
    return RetrievalConfig(image_encoder="none", text_model=text_model)


@pytest.fixture
def both(text_model: str) -> RetrievalConfig:
    return RetrievalConfig(image_encoder="descriptor", text_model=text_model)


@pytest.fixture
def cache(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = cache_of(tmp_path_factory, tmp_path / "cache")
    monkeypatch.setenv("AMELI_LLM_CACHE", str(folder))
    return folder


class TestPlace:
    def test_each_pair_of_encoders_has_a_folder_beside_the_others(
        self, cache: Path, tmp_path: Path, bare: RetrievalConfig, both: RetrievalConfig
    ) -> None:
        configs = [
            *(both, bare, both.model_copy(update={"text_model": "other"})),
            RetrievalConfig(image_encoders=("descriptor", "efficientnet")),
            RetrievalConfig(image_encoder="resnet", image_model="resnet50"),
            RetrievalConfig(image_encoder="resnet", image_model="../resnet50/"),
        ]
        places = [place_of(Dataset(tmp_path / "kb", []), config) for config in configs]
        assert len(set(places)) == len(configs)
        assert {place.parent.parent for place in places} == {cache / "index"}
        assert len({place.parent for place in places}) == 1
        assert [place.name.rpartition("-")[0] for place in places] == [
            *("sbert-descriptor", "sbert-none", "sbert-descriptor", "sbert-descriptor+efficientnet"),
            *("sbert-resnet", "sbert-resnet"),
        ]

    def test_what_does_not_decide_the_vectors_does_not_decide_the_place(
        self, cache: Path, tmp_path: Path
    ) -> None:
        other = RetrievalConfig(weights={"bm25": 1.0}, pool=10, search="chroma", prior="score")
        dataset = Dataset(tmp_path / "kb", [])
        assert place_of(dataset, other) == place_of(dataset, RetrievalConfig())

    def test_datasets_of_one_name_do_not_share(
        self, cache: Path, tmp_path: Path, both: RetrievalConfig
    ) -> None:
        one, other = (Dataset(tmp_path / home / "kb", []) for home in "ab")
        assert place_of(one, both) != place_of(other, both)


@pytest.mark.usefixtures("cache")
class TestEncoders:
    def test_going_back_and_forth_makes_nothing_again(
        self, dataset: Dataset, count_encoded: Count, bare: RetrievalConfig, both: RetrievalConfig
    ) -> None:
        places = [place_of(dataset, config) for config in (bare, both)]
        assert count_encoded(dataset, places[0], bare) == {"texts": 6}
        assert count_encoded(dataset, places[1], both) == {"images": 5}
        generations = [current(place) for place in places]
        for _ in range(2):
            assert count_encoded(dataset, places[0], bare) == {}
            assert count_encoded(dataset, places[1], both) == {}
        assert [current(place) for place in places] == generations

    def test_what_is_taken_over_is_the_same(
        self, dataset: Dataset, bare: RetrievalConfig, both: RetrievalConfig
    ) -> None:
        with build_index(dataset, place_of(dataset, bare), bare) as old:
            place = place_of(dataset, both)
            with build_index(dataset, place, both) as new:
                assert np.array_equal(new.text_vectors, old.text_vectors)
                assert new.manifest.text == old.manifest.text
                assert new.manifest.kb_version != old.manifest.kb_version
            assert len(open_index(place, both, dataset.digest)) == 6

    def test_images_are_taken_over_too(
        self, dataset: Dataset, count_encoded: Count, tmp_path: Path, both: RetrievalConfig
    ) -> None:
        """The text model under another name: other texts, the same images."""
        (tmp_path / "copy").symlink_to(both.text_model)
        other = both.model_copy(update={"text_model": str(tmp_path / "copy")})
        build_index(dataset, place_of(dataset, both), both).close()
        assert count_encoded(dataset, place_of(dataset, other), other) == {"texts": 6}

    def test_a_damaged_one_is_not_taken_over(
        self, dataset: Dataset, count_encoded: Count, bare: RetrievalConfig, both: RetrievalConfig
    ) -> None:
        count_encoded(dataset, place_of(dataset, bare), bare)
        place = current(place_of(dataset, bare))
        assert place is not None
        content = (place / "text.npy").read_bytes()
        (place / "text.npy").write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
        assert count_encoded(dataset, place_of(dataset, both), both) == {"texts": 6, "images": 5}

    def test_a_folder_that_the_user_names_has_no_neighbours(
        self, dataset: Dataset, count_encoded: Count, tmp_path: Path, bare: RetrievalConfig
    ) -> None:
        assert count_encoded(dataset, tmp_path / "mine", bare) == {"texts": 6}
        assert count_encoded(dataset, tmp_path / "other", bare) == {"texts": 6}


class TestEmpty:
    def test_an_index_of_nothing_is_refused(self, tmp_path: Path, both: RetrievalConfig) -> None:
        with pytest.raises(
            AmeliError, match=r"The dataset in .* has no products: the knowledge base is empty"
        ):
            build_index(Dataset(tmp_path, []), tmp_path / "index", both)
        assert not (tmp_path / "index").exists()

    def test_the_last_product_cannot_be_deleted(self, index: Index, config: RetrievalConfig) -> None:
        with pytest.raises(AmeliError, match=r"The index in .* has no products: the knowledge base is empty"):
            index.delete(index.product_ids)
        assert len(open_index(index.folder, config)) == 6

    def test_products_without_a_word_have_no_scores_of_words(
        self, tmp_path: Path, bare: RetrievalConfig
    ) -> None:
        dataset = Dataset(tmp_path, [Product(1, "!!!"), Product(2, "")])
        words = bare.model_copy(update={"weights": dict.fromkeys(("bm25", "header", "tfidf", "title"), 1.0)})
        with build_index(dataset, tmp_path / "index", words) as index:
            finder = CandidateFinder(index, dataset, words)
            scores = finder.scores([Review(1, "good", "very good", "thing")])
            assert set(scores) == set(words.weights)
            assert [matrix.tolist() for matrix in scores.values()] == [[[0.0, 0.0]]] * 4
            assert finder.scores([])["tfidf"].shape == (0, 2)


class TestDamage:
    @pytest.mark.parametrize("content", ['{"format": 3, "a":' * 100_000, "[" * 100_000, "\x00", "[]", "3"])
    def test_a_manifest_that_is_none(
        self, dataset: Dataset, folder: Path, content: str, both: RetrievalConfig
    ) -> None:
        place = current(folder)
        assert place is not None
        (place / "manifest.json").write_text(content)
        assert len(build_index(dataset, folder, both)) == 6

    @pytest.mark.parametrize("line", ['{"id":' * 100_000, "[" * 100_000, "3", "{}", '{"id": 1, "images": 3}'])
    def test_entries_that_are_none_though_their_checksum_fits(
        self, dataset: Dataset, folder: Path, line: str, both: RetrievalConfig
    ) -> None:
        place = current(folder)
        assert place is not None
        (place / "entries.jsonl").write_text(line + "\n")
        seal(place, "manifest.json", "entries.jsonl", "text.npy", "image-descriptor.npy", "image_owner.npy")
        with pytest.raises(AmeliError, match=r"is damaged: .*Type: ameli-llm index DATASET"):
            open_index(folder, both)
        assert len(build_index(dataset, folder, both)) == 6

    @pytest.mark.parametrize("field", ["kb_version", "dataset_digest", "revision"])
    def test_a_manifest_of_one_other_character(self, folder: Path, field: str, both: RetrievalConfig) -> None:
        """It would read well, and stamp results with another knowledge base or encoder."""
        place = current(folder)
        assert place is not None
        text = (place / "manifest.json").read_text()
        at = text.index(f'"{field}": "') + len(f'"{field}": "')
        (place / "manifest.json").write_text(text[:at] + ("0" if text[at] != "0" else "1") + text[at + 1 :])
        with pytest.raises(AmeliError, match=r"is damaged: manifest\.json has changed\."):
            open_index(folder, both)


@pytest.fixture
def waits() -> Iterator[threading.Event]:
    """Set as soon as this process says that it waits for another one."""
    event = threading.Event()

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage().endswith("; waiting until it is done."):
                event.set()

    listener = Listener()
    logging.getLogger("ameli_llm.locking").addHandler(listener)
    yield event
    logging.getLogger("ameli_llm.locking").removeHandler(listener)


Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a command of its own process; what a failed test leaves running is ended."""
    with ExitStack() as stack:
        yield lambda *words: stack.enter_context(running(*words))


class TestWaiting:
    def test_an_index_that_is_being_made_is_waited_for(
        self, folder: Path, tmp_path: Path, waits: threading.Event, both: RetrievalConfig
    ) -> None:
        place, holds = tmp_path / "shared", threading.Event()

        def other() -> None:
            with writer(place):
                holds.set()
                waits.wait(60)
                shutil.copytree(folder, place, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.lock"))

        thread = threading.Thread(target=other)
        thread.start()
        assert holds.wait(60)
        assert len(open_index(place, both)) == 6
        thread.join()
        assert waits.is_set()

    def test_nobody_writes_and_there_is_none(
        self, tmp_path: Path, waits: threading.Event, both: RetrievalConfig
    ) -> None:
        with pytest.raises(AmeliError, match="No index in"):
            open_index(tmp_path / "none", both)
        with writer(tmp_path / "none"):
            pass
        with pytest.raises(AmeliError, match="No index in"):
            open_index(tmp_path / "none", both)
        assert not waits.is_set()

    def test_a_second_process_takes_over_what_the_first_has_built(
        self, dataset: Dataset, folder: Path, tmp_path: Path, start: Start, text_model: str
    ) -> None:
        place, config = tmp_path / "shared", tmp_path / "both.yaml"
        config.write_text(f"retrieval: {{image_encoder: descriptor, text_model: {text_model}}}")
        with writer(place):
            child = start("index", dataset.root, "--out", place, "--config", config)
            told = read_until(child, "waiting")
            shutil.copytree(folder, place, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.lock"))
        stdout, stderr = child.communicate(timeout=280)
        assert child.returncode == 0, stderr
        assert told == f"Another process is writing the index in {place}; waiting until it is done.\n"
        assert stderr == ""
        assert "products  " in stdout
        assert current(place) is not None
        assert [path.name for path in place.glob("gen-*")] == [path.name for path in folder.glob("gen-*")]

    def test_one_that_finds_something_else_builds_itself(
        self, dataset: Dataset, folder: Path, tmp_path: Path, start: Start, bare: RetrievalConfig
    ) -> None:
        """The first process made another encoder's index, or was killed."""
        place = tmp_path / "shared"
        config = tmp_path / "bare.yaml"
        config.write_text(
            f"retrieval: {{image_encoder: none, text_model: {bare.text_model}, weights: {{bm25: 1}}}}"
        )
        with writer(place):
            child = start("index", dataset.root, "--out", place, "--config", config)
            read_until(child, "waiting")
            shutil.copytree(folder, place, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.lock"))
        _, stderr = child.communicate(timeout=280)
        assert child.returncode == 0, stderr
        assert open_index(place, bare).manifest.image() is None

    def test_who_waits_can_be_interrupted(self, dataset: Dataset, tmp_path: Path, start: Start) -> None:
        with writer(tmp_path / "shared"):
            child = start("index", dataset.root, "--out", tmp_path / "shared")
            read_until(child, "waiting")
            child.send_signal(signal.SIGINT)
            child.communicate(timeout=280)
        assert child.returncode != 0
        assert [path.name for path in (tmp_path / "shared").iterdir()] == ["writer.lock"]

    def test_two_at_once_on_an_empty_cache_embed_once(
        self, dataset: Dataset, cache: Path, start: Start, both: RetrievalConfig
    ) -> None:
        config = dataset.root / "both.yaml"
        config.write_text(f"retrieval: {{image_encoder: descriptor, text_model: {both.text_model}}}")
        children = [start("index", dataset.root, "--config", config) for _ in range(2)]
        stderr = [child.communicate(timeout=280)[1] for child in children]
        assert [child.returncode for child in children] == [0, 0], stderr
        assert "".join(stderr).count("texts: 6/6") == 1
        assert "".join(stderr).count("images: 5/5") == 1
        place = place_of(dataset, both)
        assert len(list(place.glob("gen-*"))) == 1
        with open_index(place, both, dataset.digest) as index:
            assert len(index) == 6


def read_until(child: subprocess.Popen[str], word: str) -> str:
    assert child.stderr is not None
    for line in child.stderr:
        if word in line:
            return line
    raise AssertionError(f"the process ended without {word!r}")
