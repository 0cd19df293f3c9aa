"""Fine-tuning on a tiny model: packed losses, adapters, resumption, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ameli_llm.dataset.load import load_dataset
from ameli_llm.errors import AmeliError
from ameli_llm.instruction.exercises import Exercises
from ameli_llm.instruction.packing import Packed, pack, prompt_tokens
from ameli_llm.instruction.sources import Invented, sources_of
from ameli_llm.instruction.stream import Stream
from ameli_llm.instruction.told import Told
from ameli_llm.instruction.tuning import TuningSettings, exercises_that_fit, tune
from ameli_llm.templates.budget import review_excerpt
from ameli_llm.templates.load import load_template
from ameli_llm.types import no_progress
from tests.command import command

torch = pytest.importorskip("torch")
FAST = TuningSettings(
    rounds=2, exercises=6, batch_size=3, dev=4, rank=4, alpha=8, precision="fp32", longest=1280
)
TEMPLATES = ("extract/terse", "compare/entail")


@pytest.fixture(scope="module")
def loaded(tiny_model: Path) -> tuple[Any, Any]:
    from ameli_llm.instruction.loading import load

    return load(tiny_model, "tiny", 4, 8, FAST.targets, 0, False)


def fine_tuned(tiny_model: Path, out: Path, **changes: Any) -> Any:
    settings = TuningSettings(**{**FAST.__dict__, **changes})
    wanted = [Exercises(name) for name in TEMPLATES]
    return tune(str(tiny_model), [Invented(1)], [Invented(2)], wanted, settings, out, no_progress)


@pytest.fixture(scope="module")
def tuned(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """The folder of a fine-tuned adapter, for reading, and the number of its exercises."""
    out = tmp_path_factory.mktemp("tuned") / "adapter"
    return out, fine_tuned(tiny_model, out).exercises


class Same:
    """A source of one review, again and again."""

    identity = "same"

    def __init__(self, told: Told) -> None:
        self._told = told

    def told(self, row: int) -> tuple[Told, ...]:
        return (self._told,)


def test_a_packed_exercise_is_its_examples(loaded: tuple[Any, Any], whole: Told) -> None:
    """Loss and hits of all examples behind one shared prompt are those of each example alone."""
    from ameli_llm.instruction.network import Learner

    network, chat = loaded
    exercise = Exercises("compare/entail").of([whole], np.random.default_rng(0))
    assert exercise is not None
    packed = pack(exercise, chat, 4096)
    assert packed is not None
    assert packed.examples == len(exercise.examples) == 4
    learner = Learner(network).eval()
    with torch.no_grad():
        together = float(learner.loss([packed]))
        alone = []
        for example in exercise.examples:
            prompt = prompt_tokens(example.request, chat)
            (token,) = chat(example.answer, add_special_tokens=False)["input_ids"]
            logits = network(torch.tensor([prompt])).logits[0, -1]
            alone.append(float(-torch.log_softmax(logits, -1)[token]))
    assert together == pytest.approx(np.mean(alone), abs=1e-4)
    longest = len(packed.tokens)
    assert longest < 0.6 * sum(len(prompt_tokens(one.request, chat)) for one in exercise.examples)
    fewer = pack(exercise, chat, longest - 1)
    assert fewer is not None
    assert fewer.examples == 3
    assert pack(exercise, chat, 20) is None


def test_padding_changes_nothing(loaded: tuple[Any, Any]) -> None:
    from ameli_llm.instruction.network import Learner

    network, chat = loaded
    stream = Stream([Invented(1)], [Exercises(name) for name in TEMPLATES], chat, 0, FAST.longest)
    rows = [stream.row(number)[1] for number in range(4)]
    learner = Learner(network).eval()
    with torch.no_grad():
        each = [float(learner.loss([row])) for row in rows]
        assert float(learner.loss(rows)) == pytest.approx(np.mean(each), abs=1e-5)
        assert learner.right(rows) == [learner.right([row])[0] for row in rows]


def test_reviews_are_learned_from_those_that_somebody_wrote(loaded: tuple[Any, Any], twin: Path) -> None:
    _, chat = loaded
    train, _ = sources_of([twin], 0)
    stream = Stream(train, [Exercises("compare/likelihood")], chat, 0, 1536)
    limit = load_template("compare/likelihood").front.limits.review
    written = {review_excerpt(review, limit)[0] for review in load_dataset(twin).split("train").reviews}
    for number in range(20):
        name, packed = stream.row(number)
        text = chat.decode(packed.targets[:, 1]).removesuffix(chat.eos_token)
        assert name == "compare/likelihood"
        assert text in written
        assert packed.examples == 1


def test_only_written_answers_end(loaded: tuple[Any, Any], whole: Told) -> None:
    _, chat = loaded
    ends = []
    for name in TEMPLATES:
        exercise = Exercises(name).of([whole], np.random.default_rng(0))
        assert exercise is not None
        packed: Packed | None = pack(exercise, chat, 4096)
        assert packed is not None
        ends.append(bool((packed.targets[:, 1] == chat.eos_token_id).any()))
    assert ends == [True, False]


def test_an_adapter_of_peft_comes_out(tiny_model: Path, tuned: tuple[Path, int]) -> None:
    peft = pytest.importorskip("peft")
    from transformers import AutoModelForCausalLM

    out, exercises = tuned
    assert {path.name for path in out.iterdir()} >= {
        "adapter_config.json",
        "adapter_model.safetensors",
        "training.json",
    }
    assert not (out / "checkpoint").exists()
    record = json.loads((out / "training.json").read_text(encoding="utf-8"))
    assert record["base"] == str(tiny_model)
    assert set(record["templates"]) == set(TEMPLATES)
    assert record["epochs"][1]["loss"] > 0
    assert exercises == 12
    base = AutoModelForCausalLM.from_pretrained(tiny_model)
    adapted = peft.PeftModel.from_pretrained(base, out)
    assert any(bool(tensor.any()) for name, tensor in adapted.named_parameters() if "lora_B" in name)


def test_an_interrupted_training_goes_on_to_the_same_adapter(
    tiny_model: Path, tuned: tuple[Path, int], tmp_path: Path
) -> None:
    (whole, _), broken = tuned, tmp_path / "broken"

    def interrupt(stage: str, done: int, total: int) -> None:
        if stage == "training steps" and done == 3:
            raise KeyboardInterrupt

    wanted = [Exercises(name) for name in TEMPLATES]
    with pytest.raises(KeyboardInterrupt):
        tune(str(tiny_model), [Invented(1)], [Invented(2)], wanted, FAST, broken, interrupt)
    assert (broken / "checkpoint").is_dir()
    assert not (broken / "adapter_config.json").exists()
    fine_tuned(tiny_model, broken)
    for name in ("adapter_model.safetensors", "training.json"):
        assert (broken / name).read_bytes() == (whole / name).read_bytes()


def test_all_weights_are_a_model_folder(tiny_model: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    out = tmp_path / "model"
    fine_tuned(tiny_model, out, rank=0)
    tuned, base = (AutoModelForCausalLM.from_pretrained(place) for place in (out, tiny_model))
    changed = [
        not torch.equal(a.float(), b.float())
        for a, b in zip(tuned.parameters(), base.parameters(), strict=True)
    ]
    assert any(changed)
    assert AutoTokenizer.from_pretrained(out).chat_template


def test_short_exercises_take_less_of_the_time() -> None:
    assert exercises_that_fit(2, 100.0, [400, 40, 40, 120]) == 80, "12,000 tokens, 150 an exercise"
    assert exercises_that_fit(2, 100.0, [300]) == 40
    assert exercises_that_fit(0.001, 100.0, [300]) == 0


@pytest.mark.slow
def test_minutes_are_planned_once(tiny_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "adapter"

    def interrupt(stage: str, done: int, total: int) -> None:
        if stage == "training steps" and done == 1:
            raise KeyboardInterrupt

    settings = TuningSettings(**{**FAST.__dict__, "minutes": 0.05})
    wanted = [Exercises(name) for name in TEMPLATES]
    plans = []
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            tune(str(tiny_model), [Invented(1)], [Invented(2)], wanted, settings, out, interrupt)
        plans.append((out / "plan.json").stat().st_mtime_ns)
    assert plans[0] == plans[1], "the speed was not measured again"
    assert json.loads((out / "plan.json").read_text(encoding="utf-8"))["exercises"] >= FAST.batch_size


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"targets": ("gone",)}, "has no matrices named gone"),
        ({"longest": 16}, "No exercise can be made"),
    ],
)
def test_what_cannot_be_trained(
    tiny_model: Path, tmp_path: Path, whole: Told, changes: dict[str, Any], complaint: str
) -> None:
    settings = TuningSettings(**{**FAST.__dict__, **changes})
    wanted = [Exercises(name) for name in TEMPLATES]
    with pytest.raises(AmeliError, match=complaint):
        tune(str(tiny_model), [Same(whole)], [Same(whole)], wanted, settings, tmp_path / "out", no_progress)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--base", "gone"), "No model 'gone'"),
        (("--template", "extract/gone"), "No template named 'extract/gone'"),
        (("--template", "extract/gpt2"), "cannot be derived from facts"),
        (("no-dataset",), "no-dataset"),
        (("--template", "compare/likelihood"), "learns from reviews that people wrote, and none is given"),
    ],
)
def test_the_command_says_what_is_wrong(tmp_path: Path, words: tuple[str, ...], complaint: str) -> None:
    done = command("train", "llm", *words, "--out", tmp_path / "out")
    assert complaint in done.error
    assert not (tmp_path / "out" / "adapter_config.json").exists()


def test_the_command(tiny_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "adapter"
    few = ("--minutes", "0", "--rounds", "1", "--exercises", "3", "--longest", "1280", "--rank", "2")
    done = command("train", "llm", "--base", tiny_model, "--out", out, *few, "--merge")
    assert done.code == 0, done.err
    assert "round 1" in done.out
    assert f"3 exercises; {out}" in done.out
    assert (out / "merged" / "model.safetensors").is_file()


@pytest.mark.slow
def test_training_goes_on_from_an_adapter(tiny_model: Path, tmp_path: Path) -> None:
    from ameli_llm.instruction.loading import load
    from ameli_llm.models.lora import start_from

    first = tmp_path / "first"
    fine_tuned(tiny_model, first)
    wanted = [Exercises(name) for name in TEMPLATES]
    more = tune(
        str(tiny_model), [Invented(1)], [Invented(2)], wanted, FAST, tmp_path / "more", no_progress, first
    )
    again = json.loads((first / "training.json").read_text(encoding="utf-8"))
    assert more.history[0]["score"] == pytest.approx(
        max(epoch["score"] for epoch in again["epochs"]), abs=1e-5
    )
    network, _ = load(tiny_model, str(tiny_model), 2, 8, FAST.targets, 0, False)
    with pytest.raises(
        AmeliError, match=r"no beginning .* is \[4, \d+\] in the adapter and \[2, \d+\] for the base"
    ):
        start_from(network, first, str(tiny_model))
    with pytest.raises(AmeliError, match=r"is an adapter of .*, not of other"):
        start_from(network, first, "other")
