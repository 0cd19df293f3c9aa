"""Puts the pipeline together from its parts: the one place that knows all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ameli_llm
from ameli_llm.comparison.comparator import Attributes, Comparator
from ameli_llm.config import RunConfig
from ameli_llm.errors import AmeliError
from ameli_llm.paths import cache_dir, index_dir

if TYPE_CHECKING:
    from ameli_llm.attributes.extractor import Extractor
    from ameli_llm.attributes.values.statistics import KBStatistics
    from ameli_llm.dataset.load import Dataset
    from ameli_llm.engines.engine import Engine
    from ameli_llm.linker import Linker
    from ameli_llm.types import Review
    from eval.tune import Tuned
    from retrieval.candidates import CandidateFinder
    from retrieval.index import Index

Progress = Callable[[str, int, int], None]

STATISTICS = "statistics.json"

MODEL_COMPARATORS = ("listwise", "pairwise", "entail")
"""Comparators that ask a model, and so need an engine."""


@dataclass(frozen=True)
class Pipeline:
    """An assembled pipeline and what there is to record of it."""

    linker: Linker
    finder: CandidateFinder
    index: Index
    config: RunConfig
    engine: Engine | None
    templates: Mapping[str, str]

    @property
    def batch_size(self) -> int:
        """Reviews to hand to the linker at once."""
        return self.engine.batch_size if self.engine else 16

    @property
    def workers(self) -> int:
        """Batches to have under way at once."""
        return self.engine.workers if self.engine else 1

    def spec(self) -> dict[str, Any]:
        """What decides the results apart from the reviews, as recorded in ``run.json``."""
        manifest = self.index.manifest
        engine = self.engine and {
            "name": self.engine.name,
            "model": self.engine.model,
            "revision": self.engine.revision,
        }
        return {
            "config": self.config.model_dump(mode="json"),
            "templates": dict(self.templates),
            "engine": engine,
            "index": {
                "kb_version": manifest.kb_version,
                "text_encoder": _stamp(manifest.text),
                "image_encoder": _stamp(manifest.image) if manifest.image else None,
            },
        }


def resolve(config: RunConfig) -> RunConfig:
    """The configuration with its automatic parts filled in.

    Without an engine: extractors rules and ocr, comparator rules. With one, the llm extractor joins and the
    comparator is listwise. Raises AmeliError when a part asks for a model and there is no engine.
    """
    served = config.engine.name != "none"
    extractors = config.attributes.extractors
    if extractors is None:
        extractors = ("rules", "ocr", "llm") if served else ("rules", "ocr")
    comparator = config.comparison.comparator or ("listwise" if served else "rules")
    if not served:
        for part, name in (("extractor", "llm" in extractors and "llm"), ("comparator", comparator)):
            if name == "llm" or name in MODEL_COMPARATORS:
                raise AmeliError(
                    f"The {part} {name!r} asks a model, and the configuration names no engine.",
                    hint="Give --engine, for instance --engine vllm_server.",
                )
    return config.model_copy(
        update={
            "attributes": config.attributes.model_copy(update={"extractors": extractors}),
            "comparison": config.comparison.model_copy(update={"comparator": comparator}),
        }
    )


def open_or_build_index(
    dataset: Dataset, config: RunConfig, folder: Path | None, progress: Progress | None
) -> Index:
    """The index of ``dataset``: opened when it is up to date, otherwise brought up to date first.

    The default folder is made again whenever it does not fit. One that the user names (``folder``) is
    never replaced by one of another encoder: that raises AmeliError.
    """
    from retrieval.building import build_index
    from retrieval.index import open_index
    from retrieval.manifest import IndexDamagedError

    place = folder or index_dir(dataset.root, config.retrieval)
    try:
        return open_index(place, config.retrieval, dataset.digest)
    except IndexDamagedError:
        pass
    except AmeliError:
        if folder is not None and folder.exists():
            raise
    return build_index(dataset, place, config.retrieval, progress)


@contextmanager
def open_pipeline(
    dataset: Dataset, config: RunConfig, index: Path | None = None, progress: Progress | None = None
) -> Iterator[Pipeline]:
    """The pipeline of ``config`` over ``dataset``; closes the engine at the end.

    Raises AmeliError when a part cannot be made.
    """
    from ameli_llm.dataset.attributes import attribute_dictionary
    from ameli_llm.linker import Linker
    from retrieval.candidates import CandidateFinder

    config = resolve(config)
    engine = open_engine(config)
    try:
        opened = open_or_build_index(dataset, config, index, progress)
        attributes = {product.id: attribute_dictionary(product) for product in dataset.products.values()}
        finder = CandidateFinder(opened, dataset, config.retrieval)
        templates: dict[str, str] = {}
        linker = Linker(
            products=dataset.products,
            attributes=attributes,
            source=finder,
            extractors=_extractors(dataset, config, engine, templates),
            comparator=_comparator(config, attributes, opened, engine, templates),
            merging=config.attributes,
            fusion=config.fusion,
            candidates=config.retrieval.candidates,
            depth=config.retrieval.depth,
        )
        yield Pipeline(linker, finder, opened, config, engine, templates)
    finally:
        if engine is not None:
            engine.close()


def tune_pipeline(
    pipeline: Pipeline,
    reviews: Sequence[Review],
    gold: Mapping[int, int | None],
    progress: Progress,
    precision: float | None = None,
) -> Tuned:
    """The configuration that ``eval.tune`` chooses for the pipeline on these reviews.

    Raises AmeliError when the engine fails its canary.
    """
    from eval.tune import tune

    if pipeline.engine is not None:
        pipeline.engine.canary()

    def comparator_of(config: RunConfig) -> Comparator | None:
        return _comparator(config, pipeline.linker.attributes, pipeline.index, pipeline.engine, {})

    return tune(
        pipeline.finder, pipeline.linker, pipeline.config, comparator_of, reviews, gold, progress, precision
    )


def open_engine(config: RunConfig) -> Engine | None:
    """The engine that the configuration names, behind the reply cache; None for "none".

    It has not been asked anything yet: whoever starts work with it calls its canary first.
    """
    if config.engine.name == "none":
        return None
    from ameli_llm.engines import ENGINES
    from ameli_llm.engines.cache import CachedEngine

    return CachedEngine(ENGINES.load(config.engine.name)(config.engine), cache_dir() / "replies.sqlite")


def _extractors(
    dataset: Dataset, config: RunConfig, engine: Engine | None, templates: dict[str, str]
) -> dict[str, Extractor]:
    from ameli_llm.attributes import EXTRACTORS

    chosen = config.attributes
    options: dict[str, dict[str, Any]] = {
        "ocr": {
            "image_path": dataset.review_image,
            "engine": chosen.ocr_engine,
            "model": chosen.ocr_model,
            "cache_dir": cache_dir() / "ocr",
        },
        "llm": {"engine": engine, "template": chosen.template},
    }
    made: dict[str, Extractor] = {
        name: EXTRACTORS.load(name)(**options.get(name, {})) for name in chosen.extractors or ()
    }
    if "llm" in made:
        templates[chosen.template] = _identity(chosen.template)
    return made


def _comparator(
    config: RunConfig,
    attributes: Mapping[int, Attributes],
    index: Index,
    engine: Engine | None,
    templates: dict[str, str],
) -> Comparator | None:
    from ameli_llm.comparison import COMPARATORS

    chosen = config.comparison
    if chosen.comparator == "none":
        return None
    create = COMPARATORS.load(chosen.comparator)
    if chosen.comparator not in MODEL_COMPARATORS:
        comparator: Comparator = create(
            statistics=_statistics(attributes, index), precision=config.attributes.precision
        )
        return comparator
    name = chosen.template or f"compare/{chosen.comparator}"
    templates[name] = _identity(name)
    asking: Comparator = create(engine=engine, template=name, orders=chosen.orders, seed=config.seed)
    return asking


def _statistics(attributes: Mapping[int, Attributes], index: Index) -> KBStatistics:
    """How common each attribute value is; counted once per state of the knowledge base and kept with it."""
    from ameli_llm.attributes.values.statistics import KBStatistics

    def write(folder: Path) -> None:
        (folder / STATISTICS).write_text(KBStatistics.of(attributes.values()).to_json(), encoding="utf-8")

    place = index.derived(f"attributes-{ameli_llm.__version__}", write)
    return KBStatistics.from_json((place / STATISTICS).read_text(encoding="utf-8"))


def _identity(template: str) -> str:
    from ameli_llm.templates import load_template

    return load_template(template).identity


def _stamp(stamp: Any) -> dict[str, Any]:
    content: dict[str, Any] = stamp.model_dump(mode="json")
    return content
