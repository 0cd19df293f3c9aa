"""Trains a tagger into a folder, through the one training loop; early stopping is by TAG-F1 on dev."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ameli_llm.attributes.tagging import folder as folders
from ameli_llm.attributes.tagging.batches import Batches
from ameli_llm.attributes.tagging.examples import Corpus, LabelledText, attribute_names
from ameli_llm.attributes.tagging.folder import Description
from ameli_llm.attributes.tagging.kind import Kind
from ameli_llm.attributes.tagging.pictures import LoadRegions, Pictures, RegionNetwork
from ameli_llm.attributes.tagging.settings import TaggerSettings
from ameli_llm.attributes.tagging.tagger import Tagger
from ameli_llm.attributes.tagging.tags import placed, span_f1
from ameli_llm.attributes.tagging.trained import build, kept, said_in
from ameli_llm.attributes.tagging.words import Words, require_known
from ameli_llm.errors import AmeliError, MissingPackageError
from ameli_llm.training.checkpoint import SECONDS, discard
from ameli_llm.training.folder import require_same
from ameli_llm.training.loop import LoopSettings, Rows, best_epoch
from ameli_llm.training.loop import train as run_loop
from ameli_llm.types import Progress, no_progress

try:
    import torch
except ImportError as error:
    raise MissingPackageError("torch", "retrieval") from error


@dataclass(frozen=True)
class Training:
    """What a training left in ``folder``; ``already`` says that it was there before, and nothing was done."""

    folder: Path
    description: Description
    already: bool


def train(
    kind: Kind,
    corpus: Corpus,
    out: Path,
    settings: TaggerSettings,
    load_regions: LoadRegions,
    *,
    seed: int = 0,
    progress: Progress | None = None,
    checkpoint_seconds: float = SECONDS,
) -> Training:
    """Trains on the split train, chooses the epoch on dev. Called again after a kill it goes on to the same.

    Raises AmeliError when a split is empty, no text or no picture can be used, the encoder does not know the
    language, a file is in the way, or ``out`` holds another training.
    """
    texts = {name: corpus.split(name) for name in ("train", "dev")}
    labels = attribute_names(texts["train"], settings.fewest)
    _require_pictures(kind, texts["train"], settings)
    tagger, cutter, image = build(kind, settings, labels, load_regions, seed)
    revisions = {"text": tagger.text.revision, "image": image.revision if image else ""}
    wanted = folders.made_of(kind, settings, texts, labels, revisions, seed)
    if (out / folders.DESCRIPTION).is_file():
        found = folders.read(out, kind)
        require_same(out, found.made_of, wanted)
        return Training(out, found, already=True)
    words = {name: cutter.cut([text.text for text in several]) for name, several in texts.items()}
    require_known(words["train"], tagger.text.name)
    pictures = Pictures(image.prepare) if image else None
    fitting = _Fitting(
        tagger, texts, words, labels, cutter.pad, pictures, out / folders.FEATURES, progress or no_progress
    )
    if pictures:
        _require_usable(texts, pictures, tagger, progress or no_progress)
    history = run_loop(
        tagger,
        len(fitting.rows),
        fitting.loss,
        fitting.score,
        loop_settings(settings, seed),
        checkpoints=out / folders.CHECKPOINTS,
        identity=folders.identity(wanted),
        progress=progress,
        checkpoint_seconds=checkpoint_seconds,
        shares=kind.shares(settings),
    )
    description = {
        "kind": kind.name,
        "title": kind.title(settings),
        "settings": settings.model_dump(mode="json"),
        "labels": labels,
        **_encoders(tagger, image),
        "made_of": wanted,
        "counts": _counts(texts, words, labels, pictures),
        "best": best_epoch(history).number,
        "history": [asdict(epoch) for epoch in history],
    }
    written = folders.write(out, _bytes(tagger), description)
    discard(out / folders.CHECKPOINTS)
    shutil.rmtree(out / folders.FEATURES, ignore_errors=True)
    return Training(out, written, already=False)


class _Fitting:
    """The loss and the score that the loop asks for. Texts without a token are not trained on."""

    def __init__(
        self,
        tagger: Tagger,
        texts: Mapping[str, Sequence[LabelledText]],
        words: Mapping[str, Sequence[Words]],
        labels: Sequence[str],
        pad: int,
        pictures: Pictures | None,
        folder: Path,
        progress: Progress,
    ) -> None:
        self._tagger, self._labels = tagger, labels
        self._dev, self._dev_words = texts["dev"], words["dev"]
        self.rows = [row for row, one in enumerate(words["train"]) if one.places]
        tagger.eval()
        with torch.no_grad():
            made = {
                name: Batches(
                    texts[name],
                    words[name],
                    labels,
                    pad=pad,
                    device=tagger.device,
                    pictures=pictures,
                    encode=tagger.text if tagger.frozen_text else None,
                    look=tagger.look if tagger.frozen_image else None,
                    folder=folder / name,
                    progress=progress,
                )
                for name in ("train", "dev")
            }
        self._train, self._dev_batches = made["train"], made["dev"]

    def loss(self, positions: Rows) -> torch.Tensor:
        """The loss of the texts at these positions among those that are trained on."""
        return self._tagger.loss(self._train.batch([self.rows[int(at)] for at in positions]))

    def score(self) -> float:
        """TAG-F1 on dev."""
        said = said_in(self._tagger, self._dev_batches)
        found = [
            placed(one, cut.places, self._labels) for one, cut in zip(said, self._dev_words, strict=True)
        ]
        return span_f1(self._dev, found)


def loop_settings(settings: TaggerSettings, seed: int) -> LoopSettings:
    """The loop's part of the settings."""
    micro = min(settings.micro_batch or settings.batch_size, settings.batch_size)
    return LoopSettings(
        epochs=settings.epochs,
        batch_size=micro,
        accumulation=max(1, round(settings.batch_size / micro)),
        learning_rate=settings.learning_rate,
        patience=settings.patience,
        precision=settings.precision,
        seed=seed,
    )


