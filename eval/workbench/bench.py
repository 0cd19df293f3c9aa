"""The session behind the page: the reviews, the templates, and one version tried on one review."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

from ameli_llm.attributes import rules
from ameli_llm.attributes.extractor import ExtractionTask
from ameli_llm.comparison.comparator import ComparisonTask
from ameli_llm.dataset.load import Dataset, Split
from ameli_llm.errors import AmeliError, UnknownNameError
from ameli_llm.files import make_folder
from ameli_llm.flow import vocabulary
from ameli_llm.ids import EntityId, ReviewId
from ameli_llm.pipeline import Pipeline
from ameli_llm.prompting.exchanges import as_text as exchanges_text
from ameli_llm.prompting.preview import as_text, estimate, preview
from ameli_llm.runs import GoldRow, PredictionRow
from ameli_llm.templates.load import SUFFIX, template_names
from ameli_llm.types import Link, Review
from eval.measures.error_budget import CAUSES, cause_of
from eval.measures.judged import Judged
from eval.one_review import OneReview
from eval.watching.drafts import Draft, Examined, examined, laid_out, read_draft
from eval.watching.trials import Trials
from eval.workbench.asked import ReviewAsked
from eval.workbench.reviews import Reviews, words

LONGEST = 200_000
"""Characters of prompts that are shown."""

REMEMBERED = 64
"""Reviews whose candidates are kept."""

_NEW_NAME = re.compile(r"(?:extract|compare)/[a-z0-9][a-z0-9_-]{0,63}")


class Bench:
    """What the page can do but for the sample. ``split`` has the reviews to pick from. Threads may share it.

    Closing it removes the uploaded photos; ``trials`` stay the caller's.
    """

    def __init__(self, trials: Trials, split: Split) -> None:
        self.trials = trials
        self.split = split
        self.reviews = Reviews(trials.pipeline.dataset, split)
        self._seen: OrderedDict[Review, ComparisonTask] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def dataset(self) -> Dataset:
        """The knowledge base."""
        return self.trials.pipeline.dataset

    def about(self) -> dict[str, Any]:
        """What the session works on."""
        config = self.trials.config
        prompts = self.trials.prompts
        return {
            "dataset": self.dataset.name,
            "split": self.split.name,
            "reviews": len(self.split.reviews),
            "products": len(self.dataset.products),
            "engine": "" if config.engine.name == "none" else config.engine.name,
            "model": config.engine.model,
            "sample": len(self.trials.split.reviews),
            "gold": bool(self.trials.split.gold),
            "prompts": None if prompts is None else str(prompts),
            "templates": template_names(prompts),
        }

    def template(self, name: str) -> dict[str, Any]:
        """The text of a template. Raises UnknownNameError."""
        names = template_names(self.trials.prompts)
        if name not in names:
            raise UnknownNameError("template", name, names)
        return {"name": name, "source": read_draft(name, self.trials.prompts).source}

    def check(self, draft: Draft, asked: ReviewAsked) -> dict[str, Any]:
        """What lint says of a draft, and the prompts that it makes of a review; no model is asked.

        The candidates are those of retrieval, and what the review states is found by rules: after extraction
        by a model it may be more.
        """
        with laid_out(draft, self.trials.prompts) as folder:
            now = Examined.of(draft, folder)
            shown: dict[str, Any] = {"text": "", "requests": 0, "tokens": 0}
            if now.identity:
                shown = self._prompt(draft, asked, folder)
        findings = [{"code": one.code, "message": one.message} for one in now.findings]
        return {"identity": now.identity[:12], "findings": findings, "prompt": shown}

    def _prompt(self, draft: Draft, asked: ReviewAsked, folder: Path) -> dict[str, Any]:
        """The requests about a review; why there are none where it is empty or cannot be rendered."""
        try:
            requests = preview(draft.name, self.task(self.reviews.asked(asked)), folder)
        except AmeliError as error:
            return {"text": str(error), "requests": 0, "tokens": 0}
        text = as_text(requests) if requests else ""
        return {"text": _cut(text), "requests": len(requests), "tokens": sum(map(estimate, requests))}

    def run(self, draft: Draft, asked: ReviewAsked) -> dict[str, Any]:
        """The review linked with the draft, as ``show --json`` has it, and its requests as people read them.

        Raises AmeliError when the draft is not sound; what fails in a model is a state of the prediction.
        """
        review = self.reviews.asked(asked)
        with self.trials.variant(draft) as (variant, template):
            (link,) = variant.flow.link([review])
            one = self._one(link, review, variant, self._gold(review.id) if asked.id else None)
        sent = template.name in variant.templates
        return {
            **one.document(),
            "template": {"name": draft.name, "identity": template.short_identity, "sent": sent},
            "transcript": _cut(exchanges_text(one.exchanges, one.templates)),
            "shown": [_named(one, each.entity_id) for each in one.row.candidates[: one.row.compared]],
            "linked": _named(one, one.row.entity_id),
            "right_product": _named(one, one.gold.gold) if one.gold else "",
            "cause_means": CAUSES.get(one.cause or "", ""),
        }

    def save(self, draft: Draft) -> dict[str, Any]:
        """Writes a draft as a new file into the folder of own templates. Raises AmeliError when it cannot."""
        prompts = self.trials.prompts
        if prompts is None:
            raise AmeliError("There is no folder to save in.", hint="Start the workbench with --prompts DIR.")
        if not _NEW_NAME.fullmatch(draft.name):
            raise AmeliError(
                f"{draft.name!r} cannot be the name of a template.",
                hint="Name it extract/NAME or compare/NAME: small letters, digits, - and _.",
            )
        now = examined(draft, prompts)
        if not now.identity:
            raise AmeliError(f"A template that cannot be sent is not saved. {now.findings[0].message}")
        path = prompts / f"{draft.name}{SUFFIX}"
        make_folder(path.parent)
        if not path.parent.resolve().is_relative_to(prompts.resolve()):
            raise AmeliError(f"{path.parent} leads out of {prompts}.")
        try:
            with path.open("x", encoding="utf-8", errors="replace") as file:
                file.write(draft.source)
        except FileExistsError:
            raise AmeliError(f"{path} exists.", hint="Choose another name.") from None
        except OSError as error:
            raise AmeliError(f"Cannot write {path}: {error.strerror}.") from error
        return {"name": draft.name, "path": str(path), "templates": template_names(prompts)}

    def close(self) -> None:
        """Removes what was uploaded."""
        self.reviews.close()

    def task(self, review: Review) -> ComparisonTask:
        """What a review is compared with, and what it states by rules."""
        with self._lock:
            if review in self._seen:
                self._seen.move_to_end(review)
                return self._seen[review]
        flow = self.trials.pipeline.flow
        (found,) = flow.retrieve([review])
        ids = [one.entity_id for one in found[: flow.candidates]]
        attributes = tuple(flow.attributes[id_] for id_ in ids)
        stated = rules.create().extract([ExtractionTask(review, vocabulary(attributes))])[0].values
        task = ComparisonTask(review, tuple(flow.products[id_] for id_ in ids), attributes, stated)
        with self._lock:
            self._seen[review] = task
            if len(self._seen) > REMEMBERED:
                self._seen.popitem(last=False)
        return task

    def _one(self, link: Link, review: Review, variant: Pipeline, gold: GoldRow | None) -> OneReview:
        row = PredictionRow.of(link)
        judged = None if gold is None else Judged(row, gold)
        config = variant.config
        products = self.dataset.products
        ids = [one.entity_id for one in link.candidates]
        ids += [gold.gold] if gold is not None and gold.gold is not None else []
        return OneReview(
            row=row,
            text=words(review),
            names={id_: products[id_].name for id_ in ids},
            gold=gold,
            right=judged.right if judged else None,
            cause=cause_of(judged, config.retrieval.candidates, config.fusion) if judged else None,
            templates={one.identity: name for name, one in variant.templates.items()},
            exchanges=link.exchanges,
        )

    def _gold(self, review: ReviewId) -> GoldRow | None:
        if review not in self.split.gold:
            return None
        gold = self.split.gold[review]
        known = {} if gold is None else dict(self.trials.pipeline.flow.attributes[gold])
        return GoldRow(gold=gold, attributes=known)


def _named(one: OneReview, product: EntityId | None) -> str:
    return "" if product is None else f"{one.names[product]} ({product})"


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}\n... {len(text) - LONGEST} characters more"
