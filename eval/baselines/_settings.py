"""Settings that the image and text towers have in common, with the options that train has for them."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from eval.baselines._images import Images
from eval.baselines.options import Option

Epochs: TypeAlias = Annotated[int, Option("Epochs at most; training stops early on dev.", 1)]
LearningRate: TypeAlias = Annotated[float, Option("Adam's learning rate.", 0.0)]
BatchSize: TypeAlias = Annotated[int, Option("Pairs a batch.", 2)]
Temperature: TypeAlias = Annotated[float, Option("Divides the cosines.", 1e-6)]
AdapterForm: TypeAlias = Annotated[
    Literal["paper", "official"], Option("The paper's equations, or the official code's.")
]
CountedImages: TypeAlias = Annotated[
    Images,
    Option(
        "All images by the greatest cosine; the first only, as in the paper; or one of each side that is "
        "selected by the candidates, as in the official code."
    ),
]
GoldImage: TypeAlias = Annotated[
    bool,
    Option(
        "With selected images: training and dev select them by the gold product. The official code's leak, "
        "for comparison with its figures only."
    ),
]
