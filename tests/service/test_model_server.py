"""A model behind the service: down, wrong and back; changed products share it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from ameli_llm.linker import Linker
from tests.engines.scripted import Answer, scripted
from tests.library.test_linker import model, served
from tests.service.conftest import CHEAP

Serving = Callable[..., TestClient]
REVIEW: dict[str, Any] = {"body": "my red one", "mention": "blender"}


def test_a_model_that_is_down_and_back(serving: Serving, shop: Path) -> None:
    with scripted() as server:
        server.answers = [Answer(400, {"error": {"message": "no such thing"}})]
        options = served(server)
        client = serving(linker=Linker.open(shop, **options | {"settings": [*CHEAP, *options["settings"]]}))
        assert client.get("/healthz").status_code == 200
        assert client.get("/readyz").json()["detail"] == "The model has not answered its test questions."
        assert client.get("/readyz").status_code == 503
        assert client.post("/v1/link", json=REVIEW).status_code == 503
        server.answers = [model]
        assert client.get("/readyz").status_code == 200
        assert client.post("/v1/link", json=REVIEW).json()["tokens"]["prompt"] > 0
        server.answers = [Answer(400, {"error": {"message": "no such thing"}})]
        failed = client.post("/v1/link", json={**REVIEW, "body": "my blue one"}).json()
        assert (failed["state"], failed["confidence"]) == ("engine_error", None)
        assert client.get("/readyz").status_code == 200
        assert 'ameli_llm_links_total{state="engine_error"} 1.0' in client.get("/metrics").text


def test_both_states_share_the_model_until_the_last_is_closed(shop: Path) -> None:
    with scripted() as server:
        server.answers = [model]
        options = served(server)
        old = Linker.open(shop, **options | {"settings": [*CHEAP, *options["settings"]]})
        old.check()
        asked = len(server.posts)
        newer = old.changed([{"id": "W", "name": "Acme blender white"}], deleted=["B4"])
        old.close()
        link = newer.link(REVIEW)
        assert (link.error, link.best is not None) == (None, True)
        assert len(server.posts) == asked + 1  # the model is not tested again
        newer.close()
