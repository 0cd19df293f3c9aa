from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ameli_llm.config import RetrievalConfig
from ameli_llm.dataset.load import Dataset, load_dataset
from ameli_llm.errors import AmeliError
from ameli_llm.ties import chance
from retrieval.building import build_index
from retrieval.generations import current, writer
from retrieval.index import Index, open_index
from retrieval.manifest import IndexDamagedError
from retrieval.store import open_store

Count = Callable[[Dataset, Path, RetrievalConfig], dict[str, int]]


@pytest.fixture(scope="session")
def text_model(tiny_text_model: str) -> str:
    return tiny_text_model


def in_index_order(*ids: int) -> list[int]:
    return sorted(ids, key=chance)


def owners(index: Index) -> list[int]:
    """The product of every image vector."""
    assert (np.diff(index.image_owner) >= 0).all()
    return sorted(index.product_ids[row] for row in index.image_owner)


class TestContent:
    def test_every_product_has_a_row_and_the_order_is_blind_to_ids(self, index: Index) -> None:
        assert list(index.product_ids) == in_index_order(10, 20, 30, 40, 50, 60)
        assert index.text_vectors.shape == (6, 32)
        assert owners(index) == [10, 10, 20, 30, 50]
        assert np.linalg.norm(index.text_vectors, axis=1) == pytest.approx(1)

    def test_vectors_are_those_of_the_encoder(self, index: Index) -> None:
        assert index.text_encoder.encode([index.entries[2].text])[0] == pytest.approx(
            index.text_vectors[2], abs=1e-5
        )

    def test_the_manifest_says_what_it_was_made_from(
        self, index: Index, dataset: Dataset, text_model: str
    ) -> None:
        manifest = index.manifest
        assert (manifest.products, manifest.images, manifest.unusable_images) == (6, 5, 0)
        assert manifest.dataset_digest == dataset.digest
        assert manifest.text.model == text_model
        assert [stamp.name for stamp in manifest.image_encoders] == ["descriptor"]

    def test_chroma_holds_the_same_with_metadata(self, index: Index) -> None:
        with open_store(index.place / "chroma") as store:
            assert store.holds(index.snapshot)
            (ids, scores) = store.nearest("text", index.text_vectors[[index.rows[50]]], 2)[0]
        assert ids[0] == "50"
        assert scores[0] == pytest.approx(1, abs=1e-5)

    def test_bad_images_are_counted_and_the_rest_is_indexed(
        self, root: Path, config: RetrievalConfig, tmp_path: Path
    ) -> None:
        images = root / "product_images"
        (images / "10-0.png").write_bytes(b"")
        (images / "20-0.png").write_text("no image")
        (images / "30-0.png").unlink()
        index = build_index(load_dataset(root), tmp_path / "out", config)
        problems = {entry.id: [image.problem for image in entry.images] for entry in index.entries}
        assert problems == {
            10: ["empty", ""],
            20: ["not_an_image"],
            30: ["missing"],
            40: [],
            50: [""],
            60: [],
        }
        assert owners(index) == [10, 50]
        assert index.manifest.unusable_images == 3

    def test_without_images(self, dataset: Dataset, config: RetrievalConfig, tmp_path: Path) -> None:
        bare = config.model_copy(update={"image_encoders": ()})
        index = build_index(dataset, tmp_path / "out", bare)
        assert index.image_encoder() is None
        assert len(index.image_vectors()) == 0
        assert open_index(tmp_path / "out", bare).manifest.image() is None


