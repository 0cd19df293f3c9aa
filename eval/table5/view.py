"""Table 5 as readers see it: ours beside the published figures, with what each row was run with."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from eval.baselines.declared import Wanted
from eval.measures.counting import Protocol
from eval.published import Published
from eval.table5.rows import Against, AgainstChance, Measured, Missing, Row, baseline_rows
from eval.tables import Table, settings

COLUMNS = (
    "Method",
    "Modality",
    "Attribute",
    "K",
    "Disambiguation F1",
    "n disamb.",
    "chance",
    "p vs chance",
    "End-to-end F1",
    "n end-to-end",
    "v1 disamb.",
    "v1 end-to-end",
    "EACL disamb.*",
    "EACL end-to-end*",
    "Difference to AMELINK",
    "p",
    "q",
    "detectable",
    "seconds",
)

SMALLEST_P = 1e-300
"""What is smaller is only said to be."""


def table(
    rows: Sequence[Measured | Missing],
    published: Published,
    *,
    folder: Path,
    dataset: str,
    split: str,
    same_data: bool,
    remarks: Sequence[str] = (),
    facts: Mapping[str, Any] | None = None,
) -> Table:
    """The table, with the published figures beside ours; at least one row is measured.

    ``same_data`` says that the dataset is the one of the published figures. ``remarks`` are further notes,
    ``facts`` further keys of the JSON form. Run folders are named relative to ``folder``.
    """
    measured = [one for one in rows if isinstance(one, Measured)]
    protocol = Protocol.shared([one.metrics["protocol"] for one in measured])
    first = {**measured[0].metrics, "protocol": protocol}
    return Table(
        title=f"{published.title}: {dataset}, {split}",
        caption=" ".join(_caption(first, dataset, split, same_data)),
        columns=COLUMNS,
        rows=tuple(
            _cells(one, published) if isinstance(one, Measured) else _no_cells(one.row, published)
            for one in rows
        ),
        notes=(*_sources(published), *_only_published(published), *_runs(rows, protocol), *remarks),
        data={
            "dataset": dataset,
            "split": split,
            "same_data": same_data,
            "protocol": protocol,
            **(facts or {}),
            "rows": [_object(one, published, folder) for one in measured],
            "not_run": [
                {"key": one.row.key, "name": one.row.name, "reason": one.reason}
                for one in rows
                if isinstance(one, Missing)
            ],
            "published_only": [
                {"key": key, **(published.document(key) or {})} for key in _unmeasured(published)
            ],
        },
    )


def _caption(first: Mapping[str, Any], dataset: str, split: str, same_data: bool) -> list[str]:
    lines = [
        f"Micro-F1 in percent with 95 % intervals (bootstrap over gold products) on split {split} of "
        f"{dataset}: {first['with_gold']} reviews with gold, the product of {first['in_kb']} is in the KB; "
        f"K = {first['k']}."
    ]
    if same_data:
        lines.append(
            f"The products are those of an AMELI release; the published figures are on its test split, "
            f"which may differ from these {first['with_gold']} reviews."
        )
    else:
        lines.append(
            "Ours and the published figures are not on the same data: this is not AMELI, so only the order "
            "of the rows can be compared."
        )
    if first["protocol"].batch_size:
        lines.append(
            f"Ours are counted by the official code's protocol and not comparable with honest figures: "
            f"batches of {first['protocol'].batch_size} with the last incomplete one dropped "
            f"({first['protocol'].reviews_dropped} reviews), the best candidate as the answer, "
            f"{', '.join(['F1 as accuracy', *first['protocol'].reproduced])}."
        )
    lines.append(
        "Chance: the share in percent of the n disamb. reviews that guessing among the candidates would get "
        "right; p vs chance: exact one-sided test against it, not corrected, where a review without a link "
        "counts as a miss."
    )
    lines.append(
        "Difference to AMELINK: end-to-end F1, paired, in points with its 95 % interval; p: exact McNemar; "
        "q: p corrected for all rows (Benjamini and Hochberg); detectable: the smallest true difference in "
        "points that this comparison finds with 80 % power; seconds: "
        "scoring of all reviews with image vectors at hand, where the first of AMELINK's rows is charged "
        "what they share, and our linker retrieval and extraction."
    )
    return lines


def _figures(row: Row, published: Published) -> list[str]:
    v1, later = published.values(row.published), published.second_hand(row.published)
    return [
        f"{source[measure]:.2f}" if measure in source else "-"
        for source in (v1, later)
        for measure in published.measures
    ]


def _cells(one: Measured, published: Published) -> tuple[str, ...]:
    row, m = one.row, one.metrics
    return (
        row.name,
        row.modality,
        "yes" if row.attribute else "no",
        str(m["k"]),
        m["disambiguation_f1"].percent(),
        str(m["disambiguation_f1"].n),
        *_chance_cells(one.against_chance),
        m["end_to_end_f1"].percent(),
        str(m["end_to_end_f1"].n),
        *_figures(row, published),
        *_against_cells(one.against),
        f"{m['seconds']['total']:.1f}",
    )


def _no_cells(row: Row, published: Published) -> tuple[str, ...]:
    """The cells of a row that was not run."""
    before = (row.name, row.modality, "yes" if row.attribute else "no", *"-------")
    after = _figures(row, published)
    return (*before, *after, *"-" * (len(COLUMNS) - len(before) - len(after)))


def _chance_cells(against: AgainstChance) -> tuple[str, str]:
    if not against.n:
        return "-", "-"
    return f"{100 * against.chance:.2f}", _p(against.p)


def _p(p: float) -> str:
    return f"{p:.3g}" if p >= SMALLEST_P else f"<{SMALLEST_P:g}"


def _against_cells(against: Against | None) -> tuple[str, str, str, str]:
    if against is None:
        return "-", "-", "-", "-"
    found = against.difference
    return found.percent(), _p(against.p), _p(against.q), f"{100 * found.detectable:.2f}"


def _object(one: Measured, published: Published, folder: Path) -> dict[str, Any]:
    row = one.row
    return {
        "key": row.key,
        "name": row.name,
        "modality": row.modality,
        "attribute": row.attribute,
        "candidates": one.metrics["k"],
        "run": os.path.relpath(one.run.path, folder),
        "disambiguation_f1": one.metrics["disambiguation_f1"],
        "end_to_end_f1": one.metrics["end_to_end_f1"],
        "published": published.document(row.published),
        "protocol": one.metrics["protocol"],
        "against_chance": one.against_chance,
        "against_amelink": one.against,
        "seconds": one.metrics["seconds"]["total"],
        "run_with": one.run_with,
    }


def _unmeasured(published: Published) -> list[str]:
    """Published rows that no run stands for."""
    measured = {row.published for row in baseline_rows(published, Wanted())}
    return [key for key in published.rows if key not in measured]


def _sources(published: Published) -> list[str]:
    v1, eacl = published.sources["v1"], published.sources["eacl"]
    return [
        f"v1: {v1.citation}, {v1.place}.",
        f"* EACL, second-hand, unverified: {eacl.citation}; {eacl.place}.",
    ]


def _only_published(published: Published) -> list[str]:
    notes = []
    for key in _unmeasured(published):
        row = published.rows[key]
        for figures in row.figures:
            source = published.sources[figures.source]
            values = ", ".join(f"{measure} {value:.2f}" for measure, value in figures.values.items())
            doubt = " (second-hand, unverified)" if source.second_hand else ""
            notes.append(f"Published only: {row.name}, {values}{doubt}: {figures.note or source.place}.")
    return notes


def _runs(rows: Sequence[Measured | Missing], shared: Protocol) -> list[str]:
    """What each row was run with, a line each; the JSON form also has all settings."""
    return [
        f"{one.row.name} was run with: {settings(_shown(one)) or 'no setting'}.{_more_leaks(one, shared)}"
        if isinstance(one, Measured)
        else f"{one.row.name} was not run: {one.reason}"
        for one in rows
    ]


def _more_leaks(one: Measured, shared: Protocol) -> str:
    """The leaks that the row has of the official code beyond those that all rows have."""
    more = [leak for leak in one.metrics["protocol"].reproduced if leak not in shared.reproduced]
    return f" Of the official code it also has: {', '.join(more)}." if more else ""


def _shown(one: Measured) -> Mapping[str, Any]:
    """The part of ``run_with`` that fits a line: of our linker what a reader would ask first."""
    content = one.run_with
    if one.row.baseline:
        return _without(content, ("title", "training", "settings"))
    config, index = content["config"], content["index"]
    return {
        "retrieval": config["retrieval"]["weights"],
        "extractors": " ".join(config["attributes"]["extractors"] or ()) or "none",
        "comparators": " ".join(config["comparison"]["comparators"] or ()) or "none",
        "fusion": {name: config["fusion"][name] for name in ("retrieval", "text", "image")},
        "engine": content["engine"] or "none",
        "text encoder": _stamp(index["text_encoder"]),
        "image encoders": ", ".join(map(_stamp, index["image_encoders"])) or "none",
    }


def _without(tree: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    return {
        key: _without(value, names) if isinstance(value, Mapping) else value
        for key, value in tree.items()
        if key not in names and value != []
    }


def _stamp(encoder: Mapping[str, Any] | None) -> str:
    return " ".join(str(value) for value in encoder.values() if value) if encoder else "none"
