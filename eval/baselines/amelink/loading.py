"""Makes AMELINK's variants from the folder that a training wrote."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ameli_llm.errors import AmeliError
from ameli_llm.images.weights import require_whole
from eval.baselines import _folder, v2vel
from eval.baselines._names import short_name
from eval.baselines.amelink import folder
from eval.baselines.amelink.combination import Combination
from eval.baselines.amelink.encoder import TextEncoder, load_encoder
from eval.baselines.amelink.folder import Description
from eval.baselines.amelink.inference import Amelink, TextPart, TextScorer
from eval.baselines.amelink.network import TextModel, load_weights
from eval.baselines.amelink.training import new_model
from eval.baselines.amelink.variants import read_together, slots_of, text_model, variant_of
from eval.baselines.material import Material


def create(material: Material, place: Path | None, variant: str = "") -> Amelink:
    """The variant ("" is "full") from the folder that ``train`` wrote.

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
        text = _text_part(material, place, described, model)
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
        "leaks": [
            *(image.describe()["leaks"] if image else []),
            *(["attributes_from_gold"] if text and settings.stated == "gold" else []),
        ],
    }
    combination = Combination(row.weights, row.sizes)
    encoders = short_name(described.encoder) if text else v2vel.encoder(material)
    return Amelink(material, settings, text, image, combination, kind.filtered, about, encoders)


def title_of(described: Description) -> str:
    """Its name with the encoder that it was trained with."""
    return f"AMELINK ({short_name(described.encoder)})"


def _text_part(material: Material, place: Path, described: Description, name: str) -> TextPart:
    """The text scores of that model. Variants share a frozen encoder, and scores that are equal."""
    settings = described.settings
    names = read_together(name, described.texts, settings)
    if settings.frozen:
        read_with = settings.encoder, settings.pooling, settings.max_tokens, settings.literal_sep
        encoder = material.once((folder.NAME, read_with), lambda: load_encoder(settings))
    else:  # a part of the model, which changes its weights
        encoder = load_encoder(settings)
    weights = tuple((one, described.texts[one].weights) for one in names)
    key = (settings, described.encoder_revision, weights)
    return TextPart(load_texts(place, described, names, encoder), name, key)


def load_texts(place: Path, described: Description, names: Sequence[str], encoder: TextEncoder) -> TextScorer:
    """The text models of these names on the encoder, of which a trained one is for one model only.

    Raises AmeliError.
    """
    settings = described.settings
    if encoder.stamp.revision != described.encoder_revision:
        raise AmeliError(
            f"{place} was trained on {described.encoder} of revision {described.encoder_revision}; the one "
            f"found now is of revision {encoder.stamp.revision}.",
            hint=_folder.how_to_train(folder.NAME),
        )
    models = {}
    for name in names:
        slots = slots_of(name, settings)
        model = new_model(encoder, slots, settings, 0)
        _load_file(model, folder.weights_file(place, name), described.texts[name].weights)
        models[name] = (model.requires_grad_(False), slots)
    return TextScorer(encoder, models, settings)


def _load_file(model: TextModel, path: Path, digest: str) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import load

    hint = _folder.how_to_train(folder.NAME)
    try:
        content = path.read_bytes()
        require_whole(path, content, digest, hint)
        weights = load(content)
    except OSError as error:
        raise AmeliError(f"Cannot read {path}: {error.strerror}.", hint=hint) from error
    except SafetensorError as error:
        raise AmeliError(f"{path} is not a safetensors file: {error}.") from error
    load_weights(model, weights, str(path))
