"""Prompts and replies in the report's cards: of both runs, cut where they are long, never markup."""

from __future__ import annotations

import html
from collections.abc import Callable

from ameli_llm.engines.engine import ChatReply, ChatRequest, Exchange, Message
from ameli_llm.runs import GoldRow, PredictionRow, RunFolder
from ameli_llm.transcripts import FILE, Transcripts
from ameli_llm.types import Link, State, Usage
from eval.report.cards import LONGEST_TRANSCRIPT
from eval.report.page import render

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
    assert "prompts and replies" not in render(a)
    keep(a, exchange(f"What of {HOSTILE}?", "{}"), exchange("x" * LONGEST_TRANSCRIPT, "never seen"))
    keep(b, exchange("And this?", HOSTILE))
    page = render(a, b)
    text = html.unescape(page)
    assert "=== request 1 of 2: llm, template extract/json" in text
    assert "--- reply (7 + 3 tokens, 0.50 s, finish reason stop)" in text
    assert "What of </pre><script>alert(1)</script> [2J?" in text
    assert "<script>alert" not in page
    assert "... the rest: ameli-llm show RUN 1" in text
    assert "never seen" not in text
    assert text.count("prompts and replies of A") == text.count("prompts and replies of B") == 1


def test_a_damaged_transcript_costs_no_report(
    predict: Callable[..., PredictionRow],
    golds: Callable[..., dict[int, GoldRow]],
    write_run: Callable[..., RunFolder],
) -> None:
    run = write_run([predict(1, 1, {1: 0.9})], golds({1: 1}))
    (run.path / FILE).write_bytes(b"x" * 5000)
    assert "cannot be read: " in render(run)
