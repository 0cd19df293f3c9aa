"""The words that stand for a product and for a review in text retrieval."""

from __future__ import annotations

from ameli_llm.dataset.attributes import attribute_dictionary
from ameli_llm.types import Product, Review

DESCRIPTION_LIMIT = 2000
ATTRIBUTE_LIMIT = 300


def entity_text(product: Product) -> str:
    """Name, description (cut at 2,000 characters), then every attribute as "Key: value, value."."""
    attributes = (
        f"{key}: {', '.join(values)[:ATTRIBUTE_LIMIT]}."
        for key, values in attribute_dictionary(product).items()
        if values
    )
    parts = [_sentence(product.name), _sentence(product.description[:DESCRIPTION_LIMIT]), *attributes]
    return " ".join(part for part in parts if part)


def query_text(review: Review) -> str:
    """Header, body and, when neither contains it, the mention."""
    text = review.text
    mention = review.mention.strip()
    if mention and mention.lower() not in text.lower():
        return f"{text}. {mention}" if text else mention
    return text


def _sentence(text: str) -> str:
    text = " ".join(text.split())
    return text if not text or text[-1] in ".!?" else f"{text}."
