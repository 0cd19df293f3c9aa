"""What a configuration leaves open, filled in; and what it asks for that cannot be."""

from __future__ import annotations

from ameli_llm.attributes import EXTRACTORS
from ameli_llm.comparison import COMPARATORS
from ameli_llm.config import EngineConfig, RunConfig
from ameli_llm.engines import ENGINES
from ameli_llm.errors import AmeliError, UnknownNameError

ENGINE = "engine"
"""Name of the parameter by which an extractor or a comparator says that it asks a model."""


def resolve(config: RunConfig) -> RunConfig:
    """The configuration with its automatic parts filled in.

    Without an engine: extractors rules and ocr, comparator rules. With one, the llm extractor joins and the
    comparator is listwise. Raises AmeliError when a part asks for a model and there is no engine, or when
    more candidates are to be compared than the comparator can.
    """
    served = config.engine.name != "none"
    if served and config.engine.name not in ENGINES.names():
        raise UnknownNameError(ENGINES.kind, config.engine.name, ENGINES.names())
    extractors = config.attributes.extractors
    if extractors is None:
        extractors = ("rules", "ocr", "llm") if served else ("rules", "ocr")
    comparator = config.comparison.comparator or ("listwise" if served else "rules")
    resolved = config.model_copy(
        update={
            "attributes": config.attributes.model_copy(update={"extractors": extractors}),
            "comparison": config.comparison.model_copy(update={"comparator": comparator}),
        }
    )
    asking = _asking(resolved)
    if asking and not served:
        raise AmeliError(
            f"The {asking[0]} asks a model, and the configuration names no engine.",
            hint="Give --engine, for instance --engine vllm_server.",
        )
    if comparator != "none":
        most = getattr(COMPARATORS.module(comparator), "MOST_CANDIDATES", None)
        if most is not None and resolved.retrieval.candidates > most:
            raise AmeliError(
                f"The comparator {comparator!r} compares at most {most} candidates, "
                f"and retrieval.candidates is {resolved.retrieval.candidates}.",
                hint="Lower retrieval.candidates, or choose another comparator.",
            )
    return resolved


def model_free(config: RunConfig) -> RunConfig:
    """The configuration without what asks a model: same retrieval, rules and OCR, no engine."""
    extractors = config.attributes.extractors
    if extractors is not None:
        extractors = tuple(name for name in extractors if ENGINE not in EXTRACTORS.needs(name))
    comparator = config.comparison.comparator
    if comparator not in ("", "none") and ENGINE in COMPARATORS.needs(comparator):
        comparator = ""
    return resolve(
        config.model_copy(
            update={
                "engine": EngineConfig(),
                "attributes": config.attributes.model_copy(update={"extractors": extractors}),
                "comparison": config.comparison.model_copy(update={"comparator": comparator}),
            }
        )
    )


def asks_model(config: RunConfig) -> bool:
    """Whether a part of a resolved configuration asks a model."""
    return bool(_asking(config))


def shares(one: RunConfig, other: RunConfig) -> bool:
    """Whether two resolved configurations can share an open index and, where both need one, an engine."""
    encoders = ("text_encoder", "text_model", "image_encoder", "image_model")
    same = all(getattr(one.retrieval, name) == getattr(other.retrieval, name) for name in encoders)
    return same and (one.engine == other.engine or not asks_model(other))


def _asking(config: RunConfig) -> list[str]:
    """The parts that ask a model, as a message names them."""
    extractors = config.attributes.extractors or ()
    asking = [f"extractor {name!r}" for name in extractors if ENGINE in EXTRACTORS.needs(name)]
    comparator = config.comparison.comparator
    if comparator != "none" and ENGINE in COMPARATORS.needs(comparator):
        asking.append(f"comparator {comparator!r}")
    return asking
