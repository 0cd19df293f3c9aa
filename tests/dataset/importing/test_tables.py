from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ameli_llm.dataset.importing.losses import Losses
from ameli_llm.dataset.importing.tables import open_table
from ameli_llm.dataset.importing.tables.json_lines import MAX_LINE
from ameli_llm.errors import AmeliError, MissingPackageError

Read = Callable[..., tuple[list[dict[str, Any]], dict[str, int]]]
TWO = [{"id": "1", "name": "a"}, {"id": "2", "name": "b"}]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "id,name\n1,a\n2,b\n"),
        ("a.csv", "id,name\r\n1,a\r\n2,b"),
        ("a.csv", "id,name\r1,a\r2,b\r"),
        ("a.csv", "\ufeffid,name\n1,a\n2,b\n"),
        ("a.csv", "id;name\n1;a\n2;b\n"),
        ("a.csv", "id|name\n1|a\n2|b\n"),
        ("a.csv", 'id,name\n"1","a"\n"2","b"\n'),
        ("a.csv", "\n\n id , name \n\n1,a\n,\n2,b\n\n"),
        ("a.csv", "id,name\n1,a,\n2,b,,\n"),
        ("a.tsv", "id\tname\n1\ta\n2\tb\n"),
        ("A.TSV", "id\tname\n1\ta\n2\tb\n"),
        ("a.csv", "id,name\n1,a\n2,b\n".encode("utf-16")),
        ("a.jsonl", '{"id": "1", "name": "a"}\n\n{"id": "2", "name": "b"}'),
        ("a.ndjson", '\ufeff{"id": "1", "name": "a"}\r\n{"id": "2", "name": "b"}\r\n'),
        ("a.json", '{"id": "1", "name": "a"}\n{"id": "2", "name": "b"}\n'),
        ("a.json", json.dumps(TWO, indent=4)),
    ],
)
def test_one_table_in_many_forms(name: str, content: str | bytes, rows: Read) -> None:
    assert rows(name, content) == (TWO, {})


@pytest.mark.parametrize(
    ("content", "cells"),
    [
        ('id,name\n1,"a ""b"", c"\n', 'a "b", c'),
        ('id,name\n1,"two\nlines"\n', "two\nlines"),
        ('id,name\n1,27" screen\n', '27" screen'),
        ("id,name\n1,=HYPERLINK(A1)\n", "=HYPERLINK(A1)"),
        ("id,name\n1,a\x00b\n", "a\x00b"),
        ("id;name\n1;a, b\n", "a, b"),
    ],
)
def test_cells(content: str, cells: str, rows: Read) -> None:
    found, losses = rows("a.csv", content)
    assert [row["name"] for row in found] == [cells]
    assert losses == {}


def test_ragged_rows_are_counted(rows: Read) -> None:
    found, losses = rows("a.csv", "id,name\n1,a\n2\n3,b,c\n4,d\n")
    assert [row["id"] for row in found] == ["1", "4"]
    assert losses == {"has fewer cells than there are columns": 1, "has more cells than there are columns": 1}


def test_column_names_are_made_different(rows: Read) -> None:
    found, _ = rows("a.csv", "name,,name,NAME,name\n1,2,3,4,5\n")
    assert found == [{"name": "1", "column 2": "2", "name (2)": "3", "NAME": "4", "name (3)": "5"}]


@pytest.mark.parametrize("quote", ["", '"'])
def test_a_giant_cell_costs_its_row(quote: str, rows: Read) -> None:
    giant = f"2,{quote}{'x' * 5_000_000}{quote}\n"
    found, losses = rows("a.csv", f"id,name\n1,a\n{giant}3,b\n")
    assert [row["id"] for row in found] == ["1", "3"]
    assert losses == {"is longer than 4,000,000 characters": 1}


def test_a_long_cell_costs_its_row(rows: Read) -> None:
    found, losses = rows("a.csv", f"id,name\n1,a\n2,{'x' * 200_000}\n3,b\n")
    assert [row["id"] for row in found] == ["1", "3"]
    assert losses == {"has a cell of more than 131,072 characters, or an open quote": 1}


