"""Versions of a template whose replies are known: what each fixed and broke, and what it cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from ameli_llm.config import RunConfig, override
from ameli_llm.dataset.load import Dataset, Split
from ameli_llm.errors import AmeliError
from ameli_llm.ids import ReviewId
from ameli_llm.types import no_progress
from eval.measures.statistics import exact_mcnemar
from eval.watching.drafts import read_draft
from eval.watching.trials import Change, Trial, open_trials
from eval.watching.watch import Step, watch
from tests.engines.scripted import Answer, ScriptedServer
from tests.watching.planted import SETTINGS, Plans, config, planned, template, write

NAME = "compare/mine"
INCLUDED = "<review>\n{{ review }}\n</review>\n{% if mention %}{% endif %}\n"


@dataclass
class Session:
    """The steps by what was saved, and how many requests the server had had before and after it."""

    steps: dict[str, Step | None]
    posts: dict[str, int]

    def trial(self, name: str) -> Trial:
        step = self.steps[name]
        assert step is not None
        assert step.trial is not None, step
        return step.trial

    def change(self, name: str) -> Change:
        step = self.steps[name]
        assert step is not None
        assert step.change is not None, step
        return step.change


@pytest.fixture(scope="module")
def plans(dataset: Dataset, split: Split, known: list[ReviewId]) -> Plans:
    """Plan 2 fixes four of plan 1 and breaks one; plan 3 breaks six, and two get no usable answer."""
    right = {
        1: frozenset(known[:10]),
        2: frozenset(known[1:14]),
        3: frozenset(known[6:10]),
    }
    return Plans(dataset, split, right, {3: frozenset(known[8:10])})


@pytest.fixture(scope="module")
def session(
    cache: Path, dataset: Dataset, split: Split, plans: Plans, tmp_path_factory: pytest.TempPathFactory
) -> Session:
    """A day's work: each version is saved in turn, and what watch says of it kept under its name."""
    folder = tmp_path_factory.mktemp("session")
    prompts = folder / "prompts"
    write(prompts, NAME, template(1))

    def saved(*args: object, **words: str) -> Callable[[], object]:
        return lambda: write(prompts, NAME, template(*args, **words))  # type: ignore[arg-type]

    def down(server: ScriptedServer) -> Callable[[], object]:
        def change() -> None:
            server.answers = [Answer(503, {"error": "down"})]
            write(prompts, NAME, template(2, note="More.\n"))

        return change

    def back(server: ScriptedServer) -> Callable[[], object]:
        def change() -> None:
            server.answers = [plans.answer]
            write(prompts, "shared/review", INCLUDED)

        return change

    with pytest.MonkeyPatch.context() as patch, planned(plans) as server:
        patch.setenv("AMELI_LLM_CACHE", str(cache))
        saves: dict[str, Callable[[], object]] = {
            "better": saved(2),
            "worse": saved(3),
            "invalid": saved("2 {{ reviw }}"),
            "still invalid": saved("2 {{ reviw }}"),
            "a comment": saved(1, note="{# which keys? #}\n", description="said otherwise"),
            "another template": lambda: write(prompts, "compare/another", template(9)),
            "down": down(server),
            "back": back(server),
        }
        made = Session({}, {})
        waiting: list[str] = ["baseline"]

        def changes() -> Iterator[None]:
            for name, save in saves.items():
                made.posts[name] = len(server.posts)
                waiting[0] = name
                made.steps[name] = None
                save()
                yield
            made.posts["end"] = len(server.posts)

        first = read_draft(NAME, prompts)
        with open_trials(dataset, split, config(server), first, folder / "runs", prompts=prompts) as trials:
            for step in watch(trials, lambda: read_draft(NAME, prompts), changes(), no_progress):
                made.steps[waiting[0]] = step
    return made


def test_steps_are_numbered_as_they_are_saved(session: Session) -> None:
    numbers = [step.number for step in session.steps.values() if step is not None]
    assert numbers == list(range(7))


def test_the_baseline_asks_about_every_review(session: Session, split: Split) -> None:
    assert session.trial("baseline").requests == len(split.reviews)
    assert session.steps["baseline"].change is None  # type: ignore[union-attr]


