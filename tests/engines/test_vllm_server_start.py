"""What the protocol engine checks before a run: address, models and abilities of the server."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from ameli_llm.config import EngineConfig
from ameli_llm.errors import AmeliError
from tests.engines.asking import engine, refusal
from tests.engines.scripted import Answer, ScriptedServer, said


def models(*names: str) -> Answer:
    return Answer(body={"data": [{"id": name} for name in names]})


@pytest.mark.parametrize(
    ("served", "model", "message"),
    [
        (models("a", "b"), "", "has 2 models. Set engine.model to one of: a, b."),
        (models(), "", "has 0 models. Set engine.model to one of: none."),
        (
            models("a"),
            "c",
            "has no model 'c'. It serves: a. Set engine.model to one of them, or leave it empty.",
        ),
        (Answer(404, {"detail": "Not Found"}), "", "HTTP 404: Not Found (1 attempt) Start one with"),
        (Answer(body="[]"), "", "malformed reply to /models: Input should be an object Start one with"),
    ],
)
def test_models_of_the_server(
    scripted_server: ScriptedServer, served: Answer, model: str, message: str
) -> None:
    assert message in refusal(engine, scripted_server, served, model)


@pytest.mark.parametrize(
    ("root", "revision"),
    [
        ("some/cache/models/smollm2-0123456789ab", "smollm2-0123456789ab@unknown server"),
        ("some/folder/smollm2", "some/folder/smollm2@unknown server"),
        ("some/mine-0123456789ab", "some/mine-0123456789ab@unknown server"),
    ],
)
def test_a_known_model_is_the_same_on_every_machine(
    scripted_server: ScriptedServer, root: str, revision: str
) -> None:
    scripted_server.version = Answer(404, {"detail": "Not Found"})
    scripted_server.models = Answer(body={"data": [{"id": "smollm2", "root": root}]})
    with engine(scripted_server.base_url, model="smollm2") as asked:
        assert (asked.model, asked.revision) == ("smollm2", revision)


def test_a_server_without_the_known_model_says_how_to_start_one(scripted_server: ScriptedServer) -> None:
    scripted_server.models = models("a")
    with engine(scripted_server.base_url, model="smollm2") as asked, pytest.raises(AmeliError) as raised:
        asked.canary()
    assert raised.value.hint == (
        "It serves: a. Start it with `python -m vllm.entrypoints.openai.api_server "
        "--model $(ameli-llm models path smollm2) --served-model-name smollm2`."
    )


def test_a_server_without_a_version_is_still_served(scripted_server: ScriptedServer) -> None:
    scripted_server.version = Answer(404, {"detail": "Not Found"})
    scripted_server.models = models("tiny")
    with engine(scripted_server.base_url) as asked:
        assert asked.revision == "tiny@unknown server"
        assert asked.model == "tiny"
    assert scripted_server.gets == ["/v1/models", "/version"]


CHOICE = said("A", A=-0.1, B=-3.0)


@pytest.mark.parametrize(
    ("choice", "schema", "message"),
    [
        (CHOICE, said('{"state": "ready"}'), None),
        (said("A"), said('{"state": "ready"}'), "failed the choice test: reply has no log-probabilities"),
        (
            CHOICE,
            said('{"state": "   ', "length"),
            "failed the JSON schema test: reply cut off at max_tokens=64",
        ),
        (CHOICE, said('{"state": "set"}'), 'does not keep to a JSON schema: it said {"state": "set"}.'),
        (Answer(400, {"error": {"message": "logprobs are off"}}), said("{}"), "HTTP 400: logprobs are off"),
    ],
)
def test_canary(scripted_server: ScriptedServer, choice: Answer, schema: Answer, message: str | None) -> None:
    scripted_server.answers = [lambda body: choice if "structured_outputs" in body else schema]
    with engine(scripted_server.base_url) as asked:
        if message is None:
            asked.canary()
            return
        with pytest.raises(AmeliError) as raised:
            asked.canary()
    assert str(raised.value).startswith(f"The server at {scripted_server.base_url} ")
    assert message in str(raised.value)
    assert "xgrammar --structured-outputs-config.disable_any_whitespace true" in raised.value.hint


@pytest.mark.parametrize("address", ["127.0.0.1:8000/v1", "", "file:///etc/passwd"])
def test_base_url_must_be_an_address(address: str) -> None:
    with pytest.raises(ValidationError, match="no address of a server"):
        EngineConfig(name="vllm_server", base_url=address)
