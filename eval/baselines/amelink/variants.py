"""The variants of AMELINK in Table 5: which parts each has, and which text model it reads."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ameli_llm.errors import UnknownNameError
from eval.baselines.amelink.pairs import Slots
from eval.baselines.amelink.settings import AmelinkSettings


@dataclass(frozen=True, slots=True)
class Variant:
    """``text`` names the text model, "" where there is none."""

    text: str
    image: bool
    filtered: bool


VARIANTS: Mapping[str, Variant] = MappingProxyType(
    {
        "full": Variant("attributes", image=True, filtered=True),
        "without attribute": Variant("description", image=True, filtered=False),
        "without image": Variant("attributes", image=False, filtered=True),
        "without text": Variant("", image=True, filtered=True),
        "without title": Variant("untitled", image=True, filtered=True),
        "with title": Variant("titled", image=True, filtered=True),
    }
)
"""The paper's rows by name, and the title ablation of either preset."""


def variant_of(name: str) -> Variant:
    """The variant of that name, "" is "full". Raises UnknownNameError."""
    if name and name not in VARIANTS:
        raise UnknownNameError("variant of amelink", name, VARIANTS)
    return VARIANTS[name or "full"]


def default_variants(settings: AmelinkSettings) -> tuple[str, ...]:
    """All that differ: of the two about the title the one that the settings do not have anyway."""
    same = "with title" if settings.title else "without title"
    return tuple(name for name in VARIANTS if name != same)


def title_variant(settings: AmelinkSettings) -> str:
    """That of the two about the title which the settings do not have anyway."""
    return "without title" if settings.title else "with title"


def text_model(variant: Variant, settings: AmelinkSettings) -> str:
    """The text model that the variant reads: two with the same slots are one."""
    title = {"titled": True, "untitled": False}.get(variant.text)
    return "attributes" if title is not None and title == settings.title else variant.text


def text_models(variants: Iterable[str], settings: AmelinkSettings) -> list[str]:
    """The text models that the variants need, each once."""
    names = (text_model(variant_of(variant), settings) for variant in variants)
    return list(dict.fromkeys(name for name in names if name))


def read_together(name: str, trained: Collection[str], settings: AmelinkSettings) -> list[str]:
    """The text models, of those ``trained``, that are scored along with that one, itself among them.

    With a frozen encoder they share what it makes of texts or pairs that several of them read. In joint
    pairing the model of the description shares one pair of a candidate's 25 and is scored apart.
    """
    if not settings.frozen:
        return [name]
    apart = {"description"} if settings.pairing == "joint" else set()
    known = [one for one in text_models(VARIANTS, settings) if one in trained]
    return [one for one in known if (one in apart) == (name in apart)]


def slots_of(name: str, settings: AmelinkSettings) -> Slots:
    """What the text model of that name sees of a candidate."""
    if name == "description":
        keeps_title = settings.title and settings.title_without_attribute
        return Slots(int(keeps_title), title=keeps_title, description=True)
    title = {"titled": True, "untitled": False}.get(name, settings.title)
    return Slots(settings.attributes, title, settings.description)
