"""The shipped adapter through a real vLLM server: it reads reviews as no random or untrained model would."""

from __future__ import annotations

from ameli_llm.attributes import llm
from ameli_llm.attributes.extractor import ExtractionTask
from ameli_llm.attributes.values.normalise import normalise
from ameli_llm.config import EngineConfig
from ameli_llm.engines.vllm_server import create
from ameli_llm.instruction.sources import Invented
from ameli_llm.prompting.example import vocabulary_of
from tests.plugin_vllm import RunningServer

REVIEWS = 8
UNSEEN = 90_210
"""Seed of invented products that the adapter was not trained on."""


def test_it_finds_what_reviews_state(vllm_server: RunningServer) -> None:
    source = Invented(UNSEEN)
    rows = (source.told(row)[0] for row in range(200))
    told = [one for one in rows if any(not fact.denied for fact in one.facts)][:REVIEWS]
    engine = create(EngineConfig(name="vllm_server", base_url=vllm_server.base_url))
    try:
        engine.canary()
        extractor = llm.create(engine)
        found = extractor.extract([ExtractionTask(one.review, vocabulary_of(one.task())) for one in told])
    finally:
        engine.close()
    assert [one.failure for one in found] == [None] * REVIEWS
    right = wrong = stated = 0
    for one, extraction in zip(told, found, strict=True):
        truth = {(f.key, normalise(f.key, f.value)) for f in one.facts if not f.denied}
        said = {(v.key, normalise(v.key, v.value)) for v in extraction.values}
        right, wrong, stated = right + len(said & truth), wrong + len(said - truth), stated + len(truth)
    assert stated > REVIEWS
    # The base without the adapter finds none: a value needs its key, its place and its words.
    assert right / stated > 0.25, (right, wrong, stated)
    assert right / (right + wrong) > 0.5, (right, wrong, stated)
