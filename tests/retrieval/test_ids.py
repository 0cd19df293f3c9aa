"""Products whose ids are texts, and integers beside texts, from the index to the candidates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ameli_llm.config import RetrievalConfig
from ameli_llm.dataset.load import Dataset
from ameli_llm.errors import AmeliError
from ameli_llm.ids import EntityId
from ameli_llm.ties import chance, ranked
from ameli_llm.types import Product, Review
from retrieval.building import build_index
from retrieval.candidates import CandidateFinder
from retrieval.index import Index, open_index, read_index
from retrieval.snapshot import Entry, ImageEntry, Snapshot, in_order
from retrieval.store import image_records, open_store, text_records

BARE = RetrievalConfig(image_encoder="none", weights={"bm25": 1.0, "prior": 1.0, "sbert": 1.0}, pool=10)
ODD: tuple[EntityId, ...] = ("B00X1", "7", "a:0", "Größe 4 \U0001f600", " x", 8, -3, 10**30)


def product(id_: EntityId, name: str) -> Product:
    return Product(id_, name, ("Shop", "Things"), f"This is the {name}.")


def kb(root: Path) -> Dataset:
    names = ("Red Blender", "Blue Toaster", "Green Drive")
    return Dataset(root, [product(id_, name) for id_, name in zip(("B00X1", "07", "7"), names, strict=True)])


@pytest.fixture
def coded(tmp_path: Path) -> Index:
    """An index of products with codes for ids."""
    return build_index(kb(tmp_path), tmp_path / "coded", BARE)


def test_ids_come_back_as_they_came(coded: Index) -> None:
    again = open_index(coded.folder, BARE)
    for index in (coded, again):
        assert sorted(map(str, index.product_ids)) == ["07", "7", "B00X1"]
        assert {type(id_) for id_ in index.product_ids} == {str}
        assert [index.rows[id_] for id_ in index.product_ids] == [0, 1, 2]
        assert index.entries[index.rows["07"]].name == "Blue Toaster"


@pytest.mark.parametrize("search", ["exact", "chroma"])
def test_candidates_have_the_ids_of_the_products(coded: Index, tmp_path: Path, search: str) -> None:
    finder = CandidateFinder(coded, kb(tmp_path), BARE.model_copy(update={"search": search}))
    reviews = [Review("r-1", body="a red blender", mention="blender"), Review(2, header="green drive")]
    assert [found[0].entity_id for found in finder.find(reviews, 3)] == ["B00X1", "7"]
    assert [len(found) for found in finder.find(reviews, 3)] == [3, 3]
    coded.close()


def test_upsert_and_delete_of_codes(coded: Index) -> None:
    more = coded.upsert([product("N-1", "Black Lamp"), product("07", "White Toaster")])
    assert set(more.product_ids) == {"B00X1", "07", "7", "N-1"}
    assert more.entries[more.rows["07"]].name == "White Toaster"
    unchanged = more.text_vectors[more.rows["B00X1"]]
    assert np.array_equal(unchanged, coded.text_vectors[coded.rows["B00X1"]])
    less = more.delete(["7", "N-1"])
    assert set(less.product_ids) == {"B00X1", "07"}
    with open_store(less.place / "chroma") as store:
        assert store.holds(less.snapshot)


def test_integers_and_codes_in_one_index(index: Index, config: RetrievalConfig) -> None:
    after = index.upsert([product(id_, f"Thing {number}") for number, id_ in enumerate(ODD)])
    ids = {10, 20, 30, 40, 50, 60, *ODD}
    again = open_index(index.folder, config)
    assert set(after.product_ids) == set(again.product_ids) == ids
    vectors = again.text_vectors[[again.rows[id_] for id_ in ODD]]
    nearest = again.nearest_texts(vectors, 1, exact=False)
    assert [again.product_ids[rows[0]] for rows, _ in nearest] == list(ODD)
    again.close()
    assert set(after.delete(ODD).product_ids) == ids - set(ODD)


@pytest.mark.parametrize("wrong", ["10", 11, "B00x1"])
def test_an_id_of_another_type_or_spelling_is_another_id(index: Index, wrong: EntityId) -> None:
    with pytest.raises(AmeliError, match=f"has no product {wrong!r}"):
        index.delete([wrong])


def test_ids_of_the_same_text_are_refused(index: Index) -> None:
    with pytest.raises(AmeliError, match=r"ids of the same text: 10 \('Acme.*'\) and '10' \('Lamp'\)"):
        index.upsert([product("10", "Lamp")])
    with pytest.raises(AmeliError, match=r"ids of the same text: 'x' \('Lamp'\) and 'x' \('Desk'\)"):
        index.upsert([product("x", "Lamp"), product("x", "Desk")])
    assert read_index(index.folder).product_ids == index.product_ids


def entry(id_: EntityId, *images: str) -> Entry:
    return Entry(
        id_, "Lamp", ("Shop", "Lamps"), "A lamp.", tuple(ImageEntry(name, "0" * 64) for name in images)
    )


def snapshot(*entries: Entry) -> Snapshot:
    return Snapshot(
        entries, np.zeros((2, 3), np.float32), {"a": np.zeros((1, 3), np.float32)}, np.zeros(1, np.int64)
    )


def test_records_of_chroma_are_named_by_the_text_of_the_id() -> None:
    held = snapshot(entry(5, "a.png"), entry("a:0", "b.png", "c.png"), entry(2**63), entry(2**63 - 1))
    assert [record.id for record in text_records(held)] == ["5", "a:0", str(2**63), str(2**63 - 1)]
    assert [record.metadata["product"] for record in text_records(held)] == [
        *(5, "a:0", str(2**63), 2**63 - 1),
    ]
    assert [record.id for record in image_records(held)] == ["5:0", "a:0:0", "a:0:1"]


def test_the_order_is_blind_to_spelling_and_to_the_order_of_the_input() -> None:
    entries = [entry(f"P{number:03}") for number in range(200)]
    order = [e.id for e in in_order(entries)]
    assert order == [e.id for e in in_order(entries[::-1])]
    positions = [int(str(id_)[1:]) for id_ in order]
    assert abs(np.corrcoef(positions, range(200))[0, 1]) < 0.2


def test_what_integers_give_is_what_they_always_gave() -> None:
    blender = Entry(
        10, "Acme Blender", ("Shop", "Blenders"), "Acme Blender.", (ImageEntry("a.png", "0" * 64),)
    )
    zebra = Entry(9, "Zebra", (), "Zebra.", ())
    version = "05f4c899dff18b99bccc030725b2b43ae29dddcab442b0c3ba3bb4d1b0249d74"
    assert snapshot(blender, zebra).kb_version == snapshot(zebra, blender).kb_version == version
    assert (chance(10), chance(1, 10)) == (17776751340218535316, 3242257305080462690)
    assert ranked(1, [10, 20, 30, 40], [1, 1, 1, 1]) == [2, 0, 3, 1]


def test_the_version_of_a_knowledge_base_of_both_kinds_of_id() -> None:
    both = [entry("a"), entry(2), entry("B")]
    assert snapshot(*both).kb_version == snapshot(*both[::-1]).kb_version
    assert snapshot(entry("2")).kb_version != snapshot(entry(2)).kb_version


def test_equal_scores_of_codes_are_ordered_by_chance() -> None:
    ids = ["a", "b", "c", "d"]
    assert ranked("r1", ids, [1, 1, 1, 1]) == sorted(range(4), key=lambda i: chance("r1", ids[i]))
    assert ranked("r1", ids, [1, 3, 1, 2])[:2] == [1, 3]
    firsts = {ids[ranked(f"r{number}", ids, [0, 0, 0, 0])[0]] for number in range(100)}
    assert firsts == set(ids)
