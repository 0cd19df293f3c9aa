from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import yaml

from ameli_llm.errors import AmeliError
from eval.published import FOLDER, Published, published

TABLES = ("table4", "table5")


@pytest.fixture(params=TABLES)
def table(request: pytest.FixtureRequest) -> Published:
    return published(request.param)


def test_rows_are_the_papers_in_its_order() -> None:
    first_hand = {
        name: [key for key in published(name).rows if published(name).values(key)] for name in TABLES
    }
    assert first_hand["table4"] == [
        *("prior", "sbert", "clip", "clip_sbert", "clip_sbert_prior"),
        *("tuned_clip", "tuned_clip_sbert", "tuned_clip_sbert_prior"),
    ]
    assert first_hand["table5"] == [
        *("random", "v2vel", "v2tel", "v2vtel", "amelink_without_attribute"),
        *("amelink_without_image", "amelink_without_text", "amelink", "human"),
    ]


def test_rows_of_the_table_have_every_measure() -> None:
    for name in TABLES:
        table = published(name)
        in_table = [
            figures for row in table.rows.values() for figures in row.figures if figures.source == "v1"
        ]
        assert len(in_table) == 8
        assert all(tuple(figures.values) == table.measures for figures in in_table)


def test_figures_stand_beside_their_source(table: Published) -> None:
    for key in table.rows:
        document = table.document(key)
        assert document is not None
        assert all(figures["citation"] and figures["place"] for figures in document["figures"])
        assert all(isinstance(figures["second_hand"], bool) for figures in document["figures"])
    assert table.document("nothing") is None


def test_second_hand_figures_are_kept_apart() -> None:
    table = published("table5")
    assert table.values("amelink") == {"disambiguation_f1": 52.35, "end_to_end_f1": 33.47}
    assert table.second_hand("amelink") == {"disambiguation_f1": 60.30, "end_to_end_f1": 51.54}
    assert table.values("amelink_gold_attributes") == {}
    assert table.second_hand("v2vel") == {}
    assert table.values("nothing") == table.second_hand("nothing") == {}
    assert [name for name, source in table.sources.items() if source.second_hand] == ["eacl"]


def test_more_candidates_find_more() -> None:
    table = published("table4")
    for key in table.rows:
        for values in (table.values(key), table.second_hand(key)):
            recall = [values[name] for name in table.measures if name in values]
            assert all(few < many for few, many in itertools.pairwise(recall)), key


def test_end_to_end_is_about_what_was_found_times_what_was_told_apart() -> None:
    """Both tables are of the same candidates, so a digit in the wrong place shows here."""
    found, told = published("table4"), published("table5")
    recall = found.values("tuned_clip_sbert_prior")["recall_10"] / 100
    later = found.second_hand("tuned_clip_tuned_sbert")["recall_10"] / 100
    for key in told.rows:
        v1, eacl = told.values(key), told.second_hand(key)
        if "end_to_end_f1" in v1:
            apart = 3.6 if key == "amelink_without_image" else 1.3
            assert abs(v1["end_to_end_f1"] - recall * v1["disambiguation_f1"]) < apart, key
        if "end_to_end_f1" in eacl:
            assert abs(eacl["end_to_end_f1"] - later * eacl["disambiguation_f1"]) < 0.3, key


BROKEN = {
    "unknown key": (lambda c: c.update(extra=1), "extra: Extra inputs are not permitted"),
    "unknown source": (
        lambda c: c["rows"]["v2vel"]["figures"][0].update(source="v3"),
        "v2vel names an unknown source 'v3'",
    ),
    "unknown measure": (
        lambda c: c["rows"]["v2vel"]["figures"][0]["values"].update(f2=1),
        "v2vel has an unknown measure 'f2'",
    ),
    "no percentage": (
        lambda c: c["rows"]["v2vel"]["figures"][0]["values"].update(end_to_end_f1=181.3),
        "v2vel has a value that is no percentage",
    ),
    "a source twice": (
        lambda c: c["rows"]["v2vel"]["figures"].append(c["rows"]["v2vel"]["figures"][0]),
        "v2vel has a source twice",
    ),
    "no source": (lambda c: c["rows"]["v2vel"].update(figures=[]), "rows.v2vel.figures: Tuple should have"),
    "unmarked source": (
        lambda c: c["sources"]["eacl"].pop("second_hand"),
        "sources.eacl.second_hand: Field required",
    ),
    "another table": (lambda c: c.update(table="table4"), "holds table4, not table5"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_named_with_its_place(case: str, tmp_path: Path) -> None:
    change, message = BROKEN[case]
    content = yaml.safe_load((FOLDER / "table5.yaml").read_text(encoding="utf-8"))
    change(content)
    (tmp_path / "table5.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    with pytest.raises(AmeliError) as error:
        published("table5", tmp_path)
    assert str(tmp_path / "table5.yaml") in str(error.value)
    assert message in str(error.value)


@pytest.mark.parametrize(("content", "message"), [(None, "Cannot read"), ("a: [", "is not YAML")])
def test_a_file_that_cannot_be_read(content: str | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "table4.yaml").write_text(content, encoding="utf-8")
    with pytest.raises(AmeliError, match=message):
        published("table4", tmp_path)
