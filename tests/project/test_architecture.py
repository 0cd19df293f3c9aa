"""The direction of imports, light edges, and what no file of the project may contain."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("ameli_llm", "retrieval", "eval")
SOURCES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
FOLDERS = (*PACKAGES, "prompts", "tests", "docs", "benchmarks", ".ci")
TEXTS = sorted(
    path
    for path in [*ROOT.glob("*"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*"))]
    if path.suffix in {".py", ".md", ".toml", ".txt", ".j2", ".yaml", ".json", ".html"}
    or path.name in {"Makefile", "run"}
    if path.is_file() and "__pycache__" not in path.parts
)
HEAVY = (
    *("torch", "torchvision", "transformers", "sentence_transformers", "open_clip", "xgrammar", "vllm"),
    *("gguf", "accelerate", "peft", "onnx", "onnxruntime", "tokenizers", "efficientnet_lite_pytorch"),
    *("chromadb", "bm25s", "sklearn", "skimage", "safetensors", "rapidocr", "easyocr", "ray"),
)
TRAINS_WITH_TORCH = {
    "ameli_llm.attributes.mjave.network",
    "ameli_llm.attributes.tagging.batches",
    "ameli_llm.attributes.tagging.tagger",
    "ameli_llm.attributes.tagging.text_encoder",
    "ameli_llm.attributes.tagging.trained",
    "ameli_llm.attributes.tagging.training",
    "ameli_llm.attributes.uls_dram.decoder",
    "ameli_llm.attributes.uls_dram.encoder",
    "ameli_llm.attributes.uls_dram.network",
    "ameli_llm.attributes.uls_dram.ranges",
    "ameli_llm.engines._attention",
    "ameli_llm.engines._network",
    "ameli_llm.engines._writers",
    "ameli_llm.images.contrastive",
    "ameli_llm.instruction.network",
    "ameli_llm.training.loop",
    "eval.baselines._tower_training",
    "eval.baselines.amelink.encoder",
    "eval.baselines.amelink.features",
    "eval.baselines.amelink.inference",
    "eval.baselines.amelink.loading",
    "eval.baselines.amelink.models",
    "eval.baselines.amelink.network",
    "eval.baselines.amelink.training",
}
"""Modules that may import torch; whoever uses them imports them inside a function."""


EXCEPTIONS = {
    (
        "retrieval/encoders/_efficientnet_export.py",
        "network.load_state_dict(torch.loa" + 'd(weights, map_location="cpu", weights_only=True))',
    )
}
"""Lines that may stand where they are: a package carries these weights in no other form."""


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path) -> Iterator[tuple[str, int]]:
    """Every module that a file imports, wherever the import stands, with its line."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            yield node.module or "", node.lineno


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


LAYERS: tuple[tuple[str, ...], ...] = (
    ("ameli_llm",),
    ("retrieval",),
    ("ameli_llm.pipeline",),
    ("ameli_llm.linker", "ameli_llm.reuse", "ameli_llm.service", "ameli_llm.distributed"),
    ("eval",),
    ("ameli_llm.cli", "ameli_llm.__main__"),
    ("tests", "benchmarks"),
)
"""From the ground up: domain, retrieval, the open pipeline, the library, evaluation, the command line."""


def floor(module: str) -> int:
    """The layer of a module: that of the longest name in ``LAYERS`` that it is within."""
    found = [
        (len(name), level) for level, names in enumerate(LAYERS) for name in names if within(module, name)
    ]
    return max(found)[1] if found else 0


def test_imports_point_down() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for path in SOURCES
        for module, line in imported(path)
        if module_name(path) != "ameli_llm"  # the package's face, which imports nothing before it is asked
        if floor(module) > floor(module_name(path))
    ]
    assert wrong == []


def test_a_module_stands_on_its_floor() -> None:
    names = ["ameli_llm.types", "retrieval.index", "ameli_llm.pipeline", "eval.paired", "ameli_llm.cli.link"]
    assert [floor(name) for name in names] == [0, 1, 2, 4, 5]


def test_no_circle_of_imports_that_happen_on_import() -> None:
    """Modules can be put into an order in which each comes after all that it imports at its top."""
    names = {module_name(path) for path in SOURCES}
    waiting = {module_name(path): imported_at_the_top(path) & names - {module_name(path)} for path in SOURCES}
    while ready := {name for name, needs in waiting.items() if not needs & waiting.keys()}:
        waiting = {name: needs for name, needs in waiting.items() if name not in ready}
    assert waiting == {}