class TestAgain:
    def test_nothing_changed_nothing_encoded(
        self, dataset: Dataset, folder: Path, config: RetrievalConfig, count_encoded: Count
    ) -> None:
        before = current(folder)
        assert count_encoded(dataset, folder, config) == {}
        assert current(folder) == before

    def test_only_what_changed_is_encoded(
        self,
        workshop: Any,
        records: list[dict[str, Any]],
        folder: Path,
        config: RetrievalConfig,
        count_encoded: Count,
    ) -> None:
        old = open_index(folder, config)
        records[1]["product_name"] = "Acme - Breeze 301 Blender - Blue"
        records[5]["image_path"] = ["60-0.png"]
        workshop.draw("60-0.png", "green", "rectangle")
        workshop.draw("50-0.png", "purple")
        del records[3]
        assert count_encoded(workshop.dataset(records), folder, config) == {"texts": 1, "images": 2}
        new = open_index(folder, config)
        assert list(new.product_ids) == in_index_order(10, 20, 30, 50, 60)
        same = {
            id_: np.array_equal(new.text_vectors[row], old.text_vectors[old.rows[id_]])
            for id_, row in new.rows.items()
        }
        assert same == {10: True, 20: False, 30: True, 50: True, 60: True}
        with open_store(new.place / "chroma") as store:
            assert store.holds(new.snapshot)

    def test_the_same_as_from_nothing(
        self,
        workshop: Any,
        records: list[dict[str, Any]],
        folder: Path,
        config: RetrievalConfig,
        tmp_path: Path,
    ) -> None:
        records[0]["product_name"] = "Changed"
        changed = workshop.dataset(records[:4])
        again, fresh = build_index(changed, folder, config), build_index(changed, folder / "fresh", config)
        assert again.manifest.kb_version == fresh.manifest.kb_version
        assert again.product_ids == fresh.product_ids
        assert again.text_vectors == pytest.approx(np.asarray(fresh.text_vectors), abs=1e-5)
        assert np.array_equal(again.image_vectors(), fresh.image_vectors())

    def test_old_generations_go(
        self, workshop: Any, records: list[dict[str, Any]], folder: Path, config: RetrievalConfig
    ) -> None:
        (folder / "gen-0123456789abcdef").mkdir()
        index = build_index(workshop.dataset(records[:3]), folder, config)
        assert sorted(path.name for path in folder.glob("gen-*")) == [index.place.name]

    def test_what_a_killed_writer_left_goes(
        self, dataset: Dataset, folder: Path, config: RetrievalConfig
    ) -> None:
        before = current(folder)
        (folder / "gen-0123456789abcdef").mkdir()
        (folder / "current.new").write_text("gen-01")
        build_index(dataset, folder, config)
        assert before is not None
        assert {path.name for path in folder.iterdir()} == {before.name, "current", "writer.lock"}


class TestUpsertAndDelete:
    def test_upsert_adds_and_replaces(
        self, workshop: Any, records: list[dict[str, Any]], index: Index, config: RetrievalConfig
    ) -> None:
        workshop.draw("25-0.png", "orange")
        new = workshop.record(25, "Nord - Toaster - Orange", "Toasters", "Toasts bread.", ["25-0.png"])
        records[0]["product_name"] = "Acme - Breeze 400 Blender - Red"
        changed = workshop.dataset([new, records[0]])
        after = index.upsert(changed.products.values(), changed.product_image)
        assert list(after.product_ids) == in_index_order(10, 20, 25, 30, 40, 50, 60)
        assert [after.entries[after.rows[id_]].name.split(" - ")[1] for id_ in (10, 25)] == [
            "Breeze 400 Blender",
            "Toaster",
        ]
        assert np.array_equal(after.text_vectors[after.rows[20]], index.text_vectors[index.rows[20]])
        assert owners(after) == [10, 10, 20, 25, 30, 50]
        assert after.manifest.kb_version != index.manifest.kb_version
        assert after.manifest.dataset_digest == ""
        assert open_index(index.folder, config).product_ids == after.product_ids

    def test_delete(self, index: Index) -> None:
        after = index.delete([20, 60])
        assert list(after.product_ids) == in_index_order(10, 30, 40, 50)
        assert owners(after) == [10, 10, 30, 50]
        with open_store(after.place / "chroma") as store:
            assert store.holds(after.snapshot)

    def test_delete_and_upsert_give_the_old_version_back(self, dataset: Dataset, index: Index) -> None:
        after = index.delete([20]).upsert([dataset.products[20]], dataset.product_image)
        assert after.manifest.kb_version == index.manifest.kb_version

    def test_delete_of_what_is_not_there(self, index: Index) -> None:
        with pytest.raises(AmeliError, match="has no product 99"):
            index.delete([10, 99])

    def test_an_index_that_was_changed_meanwhile(self, index: Index) -> None:
        index.delete([20])
        with pytest.raises(AmeliError, match=r"has changed since it was opened\. Open it again\."):
            index.delete([30])


