"""A table as data, and the same table as Markdown, LaTeX, CSV and JSON."""

from __future__ import annotations

import csv as csv_format
import dataclasses
import io
import math
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ameli_llm.files import make_folder, write_json, write_text

UPRIGHT = 10
"""Columns of the widest table that LaTeX sets upright."""

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "`": r"\textasciigrave{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "≤": r"\ensuremath{\leq}",
    "≥": r"\ensuremath{\geq}",
    "≠": r"\ensuremath{\neq}",
    "≈": r"\ensuremath{\approx}",
    "∞": r"\ensuremath{\infty}",
    "−": r"\ensuremath{-}",
    **{character: f"{{{character}}}" for character in "[*"},
    **{character: f"\\{character}" for character in "&%$#_{}"},
}
_LATEX_GREEK = "αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΦΨΩ"
_LATEX_AS_IT_IS = {*map(chr, range(0xA1, 0x180)), *"ȘșȚț‐–—‘’‚“”„†‡•…‰‹›€№™←↑→↓"} - set("ĦħĸĿŀŉŦŧſ")
_LATEX_LIGATURE = re.compile(r"([-',])(?=\1)")
_DIGEST = re.compile(r"[0-9a-f]{40,}")
_MARKDOWN = {character: f"\\{character}" for character in "\\|*`<"}


@dataclass(frozen=True)
class Table:
    """A table for readers (``columns``, ``rows`` of text cells) and the figures behind it (``data``).

    The first column names the row. ``notes`` follow the table, a line each. ``data`` holds what
    ``json_object`` turns into JSON.
    """

    title: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"{len(row)} cells for {len(self.columns)} columns: {row}")


def markdown(table: Table) -> str:
    """A heading, the caption, a pipe table and the notes as a list."""
    lines = [f"# {_markdown(table.title)}", "", _markdown(table.caption), ""]
    lines.append(_pipes(table.columns))
    lines.append("|".join(["", " --- ", *[" ---: "] * (len(table.columns) - 1), ""]))
    lines += [_pipes(row) for row in table.rows]
    if table.notes:
        lines += ["", *(f"- {_markdown(note)}" for note in table.notes)]
    return "\n".join(lines) + "\n"


def latex(table: Table) -> str:
    """A float for pdfLaTeX, scaled to the page and on its side when it is wide; the notes follow as text.

    What all rows of a wide table have in common stands in its caption, not in a column. The preamble needs
    the packages fontenc with the option T1, booktabs and rotating. A character that those cannot set is spelt
    as its code point: U+4E2D.
    """
    table = _narrowed(table) if len(table.columns) > UPRIGHT else table
    place = "sidewaystable*" if len(table.columns) > UPRIGHT else "table*"
    lines = [r"% Needs \usepackage[T1]{fontenc}, \usepackage{booktabs}, \usepackage{rotating}."]
    lines += [rf"\begin{{{place}}}", r"\centering", r"\small"]
    lines.append(r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%")
    lines.append(rf"\begin{{tabular}}{{l{'r' * (len(table.columns) - 1)}}}")
    lines += [r"\toprule", _ampersands(table.columns), r"\midrule"]
    lines += [_ampersands(row) for row in table.rows]
    lines += [r"\bottomrule", r"\end{tabular}}"]
    lines.append(rf"\caption{{{_latex(' '.join([table.title + '.', table.caption]).strip())}}}")
    lines.append(rf"\end{{{place}}}")
    lines += [rf"{{\footnotesize\raggedright {_latex(note)}\par}}" for note in table.notes]
    return "\n".join(lines) + "\n"


def _narrowed(table: Table) -> Table:
    """The table without the columns that are the same in all rows, which its caption names instead."""
    common = [len(table.rows) > 1 and len(set(cells)) == 1 for cells in zip(*table.rows, strict=True)]
    if not any(common):
        return table
    said = [
        f"{name} {cell}"
        for name, cell, same in zip(table.columns, table.rows[0], common, strict=True)
        if same
    ]
    return dataclasses.replace(
        table,
        caption=f"{table.caption} All rows: {', '.join(said)}.",
        columns=_kept(table.columns, common),
        rows=tuple(_kept(row, common) for row in table.rows),
    )


def _kept(cells: Sequence[str], common: Sequence[bool]) -> tuple[str, ...]:
    return tuple(cell for cell, same in zip(cells, common, strict=True) if not same)


def csv(table: Table) -> str:
    """The cells with the columns' names on the first line; neither caption nor notes."""
    stream = io.StringIO()
    writer = csv_format.writer(stream, lineterminator="\n")
    writer.writerows([table.columns, *table.rows])
    return stream.getvalue()


def json_object(table: Table) -> dict[str, Any]:
    """Title, caption and notes, and on the same level the table's ``data``, in JSON types.

    Dataclasses become objects, floats have 8 significant digits, NaN and infinity become null.
    """
    head = {"title": table.title, "caption": table.caption, "notes": list(table.notes)}
    content: dict[str, Any] = _json({**head, **table.data})
    return content


def write_tables(table: Table, folder: Path, stem: str) -> list[Path]:
    """Writes ``stem`` with .md, .tex, .csv and .json into ``folder``; their paths. Raises AmeliError."""
    make_folder(folder)
    forms: dict[str, Callable[[Table], str]] = {"md": markdown, "tex": latex, "csv": csv}
    paths = []
    for suffix, form in forms.items():
        paths.append(folder / f"{stem}.{suffix}")
        write_text(paths[-1], form(table))
    paths.append(folder / f"{stem}.json")
    write_json(paths[-1], json_object(table))
    return paths


def settings(tree: Mapping[str, Any]) -> str:
    """Nested settings as one line for a note: ``key value, section.key value``.

    Digests are cut; what is None or "" is left out.
    """
    return ", ".join(f"{key} {value}" for key, value in _leaves(tree, ""))


def _json(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: _json(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.8g}") if math.isfinite(value) else None
    return value


def _pipes(cells: Sequence[str]) -> str:
    return "".join(["|", *(f" {_markdown(cell)} |" for cell in cells)])


def _ampersands(cells: Sequence[str]) -> str:
    return " & ".join(_latex(cell) for cell in cells) + r" \\"


def _markdown(text: str) -> str:
    return "".join(_MARKDOWN.get(character, character) for character in " ".join(text.split()))


def _latex(text: str) -> str:
    composed = unicodedata.normalize("NFC", " ".join(text.split()))
    return _LATEX_LIGATURE.sub(r"\1{}", "".join(map(_latex_character, composed)))


def _latex_character(character: str) -> str:
    if character in _LATEX:
        return _LATEX[character]
    if character in _LATEX_GREEK:
        name = unicodedata.name(character).split()[-1].replace("LAMDA", "LAMBDA")
        return rf"\ensuremath{{\{name.capitalize() if character.isupper() else name.lower()}}}"
    if " " <= character <= "~" or character in _LATEX_AS_IT_IS:
        return character
    return f"U+{ord(character):04X}"


def _leaves(tree: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        elif value not in (None, ""):
            yield f"{prefix}{key}", _short(value)


def _short(value: Any) -> str:
    if isinstance(value, list | tuple):
        return " ".join(map(_short, value)) or "none"
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return f"{text[:12]}..." if _DIGEST.fullmatch(text) else text
