"""Product pages: a variant as a record of ``products.json`` (docs/datasets.md)."""

from __future__ import annotations

from typing import Any

from ameli_llm.dataset.synth.products import COLOUR, Item, generator, pick, product_name, title

_OPENINGS = (
    "Meet the {brand} {line} {noun}.",
    "The {line} by {brand} brings new ease to everyday life.",
    "Make room for this {brand} {noun}.",
    "This {noun} from the {line} family is built around you.",
    "Upgrade your home with the {brand} {line}.",
    "{brand} designed the {line} {noun} for people who expect more.",
)
_CLOSINGS = (
    "Set it up in minutes.",
    "Backed by a dedicated support line.",
    "A fine gift for any occasion.",
    "Everything you need is in the box.",
    "Designed to last.",
)


def product_record(item: Item, product_id: int, seed: int, images: list[str]) -> dict[str, Any]:
    """The page of a product; variants of a family share all of it but the axes and the model number."""
    family, _ = item
    rng = generator(seed, "page", family.index)
    words = {"brand": family.brand, "line": family.line, "noun": family.category.noun.lower()}
    sentences = [pick(rng, _OPENINGS).format(**words)]
    sentences += [feature.text for feature in family.features[:2]]
    sentences.append(pick(rng, _CLOSINGS))
    sku = f"{product_id:07d}"
    slug = title(item).lower().replace('"', "").replace(" - ", " ").replace(" ", "-")
    return {
        "id": product_id,
        "product_name": title(item),
        "product_category": " -> ".join(family.category.path),
        "url": f"https://example.org/site/{slug}/{sku}.p?skuId={sku}",
        "overview_section": {
            "description": None if rng.random() < 0.03 else " ".join(sentences),
            "features": [{"header": f.header, "description": f.text} for f in family.features],
        },
        "Spec": _specification(item),
        "image_path": images,
        "image_url": [f"https://example.org/images/{name}" for name in images],
    }


def _specification(item: Item) -> list[dict[str, Any]]:
    family, variant = item
    values = {**family.fixed, **variant.values}
    sections: dict[str, list[tuple[str, str]]] = {
        "Key Specs": [],
        "General": [
            ("Brand", family.brand),
            ("Product Name", product_name(item)),
            ("Model Number", variant.model),
            (COLOUR, variant.colour.name),
            ("Color Category", variant.colour.basic),
        ],
    }
    for attribute in family.category.attributes:
        if attribute.key in values:
            sections.setdefault(attribute.section, []).append((attribute.key, values[attribute.key]))
    sections["Dimensions"] = list(family.dimensions.items())
    parts, labor = family.warranty
    sections["Warranty"] = [
        ("Manufacturer's Warranty - Parts", parts),
        ("Manufacturer's Warranty - Labor", labor),
    ]
    if family.flat_page:
        sections = {"All": [row for rows in sections.values() for row in rows]}
    return [
        {"subsection": name, "text": [{"specification": key, "value": value} for key, value in rows]}
        for name, rows in sections.items()
        if rows
    ]
