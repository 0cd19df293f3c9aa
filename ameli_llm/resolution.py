"""What a configuration leaves open, filled in; and what it asks for that cannot be."""

from __future__ import annotations

from collections.abc import Sequence

from ameli_llm.attributes import EXTRACTORS
from ameli_llm.comparison import COMPARATORS
from ameli_llm.config import EngineConfig, RunConfig
from ameli_llm.engines import ENGINES
from ameli_llm.errors import AmeliError, UnknownNameError
from ameli_llm.models import is_known, known_model

LIKELIHOOD = "likelihood"
MUTE = frozenset({"openai"})
"""Engines that cannot say how likely a given text is."""

IN_PROCESS = "transformers"
"""The engine that can have two models at once: a server has the one that it was started with."""

ENGINE = "engine"
"""Name of the parameter by which an extractor or a comparator says that it asks a model."""


def resolve(config: RunConfig) -> RunConfig:
    """The configuration with its automatic parts filled in.

    Without an engine: extractors rules and ocr, comparators rules and names. With one, the llm extractor
    joins, unless a known model is of no use for it, and the comparator that suits a known model, listwise for
    others. Raises AmeliError when a part asks for a model and there is no engine, when more candidates are to
    be compared than a comparator can, or when one template is named for two comparators.
    """
    served = config.engine.name != "none"
    if served and config.engine.name not in ENGINES.names():
        raise UnknownNameError(ENGINES.kind, config.engine.name, ENGINES.names())
    extractors = config.attributes.extractors
    if extractors is None:
        extractors = ("rules", "ocr", *(("llm",) if served and _reads(config.engine.model) else ()))
    comparators = config.comparison.comparators
    if comparators is None:
        comparators = ("rules", "names", *(_suited(config.engine) if served else ()))
    resolved = config.model_copy(
        update={
            "engine": _with_scorer(config.engine, comparators),
            "attributes": config.attributes.model_copy(
                update={"extractors": extractors, "precision": _precision(config)}
            ),
            "comparison": config.comparison.model_copy(update={"comparators": comparators}),
        }
    )
    asking = _asking(resolved)
    if asking and not served:
        raise AmeliError(
            f"The {asking[0]} asks a model, and the configuration names no engine.",
            hint="Give --engine, for instance --engine vllm_server.",
        )
    for comparator in comparators:
        most = getattr(COMPARATORS.module(comparator), "MOST_CANDIDATES", None)
        if most is not None and resolved.retrieval.candidates > most:
            raise AmeliError(
                f"The comparator {comparator!r} compares at most {most} candidates, "
                f"and retrieval.candidates is {resolved.retrieval.candidates}.",
                hint="Lower retrieval.candidates, or choose another comparator.",
            )
    sending = [name for name in comparators if "template" in COMPARATORS.needs(name)]
    if config.comparison.template and len(sending) > 1:
        raise AmeliError(
            f"comparison.template names one template, and {' and '.join(sending)} send one each.",
            hint="Leave it empty, or choose one of these comparators.",
        )
    return resolved


def _precision(config: RunConfig) -> dict[str, dict[str, float]]:
    """What was measured on dev, and where nothing was of the model, what a known one is known for."""
    precision, model = config.attributes.precision, config.engine.model
    alone = known_model(model).alone if is_known(model) and config.engine.name != "none" else None
    if alone is None or any("llm" in name for name in precision):
        return precision
    return {**precision, "llm alone": {"*": alone}}


def _reads(model: str) -> bool:
    """Whether a model is asked for attribute values: all but known ones that are of no use for it."""
    return not is_known(model) or known_model(model).reads


def _suited(engine: EngineConfig) -> tuple[str, ...]:
    """The comparator that a model is taken to be able to use: listwise, of a known one what suits it."""
    name = known_model(engine.model).comparator if is_known(engine.model) else "listwise"
    return () if not name or (name == LIKELIHOOD and engine.name in MUTE) else (name,)


def _with_scorer(engine: EngineConfig, comparators: Sequence[str]) -> EngineConfig:
    """The engine with the model by which a known one has texts scored, where both fit into this process."""
    scorer = known_model(engine.model).scorer if is_known(engine.model) else ""
    if engine.scorer or not scorer or engine.name != IN_PROCESS or LIKELIHOOD not in comparators:
        return engine
    return engine.model_copy(update={"scorer": scorer})


def as_open_as(config: RunConfig, asked: RunConfig) -> RunConfig:
    """The resolved configuration with its extractors and comparators left open where ``asked`` left them so.

    With another engine, or one at last, it then resolves to what suits that.
    """
    extractors, comparators = asked.attributes.extractors, asked.comparison.comparators
    return config.model_copy(
        update={
            "attributes": config.attributes.model_copy(update={"extractors": extractors}),
            "comparison": config.comparison.model_copy(update={"comparators": comparators}),
        }
    )


def model_free(config: RunConfig) -> RunConfig:
    """The configuration without what asks a model: same retrieval, rules and OCR, no engine."""
    extractors = config.attributes.extractors
    if extractors is not None:
        extractors = tuple(name for name in extractors if ENGINE not in EXTRACTORS.needs(name))
    comparators = config.comparison.comparators
    if comparators:
        comparators = tuple(name for name in comparators if ENGINE not in COMPARATORS.needs(name)) or None
    return resolve(
        config.model_copy(
            update={
                "engine": EngineConfig(),
                "attributes": config.attributes.model_copy(update={"extractors": extractors}),
                "comparison": config.comparison.model_copy(update={"comparators": comparators}),
            }
        )
    )


def require_asking(config: RunConfig) -> None:
    """Raises AmeliError when the configuration names an engine and no part of it would ask it."""
    resolved = resolve(config)
    if config.engine.name == "none" or asks_model(resolved):
        return
    parts = ", ".join([*(resolved.attributes.extractors or ()), *(resolved.comparison.comparators or ())])
    raise AmeliError(
        f"Nothing asks the engine {config.engine.name!r}: the configuration has {parts or 'no source'} only.",
        hint="Leave attributes.extractors or comparison.comparators open, add llm, or give no engine.",
    )


def asks_model(config: RunConfig) -> bool:
    """Whether a part of a resolved configuration asks a model."""
    return bool(_asking(config))


def shares(one: RunConfig, other: RunConfig) -> bool:
    """Whether two resolved configurations can share an open index and, where both need one, an engine."""
    encoders = ("text_encoder", "text_model", "image_encoders")
    same = all(getattr(one.retrieval, name) == getattr(other.retrieval, name) for name in encoders)
    return same and (one.engine == other.engine or not asks_model(other))


def _asking(config: RunConfig) -> list[str]:
    """The parts that ask a model, as a message names them."""
    extractors = config.attributes.extractors or ()
    asking = [f"extractor {name!r}" for name in extractors if ENGINE in EXTRACTORS.needs(name)]
    comparators = config.comparison.comparators or ()
    asking += [f"comparator {name!r}" for name in comparators if ENGINE in COMPARATORS.needs(name)]
    return asking
