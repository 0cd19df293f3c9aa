"""The configuration of a run: one YAML file, written by tune, read by link; unknown keys are refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from ameli_llm import address, image_encoders
from ameli_llm.errors import AmeliError, UnknownNameError
from ameli_llm.files import read_bounded

CHROMA_URL = "http://127.0.0.1:8000"
CHROMA_TOKEN = "AMELI_LLM_CHROMA_TOKEN"
"""The variable of the environment with the token of a Chroma server, which no file may hold."""
MAX_BYTES = 1 << 20
"""Longest configuration that is read; one that tune writes has a few thousand bytes."""


class _Section(BaseModel):
    # Messages that repeat their input would print a password in engine.base_url.
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True)


class RetrievalConfig(_Section):
    """How candidates are found."""

    text_encoder: str = Field("sbert", description="encoder file for texts in retrieval/encoders")
    text_model: str = Field("", description="model name or folder; empty: the encoder's packaged default")
    image_encoders: tuple[str, ...] = Field(
        default_factory=image_encoders.default_list,
        description="encoder files for images, each NAME or NAME:MODEL; efficientnet where it is installed",
    )
    image_adapter: str = Field(
        "", description="folder of a trained image adapter, which names its encoder; empty: identity"
    )
    search: Literal["exact", "chroma"] = Field("exact", description="exact vector search or Chroma's HNSW")
    store: Literal["folder", "chroma-server"] = Field(
        "folder", description="where Chroma keeps the vectors: in the index folder, or on a server for many"
    )
    chroma_url: str = Field(CHROMA_URL, description="address of the Chroma server of chroma-server")
    pool: int = Field(1000, ge=10, le=10_000_000, description="products that each retriever may propose")
    depth: int = Field(100, ge=1, le=1_000_000, description="candidates kept in the run folder")
    candidates: int = Field(10, ge=1, le=1_000_000, description="K: candidates that are compared")
    weights: dict[str, float] = Field(
        default_factory=lambda: {
            "sbert": 12.0,
            "tfidf": 10.0,
            "title": 2.0,
            "header": 14.0,
            "image": 1.8,
            "prior": 3.5,
        },
        min_length=1,
        description="weight of each retriever's score in the sum; one that is not named is not run; image: "
        "every image encoder that is not named itself",
    )
    prior: Literal["off", "filter", "score"] = Field("off", description="use of P(e|m) and P(c|m)")
    cross_encoder: str = Field("", description="cross-encoder over the text pool; empty: none")

    @property
    def by_retriever(self) -> dict[str, float]:
        """``weights`` with the image encoders by name."""
        return image_encoders.weights_of(self.weights, self.image_encoders)

    @property
    def image_weights(self) -> dict[str, float]:
        """The part of ``by_retriever`` that is of image encoders, in the order of their list."""
        weights = self.by_retriever
        return {name: weights[name] for name in image_encoders.names(self.image_encoders) if name in weights}

    @model_validator(mode="before")
    @classmethod
    def _one_image_encoder(cls, value: Any) -> Any:
        """``image_encoder: NAME`` and ``image_model: MODEL`` are short for a list of one, or of none."""
        return image_encoders.spelt_out(value) if isinstance(value, dict) else value

    @field_validator("image_encoders")
    @classmethod
    def _different_encoders(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if fault := image_encoders.fault(value):
            raise PydanticCustomError("encoders", "{fault}", {"fault": fault})
        return value

    @field_validator("chroma_url")
    @classmethod
    def _plain_address(cls, value: str) -> str:
        if problem := address.problem_of(value, CHROMA_TOKEN, CHROMA_URL):
            raise PydanticCustomError("address", "{problem}", {"problem": problem})
        return value

    @field_validator("prior", mode="before")
    @classmethod
    def _unquoted_off(cls, value: Any) -> Any:
        """YAML reads a bare off as false."""
        return "off" if value is False else value


class AttributesConfig(_Section):
    """How attribute values of the review are found."""

    extractors: tuple[str, ...] | None = Field(
        None, description="extractor files in ameli_llm/attributes; null: rules, ocr, and llm with an engine"
    )
    template: str = Field("extract/json", description="template of the llm extractor")
    sense: float = Field(
        0.45,
        ge=0,
        le=1,
        description="least cosine of a model's quotation and its value, by all-MiniLM-L6-v2, where the words "
        "differ; 0: any",
    )
    ocr_engine: Literal["rapidocr", "easyocr"] = Field("rapidocr", description="OCR library")
    ocr_model: str = Field("", description="model folder of easyocr")
    ocr_enlarge: float = Field(
        2.0,
        ge=1,
        le=736,
        description="how many times at most rapidocr enlarges a small photo to look for text, to a short "
        "side of 736 pixels; 736: always so far, as it does by itself",
    )
    trained: dict[str, str] = Field(
        default_factory=dict, description="folder of each trained extractor: mjave, uls_dram"
    )
    precision: dict[str, dict[str, float]] = Field(
        default_factory=dict, description="precision by extractor and key (* for all keys), measured on dev"
    )


class ComparisonConfig(_Section):
    """How candidates are compared with the review."""

    comparators: tuple[str, ...] | None = Field(
        None,
        description="comparator files in ameli_llm/comparison; null: rules, names, and the engine's model's",
    )
    weights: dict[str, float] = Field(
        default_factory=lambda: {"likelihood": 0.4, "names": 3.0, "rules": 2.0},
        description="weight of each comparator's score in the text score; 1 if not named",
    )
    template: str = Field("", description="template of the comparator that asks a model; empty: its own")
    orders: int = Field(1, ge=1, le=10_000, description="candidate orders that the score is averaged over")

    @model_validator(mode="before")
    @classmethod
    def _one_comparator(cls, value: Any) -> Any:
        """``comparator: NAME`` (none: no comparison) is short for a list of one."""
        if not isinstance(value, dict) or "comparator" not in value:
            return value
        rest = {key: part for key, part in value.items() if key != "comparator"}
        name = value["comparator"]
        return rest | {"comparators": None if name == "" else () if name == "none" else (name,)}


class EngineConfig(_Section):
    """The instruction model."""

    name: str = Field("none", description="engine file in ameli_llm/engines, or none")
    model: str = Field(
        "", description="known model (`models list`), name at the hub or the server, or a folder"
    )
    scorer: str = Field(
        "",
        description="model that says how likely a review is (comparator likelihood); empty: the same model",
    )
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        description="numbers of a model in this process; auto: bfloat16 if the CPU has it; vllm: as saved",
    )
    base_url: str | tuple[str, ...] = Field(
        "http://127.0.0.1:8000/v1", description="address of a server, or a list of servers of one model"
    )
    concurrency: int = Field(64, ge=1, le=10_000, description="requests in flight at a server")
    timeout: float = Field(120.0, gt=0, le=86_400, description="seconds before a request counts as failed")
    max_error_rate: float = Field(
        0.02, ge=0, le=1, description="share of failed reviews that makes link exit with 1"
    )

    @property
    def addresses(self) -> tuple[str, ...]:
        """``base_url`` as a list."""
        return (self.base_url,) if isinstance(self.base_url, str) else self.base_url

    @field_validator("base_url")
    @classmethod
    def _plain_addresses(cls, value: str | tuple[str, ...], info: ValidationInfo) -> str | tuple[str, ...]:
        listed = (value,) if isinstance(value, str) else value
        key = "OPENAI_API_KEY" if info.data.get("name") == "openai" else "VLLM_API_KEY"
        problem = next(filter(None, (address.problem_of(one, key) for one in listed)), "")
        if not problem and len(set(map(address.normalised, listed))) < max(len(listed), 1):
            problem = "an empty list of servers, or one server twice"
        if problem:
            raise PydanticCustomError("address", "{problem}", {"problem": problem})
        return value


class FusionConfig(_Section):
    """How the scores become one, and when the answer is withheld."""

    retrieval: float = Field(1.0, description="weight of the retrieval score")
    text: float = Field(0.3, description="weight of the comparison score")
    image: float = Field(1.0, description="weight of the image score")
    mismatch_filter: bool = Field(False, description="the paper's attribute-mismatch filter")
    nil_threshold: float = Field(0.2, ge=0, le=1, description="nil below this probability of being in the KB")
    abstain_threshold: float = Field(0.0, ge=0, le=1, description="below this confidence: abstained")
    calibration: dict[str, dict[str, float]] = Field(
        default_factory=dict,
        description="logistic models link and nil; empty: softmax share",
    )


class RunConfig(_Section):
    """Everything that decides a run's result, seed included."""

    retrieval: RetrievalConfig = RetrievalConfig()
    attributes: AttributesConfig = AttributesConfig()
    comparison: ComparisonConfig = ComparisonConfig()
    engine: EngineConfig = EngineConfig()
    fusion: FusionConfig = FusionConfig()
    seed: int = 0