class TestDamage:
    @pytest.mark.parametrize(
        "name",
        [
            "text.npy",
            "image-descriptor.npy",
            "image_owner.npy",
            "entries.jsonl",
            "manifest.json",
            "checksums.json",
        ],
    )
    @pytest.mark.parametrize("how", ["missing", "cut", "altered"])
    def test_it_is_found_on_open_and_mended_by_index(
        self, dataset: Dataset, folder: Path, config: RetrievalConfig, name: str, how: str
    ) -> None:
        place = current(folder)
        assert place is not None
        content = (place / name).read_bytes()
        if how == "missing":
            (place / name).unlink()
        elif how == "cut":
            (place / name).write_bytes(content[: len(content) // 2])
        else:
            (place / name).write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
        with pytest.raises(IndexDamagedError, match=r"is damaged: .*Type: ameli-llm index DATASET"):
            open_index(folder, config)
        assert len(build_index(dataset, folder, config)) == 6
        assert len(open_index(folder, config, dataset.digest)) == 6

    @pytest.mark.parametrize("how", ["missing", "cut", "altered"])
    def test_a_damaged_chroma_store_is_made_again(
        self, index: Index, config: RetrievalConfig, how: str
    ) -> None:
        database = index.place / "chroma" / "chroma.sqlite3"
        if how == "missing":
            shutil.rmtree(index.place / "chroma")
        elif how == "cut":
            database.write_bytes(database.read_bytes()[:5000])
        else:
            with open_store(index.place / "chroma") as store:
                store.write(replace(index.snapshot, text=-index.snapshot.text), None)
        again = open_index(index.folder, config).delete([20])
        with open_store(again.place / "chroma") as store:
            assert store.holds(again.snapshot)

    @pytest.mark.parametrize("pointer", ["", "gen-0000000000000000\n", "../../etc\n", "\xff"])
    def test_a_pointer_to_nowhere_is_no_index(
        self, folder: Path, config: RetrievalConfig, pointer: str
    ) -> None:
        (folder / "current").write_bytes(pointer.encode("latin-1"))
        with pytest.raises(AmeliError, match=r"No index in .*Type: ameli-llm index DATASET"):
            open_index(folder, config)

    def test_another_format(self, folder: Path, config: RetrievalConfig) -> None:
        place = current(folder)
        assert place is not None
        manifest = json.loads((place / "manifest.json").read_text())
        (place / "manifest.json").write_text(json.dumps({**manifest, "format": 99}))
        with pytest.raises(IndexDamagedError, match="Index format 99, expected 4"):
            open_index(folder, config)


class TestEncoders:
    def test_an_index_of_another_encoder(self, folder: Path, config: RetrievalConfig) -> None:
        message = "image vectors of 'descriptor', the configuration asks for 'none'"
        with pytest.raises(AmeliError, match=message):
            open_index(folder, config.model_copy(update={"image_encoders": ()}))
        with pytest.raises(AmeliError, match="asks for 'sbert all-mpnet-base-v2'"):
            open_index(folder, RetrievalConfig(text_model="all-mpnet-base-v2"))

    def test_index_replaces_it(self, dataset: Dataset, folder: Path, config: RetrievalConfig) -> None:
        bare = config.model_copy(update={"image_encoders": ()})
        assert build_index(dataset, folder, bare).manifest.image() is None
        assert open_index(folder, bare).manifest.image() is None

    def test_what_the_other_encoder_made_is_kept(
        self, dataset: Dataset, folder: Path, config: RetrievalConfig, count_encoded: Count
    ) -> None:
        bare = config.model_copy(update={"image_encoders": ()})
        assert count_encoded(dataset, folder, bare) == {}
        assert count_encoded(dataset, folder, config) == {"images": 5}

    def test_weights_that_have_changed_since(self, folder: Path, config: RetrievalConfig) -> None:
        index = open_index(folder, config)
        stamp = index.manifest.text.model_copy(update={"revision": "0" * 16})
        index.manifest = index.manifest.model_copy(update={"text": stamp})
        with pytest.raises(AmeliError, match=f"but the encoder at hand is sbert {config.text_model}"):
            _ = index.text_encoder

    def test_another_state_of_the_dataset(self, folder: Path, config: RetrievalConfig) -> None:
        with pytest.raises(AmeliError, match="made from another state of the dataset"):
            open_index(folder, config, "0" * 64)


CHILD = """
import resource, signal, sys
from pathlib import Path
from ameli_llm.config import RetrievalConfig
from ameli_llm.dataset.load import load_dataset
from ameli_llm.errors import AmeliError
from ameli_llm.ties import chance
from retrieval.building import build_index
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
dataset, place, config = load_dataset(Path(sys.argv[1])), Path(sys.argv[2]), sys.argv[3]
for limit in sys.argv[4:]:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), resource.RLIM_INFINITY))
    try:
        build_index(dataset, place, RetrievalConfig.model_validate_json(config))
    except AmeliError as error:
        print(error)
"""


class TestProcesses:
    def test_readers_do_not_wait_for_a_writer(self, folder: Path, config: RetrievalConfig) -> None:
        with writer(folder):
            assert len(open_index(folder, config)) == 6

    def test_a_change_gives_up_while_another_process_writes(self, index: Index) -> None:
        with writer(index.folder), pytest.raises(AmeliError) as caught:
            index.delete([20])
        message = f"Another process is writing the index in {index.folder}."
        assert str(caught.value) == f"{message} Wait until it is done, then try again."

    def test_a_full_disk_leaves_the_old_index(
        self, workshop: Any, records: list[dict[str, Any]], folder: Path, config: RetrievalConfig
    ) -> None:
        before = current(folder)
        workshop.dataset(records[:3])
        limits = (1000, 5000, 150_000, 200_000)
        child = self.build_in_child(workshop.root, folder, config, *limits)
        assert child.returncode == 0, child.stderr
        assert child.stdout.count("\n") == len(limits)
        assert current(folder) == before
        assert list(folder.glob("gen-*")) == [before]
        assert len(open_index(folder, config)) == 6

    def build_in_child(
        self, root: Path, folder: Path, config: RetrievalConfig, *limits: int
    ) -> subprocess.CompletedProcess[str]:
        words = (root, folder, config.model_dump_json(), *limits)
        return subprocess.run(
            [sys.executable, "-c", CHILD, *map(str, words)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        )

    def test_a_folder_that_cannot_be_made(
        self, dataset: Dataset, config: RetrievalConfig, tmp_path: Path
    ) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(AmeliError, match="Cannot write an index to"):
            build_index(dataset, tmp_path / "file" / "index", config)


def test_derived_files_are_made_once(index: Index) -> None:
    calls = []

    def write(place: Path) -> None:
        calls.append(place)
        (place / "table").write_text("1")

    assert index.derived("table", write) == index.derived("table", write) == index.place / "derived" / "table"
    assert len(calls) == 1


def test_derived_files_that_fail_leave_nothing(index: Index) -> None:
    def fail(place: Path) -> None:
        (place / "part").write_text("1")
        raise OSError(28, "No space left on device")

    with pytest.raises(AmeliError, match="No space left on device"):
        index.derived("table", fail)
    assert not list((index.place / "derived").glob("table*"))
