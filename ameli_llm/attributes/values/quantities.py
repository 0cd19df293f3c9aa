"""Reads numbers with units: 15.6", 13-1/4", 5'10", 12 fl. oz., 6.0 x 2.7 x 1.4 inches, 12k BTU, six cups."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from ameli_llm.attributes.values.numerals import NUMERALS
from ameli_llm.attributes.values.tokens import MAX_CHARS, plain
from ameli_llm.attributes.values.units import Unit, convert, unit_pattern, units

Form = Literal["single", "size", "range"]

_VULGAR = {
    "½": 1 / 2,
    "¼": 1 / 4,
    "¾": 3 / 4,
    "⅓": 1 / 3,
    "⅔": 2 / 3,
    "⅛": 1 / 8,
    "⅜": 3 / 8,
    "⅝": 5 / 8,
    "⅞": 7 / 8,
}
_THOUSAND = re.compile(r"\s?k(?=[\s-]?[a-z])", re.IGNORECASE)
_UNDER = "(?:[2-9]|10|16|32|64)(?![\\d/])"  # denominators of inches and cups; 10/100/1000 is no fraction
_NUMBER = re.compile(
    rf"""(?: (?<= \dx ) | (?<! [\w.,$€£#] ) )
         (?: (?P<whole> \d{{1,4}} ) (?: [\s-]{{1,2}} (?P<over> \d{{1,2}} ) / (?P<under> {_UNDER} )
                                      | \s? (?P<vulgar> [½¼¾⅓⅔⅛⅜⅝⅞] ) )
           | (?P<top> \d{{1,2}} ) / (?P<bottom> {_UNDER} )
           | (?P<alone> [½¼¾⅓⅔⅛⅜⅝⅞] )
           | (?P<decimal> \d{{1,3}} (?: ,\d{{3}} )+ (?: \.\d{{1,12}} )?
                        | \d{{1,15}} (?: \.\d{{1,12}} | ,\d{{1,2}} (?! \d ) )?
                        | \.\d{{1,12}} )
           | (?P<word> (?i: {"|".join(NUMERALS)} ) ) \b
         ) (?! \d )""",
    re.VERBOSE,
)
_TIMES = re.compile(r"\s*\(?[lwhd]?\)?\s*(?:x|by|\*)\s*", re.IGNORECASE)
_TO = re.compile(r"\s*(?:-|to|through)\s*", re.IGNORECASE)
_THEN_INCHES = re.compile(r"\s*(?:and|,)?\s*", re.IGNORECASE)
_OPEN_QUOTE = re.compile(r"(?:^|[\s(])\"(?=\w)[^\"]*$")
_MAX_PARTS = 4


@dataclass(frozen=True, slots=True)
class Quantity:
    """``magnitudes`` in the base unit of ``dimension``: one, or the sorted sides of a size, or low and high.

    ``unit`` is the unit as written, None for a bare number, whose dimension is "number" and whose magnitude
    is kept exactly.
    """

    dimension: str
    magnitudes: tuple[float, ...]
    form: Form
    start: int
    end: int
    unit: Unit | None = None

    @property
    def code(self) -> str:
        """Identity: the same for all spellings of one quantity."""
        return f"{self.dimension} {self.form} {' '.join(print_number(m) for m in self.magnitudes)}"

    @property
    def text(self) -> str:
        """Canonical spelling, which reads back as the same quantity."""
        unit = units().printed.get(self.dimension, "")
        joint = {"single": "", "size": " x ", "range": " - "}[self.form]
        return f"{joint.join(print_number(m) for m in self.magnitudes)} {unit}".strip()


@dataclass(frozen=True, slots=True)
class _Atom:
    value: float
    unit: Unit | None
    start: int
    end: int


def find_quantities(text: str, *, free_text: bool = True, bare: Unit | None = None) -> tuple[Quantity, ...]:
    """The quantities of a text from left to right, bare numbers included; none overlap.

    ``free_text=False`` reads ambiguous units as units (see ``unit_pattern``). Numbers without a unit are
    taken as ``bare``.
    """
    source = plain(text[:MAX_CHARS])
    found: list[Quantity] = []
    group: list[_Atom] = []
    joint = ""
    for atom in _atoms(source, free_text=free_text):
        gap = source[group[-1].end : atom.start] if group else ""
        link = _link(group, gap, atom) if group else ""
        if link and (not joint or joint == link == "size"):
            joint = link
            group.append(atom)
            continue
        found += _close(group, joint, bare)
        group, joint = [atom], ""
    found += _close(group, joint, bare)
    return tuple(found)


def _atoms(source: str, *, free_text: bool) -> Iterator[_Atom]:
    pattern = unit_pattern(free_text=free_text)
    for match in _NUMBER.finditer(source):
        value = _value(match)
        if value is None:
            continue
        behind = pattern.match(source, match.end())
        thousand = None if behind else _THOUSAND.match(source, match.end())
        if thousand and (behind := pattern.match(source, thousand.end())):
            value *= 1000
        unit = units().get(behind.group()) if behind else None
        alias = behind.group().strip(" -.").lower() if behind else ""
        if match["word"] and alias in ("", "in"):
            continue  # "the six of us", "one in blue"
        if unit and behind and free_text and _is_closing_quote(source, match.start(), behind.group()):
            unit = None
        if unit and behind:
            yield _Atom(value, unit, match.start(), behind.end())
        elif not source[match.end() : match.end() + 1].isalpha() or _TIMES.match(source, match.end()):
            yield _Atom(value, None, match.start(), match.end())


def _is_closing_quote(source: str, start: int, unit: str) -> bool:
    return unit.strip() == '"' and bool(_OPEN_QUOTE.search(source, max(0, start - 60), start))


def _value(match: re.Match[str]) -> float | None:
    part = match.groupdict()
    if part["whole"]:
        if part["vulgar"]:
            return int(part["whole"]) + _VULGAR[part["vulgar"]]
        return int(part["whole"]) + int(part["over"]) / int(part["under"])
    if part["top"]:
        return int(part["top"]) / int(part["bottom"])
    if part["alone"]:
        return _VULGAR[part["alone"]]
    if part["word"]:
        return NUMERALS.index(part["word"].lower())
    written = part["decimal"]
    whole, comma, rest = written.rpartition(",")
    if comma and len(rest.partition(".")[0]) < 3:
        written = f"{whole}.{rest}"
    return float(written.replace(",", ""))


def _link(group: list[_Atom], gap: str, atom: _Atom) -> str:
    """How the next number belongs to the ones before: "size", "range", "feet", or "" when it does not."""
    last = group[-1]
    if last.unit and atom.unit and (last.unit.name, atom.unit.name) == ("foot", "inch"):
        return "feet" if _THEN_INCHES.fullmatch(gap) and atom.value < 12 else ""
    if last.unit and atom.unit and last.unit.dimension != atom.unit.dimension:
        return ""
    if _TIMES.fullmatch(gap):
        return "size" if len(group) < _MAX_PARTS else ""
    return "range" if _TO.fullmatch(gap) and atom.unit and last.value < atom.value else ""


def _close(group: list[_Atom], joint: str, bare: Unit | None) -> list[Quantity]:
    """The quantity of linked numbers; a unit that some lack is that of the last one that has it."""
    if not group:
        return []
    start, end = group[0].start, group[-1].end
    unit = next((atom.unit for atom in reversed(group) if atom.unit), bare)
    if unit is None:
        form: Form = "size" if joint == "size" else "single"
        return [Quantity("number", tuple(sorted(atom.value for atom in group)), form, start, end)]
    if joint == "feet":
        inches = units().get("inch")
        whole = convert(group[0].value * 12 + group[1].value, inches) if inches else None
        return [] if whole is None else [Quantity(unit.dimension, (whole,), "single", start, end, unit)]
    converted = [convert(_binary(atom.value, atom.unit or unit), atom.unit or unit) for atom in group]
    magnitudes = [m for m in converted if m is not None]
    if len(magnitudes) < len(group):
        return []
    form = "size" if joint == "size" else "range" if joint == "range" else "single"
    return [Quantity(unit.dimension, tuple(sorted(magnitudes)), form, start, end, unit)]


def _binary(value: float, unit: Unit) -> float:
    """1024 GB is sold as 1 TB and 2048 MB as 2 GB: multiples of 1024 are counted in thousands."""
    return value / 1.024 if unit.dimension == "data" and value and value % 1024 == 0 else value


def print_number(value: float) -> str:
    """Plain digits, no exponent: 0.0001, 31600000, 15.6."""
    written = format(Decimal(repr(value)), "f")
    return written.rstrip("0").rstrip(".") if "." in written else written
