"""Opens a corpus of labelled texts: MEPAVE, MAE, annotated titles, or the products of a dataset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from ameli_llm.attributes.tagging.examples import Corpus, LabelledText, divided
from ameli_llm.attributes.tagging.marked import COLUMNS, read_marked
from ameli_llm.attributes.tagging.pairs import read_pairs
from ameli_llm.attributes.tagging.weak import image_names, of_annotated, of_products
from ameli_llm.dataset.load import load_dataset
from ameli_llm.dataset.readers import open_readers
from ameli_llm.errors import AmeliError
from ameli_llm.instruction.annotated import read_annotated

IMAGES = "images"
"""Folder beside the files, with a picture for each product, named by its id."""

SPLITS = {"train": ("train",), "dev": ("valid", "dev", "val"), "test": ("test",)}
"""Which words in a file's name say which split it is."""

Read = Callable[[Path], list[LabelledText]]
HINT = (
    "A dataset folder, MEPAVE's files (jdai.jave.fashion.train.sample ...), MAE's JSON with text and specs, "
    "or JSON lines with text and attributes: docs/extractors.md."
)


def read_corpus(path: Path, seed: int = 0) -> Corpus:
    """The corpus in a file or folder, told by its content.

    A folder with files whose names say train, valid (dev, val) or test has these splits, with the pictures of
    ``images/``; a file, or the products of a dataset folder, are divided by the seed, without a product in
    two splits. Raises AmeliError when it is none of these, or what is in it is wrong.
    """
    left_out: Counter[str] = Counter()
    if path.is_dir() and any(reader.product_files() for reader in open_readers(path)):
        texts = of_products(load_dataset(path), left_out)
        return divided("dataset", texts, left_out, seed)
    if path.is_file():
        kind, read = _reader(path, path.parent, left_out)
        return divided(kind, read(path), left_out, seed)
    files = _split_files(path)
    if not files:
        raise AmeliError(f"No labelled texts at {path}.", hint=HINT)
    kinds = {name: _reader(file, path, left_out) for name, file in files.items()}
    if len({kind for kind, _ in kinds.values()}) > 1:
        said = ", ".join(f"{files[name].name} is {kind}" for name, (kind, _) in kinds.items())
        raise AmeliError(f"The files of {path} are not of one format: {said}.")
    splits = {name: tuple(read(files[name])) for name, (_, read) in kinds.items()}
    return Corpus(next(iter(kinds.values()))[0], splits, dict(left_out))


def _split_files(folder: Path) -> dict[str, Path]:
    """The file of each split. Raises AmeliError when two could be meant."""
    if not folder.is_dir():
        return {}
    there = [path for path in sorted(folder.iterdir()) if path.is_file() and not path.name.startswith(".")]
    found = {}
    for name, words in SPLITS.items():
        named = [path for path in there if any(word in path.name.lower() for word in words)]
        if len(named) > 1:
            raise AmeliError(
                f"{folder} has several files for {name}: {', '.join(path.name for path in named)}.",
                hint="Leave one of them there.",
            )
        if named:
            found[name] = named[0]
    return found


def _reader(path: Path, folder: Path, left_out: Counter[str]) -> tuple[str, Read]:
    pictures = image_names(folder / IMAGES)
    try:
        with path.open("rb") as stream:
            start = stream.read(1 << 16).lstrip(b"\xef\xbb\xbf \t\r\n")
    except OSError as error:
        raise AmeliError(f"Cannot read {path}: {error.strerror or error}.") from error
    if start[:1] in (b"{", b"["):
        if b'"specs"' in start:
            return "mae", lambda file: read_pairs(file, lambda name: _picture(name, pictures), left_out)
        return "annotated", lambda file: of_annotated(read_annotated(file), left_out)
    if start.split(b"\n", 1)[0].count(b"\t") == COLUMNS - 1:
        return "mepave", lambda file: read_marked(file, pictures.get)
    raise AmeliError(f"{path} is in no format that is known.", hint=HINT)


def _picture(name: str, pictures: dict[str, Path]) -> Path | None:
    """A picture by its name, or by the last part of its address; nothing is fetched."""
    return pictures.get(Path(urlsplit(name).path).name)
