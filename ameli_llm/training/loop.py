"""The one training loop: seeded, with mixed precision, early stopping, and checkpoints to go on from.

What is trained is a module and a function that gives the loss of some examples; how it is trained is
``LoopSettings``. The same inputs and seed give the same weights on one machine, interrupted or not.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from ameli_llm.errors import AmeliError, MissingPackageError
from ameli_llm.training.checkpoint import SECONDS, Setting, State, Store, discard, locked
from ameli_llm.training.processes import ALONE, Processes
from ameli_llm.types import Progress

try:
    import torch
except ImportError as error:
    raise MissingPackageError("torch", "retrieval") from error

Rows: TypeAlias = npt.NDArray[np.int64]
Loss: TypeAlias = Callable[[Rows], torch.Tensor]
Score: TypeAlias = Callable[[], float]
Precision: TypeAlias = Literal["fp32", "bf16", "fp16"]
Tensors: TypeAlias = dict[str, torch.Tensor]

_MIXED: Mapping[str, torch.dtype] = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class LoopSettings:
    """How a module is trained.

    ``batch_size`` is the number of examples in a micro-batch, of which ``accumulation`` make an optimizer
    step; the step's gradient is that of the mean loss of all its examples. The optimizer is Adam or, with
    ``weight_decay`` above 0, AdamW. ``warmup`` is the share of all optimizer steps in which the learning rate
    rises linearly; from there it falls linearly to 0. With 0 it is constant. ``clip`` is the greatest norm of
    the gradient, 0 for none. ``patience`` is how many epochs without a better score are waited for.
    With ``fresh`` no example is seen twice: an epoch's positions go on where those of the last one ended.
    ``precision`` "auto" is mixed precision on a GPU, bf16 where it has that and fp16 elsewhere, and fp32 on
    the CPU. Raises AmeliError for values out of range.
    """

    epochs: int = 30
    batch_size: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    warmup: float = 0.0
    clip: float = 0.0
    accumulation: int = 1
    patience: int = 10
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    seed: int = 0
    fresh: bool = False

    def __post_init__(self) -> None:
        least = {"batch_size": 1, "accumulation": 1, "patience": 1}
        for name, value in asdict(self).items():
            if isinstance(value, str):
                continue
            most = 1.0 if name == "warmup" else math.inf
            if not (least.get(name, 0) <= value <= most) or math.isinf(value):
                raise AmeliError(
                    f"{name} is {value}.",
                    hint=f"It has to be {least.get(name, 0)} or more"
                    + (f" and at most {most:g}." if name == "warmup" else "."),
                )


@dataclass(frozen=True, slots=True)
class Epoch:
    """Mean loss over the examples during the epoch, score on dev after it.

    Epoch 0 is untrained and has no loss. Without dev there is no score.
    """

    number: int
    loss: float | None
    score: float | None


class DivergedError(AmeliError):
    """The loss or the weights are no longer finite numbers."""


def device() -> torch.device:
    """The GPU where torch can use one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def best_epoch(history: Sequence[Epoch]) -> Epoch:
    """The epoch with the best score, the earliest of equals; without scores the last one."""
    best = history[0]
    for epoch in history[1:]:
        if epoch.score is None or best.score is None or epoch.score > best.score:
            best = epoch
    return best


def rate(step: int, steps: int, settings: LoopSettings) -> float:
    """The learning rate of optimizer step ``step`` of ``steps``, counted from 0.

    With a warm-up of w steps (rounded up) it is (step + 1) / w of the full rate until step w, then
    (steps - step) / (steps - w).
    """
    if settings.warmup == 0:
        return settings.learning_rate
    warm = math.ceil(settings.warmup * steps)
    share = (step + 1) / warm if step < warm else (steps - step) / (steps - warm)
    return settings.learning_rate * share