def test_an_open_quote_costs_what_it_swallows_and_no_more(rows: Read) -> None:
    lines = [f"{number},name {number}" for number in range(30_000)]
    lines[1500] = '1500,"name'
    found, losses = rows("a.csv", "id,name\n" + "\n".join(lines))
    assert losses == {"has a cell of more than 131,072 characters, or an open quote": 1}
    ids = [int(row["id"]) for row in found]
    assert ids[:1500] == list(range(1500))
    assert ids[-1] == 29_999
    assert len(ids) > 20_000


def test_quotes_that_mean_nothing(rows: Read) -> None:
    found, losses = rows("a.tsv", 'id\tname\n1\t"Great\n2\tb\n3\tc "d\n')
    assert [row["name"] for row in found] == ['"Great', "b", 'c "d']
    assert losses == {}


@pytest.mark.parametrize("bad", ['2,"open', '2,"open\n3,"swallowed"', '2,"a"b'])
def test_wrong_quotes_lose_no_row_silently(bad: str, rows: Read) -> None:
    found, losses = rows("a.csv", f'id,name\n1,"a, b"\n{bad}\n')
    assert [row["name"] for row in found] == ["a, b"]
    assert losses == {"has a quote that is not closed, or text after one": 1}


def test_wrong_encoding(rows: Read) -> None:
    content = "id,name\n1,Caf\u00e9\n".encode("cp1252")
    with pytest.raises(AmeliError, match=r"a\.csv is not UTF-8 throughout\. Name the encoding that it has"):
        rows("a.csv", content)
    assert rows("a.csv", content, "cp1252") == ([{"id": "1", "name": "Caf\u00e9"}], {})
    with pytest.raises(AmeliError, match=r"^No encoding named 'klingon'"):
        rows("a.csv", content, "klingon")


def test_wrong_encoding_far_behind_the_first_rows(rows: Read) -> None:
    content = b"id,name\n" + (b"1," + b"a" * 1000 + b"\n") * 2000 + b"2,\xe9\n"
    with pytest.raises(AmeliError, match="is not UTF-8 throughout"):
        rows("a.csv", content)


@pytest.mark.parametrize(("content", "found"), [("", []), ("\n \n", []), ("id,name\n", [])])
def test_no_rows(content: str, found: list[object], rows: Read) -> None:
    assert rows("a.csv", content) == (found, {})


def test_bytes_that_are_no_table(rows: Read) -> None:
    with pytest.raises(AmeliError, match="is not UTF-8 throughout"):
        rows("a.csv", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20)
    with pytest.raises(AmeliError, match=r"a\.parquet: "):
        rows("a.parquet", b"PAR1" + bytes(100))
    with pytest.raises(AmeliError, match=r"a\.json: not JSON"):
        rows("a.json", "hello")


def test_bad_lines_are_counted_by_what_is_wrong_with_them(rows: Read) -> None:
    lines = [
        b'{"id": 1}',
        b"not json",
        b'{"id": 2',
        b"[" * 100_000,
        b'{"a": ' + b"[" * 70 + b"]" * 70 + b"}",
        b"[1]",
        b'{"id": "\xff"}',
        b'{"n": ' + b"9" * 5000 + b"}",
        b'{"n": 1e999}',
        b'{"t": "' + b"x" * MAX_LINE + b'"}',
        b'{"id": NaN, "t": "tab\there"}',
    ]
    found, losses = rows("a.jsonl", b"\n".join(lines))
    assert found == [{"id": 1}, {"id": None, "t": "tab\there"}]
    assert losses == {
        "is not JSON": 2,
        "is nested more than 64 deep": 2,
        "is no JSON object": 1,
        "is not UTF-8": 1,
        "holds a number out of range": 2,
        "is longer than 16 MiB": 1,
    }


def test_items_of_an_array_that_are_no_objects(rows: Read) -> None:
    assert rows("a.json", '[{"id": 1}, 2, null, [3]]') == ([{"id": 1}], {"is no JSON object": 3})