def load_config(path: Path | None) -> RunConfig:
    """The configuration in ``path``, defaults for what it leaves out; all defaults when it is None.

    Raises AmeliError that names the file, the key and what was expected.
    """
    if path is None:
        return RunConfig()
    text = read_bounded(path, MAX_BYTES, "configuration")
    content = parse_yaml(text, f"Configuration {path} is not YAML")
    return _validated({} if content is None else content, f"Configuration {path}")


def parse_yaml(text: str | bytes, complaint: str) -> Any:
    """The YAML value in ``text``. Raises AmeliError that starts with ``complaint``, whatever is in it."""
    try:
        return yaml.safe_load(text if isinstance(text, str) else text.decode("utf-8-sig"))
    except RecursionError as error:
        raise AmeliError(f"{complaint}: it is nested too deeply.") from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: no such date, a number of 5,000 digits
        raise AmeliError(f"{complaint}: {_short(' '.join(str(error).split()), 300)}") from error


def dump_config(config: RunConfig) -> str:
    """The configuration as YAML, readable by ``load_config``."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)


def chosen(base: RunConfig, engine: str, model: str, settings: Sequence[str]) -> RunConfig:
    """The configuration with an engine's and a model's name ("": as they are) and settings on top.

    Raises AmeliError as ``override`` does.
    """
    named = [f"engine.name={engine}"] * bool(engine) + [f"engine.model={model}"] * bool(model)
    return override(base, [*named, *settings])


def override(config: RunConfig, settings: Sequence[str]) -> RunConfig:
    """The configuration with dotted ``KEY=VALUE`` settings on top; values are YAML.

    Raises AmeliError that names the setting.
    """
    content = config.model_dump(mode="json")
    for setting in settings:
        name, equals, value = setting.partition("=")
        *parents, last = name.split(".")
        section: Any = content
        for parent in parents:
            section = section.get(parent) if isinstance(section, dict) else None
        if not equals or not isinstance(section, dict):
            hint = "Write KEY=VALUE, for instance fusion.text=2."
            raise AmeliError(f"No setting {_short(setting)!r}.", hint=hint)
        section[last] = parse_yaml(value, f"Setting {_short(setting)!r}: the value is not YAML")
    return _validated(content, "--set")


def parse_settings(settings: Sequence[str]) -> dict[str, Any]:
    """``KEY=VALUE`` settings of something that is trained; values are YAML. Raises AmeliError."""
    changes = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise AmeliError(
                f"--set {_short(setting)!r} is not KEY=VALUE.", hint="For example --set epochs=5"
            )
        changes[key.strip()] = parse_yaml(value, f"--set {_short(setting)!r}: the value is not YAML")
    return changes


def _validated(content: Any, what: str) -> RunConfig:
    try:
        return RunConfig.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(_short(str(part)) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            unknown = UnknownNameError("setting", where, _siblings(first["loc"]))
            raise AmeliError(f"{what}: {unknown.message}", hint=unknown.hint) from error
        raise AmeliError(
            f"{what}: {where or 'top level'}: {first['msg']}.", hint="docs/configuration.md lists every key."
        ) from error


def _short(text: str, most: int = 80) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."


def _siblings(place: tuple[int | str, ...]) -> list[str]:
    """Dotted names of the settings that stand where an unknown one was found."""
    section: Any = RunConfig().model_dump()
    *parents, _ = map(str, place)
    for parent in parents:
        section = section[parent]
    return [".".join([*parents, name]) for name in section]


def retriever_alone(config: RunConfig, name: str) -> RunConfig:
    """The configuration of a baseline: the ranking of one retriever, nothing extracted or compared."""
    return config.model_copy(
        update={
            "retrieval": config.retrieval.model_copy(update={"weights": {name: 1.0}, "prior": "off"}),
            "attributes": AttributesConfig(extractors=()),
            "comparison": ComparisonConfig(comparators=()),
            "engine": EngineConfig(),
            "fusion": FusionConfig(retrieval=1.0, text=0.0, image=0.0),
        }
    )