def train(
    module: torch.nn.Module,
    count: int,
    loss: Loss,
    score: Score | None,
    settings: LoopSettings,
    *,
    checkpoints: Path | None = None,
    identity: str = "",
    progress: Progress | None = None,
    checkpoint_seconds: float = SECONDS,
    processes: Processes = ALONE,
    shares: Mapping[str, float] | None = None,
) -> list[Epoch]:
    """All epochs; ``module`` then holds the weights of the ``best_epoch``, in evaluation mode.

    ``count`` is the number of examples in an epoch. ``loss`` gives the mean loss of the examples at these
    positions, counted from 0, as a scalar on the module's graph; it is called under autocast in training
    mode. ``score`` (more is better) is called without gradients in evaluation mode and full precision. Only
    parameters that require gradients are trained and kept, and the buffers beside them; the rest stays as it
    is, frozen submodules in evaluation mode. The module stays on the device where it is. Torch's generators
    are seeded for the training and restored afterwards.

    With ``checkpoints``, a folder, the state is kept there after every epoch, and within one every
    ``checkpoint_seconds`` at most, more rarely where writing takes long. Called again with the same
    ``identity`` (of data and model) and settings, an interrupted training goes on to the same result. Call
    ``discard(checkpoints)`` when the result is saved.

    ``shares`` gives submodules, by name, a part of the learning rate: {"image": 0.5} halves it there.

    Several ``processes`` share the examples of each optimizer step and add up their gradients, so that all
    have the same weights; the main one scores, and writes checkpoints.

    Raises AmeliError when there are no examples, and for a checkpoint that is damaged or of another training;
    DivergedError when the loss is not finite, which also discards the checkpoint.
    """
    if count < 1:
        raise AmeliError(
            "There is nothing to train on: the training split is empty.",
            hint="Training needs at least one example with a known answer.",
        )
    training = _Training(module, count, loss, score, settings, progress, processes, shares or {})
    with contextlib.ExitStack() as stack:
        store = None
        if checkpoints and processes.main:
            store = stack.enter_context(locked(checkpoints, checkpoint_seconds))
        elif checkpoints:
            store = Store(checkpoints)
        stack.enter_context(_own_generators(training.device, settings.seed))
        try:
            return training.run(store, identity)
        except DivergedError:
            if checkpoints and processes.main:
                discard(checkpoints)
            raise


