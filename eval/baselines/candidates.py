"""The candidates and attributes that baselines start from: a run of the pipeline without a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ameli_llm.config import EngineConfig, RunConfig
from ameli_llm.pipeline import MODEL_COMPARATORS, open_pipeline, resolve
from ameli_llm.types import Progress
from eval.experiment import link_split

if TYPE_CHECKING:
    from ameli_llm.dataset.load import Dataset
    from ameli_llm.runs import PredictionRow


def model_free(config: RunConfig) -> RunConfig:
    """The configuration without what asks a model: same retrieval, rules and OCR, no engine."""
    extractors = config.attributes.extractors
    if extractors is not None:
        extractors = tuple(name for name in extractors if name != "llm")
    comparator = config.comparison.comparator
    return resolve(
        config.model_copy(
            update={
                "engine": EngineConfig(),
                "attributes": config.attributes.model_copy(update={"extractors": extractors}),
                "comparison": config.comparison.model_copy(
                    update={"comparator": "" if comparator in MODEL_COMPARATORS else comparator}
                ),
            }
        )
    )


def candidate_run(
    dataset: Dataset, split: str, config: RunConfig, index: Path | None, out: Path, show: Progress
) -> list[PredictionRow]:
    """Predictions of the model-free pipeline over ``split``, linked into the run folder ``out``.

    An interrupted run is taken up again, a finished one is read. Raises AmeliError when ``out`` holds
    another run.
    """
    with open_pipeline(dataset, model_free(config), index, show) as pipeline:
        outcome = link_split(pipeline, dataset, dataset.split(split), out, show)
    return list(outcome.folder.predictions())
