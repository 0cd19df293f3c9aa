"""One review of a run, whole: its text, what was asked about it, what came back and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ameli_llm.engines.engine import Exchange
from ameli_llm.errors import AmeliError
from ameli_llm.ids import EntityId, id_key
from ameli_llm.prompting.preview import as_json as requests_json
from ameli_llm.runs import GoldRow, PredictionRow, RunFolder
from ameli_llm.transcripts import read_transcript
from eval.evaluation import run_config
from eval.evaluation import spec as spec_of
from eval.measures.error_budget import cause_of
from eval.measures.judged import Judged


@dataclass(frozen=True)
class OneReview:
    """A review of a run. ``text`` has header, body, mention and images; ``names`` are the products' by id.

    ``right`` and ``cause`` (a key of ``error_budget.CAUSES``, None when it is right) need gold. ``templates``
    maps a template's identity to its name. ``exchanges`` is empty where no model was asked or nothing kept.
    """

    row: PredictionRow
    text: Mapping[str, Any]
    names: Mapping[EntityId, str]
    gold: GoldRow | None
    right: bool | None
    cause: str | None
    templates: Mapping[str, str]
    exchanges: tuple[Exchange, ...]

    def document(self) -> dict[str, Any]:
        """All of it as JSON values."""
        named = {id_key(c.entity_id): self.names.get(c.entity_id) for c in self.row.candidates}
        return {
            "review": dict(self.text),
            "prediction": self.row.model_dump(mode="json"),
            "products": {key: name for key, name in named.items() if name is not None},
            "gold": self.gold and self.gold.model_dump(mode="json"),
            "right": self.right,
            "cause": self.cause,
            "exchanges": [self._exchange(one) for one in self.exchanges],
        }

    def _exchange(self, one: Exchange) -> dict[str, Any]:
        (request,) = requests_json([one.request])
        usage, failure = one.reply.usage, one.reply.failure
        return {
            "asked_by": one.asked_by,
            "template_name": self.templates.get(one.request.template),
            **{name: value for name, value in request.items() if name != "prompt_tokens_estimate"},
            "reply": {
                "text": one.reply.text,
                "logprob": one.reply.logprob,
                "choice_logprobs": one.reply.choice_logprobs and dict(one.reply.choice_logprobs),
                "finish_reason": one.reply.finish_reason,
                "tokens": {"prompt": usage.prompt, "completion": usage.completion, "cached": usage.cached},
                "seconds": one.reply.seconds,
                "from_cache": one.reply.from_cache,
                "failure": failure and {"state": failure.state, "message": failure.message},
            },
        }


def one_review(run: RunFolder, review: str) -> OneReview:
    """The review of the run whose id reads ``review``. Raises AmeliError when the run has none."""
    run.require()
    row = next(
        (row for row in run.predictions() if review in (str(row.review_id), id_key(row.review_id))), None
    )
    if row is None:
        ids = [str(one.review_id) for one, _ in zip(run.predictions(), range(3), strict=False)]
        known = f"It begins with {', '.join(ids)}." if ids else "It has no review yet."
        raise AmeliError(f"{run.path} has no review {review!r}.", hint=known)
    gold = run.gold().get(row.review_id)
    judged = None if gold is None else Judged(row, gold)
    config = run_config(run)
    text = run.texts("reviews").get(row.review_id)
    names = {id_: str(name) for id_, name in run.texts("products").items()}
    templates = spec_of(run).get("templates") or {}
    return OneReview(
        row,
        text if isinstance(text, Mapping) else {},
        names,
        gold,
        judged.right if judged else None,
        cause_of(judged, config.retrieval.candidates, config.fusion) if judged else None,
        {identity: name for name, identity in templates.items()},
        tuple(read_transcript(run.path, row.review_id)),
    )