class _Training:
    """A training in progress: what a checkpoint keeps and the steps that change it."""

    def __init__(
        self,
        module: torch.nn.Module,
        count: int,
        loss: Loss,
        score: Score | None,
        settings: LoopSettings,
        progress: Progress | None,
        processes: Processes,
        shares: Mapping[str, float],
    ) -> None:
        self.module, self.count, self.loss, self.score = module, count, loss, score
        self.settings, self.progress, self.processes = settings, progress, processes
        self.shares = dict(shares)
        found = {name: p for name, p in module.named_parameters() if p.requires_grad}
        # In the optimizer's order, in which the parameters of one rate are together.
        self.parameters = dict(sorted(found.items(), key=lambda item: self._share(item[0])))
        self.device = next(iter(self.parameters.values())).device
        self.precision = _precision(settings, self.device)
        kind = torch.optim.AdamW if settings.weight_decay else torch.optim.Adam
        rates = sorted({self._share(name) for name in self.parameters})
        groups = [
            {
                "params": [p for name, p in self.parameters.items() if self._share(name) == share],
                "share": share,
            }
            for share in rates
        ]
        self.optimizer = kind(groups, lr=settings.learning_rate, weight_decay=settings.weight_decay)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision == "fp16")
        self.examples = settings.batch_size * settings.accumulation
        """Examples in an optimizer step."""
        self.steps = math.ceil(count / self.examples)
        """Optimizer steps in an epoch."""
        self.epoch, self.step, self.loss_sum = 1, 0, 0.0
        self.history: list[Epoch] = []
        self.best: Tensors = {}

    def run(self, store: Store | None, identity: str) -> list[Epoch]:
        self.processes.wait()  # the main one has the folder now
        saved = store.load(identity, self._decisive()) if store else None
        self.processes.wait()  # and all have read what it may write over
        if store and saved:
            self._restore(store, *saved)
        else:
            self._finish_epoch(Epoch(0, None, self._scored()))
            self._save(store, identity)
        while not self._over():
            self._train_epoch(store, identity)
            self._save(store, identity)
        if self.best:
            _copy(self.best, _kept(self.module))
        self.module.eval()
        return self.history

    def _over(self) -> bool:
        waited = self.epoch - 1 - best_epoch(self.history).number
        return self.epoch > self.settings.epochs or (
            self.score is not None and waited >= self.settings.patience
        )

    def _train_epoch(self, store: Store | None, identity: str) -> None:
        order = np.random.default_rng([self.settings.seed, self.epoch]).permutation(self.count)
        if self.settings.fresh:
            order += (self.epoch - 1) * self.count
        self.module.train()
        for _, part in _frozen(self.module):
            part.eval()
        while self.step < self.steps:
            self._train_step(order[self.step * self.examples : (self.step + 1) * self.examples])
            self.step += 1
            done = (self.epoch - 1) * self.steps + self.step
            if self.progress and self.processes.main:
                self.progress("training steps", done, self.settings.epochs * self.steps)
            if store and self.processes.main and store.due():
                self._save(store, identity)
        if not all(bool(torch.isfinite(tensor).all()) for tensor in self.parameters.values()):
            raise self._diverged(f"after epoch {self.epoch} a weight is not finite")
        self._finish_epoch(Epoch(self.epoch, self.loss_sum / self.count, self._scored()))
        self.epoch, self.step, self.loss_sum = self.epoch + 1, 0, 0.0

    def _train_step(self, rows: Rows) -> None:
        done = (self.epoch - 1) * self.steps + self.step
        for group in self.optimizer.param_groups:
            group["lr"] = group["share"] * rate(done, self.settings.epochs * self.steps, self.settings)
        self.optimizer.zero_grad()
        own = self.processes.share(rows)
        total = torch.zeros((), dtype=torch.float64)
        for start in range(0, len(own), self.settings.batch_size):
            part = own[start : start + self.settings.batch_size]
            with autocast(self.device, self.precision):
                mean = self.loss(part)
            total += float(mean.detach()) * len(part)
            torch.autograd.backward(self.scaler.scale(mean * (len(part) / len(rows))))
        value = self._added_up(total)
        if not math.isfinite(value):
            raise self._diverged(f"the loss of epoch {self.epoch} is {value / len(rows)}")
        self.loss_sum += value
        if self.settings.clip:
            self.scaler.unscale_(self.optimizer)
            torch.nn.utils.clip_grad_norm_(self.parameters.values(), self.settings.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()

    def _added_up(self, total: torch.Tensor) -> float:
        """The loss over all processes, whose gradients are added up too."""
        if self.processes.count > 1:
            for parameter in self.parameters.values():
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
            self.processes.add(p.grad for p in self.parameters.values() if p.grad is not None)
            total = total.to(self.device)
            self.processes.add([total])
        return float(total)

    def _scored(self) -> float | None:
        if self.score is None:
            return None
        self.module.eval()
        value = 0.0
        if self.processes.main:
            with torch.no_grad():
                value = float(self.score())
        value = self.processes.told(value)
        if not math.isfinite(value):
            raise self._diverged(f"the score on dev after epoch {len(self.history)} is {value}")
        return value

    def _finish_epoch(self, epoch: Epoch) -> None:
        self.history.append(epoch)
        if self.score is not None and best_epoch(self.history) is epoch:
            self.best = {name: tensor.cpu().clone() for name, tensor in _kept(self.module).items()}

    def _diverged(self, what: str) -> DivergedError:
        return DivergedError(
            f"Training diverged: {what}.",
            hint=f"Use a lower learning rate than {self.settings.learning_rate:g}.",
        )

    def _decisive(self) -> dict[str, Setting]:
        """All settings that decide the result, apart from the data."""
        return {
            **asdict(self.settings),
            "precision": self.precision,
            "device": self.device.type,
            "examples": self.count,
            "scored": self.score is not None,
            **{f"share of {name}": share for name, share in self.shares.items()},
        }

    def _share(self, parameter: str) -> float:
        """The part of the learning rate that a parameter has: that of the submodule which it is in."""
        return next((s for name, s in self.shares.items() if parameter.startswith(f"{name}.")), 1.0)

    def _save(self, store: Store | None, identity: str) -> None:
        if store is None or not self.processes.main:
            return
        state = State(
            identity=identity,
            settings=self._decisive(),
            epoch=self.epoch,
            step=self.step,
            loss_sum=self.loss_sum,
            history=[astuple(epoch) for epoch in self.history],
            scaler=self.scaler.state_dict(),
        )
        generators = {"generator/cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            generators["generator/cuda"] = torch.cuda.get_rng_state(self.device)
        store.save(state, {**self._tensors(), **self._moments(), **generators})

    def _tensors(self) -> Tensors:
        current = {f"current/{name}": tensor for name, tensor in _kept(self.module).items()}
        return current | {f"best/{name}": tensor for name, tensor in self.best.items()}

    def _moments(self) -> Tensors:
        """Adam's state by the parameter's name; parameters that had no gradient yet have none."""
        return {
            f"adam/{name}/{key}": tensor
            for name, parameter in self.parameters.items()
            for key, tensor in self.optimizer.state.get(parameter, {}).items()
        }

    def _restore(self, store: Store, state: State, tensors: Mapping[str, torch.Tensor]) -> None:
        groups = ("current/", "best/")
        if self.score is not None:
            self.best = {name: tensor.cpu().clone() for name, tensor in _kept(self.module).items()}
        expected = self._tensors()
        store.require_shapes({n: t for n, t in tensors.items() if n.startswith(groups)}, expected)
        _copy({name: tensors[f"current/{name}"] for name in _kept(self.module)}, _kept(self.module))
        self.best = {name: tensors[f"best/{name}"].clone() for name in self.best}
        moments: dict[int, Tensors] = {}
        for position, name in enumerate(self.parameters):
            prefix = f"adam/{name}/"
            keys = [key for key in tensors if key.startswith(prefix)]
            if keys:
                moments[position] = {key.removeprefix(prefix): tensors[key].clone() for key in keys}
        self.optimizer.load_state_dict(
            {"state": moments, "param_groups": self.optimizer.state_dict()["param_groups"]}
        )
        if state.scaler:
            self.scaler.load_state_dict(state.scaler)
        self.epoch, self.step, self.loss_sum = state.epoch, state.step, state.loss_sum
        self.history = [Epoch(*epoch) for epoch in state.history]
        torch.set_rng_state(tensors["generator/cpu"])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(tensors["generator/cuda"], self.device)


def autocast(where: torch.device, precision: Precision) -> contextlib.AbstractContextManager[object]:
    """The context in which a loss is computed in that precision; fp32 changes nothing."""
    if precision == "fp32":
        return contextlib.nullcontext()
    return torch.autocast(where.type, dtype=_MIXED[precision])


def _precision(settings: LoopSettings, where: torch.device) -> Precision:
    if settings.precision != "auto":
        return settings.precision
    if where.type != "cuda":
        return "fp32"
    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"


def _frozen(module: torch.nn.Module) -> list[tuple[str, torch.nn.Module]]:
    """Submodules of which no parameter is trained, by name; one without parameters is none of them."""
    return [
        (name, part)
        for name, part in module.named_modules()
        if (parameters := list(part.parameters())) and not any(p.requires_grad for p in parameters)
    ]


def _kept(module: torch.nn.Module) -> Tensors:
    """Trained parameters and persistent buffers by name, without those of frozen submodules."""
    frozen = tuple(f"{name}." for name, _ in _frozen(module))
    persistent = module.state_dict()
    buffers = {
        name: buffer
        for name, buffer in module.named_buffers()
        if name in persistent and not name.startswith(frozen)
    }
    return {n: p.detach() for n, p in module.named_parameters() if p.requires_grad} | buffers


def _copy(source: Mapping[str, torch.Tensor], target: Mapping[str, torch.Tensor]) -> None:
    with torch.no_grad():
        for name, tensor in target.items():
            tensor.copy_(source[name])


@contextlib.contextmanager
def _own_generators(where: torch.device, seed: int) -> Iterator[None]:
    """Torch's generators, seeded for the block and afterwards as they were before it."""
    cuda = where.type == "cuda"
    with torch.random.fork_rng([where] if cuda else []):
        torch.default_generator.manual_seed(seed)
        if cuda:
            with torch.cuda.device(where):
                torch.cuda.manual_seed(seed)
        yield
