from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ameli_llm.dataset.importing.mapping import ImportMapping, read_mapping, write_mapping
from ameli_llm.errors import AmeliError, UnknownNameError

if TYPE_CHECKING:
    from tests.dataset.importing.conftest import Folder

PRODUCTS = "id,code,title,Color\n1,B1,Acme,Red\n2,B2,Breeze,Blue\n"
REVIEWS = "id,code,review_text\n1,B1,Good and red.\n"


def test_overrides(folder: Folder) -> None:
    folder.write("products.csv", PRODUCTS)
    folder.write("reviews.csv", REVIEWS)
    names = ("products.csv", "reviews.csv")
    plan = folder.plan(*names, words=["code=products.id", "Color=ignore", "code=gold"])
    assert plan.mapping.products.columns == {
        "id": "attribute",
        "code": "id",
        "title": "name",
        "Color": "ignore",
    }
    assert plan.mapping.reviews.columns == {"id": "id", "code": "gold", "review_text": "body"}
    both = folder.plan(*names, words=["code=id"])
    assert both.mapping.products.columns["code"] == both.mapping.reviews.columns["code"] == "id"


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("code", "--map 'code' is not COLUMN=FIELD. For instance: --map sku=id"),
        ("=id", "--map '=id' is not COLUMN=FIELD. For instance: --map sku=id"),
        (
            "cod=id",
            "No column named 'cod'. Available: Color, code, id, review_text, title. Did you mean 'code'?",
        ),
        ("Color=colour", "No field of products named 'colour'. Available: attribute, attributes, category,"),
        ("Color=reviews.body", "No column named 'Color'. Available: code, id, review_text."),
        ("Color=product.id", "No kind of file named 'product'. Available: products, reviews. Did you mean"),
        ("Color=name", "'title' and 'Color' are both to be the name of products."),
        (
            "title=ignore",
            "No column of {products} gives the name of products. Columns: id, code, title, Color.",
        ),
    ],
)
def test_wrong_overrides(word: str, message: str, folder: Folder) -> None:
    products = folder.write("products.csv", PRODUCTS)
    folder.write("reviews.csv", REVIEWS)
    words = [word] if word != "Color=name" else [word, "title=name"]
    with pytest.raises(AmeliError) as error:
        folder.plan("products.csv", "reviews.csv", words=words)
    assert str(error.value).startswith(message.format(products=products))


def test_a_written_mapping_does_the_same_again(folder: Folder, tmp_path: Path) -> None:
    folder.write("p.csv", PRODUCTS)
    folder.write("r.csv", REVIEWS)
    plan = folder.plan(products=["p.csv"], reviews=["r.csv"], words=["Color=ignore"], split="val")
    write_mapping(plan.mapping, tmp_path / "map.yaml")
    assert read_mapping(tmp_path / "map.yaml") == plan.mapping
    again = folder.plan(mapping=read_mapping(tmp_path / "map.yaml"))
    assert again.mapping == plan.mapping
    assert again.mapping.split == "dev"
    named = folder.plan("r.csv", "p.csv", mapping=read_mapping(tmp_path / "map.yaml"))
    assert named.mapping == plan.mapping
    with pytest.raises(AmeliError, match=r"map\.yaml exists\. Choose another --write-mapping"):
        write_mapping(plan.mapping, tmp_path / "map.yaml")


def test_a_short_mapping_leaves_the_rest_to_be_guessed(folder: Folder, tmp_path: Path) -> None:
    folder.write("products.csv", PRODUCTS)
    (tmp_path / "map.yaml").write_text("products:\n  columns: {code: id}\nreviews:\n", "utf-8")
    plan = folder.plan("products.csv", mapping=read_mapping(tmp_path / "map.yaml"))
    assert plan.mapping.products.columns["code"] == "id"
    assert plan.mapping.products.columns["title"] == "name"
    assert plan.mapping.reviews == ImportMapping().reviews


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("products: [", " is not YAML: "),
        ("product: {}", ": product: Extra inputs are not permitted."),
        ("products: {columns: [a]}", ": products.columns: Input should be a valid dictionary."),
        ("split: tset", ": split: Input should be 'train', 'dev' or 'test'."),
        ("- 1", ": Input should be a valid dictionary"),
        ("\x00", " is not YAML: "),
        ("[" * 5000, " is not YAML: "),
    ],
)
def test_wrong_mapping(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "map.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises(AmeliError) as error:
        read_mapping(path)
    assert str(error.value).startswith(f"{path}{message}")
    assert "\n" not in str(error.value)


def test_mapping_of_an_unknown_field(tmp_path: Path) -> None:
    (tmp_path / "map.yaml").write_text("reviews: {columns: {a: bodi}}", "utf-8")
    with pytest.raises(UnknownNameError, match=r"^No field of reviews named 'bodi'\. .* Did you mean"):
        read_mapping(tmp_path / "map.yaml")
    with pytest.raises(AmeliError, match=r"^Cannot read .*none\.yaml: No such file"):
        read_mapping(tmp_path / "none.yaml")


def test_plans_that_cannot_be_made(folder: Folder) -> None:
    folder.write("reviews.csv", REVIEWS)
    with pytest.raises(AmeliError, match=r"^No file of products to import\. Name the files"):
        folder.plan("reviews.csv")
    with pytest.raises(AmeliError, match=r"^No file of products to import\."):
        folder.plan()
    folder.write("products.csv", PRODUCTS)
    with pytest.raises(UnknownNameError, match=r"^No split named 'tset'\. .* Did you mean 'test'\?$"):
        folder.plan("products.csv", split="tset")
    with pytest.raises(AmeliError, match=r"gives the body of reviews\. Columns: .* Say it: --map"):
        folder.plan(products=["products.csv"], reviews=["products.csv"])
