"""Opens a knowledge base and a configuration into a pipeline: index, model, extractors, comparator."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import ameli_llm
from ameli_llm.attributes import EXTRACTORS
from ameli_llm.attributes.values.statistics import KBStatistics
from ameli_llm.comparison.panel import Panel
from ameli_llm.config import EngineConfig, RunConfig
from ameli_llm.dataset.attributes import ProductAttributes
from ameli_llm.dataset.load import Dataset
from ameli_llm.engines import ENGINES
from ameli_llm.engines.cache import CachedEngine
from ameli_llm.engines.engine import ChatRequest, Engine
from ameli_llm.engines.with_scorer import WithScorer
from ameli_llm.errors import AmeliError
from ameli_llm.flow import Flow
from ameli_llm.ids import EntityId
from ameli_llm.parts import TEMPLATE, Parts
from ameli_llm.paths import cache_dir, index_dir
from ameli_llm.resolution import asks_model, resolve, shares
from ameli_llm.templates import Template
from ameli_llm.templates.front import LIKELIHOOD
from ameli_llm.types import Attributes, Product, Progress, Review, no_progress
from retrieval.building import build_index
from retrieval.candidates import CandidateFinder
from retrieval.encoders import text_encoder
from retrieval.encoders.encoder import TextEncoder
from retrieval.generations import current
from retrieval.index import Index, open_index
from retrieval.manifest import EncoderStamp, IndexDamagedError
from retrieval.regions import load_regions

STATISTICS = "statistics.json"

Around: TypeAlias = Callable[[Engine], Engine]
"""Makes an engine of an engine."""


@dataclass(frozen=True)
class Pipeline:
    """An open pipeline. ``templates`` are those of the prompts that it sends, by name.

    ``prompts`` is the folder of own templates, which go before the packaged ones.
    """

    flow: Flow
    finder: CandidateFinder
    index: Index
    dataset: Dataset
    config: RunConfig
    engine: CachedEngine | None
    templates: Mapping[str, Template]
    prompts: Path | None = None

    @property
    def batch_size(self) -> int:
        """Reviews to hand to the flow at once."""
        return self.engine.batch_size if self.engine else 16

    @property
    def workers(self) -> int:
        """Batches to have under way at once."""
        return self.engine.workers if self.engine else 1

    @property
    def requests(self) -> int:
        """Requests sent to the model since it was opened; the canary and the reply cache do not count."""
        return self.engine.misses if self.engine else 0

    def canary(self) -> None:
        """Asks the model two questions whose answers are known, and whether the templates fit its context.

        Raises AmeliError when it fails.
        """
        if self.engine is not None:
            self.engine.canary()
            self._require_abilities(self.engine)
            _parts(self.config, self.engine, self.prompts, self.dataset).check_context()

    def _require_abilities(self, engine: CachedEngine) -> None:
        scoring = [name for name, one in self.templates.items() if one.front.method == LIKELIHOOD]
        if scoring and not engine.scores:
            raise AmeliError(
                f"Template {scoring[0]!r} has a text scored, which the engine {engine.name!r} cannot do.",
                hint="Engines that can: vllm_server, vllm, transformers.",
            )
        asking = [name for name, one in self.templates.items() if one.front.method == "completion"]
        if asking and not engine.completes:
            raise AmeliError(
                f"Template {asking[0]!r} asks for plain completions, and the server has no /completions.",
                hint="Take a template for chat, for instance extract/json, or another server.",
            )

    def warm_up(self) -> None:
        """Loads what retrieval loads on first use, the encoders. Raises AmeliError when one is missing."""
        queries = self.finder.queries([Review(id=0)])
        for retriever in self.finder.retrievers.values():
            retriever.score(queries)

    def panel(self, config: RunConfig) -> Panel | None:
        """The comparators of another configuration, over the same index and engine."""
        parts = _parts(config, self.engine, self.prompts, self.dataset)
        return parts.panel(lambda: _statistics(self.flow.attributes, self.index))

    def variant(self, config: RunConfig, prompts: Path | None = None) -> Pipeline:
        """A pipeline of another configuration that shares this one's index, model and extractors.

        ``prompts`` is its folder of own templates, by default this one's; extractors that send a template are
        made anew. It is closed with this one. Raises ValueError when the other configuration needs another
        index or engine: then it has to be opened by itself.
        """
        config = resolve(config)
        if not shares(self.config, config):
            raise ValueError("the configurations differ in encoders or engine")
        engine = self.engine if asks_model(config) else None
        parts = _parts(config, engine, prompts or self.prompts, self.dataset)
        templates = parts.templates()
        return _assembled(self.dataset, parts, engine, templates, self.index, self)

    def changed(self, products: Sequence[Product], deleted: Sequence[EntityId]) -> Pipeline:
        """A pipeline over the knowledge base with ``products`` added or replaced and ``deleted`` gone.

        It has an index of its own, for which only what changed is embedded, and shares everything else; this
        one goes on with the old state. Raises AmeliError, and leaves all as it was, when the index cannot be
        written or no product would be left.
        """
        gone = set(deleted)
        held = {id_: product for id_, product in self.dataset.products.items() if id_ not in gone}
        dataset = self.dataset.with_products({**held, **{one.id: one for one in products}}.values())
        if current(self.index.folder) == self.index.place:
            index = self.index.changed(products, deleted, dataset.product_image, dataset.digest)
        else:  # another process has brought the folder to a state of its own
            index = build_index(dataset, self.index.folder, self.config.retrieval)
        try:
            parts = _parts(self.config, self.engine, self.prompts, dataset)
            return _assembled(dataset, parts, self.engine, self.templates, index, self)
        except BaseException:
            index.close()
            raise

    def close(self) -> None:
        """Frees the model and the index."""
        if self.engine is not None:
            self.engine.close()
        self.index.close()

    def spec(self) -> dict[str, Any]:
        """What decides the results apart from the reviews, as recorded in ``run.json``."""
        manifest = self.index.manifest
        engine = self.engine and {
            "name": self.engine.name,
            "model": self.engine.model,
            "revision": self.engine.revision,
            **_scorer(self.engine),
        }
        return {
            "config": self.config.model_dump(mode="json"),
            "templates": {name: one.identity for name, one in self.templates.items()},
            "engine": engine,
            **self._trained(),
            "index": {
                "kb_version": manifest.kb_version,
                "text_encoder": _stamp(manifest.text),
                "image_encoders": [_stamp(stamp) for stamp in manifest.image_encoders],
            },
        }

    def _trained(self) -> dict[str, Any]:
        """The revisions of trained extractors by name, where there is one."""
        found = {name: getattr(one, "revision", "") for name, one in self.flow.extractors.items()}
        revisions = {name: revision for name, revision in found.items() if revision}
        return {"trained": revisions} if revisions else {}


def open_or_build_index(
    dataset: Dataset, config: RunConfig, folder: Path | None, progress: Progress | None
) -> Index:
    """The index of ``dataset``: opened when it is up to date, otherwise brought up to date first.

    The default folder is made again whenever it does not fit. One that the user names (``folder``) is
    never replaced by one of another encoder: that raises AmeliError.
    """
    place = folder or index_dir(dataset.key, config.retrieval)
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
    dataset: Dataset,
    config: RunConfig,
    index: Path | None = None,
    progress: Progress | None = None,
    prompts: Path | None = None,
    around: Around | None = None,
) -> Iterator[Pipeline]:
    """The pipeline of ``config`` over ``dataset``; closes engine and index at the end.

    ``prompts`` is a folder of own templates, which go before the packaged ones; ``around`` makes the engine
    that stands between the model and the reply cache. Raises AmeliError when a part cannot be made; a
    template that cannot be used is found before a model or an index is opened.
    """
    pipeline = assemble(dataset, config, index, progress, prompts, around)
    try:
        yield pipeline
    finally:
        pipeline.close()


def assemble(
    dataset: Dataset,
    config: RunConfig,
    index: Path | None = None,
    progress: Progress | None = None,
    prompts: Path | None = None,
    around: Around | None = None,
) -> Pipeline:
    """As ``open_pipeline``, but left open; what was opened is closed when a part cannot be made."""
    config = resolve(config)
    templates = _parts(config, None, prompts, dataset).templates()
    engine = open_engine(config, progress, around) if asks_model(config) else None
    try:
        opened = open_or_build_index(dataset, config, index, progress)
        try:
            parts = _parts(config, engine, prompts, dataset)
            return _assembled(dataset, parts, engine, templates, opened)
        except BaseException:
            opened.close()
            raise
    except BaseException:
        if engine is not None:
            engine.close()
        raise


def open_engine(
    config: RunConfig, progress: Progress | None = None, around: Around | None = None
) -> CachedEngine:
    """The engine that the configuration names, behind the reply cache; a known model is made on first use.

    It has not been asked anything yet: whoever starts work with it calls its canary first.
    """

    def made(chosen: EngineConfig) -> Engine:
        offered = {"config": lambda: chosen, "progress": lambda: progress or no_progress}
        engine: Engine = ENGINES.make(chosen.name, offered)
        return engine

    engine = made(config.engine)
    if config.engine.scorer not in ("", config.engine.model):
        try:
            scorer = made(config.engine.model_copy(update={"model": config.engine.scorer}))
        except BaseException:
            engine.close()
            raise
        engine = WithScorer(engine, scorer)
    return CachedEngine(around(engine) if around else engine, cache_dir() / "replies.sqlite")


def _scorer(engine: CachedEngine) -> dict[str, Any]:
    """What says how likely texts are, where that is another model than the engine's."""
    scorer = engine.answering(ChatRequest((), scored=True))
    if scorer is engine.answering(ChatRequest(())):
        return {}
    return {"scorer": {"model": scorer.model, "revision": scorer.revision}}


