"""A causal language model at work on the CPU: what follows many token sequences, and what it writes on."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from ameli_llm.engines._attention import FOLDED, RoomyCache
from ameli_llm.engines._prefixes import Group, batches, grouped
from ameli_llm.errors import MissingPackageError

try:
    import torch
    from transformers import DynamicCache
    from transformers.cache_utils import Cache, DynamicLayer, DynamicSlidingWindowLayer
except ImportError as error:
    raise MissingPackageError("transformers", "transformers") from error

_TOKENS = 512
"""Most tokens of a pass over several short sequences: more do not make it faster."""
_ROWS = 32
"""Most sequences that are computed or continued together."""
_HEAD_ROWS = 4096
"""Rows of the output matrix that are brought to full precision at once, so that they stay in the cache."""


class Writer(Protocol):
    """Chooses the tokens of one reply."""

    def choose(self, logits: torch.Tensor) -> int:
        """The next token, by the float32 logits [1, vocabulary] of what may follow."""

    @property
    def done(self) -> bool:
        """Whether that was the last one."""


@dataclass(frozen=True)
class _Leaf:
    """Sequences after a pass: their positions, the cache of their rows, logits [rows, vocabulary]."""

    places: list[int]
    cache: Cache
    logits: torch.Tensor


@dataclass(frozen=True)
class _Branch:
    """Sequences to be computed together from their token ``start`` on; what comes before is in the cache."""

    places: list[int]
    cache: Cache
    start: int


class Network:
    """A loaded causal language model without its tokenizer. Not thread-safe.

    A beginning that sequences share is computed once, and short ends are computed together, padded on the
    right, where causal attention never looks. Models with other memories than keys and values (recurrent
    layers) get every sequence alone.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        config = model.config.get_text_config(decoder=True)
        self.context: int | None = getattr(config, "max_position_embeddings", None)
        self.vocabulary: int = model.get_output_embeddings().weight.shape[0]
        layers = DynamicCache(config=config).layers
        self._shares = all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers)
        self._takes = frozenset(inspect.signature(model.forward).parameters)
        if self._shares and model.config._attn_implementation == "sdpa":
            model.set_attn_implementation(FOLDED)

    def following(self, sequences: Sequence[Sequence[int]]) -> Iterator[tuple[int, torch.Tensor]]:
        """Each sequence's position with float32 logits [vocabulary] of what follows it, in any order.

        The last step, from the network's state to logits, is in float32 whatever the model is in: in bfloat16
        the logits of two choices would be equal too often.
        """
        with _exact_head(self._model):
            for leaf in self._leaves(sequences):
                yield from zip(leaf.places, leaf.logits, strict=True)

    def logprobs(
        self, prompts: Sequence[Sequence[int]], texts: Sequence[Sequence[int]]
    ) -> Iterator[tuple[int, list[float]]]:
        """Each text's position with the log-probability of each of its tokens after its prompt, in any order.

        Neither a prompt nor a text is empty. The last step is in float32, as in ``following``.
        """
        sequences = [[*prompt, *text] for prompt, text in zip(prompts, texts, strict=True)]
        with _exact_head(self._model):
            for branch in self._branches(prompts, sequences):
                before = [len(prompts[place]) - 1 - branch.start for place in branch.places]
                tokens = _padded([sequences[place][branch.start :] for place in branch.places])
                asked = torch.arange(min(before), tokens.shape[1] - 1)
                rows = self._pass(tokens, branch.cache, keep=asked).float().log_softmax(dim=-1)
                for place, row, first in zip(branch.places, rows, before, strict=True):
                    text = torch.tensor(texts[place])
                    told = row[first - min(before) :][: len(text)].gather(1, text[:, None])
                    yield place, told[:, 0].tolist()

    def write(
        self, prompts: Sequence[Sequence[int]], writers: Sequence[Writer], most: Sequence[int]
    ) -> list[list[int]]:
        """The tokens that follow each prompt, at most ``most`` of them, as its writer chooses them."""
        rows = _ROWS if self._shares else 1
        written: list[list[int]] = []
        for start in range(0, len(prompts), rows):
            part = slice(start, start + rows)
            written += self._write(prompts[part], writers[part], most[part])
        return written

    def _write(
        self, prompts: Sequence[Sequence[int]], writers: Sequence[Writer], most: Sequence[int]
    ) -> list[list[int]]:
        written: list[list[int]] = [[] for _ in prompts]

        def chosen(places: Sequence[int], logits: torch.Tensor) -> list[int]:
            """The place of each row that goes on, after its writer has chosen."""
            for place, row in zip(places, logits.float(), strict=True):
                if not (writers[place].done or len(written[place]) == most[place]):
                    written[place].append(writers[place].choose(row[None]))
            return [p for p in places if not (writers[p].done or len(written[p]) == most[p])]

        longest = max(map(len, prompts))
        cache, first = self._prefilled(prompts, longest + max(most))
        rows = list(range(len(prompts)))
        going = chosen(rows, first)
        mask = torch.tensor([[int(at >= longest - len(p)) for at in range(longest)] for p in prompts])
        while going:
            if isinstance(cache, RoomyCache) and 4 * len(going) <= 3 * len(rows):
                # To leave rows out copies the cache: only when it pays.
                kept = [rows.index(place) for place in going]
                cache.keep(kept)
                mask, rows = mask[kept], going
            mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
            tokens = torch.tensor([[written[place][-1]] for place in rows])
            logits = self._pass(
                tokens, cache, attention_mask=mask, position_ids=mask.sum(1, keepdim=True) - 1
            )
            going = chosen(rows, logits[:, -1])
        return written

    def _prefilled(self, prompts: Sequence[Sequence[int]], room: int) -> tuple[Cache, torch.Tensor]:
        """A cache of all prompts, padded on the left, and the logits of what follows each."""
        longest = max(map(len, prompts))
        logits = torch.empty(len(prompts), self.vocabulary)
        joined = RoomyCache(room)
        for leaf in self._leaves(prompts):
            logits[leaf.places] = leaf.logits.float()
            if not isinstance(leaf.cache, RoomyCache):
                return leaf.cache, logits
            if not joined.layers:
                joined.prepare(leaf.cache, len(prompts), longest)
            for row, place in enumerate(leaf.places):
                joined.take(place, leaf.cache, row, len(prompts[place]), longest)
        return joined, logits

    def _leaves(self, sequences: Sequence[Sequence[int]]) -> Iterator[_Leaf]:
        for branch in self._branches(sequences, sequences):
            ends = [sequences[place][branch.start :] for place in branch.places]
            last = sorted({len(end) - 1 for end in ends})
            logits = self._pass(_padded(ends), branch.cache, keep=torch.tensor(last))
            picked = [last.index(len(end) - 1) for end in ends]
            yield _Leaf(branch.places, branch.cache, logits[range(len(ends)), picked])

    def _branches(
        self, prompts: Sequence[Sequence[int]], sequences: Sequence[Sequence[int]]
    ) -> Iterator[_Branch]:
        """All ``sequences``, in branches of which what their ``prompts`` share is in the cache.

        Each sequence begins with its prompt. The cache is good until the next branch is asked for.
        """
        if self._shares:
            yield from self._visit(
                grouped(prompts), RoomyCache(max(map(len, sequences), default=0)), 0, sequences
            )
            return
        for place in range(len(sequences)):
            yield _Branch([place], DynamicCache(config=self._model.config), 0)

    def _visit(
        self, group: Group, trunk: RoomyCache, start: int, sequences: Sequence[Sequence[int]]
    ) -> Iterator[_Branch]:
        """Depth first, so that one cache serves all: each branch is cut off again before the next one."""
        length = group.length
        if length > start:
            first = next(_places(group))
            self._pass(torch.tensor([sequences[first][start:length]]), trunk)
        own = [(place, len(sequences[place]) - length) for place in group.alone]
        for places in batches(own, _TOKENS, _ROWS):
            longest = max(len(sequences[place]) for place in places) - length
            cache = trunk if len(places) == 1 else trunk.widened(len(places), longest)
            yield _Branch(places, cache, length)
            trunk.cut(length)
        for branch in group.groups:
            yield from self._visit(branch, trunk, length, sequences)
            trunk.cut(length)

    def _pass(
        self, tokens: torch.Tensor, cache: Cache, keep: torch.Tensor | int = 1, **options: Any
    ) -> torch.Tensor:
        """Logits [rows, positions to keep, vocabulary] of one pass, which extends the cache."""
        options = {name: given for name, given in options.items() if name in self._takes}
        if "logits_to_keep" in self._takes:
            options["logits_to_keep"] = keep
        logits: torch.Tensor = self._model(
            input_ids=tokens, past_key_values=cache, use_cache=True, **options
        ).logits
        if "logits_to_keep" in self._takes:
            return logits
        return logits[:, -keep:] if isinstance(keep, int) else logits[:, keep]


def _padded(ends: Sequence[Sequence[int]]) -> torch.Tensor:
    """[rows, longest], padded on the right."""
    tokens = torch.zeros((len(ends), max(map(len, ends))), dtype=torch.long)
    for row, end in enumerate(ends):
        tokens[row, : len(end)] = torch.tensor(end)
    return tokens


def _places(group: Group) -> Iterator[int]:
    yield from group.alone
    for branch in group.groups:
        yield from _places(branch)


@contextmanager
def _exact_head(model: Any) -> Iterator[None]:
    """While it lasts, the output matrix of ``model`` is applied in float32.

    What a model does to its logits afterwards (a scale, a cap) it then does in float32 too.
    """

    def exact(head: Any, given: tuple[torch.Tensor], rounded: torch.Tensor) -> torch.Tensor:
        state = given[0].float()
        parts = [state @ rows.float().T for rows in head.weight.split(_HEAD_ROWS)]
        logits = torch.cat(parts, dim=-1)
        return logits if head.bias is None else logits + head.bias.float()

    head = model.get_output_embeddings()
    if head.weight.dtype == torch.float32:
        yield
        return
    hook = head.register_forward_hook(exact)
    try:
        yield
    finally:
        hook.remove()
