"""Settings of a build: defaults are the paper's, and what is wrong is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from ameli_llm.dataset.construction.duplicates import Groups, shingles
from ameli_llm.dataset.construction.settings import BuildSettings, Split, read_settings
from ameli_llm.errors import AmeliError


def test_the_constants_are_the_paper_s() -> None:
    settings = BuildSettings()
    assert settings.rules["length"]["most_tokens"] == 500
    assert settings.mentions.longest == 6
    assert settings.split.ratios == (75, 10, 15)
    assert settings.rules["crop"]["leak_gold_title"] is False


def test_words_go_before_the_file(tmp_path: Path) -> None:
    path = tmp_path / "build.yaml"
    path.write_text("seed: 3\nrules:\n  length: {most_tokens: 512}\n  profanity: false\n", encoding="utf-8")
    settings = read_settings(path, ["rules.length.most_tokens=9", "split.ratios=[1,1,1]"], ["crop"])
    assert (settings.seed, settings.split.ratios) == (3, (1, 1, 1))
    rules = settings.rules
    assert (rules["length"]["most_tokens"], rules["profanity"], rules["crop"]) == (9, False, False)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["rules.lenght.most_tokens=5"], "No rule named 'lenght'.*Did you mean 'length'"),
        (["rules.length.most=5"], "Settings of the build: rules.length.most: Extra inputs"),
        (["rules.length=7"], "the rule length has settings of its own, or is false"),
        (["seed"], "No setting 'seed'. Write KEY=VALUE"),
        (["seed=["], "Setting 'seed' is not YAML"),
        (["split.ratios=[0,0,0]"], "ratios are those of train, dev and test"),
        (["informative.thresholds={colour: 1}"], "informative.thresholds"),
        (["nothing=1"], "Settings of the build: nothing"),
    ],
)
def test_what_is_wrong_is_named(words: list[str], message: str) -> None:
    with pytest.raises(AmeliError, match=message):
        read_settings(None, words)


def test_short_texts_are_no_duplicates() -> None:
    settings = Split(shingle=2, fewest_words=4)
    assert shingles("So very good!", settings) == frozenset()
    assert shingles("Good, GOOD; so good", settings) == {b"good good", b"good so", b"so good"}


def test_groups_are_named_by_their_least_member() -> None:
    groups = Groups()
    assert [groups.join(5, 3), groups.join(3, 9), groups.join(9, 5)] == [True, True, False]
    assert [groups.of(n) for n in (3, 5, 9, 4)] == [3, 3, 3, 4]
