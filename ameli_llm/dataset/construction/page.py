"""The page of a build, one HTML file: what each step kept and dropped, with examples."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ameli_llm.dataset.construction.mentions import DIFFERENT, OVERLAPPING, SAME

TITLES: Mapping[str, str] = {
    "products": "Products",
    "reviews": "Reviews: rules about words, votes and links (paper, section 3.2)",
    "images": "Reviews: images that can be used (paper, section 3.2, rule 5)",
    "mentions": "Mention detection (paper, section 3.3)",
    "crop": "Object crops (paper, section 3.2, rule 7)",
    "informative": "Filter of uninformative reviews (paper, section 3.4)",
    "duplicates": "Near-duplicates that were looked for",
    "split": "Near-duplicates that join products (paper, section 3.5)",
}
"""The steps in their order."""


@dataclass(frozen=True)
class StepView:
    """A step as the page shows it: counts as ``provenance.json`` has them."""

    title: str
    kept: int
    dropped: list[Mapping[str, Any]]
    notes: list[Mapping[str, Any]]

    @property
    def lost(self) -> int:
        """How many whole products or reviews went."""
        return sum(count["number"] for count in self.dropped if not count["what"].startswith("row"))


def build_page(account: Mapping[str, Any]) -> str:
    """The page of a build whose ``provenance.json`` has this content."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("build.html.j2").render(
        account=account,
        steps=step_views(account),
        remarks=remarks(account),
        settings=json.dumps(account["settings"], indent=2, ensure_ascii=False),
    )


def step_views(account: Mapping[str, Any]) -> list[StepView]:
    """The steps that were done, in their order."""
    views = []
    for name, title in TITLES.items():
        counts = [count for count in account["steps"] if count["step"] == name]
        kept = sum(count["number"] for count in counts if count["what"].endswith(" kept"))
        dropped = [count for count in counts if count["what"].endswith(" dropped")]
        notes = [count for count in counts if count["what"].endswith(" noted")]
        if counts:
            views.append(StepView(title, kept, dropped, notes))
    return views


def remarks(account: Mapping[str, Any]) -> list[str]:
    """What a reader has to know of this build: what was off, and what stood in for what the paper used."""
    settings, tools = account["settings"], account["tools"]
    rules = settings["rules"]
    said = [f"The rule {name} was off." for name, own in rules.items() if own is False]
    if rules["variant"] and "details" not in account["columns"]["found"]:
        said.append("The sources have no product details: links of reviews are as they came.")
    if rules["crop"] and rules["crop"]["cropper"] == "none":
        said.append("No photo was cropped: no cropper is named (rules.crop.cropper).")
    elif rules["crop"] and rules["crop"]["cropper"].startswith("edges"):
        said.append(
            "Crops are of the region with the strongest edges, not of a detected object (no detector ran)."
        )
    if rules["crop"] and rules["crop"]["leak_gold_title"]:
        said.append("A leak: crops were prompted with the title of the gold product.")
    if rules["length"] and not rules["length"]["tokenizer"]:
        said.append("Tokens are words and punctuation marks, no pieces of a language model's vocabulary.")
    if rules["profanity"] and not rules["profanity"]["words"]:
        said.append("The block list is that of better-profanity, not the one that the paper names.")
    if account["filter"] is None:
        said.append("The filter of uninformative reviews was off: there were neither labels nor thresholds.")
    if settings["mentions"]["choose"] == "longest":
        said.append("The longest matching words are the mention; no similarity was computed.")
    if settings["mentions"]["without_gold"]:
        said.append(_agreement(account))
    said.append("Mentions were found with the gold product's title and category, as the paper does: a leak.")
    said.append("Nobody has looked at the test split yet; ameli-llm data sheets makes the task for people.")
    return [*said, f"Noun chunks by: {tools['chunker']}."]


def _agreement(account: Mapping[str, Any]) -> str:
    """How often the mention is the same when the product is not known."""
    counts = {c["reason"]: c["number"] for c in account["steps"] if c["step"] == "mentions"}
    same, alike, other = (counts.get(reason, 0) for reason in (SAME, OVERLAPPING, DIFFERENT))
    both = same + alike + other
    share = f" ({100 * same / both:.1f} %)" if both else ""
    return (
        f"Without the product the same mention is found in {same} of {both} reviews{share} that have one "
        f"either way, an overlapping one or the same word in {alike}, another in {other}."
    )
