"""Token, host, request ids, deadlines, a full queue, logs, metrics, and what the service says of itself."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from ameli_llm.errors import AmeliError
from ameli_llm.linker import Linker
from ameli_llm.service.access import Access
from ameli_llm.service.limits import Limits
from ameli_llm.service.logs import JsonLines
from tests.service.conftest import CHEAP

Serving = Callable[..., TestClient]
TOKEN = "0123456789abcdef"
SECRET = "a word that no log may have"


class SlowLinker(Linker):
    """Links once it is let go, or fails as it is told to."""

    def hold(self) -> None:
        self.go, self.begun = threading.Event(), threading.Event()
        self.failure: Exception | None = None

    def link_batch(self, reviews: Any) -> Any:
        self.begun.set()
        assert self.go.wait(20)
        if self.failure:
            raise self.failure
        return super().link_batch(reviews)


@pytest.fixture
def slow(shop: Path) -> Iterator[SlowLinker]:
    linker = SlowLinker.open(shop, settings=CHEAP)
    assert isinstance(linker, SlowLinker)
    linker.hold()
    yield linker
    linker.go.set()


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[dict[str, Any]]]:
    """lines(): what the log has, read as JSON."""
    caplog.set_level(logging.INFO)
    return lambda: [json.loads(JsonLines().format(record)) for record in caplog.records]


def test_a_request_bears_the_token_or_is_refused(serving: Serving) -> None:
    client = serving(token=TOKEN)
    for path in ("/v1/products/2", "/metrics", "/openapi.json", "/nowhere"):
        for given in ({}, {"Authorization": f"Bearer {TOKEN}x"}, {"Authorization": f"Basic {TOKEN}"}):
            answer = client.get(path, headers=given)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    bearing = {"Authorization": f"bearer {TOKEN}", "Host": "shop.example"}
    assert client.get("/v1/products/2", headers=bearing).status_code == 200
    assert (
        client.get("/v1/products/2", headers={"Authorization": "Bearer \xe9".encode("latin-1")}).status_code
        == 401
    )
    assert [client.get(path).status_code for path in ("/healthz", "/readyz")] == [200, 200]
    described = client.get("/openapi.json", headers=bearing).json()
    assert described["security"] == [{"token": []}]
    assert described["paths"]["/readyz"]["get"]["security"] == []


@pytest.mark.parametrize("host", ["shop.example", "127.0.0.1.example", "", "[::2]:80"])
def test_without_a_token_only_names_of_this_machine_are_answered(client: TestClient, host: str) -> None:
    answer = client.get("/healthz", headers={"Host": host})
    assert (answer.status_code, answer.json()["type"]) == (421, "urn:ameli-llm:problem:foreign-host")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1", "[::1]:8000"])
def test_this_machine_has_several_names(client: TestClient, host: str) -> None:
    assert client.get("/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    ("host", "token", "says"),
    [
        ("0.0.0.0", "", "Listening on 0.0.0.0 lets other machines in"),
        ("::", "", "there is no token. Set AMELI_LLM_TOKEN"),
        ("shop.example", "", "there is no token"),
        ("127.0.0.1", "short", "at least 16 printable ASCII characters; it has 5"),
        ("0.0.0.0", "x" * 15 + "\n", "printable"),
    ],
)
def test_a_service_that_is_open_to_all_is_not_started(host: str, token: str, says: str) -> None:
    with pytest.raises(AmeliError) as refused:
        Access.for_host(host, {"AMELI_LLM_TOKEN": token})
    assert says in str(refused.value)


def test_a_token_or_this_machine_is_enough() -> None:
    assert Access.for_host("0.0.0.0", {"AMELI_LLM_TOKEN": TOKEN}) == Access(TOKEN)
    assert Access.for_host("127.0.0.1", {}) == Access.for_host("::1", {}) == Access("")


def test_another_site_is_told_nothing_that_lets_it_in(client: TestClient) -> None:
    headers = {"Origin": "https://shop.example", "Access-Control-Request-Method": "PUT"}
    answer = client.options("/v1/products/2", headers=headers)
    assert (answer.status_code, answer.headers["allow"]) == (405, "DELETE, GET, PUT")
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_ids_of_requests_go_in_and_out(client: TestClient) -> None:
    given = client.get("/healthz", headers={"X-Request-ID": "shop-77"})
    assert given.headers["x-request-id"] == "shop-77"
    made = [client.get("/healthz", headers={"X-Request-ID": wrong}) for wrong in ("a b", "x" * 129, "")]
    ids = {answer.headers["x-request-id"] for answer in made}
    assert len(ids) == 3
    assert all(len(id_) == 32 for id_ in ids)


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/v2", 404), ("GET", "/v1/link", 405)])
def test_what_is_not_there_is_a_problem_too(client: TestClient, method: str, path: str, status: int) -> None:
    answer = client.request(method, path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json()["status"] == status
    assert answer.headers.get("allow") == ("POST" if status == 405 else None)


def test_the_log_has_a_line_a_request_without_what_reviews_say(
    client: TestClient, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    client.post(
        "/v1/link", json=[{"body": SECRET}, {"header": SECRET, "id": "x"}], headers={"X-Request-ID": "q1"}
    )
    client.post("/v1/link", json={"body": 5, SECRET: SECRET})
    (line,) = [line for line in lines() if line.get("request_id") == "q1"]
    assert line.pop("seconds") >= 0
    assert line.pop("time").endswith("+00:00")
    assert sum(line.pop("states").values()) == 2
    assert line == {
        **{"level": "info", "logger": "ameli_llm.service.door", "message": "request", "request_id": "q1"},
        **{"method": "POST", "route": "/v1/link", "status": 200, "reviews": 2},
        "kb_version": [client.get("/healthz").json()["kb_version"]],
    }
    assert SECRET not in json.dumps(lines())


def test_texts_are_in_the_log_only_where_they_are_asked_for(
    serving: Serving, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    serving(log_texts=True).post("/v1/link", json={"body": SECRET})
    assert [line["texts"][0]["body"] for line in lines() if "texts" in line] == [SECRET]


def test_a_fault_is_a_problem_and_its_message_stays_out_of_the_log(
    serving: Serving, slow: SlowLinker, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    client = serving(linker=slow, raises=False)
    slow.failure = RuntimeError(SECRET)
    slow.go.set()
    answer = client.post("/v1/link", json={}, headers={"X-Request-ID": "q2"})
    assert (answer.status_code, answer.json()["type"]) == (500, "urn:ameli-llm:problem:internal")
    (line,) = [line for line in lines() if "exception" in line]
    assert (line["exception"], line["request_id"]) == ("RuntimeError", "q2")
    assert "link_batch" in line["where"][-1]
    assert SECRET not in json.dumps(lines()) + answer.text


def test_a_model_that_cannot_be_asked_is_503_and_the_log_says_why(
    serving: Serving, slow: SlowLinker, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    client = serving(linker=slow)
    slow.failure = AmeliError("no reply from http://10.0.0.1:8000")
    slow.go.set()
    answer = client.post("/v1/link", json={})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "10.0.0.1" not in answer.text
    assert [line["reason"] for line in lines() if "reason" in line] == ["no reply from http://10.0.0.1:8000"]
    several = client.post("/v1/link", json=[{}, {"id": "b"}]).json()
    assert [(one["review_id"], one["problem"]["status"]) for one in several] == [(1, 503), ("b", 503)]


def test_a_full_queue_is_429_and_a_deadline_is_504(serving: Serving, slow: SlowLinker) -> None:
    client = serving(linker=slow, limits=Limits(reviews=2, queue=2, seconds=1))
    answers: list[Any] = []
    stream = {"Accept": "application/x-ndjson"}
    busy = [
        threading.Thread(target=lambda: answers.append(client.post("/v1/link", json={}))),
        threading.Thread(
            target=lambda: answers.append(client.post("/v1/link", json=[{}, {}], headers=stream))
        ),
    ]
    busy[0].start()
    assert slow.begun.wait(10)
    busy[1].start()
    while "ameli_llm_queue_reviews 2.0" not in client.get("/metrics").text:
        pass
    full = client.post("/v1/link", json={})
    assert (full.status_code, full.json()["type"]) == (429, "urn:ameli-llm:problem:queue-full")
    assert full.headers["retry-after"] == "1"
    for thread in busy:
        thread.join()
    late, streamed = sorted(answers, key=lambda answer: -answer.status_code)
    assert (late.status_code, late.json()["type"]) == (504, "urn:ameli-llm:problem:deadline")
    problems = [json.loads(line)["problem"]["status"] for line in streamed.text.splitlines()]
    assert (streamed.status_code, problems) == (200, [504, 504])
    slow.go.set()
    while "ameli_llm_queue_reviews 0.0" not in client.get("/metrics").text:
        pass
    assert client.post("/v1/link", json={}).status_code == 200


def test_metrics_count_requests_and_links(serving: Serving) -> None:
    client = serving()
    client.post("/v1/link", json=[{"body": "red"}, {"body": "blue"}])
    client.get("/v1/products/2")
    client.get("/nowhere")
    shown = client.get("/metrics").text
    for line in (
        'ameli_llm_requests_total{method="POST",route="/v1/link",status="200"} 1.0',
        'ameli_llm_requests_total{method="GET",route="/v1/products/{id}",status="200"} 1.0',
        'ameli_llm_requests_total{method="GET",route="other",status="404"} 1.0',
        "ameli_llm_batch_reviews_sum 2.0",
        "ameli_llm_queue_reviews 0.0",
        "ameli_llm_products 4.0",
    ):
        assert line in shown.splitlines()


def test_a_service_that_stops_is_not_ready(serving: Serving) -> None:
    client = serving()
    assert client.get("/readyz").json()["status"] == "ready"
    client.app.state.service.stopping = True  # type: ignore[attr-defined]
    assert client.get("/readyz").status_code == 503
    assert client.get("/healthz").status_code == 200
