"""Guesses what a file holds and what its columns become: by their names, then by what stands in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ameli_llm.dataset.importing.columns import Column, Columns
from ameli_llm.dataset.importing.fields import ATTRIBUTE, FIELDS, IGNORE, Kind, plain
from ameli_llm.errors import AmeliError

_AMELI: Mapping[Kind, tuple[frozenset[str], frozenset[str]]] = {
    "products": (
        frozenset({"id", "product_name", "product_category"}),
        frozenset({"Spec", "overview_section", "image_path"}),
    ),
    "reviews": (
        frozenset({"review_id", "header", "body", "mention"}),
        frozenset({"gold_entity_info", "review_image_path"}),
    ),
}
"""Columns that AMELI's records have, all of the first set and any of the second."""

_PROSE_WORDS = 12
"""Texts that are longer on average are no attribute values."""
_REVIEW_WORDS = 5
_WORDS: Mapping[Kind, tuple[str, ...]] = {
    "products": ("product", "products", "item", "items", "catalog", "catalogue", "kb", "meta", "entities"),
    "reviews": ("review", "reviews", "comments", "ratings", "mentions"),
}


def is_ameli(kind: Kind, columns: Iterable[str]) -> bool:
    """Whether these are columns of AMELI's own records."""
    present = set(columns)
    needed, any_of = _AMELI[kind]
    return needed <= present and bool(any_of & present)


def kind_of(name: str, columns: Columns) -> Kind:
    """What a file holds: by the fields that its columns could become, and where both fit, by its ``name``.

    Raises AmeliError when it cannot be told.
    """
    present = [column.name for column in columns]
    for kind in _AMELI:
        if is_ameli(kind, present):
            return kind
    fields = {kind: set(guess_columns(kind, columns, {}).values()) - {ATTRIBUTE, IGNORE} for kind in FIELDS}
    is_review = "body" in fields["reviews"] and _names_field("reviews", "body", present)
    is_product = {"id", "name"} <= fields["products"]
    if is_review != is_product:
        return "reviews" if is_review else "products"
    words = set(plain(name).split())
    by_name = [kind for kind, known in _WORDS.items() if words & set(known)]
    if len(by_name) == 1:
        return by_name[0]
    if is_review and len(fields["reviews"]) != len(fields["products"]):
        return "reviews" if len(fields["reviews"]) > len(fields["products"]) else "products"
    shown = ", ".join(present[:30]) or "none"
    raise AmeliError(
        f"Cannot tell whether {name} holds products or reviews. Its columns: {shown}.",
        hint="Say it: --products FILE or --reviews FILE.",
    )


def guess_columns(kind: Kind, columns: Columns, decided: Mapping[str, str]) -> dict[str, str]:
    """The field of every column, in the order of the table; what is ``decided`` stays.

    A field takes the column with the likeliest name. Left-over columns of products are attributes, unless
    they are links or prose; those of reviews are ignored.
    """
    chosen = dict(decided)
    for field in FIELDS[kind].values():
        if field.many or field.name not in chosen.values():
            chosen |= dict.fromkeys(_candidates(field.names, columns, chosen, field.many), field.name)
    if kind == "reviews" and "body" not in chosen.values():
        prose = [c for c in columns if c.name not in chosen and c.words >= _REVIEW_WORDS and not c.is_links]
        chosen |= {column.name: "body" for column in sorted(prose, key=lambda c: -c.words)[:1]}
    return {column.name: chosen.get(column.name) or _left_over(kind, column) for column in columns}


def _candidates(names: tuple[str, ...], columns: Columns, taken: Mapping[str, str], many: bool) -> list[str]:
    """The columns that are called so: all of them, or the one with the likeliest name."""
    free = [column for column in columns if column.name not in taken and column.filled]
    called = sorted(
        (column for column in free if plain(column.name) in names), key=lambda c: names.index(plain(c.name))
    )
    if many:
        return [column.name for column in free if column in called]
    return [column.name for column in called[:1]]


def _left_over(kind: Kind, column: Column) -> str:
    usable = column.filled and not column.is_links and column.words <= _PROSE_WORDS
    return ATTRIBUTE if kind == "products" and usable else IGNORE


def _names_field(kind: Kind, field: str, columns: Iterable[str]) -> bool:
    return any(plain(name) in FIELDS[kind][field].names for name in columns)
