"""The tables of MEPAVE and MAE as readers see them: ours beside the published figures, row by row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ameli_llm.attributes.tagging.examples import Corpus
from eval.measures.statistics import Interval
from eval.published import Published
from eval.tables import Table

if TYPE_CHECKING:
    from eval.taggers.reproduce import Measured

TITLES = {
    "cls_f1": "CLS-F1",
    "precision": "precision",
    "recall": "recall",
    "tag_f1": "TAG-F1",
    "accuracy": "accuracy",
}

TEXTS_OF_MEPAVE = 8000
"""Texts of MEPAVE's test split."""


def table(
    published: Published,
    measured: Sequence[Measured],
    corpus: Corpus,
    split: str,
    name: str,
    unseen: Sequence[str] = (),
) -> Table:
    """All published rows in their order, ours beside those that were trained; ``unseen`` lacked pictures."""
    ours = {one.key: one for one in measured}
    extra = [key for key in ours if key not in published.rows]
    names = {key: row.name for key, row in published.rows.items()}
    rows = [
        _cells(names.get(key, ours[key].description.title if key in ours else key), key, published, ours)
        for key in [*published.rows, *extra]
    ]
    return Table(
        title=f"{published.title}: {name}, {split}",
        caption=_caption(published, corpus, split, name),
        columns=(
            "Method",
            "Modality",
            *(f"{TITLES[measure]} ours" for measure in published.measures),
            "n",
            *(f"{TITLES[measure]} published" for measure in published.measures),
        ),
        rows=tuple(rows),
        notes=(*_sources(published), *map(_made, measured), *_left(corpus, unseen, published)),
        data={
            "corpus": name,
            "kind": corpus.kind,
            "split": split,
            "left_out": dict(corpus.left_out),
            "rows": [_object(one, published) for one in measured],
            "not_run": [*(key for key in published.rows if key not in ours)],
        },
    )


def _cells(name: str, key: str, published: Published, ours: Mapping[str, Measured]) -> tuple[str, ...]:
    figures = published.values(key)
    row = published.rows.get(key)
    one = ours.get(key)
    mine = [_percent(getattr(one.scores, measure)) if one else "-" for measure in published.measures]
    theirs = [f"{figures[measure]:.2f}" if measure in figures else "-" for measure in published.measures]
    seen = "T+V" if one and one.description.image_encoder else "T"
    modality = row.modality if row else seen
    return name, modality, *mine, str(one.scores.texts) if one else "-", *theirs


def _percent(interval: Interval | None) -> str:
    return interval.percent() if interval else "-"


def _caption(published: Published, corpus: Corpus, split: str, name: str) -> str:
    texts = corpus.split(split)
    same = published.table == corpus.kind and (corpus.kind != "mepave" or len(texts) == TEXTS_OF_MEPAVE)
    where = (
        "The published figures are of a split of the same corpus, which may hold other texts."
        if same
        else "Ours and the published figures are not on the same data: only the order of the rows can be "
        "compared."
    )
    return (
        f"In percent with 95 % intervals (bootstrap over products) on the {len(texts)} texts of split "
        f"{split} of {name}. {where} CLS-F1: attributes predicted for a text, micro; TAG-F1, precision, "
        "recall: values with exact characters and attribute, micro; accuracy: annotated attribute-value "
        "pairs that are found (Liu et al., appendix A.3)."
    )


def _sources(published: Published) -> list[str]:
    places: dict[str, list[str]] = {}
    for source in published.sources.values():
        places.setdefault(source.citation, []).append(source.place)
    return [f"Published: {citation}, {', '.join(several)}." for citation, several in places.items()]


def _made(one: Measured) -> str:
    described = one.description
    image = f", {described.image_encoder} {described.image_revision}" if described.image_encoder else ""
    dev = "-" if described.best_score is None else f"{100 * described.best_score:.2f}"
    return (
        f"{one.key} is {described.title} with {described.encoder} {described.encoder_revision}{image}: epoch "
        f"{described.best} of {described.history[-1].number}, TAG-F1 on dev {dev}, "
        f"{len(described.labels)} attributes."
    )


def _left(corpus: Corpus, unseen: Sequence[str], published: Published) -> list[str]:
    notes = [f"Of the corpus were left out: {count} x {why}." for why, count in corpus.left_out.items()]
    return notes + [
        f"{published.rows[key].name if key in published.rows else key} was not run: no training text has a "
        "picture."
        for key in unseen
    ]


def _object(one: Measured, published: Published) -> dict[str, Any]:
    described = one.description.model_dump(mode="json", exclude={"labels", "history"})
    return {
        "key": one.key,
        "title": one.description.title,
        **{measure: getattr(one.scores, measure) for measure in TITLES},
        "texts": one.scores.texts,
        "values": one.scores.values,
        "pairs": one.scores.pairs,
        "published": published.document(one.key),
        "model": described,
    }
