"""What the versions that are tried share, and what is made anew for each."""

from __future__ import annotations

from pathlib import Path

import pytest

from ameli_llm.dataset.load import Dataset, Split
from ameli_llm.errors import AmeliError
from ameli_llm.templates.load import load_template
from eval.watching.drafts import Draft
from eval.watching.trials import open_trials, sample_of
from tests.engines.scripted import scripted
from tests.watching.planted import config

OLD = load_template("extract/json").source
NEW = OLD.replace("Do not guess.", "Guess.")


def test_an_extractor_that_sends_a_template_is_made_anew_and_others_are_not(
    in_cache: None, dataset: Dataset, split: Split, tmp_path: Path
) -> None:
    drafts = [Draft("extract/mine", source) for source in (OLD, NEW)]
    with scripted() as server:
        settings = config(server, "attributes.extractors=[rules, llm]", "attributes.sense=0")
        with open_trials(dataset, split, settings, drafts[0], tmp_path / "runs") as trials:
            made = []
            for draft in drafts:
                with trials.variant(draft) as (variant, template):
                    assert template.source == draft.source
                    made.append(variant)
        assert [one.flow.extractors["llm"].template.source for one in made] == [OLD, NEW]  # type: ignore[attr-defined]
        assert made[0].flow.extractors["rules"] is made[1].flow.extractors["rules"]
        assert made[0].index is made[1].index
        assert made[0].engine is made[1].engine
        assert server.posts == []


def test_the_sample_is_nested_and_the_same_each_time(dataset: Dataset, split: Split) -> None:
    small, large = (sample_of(dataset, split, n, 3) for n in (8, 16))
    assert {one.id for one in small.reviews} < {one.id for one in large.reviews}
    assert sample_of(dataset, split, 8, 3) == small
    with pytest.raises(AmeliError, match="A sample of 0"):
        sample_of(dataset, split, 0, 3)
