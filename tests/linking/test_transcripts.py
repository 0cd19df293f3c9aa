"""What was sent to a model and what came back, kept beside the predictions."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import sqlite3
import zlib
from contextlib import closing
from pathlib import Path

import pytest

from ameli_llm.checksums import checksum_of
from ameli_llm.engines.engine import ChatReply, ChatRequest, Exchange, Message
from ameli_llm.errors import AmeliError
from ameli_llm.prompting.exchanges import as_text
from ameli_llm.runner import resume, run
from ameli_llm.runs import RunFolder
from ameli_llm.transcripts import FILE, Transcripts, read_transcript
from ameli_llm.types import Failure, Link, Review, State, Usage

SCHEMA = {"type": "object", "properties": {"b": {"type": "string"}, "a": {"type": "string"}}}
ASKED = Exchange(
    "llm",
    ChatRequest(
        (Message("system", "Read."), Message("user", "red\x00 \ud800 \u2028")), SCHEMA, template="t" * 64
    ),
    ChatReply('{"a": "\ud83d"}', None, Usage(10, 2, 4), "stop", seconds=0.25),
)
COMPARED = Exchange(
    "listwise",
    ChatRequest((Message("user", "A or B?"),), choices=("A", "B"), max_tokens=1, seed=7),
    ChatReply("A", {"A": 0.0, "B": -9.5}, Usage(5, 1), "stop", seconds=0.0, from_cache=True),
)
FAILED = Exchange(
    "entail",
    ChatRequest((Message("user", "So?"),), completion=True),
    ChatReply(failure=Failure(State.ENGINE_ERROR, "no answer")),
)


def kept(folder: Path, *links: Link) -> Path:
    with Transcripts(folder) as transcripts:
        transcripts.put(links)
    return folder


def linked(review: int | str, *exchanges: Exchange) -> Link:
    return Link(review, State.LINKED, exchanges=exchanges)


def test_exchanges_come_back_as_they_were(tmp_path: Path) -> None:
    kept(tmp_path, linked(5, ASKED, COMPARED), linked("5", FAILED))
    found = read_transcript(tmp_path, 5)
    assert found == [ASKED, COMPARED]
    assert [(one.reply.seconds, one.reply.from_cache) for one in found] == [(0.25, False), (0.0, True)]
    assert list(found[0].request.schema["properties"]) == ["b", "a"], "the order of keys is the model's"
    assert read_transcript(tmp_path, "5") == [FAILED]
    assert read_transcript(tmp_path, 6) == []


def test_a_review_that_is_linked_again_has_its_new_exchanges_only(tmp_path: Path) -> None:
    kept(tmp_path, linked(1, ASKED, COMPARED), linked(2, ASKED))
    kept(tmp_path, linked(1, FAILED))
    assert read_transcript(tmp_path, 1) == [FAILED]
    assert read_transcript(tmp_path, 2) == [ASKED]


def test_without_a_model_there_is_no_file(tmp_path: Path) -> None:
    kept(tmp_path, linked(1))
    assert not (tmp_path / FILE).exists()
    assert read_transcript(tmp_path, 1) == []


@pytest.mark.parametrize("wanted", [True, False])
def test_a_run_keeps_them_unless_it_is_told_not_to(tmp_path: Path, wanted: bool) -> None:
    reviews = [Review(1), Review(2)]
    keys = {review.id: "k" for review in reviews}
    with RunFolder(tmp_path / "run") as folder:
        run(
            lambda batches: ([linked(review.id, ASKED) for review in batch] for batch in batches),
            reviews,
            keys,
            folder,
            resume(folder, keys),
            batch_size=1,
            progress=lambda done, total: None,
            transcripts=wanted,
        )
    assert (tmp_path / "run" / FILE).exists() is wanted
    assert read_transcript(tmp_path / "run", 2) == ([ASKED] if wanted else [])


def test_an_impossible_choice_is_a_number_in_the_file(tmp_path: Path) -> None:
    reply = ChatReply("A", {"A": 0.0, "B": -math.inf})
    kept(tmp_path, linked(1, Exchange("listwise", COMPARED.request, reply)))
    (found,) = read_transcript(tmp_path, 1)
    assert found.reply.choice_logprobs == {"A": 0.0, "B": -9999.0}


def test_what_requests_have_in_common_takes_no_room(tmp_path: Path) -> None:
    texts = [f"{os.urandom(2000).hex()} and so on"] * 40
    many = [
        Exchange("entail", ChatRequest((Message("user", f"{t} {n}?"),)), ChatReply("Y"))
        for n, t in enumerate(texts)
    ]
    kept(tmp_path, linked(1, *many))
    with sqlite3.connect(tmp_path / FILE) as database:
        ((size,),) = database.execute("SELECT length(exchanges) FROM transcripts")
    assert size < 2 * 4000
    assert read_transcript(tmp_path, 1) == many


def test_a_run_of_an_earlier_version_has_no_checksums(tmp_path: Path) -> None:
    """They are added when it goes on."""
    kept(tmp_path, linked(1, ASKED))
    with closing(sqlite3.connect(tmp_path / FILE)) as database, database:
        database.execute("ALTER TABLE transcripts DROP COLUMN checksum")
    assert read_transcript(tmp_path, 1) == [ASKED]
    kept(tmp_path, linked(2, ASKED))
    assert [read_transcript(tmp_path, review) for review in (1, 2)] == [[ASKED], [ASKED]]


def test_the_exchanges_of_another_review_are_not_shown(tmp_path: Path) -> None:
    kept(tmp_path, linked(1, ASKED))
    with closing(sqlite3.connect(tmp_path / FILE)) as database, database:
        database.execute("UPDATE transcripts SET review = '2'")
    with pytest.raises(AmeliError, match="review 2: its checksum is wrong"):
        read_transcript(tmp_path, 2)


def test_a_damaged_file_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"no database" * 100)
    with pytest.raises(AmeliError, match=r"file is not a database\. Delete it and type the same command"):
        kept(tmp_path, linked(1, ASKED))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"no zlib", "incorrect header check"),
        (zlib.compress(b"{"), "not JSON"),
        (zlib.compress(b"[{}]"), "asked_by"),
        ("text", "no bytes"),
        (zlib.compress(b" " * (65 << 20)), "more than 67108864 bytes"),
    ],
)
def test_a_damaged_transcript_is_named(tmp_path: Path, content: bytes | str, complaint: str) -> None:
    kept(tmp_path, linked(1, ASKED))
    with sqlite3.connect(tmp_path / FILE) as database:
        words = "UPDATE transcripts SET exchanges = ?, checksum = ?"
        database.execute(words, (content, checksum_of("1", content)))
    with pytest.raises(AmeliError, match=complaint) as caught:
        read_transcript(tmp_path, 1)
    assert "review 1" in str(caught.value)


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"x" * 5000)
    with pytest.raises(AmeliError, match="not a database"):
        read_transcript(tmp_path, 1)
    with pytest.raises(AmeliError, match="--no-transcripts"):
        kept(tmp_path, linked(1, ASKED))


SCORED = Exchange(
    "likelihood",
    ChatRequest(
        (Message("user", "Product: a."), Message("assistant", "Fine.")), max_tokens=1, scored=True,
        template="t" * 64,
    ),
    ChatReply("", None, Usage(12, 1, 3), "stop", logprob=-41.0625, seconds=0.5),
)  # fmt: skip


def test_a_scored_request_comes_back_with_its_log_probability(tmp_path: Path) -> None:
    kept(tmp_path, linked(1, SCORED, COMPARED))
    found = read_transcript(tmp_path, 1)
    assert found == [SCORED, COMPARED]
    assert [(one.request.scored, one.reply.logprob) for one in found] == [(True, -41.0625), (False, None)]
    assert found[0].request.template == "t" * 64
    assert [(one.reply.seconds, one.reply.from_cache) for one in found] == [(0.5, False), (0.0, True)]


def test_a_transcript_of_an_earlier_version_tells_of_nothing_scored(tmp_path: Path) -> None:
    kept(tmp_path, linked(1, ASKED, COMPARED, FAILED))
    with closing(sqlite3.connect(tmp_path / FILE)) as database, database:
        ((content,),) = database.execute("SELECT exchanges FROM transcripts")
        rows = json.loads(zlib.decompress(content))
        assert all(row.pop("scored") is False and row.pop("logprob") is None for row in rows)
        earlier = zlib.compress(json.dumps(rows).encode())
        words = "UPDATE transcripts SET exchanges = ?, checksum = ?"
        database.execute(words, (earlier, checksum_of("1", earlier)))
    assert read_transcript(tmp_path, 1) == [ASKED, COMPARED, FAILED]


def test_people_read_how_likely_the_last_message_was() -> None:
    failure = Failure(State.ENGINE_ERROR, "no answer")
    kept_before = dataclasses.replace(
        SCORED, reply=dataclasses.replace(SCORED.reply, seconds=0.0, from_cache=True)
    )
    lost = Exchange("likelihood", SCORED.request, ChatReply(failure=failure))
    assert as_text([SCORED], {"t" * 64: "compare/likelihood"}) == (
        "=== request 1 of 1: likelihood, template compare/likelihood\n"
        "--- user\nProduct: a.\n"
        "--- assistant\nFine.\n"
        "--- log-probability of the last message (12 + 1 tokens, 0.50 s): -41.06"
    )
    assert as_text([kept_before], {}).endswith("(12 + 1 tokens, from the cache): -41.06")
    assert as_text([lost], {}).endswith("--- assistant\nFine.\n--- engine_error: no answer")
    assert "finish reason" not in as_text([SCORED, kept_before, lost], {})
