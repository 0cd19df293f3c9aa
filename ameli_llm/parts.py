"""Makes the extractors and the comparators of a configuration, and rehearses the templates that they send."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ameli_llm.attributes import EXTRACTORS
from ameli_llm.attributes.extractor import ExtractionTask, Extractor
from ameli_llm.attributes.matching.sense import Encode, Sense
from ameli_llm.attributes.tagging.pictures import LoadRegions, RegionNetwork
from ameli_llm.attributes.values.statistics import KBStatistics
from ameli_llm.comparison import COMPARATORS
from ameli_llm.comparison.comparator import Comparator, ComparisonTask
from ameli_llm.comparison.panel import Panel
from ameli_llm.config import RunConfig
from ameli_llm.engines.choices import LETTERS
from ameli_llm.engines.engine import ChatRequest, Engine
from ameli_llm.errors import AmeliError
from ameli_llm.paths import cache_dir
from ameli_llm.prompting.example import example, unspeakable, vocabulary_of
from ameli_llm.prompting.preview import Cramped, Recorder
from ameli_llm.resolution import ENGINE
from ameli_llm.templates import Template, load_template

TEMPLATE = "template"
"""Name of the parameter by which an extractor or a comparator says that it sends a template."""


def _no_regions(name: str) -> RegionNetwork:
    """Parts that were given nothing to open image networks with have none."""
    raise AmeliError(f"No image network {name!r} can be opened here.")


@dataclass(frozen=True)
class Parts:
    """Makes the parts of a resolved configuration.

    ``prompts`` is a folder of own templates, which go before the packaged ones; ``image_path`` leads from the
    name of a review's image to its file; ``encode`` makes vectors of words (``attributes.sense``), and
    ``regions`` opens the image networks of trained extractors.
    """

    config: RunConfig
    engine: Engine | None
    prompts: Path | None
    image_path: Callable[[str], Path | None]
    encode: Encode
    regions: LoadRegions = _no_regions

    def extractors(self, held: Mapping[str, Extractor]) -> dict[str, Extractor]:
        """The extractors by name; those ``held`` are not made again. Raises AmeliError."""
        names = self.config.attributes.extractors or ()
        return {name: held[name] if name in held else self._extractor(name) for name in names}

    def panel(self, statistics: Callable[[], KBStatistics]) -> Panel | None:
        """The comparators, None without any; ``statistics`` are counted for one that needs them."""
        chosen = self.config.comparison
        made = {name: self._comparator(name, statistics) for name in chosen.comparators or ()}
        return Panel(made, chosen.weights) if made else None

    def _comparator(self, name: str, statistics: Callable[[], KBStatistics]) -> Comparator:
        chosen = self.config.comparison
        offered: dict[str, Callable[[], Any]] = {
            ENGINE: lambda: self.engine,
            TEMPLATE: lambda: self._comparison_template(name),
            "prompts": lambda: self.prompts,
            "orders": lambda: chosen.orders,
            "seed": lambda: self.config.seed,
            "statistics": statistics,
            "precision": lambda: self.config.attributes.precision,
        }
        comparator: Comparator = COMPARATORS.make(name, offered)
        return comparator

    def templates(self) -> dict[str, Template]:
        """The templates that are sent, by name.

        Each asks for an invented review first, of an engine that answers nothing. Raises AmeliError for one
        that is not there, is not sound, or is for another method.
        """
        sent = self._rehearsed(Recorder(), example())
        return {name: load_template(name, self.prompts) for name in sent}

    def check_context(self) -> None:
        """Raises AmeliError that names a template too long for the model whatever is cut of the review.

        It is asked as shortly as it can be, of as many candidates as are compared, in signs that take more
        tokens than any letter. The engine must be there.
        """
        assert self.engine is not None
        task = unspeakable(min(self.config.retrieval.candidates, len(LETTERS)))
        for name, requests in self._rehearsed(Cramped(), task).items():
            most = max(self.engine.excess(requests), default=0)
            if most:
                raise AmeliError(
                    f"Template {name!r} does not fit into the context of {self.engine.model!r}: with "
                    f"{len(task.candidates)} candidates and the review cut to the least it is {most} tokens "
                    "too long.",
                    hint="Take a model or a server with a longer context (vllm serve --max-model-len), fewer "
                    "retrieval.candidates, or a shorter template.",
                )

    def _rehearsed(self, recorder: Recorder, task: ComparisonTask) -> dict[str, list[ChatRequest]]:
        """What each template in use asks of ``recorder`` about ``task``."""
        rehearsed = replace(self, engine=recorder)
        sent: dict[str, list[ChatRequest]] = {}
        for name in self.config.attributes.extractors or ():
            if TEMPLATE in EXTRACTORS.needs(name):
                rehearsed._extractor(name).extract([ExtractionTask(task.review, vocabulary_of(task))])
                sent.setdefault(self.config.attributes.template, []).extend(recorder.taken())
        for name in self.config.comparison.comparators or ():
            if TEMPLATE in COMPARATORS.needs(name):
                rehearsed._comparator(name, lambda: KBStatistics.of(task.attributes)).compare([task])
                sent.setdefault(self._comparison_template(name), []).extend(recorder.taken())
        return sent

    def _comparison_template(self, name: str) -> str:
        return self.config.comparison.template or f"compare/{name}"

    def _extractor(self, name: str) -> Extractor:
        chosen = self.config.attributes
        offered: dict[str, Callable[[], Any]] = {
            ENGINE: lambda: self.engine,
            TEMPLATE: lambda: chosen.template,
            "prompts": lambda: self.prompts,
            "image_path": lambda: self.image_path,
            "sense": lambda: Sense(self.encode, chosen.sense) if chosen.sense else None,
            "ocr_engine": lambda: chosen.ocr_engine,
            "ocr_model": lambda: chosen.ocr_model,
            "ocr_enlarge": lambda: chosen.ocr_enlarge,
            "cache_dir": lambda: cache_dir() / "ocr",
            "trained": lambda: chosen.trained.get(name, ""),
            "regions": lambda: self.regions,
        }
        extractor: Extractor = EXTRACTORS.make(name, offered)
        return extractor
