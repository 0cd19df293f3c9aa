from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ameli_llm.dataset.load import load_dataset
from tests.command import command

if TYPE_CHECKING:
    from tests.dataset.importing.conftest import Folder

PAGE = Path(__file__).parents[3] / "docs" / "datasets.md"
PRODUCTS = (
    "sku,title,category,Color,photo\n007,Acme Red,Kitchen > Kettles,=1+2,a.jpg\n008,Acme Blue,Kitchen,Blue,\n"
)
REVIEWS = (
    '{"sku": "007", "summary": "Great", "reviewText": "My red kettle.", "photos": ["https://x.org/b.jpg"]}\n'
)


@pytest.fixture
def tables(folder: Folder) -> tuple[Path, Path]:
    folder.image("a.jpg")
    return folder.write("products.csv", PRODUCTS), folder.write("reviews.jsonl", REVIEWS + "{\n")


def test_what_it_prints(folder: Folder, tables: tuple[Path, Path]) -> None:
    done = command("data", "import", *tables, "--out", folder.out, "--split", "dev")
    assert done.code == 0, done.err
    head, _, rest = done.out.partition("                             dev\n")
    assert head == (
        f"products: {tables[0]}\n"
        "column    becomes    filled  for instance\n"
        "sku       id         2       007\n"
        "title     name       2       Acme Red\n"
        "category  category   2       Kitchen > Kettles\n"
        "Color     attribute  2       =1+2\n"
        "photo     images     1       a.jpg\n"
        "\n"
        f"reviews: {tables[1]}\n"
        "column      becomes  filled  for instance\n"
        "sku         gold     1       007\n"
        "summary     header   1       Great\n"
        "reviewText  body     1       My red kettle.\n"
        "photos      images   1       ['https://x.org/b.jpg']\n"
        "\n"
        "products: 2 of 2 rows\n"
        "reviews: 1 dev of 1 rows\n"
        "images: 1\n"
        "left out: row is not JSON: 1\n"
        "  reviews.jsonl:2\n"
        "left out: image is a link into the web: 1\n"
        "  reviews.jsonl:1 'https://x.org/b.jpg'\n"
        "\n"
    )
    assert rest.startswith("reviews                        1\n")
    assert rest.endswith(f"{folder.out}\n")
    assert list(load_dataset(folder.out).products) == ["007", "008"]


def test_json(folder: Folder, tables: tuple[Path, Path]) -> None:
    done = command("data", "import", *tables, "--out", folder.out, "--json")
    assert done.code == 0
    report = done.json
    assert list(report) == ["dataset", "mapping", "rows", "products", "reviews", "images", "losses", "check"]
    assert report["mapping"]["products"]["columns"]["sku"] == "id"
    assert (report["products"], report["reviews"], report["images"]) == (2, {"test": 1}, 1)
    assert report["losses"][0] == {
        "what": "row",
        "reason": "is not JSON",
        "count": 1,
        "places": ["reviews.jsonl:2"],
    }
    assert report["check"]["passed"] is True


def test_the_check_decides_the_exit_code(folder: Folder) -> None:
    path = folder.write("p.csv", "id,name\n1,a\n")
    done = command("data", "import", path, "--out", folder.out)
    assert done.code == 1
    assert "error: no_reviews: 1\n" in done.out


def test_mapping_is_written_and_read(folder: Folder, tables: tuple[Path, Path], tmp_path: Path) -> None:
    mapping = tmp_path / "map.yaml"
    done = command("data", "import", *tables, "--write-mapping", mapping, "--map", "Color=ignore")
    assert (done.code, done.out.splitlines()[-1]) == (0, str(mapping))
    assert not folder.out.exists()
    text = mapping.read_text("utf-8")
    assert "Color: ignore" in text
    mapping.write_text(text.replace("title: name", "title: ignore").replace("Color: ignore", "Color: name"))
    done = command("data", "import", "--mapping", mapping, "--out", folder.out)
    assert done.code == 0
    assert load_dataset(folder.out).products["008"].name == "Blue"
    done = command("data", "import", *tables, "--write-mapping", mapping)
    assert (done.code, done.err) == (
        2,
        f"error: {mapping} exists. Choose another --write-mapping, or delete it.\n",
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{products}"], "Nothing to make. Name it: --out DATASET, or --write-mapping FILE."),
        (["--out", "{out}"], "No file of products to import. Name the files of products too"),
        (["{products}.none", "--out", "{out}"], "No file at {products}.none."),
        (["{products}", "--map", "x=y", "--out", "{out}"], "No column named 'x'. Available: Color, category"),
        (["{products}", "--encoding", "utf-16", "--out", "{out}"], "{products} is not UTF-16 throughout."),
        (
            ["{products}", "--mapping", "{products}", "--out", "{out}"],
            "{products}: Input should be",
        ),
        (["{products}", "--split", "all", "--out", "{out}"], "No split named 'all'."),
        (["{products}", "--out", "{root}"], "{root} exists. Choose another --out, or delete it."),
        (["{products}", "--out", "{products}/x"], "Cannot write {products}/x: "),
    ],
)
def test_errors(words: list[str], message: str, folder: Folder, tables: tuple[Path, Path]) -> None:
    places = {"products": tables[0], "out": folder.out, "root": folder.root}
    done = command("data", "import", *(word.format(**places) for word in words))
    assert done.code == 2
    assert done.err.startswith(f"error: {message.format(**places)}")
    assert done.err.count("\n") == 1
    assert not folder.out.exists()


def test_files_cannot_steer_the_terminal(folder: Folder) -> None:
    path = folder.write("p.csv", "id,name,\x1b[31mred\n1,\x1b]0;a\x07,\x1b[2J\n2,b,../\x1b[31m\n")
    done = command("data", "import", path, "--out", folder.out, "--map", "\x1b[31mred=images")
    assert "\x1b" not in done.out + done.err
    assert "\ufffd[31mred" in done.out


def test_the_example_of_the_page(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    section = PAGE.read_text("utf-8").partition("## Importing tables\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"```(\w*)\n(.*?)```", section, re.DOTALL)
    files = [text.partition("\n") for kind, text in blocks if kind in ("csv", "json")]
    commands = "".join(text for kind, text in blocks if kind == "sh").splitlines()
    (printed,) = (text for kind, text in blocks if kind == "")
    (program,) = (text for kind, text in blocks if kind == "python")
    monkeypatch.chdir(folder.root)
    for name, _, content in files:
        folder.write(name.removeprefix("# "), content)
    folder.image("photos/red.jpg")
    for number, line in enumerate(commands):
        done = command(*shlex.split(line)[1:])
        assert done.code == 0, done.err
        assert number > 0 or done.out.startswith(printed)
    dataset = load_dataset(folder.root / "shop")
    assert list(dataset.products) == ["B00X1", "007"]
    assert dict(dataset.split("test").gold) == {1: "B00X1", 2: "007", 3: None}
    assert [row.key for row in load_dataset(folder.root / "smaller").products["007"].spec] == ["Color"]
    assert load_dataset(folder.root / "again").splits() == ["dev"]
    exec(program)
    assert load_dataset(folder.root / "from-python").digest == load_dataset(folder.root / "smaller").digest
