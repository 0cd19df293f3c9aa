"""Dockerfile and compose.yaml name what exists: options of the command, pinned versions, files."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import yaml
from typer.main import get_command

from ameli_llm import cli

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
SERVICES = COMPOSE["services"]


def options() -> set[str]:
    cli._groups()
    command = get_command(cli.app)
    found: Any = command.commands["serve"]  # type: ignore[attr-defined]
    return {name for one in found.params for name in one.opts}


def pinned(package: str) -> str:
    (version,) = re.findall(rf"^{package}==(.+)$", (ROOT / "constraints.txt").read_text("utf-8"), re.M)
    return str(version)


def test_the_commands_have_options_of_serve() -> None:
    in_file = re.findall(r'"([^"]+)"', DOCKERFILE.partition("\nCMD ")[2].splitlines()[0])
    for words in (in_file, SERVICES["service"]["command"]):
        assert words[0] == "serve"
        given = {word for word in words if word.startswith("--")}
        assert given
        assert given <= options()


def test_copied_files_are_there_and_the_extras_too() -> None:
    sources = [word for line in re.findall(r"^COPY (.+) \S+$", DOCKERFILE, re.M) for word in line.split()]
    assert "ameli_llm" in sources
    assert [name for name in sources if not (ROOT / name).exists()] == []
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    (extras,) = re.findall(r"'\.\[(.+)\]'", DOCKERFILE)
    assert set(extras.split(",")) <= project["optional-dependencies"].keys()


def test_the_servers_are_of_the_tested_versions() -> None:
    assert SERVICES["chroma"]["image"] == f"chromadb/chroma:{pinned('chromadb')}"
    assert SERVICES["vllm"]["image"] == f"vllm/vllm-openai:v{pinned('vllm')}"


def test_only_the_service_is_published_and_only_here_unless_told() -> None:
    published = {name: one["ports"] for name, one in SERVICES.items() if "ports" in one}
    assert published == {"service": ["${PUBLISH:-127.0.0.1}:8000:8000"]}
    volumes = {volume.partition(":")[0] for one in SERVICES.values() for volume in one["volumes"]}
    assert {name for name in volumes if name.isalpha()} == COMPOSE["volumes"].keys()
