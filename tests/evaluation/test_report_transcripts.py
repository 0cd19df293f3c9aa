"""Prompts and replies in the report's cards: of both runs, cut where they are long, never markup."""

from __future__ import annotations

from collections.abc import Callable

from ameli_llm.engines.engine import ChatReply, ChatRequest, Exchange, Message
from ameli_llm.runs import GoldRow, PredictionRow, RunFolder
from ameli_llm.transcripts import FILE, Transcripts
from ameli_llm.types import Link, State, Usage
from eval.report.cards import CardMaker
from eval.report.contents import LONGEST_TRANSCRIPT, Contents
from eval.report.page import render
from eval.report.payload import CHUNK
from eval.report.photos import Photos
from eval.report.rows import rows_of
from eval.report.sides import open_sides
from tests.evaluation.report_page import ReportPage

HOSTILE = "</pre><script>alert(1)</script>\x1b[2J"


def exchange(prompt: str, reply: str) -> Exchange:
    request = ChatRequest((Message("system", "Read."), Message("user", prompt)), template="f" * 64)
    return Exchange("llm", request, ChatReply(reply, None, Usage(7, 3), "stop", seconds=0.5))


def keep(run: RunFolder, *exchanges: Exchange) -> None:
    with Transcripts(run.path) as transcripts:
        transcripts.put([Link(1, State.LINKED, exchanges=exchanges)])


def test_prompts_and_replies_of_both_runs(
    predict: Callable[..., PredictionRow],
    golds: Callable[..., dict[int, GoldRow]],
    write_run: Callable[..., RunFolder],
) -> None:
    spec = {"config": {}, "templates": {"extract/json": "f" * 64}}
    a, b = (write_run([predict(1, 1, {1: 0.9})], golds({1: 1}), name, spec=spec) for name in ("a", "b"))
    assert ReportPage(render(a)).transcripts == []
    keep(a, exchange(f"What of {HOSTILE}?", "{}"), exchange("x" * LONGEST_TRANSCRIPT, "never seen"))
    keep(b, exchange("And this?", HOSTILE))
    html = render(a, b)
    assert "<script>alert" not in html
    ((of_a, of_b),) = ReportPage(html).transcripts
    assert "=== request 1 of 2: llm, template extract/json" in of_a
    assert "--- reply (7 + 3 tokens, 0.50 s, finish reason stop)" in of_a
    assert "What of </pre><script>alert(1)</script> [2J?" in of_a
    assert of_a.endswith("... the rest: ameli-llm show RUN 1")
    assert len(of_a) == LONGEST_TRANSCRIPT
    assert "never seen" not in of_a
    assert "</pre><script>alert(1)</script> [2J" in of_b


def test_transcripts_beyond_the_bound_are_left_out(
    predict: Callable[..., PredictionRow],
    golds: Callable[..., dict[int, GoldRow]],
    write_run: Callable[..., RunFolder],
) -> None:
    ids = range(1, 2 * CHUNK)
    run = write_run([predict(i, 1, {1: 0.9}) for i in ids], golds(dict.fromkeys(ids, 1)))
    with Transcripts(run.path) as transcripts:
        transcripts.put([Link(i, State.LINKED, exchanges=(exchange("Which?", "One."),)) for i in ids])
    sides = open_sides([run])
    for bound, parts in ((1, 1), (1 << 20, 2)):
        contents = Contents(sides, rows_of(sides), CardMaker({}, {}, Photos(None)), bound)
        page = ReportPage("".join(contents.elements()))
        assert page.index["transcribed"] == parts
        assert len(page.transcripts) == min(len(ids), parts * CHUNK)
        assert len(page.cards) == len(ids)


def test_a_damaged_transcript_costs_no_report(
    predict: Callable[..., PredictionRow],
    golds: Callable[..., dict[int, GoldRow]],
    write_run: Callable[..., RunFolder],
) -> None:
    run = write_run([predict(1, 1, {1: 0.9})], golds({1: 1}))
    (run.path / FILE).write_bytes(b"x" * 5000)
    assert ReportPage(render(run)).transcripts[0][0].startswith("cannot be read: ")
