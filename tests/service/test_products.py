"""Products over HTTP: shown, put and deleted without a rebuild, kept in the file, never half changed."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from ameli_llm.errors import AmeliError
from ameli_llm.linker import Linker
from ameli_llm.service.journal import Change, Journal
from ameli_llm.service.knowledge import Changed, Knowledge
from ameli_llm.types import Product, SpecRow
from tests.service.conftest import CHEAP

Serving = Callable[..., TestClient]
WHITE = {"name": "Acme blender white", "attributes": {"Color": "White"}}


def linked(client: TestClient, body: str) -> Any:
    return client.post("/v1/link", json={"body": body, "mention": "blender"}).json()


def test_a_product_is_shown_by_the_text_of_its_id(client: TestClient) -> None:
    product = client.get("/v1/products/2").json()
    assert (product["id"], product["name"]) == (2, "Acme blender blue")
    assert product["attributes"] == [{"section": "General", "key": "Color", "value": "Blue"}]
    assert client.get("/v1/products/B%2F3").json()["id"] == "B/3"
    missing = client.get("/v1/products/nobody")
    assert (missing.status_code, missing.json()["detail"]) == (404, "There is no product 'nobody'.")


def test_put_and_delete_are_in_the_next_link(client: TestClient) -> None:
    before = linked(client, "my white one")
    added = client.put("/v1/products/W", json=WHITE)
    assert (added.status_code, added.json()["id"]) == (201, "W")
    link = linked(client, "my white one")
    assert (link["candidates"][0]["entity_id"], link["kb_version"]) == ("W", added.json()["kb_version"])
    again = client.put("/v1/products/W", json=WHITE)
    assert (again.status_code, again.json()["kb_version"]) == (200, added.json()["kb_version"])
    assert 'ameli_llm_product_changes_total{kind="put"} 2.0' in client.get("/metrics").text
    gone = client.delete("/v1/products/W")
    assert (gone.status_code, gone.json()["kb_version"]) == (200, before["kb_version"])
    after = linked(client, "my white one")
    assert "W" not in [one["entity_id"] for one in after["candidates"]]
    assert client.delete("/v1/products/W").status_code == 404


def test_what_is_shown_can_be_put_again(client: TestClient) -> None:
    shown = client.get("/v1/products/2").json()
    version = shown.pop("kb_version")
    assert client.put("/v1/products/2", json=shown).json() == {"id": 2, "kb_version": version, "kept": True}


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("x", {"name": "A", "id": "y"}, "'y' is not the id of the path"),
        ("x", {"name": " "}, "/name: String should have at least 1 character"),
        ("x", {}, "/name: Field required"),
        ("x", {"name": "A", "images": ["../a.png"]}, "not a bare file name"),
        ("x", {"name": "A", "price": 5}, "/price: Extra inputs are not permitted"),
        ("x", {"name": "A", "attributes": {"a": {}}}, "/attributes"),
        ("%20", {"name": "A"}, "The id in the path must be a whole number or a text"),
    ],
)
def test_a_wrong_product_is_refused(client: TestClient, path: str, body: Any, says: str) -> None:
    answer = client.put(f"/v1/products/{path}", json=body)
    assert answer.status_code == 422, answer.text
    assert says in answer.json()["detail"]


def test_without_a_file_a_change_lasts_as_long_as_the_service(serving: Serving) -> None:
    client = serving()
    put = client.put("/v1/products/W", json=WHITE)
    assert (put.status_code, put.json()["kept"]) == (201, False)
    assert client.get("/v1/products/W").status_code == 200
    assert serving().get("/v1/products/W").status_code == 404


def test_read_only_changes_are_refused(serving: Serving) -> None:
    client = serving(read_only=True)
    for answer in client.put("/v1/products/W", json=WHITE), client.delete("/v1/products/2"):
        assert (answer.status_code, answer.json()["type"]) == (403, "urn:ameli-llm:problem:read-only")


def test_changes_are_judged_in_their_order_and_a_restart_has_them(
    serving: Serving, shop: Path, tmp_path: Path
) -> None:
    file = tmp_path / "changes.jsonl"
    ids = ["B1", "2", "2", "B/3", "B4"]
    green = Product("G", "Acme blender green", spec=(SpecRow("General", "Color", "Green"),))
    with Journal.open(file) as journal:
        knowledge = Knowledge(Linker.open(shop, settings=CHEAP), journal)
        outcomes = knowledge.apply([*map(Change.delete, ids), Change.put(green)])
        version = knowledge.version
        knowledge.close()
    assert [getattr(one, "status_code", 200) for one in outcomes] == [200, 200, 404, 200, 409, 200]
    assert isinstance(outcomes[1], Changed)
    assert (outcomes[1].id, outcomes[1].kb_version) == (2, version)
    client = serving(changes=file)
    assert client.get("/healthz").json() == {"status": "ok", "kb_version": version, "products": 2}
    assert client.get("/v1/products/G").json()["attributes"][0]["section"] == "General"
    assert client.get("/v1/products/B4").status_code == 200


def test_a_link_sees_one_version_or_the_other(shop: Path, tmp_path: Path) -> None:
    """Threads link while another adds and removes a product; each link agrees with its version."""
    with Journal.open(tmp_path / "changes.jsonl") as journal:
        knowledge = Knowledge(Linker.open(shop, settings=CHEAP), journal)
        with_white: dict[str, bool] = {knowledge.version: False}
        seen: list[tuple[str, bool]] = []
        stop = threading.Event()

        def ask() -> None:
            while not stop.is_set():
                with knowledge.using() as linker:
                    link = linker.link({"body": "my white one", "mention": "blender"})
                    seen.append((linker.kb_version, "W" in [one.entity_id for one in link.candidates]))
                time.sleep(0.03)

        askers = [threading.Thread(target=ask) for _ in range(2)]
        for asker in askers:
            asker.start()
        white = Change.put(Product("W", WHITE["name"]))  # type: ignore[arg-type]
        for change in [white, Change.delete("W")]:
            (outcome,) = knowledge.apply([change])
            assert isinstance(outcome, Changed)
            with_white[outcome.kb_version] = change.product is not None
        stop.set()
        for asker in askers:
            asker.join()
        knowledge.close()
    assert len(with_white) == 2
    assert {with_white[version] == has for version, has in seen} == {True}
    assert {has for _, has in seen} == {True, False}


def test_a_change_that_cannot_be_kept_is_not_made_and_the_next_one_is(shop: Path, tmp_path: Path) -> None:
    """The index is already of the state that was given up, and is brought back."""
    file = tmp_path / "changes.jsonl"
    with Journal.open(file) as journal:
        knowledge = Knowledge(Linker.open(shop, settings=CHEAP), journal)
        version = knowledge.version
        file.unlink()
        file.mkdir()
        with pytest.raises(AmeliError, match="Cannot write the changes to"):
            knowledge.apply([Change.put(Product("W", "Acme blender white"))])
        assert (knowledge.product("W"), knowledge.version) == ((None, version), version)
        file.rmdir()
        knowledge.apply([Change.put(Product("V", "Acme blender violet"))])
        with knowledge.using() as linker:
            link = linker.link({"body": "my violet one, not the white one", "mention": "blender"})
        assert {one.entity_id for one in link.candidates} == {"B1", 2, "B/3", "B4", "V"}
        knowledge.close()


def test_the_file_is_read_to_its_last_whole_line(tmp_path: Path) -> None:
    file = tmp_path / "changes.jsonl"
    one, two = (Change.put(Product("A", name)).line() for name in ("first", "second"))
    file.write_text(f'{one}\n{{"delete": 2}}\n{two}\n{{"put": {{"id"', encoding="utf-8")
    with Journal.open(file) as journal:
        products = journal.applied({2: Product(2, "old"), 3: Product(3, "kept")})
        assert [(product.id, product.name) for product in products] == [(3, "kept"), ("A", "second")]
        with (
            pytest.raises(AmeliError, match="Another process is serving with the changes in"),
            Journal.open(file),
        ):
            pass
    assert [json.loads(line).keys() for line in file.read_text("utf-8").splitlines()] == [{"delete"}, {"put"}]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("nope", "line 1: not JSON"),
        ("{}", "line 1: neither put nor delete"),
        ('{"put": {"name": "x"}}', "line 1: a product without an id"),
        ('{"put": {"id": 1}}', "line 1: name: Field required"),
        ('{"delete": true}', "line 1: a whole number or a text"),
    ],
)
def test_a_wrong_line_of_the_file_is_named(tmp_path: Path, line: str, says: str) -> None:
    file = tmp_path / "changes.jsonl"
    file.write_text(f"{line}\n", encoding="utf-8")
    with pytest.raises(AmeliError, match=says), Journal.open(file):
        pass
    assert file.read_text("utf-8") == f"{line}\n"
