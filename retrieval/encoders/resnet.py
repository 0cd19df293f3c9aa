"""Image encoder through timm: any ResNet with a pretrained tag, or a local checkpoint; pooled features."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ameli_llm.dataset.images import ImageProblem, open_image
from ameli_llm.errors import AmeliError, MissingPackageError, first_line
from retrieval.encoders.encoder import Vectors, normalised

DEFAULT = "resnet152"
"""The paper says "Resnet150" (section 5.2); the official code takes this one."""

LOCAL = "local-dir:"
BATCH = 16
WEIGHTS = "model.safetensors"
HINT = (
    "Name resnet:NAME in retrieval.image_encoders where a hub can be reached (resnet:resnet152.a1_in1k), "
    f"resnet:NAME/FILE.safetensors, or resnet:{LOCAL}FOLDER with config.json and {WEIGHTS}."
)


class ResNet:
    """A convolutional network without its classifier: the globally pooled features of an image."""

    name = "resnet"

    def __init__(self, model: str) -> None:
        self.model = full_name(model)
        self._network, self._preprocess = load_network(self.model)
        self.revision = weights_digest(self._network)
        self.dimension = int(self._network.num_features)

    def encode_images(self, paths: Sequence[Path]) -> list[Vectors | ImageProblem]:
        """One vector or the reason why there is none per path; ``BATCH`` images are in memory at a time."""
        results: list[Vectors | ImageProblem] = []
        for start in range(0, len(paths), BATCH):
            results += self._encode_batch(paths[start : start + BATCH])
        return results

    def _encode_batch(self, paths: Sequence[Path]) -> list[Vectors | ImageProblem]:
        import torch

        results: list[Vectors | ImageProblem | None] = []
        pixels = []
        for path in paths:
            try:
                pixels.append(self._preprocess(open_image(path)))
                results.append(None)
            except ImageProblem as problem:
                results.append(problem)
        vectors = iter(())
        if pixels:
            with torch.inference_mode():
                vectors = iter(normalised(self._network(torch.stack(pixels)).float().numpy()))
        return [next(vectors) if result is None else result for result in results]


def full_name(model: str) -> str:
    """The model meant by ``model``; "" is resnet152 with timm's default weights."""
    return model or DEFAULT


def create(model: str = "") -> ResNet:
    """The encoder of ``model``: "NAME", "NAME.TAG", "NAME/FILE.safetensors" or "local-dir:FOLDER".

    Raises AmeliError when the name is no ResNet of timm's, or its weights are not at hand.
    """
    return ResNet(model)


def load_network(model: str) -> tuple[Any, Any]:
    """The network without its classifier, in evaluation mode, and what makes its pixels of an RGB image.

    Raises AmeliError when the name is no ResNet of timm's, or its weights are not at hand.
    """
    try:
        import timm
    except ImportError as error:
        raise MissingPackageError("timm", "retrieval") from error
    name, file = _name_and_file(model)
    try:
        network = timm.create_model(name, pretrained=file is None, num_classes=0)
        if file is not None:
            _fill(network, file)
    except Exception as error:  # timm, torch, safetensors and the hub's client each raise their own types
        raise AmeliError(f"Cannot load the ResNet {model!r}: {first_line(error)}", hint=HINT) from error
    network.eval()
    data: Any = timm.data
    return network, data.create_transform(**data.resolve_model_data_config(network), is_training=False)


def _name_and_file(model: str) -> tuple[str, Path | None]:
    """What timm calls the network, and the file with its weights, None for those of a hub."""
    import timm

    if model.startswith(LOCAL):
        path = Path(model.removeprefix(LOCAL)) / WEIGHTS
        if not path.is_file():
            raise AmeliError(f"No ResNet checkpoint in {path.parent}: there is no {WEIGHTS}.", hint=HINT)
        return model, path
    name, _, file = model.partition("/")
    if "resne" not in name or not timm.is_model(name):
        raise AmeliError(f"timm has no ResNet named {name!r}.", hint=HINT)
    if not file:
        known = timm.get_pretrained_cfg(name)
        if known is None or not known.hf_hub_id:  # an older address, whose file is pickled
            raise AmeliError(f"timm has no pretrained safetensors for {name!r}.", hint=HINT)
        return name, None
    path = Path(file)
    if path.suffix != ".safetensors":
        raise AmeliError(f"The checkpoint {file!r} is no .safetensors file.", hint=HINT)
    if not path.is_file():
        raise AmeliError(f"No checkpoint at {path}.", hint=HINT)
    return name, path


def _fill(network: Any, path: Path) -> None:
    """Loads all weights of the network; the file may also have those of a classifier.

    timm's own loader leaves a layer that the file lacks at random once the classifier is taken off.
    """
    from safetensors.torch import load_file

    found = load_file(path)
    wanted = network.state_dict()
    missing = sorted(wanted.keys() - found.keys())
    if missing:
        raise ValueError(f"{path} lacks {len(missing)} of {len(wanted)} weights, {missing[0]} among them")
    network.load_state_dict({name: found[name] for name in wanted})


def weights_digest(network: Any) -> str:
    """The first 16 hex digits of a SHA-256 over names and values of all weights."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()[:16]
