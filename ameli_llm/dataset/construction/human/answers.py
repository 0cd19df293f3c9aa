"""Answers that people saved from their sheets, and the key that knows the right ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from ameli_llm.errors import AmeliError
from ameli_llm.files import first_error
from ameli_llm.ids import EntityId, ReviewId
from ameli_llm.untrusted import read_json

CANNOT_TELL = "?"
MAX_BYTES = 16 << 20
"""Largest file of answers or key that is read."""

ModelT = TypeVar("ModelT", bound=BaseModel)

Letter = Annotated[str, StringConstraints(pattern=r"^[A-Z]$")]
Choice = Annotated[str, StringConstraints(pattern=r"^[A-Z?]$")]
Number = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,6}$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class KeyItem(_Part):
    """A review of a sheet: the products in the order of its letters, and the letter of the right one."""

    review_id: ReviewId
    options: list[EntityId] = Field(min_length=1, max_length=26)
    gold: Letter


class KeySheet(_Part):
    """The items of a sheet, in their order."""

    file: str
    items: list[KeyItem]


class Key(_Part):
    """The right answers to the sheets of one split."""

    dataset: str
    split: str
    seed: int
    tools: dict[str, str]
    sheets: dict[str, KeySheet]


class _Saved(_Part):
    sheet: str = Field(max_length=64)
    annotator: str = Field(min_length=1, max_length=80)
    answers: dict[Number, Choice] = Field(max_length=100_000)


@dataclass(frozen=True)
class Annotator:
    """One person's answers: letter or "?" by review id."""

    name: str
    choices: dict[ReviewId, str]


def read_key(path: Path) -> Key:
    """The key of a folder of sheets. Raises AmeliError."""
    return _read(path, Key, "key")


def read_answers(paths: Sequence[Path], key: Key) -> list[Annotator]:
    """The answers of each person, in the order of their names; a person may have answered several sheets.

    Raises AmeliError for a file that is none, that answers no sheet of the key or an item that is not on it,
    or that answers what the same person has answered otherwise.
    """
    people: dict[str, dict[ReviewId, str]] = {}
    for path in paths:
        saved = _read(path, _Saved, "file of answers")
        sheet = key.sheets.get(saved.sheet)
        if sheet is None:
            raise AmeliError(f"{path} answers sheet {saved.sheet!r}, which the key does not have.")
        mine = people.setdefault(" ".join(saved.annotator.split()), {})
        for number, choice in saved.answers.items():
            if int(number) > len(sheet.items):
                raise AmeliError(f"{path} answers item {number}; its sheet has {len(sheet.items)}.")
            item = sheet.items[int(number) - 1]
            if choice != CANNOT_TELL and ord(choice) - ord("A") >= len(item.options):
                raise AmeliError(f"{path} answers {choice!r} to item {number}, which has no such option.")
            if mine.setdefault(item.review_id, choice) != choice:
                who = " ".join(saved.annotator.split())
                raise AmeliError(f"{path}: {who!r} has answered item {number} otherwise in another file.")
    return [Annotator(name, people[name]) for name in sorted(people)]


def gold_of(key: Key) -> dict[ReviewId, str]:
    """The right letter of every review of the key. Raises AmeliError when one stands in it twice."""
    items = [item for sheet in key.sheets.values() for item in sheet.items]
    twice = [id_ for id_, number in Counter(item.review_id for item in items).items() if number > 1]
    if twice:
        raise AmeliError(f"The key has review {twice[0]!r} twice.")
    return {item.review_id: item.gold for item in items}


def _read(path: Path, model: type[ModelT], what: str) -> ModelT:
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise AmeliError(f"Cannot read {path}: {error.strerror}.") from None
    try:
        return model.model_validate(read_json(text, max_bytes=MAX_BYTES))
    except ValidationError as error:
        raise AmeliError(f"{path} is no {what}: {first_error(error)}.") from None
    except ValueError as error:
        raise AmeliError(f"{path} is no {what}: {error}.") from None
