"""The training loop: what it trains, keeps, refuses and repeats."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from ameli_llm.errors import AmeliError
from ameli_llm.training.loop import Epoch, LoopSettings, best_epoch, device, rate, train

COUNT = 40
SETTINGS = LoopSettings(epochs=6, batch_size=8, learning_rate=0.05, seed=3)
INPUTS = torch.from_numpy(np.random.default_rng(0).normal(size=(COUNT, 5)).astype(np.float32))
TARGET = INPUTS.sum(dim=1, keepdim=True)


def network(dropout: float = 0.2) -> torch.nn.Sequential:
    layers = torch.nn.Sequential(
        torch.nn.Linear(5, 8), torch.nn.ReLU(), torch.nn.Dropout(dropout), torch.nn.Linear(8, 1)
    )
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in layers.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return layers


def squared(module: torch.nn.Module) -> Callable[[np.ndarray], torch.Tensor]:
    return lambda rows: torch.nn.functional.mse_loss(module(INPUTS[rows]).float(), TARGET[rows])


def fit(settings: LoopSettings = SETTINGS, **other: Any) -> tuple[dict[str, torch.Tensor], list[Epoch]]:
    module = network(other.pop("dropout", 0.2))
    history = train(module, COUNT, squared(module), None, settings, **other)
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}, history


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def test_learns() -> None:
    _, history = fit(replace(SETTINGS, epochs=20), dropout=0.0)
    assert [epoch.number for epoch in history] == list(range(21))
    assert history[0] == Epoch(0, None, None)
    assert history[20].loss < 0.05 * history[1].loss


def test_same_seed_same_weights_other_seed_other_weights() -> None:
    (first, history), (again, repeated) = fit(), fit()
    assert same(first, again)
    assert history == repeated
    other, _ = fit(replace(SETTINGS, seed=4))
    assert not same(first, other)


def test_the_callers_generator_is_neither_used_nor_moved() -> None:
    torch.manual_seed(8)
    module, again = network(), network()
    before = torch.get_rng_state()
    train(module, COUNT, squared(module), None, SETTINGS)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    train(again, COUNT, squared(again), None, SETTINGS)
    assert same(module.state_dict(), again.state_dict())


def test_every_example_once_an_epoch_in_an_order_of_its_own() -> None:
    module, seen = network(), []

    def loss(rows: np.ndarray) -> torch.Tensor:
        seen.append(rows.tolist())
        return squared(module)(rows)

    train(module, 20, loss, None, replace(SETTINGS, epochs=2))
    assert [len(rows) for rows in seen] == [8, 8, 4, 8, 8, 4]
    first, second = sum(seen[:3], []), sum(seen[3:], [])  # noqa: RUF017
    assert sorted(first) == sorted(second) == list(range(20))
    assert first != second


def test_micro_batches_of_a_step_are_one_batch() -> None:
    """40 examples in steps of 12, 12, 12 and 4; a loss that is a mean, weighed by its examples."""
    whole, history = fit(replace(SETTINGS, batch_size=12), dropout=0.0)
    parts, again = fit(replace(SETTINGS, batch_size=4, accumulation=3), dropout=0.0)
    for name, tensor in whole.items():
        torch.testing.assert_close(tensor, parts[name], rtol=1e-4, atol=1e-5)
    assert [epoch.loss for epoch in history[1:]] == pytest.approx([epoch.loss for epoch in again[1:]])


def test_an_uneven_last_micro_batch_counts_by_its_examples() -> None:
    whole, _ = fit(replace(SETTINGS, batch_size=40, epochs=1), dropout=0.0)
    parts, _ = fit(replace(SETTINGS, batch_size=15, accumulation=3, epochs=1), dropout=0.0)
    for name, tensor in whole.items():
        torch.testing.assert_close(tensor, parts[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("warmup", "steps", "rates"),
    [
        (0.0, 3, [1.0, 1.0, 1.0]),
        (0.5, 4, [0.5, 1.0, 1.0, 0.5]),
        (0.1, 5, [1.0, 1.0, 0.75, 0.5, 0.25]),
        (0.2, 10, [0.5, 1.0, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125]),
        (1.0, 4, [0.25, 0.5, 0.75, 1.0]),
        (0.1, 1, [1.0]),
    ],
)
def test_warm_up(warmup: float, steps: int, rates: list[float]) -> None:
    settings = LoopSettings(learning_rate=2.0, warmup=warmup)
    assert [rate(step, steps, settings) / 2 for step in range(steps)] == pytest.approx(rates)


def moves(settings: LoopSettings) -> list[float]:
    """How far each step moves one weight whose gradient is always 1: Adam moves it by the learning rate."""
    module = torch.nn.Linear(1, 1, bias=False)
    places: list[float] = []

    def loss(rows: np.ndarray) -> torch.Tensor:
        places.append(float(module.weight.detach()))
        return module.weight.sum()

    train(module, 4, loss, None, settings)
    places.append(float(module.weight.detach()))
    return [before - after for before, after in pairwise(places)]


def test_the_steps_follow_the_warm_up() -> None:
    settings = LoopSettings(epochs=2, batch_size=1, learning_rate=0.1, warmup=0.25)
    expected = [0.05, 0.1, *(0.1 * left / 6 for left in range(6, 0, -1))]
    assert moves(settings) == pytest.approx(expected, abs=1e-5)


def test_weight_decay_is_that_of_adamw() -> None:
    """With a gradient of 0 a weight shrinks by rate x decay; Adam's own decay would move it by the rate."""
    module = torch.nn.Linear(1, 1, bias=False)
    before = float(module.weight.detach())
    settings = LoopSettings(epochs=1, batch_size=4, learning_rate=0.1, weight_decay=0.5)
    train(module, 4, lambda rows: 0.0 * module.weight.sum(), None, settings)
    assert float(module.weight.detach()) == pytest.approx(before * 0.95)


