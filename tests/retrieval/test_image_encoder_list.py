"""An index of several image encoders: vectors, cosines and weights of each, and what they are together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from ameli_llm import image_encoders
from ameli_llm.config import RetrievalConfig, RunConfig, dump_config, load_config, override
from ameli_llm.dataset.load import Dataset
from ameli_llm.errors import AmeliError, UnknownNameError
from ameli_llm.images.adapter import ImageAdapter
from retrieval.building import build_index
from retrieval.candidates import CandidateFinder, image_score
from retrieval.index import Index, open_index, read_index
from retrieval.manifest import require_image_encoder
from retrieval.retrievers.image import adapter_of
from retrieval.store import open_store
from tests.command import command
from tests.retrieval.conftest import Workshop
from tests.shared_setup import cache_of

Count = Callable[[Dataset, Path, RetrievalConfig], dict[str, int]]
BOTH = RetrievalConfig(image_encoders=("descriptor", "efficientnet"), pool=10)
ONE = RetrievalConfig(image_encoders=("descriptor",), pool=10)
OTHER = RetrievalConfig(image_encoders=("efficientnet",), pool=10)
RED = 1
"""The review with a photo."""


@pytest.fixture
def both(indexed: Callable[..., Path], tmp_path: Path) -> Index:
    return read_index(indexed(BOTH, tmp_path / "both"))


class TestConfiguration:
    @pytest.mark.parametrize(
        ("section", "expected"),
        [
            ("image_encoders: [descriptor, 'clip:local-dir:/a/b']", ("descriptor", "clip:local-dir:/a/b")),
            ("image_encoders: []", ()),
            ("image_encoder: descriptor", ("descriptor",)),
            ("image_encoder: none", ()),
            ("{image_encoder: clip, image_model: ViT-B-32/openai}", ("clip:ViT-B-32/openai",)),
            ("{image_encoder: descriptor, image_model: ''}", ("descriptor",)),
        ],
    )
    def test_the_list_and_its_short_form(
        self, tmp_path: Path, section: str, expected: tuple[str, ...]
    ) -> None:
        path = tmp_path / "c.yaml"
        path.write_text(yaml.safe_dump({"retrieval": yaml.safe_load(section)}))
        config = load_config(path)
        assert config.retrieval.image_encoders == expected
        path.write_text(dump_config(config))
        assert load_config(path) == config

    def test_a_setting_in_the_short_form_replaces_the_list(self) -> None:
        settings = ["retrieval.image_encoder=clip", "retrieval.image_model=local-dir:/x"]
        assert override(RunConfig(), settings).retrieval.image_encoders == ("clip:local-dir:/x",)
        assert override(RunConfig(), ["retrieval.image_encoder=none"]).retrieval.image_encoders == ()

    @pytest.mark.parametrize(
        ("setting", "message"),
        [
            ("image_encoders=[clip:a, clip:b]", "clip is named twice"),
            ("image_encoders=[':a']", "an image encoder has no name"),
            ("image_model=a", "image_model needs image_encoder beside it"),
            ("image_encoders=descriptor", "Input should be a valid tuple"),
        ],
    )
    def test_a_list_that_cannot_be(self, setting: str, message: str) -> None:
        with pytest.raises(AmeliError, match=message):
            override(RunConfig(), [f"retrieval.{setting}"])

    def test_the_default_is_what_is_installed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(
            image_encoders, "PACKAGED", {"efficientnet": ("json",), "other": ("json", "no_such")}
        )
        assert RetrievalConfig().image_encoders == ("descriptor", "efficientnet")

    @pytest.mark.parametrize(
        ("weights", "expected"),
        [
            ({"sbert": 1.0, "image": 30.0}, {"sbert": 1.0, "descriptor": 30.0, "efficientnet": 30.0}),
            ({"image": 30.0, "efficientnet": 5.0}, {"descriptor": 30.0, "efficientnet": 5.0}),
            ({"title": 1.0}, {"title": 1.0}),
        ],
    )
    def test_image_is_every_encoder_that_is_not_named(
        self, weights: dict[str, float], expected: dict[str, float]
    ) -> None:
        assert BOTH.model_copy(update={"weights": weights}).by_retriever == expected


class TestIndex:
    def test_each_encoder_has_its_vectors(
        self, both: Index, indexed: Callable[..., Path], tmp_path: Path
    ) -> None:
        one = read_index(indexed(ONE, tmp_path / "one"))
        other = read_index(indexed(OTHER, tmp_path / "other"))
        assert [stamp.name for stamp in both.manifest.image_encoders] == ["descriptor", "efficientnet"]
        assert np.array_equal(both.image_vectors("descriptor"), one.image_vectors())
        assert np.array_equal(both.image_vectors("efficientnet"), other.image_vectors())
        assert np.array_equal(both.image_vectors(), both.image_vectors("descriptor"))
        assert both.image_vectors("efficientnet").shape == (5, 1280)
        assert len(both.image_vectors("clip")) == 0
        assert np.array_equal(both.image_owner, one.image_owner)
        assert both.manifest.kb_version == one.manifest.kb_version
        with open_store(both.place / "chroma") as store:
            assert store.holds(both.snapshot)
            ((ids, _),) = store.nearest("image-efficientnet", both.image_vectors("efficientnet")[:1], 1)
            assert ids == [f"{both.product_ids[both.image_owner[0]]}:0"]

    def test_another_encoder_on_the_list_embeds_nothing_but_its_own(
        self, dataset: Dataset, count_encoded: Count, tmp_path: Path
    ) -> None:
        place = tmp_path / "index"
        assert count_encoded(dataset, place, ONE) == {"texts": 6, "images": 5}
        assert count_encoded(dataset, place, BOTH) == {"images (efficientnet)": 5}
        assert count_encoded(dataset, place, BOTH) == {}
        assert count_encoded(dataset, place, OTHER) == {}
        assert open_index(place, OTHER).image_encoder("descriptor") is None

    def test_it_takes_over_what_several_neighbours_have(
        self,
        dataset: Dataset,
        count_encoded: Count,
        tmp_path: Path,
        tmp_path_factory: pytest.TempPathFactory,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        from ameli_llm.paths import index_dir

        monkeypatch.setenv("AMELI_LLM_CACHE", str(cache_of(tmp_path_factory, tmp_path / "cache")))
        for config in (ONE, OTHER):
            build_index(dataset, index_dir(dataset.key, config), config).close()
        assert count_encoded(dataset, index_dir(dataset.key, BOTH), BOTH) == {}

    def test_upserts_keep_all_of_them(self, both: Index, workshop: Workshop) -> None:
        workshop.draw("70-0.png", "purple")
        (workshop.root / "product_images" / "71-0.png").write_text("no image")
        records = [
            workshop.record(70, "Lamp", "Lamps", "A lamp.", ["70-0.png"]),
            workshop.record(71, "Chair", "Chairs", "A chair.", ["71-0.png"]),
        ]
        dataset = workshop.dataset(records)
        after = both.upsert(dataset.products.values(), dataset.product_image)
        assert after.manifest.unusable_images == 1
        for name in ("descriptor", "efficientnet"):
            assert len(after.image_vectors(name)) == 6
            row = list(after.image_owner).index(after.rows[70])
            encoder = after.image_encoder(name)
            assert encoder is not None
            (expected,) = encoder.encode_images([workshop.root / "product_images" / "70-0.png"])
            assert np.allclose(after.image_vectors(name)[row], expected, atol=1e-6)
        less = after.delete([70, 71])
        assert np.array_equal(less.image_vectors("efficientnet"), both.image_vectors("efficientnet"))

    def test_another_list_is_refused_where_the_user_names_the_folder(self, both: Index) -> None:
        message = "vectors of 'descriptor, efficientnet .*', the configuration asks for 'descriptor'"
        with pytest.raises(AmeliError, match=message):
            open_index(both.folder, ONE)

    def test_a_damaged_file_of_one_encoder_is_found(self, both: Index) -> None:
        path = both.place / "image-efficientnet.npy"
        path.write_bytes(path.read_bytes()[:-1] + b"\x7f")
        with pytest.raises(AmeliError, match=r"image-efficientnet\.npy has changed"):
            read_index(both.folder)

    def test_index_says_which(self, root: Path, tmp_path: Path) -> None:
        path = tmp_path / "c.yaml"
        path.write_text("retrieval: {image_encoders: [descriptor, efficientnet]}")
        shown = command("index", root, "--out", tmp_path / "index", "--config", path)
        assert "descriptor (revision 2), efficientnet efficientnet-lite2 (revision" in " ".join(
            shown.out.split()
        )

    def test_an_encoder_that_the_index_has_not(self, both: Index) -> None:
        with pytest.raises(UnknownNameError, match="Available: descriptor, efficientnet"):
            require_image_encoder(both.manifest, "clip")


class TestCandidates:
    def test_each_cosine_is_shown_and_counts_by_its_weight(self, both: Index, dataset: Dataset) -> None:
        weights = {"title": 1.0, "descriptor": 3.0, "efficientnet": 1.0}
        finder = CandidateFinder(both, dataset, BOTH.model_copy(update={"weights": weights}))
        reviews = dataset.split("dev").reviews
        first = finder.find(reviews, 6)[0]
        shown = [one for one in first if "image" in one.scores]
        assert {one.entity_id for one in shown} == {10, 20, 30, 50}
        for one in shown:
            own = one.scores
            expected = own["title"] + 3 * own["descriptor"] + own["efficientnet"]
            assert one.score == pytest.approx(expected, abs=1e-5)
            assert own["image"] == pytest.approx((3 * own["descriptor"] + own["efficientnet"]) / 4)
        assert all("image" not in one.scores for one in finder.find(reviews, 6)[1])

    def test_weights_of_encoders_that_are_not_configured_do_nothing(
        self, indexed: Callable[..., Path], dataset: Dataset, tmp_path: Path
    ) -> None:
        index = read_index(indexed(ONE, tmp_path / "one"))
        weights = {"title": 1.0, "image": 2.0, "efficientnet": 5.0, "clip": 1.0}
        finder = CandidateFinder(index, dataset, ONE.model_copy(update={"weights": weights}))
        assert set(finder.retrievers) == {"title", "descriptor"}
        with pytest.raises(UnknownNameError):
            CandidateFinder(index, dataset, ONE.model_copy(update={"weights": {"desriptor": 1.0}}))

    def test_no_retriever_is_left(self, both: Index, dataset: Dataset) -> None:
        bare = BOTH.model_copy(update={"image_encoders": (), "weights": {"image": 1.0}})
        with pytest.raises(AmeliError, match="No retriever is left of the weights of image"):
            CandidateFinder(both, dataset, bare)

    def test_no_encoder_is_loaded_for_a_review_without_an_image(self, both: Index, dataset: Dataset) -> None:
        index = read_index(both.folder)
        finder = CandidateFinder(index, dataset, BOTH)
        reviews = dataset.split("dev").reviews
        finder.find([review for review in reviews if not review.images], 3)
        assert not index.loaded_image_encoders
        finder.find(reviews, 3)
        assert set(index.loaded_image_encoders) == {"descriptor", "efficientnet"}


@pytest.mark.parametrize(
    ("scores", "weights", "expected"),
    [
        ({"a": 0.3, "title": 9.0}, {"a": 5.0}, 0.3),
        ({"a": 0.3, "b": 0.9}, {"a": 2.0, "b": 1.0}, 0.5),
        ({"a": 0.3, "b": 0.9}, {"a": 0.0, "b": 0.0}, 0.6),
        ({"b": 0.9}, {"a": 2.0, "b": 1.0}, 0.9),
        ({"title": 9.0}, {"a": 2.0}, None),
    ],
)
def test_the_image_score(scores: dict[str, float], weights: dict[str, float], expected: float | None) -> None:
    assert image_score(scores, weights) == (None if expected is None else pytest.approx(expected))


class TestAdapter:
    def adapter(self, folder: Path, dimension: int, encoder: str) -> RetrievalConfig:
        shape = {"review.w1": (dimension, 2), "review.w2": (2, dimension)}
        shape |= {name.replace("review", "entity"): size for name, size in shape.items()}
        rng = np.random.default_rng(0)
        weights = {name: rng.normal(size=size).astype(np.float32) for name, size in shape.items()}
        ImageAdapter(dimension, "paper", weights, encoder).save(folder)
        return BOTH.model_copy(update={"image_adapter": str(folder)})

    def test_it_adapts_the_encoder_that_it_names(self, both: Index, dataset: Dataset, tmp_path: Path) -> None:
        stamp = require_image_encoder(both.manifest, "efficientnet")
        config = self.adapter(tmp_path / "adapter", stamp.dimension, str(stamp))
        assert adapter_of(both, config)[0] == stamp
        reviews = dataset.split("dev").reviews
        plain = CandidateFinder(both, dataset, BOTH).scores(reviews)
        adapted = CandidateFinder(both, dataset, config).scores(reviews)
        assert np.array_equal(plain["descriptor"], adapted["descriptor"], equal_nan=True)
        assert not np.allclose(plain["efficientnet"][0], adapted["efficientnet"][0], equal_nan=True)

    def test_one_of_other_weights_is_refused(self, both: Index, dataset: Dataset, tmp_path: Path) -> None:
        config = self.adapter(tmp_path / "adapter", 1280, "efficientnet efficientnet-lite2 (revision 0)")
        with pytest.raises(AmeliError, match=r"trained on vectors of efficientnet .*\(revision 0\)"):
            CandidateFinder(both, dataset, config)
