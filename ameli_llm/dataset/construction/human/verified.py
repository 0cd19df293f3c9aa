"""What people's answers leave of a split: the reviews whose product they found (section 3.5, Clean-Test)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ameli_llm.dataset.construction.human.agreement import agreement
from ameli_llm.dataset.construction.human.answers import CANNOT_TELL, Annotator, Key, gold_of
from ameli_llm.dataset.construction.learning import Share
from ameli_llm.dataset.dataset import Dataset
from ameli_llm.dataset.writing import write_copy
from ameli_llm.errors import AmeliError
from ameli_llm.files import new_folder, write_json
from ameli_llm.ids import ReviewId

ACCOUNT = "human_check.json"
NO_CEILING = (
    "The share of kept reviews says how often people found the product among at most 26 options with gold "
    "among them. Reviews that they missed are gone from the split, so on what is left people are right by "
    "construction: the share is no upper bound for a linker."
)

Keep = Literal["all", "majority", "any"]


@dataclass(frozen=True)
class Verified:
    """What was kept: ``kept`` of ``answered`` reviews, and everything that human_check.json says."""

    kept: int
    answered: int
    unanswered: int
    account: dict[str, Any]


def write_verified(
    dataset: Dataset, out: Path, key: Key, people: Sequence[Annotator], keep: Keep = "majority"
) -> Verified:
    """Writes the dataset ``out``, whose split has only the reviews that people linked rightly.

    Kept is what ``keep`` of those who answered it found: all, more than half, or any of them. What nobody has
    answered is not kept. Other splits stay as they are. Raises AmeliError when the key is of another dataset,
    when nobody has answered, or when ``out`` exists.
    """
    if key.dataset != dataset.digest:
        raise AmeliError(
            f"The key is of another knowledge base than {dataset.name}.",
            hint="Name the dataset that the sheets were made from.",
        )
    gold = gold_of(key)
    present = {review.id for review in dataset.split(key.split).reviews}
    if absent := [id_ for id_ in gold if id_ not in present]:
        raise AmeliError(
            f"The key has review {absent[0]!r}, which is not in {key.split} of {dataset.name}.",
            hint="Name the dataset that the sheets were made from.",
        )
    answered = [id_ for id_ in gold if any(id_ in one.choices for one in people)]
    if not answered:
        raise AmeliError("Nobody has answered anything.", hint="Name the files that the sheets have saved.")
    kept = {id_ for id_ in answered if _found(id_, gold[id_], people, keep)}
    account = _account(key, gold, people, keep, len(answered), len(kept))
    with new_folder(out) as draft:
        splits = {
            name: [
                raw.value
                for raw in dataset.split_records(name)
                if name != key.split or raw.value.get("review_id") in kept
            ]
            for name in dataset.splits()
        }
        write_copy(dataset, draft, splits)
        write_json(draft / ACCOUNT, account)
    return Verified(len(kept), len(answered), len(gold) - len(answered), account)


def _found(id_: ReviewId, right: str, people: Sequence[Annotator], keep: Keep) -> bool:
    choices = [one.choices[id_] for one in people if id_ in one.choices]
    hits = sum(choice == right for choice in choices)
    if keep == "any":
        return hits > 0
    return hits == len(choices) if keep == "all" else 2 * hits > len(choices)


def _account(
    key: Key, gold: dict[ReviewId, str], people: Sequence[Annotator], keep: Keep, answered: int, kept: int
) -> dict[str, Any]:
    agreed = agreement(people)
    return {
        "split": key.split,
        "keep": keep,
        "reviews": len(gold),
        "answered": answered,
        "kept": kept,
        "kept_of_answered": Share(kept, answered).content(),
        "annotators": {one.name: _accuracy(one, gold) for one in people},
        "agreement": None if agreed is None else agreed.content(),
        "options_found_by": key.tools,
        "note": NO_CEILING,
    }


def _accuracy(one: Annotator, gold: dict[ReviewId, str]) -> dict[str, Any]:
    right = sum(choice == gold[id_] for id_, choice in one.choices.items())
    unsure = sum(choice == CANNOT_TELL for choice in one.choices.values())
    return {"right": Share(right, len(one.choices)).content(), "cannot_tell": unsure}
