"""How common each attribute value is in the knowledge base: the chance that two products share it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, ValidationError

from ameli_llm.attributes.values.normalise import NormalisedValue, normalise_all
from ameli_llm.errors import AmeliError
from ameli_llm.files import first_error


@dataclass(frozen=True)
class KBStatistics:
    """Counts of products: with the key, with a value of it (``NormalisedValue.id``), with a base colour."""

    products: Mapping[str, int]
    values: Mapping[str, Mapping[str, int]]
    bases: Mapping[str, Mapping[str, int]]

    @staticmethod
    def of(attributes: Iterable[Mapping[str, tuple[str, ...]]]) -> KBStatistics:
        """Counts the normalised values of attribute dictionaries, each product once per value."""
        products: Counter[str] = Counter()
        values: dict[str, Counter[str]] = {}
        bases: dict[str, Counter[str]] = {}
        for product in attributes:
            for key, raw in product.items():
                known = normalise_all(key, raw)
                if not known:
                    continue
                products[key] += 1
                values.setdefault(key, Counter()).update({value.id for value in known})
                shades = {value.base for value in known if value.kind == "colour"}
                if shades:
                    bases.setdefault(key, Counter()).update(shades)
        return KBStatistics(dict(products), values, bases)

    def frequency(self, key: str, value: NormalisedValue) -> float:
        """Share of the products with the key that have the value, smoothed to lie inside (0, 1)."""
        return self._share(self.values, key, value.id)

    def base_frequency(self, key: str, value: NormalisedValue) -> float:
        """Share of the products with the key that have any shade of the value's base colour, smoothed."""
        return self._share(self.bases, key, value.base)

    def to_json(self) -> str:
        """The statistics as JSON, keys sorted; ``from_json`` reads it."""
        content = {"products": self.products, "values": self.values, "bases": self.bases}
        return json.dumps(content, ensure_ascii=False, sort_keys=True)

    @staticmethod
    def from_json(text: str) -> KBStatistics:
        """Raises AmeliError when the text is no such JSON."""
        try:
            content = _Content.model_validate_json(text)
        except ValidationError as error:
            raise AmeliError(
                f"Attribute statistics cannot be read: {first_error(error)}.", hint="Index the dataset again."
            ) from error
        return KBStatistics(content.products, content.values, content.bases)

    def _share(self, table: Mapping[str, Mapping[str, int]], key: str, name: str) -> float:
        return (table.get(key, {}).get(name, 0) + 0.5) / (self.products.get(key, 0) + 1)


class _Content(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    products: dict[str, int]
    values: dict[str, dict[str, int]]
    bases: dict[str, dict[str, int]]