def test_gradients_are_clipped() -> None:
    """Adam's second step of gradients 1 and 1000 depends on their ratio; clipped to 1 both are alike."""

    def second_step(clip: float) -> float:
        module = torch.nn.Linear(1, 1, bias=False)
        places: list[float] = []

        def loss(rows: np.ndarray) -> torch.Tensor:
            places.append(float(module.weight.detach()))
            return module.weight.sum() * (1000.0 if len(places) == 2 else 1.0)

        train(module, 3, loss, None, LoopSettings(epochs=1, batch_size=1, learning_rate=0.1, clip=clip))
        return places[1] - places[2]

    assert second_step(1.0) == pytest.approx(0.1, abs=1e-4)
    assert second_step(0.0) < 0.08


def test_the_best_epoch_is_kept() -> None:
    """Scores are given, the weights after each epoch are noted: those of the first best come back."""
    module = network()
    scores, noted = iter([0.1, 0.3, 0.5, 0.5, 0.2, 0.4, 0.9]), []

    def score() -> float:
        assert not module.training
        assert not torch.is_grad_enabled()
        noted.append({name: tensor.clone() for name, tensor in module.state_dict().items()})
        return next(scores)

    history = train(module, COUNT, squared(module), score, replace(SETTINGS, patience=3))
    assert [epoch.score for epoch in history] == [0.1, 0.3, 0.5, 0.5, 0.2, 0.4], (
        "three epochs were waited for"
    )
    assert best_epoch(history).number == 2
    assert same(dict(module.state_dict()), noted[2])
    assert not same(noted[2], noted[5])
    assert not module.training


def test_untrained_may_be_best() -> None:
    module = network()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    scores = iter([0.5, 0.4, 0.5])
    history = train(module, COUNT, squared(module), lambda: next(scores), replace(SETTINGS, patience=2))
    assert len(history) == 3
    assert same(dict(module.state_dict()), before)


def test_no_epochs() -> None:
    module = network()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    history = train(module, COUNT, squared(module), lambda: 0.25, replace(SETTINGS, epochs=0))
    assert history == [Epoch(0, None, 0.25)]
    assert same(dict(module.state_dict()), before)


def test_best_epoch_without_scores_is_the_last() -> None:
    assert best_epoch([Epoch(0, None, None), Epoch(1, 0.1, None), Epoch(2, 0.2, None)]).number == 2


