"""What a configuration leaves open, and what it asks for in vain: before anything is opened."""

from __future__ import annotations

import pytest

from ameli_llm.config import RunConfig, override
from ameli_llm.errors import AmeliError, UnknownNameError
from ameli_llm.models import known_model
from ameli_llm.resolution import as_open_as, asks_model, model_free, require_asking, resolve, shares

SERVED = "engine.name=vllm_server"
LOCAL = "engine.name=transformers"


def config(*settings: str) -> RunConfig:
    return override(RunConfig(), list(settings))


@pytest.mark.parametrize(
    ("settings", "extractors", "comparators", "asks"),
    [
        ((), ("rules", "ocr"), ("rules", "names"), False),
        ((SERVED,), ("rules", "ocr", "llm"), ("rules", "names", "listwise"), True),
        ((SERVED, "engine.model=smollm2-ameli"), ("rules", "ocr", "llm"), ("rules", "names"), True),
        ((LOCAL, "engine.model=smollm2"), ("rules", "ocr"), ("rules", "names", "likelihood"), True),
        (("engine.name=openai", "engine.model=smollm2"), ("rules", "ocr"), ("rules", "names"), False),
        ((LOCAL, "engine.model=smollm2-ameli"), ("rules", "ocr", "llm"), ("rules", "names"), True),
        ((LOCAL, "engine.model=./smollm2"), ("rules", "ocr", "llm"), ("rules", "names", "listwise"), True),
        ((LOCAL, "engine.model=other"), ("rules", "ocr", "llm"), ("rules", "names", "listwise"), True),
        ((LOCAL, "engine.model=smollm2", "attributes.extractors=[rules,llm]"),
         ("rules", "llm"), ("rules", "names", "likelihood"), True),
        ((LOCAL, "engine.model=smollm2", "comparison.comparator=listwise"),
         ("rules", "ocr"), ("listwise",), True),
        ((SERVED, "comparison.comparator=pairwise"), ("rules", "ocr", "llm"), ("pairwise",), True),
        ((SERVED, "attributes.extractors=[rules]", "comparison.comparator=none"), ("rules",), (), False),
        ((SERVED, "attributes.extractors=[rules]"), ("rules",), ("rules", "names", "listwise"), True),
    ],
)  # fmt: skip
def test_what_is_left_open_follows_the_engine(
    settings: tuple[str, ...], extractors: tuple[str, ...], comparators: tuple[str, ...], asks: bool
) -> None:
    resolved = resolve(config(*settings))
    assert resolved.attributes.extractors == extractors
    assert resolved.comparison.comparators == comparators
    assert asks_model(resolved) is asks
    assert resolve(resolved) == resolved


@pytest.mark.parametrize("setting", ["attributes.extractors=[llm]", "comparison.comparator=entail"])
def test_a_part_that_asks_a_model_needs_an_engine(setting: str) -> None:
    with pytest.raises(AmeliError, match="asks a model, and the configuration names no engine"):
        resolve(config(setting))


def test_more_candidates_than_letters() -> None:
    with pytest.raises(AmeliError) as caught:
        resolve(config(SERVED, "retrieval.candidates=53"))
    assert str(caught.value) == (
        "The comparator 'listwise' compares at most 52 candidates, and retrieval.candidates is 53. "
        "Lower retrieval.candidates, or choose another comparator."
    )
    resolve(config(SERVED, "retrieval.candidates=52"))
    resolve(config(SERVED, "retrieval.candidates=53", "comparison.comparator=entail"))


def test_a_template_is_for_one_comparator() -> None:
    named = "comparison.template=compare/mine"
    assert resolve(config(SERVED, named)).comparison.comparators == ("rules", "names", "listwise")
    with pytest.raises(AmeliError, match="one template, and entail and listwise send one each"):
        resolve(config(SERVED, named, "comparison.comparators=[entail,listwise]"))


def test_a_known_model_brings_the_precision_it_is_known_for() -> None:
    alone = known_model("smollm2-ameli").alone
    known = config(SERVED, "engine.model=smollm2-ameli")
    assert alone is not None
    assert resolve(known).attributes.precision == {"llm alone": {"*": alone}}
    assert resolve(resolve(known)) == resolve(known)
    measured = override(known, ["attributes.precision={llm: {'*': 0.7}}"])
    assert resolve(measured).attributes.precision == {"llm": {"*": 0.7}}
    assert resolve(config(SERVED, "engine.model=other")).attributes.precision == {}
    assert model_free(known).attributes.precision == {}