def _assembled(
    dataset: Dataset,
    parts: Parts,
    engine: CachedEngine | None,
    templates: Mapping[str, Template],
    index: Index,
    sharing: Pipeline | None = None,
) -> Pipeline:
    """Extractors of ``sharing`` are taken over where the configuration of the attributes is the same.

    Not those that send a template: its file may have changed.
    """
    config = parts.config
    finder = CandidateFinder(index, dataset, config.retrieval)
    shared = sharing.flow.extractors if sharing and _same_but_names(sharing.config, config) else {}
    held = {name: one for name, one in shared.items() if TEMPLATE not in EXTRACTORS.needs(name)}
    attributes = ProductAttributes(dataset.products)
    flow = Flow(
        products=dataset.products,
        attributes=attributes,
        source=finder,
        extractors=parts.extractors(held),
        panel=parts.panel(lambda: _statistics(attributes, index)),
        merging=config.attributes,
        fusion=config.fusion,
        candidates=config.retrieval.candidates,
        depth=config.retrieval.depth,
    )
    return Pipeline(flow, finder, index, dataset, config, engine, templates, parts.prompts)


def _parts(config: RunConfig, engine: Engine | None, prompts: Path | None, dataset: Dataset) -> Parts:
    return Parts(
        config,
        engine,
        prompts,
        dataset.review_image,
        lambda texts: _words_encoder().encode(texts),
        load_regions,
    )


@cache
def _words_encoder() -> TextEncoder:
    """The packaged encoder, whatever encodes products: a cosine of another means something else."""
    return text_encoder("sbert")


def _same_but_names(one: RunConfig, other: RunConfig) -> bool:
    names = {"extractors": None}
    return one.attributes.model_copy(update=names) == other.attributes.model_copy(update=names)


def _statistics(attributes: Mapping[EntityId, Attributes], index: Index) -> KBStatistics:
    """How common each attribute value is; counted once per state of the knowledge base and kept with it."""

    def write(folder: Path) -> None:
        (folder / STATISTICS).write_text(KBStatistics.of(attributes.values()).to_json(), encoding="utf-8")

    place = index.derived(f"attributes-{ameli_llm.__version__}", write)
    return KBStatistics.from_json((place / STATISTICS).read_text(encoding="utf-8"))


def _stamp(stamp: EncoderStamp) -> dict[str, Any]:
    content: dict[str, Any] = stamp.model_dump(mode="json")
    return content
