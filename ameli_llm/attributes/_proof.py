"""The span of a review that proves an attribute value: by quotation, or by the value itself."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from ameli_llm.attributes.matching.find import find_values
from ameli_llm.attributes.matching.sense import Sense
from ameli_llm.attributes.matching.vocabulary import arrange
from ameli_llm.attributes.values.colours import find_colours, parse_colours
from ameli_llm.attributes.values.normalise import key_role, normalise
from ameli_llm.attributes.values.quantities import find_quantities
from ameli_llm.attributes.values.tokens import tokens
from ameli_llm.templates.budget import MAX_CHARACTERS
from ameli_llm.templates.text import SearchableText, one_line
from ameli_llm.types import AttributeValue, Evidence, Review

_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_OF_SHADES = frozenset({"base colour", "unsure colour"})
_LOOSE = _OF_SHADES | {"nominal", "bare"}
"""Ways of matching that do not prove the value itself: "blue" is no proof of navy, nor "15" of 15.6"."""


class ProvenValues:
    """Collects proposals of one model for one review: proven ones as ``values``, the others counted.

    Without ``sense`` a quotation proves any value that it does not contradict.
    """

    def __init__(self, review: Review, source: str, sense: Sense | None = None) -> None:
        texts = {"header": review.header, "body": review.body}
        self._fields = {name: SearchableText(text[:MAX_CHARACTERS]) for name, text in texts.items()}
        self._source = source
        self._sense = sense
        self.values: list[AttributeValue] = []
        self.dropped: Counter[str] = Counter()

    def propose(self, key: str, values: Mapping[str, str], value: str, quote: str | None) -> None:
        """Keeps ``value`` of ``key`` if it is one of ``values`` (as shown, to raw) and its proof is found.

        ``quote`` None: the value itself must stand in the review, in any spelling that has its normal form.
        A quotation in other words than the value's counts, with ``sense``, for the one of ``values`` that it
        means: a model finds the words better than their value.
        """
        raw = _listed(key, values, value)
        if raw is None:
            self.dropped["unknown_value"] += 1
        elif quote is None:
            self._keep(key, raw, self._value(key, raw))
        else:
            self._quoted(key, raw, tuple(values.values()), quote)

    def propose_words(self, key: str, values: Mapping[str, str], words: str) -> None:
        """Keeps the one of ``values`` that a quotation states; given the key, a bare number may do."""
        raw = _listed(key, values, words) or _only_one(key, values, words)
        if raw is None:
            self.dropped["no_match"] += 1
        else:
            self._keep(key, raw, self._quotation(words))

    def propose_text(self, key: str, values: Mapping[str, str], generated: str) -> None:
        """Keeps the first of ``values`` that a completion states and the review contains.

        The rule of the official code: a value's words are a contiguous part of a line's words; values of one
        character and bare numbers never match. Of two values at one place the longer goes first.
        """
        stated = [raw for line in generated.splitlines() for raw in _stated(line, values.values())]
        if not stated:
            self.dropped["no_match"] += 1
            return
        proofs = ((raw, self._value(key, raw)) for raw in dict.fromkeys(stated))
        raw, proof = next(((raw, proof) for raw, proof in proofs if proof), (stated[0], None))
        self._keep(key, raw, proof)

    def _quoted(self, key: str, raw: str, values: Sequence[str], quote: str) -> None:
        possible = [value for value in values if not _contradicts(key, value, values, quote)]
        meant = raw if raw in possible else None
        if self._sense is not None and not (meant and _said(key, [meant], quote)):
            meant = self._sense.meant(quote, possible, raw) if _has_sense(key, quote) else None
        if meant is None:
            self.dropped["unlike" if raw in possible else "contradicted"] += 1
        else:
            self._keep(key, meant, self._quotation(quote))

    def _keep(self, key: str, raw: str, proof: Evidence | None) -> None:
        if proof is None:
            self.dropped["no_span"] += 1
        else:
            self.values.append(AttributeValue(key, raw, self._source, proof))

    def _quotation(self, quote: str) -> Evidence | None:
        for name, field in self._fields.items():
            span = field.find(quote)
            if span is not None:
                return Evidence(name, *span, field.text[slice(*span)])
        return None

    def _value(self, key: str, raw: str) -> Evidence | None:
        lookup = arrange({key: (raw,)})
        for name, field in self._fields.items():
            for match in find_values(field.text, lookup, typos=False):
                if match.form not in _LOOSE:
                    return Evidence(name, match.start, match.end, field.text[match.start : match.end])
        return self._quotation(raw)


def _listed(key: str, values: Mapping[str, str], value: str) -> str | None:
    shown = one_line(value)
    if shown in values:
        return values[shown]
    form = normalise(key, value)
    return next((raw for raw in values.values() if normalise(key, raw) == form), None)


def _only_one(key: str, values: Mapping[str, str], words: str) -> str | None:
    """The value that is found in the words; None when it is none, or when several are.

    A number without its unit may do, and a size in whole inches; a shade states its colour ("crimson" red),
    but no colour its shades.
    """
    found = _said(key, values.values(), words)
    return found.pop() if len(found) == 1 else None


def _said(key: str, values: Iterable[str], words: str) -> set[str]:
    """Those of ``values`` that the words themselves state; a colour's base colour states no shade of it."""
    return {
        entry.value
        for match in find_values(words, arrange({key: tuple(values)}), typos=False)
        for entry in match.entries
        if match.form not in _OF_SHADES or entry.normal.text == entry.normal.base
    }


def _has_sense(key: str, quote: str) -> bool:
    """Whether the quotation can state a value by its sense: names have none, nor have words of the key."""
    words, of_key = ({token.text for token in tokens(text)} for text in (quote, key))
    is_name = key_role(key) in ("brand", "model") or "name" in of_key
    return not is_name and not words <= of_key


def _contradicts(key: str, raw: str, values: Sequence[str], quote: str) -> bool:
    """Whether the quotation states another of the values, another amount, number or colour.

    An amount is proven by itself, in any unit, and by nothing else; an amount proves no word.
    """
    said, own = normalise(key, quote), normalise(key, raw)
    if said != own and any(said == normalise(key, other) for other in values):
        return True
    if own.kind == "quantity":
        return not find_values(quote, arrange({key: (raw,)}), typos=False)
    if not any(map(str.isdigit, raw)) and any(amount.unit for amount in find_quantities(quote)):
        return True
    return _has_another_number(raw, quote) or _is_another_colour(raw, quote)


def _has_another_number(raw: str, quote: str) -> bool:
    """Whether both have numbers, and each one that the other has not: "4K at 60p" and "4k 30"."""
    own, said = (set(_NUMBER.findall(text)) for text in (raw, quote))
    return bool(own and said) and not (own <= said or said <= own)


def _is_another_colour(raw: str, quote: str) -> bool:
    """Whether both name colours, and no base colour in common."""
    own = {colour.base for colour in parse_colours(raw)}
    said = {colour.base for colour in find_colours(quote) if colour.sure}
    return bool(own and said) and not own & said and "multicolor" not in own | said


def _stated(line: str, values: Iterable[str]) -> list[str]:
    words = [token.text for token in tokens(line)]
    found: list[tuple[int, int, str]] = []
    for raw in values:
        wanted = [token.text for token in tokens(raw)]
        joined = "".join(wanted)
        starts = (at for at in range(len(words)) if words[at : at + len(wanted)] == wanted)
        place = next(starts, None)
        if place is not None and len(joined) > 1 and not joined.isdigit():
            found.append((place, -len(wanted), raw))
    return [raw for _, _, raw in sorted(found)]