def test_frozen_parameters_stay() -> None:
    module = network()
    module[0].requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    train(module, COUNT, squared(module), None, replace(SETTINGS, weight_decay=0.1))
    moved = {name for name, tensor in module.state_dict().items() if not torch.equal(tensor, before[name])}
    assert moved == {"3.weight", "3.bias"}


@pytest.mark.parametrize(("precision", "kind"), [("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_mixed_precision_when_asked_for(precision: Any, kind: torch.dtype) -> None:
    module, kinds = network(), []
    module[0].register_forward_hook(lambda _, __, output: kinds.append((module.training, output.dtype)))

    def score() -> float:
        return -float(squared(module)(np.arange(COUNT)))

    settings = replace(SETTINGS, precision=precision, epochs=20)
    history = train(module, COUNT, squared(module), score, settings)
    assert set(kinds) == {(True, kind), (False, torch.float32)}
    assert all(parameter.dtype == torch.float32 for parameter in module.parameters())
    assert best_epoch(history).score > 0.2 * history[0].score


def test_full_precision_on_the_cpu() -> None:
    module, kinds = network(), set()
    module[0].register_forward_hook(lambda _, __, output: kinds.add(output.dtype))
    train(module, COUNT, squared(module), None, replace(SETTINGS, epochs=1))
    assert kinds == {torch.float32}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_mixed_precision_on_a_gpu() -> None:
    module = network().to(device())
    kinds = set()
    module[0].register_forward_hook(lambda _, __, output: kinds.add(output.dtype))
    inputs, target = INPUTS.to(device()), TARGET.to(device())
    history = train(
        module,
        COUNT,
        lambda rows: torch.nn.functional.mse_loss(module(inputs[rows]).float(), target[rows]),
        None,
        replace(SETTINGS, epochs=20),
    )
    assert kinds <= {torch.bfloat16, torch.float16}
    assert history[-1].loss < history[1].loss


def test_progress_counts_optimizer_steps() -> None:
    calls: list[tuple[str, int, int]] = []
    fit(replace(SETTINGS, epochs=2, accumulation=2), progress=lambda *call: calls.append(call))
    assert calls == [("training steps", done, 6) for done in range(1, 7)]


def test_nothing_to_train_on() -> None:
    module = network()
    with pytest.raises(AmeliError, match="the training split is empty"):
        train(module, 0, squared(module), None, SETTINGS)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number(value: float) -> None:
    module, calls = network(), []

    def loss(rows: np.ndarray) -> torch.Tensor:
        calls.append(rows)
        return squared(module)(rows) * (value if len(calls) == 7 else 1.0)

    message = rf"Training diverged: the loss of epoch 2 is {value}\. Use a lower learning rate than 0\.05\."
    with pytest.raises(AmeliError, match=message):
        train(module, COUNT, loss, None, SETTINGS)
    assert len(calls) == 7


def test_a_last_step_that_breaks_the_weights() -> None:
    """The loss is a number, its gradient is not: sqrt at 0."""
    module = torch.nn.Linear(1, 1, bias=False)
    with pytest.raises(AmeliError, match="after epoch 1 a weight is not finite"):
        train(
            module, 1, lambda rows: (0.0 * module.weight).sqrt().sum(), None, LoopSettings(epochs=1, seed=0)
        )


def test_a_score_that_is_no_number() -> None:
    module = network()
    with pytest.raises(AmeliError, match="the score on dev after epoch 0 is nan"):
        train(module, COUNT, squared(module), lambda: math.nan, SETTINGS)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("epochs", -1, "epochs is -1. It has to be 0 or more."),
        ("batch_size", 0, "batch_size is 0. It has to be 1 or more."),
        ("accumulation", 0, "accumulation is 0. It has to be 1 or more."),
        ("patience", 0, "patience is 0. It has to be 1 or more."),
        ("seed", -1, "seed is -1. It has to be 0 or more."),
        ("warmup", 1.5, "warmup is 1.5. It has to be 0 or more and at most 1."),
        ("learning_rate", math.nan, "learning_rate is nan. It has to be 0 or more."),
        ("clip", math.inf, "clip is inf. It has to be 0 or more."),
    ],
)
def test_settings_out_of_range(name: str, value: Any, message: str) -> None:
    with pytest.raises(AmeliError) as raised:
        LoopSettings(**{name: value})
    assert str(raised.value) == message
