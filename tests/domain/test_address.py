"""Addresses of servers: which are taken, which are the same, and that no message tells a password."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from ameli_llm.address import normalised, problem_of
from ameli_llm.config import EngineConfig, RunConfig, load_config, override
from ameli_llm.errors import AmeliError


@pytest.mark.parametrize(
    ("address", "same_as"),
    [
        ("http://127.0.0.1:8000/v1", "http://127.0.0.1:8000/v1"),
        ("HTTP://GPU-1.Example.:80/v1/", "http://gpu-1.example:80/v1"),
        ("http://gpu-1.example/v1", "http://gpu-1.example:80/v1"),
        ("http://gpu-1.example:/v1", "http://gpu-1.example:80/v1"),
        ("https://gpu-1.example", "https://gpu-1.example:443"),
        ("http://[0:0::1]:8000/V1", "http://[::1]:8000/V1"),
    ],
)
def test_spellings_of_one_server(address: str, same_as: str) -> None:
    assert problem_of(address) == ""
    assert normalised(address) == same_as
    assert normalised(same_as) == same_as
    assert EngineConfig(base_url=address).base_url == address


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("http://ann:sesame@host/v1", "a user or password in an address "),
        ("http://sesame@host", "a user or password in an address "),
        ("http://ann:ses/ame@host/v1", "a user or password in an address "),
        ("ann:sesame@host/v1", "a user or password in an address "),
        ("http://host/v1?key=sesame", "an address has no query and no fragment"),
        ("http://host/v1#sesame", "an address has no query and no fragment"),
        ("ftp://host/sesame", "no address of a server; "),
        ("file:///sesame", "no address of a server; "),
        ("host:8000/sesame", "no address of a server; "),
        ("", "no address of a server; "),
        ("http://", "no address of a server; "),
        ("http:///sesame", "no address of a server; "),
        ("http://host:80000/sesame", "no address of a server; "),
        ("http://host/ses ame", "no address of a server; "),
        ("http://host\n/sesame", "no address of a server; "),
        ("http://host\\sesame", "no address of a server; "),
        ("http://sesame:key", "no address of a server; "),
        ("http://999.1.1.1/sesame", "no address of a server; "),
        ("http://[::::]/sesame", "no address of a server; "),
        ("http://a..b/sesame", "no address of a server; "),
    ],
)
def test_what_is_no_address_is_refused_without_being_repeated(
    tmp_path: Path, address: str, problem: str
) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(f"engine:\n  base_url: {json.dumps(address)}\n")
    with pytest.raises(ValidationError) as raw:
        EngineConfig(base_url=address)
    with pytest.raises(AmeliError) as typed:
        override(RunConfig(), [f"engine.base_url={json.dumps(address)}"])
    with pytest.raises(AmeliError) as read:
        load_config(file)
    assert str(typed.value).startswith(f"--set: engine.base_url: {problem}")
    for error in (raw, typed, read):
        assert problem in str(error.value)
        assert "sesame" not in str(error.value)
    if "@" in address:
        assert "set the server's key as the environment variable VLLM_API_KEY" in str(typed.value)
