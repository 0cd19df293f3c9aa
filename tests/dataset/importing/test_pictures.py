from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from ameli_llm.dataset.importing.losses import LeftOutError
from ameli_llm.dataset.importing.pictures import Pictures


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "shop"
    for name in (
        "a.jpg",
        "red/a.jpg",
        "review_images/b.jpg",
        "cleaned_review_images/b.jpg",
        "with space.png",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(root / name)
    Image.new("RGB", (8, 8)).save(tmp_path / "outside.jpg")
    (root / "leaves.jpg").symlink_to(tmp_path / "outside.jpg")
    (root / "stays.jpg").symlink_to(root / "a.jpg")
    (root / "text.jpg").write_text("hello", "utf-8")
    (root / "empty.jpg").write_bytes(b"")
    (root / "movie.gif").write_bytes(b"GIF89a" + bytes(20))
    return root


@pytest.fixture
def pictures(tmp_path: Path) -> Pictures:
    target = tmp_path / "out"
    target.mkdir()
    return Pictures(target / "review_images", ("", "review_images"), target / "cleaned_review_images")


def test_names(pictures: Pictures, source: Path, tmp_path: Path) -> None:
    names = [
        pictures.take(path, [source])
        for path in ("a.jpg", "red/a.jpg", "./a.jpg", "red\\a.jpg", "stays.jpg", " with space.png ", "b.jpg")
    ]
    assert names == ["a.jpg", "a-2.jpg", "a.jpg", "a-2.jpg", "a.jpg", "with space.png", "b.jpg"]
    assert pictures.copied == 4
    out = tmp_path / "out"
    assert sorted(p.name for p in (out / "review_images").iterdir()) == sorted(set(names))
    assert [p.name for p in (out / "cleaned_review_images").iterdir()] == ["b.jpg"]
    assert (out / "review_images" / "a.jpg").stat().st_nlink == 1


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("none.jpg", "has no file in the folder"),
        ("red", "has no file in the folder"),
        ("", "has no file in the folder"),
        ("leaves.jpg", "has no file in the folder"),
        ("a.jpg/b.jpg", "has no file in the folder"),
        ("x" * 5000, "is no path"),
        ("x" * 4000, "has no file in the folder"),
        ("a\x00.jpg", "is no path"),
        ("../outside.jpg", "leads out of the folder"),
        ("red/../../outside.jpg", "leads out of the folder"),
        ("..\\outside.jpg", "leads out of the folder"),
        ("/etc/hosts", "is an absolute path"),
        ("~/a.jpg", "is an absolute path"),
        ("C:\\a.jpg", "is an absolute path"),
        ("https://example.org/a.jpg", "is a link into the web"),
        ("//example.org/a.jpg", "is a link into the web"),
        ("data:image/png;base64,AAAA", "is a link into the web"),
        ("file:///etc/hosts", "is a link into the web"),
        ("text.jpg", "is not an image"),
        ("empty.jpg", "is empty"),
        ("movie.gif", "is unsupported format"),
    ],
)
def test_left_out(path: str, reason: str, pictures: Pictures, source: Path) -> None:
    with pytest.raises(LeftOutError, match=f"^{reason}$"):
        pictures.take(path, [source])
    assert pictures.copied == 0


def test_long_names(pictures: Pictures, source: Path) -> None:
    long = ("\u00e9" * 120 + ".jpg", "\u00e9" * 121 + ".jpg")
    for name in long:
        Image.new("RGB", (8, 8)).save(source / name)
    assert [pictures.take(name, [source]) for name in long] == ["image.jpg", "image-2.jpg"]
