"""The report of any number of runs: one HTML file that needs nothing else, not even a network.

Whatever reviews, models, templates and ids contain is text in it: the page is escaped where it is written,
cards are data that the page's own script shows as text, and its policy lets nothing run or load but that
script, its style and pictures inside the file.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ameli_llm.files import write_text
from ameli_llm.runs import RunFolder
from eval.evaluation import Evaluation
from eval.measures.error_budget import CAUSES
from eval.report.cards import CardMaker
from eval.report.contents import Contents
from eval.report.photos import Photos, dataset_of
from eval.report.rows import rows_of
from eval.report.sides import FACTS, Side, compare_sides, open_sides
from eval.report.text import shown
from eval.standing import Standing

if TYPE_CHECKING:
    import jinja2

SCRIPTS = ("payload.js", "card.js", "filters.js", "list.js", "keys.js")
"""The page's script, in the order in which it runs."""

LONGEST_TEXT = 100_000
"""Characters of any text in the page outside of the cards."""

_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Written:
    """A report on disk, and how far its runs are, by what it calls them ("" for a single one).

    ``photos`` says how many there are.
    """

    path: Path
    standings: Mapping[str, Standing]
    photos: str


def write_report(
    run: RunFolder,
    out: Path | None = None,
    others: Sequence[RunFolder] = (),
    dataset: Path | None = None,
    evaluation: Evaluation | None = None,
) -> Written:
    """Writes the report of ``run``, compared with ``others``, to ``out`` (default: into the run folder).

    ``dataset`` is the folder that was linked, for photos; ``evaluation``, that of ``run`` where it was
    measured already. Raises AmeliError when a folder is no run, has no predictions, shares no review with
    the first, or when ``dataset`` is another than that of ``run``.
    """
    out = out or run.path / "report.html"
    sides = open_sides([run, *others], evaluation)
    photos = Photos(dataset_of(dataset, run) if dataset else None)
    write_text(out, _page(sides, photos))
    standings = {side.letter if others else "": side.standing for side in sides}
    return Written(out, standings, str(photos))


def render(run: RunFolder, *others: RunFolder, dataset: Path | None = None) -> str:
    """The report as HTML."""
    return _page(open_sides([run, *others]), Photos(dataset_of(dataset, run) if dataset else None))


def _page(sides: Sequence[Side], photos: Photos) -> str:
    from markupsafe import Markup

    rows = rows_of(sides)
    maker = CardMaker(_texts(sides, "reviews"), _texts(sides, "products"), photos)
    script = "\n".join((_TEMPLATES / name).read_text(encoding="utf-8") for name in SCRIPTS)
    script = f'"use strict";\n(() => {{\n{script}}})();\n'
    style = (_TEMPLATES / "report.css").read_text(encoding="utf-8")
    against = compare_sides(sides) if len(sides) > 1 else []
    contents = list(Contents(sides, rows, maker).elements())  # before the photos are counted
    return _template().render(
        sides=sides,
        against=against,
        facts=[name for name in FACTS if any(name in side.facts for side in sides)],
        scores=_scores(sides),
        causes=CAUSES,
        contents=contents,
        total=len(rows),
        photos=str(photos),
        script=Markup(script),
        style=Markup(style),
        policy=f"default-src 'none'; script-src {_source(script)}; style-src {_source(style)}; "
        "img-src data:; base-uri 'none'; form-action 'none'",
    )


@cache
def _template() -> jinja2.Template:
    """Compiled once: that takes longer than to write a small report."""
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    ).get_template("report.html.j2")


def _texts(sides: Sequence[Side], name: str) -> dict[Any, Any]:
    """Texts by id, those of the first run that has them."""
    found: dict[Any, Any] = {}
    for side in reversed(sides):
        found |= side.run.texts(name)
    return found


def _scores(sides: Sequence[Side]) -> list[tuple[str, str, list[Mapping[str, Any] | None]]]:
    """Name and hint of each score, and its interval in each run."""
    known = [side.scores for side in sides]
    every = {name: score.hint for scores in known for name, score in scores.items()}
    return [
        (name, hint, [scores[name].interval if name in scores else None for scores in known])
        for name, hint in every.items()
    ]


def _source(content: str) -> str:
    """A script or style as the page's policy names it."""
    digest = hashlib.sha256(content.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


def _finalize(value: Any) -> Any:
    """Texts without control characters and of bounded length; markup is the page's own."""
    if isinstance(value, str) and not hasattr(value, "__html__"):
        return shown(value, LONGEST_TEXT)
    return value
