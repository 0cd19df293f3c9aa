"""Trains everything that AMELINK's variants need into one folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ameli_llm.errors import AmeliError
from ameli_llm.training.checkpoint import SECONDS, discard
from ameli_llm.training.folder import require_same
from ameli_llm.training.loop import Epoch, best_epoch
from ameli_llm.types import Progress
from eval.baselines import v2vel
from eval.baselines._images import image_pairs, review_images
from eval.baselines.amelink import features, folder
from eval.baselines.amelink.combination import choose
from eval.baselines.amelink.encoder import TextEncoder, Unit, load_encoder
from eval.baselines.amelink.features import Halves
from eval.baselines.amelink.folder import Description, EpochRow, TextRow, VariantRow
from eval.baselines.amelink.inference import parts_of
from eval.baselines.amelink.loading import load_texts
from eval.baselines.amelink.network import units
from eval.baselines.amelink.settings import AmelinkSettings
from eval.baselines.amelink.stated import as_read
from eval.baselines.amelink.training import (
    Lists,
    Trainer,
    dev_lists,
    loop_settings,
    training_lists,
)
from eval.baselines.amelink.variants import (
    default_variants,
    read_together,
    slots_of,
    text_model,
    text_models,
    variant_of,
)
from eval.baselines.baseline import Example, Floats
from eval.baselines.material import Material
from eval.baselines.tasks import folded


@dataclass(frozen=True)
class Summary:
    """What a training left in its folder. ``already``: it was finished before and nothing was done."""

    folder: Path
    description: Description
    already: bool


def train(
    material: Material,
    train: Sequence[Example],
    dev: Sequence[Example],
    out: Path,
    settings: AmelinkSettings,
    variants: Sequence[str] = (),
    *,
    seed: int = 0,
    progress: Progress | None = None,
    checkpoint_seconds: float = SECONDS,
) -> Summary:
    """Trains the text models and the adapter that the variants need, and chooses the weights of their sums.

    No ``variants`` means all. Lists of ``train`` get their gold product where retrieval missed it, those of
    ``dev`` never; what else both see of gold is set by ``stated`` and ``gold_image``. A training that was
    killed goes on; what is finished is not done again. Raises AmeliError when ``out`` holds another training,
    when the folds are too small, and DivergedError.
    """
    names = tuple(dict.fromkeys(variants or default_variants(settings)))
    if not train:
        raise AmeliError("There is nothing to train on: the training split is empty.")
    if not any(one.gold in one.task.entity_ids for one in dev):
        raise AmeliError(
            f"Nothing to choose on: none of {len(dev)} dev reviews has its gold product as a candidate.",
            hint="Use a larger dev split, or more candidates.",
        )
    encoder = load_encoder(settings)
    made = folder.made_of(material, train, dev, settings, encoder.stamp.revision, seed)
    start = _begin(out, made, settings, encoder, dev)
    missing = [name for name in text_models(names, settings) if name not in start.texts]
    wanted = [
        name for name in names if name not in start.variants and (variant_of(name).text or not start.no_image)
    ]
    if not wanted:
        return Summary(out, start, already=True)
    run = _Run(material, train, dev, out, settings, seed, made, progress, checkpoint_seconds)
    trained = run.texts(encoder, missing)
    described = start.model_copy(update={"texts": {**start.texts, **trained}})
    described = run.image(described)
    described = run.variants(described, wanted, encoder)
    folder.write(out / folder.DESCRIPTION, (described.model_dump_json(indent=2) + "\n").encode())
    for name in missing:
        discard(out / folder.CHECKPOINTS / name)
        (out / "text" / f"{name}.json").unlink(missing_ok=True)
    checkpoints = out / folder.CHECKPOINTS
    if checkpoints.is_dir() and not any(checkpoints.iterdir()):
        checkpoints.rmdir()
    features.discard(out / folder.FEATURES)
    return Summary(out, described, already=False)


def check(settings: AmelinkSettings, variants: Sequence[str]) -> None:
    """Raises AmeliError, before any work is done, for an unknown variant or an encoder that is not there."""
    for name in variants:
        variant_of(name)
    load_encoder(settings)


@dataclass
class _Run:
    """A training under way."""

    material: Material
    train: Sequence[Example]
    dev: Sequence[Example]
    out: Path
    settings: AmelinkSettings
    seed: int
    made: Mapping[str, Any]
    progress: Progress | None
    seconds: float

    def texts(self, encoder: TextEncoder, names: Sequence[str]) -> dict[str, TextRow]:
        """Trains the text models that are not finished yet."""
        rows = {name: row for name in names if (row := self._finished(name))}
        rest = [name for name in names if name not in rows]
        lists = {name: self._lists(name) for name in rest}
        vectors = None
        if self.settings.frozen and rest:
            flat = [one for pair in lists.values() for part in pair for one in part.flat]
            wanted = units(flat, self.settings)
            show = self.progress
            report = (lambda done, total: show("encoding", done, total)) if show else None
            vectors = wanted, features.stored(self.out / folder.FEATURES, encoder, wanted, report)
        for name in rest:
            rows[name] = self._text(name, encoder, *lists[name], vectors)
        return rows

    def _lists(self, name: str) -> tuple[Lists, Lists]:
        slots = slots_of(name, self.settings)
        return (
            training_lists(self._read(self.train), self.material, slots, self.settings, self.seed),
            dev_lists(self._read(self.dev), self.material, slots, self.settings),
        )

    def _read(self, examples: Sequence[Example]) -> Sequence[Example]:
        """The examples as text models read them."""
        return as_read(examples, self.material, self.settings)

    def _text(
        self,
        name: str,
        encoder: TextEncoder,
        train: Lists,
        dev: Lists,
        vectors: tuple[Sequence[Unit], Halves] | None,
    ) -> TextRow:
        from safetensors.torch import save

        settings, identity = self.settings, folder.identity(self.made, name)
        if not settings.frozen:  # the one before has changed it
            encoder = load_encoder(settings)
        trainer = Trainer(train, dev, encoder, slots_of(name, settings), settings, self.seed, vectors)
        history = trainer.run(
            loop_settings(settings, self.seed),
            self.out / folder.CHECKPOINTS / name,
            identity,
            self.seconds,
            self._labelled(name),
        )
        content = save({n: t.detach().cpu().contiguous() for n, t in trainer.model.state_dict().items()})
        file = folder.weights_file(self.out, name)
        folder.write(file, content)
        row = TextRow(
            identity=identity,
            best=best_epoch(history).number,
            history=tuple(_epoch(epoch) for epoch in history),
            lists=len(train.sets),
            weights=folder.digest(content),
        )
        folder.write(file.with_suffix(".json"), row.model_dump_json().encode())
        return row

    def _finished(self, name: str) -> TextRow | None:
        """A text model that an interrupted training had finished."""
        file = folder.weights_file(self.out, name)
        try:
            row = TextRow.model_validate_json(file.with_suffix(".json").read_bytes())
            whole = folder.digest(file.read_bytes()) == row.weights
        except (OSError, ValueError):
            return None
        return row if whole and row.identity == folder.identity(self.made, name) else None

    def _labelled(self, name: str) -> Progress | None:
        show = self.progress
        return (lambda what, done, total: show(f"{name}: {what}", done, total)) if show else None

    def image(self, described: Description) -> Description:
        """Trains the adapter, or says why there is none."""
        if described.image_title or described.no_image:
            return described
        reason = self._no_image()
        if reason:
            return described.model_copy(update={"no_image": reason})
        s = self.settings
        done = v2vel.train(
            self.material,
            folded("train", self.train),
            folded("dev", self.dev),
            self.out / folder.IMAGE,
            v2vel.Settings(
                form=s.adapter,
                images=s.images,
                gold_image=s.gold_image,
                negatives=s.adapter_negatives,
                epochs=s.adapter_epochs,
                learning_rate=s.adapter_learning_rate,
                batch_size=s.adapter_batch_size,
                temperature=s.adapter_temperature,
                patience=s.patience,
            ),
            seed=self.seed,
            progress=self._labelled("image"),
        )
        return described.model_copy(update={"image_title": done.title})

    def _no_image(self) -> str:
        if self.material.image_stamp is None:
            return "the index has no image vectors"
        pairs = image_pairs(self.material, folded("train", self.train), self.settings.images)
        products = len(np.unique(pairs.product))
        if products < 2:
            return f"{products} of the products to train on have an image and a review with one"
        found = review_images(self.material, [one.task.review for one in self.dev], self.settings.images)
        if not any(
            len(vectors) and len(self.material.product_images(one.gold))
            for one, vectors in zip(self.dev, found, strict=True)
        ):
            return "no dev review with a readable image has a product with one"
        return ""

    def variants(self, described: Description, names: Sequence[str], encoder: TextEncoder) -> Description:
        """Chooses the weights of each variant's sum on dev; ``encoder`` is used where it is frozen."""
        tasks = [one.task for one in self.dev]
        read = [one.task for one in self._read(self.dev)]
        gold = [
            one.task.entity_ids.index(one.gold) if one.gold in one.task.entity_ids else -1 for one in self.dev
        ]
        by_image = None
        texts: dict[str, list[Floats]] = {}
        if not described.no_image:
            image = v2vel.create(self.material, self.out / folder.IMAGE)
            by_image = [one.total for one in image.score_examples(self.dev, self._labelled("dev"))]
        rows = dict(described.variants)
        for name in names:
            kind = variant_of(name)
            model = text_model(kind, self.settings)
            if model and model not in texts:
                together = read_together(model, described.texts, self.settings)
                read_with = encoder if self.settings.frozen else load_encoder(self.settings)
                scorer = load_texts(self.out, described, together, read_with)
                texts |= scorer.score(self.material, read, self._labelled("dev"))
            by_text = texts[model] if model else None
            shown = by_image if kind.image else None
            there = [part for part, one in (("text", by_text), ("image", shown)) if one is not None]
            if not there:
                continue  # nothing is left of it: the description says why
            if self.settings.combination == "three_way":
                there.insert(0, "retrieval")
            parts = parts_of(self.material, tasks, by_text, shown, kind.filtered, self.settings)
            combination, f1 = choose(parts, gold, there, self.settings)
            rows[name] = VariantRow(**asdict(combination), coefficient=combination.coefficient, dev_f1=f1)
        return described.model_copy(update={"variants": rows})


def _begin(
    out: Path,
    made: Mapping[str, Any],
    settings: AmelinkSettings,
    encoder: TextEncoder,
    dev: Sequence[Example],
) -> Description:
    """The description in ``out``, or a new one. Raises AmeliError when it is of another training."""
    if (out / folder.DESCRIPTION).is_file():
        found = folder.read(out)
        require_same(out, found.made_of, made)
        return found
    return Description(
        made_of=dict(made),
        settings=settings,
        encoder=encoder.stamp.name,
        encoder_revision=encoder.stamp.revision,
        dimension=encoder.stamp.dimension,
        dev_lists=sum(one.gold in one.task.entity_ids for one in dev),
        dev_reviews=len(dev),
    )


def _epoch(epoch: Epoch) -> EpochRow:
    return EpochRow(number=epoch.number, loss=epoch.loss, dev_f1=epoch.score)
