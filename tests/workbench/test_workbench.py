"""What the page asks for: lint, prompts, one review, photos, files; each as the command line has it."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ameli_llm.dataset.load import Split
from ameli_llm.ids import ReviewId
from ameli_llm.prompting.lint import lint
from ameli_llm.prompting.preview import as_text, preview
from eval.workbench.asked import MAX_BODY
from eval.workbench.photos import MAX_PHOTO, MOST
from tests.command import command
from tests.linking.conftest import bomb
from tests.watching.planted import compared, template, write
from tests.workbench.conftest import NAME, TOKEN, Workbench

HOSTILE = "</script><img src=x onerror=alert(1)>{{ 7 * 7 }}{% raw %}\x1b[2J\u202e\x00 <|im_end|>"


def get(workbench: Workbench, path: str, **parameters: object) -> Any:
    answer = workbench.client.get(f"/api/{path}", params=parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()


def post(workbench: Workbench, path: str, **content: object) -> Any:
    answer = workbench.client.post(f"/api/{path}", json=content)
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(workbench: Workbench, path: str, **content: object) -> str:
    answer = workbench.client.post(f"/api/{path}", json=content)
    assert answer.status_code == 422, answer.text
    assert answer.json().keys() == {"error"}
    return str(answer.json()["error"])


def picture(side: int = 1000) -> bytes:
    made = io.BytesIO()
    Image.new("RGB", (side, side // 2), "red").save(made, "PNG")
    return made.getvalue()


def test_the_page_and_its_parts(workbench: Workbench) -> None:
    page = workbench.client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert " style=" not in page.text
    assert "<script>" not in page.text
    for name, kind in (("page.js", "javascript"), ("page.css", "css"), ("icon.svg", "svg")):
        assert kind in workbench.client.get(f"/{name}").headers["content-type"]
    for path in ("/page.py", "/%2e%2e/app.py", "/api", "/api/none", "/docs", "/openapi.json"):
        assert workbench.client.get(path).status_code == 404
    script = workbench.client.get("/page.js").text
    for sink in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "setAttribute"):
        assert sink not in script


def test_about(workbench: Workbench, split: Split) -> None:
    about = get(workbench, "about")
    assert (about["split"], about["reviews"], about["sample"]) == ("train", 27, 27)
    assert about["engine"] == "vllm_server"
    assert {NAME, "compare/listwise", "extract/json"} <= set(about["templates"])


def test_reviews_are_found_by_their_words(workbench: Workbench, split: Split) -> None:
    first = split.reviews[0]
    everything = get(workbench, "reviews")
    assert (everything["found"], everything["reviews"][0]["id"]) == (27, str(first.id))
    found = get(workbench, "reviews", search=f"{first.mention.upper()} {first.body[:30]}")
    assert str(first.id) in [one["id"] for one in found["reviews"]]
    assert get(workbench, "reviews", search="no such words")["found"] == 0
    whole = get(workbench, "review", id=first.id)
    assert (whole["body"], whole["images"]) == (first.body, len(first.images))


def test_photos_of_the_dataset_are_small_and_encoded_anew(workbench: Workbench, split: Split) -> None:
    pictured = next(review for review in split.reviews if review.images)
    answer = workbench.client.get("/api/photo", params={"id": pictured.id, "number": 0})
    assert answer.headers["content-type"] == "image/webp"
    shown = Image.open(io.BytesIO(answer.content))
    assert (shown.format, max(shown.size) <= 480) == ("WEBP", True)
    for number in ("99", "-1", "x", "../../products.json", "9" * 5000):
        answer = workbench.client.get("/api/photo", params={"id": pictured.id, "number": number})
        assert answer.status_code == 422


@pytest.mark.parametrize(
    "name", ["", "../../pyproject", "/etc/passwd", "shared/review", "compare/mnie", "OUTSIDE.j2", "x" * 5000]
)
def test_templates_are_read_by_their_names_only(workbench: Workbench, name: str, tmp_path: Path) -> None:
    outside = write(tmp_path, "outside", template(1))
    name = name.replace("OUTSIDE.j2", str(outside))
    answer = workbench.client.get("/api/template", params={"name": name})
    assert answer.status_code == 422
    assert "No template named" in answer.json()["error"]


def test_a_template_comes_as_it_is(workbench: Workbench) -> None:
    assert get(workbench, "template", name=NAME) == {"name": NAME, "source": template(1)}


def test_check_is_lint_and_the_prompt_without_a_model(
    workbench: Workbench, known: list[ReviewId], split: Split
) -> None:
    before = compared(workbench.server)
    made = post(workbench, "check", name=NAME, source=template(1), review={"id": str(known[0])})
    assert made["identity"]
    assert made["findings"] == [
        {"code": one.code, "message": one.message} for one in lint(NAME, workbench.prompts)
    ]
    task = workbench.bench.task(next(one for one in split.reviews if one.id == known[0]))
    requests = preview(NAME, task, workbench.prompts)
    assert made["prompt"]["text"] == as_text(requests)
    assert (made["prompt"]["requests"], made["prompt"]["tokens"] > 100) == (1, True)
    assert compared(workbench.server) == before


def test_the_prompt_that_is_shown_is_the_one_that_is_sent(
    workbench: Workbench, known: list[ReviewId]
) -> None:
    asked = {"name": NAME, "source": template(1), "review": {"id": str(known[0])}}
    shown = post(workbench, "check", **asked)["prompt"]["text"]
    (exchange,) = post(workbench, "run", **asked)["exchanges"]
    for message in exchange["messages"]:
        assert f"--- {message['role']}\n{message['content']}" in shown


def test_an_unsound_template_is_linted_and_not_run(workbench: Workbench, known: list[ReviewId]) -> None:
    asked = {"name": NAME, "source": template("{{ reviw }}"), "review": {"id": str(known[0])}}
    made = post(workbench, "check", **asked)
    assert (made["identity"], made["prompt"]["requests"]) == ("", 0)
    assert [one["code"] for one in made["findings"]] == ["invalid"]
    assert "reviw" in refused(workbench, "run", **asked)
    assert "reviw" in refused(workbench, "save", name="compare/broken", source=asked["source"])


def test_run_is_show_of_a_run(workbench: Workbench, known: list[ReviewId], split: Split) -> None:
    asked = {"name": NAME, "review": {"id": str(known[0])}}
    right = post(workbench, "run", **asked, source=template(1))
    assert (right["right"], right["prediction"]["state"]) == (True, "linked")
    assert right["prediction"]["entity_id"] == split.gold[known[0]] == right["gold"]["gold"]
    assert right["linked"] == right["right_product"] == right["shown"][0]
    assert right["exchanges"][0]["reply"]["choice_logprobs"]
    assert "--- reply" in right["transcript"]
    wrong = post(workbench, "run", **asked, source=template(2))
    assert (wrong["right"], wrong["cause"]) == (False, "comparison_wrong")
    assert wrong["cause_means"]
    assert wrong["template"]["identity"] != right["template"]["identity"]


def test_a_review_is_asked_about_once(workbench: Workbench, known: list[ReviewId]) -> None:
    asked = {"name": NAME, "source": template(2), "review": {"id": str(known[3])}}
    post(workbench, "run", **asked)
    before = len(workbench.server.posts)
    assert post(workbench, "run", **asked)["exchanges"][0]["reply"]["from_cache"]
    assert len(workbench.server.posts) == before


def test_a_pasted_review_with_its_photo(workbench: Workbench, split: Split) -> None:
    photo = workbench.client.post("/api/photo", content=picture()).json()["photo"]
    body = split.reviews[0].body
    review = {"body": body, "mention": split.reviews[0].mention, "photo": photo}
    made = post(workbench, "run", name=NAME, source=template(1), review=review)
    assert (made["review"]["body"], made["review"]["images"]) == (body, 1)
    assert (made["gold"], made["right"]) == (None, None)
    assert made["prediction"]["state"] == "linked"
    assert "is empty" in refused(workbench, "run", name=NAME, source=template(1), review={})
    checked = post(workbench, "check", name=NAME, source=template(1), review={})
    assert (checked["identity"] != "", checked["findings"], checked["prompt"]["requests"]) == (True, [], 0)
    assert "is empty" in checked["prompt"]["text"]
    assert "No review" in refused(workbench, "run", name=NAME, source=template(1), review={"id": "no such"})


def test_hostile_text_comes_back_as_text(workbench: Workbench) -> None:
    review = {"body": HOSTILE, "mention": HOSTILE, "header": HOSTILE}
    made = post(workbench, "check", name=NAME, source=template(1), review=review)
    assert "onerror=alert(1)" in made["prompt"]["text"]
    assert "49" not in made["prompt"]["text"]
    answer = workbench.client.post(
        "/api/check",
        content=json.dumps(
            {"name": NAME, "source": template(1, note="\ud800"), "review": {"body": "\ud800 half a pair"}}
        ),
    )
    assert answer.status_code == 200


@pytest.mark.parametrize("content", [b"", b"not an image", bomb(), b"<svg xmlns='x'><script/></svg>"])
def test_photos_that_are_none(workbench: Workbench, content: bytes) -> None:
    answer = workbench.client.post("/api/photo", content=content)
    assert answer.status_code == 422
    assert answer.json()["error"].startswith("The photo: ")


def test_the_oldest_photo_makes_room(workbench: Workbench) -> None:
    names = [workbench.client.post("/api/photo", content=picture(8)).json()["photo"] for _ in range(MOST + 1)]
    source = template(1)
    review = {"body": "red", "photo": names[0]}
    assert "not there any more" in refused(workbench, "run", name=NAME, source=source, review=review)
    assert post(workbench, "check", name=NAME, source=source, review={"body": "red", "photo": names[-1]})


@pytest.mark.parametrize(("path", "most"), [("run", MAX_BODY), ("save", MAX_BODY), ("photo", MAX_PHOTO)])
def test_long_bodies_are_not_read_to_their_end(workbench: Workbench, path: str, most: int) -> None:
    sent = 0

    def parts() -> Any:
        nonlocal sent
        for _ in range(2 * most // (1 << 20) + 2):
            sent += 1 << 20
            yield b"x" * (1 << 20)

    answer = workbench.client.post(f"/api/{path}", content=parts())
    assert answer.status_code == 413
    assert "more than" in answer.json()["error"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "not JSON"),
        (b"[", "not JSON"),
        (b"[]", "dictionary"),
        (b"[" * 100_000, "nested"),
        (b'{"name": NaN}', "NaN"),
        (b"\xff\xfe", "not UTF-8"),
        (b'{"name": "compare/mine"}', "source"),
        (b'{"name": "a", "source": "b", "path": "c"}', "path"),
        (b'{"name": 1, "source": "b"}', "name"),
        (json.dumps({"name": "a", "source": "x" * 70_000}).encode(), "source"),
    ],
)
def test_wrong_requests_are_named(workbench: Workbench, body: bytes, says: str) -> None:
    answer = workbench.client.post("/api/save", content=body)
    assert answer.status_code == 422
    assert says in answer.json()["error"]


def test_save_as(workbench: Workbench) -> None:
    made = post(workbench, "save", name="compare/saved-1", source=template(2))
    path = workbench.prompts / "compare" / "saved-1.j2"
    assert (made["path"], path.read_text(encoding="utf-8")) == (str(path), template(2))
    assert "compare/saved-1" in made["templates"]
    assert lint("compare/saved-1", workbench.prompts) == []
    assert "exists" in refused(workbench, "save", name="compare/saved-1", source=template(1))
    assert path.read_text(encoding="utf-8") == template(2)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "mine",
        "shared/review",
        "../mine",
        "compare/../../mine",
        "/compare/mine",
        "compare/A",
        "compare/a\n",
    ],
)
def test_names_that_are_none(workbench: Workbench, name: str) -> None:
    before = sorted(workbench.prompts.rglob("*"))
    assert "cannot be the name" in refused(workbench, "save", name=name, source=template(1))
    assert sorted(workbench.prompts.rglob("*")) == before


def test_a_folder_that_leads_elsewhere_is_not_written_to(workbench: Workbench, tmp_path: Path) -> None:
    (workbench.prompts / "extract").symlink_to(tmp_path)
    try:
        said = refused(workbench, "save", name="extract/mine", source=template(1))
    finally:
        (workbench.prompts / "extract").unlink()
    assert "leads out of" in said
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_does_not_answer_is_a_state(workbench: Workbench, known: list[ReviewId]) -> None:
    from tests.engines.scripted import Answer

    good, workbench.server.answers = workbench.server.answers, [Answer(400, {"error": "no"})]
    try:
        asked = {"name": NAME, "source": template(1, note="Go.\n"), "review": {"id": str(known[0])}}
        made = post(workbench, "run", **asked)
    finally:
        workbench.server.answers = good
    assert made["prediction"]["state"] == "engine_error"
    assert "400" in made["prediction"]["error"]
    assert post(workbench, "run", **asked)["prediction"]["state"] == "linked"


def test_without_an_engine_it_lints_renders_and_links_by_rules(
    without_engine: Any, known: list[ReviewId]
) -> None:
    asked = {"name": "compare/listwise", "review": {"id": str(known[0])}}
    asked |= {"source": without_engine.get("/api/template?name=compare/listwise").json()["source"]}
    checked = without_engine.post("/api/check", json=asked).json()
    assert (checked["findings"], checked["prompt"]["requests"]) == ([], 1)
    made = without_engine.post("/api/run", json=asked).json()
    assert (made["template"]["sent"], made["exchanges"], made["transcript"]) == (False, [], "")
    assert made["prediction"]["state"] in ("linked", "nil", "abstained")
    assert made["shown"]
    said = without_engine.post("/api/save", json={"name": "compare/mine", "source": asked["source"]})
    assert "--prompts" in said.json()["error"]


def test_a_port_that_is_taken_is_named(twin: Path) -> None:
    import socket

    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        port = held.getsockname()[1]
        done = command("workbench", twin, "--port", port)
    assert f"Port {port} cannot be used" in done.error
    assert "another --port" in done.error


def test_the_token_is_new_each_time() -> None:
    from eval.workbench.serving import new_token

    assert len({new_token() for _ in range(20)} | {TOKEN}) == 21