def imported_at_the_top(path: Path) -> set[str]:
    """Modules that are imported when the file is, as ``from package import module`` too."""
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def test_every_module_of_the_command_line_speaks_typer() -> None:
    silent = [
        path.relative_to(ROOT).as_posix()
        for path in SOURCES
        if within(module_name(path), "ameli_llm.cli") and "typer" not in {name for name, _ in imported(path)}
    ]
    assert silent == []


def test_nobody_takes_code_out_of_the_command_line() -> None:
    """Benchmarks stand on the library alone; tests register a group of commands and run it, no more."""
    wrong = []
    for path in [*sorted((ROOT / "tests").rglob("*.py")), *sorted((ROOT / "benchmarks").glob("*.py"))]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and within(node.module or "", "ameli_llm.cli"):
                taken = {alias.name for alias in node.names} - {"register", "main"}
                if path.parent.name == "benchmarks" or (taken and node.module != "ameli_llm.cli"):
                    wrong.append(f"{path.relative_to(ROOT)}:{node.lineno} imports from {node.module}")
    assert wrong == []


def test_the_rule_sees_a_wrong_import(tmp_path: Path) -> None:
    path = tmp_path / "wrong.py"
    path.write_text("def f():\n    from retrieval.index import Index\n    import eval.measures.recall\n")
    assert list(imported(path)) == [("retrieval.index", 2), ("eval.measures.recall", 3)]


def test_nobody_hides_the_builtin_eval() -> None:
    bare = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import) and any(alias.name == "eval" for alias in node.names)
    ]
    assert bare == []


def run_python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)


def test_a_core_install_can_import_everything_but_what_trains() -> None:
    """Imports every module of the domain and of evaluation in one process in which no extra is installed."""
    names = [module_name(p) for p in SOURCES if not within(module_name(p), "retrieval")]
    code = (
        "import importlib, json, sys\n"
        "heavy, names = json.loads(sys.argv[1])\n"
        "sys.modules.update(dict.fromkeys(heavy))\n"
        "for name in names:\n"
        "    try: importlib.import_module(name)\n"
        "    except ImportError as error: print(name, error)\n"
    )
    wanted = [name for name in names if name not in TRAINS_WITH_TORCH]
    done = run_python(code, json.dumps([HEAVY, wanted]))
    assert (done.stdout, done.returncode) == ("", 0), done.stdout + done.stderr


LIGHT_COMMANDS = (
    *(["--help"], ["--version"], ["prompts", "list"], ["doctor"], ["doctor", "--json"]),
    *(["models", "list"], ["models", "path", "all-MiniLM-L6-v2"]),
    *([command, "--help"] for command in ("evaluate", "compare", "report")),
)


@pytest.mark.parametrize("arguments", LIGHT_COMMANDS, ids=" ".join)
def test_command_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\n"
        "from ameli_llm.cli import main\n"
        "heavy, sys.argv = sys.argv[1].split(), ['ameli-llm', *sys.argv[2:]]\n"
        "try: main()\n"
        "except SystemExit as end: code = end.code\n"
        "print('\\nexit', code or 0, 'heavy', [name for name in heavy if name in sys.modules])\n"
    )
    done = run_python(code, " ".join(HEAVY), *arguments)
    assert done.stdout.splitlines()[-1:] == ["exit 0 heavy []"], done.stdout + done.stderr


@pytest.mark.parametrize(
    ("what", "pattern", "suffixes"),
    [
        ("registry address", r"https?://[^ ]*(p[y]pi|pythonhoste[d]|npm[j]s|deb[.]debia[n])", ()),
        ("path of one machine", r"(?<![\w.-])/(wor[k]|far[m]|roo[t]|hom[e]/[a-z]+|User[s]/[a-z]+)/", ()),
        (
            "pickle",
            r"^\s*(import|from) (pickl[e]|dil[l]|jobli[b])\b|torch\.loa[d]\(|allow_pickle=Tru[e]",
            (".py",),
        ),
        ("unfinished work", r"\b(TOD[O]|FIXM[E]|XX[X])\b", (".py",)),
    ],
)
def test_no_file_contains(what: str, pattern: str, suffixes: tuple[str, ...]) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}"
        for path in TEXTS
        if not suffixes or path.suffix in suffixes
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if re.search(pattern, line) and (str(path.relative_to(ROOT)), line.strip()) not in EXCEPTIONS
    ]
    assert found == [], f"{what} in {found}"


def test_no_pickled_file() -> None:
    suffixes = {".pkl", ".pickle", ".pt", ".pth", ".joblib"}
    assert [p for folder in FOLDERS for p in (ROOT / folder).rglob("*") if p.suffix in suffixes] == []
