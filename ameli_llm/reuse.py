"""A pipeline that takes from ``stages`` what earlier runs found with the very same inputs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from ameli_llm import provenance
from ameli_llm.attributes import EXTRACTORS
from ameli_llm.attributes.extractor import ExtractionTask, Extractor
from ameli_llm.flow import Flow
from ameli_llm.parts import TEMPLATE
from ameli_llm.pipeline import Pipeline
from ameli_llm.resolution import ENGINE
from ameli_llm.runner import fingerprint, review_key
from ameli_llm.stages import KeptExtractor, KeptSource, StageStore
from ameli_llm.types import Review


def keeping(pipeline: Pipeline, stages: StageStore) -> Flow:
    """The pipeline's flow, whose retrieval and extractors are asked only for what ``stages`` lacks.

    A key covers all that decides the result: the review and its images' bytes, the settings of the stage, the
    index and its encoders, a model with its template, the vocabulary, this package's code and the versions of
    others.
    """
    extractors = pipeline.flow.extractors.items()
    return replace(
        pipeline.flow,
        source=KeptSource(pipeline.flow.source, stages, _retrieval_key(pipeline)),
        extractors={
            name: KeptExtractor(one, stages, _extraction_key(pipeline, name, one)) for name, one in extractors
        },
    )


def _retrieval_key(pipeline: Pipeline) -> Callable[[Review, int], str]:
    others = {"candidates", "depth", "chroma_url"}
    settings = pipeline.config.retrieval.model_dump(mode="json", exclude=others)
    named = (settings["image_adapter"], settings["cross_encoder"])
    stage = fingerprint(
        [
            *surroundings(),
            settings,
            pipeline.spec()["index"],
            pipeline.dataset.digest,
            [_content(Path(name)) for name in named if name],
        ]
    )
    return lambda review, depth: review_key(review, f"{stage} {depth}", pipeline.dataset.review_image)


def _extraction_key(pipeline: Pipeline, name: str, extractor: Extractor) -> Callable[[ExtractionTask], str]:
    spec, needs = pipeline.spec(), EXTRACTORS.needs(name)
    stage: list[Any] = [
        *surroundings(),
        name,
        pipeline.config.attributes.model_dump(
            mode="json", exclude={"extractors", "precision", "trained", "template"}
        ),
        getattr(extractor, "revision", ""),
    ]
    if ENGINE in needs:
        stage += [spec["engine"], pipeline.config.seed]
    if TEMPLATE in needs:
        stage.append(spec["templates"][pipeline.config.attributes.template])
    made_of = fingerprint(stage)

    def key(task: ExtractionTask) -> str:
        offered = fingerprint([made_of, list(task.vocabulary.items())])
        return review_key(task.review, offered, pipeline.dataset.review_image)

    return key


@cache
def surroundings() -> tuple[str, dict[str, str]]:
    """The code that decides results, by its content: a checkout changes without a new version."""
    digest = hashlib.sha256()
    here = Path(__file__).parent
    for folder in (here, here.parent / "retrieval"):
        for path in sorted(folder.rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest(), provenance.versions()


def _content(path: Path) -> str:
    """A digest of the files in a folder that a setting names; "" for the name of something elsewhere."""
    if not path.is_dir():
        return ""
    digest = hashlib.sha256()
    for file in sorted(one for one in path.rglob("*") if one.is_file()):
        with file.open("rb") as stream:
            digest.update(f"{file.name}:{hashlib.file_digest(stream, 'sha256').hexdigest()}".encode())
    return digest.hexdigest()