def _require_pictures(kind: Kind, texts: Sequence[LabelledText], settings: TaggerSettings) -> None:
    if settings.has_image and not any(text.image for text in texts):
        raise AmeliError(
            f"{kind.title(settings)} looks at pictures, and none of the {len(texts)} training texts has one.",
            hint="Put them into images/ beside the texts, named by the product's id, or give "
            "--image-encoder none.",
        )


def _require_usable(
    texts: Mapping[str, Sequence[LabelledText]], pictures: Pictures, tagger: Tagger, progress: Progress
) -> None:
    """Raises AmeliError when no picture of the training texts can be used; a frozen network has seen all."""
    paths = list(dict.fromkeys(text.image for several in texts.values() for text in several if text.image))
    if not tagger.frozen_image:
        pictures.check(paths, progress)
    if all(pictures.problem(text.image) for text in texts["train"] if text.image):
        reasons = ", ".join(f"{count} x {reason}" for reason, count in pictures.problems.items())
        raise AmeliError(
            f"None of the pictures can be used: {reasons}.",
            hint="JPEG, PNG and WebP are read; --image-encoder none does without.",
        )


def _encoders(tagger: Tagger, image: RegionNetwork | None) -> dict[str, str]:
    return {
        "encoder": tagger.text.name,
        "encoder_revision": tagger.text.revision,
        "image_encoder": image.name if image else "",
        "image_revision": image.revision if image else "",
    }


def _counts(
    texts: Mapping[str, Sequence[LabelledText]],
    words: Mapping[str, Sequence[Words]],
    labels: Sequence[str],
    pictures: Pictures | None,
) -> dict[str, int]:
    """Texts and values of each split, and what of them the training could not see."""
    counts: dict[str, int] = {}
    for name, several in texts.items():
        reach = [cut.places[-1][1] if cut.places else 0 for cut in words[name]]
        counts |= {
            f"{name} texts": len(several),
            f"{name} values": sum(len(text.spans) for text in several),
            f"{name} texts cut": sum(cut.cut for cut in words[name]),
            f"{name} values cut off": sum(
                span.end > end for text, end in zip(several, reach, strict=True) for span in text.spans
            ),
            f"{name} values of other attributes": sum(
                span.attribute not in labels for text in several for span in text.spans
            ),
        }
        if pictures:
            counts[f"{name} texts without a picture"] = sum(text.image is None for text in several)
    return counts | (pictures.problems if pictures else {})


def _bytes(tagger: Tagger) -> bytes:
    from safetensors.torch import save

    found: bytes = save({name: tensor.cpu().contiguous() for name, tensor in kept(tagger).items()})
    return found