def test_the_model_is_taken_out_of_a_list() -> None:
    both = config(SERVED, "comparison.comparators=[rules,entail]")
    assert model_free(both).comparison.comparators == ("rules",)
    alone = config(SERVED, "comparison.comparator=entail")
    assert model_free(alone).comparison.comparators == ("rules", "names")


def test_what_was_tuned_without_a_model_takes_one_up() -> None:
    tuned = resolve(config("fusion.text=0.7"))
    served = override(as_open_as(tuned, config("fusion.text=0.7")), [SERVED])
    assert resolve(served).attributes.extractors == ("rules", "ocr", "llm")
    assert resolve(served).comparison.comparators == ("rules", "names", "listwise")
    assert served.fusion.text == 0.7
    fixed = config("attributes.extractors=[rules]", "comparison.comparators=[rules]")
    assert as_open_as(resolve(fixed), fixed) == resolve(fixed)


def test_an_engine_that_nothing_asks_is_refused() -> None:
    fixed = ("attributes.extractors=[rules,ocr]", "comparison.comparators=[rules]")
    with pytest.raises(AmeliError, match=r"Nothing asks the engine 'vllm_server': .* rules, ocr, rules only"):
        require_asking(config(SERVED, *fixed))
    for fine in ((SERVED,), fixed, (SERVED, fixed[0]), (SERVED, fixed[1])):
        require_asking(config(*fine))


@pytest.mark.parametrize("setting", ["comparison.comparator=gues", "attributes.extractors=[gues]"])
def test_an_unknown_part(setting: str) -> None:
    with pytest.raises(UnknownNameError, match="'gues'"):
        resolve(config(setting))


def test_without_a_model_the_rest_stays() -> None:
    free = model_free(config(SERVED, "retrieval.candidates=5", "attributes.extractors=[rules,llm]"))
    assert free == resolve(config("retrieval.candidates=5", "attributes.extractors=[rules]"))
    assert model_free(config("comparison.comparator=none")).comparison.comparators == ()


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ((), ("retrieval.weights={title: 1}",), True),
        ((), ("retrieval.image_encoder=none",), False),
        ((SERVED,), (SERVED, "comparison.comparator=none"), True),
        ((SERVED,), (), True),  # the other asks no model
        ((), (SERVED,), False),
        ((SERVED, "engine.model=a"), (SERVED, "engine.model=b"), False),
    ],
)
def test_what_can_share_an_open_index_and_model(
    one: tuple[str, ...], other: tuple[str, ...], together: bool
) -> None:
    assert shares(resolve(config(*one)), resolve(config(*other))) is together


def test_a_model_that_is_asked_for_likelihoods_alone_still_asks() -> None:
    asked = config(LOCAL, "engine.model=smollm2")
    require_asking(asked)
    resolved = resolve(asked)
    assert resolved.comparison.weights["likelihood"] == 0.4
    assert resolved.attributes.precision == {}
    assert model_free(asked).comparison.comparators == ("rules", "names")
    assert not shares(resolved, resolve(config(LOCAL, "engine.model=smollm2-ameli")))


def test_a_text_can_be_scored_for_any_number_of_candidates() -> None:
    resolve(config(LOCAL, "engine.model=smollm2", "retrieval.candidates=53"))


def test_a_part_that_scores_needs_an_engine_too() -> None:
    with pytest.raises(AmeliError, match="'likelihood' asks a model, and the configuration names no engine"):
        resolve(config("comparison.comparators=[likelihood]"))


SCORED = "comparison.comparators=[rules, likelihood]"


@pytest.mark.parametrize(
    ("settings", "scorer"),
    [
        ((LOCAL, "engine.model=smollm2-ameli", SCORED), "smollm2"),
        ((LOCAL, "engine.model=smollm2-ameli"), ""),
        ((LOCAL, "engine.model=smollm2-ameli", SCORED, "engine.scorer=mine"), "mine"),
        ((LOCAL, "engine.model=smollm2", SCORED), ""),
        ((LOCAL, "engine.model=mine", SCORED), ""),
        ((SERVED, "engine.model=smollm2-ameli", SCORED), ""),
    ],
)
def test_a_model_that_was_taught_to_extract_leaves_scores_to_its_base(
    settings: tuple[str, ...], scorer: str
) -> None:
    assert resolve(config(*settings)).engine.scorer == scorer
