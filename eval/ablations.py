"""What each source of evidence is worth: a split linked with all of them and without each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ameli_llm.config import RunConfig
from ameli_llm.dataset.load import Dataset
from ameli_llm.errors import AmeliError
from ameli_llm.resolution import resolve
from ameli_llm.runs import RunFolder
from ameli_llm.types import Progress
from eval.experiment import link_variants
from eval.failures import FailureKind
from eval.measures.statistics import Difference
from eval.paired import compare_runs

FULL = "full"


@dataclass(frozen=True)
class AblationRow:
    """One run of an ablation; ``metrics`` is the content of its metrics.json.

    ``difference`` is paired with all sources over the reviews that both answered, None for that row itself.
    """

    name: str
    run: RunFolder
    metrics: Mapping[str, Any]
    difference: Difference | None
    failures: tuple[FailureKind, ...]


def ablate(
    dataset: Dataset,
    split: str,
    config: RunConfig,
    out: Path,
    progress: Progress,
    limit: int | None = None,
    index: Path | None = None,
    prompts: Path | None = None,
) -> list[AblationRow]:
    """Links ``split`` with the whole pipeline and without each source, into a run folder each in ``out``.

    Sources that the configuration does not use have no row. Raises AmeliError when the split has no gold.
    """
    chosen = dataset.split(split)
    if not any(review.id in chosen.gold for review in chosen.reviews[:limit]):
        raise AmeliError(f"Split {split!r} of {dataset.root} has no gold to measure with.")
    names = {name.replace(" ", "-"): (name, variant) for name, variant in ablations(resolve(config))}
    configs = {folder: variant for folder, (_, variant) in names.items()}
    rows = []
    for folder, outcome in link_variants(dataset, chosen, configs, out, progress, limit, index, prompts):
        name, run = names[folder][0], outcome.folder
        difference = None if name == FULL else _difference(RunFolder(out / FULL), run)
        rows.append(AblationRow(name, run, outcome.metrics or {}, difference, outcome.failures))
    return rows


def _difference(full: RunFolder, run: RunFolder) -> Difference:
    return compare_runs(full, run).paired.answered.difference


def ablations(config: RunConfig) -> Iterator[tuple[str, RunConfig]]:
    """The configuration as it is and without each source of evidence that it uses.

    Without attributes nothing is extracted or compared. Without text the text retrievers and the prior go;
    attributes stay, as in the paper's Table 5. Without image the image retriever, the image score and OCR go.
    """
    yield FULL, config
    extractors = config.attributes.extractors or ()
    if extractors and config.comparison.comparators:
        yield (
            "without attributes",
            _changed(
                config, attributes={"extractors": ()}, comparison={"comparators": ()}, fusion={"text": 0.0}
            ),
        )
    weights, images = config.retrieval.by_retriever, config.retrieval.image_weights
    if images:
        only_image = images if any(images.values()) else dict.fromkeys(images, 1.0)
        yield "without text", _changed(config, retrieval={"weights": only_image, "prior": "off"})
        without = {name: weight for name, weight in weights.items() if name not in images}
        yield (
            "without image",
            _changed(
                config,
                retrieval={"weights": without},
                attributes={"extractors": tuple(name for name in extractors if name != "ocr")},
                fusion={"image": 0.0},
            ),
        )
    if config.retrieval.prior != "off" or "prior" in weights:
        without = {name: weight for name, weight in weights.items() if name != "prior"}
        yield "without priors", _changed(config, retrieval={"weights": without, "prior": "off"})


def _changed(config: RunConfig, **sections: dict[str, Any]) -> RunConfig:
    return config.model_copy(
        update={name: getattr(config, name).model_copy(update=values) for name, values in sections.items()}
    )
