"""Makes AMELINK's variants from the folder that a training wrote."""

from __future__ import annotations

from pathlib import Path

from ameli_llm.errors import AmeliError
from eval.baselines import _folder, v2vel
from eval.baselines.amelink import folder
from eval.baselines.amelink.combination import Combination
from eval.baselines.amelink.encoder import load_encoder
from eval.baselines.amelink.folder import Description
from eval.baselines.amelink.inference import Amelink, TextScorer
from eval.baselines.amelink.network import TextModel, load_weights
from eval.baselines.amelink.training import new_model
from eval.baselines.amelink.variants import slots_of, text_model, variant_of
from eval.baselines.material import Material


def create(material: Material, place: Path | None, variant: str = "", seed: int = 0) -> Amelink:
    """The variant ("" is "full") from the folder that ``train`` wrote; ``seed`` decides nothing any more.

    Raises AmeliError when the folder lacks it, or when its weights are damaged, of another size, or of
    another encoder than is found now.
    """
    described = folder.read(place)
    assert place is not None
    kind = variant_of(variant)
    name = variant or "full"
    if name not in described.variants:
        raise AmeliError(
            f"{place} holds no variant {name!r} of AMELINK, but {', '.join(described.variants)}.",
            hint=_folder.how_to_train(folder.NAME),
        )
    settings, row = described.settings, described.variants[name]
    text = image = None
    if model := text_model(kind, settings):
        text = load_text(place, described, model)
    if kind.image and not described.no_image:
        image = v2vel.create(material, place / folder.IMAGE)
    about = {
        "title": title_of(described),
        "variant": name,
        "encoder": f"{described.encoder} {described.encoder_revision}",
        "image_encoder": material.image_encoder if image else "",
        "no_image": described.no_image if kind.image else "",
        "settings": settings.model_dump(mode="json"),
        "weights": dict(row.weights),
        "divided_by": dict(row.sizes),
        "lambda": row.coefficient,
        "text_weights": described.texts[model].weights if model else "",
        "image_weights": image.describe()["weights"] if image else "",
        "trained_on": described.made_of["train"],
        "seed": described.made_of["seed"],
    }
    combination = Combination(row.weights, row.sizes)
    return Amelink(material, settings, text, image, combination, kind.filtered, about)


def title_of(described: Description) -> str:
    """Name of the row, with the encoder that it was really run with."""
    name = described.encoder.rstrip("/").rpartition("/")[2]
    return f"AMELINK ({'MiniLM' if name == 'all-MiniLM-L6-v2' else name})"


def load_text(place: Path, described: Description, name: str) -> TextScorer:
    """The text model of that name with its encoder. Raises AmeliError."""
    settings = described.settings
    encoder = load_encoder(settings)
    if encoder.stamp.revision != described.encoder_revision:
        raise AmeliError(
            f"{place} was trained on {described.encoder} of revision {described.encoder_revision}; the one "
            f"found now is of revision {encoder.stamp.revision}.",
            hint=_folder.how_to_train(folder.NAME),
        )
    slots = slots_of(name, settings)
    model = new_model(encoder, slots, settings, 0)
    _load_file(model, folder.weights_file(place, name))
    return TextScorer(encoder, model.requires_grad_(False), slots, settings)


def _load_file(model: TextModel, path: Path) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        weights = load(path.read_bytes())
    except OSError as error:
        raise AmeliError(
            f"Cannot read {path}: {error.strerror}.", hint=_folder.how_to_train(folder.NAME)
        ) from error
    except SafetensorError as error:
        raise AmeliError(f"{path} is not a safetensors file: {error}.") from error
    load_weights(model, weights, str(path))