def test_fixed_broken_and_p(session: Session, known: list[ReviewId]) -> None:
    answered = session.change("better").comparison.paired.answered
    assert (set(answered.fixed), set(answered.broken)) == (set(known[10:14]), {known[0]})
    assert answered.p == exact_mcnemar([False] * 4 + [True], [True] * 4 + [False]) == 0.375


def test_failures_are_told_apart(session: Session, known: list[ReviewId]) -> None:
    paired = session.change("worse").comparison.paired
    assert (paired.failed_a, paired.failed_b) == (0, 2)
    assert (paired.answered.fixed, set(paired.answered.broken)) == ((), set(known[:6]))


def test_the_largest_breaks_have_their_reason(
    session: Session, known: list[ReviewId], dataset: Dataset, split: Split
) -> None:
    breaks = session.change("worse").breaks
    assert len(breaks) == 3
    assert {one.review for one in breaks} <= set(known[:6])
    assert [one.loss for one in breaks] == sorted((one.loss for one in breaks), reverse=True)
    for one in breaks:
        gold = split.gold[one.review]
        assert gold is not None
        assert one.right == f"{dataset.products[gold].name} ({gold})"
        assert one.chosen not in ("", one.right)
        assert one.cause == "comparison_wrong"
        assert min(one.before, one.now) > 0.5


def test_only_the_comparison_is_done_again(session: Session, split: Split) -> None:
    everyone = len(split.reviews)
    assert session.trial("better").requests == everyone
    assert session.trial("better").outcome.taken == {"extraction.rules": everyone, "retrieval": everyone}


def test_an_invalid_template_shows_its_lint_and_sends_nothing(session: Session) -> None:
    step = session.steps["invalid"]
    assert step is not None
    assert (step.trial, step.error) == (None, "")
    assert [one.code for one in step.findings] == ["invalid"]
    assert "reviw" in step.findings[0].message
    assert session.posts["invalid"] == session.posts["still invalid"]
    assert session.steps["still invalid"] is None


def test_a_comment_makes_no_call_and_is_the_baseline_again(session: Session) -> None:
    assert session.posts["a comment"] == session.posts["another template"]
    assert session.trial("a comment").requests == 0
    assert session.trial("a comment").run.path == session.trial("baseline").run.path
    assert session.change("a comment").comparison.paired.answered.p == 1.0


def test_other_templates_do_not_count(session: Session) -> None:
    assert session.steps["another template"] is None


def test_a_server_that_is_down_is_named_and_an_included_file_that_is_saved_goes_on(
    session: Session, known: list[ReviewId]
) -> None:
    down = session.steps["down"]
    assert down is not None
    assert down.trial is None
    assert "503" in down.error
    assert set(session.change("back").comparison.paired.answered.fixed) == set(known[10:14])


def test_without_an_engine_there_is_nothing_to_watch(
    in_cache: None, dataset: Dataset, split: Split, tmp_path: Path
) -> None:
    write(tmp_path, NAME, template(1))
    first = read_draft(NAME, tmp_path)
    settings = override(RunConfig(), SETTINGS[:4])
    with (
        open_trials(dataset, split, settings, first, tmp_path / "runs", prompts=tmp_path) as trials,
        pytest.raises(AmeliError, match="no template is sent"),
    ):
        next(watch(trials, lambda: first, (), no_progress))
    assert not (tmp_path / "runs").exists()


def test_reviews_without_gold_are_refused(
    in_cache: None, dataset: Dataset, split: Split, plans: Plans, tmp_path: Path
) -> None:
    write(tmp_path, NAME, template(1))
    first = read_draft(NAME, tmp_path)
    with planned(plans) as server:
        with open_trials(
            dataset, replace(split, gold={}), config(server), first, tmp_path / "runs", prompts=tmp_path
        ) as trials:
            steps = watch(trials, lambda: first, (), no_progress)
            with pytest.raises(AmeliError, match="have no gold"):
                next(steps)
        assert server.posts == []
