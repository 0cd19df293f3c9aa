"""The token comes from the environment, goes to the server alone, and no address holds one."""

from __future__ import annotations

from pathlib import Path

import pytest

from ameli_llm.config import CHROMA_TOKEN, RetrievalConfig
from ameli_llm.dataset.load import Dataset
from ameli_llm.errors import AmeliError
from retrieval.building import build_index
from retrieval.shared.server import open_server
from retrieval.shared.state import State
from tests.retrieval.shared.chroma_process import Between


def test_it_comes_from_the_environment(
    state: State, between: Between, monkeypatch: pytest.MonkeyPatch
) -> None:
    between.token = "secret-9"
    with pytest.raises(AmeliError, match="a request without a token"), open_server(between.url):
        pass
    monkeypatch.setenv(CHROMA_TOKEN, "another-8")
    with (
        pytest.raises(AmeliError, match=f"refuses the token of .* {CHROMA_TOKEN}") as caught,
        open_server(between.url),
    ):
        pass
    assert "another-8" not in str(caught.value)
    monkeypatch.setenv(CHROMA_TOKEN, "secret-9")
    with open_server(between.url) as server:
        assert server.states() == [state]


@pytest.mark.slow
def test_no_file_has_it(
    between: Between,
    dataset: Dataset,
    shared: RetrievalConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    between.token = "secret-9"
    monkeypatch.setenv(CHROMA_TOKEN, "secret-9")
    build_index(dataset, tmp_path / "out", shared.model_copy(update={"chroma_url": between.url})).close()
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert "server.json" in {path.name for path in files}
    assert not [path for path in files if b"secret-9" in path.read_bytes()]


def test_one_that_no_header_takes(chroma: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CHROMA_TOKEN, "a\nb")
    with pytest.raises(AmeliError, match="characters that no HTTP header takes"), open_server(chroma):
        pass


@pytest.mark.parametrize("url", ["http://me:secret@host:8000", "http://host?token=secret", "host", ""])
def test_an_address_has_no_secrets(url: str) -> None:
    with pytest.raises(ValueError, match="address") as caught:
        RetrievalConfig(chroma_url=url)
    assert "secret" not in str(caught.value)
