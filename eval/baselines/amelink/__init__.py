"""AMELINK (paper, section 4.4): text pairs through an encoder and an MLP, images through an adapter, summed.

``train`` writes a folder, ``create`` makes the full model or an ablation of Table 5 from it. Nothing heavy is
imported before one of them is called.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ameli_llm.types import Progress
from eval.baselines.amelink.settings import PRESETS, AmelinkSettings, settings_for
from eval.baselines.amelink.variants import VARIANTS, title_variant
from eval.baselines.baseline import Example, Preset, TableRow
from eval.baselines.material import Material

if TYPE_CHECKING:
    from eval.baselines.amelink.inference import Amelink
    from eval.baselines.amelink.models import Summary

__all__ = ["PRESETS", "VARIANTS", "AmelinkSettings", "create", "settings_for", "train"]


def create(material: Material, folder: Path | None, variant: str = "full") -> Amelink:
    """A variant of the AMELINK that ``train`` wrote to ``folder``.

    Raises AmeliError when the folder lacks the variant, or its weights are damaged, of another size, or of
    another encoder than is found now.
    """
    from eval.baselines.amelink.loading import create as create_from

    return create_from(material, folder, variant)


def train(
    material: Material,
    train_examples: Sequence[Example],
    dev_examples: Sequence[Example],
    out: Path,
    settings: AmelinkSettings,
    variants: Sequence[str] = (),
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> Summary:
    """Trains what the variants need (no name: all of Table 5) into ``out``; see ``models.train``."""
    from eval.baselines.amelink.models import train as train_into

    examples = train_examples, dev_examples
    return train_into(material, *examples, out, settings, variants, seed=seed, progress=progress)


def configured(preset: Preset, epochs: int | None, encoder: str, candidates: int) -> AmelinkSettings:
    """The settings of the preset with this encoder and K; ``epochs`` (None: the preset's) of every part."""
    given = {"epochs": epochs, "adapter_epochs": epochs} if epochs else {}
    return settings_for(preset, encoder, {"candidates": candidates, **given})


def rows(settings: AmelinkSettings) -> tuple[TableRow, ...]:
    """Those of the paper's table, and the title ablation: without it where the settings count it."""
    word = "without" if settings.title else "with"
    name = f"AMELINK_{'w/o' if settings.title else 'with'}_Title"
    return (
        TableRow("amelink-without-attribute", "without attribute"),
        TableRow("amelink-without-image", "without image"),
        TableRow("amelink-without-text", "without text", needs_images=True),
        TableRow("amelink", "full"),
        TableRow(f"amelink-{word}-title", title_variant(settings), False, name, "T+V", True),
    )
