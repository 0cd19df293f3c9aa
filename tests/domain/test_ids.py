"""Ids as people have them: on their way into JSON keys and back, in order, and as seeds."""

from __future__ import annotations

import json
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ameli_llm.ids import EntityId, id_key, id_number, id_of_key, id_order

TEXTS = st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@pytest.mark.parametrize(
    ("id_", "key"),
    [
        (412, "412"),
        (-3, "-3"),
        ("B00X1", "B00X1"),
        ("412", '"412"'),
        ("007", "007"),
        ("-0", '"-0"'),
        ("4 12", "4 12"),
        ('"x', '"\\"x"'),
    ],
)
def test_a_key_keeps_what_kind_of_id_it_is(id_: EntityId, key: str) -> None:
    assert id_key(id_) == key
    assert id_of_key(key) == id_
    assert type(id_of_key(key)) is type(id_)


@given(st.one_of(st.integers(-(10**50), 10**50), TEXTS, st.integers().map(str)))
def test_every_id_comes_back_as_it_came(id_: EntityId) -> None:
    back = id_of_key(json.loads(json.dumps(id_key(id_))))
    assert (back, type(back)) == (id_, type(id_))


@given(st.lists(st.one_of(st.integers(), TEXTS), unique_by=lambda one: (one, type(one))))
def test_different_ids_have_different_keys(ids: list[EntityId]) -> None:
    assert len({id_key(id_) for id_ in ids}) == len(ids)


def test_a_key_of_no_id() -> None:
    with pytest.raises(ValueError, match="is no id"):
        id_of_key('"open')


def test_numbers_come_before_texts() -> None:
    ordered: list[EntityId] = [-1, 2, 10, "10", "B", "a"]
    for mixed in list(permutations(ordered))[::37]:
        assert sorted(mixed, key=id_order) == ordered


def test_a_seed_is_the_number_itself_or_stands_for_the_text() -> None:
    assert [id_number(0), id_number(412)] == [0, 412]
    others = [id_number("412"), id_number("B00X1"), id_number(-412)]
    assert len({412, *others}) == 4
    assert all(number >= 0 for number in others)
    assert id_number("B00X1") == id_number("B00X1")
