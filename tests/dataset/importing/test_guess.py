from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from ameli_llm.dataset.importing.columns import Columns, read_columns
from ameli_llm.dataset.importing.fields import plain
from ameli_llm.dataset.importing.guess import guess_columns, kind_of
from ameli_llm.dataset.importing.identifiers import IdReader
from ameli_llm.dataset.importing.losses import LeftOutError
from ameli_llm.dataset.importing.tables import open_table
from ameli_llm.errors import AmeliError

if TYPE_CHECKING:
    from tests.dataset.importing.conftest import Folder

PROSE = "It has been on my desk for a year now and still does what it is meant to do every single day."


@pytest.fixture
def columns(folder: Folder) -> Callable[[str], Columns]:
    """The columns of a CSV file."""
    return lambda content: read_columns([open_table(folder.write("a.csv", content))])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Product Title", "product title"),
        ("product_title", "product title"),
        ("productTitle", "product title"),
        ("reviewText", "review text"),
        ("SKU", "sku"),
        ("image-2", "image"),
        ("\u0426\u0432\u0435\u0442", "\u0446\u0432\u0435\u0442"),
        ("#", ""),
    ],
)
def test_plain_names(name: str, words: str) -> None:
    assert plain(name) == words


def test_products(columns: Callable[[str], Columns]) -> None:
    table = columns(
        "handle,asin,title,breadcrumbs,desc,Color,Notes,image1,image2,url,empty,specs\n"
        f"x,B1,Acme,A > B,{PROSE},Red,{PROSE},a.jpg,b.jpg,https://example.org,,a: b\n"
    )
    assert guess_columns("products", table, {}) == {
        "handle": "attribute",
        "asin": "id",
        "title": "name",
        "breadcrumbs": "category",
        "desc": "description",
        "Color": "attribute",
        "Notes": "ignore",
        "image1": "images",
        "image2": "images",
        "url": "ignore",
        "empty": "ignore",
        "specs": "attributes",
    }


def test_reviews(columns: Callable[[str], Columns]) -> None:
    table = columns(f"id,product_id,title,Opinion,stars,photo,split\n1,B1,Good,{PROSE},5,a.jpg,dev\n")
    assert guess_columns("reviews", table, {}) == {
        "id": "id",
        "product_id": "gold",
        "title": "header",
        "Opinion": "body",
        "stars": "ignore",
        "photo": "images",
        "split": "split",
    }


def test_what_is_decided_stays(columns: Callable[[str], Columns]) -> None:
    table = columns("id,sku,name\n1,B1,Acme\n")
    assert guess_columns("products", table, {"sku": "id", "name": "ignore"}) == {
        "id": "attribute",
        "sku": "id",
        "name": "ignore",
    }


@pytest.mark.parametrize(
    ("name", "header", "kind"),
    [
        ("a.csv", "id,title,price", "products"),
        ("a.csv", "asin,reviewText,summary", "reviews"),
        ("a.csv", "id,product_id,title,comment", "reviews"),
        ("my_reviews.csv", "id,title,text", "reviews"),
        ("items.csv", "id,title,text", "products"),
        ("reviews.csv", "a,b", "reviews"),
    ],
)
def test_kind(name: str, header: str, kind: str, columns: Callable[[str], Columns]) -> None:
    values = ",".join(["x"] * (header.count(",") + 1))
    assert kind_of(name, columns(f"{header}\n{values}\n")) == kind


def test_kind_that_cannot_be_told(columns: Callable[[str], Columns]) -> None:
    with pytest.raises(AmeliError) as error:
        kind_of("a.csv", columns("x,y\n1,2\n"))
    assert str(error.value) == (
        "Cannot tell whether a.csv holds products or reviews. Its columns: x, y. "
        "Say it: --products FILE or --reviews FILE."
    )


@pytest.mark.parametrize(
    ("cells", "ids"),
    [
        ("1 2 30", [1, 2, 30]),
        ("0 -1 9007199254740993", [0, -1, 9007199254740993]),
        ("1.0 2.0", [1, 2]),
        ("1.0 nan 3.0", [1, None, 3]),
        ("9007199254740993.0 2", [9007199254740993, 2]),
        ("007 8", ["007", "8"]),
        ("1 B00X1", ["1", "B00X1"]),
        ("1.5 2", ["1.5", "2"]),
        ("1e5 2", ["1e5", "2"]),
        ("+1 2", ["+1", "2"]),
        ("-0 2", ["-0", "2"]),
        ("\u0661 2", ["\u0661", "2"]),
        ("9" * 120 + " 1", ["9" * 120, "1"]),
    ],
)
def test_ids_of_a_column_of_texts(cells: str, ids: list[Any], columns: Callable[[str], Columns]) -> None:
    table = columns("id\n" + "\n".join(cells.split()))
    read = IdReader(False, table.by_name["id"].numbers)
    found = [read(cell) for cell in cells.split()]
    assert found == ids
    assert list(map(type, found)) == list(map(type, ids))


@pytest.mark.parametrize(
    ("value", "id_"), [(12, 12), (12.0, 12), ("12", "12"), ("007", "007"), (" a ", "a"), (2**60, 2**60)]
)
def test_ids_of_typed_values(value: Any, id_: Any) -> None:
    found = IdReader(True, "whole")(value)
    assert (found, type(found)) == (id_, type(id_))


@pytest.mark.parametrize("value", [None, "", "  ", "NaN", "None", float("nan")])
def test_no_id(value: Any) -> None:
    assert IdReader(True, None)(value) is None


@pytest.mark.parametrize("value", [1.5, True, [1], {"a": 1}, "x" * 201, "a\nb", float("inf")])
def test_what_is_no_id(value: Any) -> None:
    with pytest.raises(LeftOutError, match=r"^has an id that is none$"):
        IdReader(True, None)(value)


def test_too_many_columns(folder: Folder) -> None:
    path = folder.write("a.json", "[" + ",".join(f'{{"B{n}": 1}}' for n in range(1001)) + "]")
    with pytest.raises(AmeliError, match=r"has more than 1,000 columns\. A row, or a JSON object"):
        read_columns([open_table(path)])