def test_places_name_lines(rows: Read, tmp_path: Path) -> None:
    losses = Losses()
    path = tmp_path / "b.csv"
    path.write_text('id,name\n1,"two\nlines"\n2\n', "utf-8")
    table = open_table(path)
    assert [row.position for row in table.rows(losses)] == [3]
    assert losses.all()[0].places == ("b.csv:4",)


@pytest.fixture
def parquet(tmp_path: Path) -> Callable[[str, str], Path]:
    """parquet(name, select): a file with the rows of a query."""

    def write(name: str, select: str) -> Path:
        path = tmp_path / name
        plain = tmp_path / "plain.parquet"
        duckdb.connect().execute(f"COPY ({select}) TO '{plain}' (FORMAT parquet)")
        plain.rename(path)
        return path

    return write


def test_parquet(parquet: Callable[[str, str], Path]) -> None:
    select = """SELECT 9007199254740993 AS id, '007' AS code, {'Color': 'Red', 'Size': 5} AS spec,
        MAP {'Weight': '2 kg'} AS more, ['a.jpg', 'b.jpg'] AS images, [{'key': 'k', 'value': 'v'}] AS pairs,
        12.50::DECIMAL(8, 2) AS price, DATE '2020-01-31' AS day, NULL AS nothing, 1.5::DOUBLE AS size"""
    (row,) = open_table(parquet("a.parquet", select)).rows(Losses())
    assert row.values == {
        "id": 9007199254740993,
        "code": "007",
        "spec": {"Color": "Red", "Size": 5},
        "more": {"Weight": "2 kg"},
        "images": ["a.jpg", "b.jpg"],
        "pairs": [{"key": "k", "value": "v"}],
        "price": Decimal("12.50"),
        "day": date(2020, 1, 31),
        "nothing": None,
        "size": 1.5,
    }


def test_parquet_rows_keep_their_order(parquet: Callable[[str, str], Path]) -> None:
    table = open_table(parquet("a.parquet", "SELECT range AS id FROM range(3000)"))
    assert [row.values["id"] for row in table.rows(Losses())] == list(range(3000))
    assert [row.position for row in table.rows(Losses())][:2] == [1, 2]


def test_a_name_is_no_pattern(parquet: Callable[[str, str], Path]) -> None:
    parquet("ab.parquet", "SELECT 1 AS id")
    starred = parquet("a*.parquet", "SELECT 2 AS id")
    assert [row.values for row in open_table(starred).rows(Losses())] == [{"id": 2}]


def test_damaged_parquet(parquet: Callable[[str, str], Path]) -> None:
    path = parquet("a.parquet", "SELECT range AS id, 'x' || range AS name FROM range(5000)")
    whole = path.read_bytes()
    for content in (b"", whole[: len(whole) // 2], whole[:-8] + os.urandom(8), b"PAR1" * 10):
        path.write_bytes(content)
        with pytest.raises(AmeliError) as error:
            list(open_table(path).rows(Losses()))
        assert str(error.value).startswith(f"Cannot read {path}: ")
        assert "\n" not in str(error.value)


def test_parquet_without_its_package(
    parquet: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    table = open_table(parquet("a.parquet", "SELECT 1 AS id"))
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(MissingPackageError) as error:
        list(table.rows(Losses()))
    assert str(error.value).startswith("Parquet files are read by duckdb, which is not installed. Type: ")
    assert "[parquet]" in str(error.value)


def test_files_that_cannot_be_imported(tmp_path: Path) -> None:
    with pytest.raises(AmeliError, match=r"^No file at .*none\.csv\.$"):
        open_table(tmp_path / "none.csv")
    (tmp_path / "a.xlsx").write_bytes(b"PK")
    with pytest.raises(AmeliError) as error:
        open_table(tmp_path / "a.xlsx")
    assert str(error.value) == (
        f"{tmp_path / 'a.xlsx'} is of no kind that can be imported. "
        "Known are .csv, .tsv, .tab, .json, .jsonl, .ndjson, .parquet, .pq."
    )
