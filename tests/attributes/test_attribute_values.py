"""Tokens, quantities, colours, models and the normal form that they come to."""

from __future__ import annotations

from itertools import pairwise

import pint
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ameli_llm.attributes.values.colours import find_colours
from ameli_llm.attributes.values.models import find_models, same_model
from ameli_llm.attributes.values.normalise import (
    PARTIAL,
    agreement,
    alternatives,
    is_ignored,
    normalise,
    normalise_all,
)
from ameli_llm.attributes.values.numerals import DIGITS
from ameli_llm.attributes.values.quantities import find_quantities
from ameli_llm.attributes.values.tokens import MAX_CHARS, fold, plain, tokens
from ameli_llm.attributes.values.units import convert, load_table, units

ANY_TEXT = st.text(max_size=200)
PRODUCT_TEXT = st.text(alphabet="0123456789 .,-/x'\"½GgBbTiInNcmftoz°%RredblackCafés®“”", max_size=60)
KEYS = st.sampled_from(
    ["", "Color", "Brand", "Model Number", "Screen Size", "System Memory (RAM)", "Material"]
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("WH-1000XM4", ["wh", "1000", "xm", "4"]),
        ("wh 1000 xm4", ["wh", "1000", "xm", "4"]),
        ("Café's jeans, 1,000.5!", ["cafe", "jean", "1000.5"]),
        ("glass gas", ["glass", "gas"]),
        ("Six burners, one lid", ["6", "burner", "one", "lid"]),
        ("🎉 \0", []),
        ("שלום 512", ["שלום", "512"]),
    ],
)
def test_tokens(text: str, expected: list[str]) -> None:
    assert [token.text for token in tokens(text)] == expected


def test_tokens_of_a_long_text_end_at_the_limit() -> None:
    assert tokens("ab " * 100_000)[-1].end <= MAX_CHARS


@pytest.mark.parametrize(
    ("text", "span", "canonical"),
    [
        ('a 15.6" screen', '15.6"', "396 mm"),
        ("a 15.6” screen", "15.6”", "396 mm"),
        ("15.6-inch", "15.6-inch", "396 mm"),
        ("39.6 cm wide", "39.6 cm", "396 mm"),
        ('13-1/4"', '13-1/4"', "337 mm"),
        ("13 1/4 in", "13 1/4 in", "337 mm"),
        ("13½ in.", "13½ in.", "343 mm"),
        ("a 15in laptop", "15in", "381 mm"),
        ("""he is 5'10" tall""", """5'10\"""", "1780 mm"),
        ("5 ft 10 in", "5 ft 10 in", "1780 mm"),
        ("6.0 x 2.7 x 1.4 inches", "6.0 x 2.7 x 1.4 inches", "35.6 x 68.6 x 152 mm"),
        ('23.5"W x 20"H', '23.5"W x 20"', "508 x 597 mm"),
        ("1tb ssd", "1tb", "1000 gb"),
        ("1000 gigabytes", "1000 gigabytes", "1000 gb"),
        ("1024 GB", "1024 GB", "1000 gb"),
        ("4096MB", "4096MB", "4 gb"),
        ("16 gigs of ram", "16 gigs", "16 gb"),
        ("12 fl. oz. can", "12 fl. oz.", "355 ml"),
        ("1.5 quarts", "1.5 quarts", "1420 ml"),
        ("5.0 cu. ft.", "5.0 cu. ft.", "142000 ml"),
        ("1.75 pounds", "1.75 pounds", "794 gram"),
        ("28 oz", "28 oz", "794 gram"),
        ("60W bulb", "60W", "60 watt"),
        ("1,000 watts", "1,000 watts", "1000 watt"),
        ("90 - 264 V", "90 - 264 V", "90 - 264 volt"),
        ("5000mAh", "5000mAh", "5000 mah"),
        ("120 Hz", "120 Hz", "120 hz"),
        ("2.4GHz", "2.4GHz", "2400000000 hz"),
        ("7200rpm", "7200rpm", "7200 rpm"),
        ("12 mega-pixels", "12 mega-pixels", "12 megapixel"),
        ("60 mph", "60 mph", "96.6 km/h"),
        ("55 dB", "55 dB", "55 db"),
        ("100 °C", "100 °C", "212 °f"),
        ("10,000 BTU", "10,000 BTU", "2930 wh"),
        ("90 minutes", "90 minutes", "5400 sec"),
        ("50%", "50%", "50 %"),
        ("1920 x 1080", "1920 x 1080", "1080 x 1920"),
        ("three quart bin", "three quart", "2840 ml"),
        ("Seven-inch", "Seven-inch", "178 mm"),
        ("a 12k BTU burner", "12k BTU", "3520 wh"),
        ("2.5k lumens", "2.5k lumens", "2500 lumen"),
    ],
)
def test_quantities(text: str, span: str, canonical: str) -> None:
    (quantity,) = find_quantities(text)
    assert (text[quantity.start : quantity.end], quantity.text) == (span, canonical)


@pytest.mark.parametrize(
    "text", ["15 in the box", "2 in 1", "10/100/1000 Gigabit", "the 90's", 'the "model 15" is', "4w x 3d"]
)
def test_numbers_that_have_no_unit(text: str) -> None:
    assert all(quantity.unit is None for quantity in find_quantities(text))


@pytest.mark.parametrize(
    "text",
    [
        "$1,000",
        "1080p",
        "5th",
        "12345678901234567890 GB",
        "",
        "🎉",
        "one in blue",
        "the six of us",
        "a 5k run",
    ],
)
def test_no_quantity(text: str) -> None:
    assert find_quantities(text) == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the grey one", [("gray", "gray")]),
        ("Space Gray", [("gray", "space gray")]),
        ("gray-toned pink", [("pink", "gray pink")]),
        ("Navy Blue", [("blue", "navy")]),
        ("black/red", [("black", "black"), ("red", "red")]),
        ("dark green and white", [("green", "dark green"), ("white", "white")]),
        ("black friday, blue tooth, white noise", []),
        ("redo the blackout", []),
    ],
)
def test_colours(text: str, expected: list[tuple[str, str]]) -> None:
    assert [(colour.base, colour.shade) for colour in find_colours(text)] == expected


def test_ordinary_words_are_no_sure_colours() -> None:
    assert [colour.sure for colour in find_colours("rose, navy, sand")] == [False, True, False]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("my WH-1000XM4 rocks", ["wh1000xm4"]),
        ("MDR-7506/B and MP42B", ["mdr7506b", "mp42b"]),
        ("1080p, 5th, 3-piece, 2nd, 4k", []),
    ],
)
def test_models(text: str, expected: list[str]) -> None:
    assert [model.code for model in find_models(text)] == expected


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        ("wh1000xm4", "wh1000xm4", True),
        ("wh1000xm4", "wh1000xm4b", True),
        ("hdx55", "hdx555", False),
        ("p7", "p7x", False),
        ("galaxy", "galaxys6", False),
    ],
)
def test_same_model(left: str, right: str, same: bool) -> None:
    assert same_model(left, right) is same


@pytest.mark.parametrize(
    ("key", "left", "right"),
    [
        ("Brand", "Hewlett-Packard", "HP"),
        ("Brand", "Samsung Electronics America Inc.", "SAMSUNG"),
        ("Brand", "Tripp Lite", "TRIPPLITE"),
        ("Model Number", "WH-1000XM4", "wh 1000 xm4"),
        ("Solid State Drive Capacity", "1tb", "1000 gigabytes"),
        ("System Memory (RAM)", "16", "16 GB"),
        ("Screen Size", "15.6", '15.6"'),
        ("Capacity", "4 cups", "1 quart"),
        ("Volts", "AC 120 V", "120"),
        ("Color", "Grey", "gray"),
        ("Color", "Navy Blue", "navy"),
        ("Dimensions", "6 x 4 in", '4" x 6"'),
        ("Material", "100% Cotton", "100 % cotton"),
    ],
)
def test_one_value_in_two_spellings(key: str, left: str, right: str) -> None:
    assert normalise(key, left) == normalise(key, right)
    assert hash(normalise(key, left)) == hash(normalise(key, right))


@pytest.mark.parametrize(
    ("key", "left", "right"),
    [
        ("Color", "Navy", "Blue"),
        ("Storage", "512 GB", "500 GB"),
        ("Weight", "12 oz", "12 fl oz"),
        ("Model Number", "P7", "P70"),
        ("Package", "8400", "8401"),
        ("Brand", "Apple", "Acme"),
    ],
)
def test_two_values(key: str, left: str, right: str) -> None:
    assert normalise(key, left) != normalise(key, right)


@pytest.mark.parametrize(
    ("key", "cell", "expected"),
    [
        ("Size", "XS, S, M", ("XS", "S", "M")),
        ("Color", "Black/Red", ("Black", "Red")),
        ("Color", "Black and White", ("Black", "White")),
        ("Weight", "1,000 lb", ("1,000 lb",)),
        ("Brand", "Samsung, Inc.", ("Samsung, Inc.",)),
        ("Model Number", "WH1000XM4/B", ("WH1000XM4/B",)),
        ("Screen", "17.3 inch, 17.3 inch", ("17.3 inch",)),
    ],
)
def test_alternatives(key: str, cell: str, expected: tuple[str, ...]) -> None:
    assert alternatives(key, cell) == expected


@pytest.mark.parametrize("value", ["Yes", "N/A", "other", "...", ""])
def test_ignored_values(value: str) -> None:
    assert is_ignored(value)


def test_a_standard_is_no_model() -> None:
    assert is_ignored("DDR3", "model")
    assert not is_ignored("DDR3")


@pytest.mark.parametrize(
    ("key", "stated", "product", "level"),
    [
        ("Color", "Navy", ("Navy Blue",), 1.0),
        ("Color", "Blue", ("Navy",), PARTIAL),
        ("Color", "Red", ("Navy",), 0.0),
        ("Color", "Red", ("Multicolor",), None),
        ("Color", "Red", ("Black/Red",), 1.0),
        ("Brand", "JBL", ("JBL Professional",), PARTIAL),
        ("Brand", "JBL", ("Bose",), 0.0),
        ("Brand", "JBL", (), None),
        ("Screen Size", '15.6"', ("39.6 cm",), 1.0),
        ("Screen Size", '15.6"', ("No Screen",), None),
        ("Warranty", "2 years", ("LIMITED",), None),
        ("Width", "20 in", ("20 x 30 in",), PARTIAL),
        ("Model Number", "WH1000XM4", ("WH1000XM4/B",), 1.0),
        ("Operating System", "Windows 7", ("Windows 7 Home",), PARTIAL),
        ("Operating System", "Microsoft Windows", ("Windows 7 Home",), None),
        ("Operating System", "Android", ("Windows 7 Home",), 0.0),
    ],
)
def test_agreement(key: str, stated: str, product: tuple[str, ...], level: float | None) -> None:
    assert agreement(normalise(key, stated), normalise_all(key, product)) == level


@given(ANY_TEXT | PRODUCT_TEXT, KEYS)
def test_any_value_normalises_and_its_canonical_text_stays(text: str, key: str) -> None:
    value = normalise(key, text)
    assert normalise(key, value.text) == value
    assert agreement(value, (value,)) == 1.0


@given(ANY_TEXT | PRODUCT_TEXT)
@example("THREE burners, 1,200 BTU")
def test_spans_lie_in_the_source(text: str) -> None:
    for token in tokens(text):
        source = plain(text[token.start : token.end])
        word = fold(source)
        assert token.text in (DIGITS.get(word, word), source.replace(",", ""))
    places = [*find_quantities(text), *find_colours(text), *find_models(text)]
    for place in places:
        assert 0 <= place.start < place.end <= len(text)
        assert text[place.start : place.end].strip()


@given(PRODUCT_TEXT)
def test_quantities_do_not_overlap_and_read_back(text: str) -> None:
    found = find_quantities(text)
    assert all(left.end <= right.start for left, right in pairwise(found))
    for quantity in found:
        (again,) = find_quantities(quantity.text, free_text=False)
        assert again.code == quantity.code


@given(st.sampled_from(sorted(units().aliases)), st.integers(1, 9999))
def test_every_alias_gives_its_unit(alias: str, number: int) -> None:
    (quantity,) = find_quantities(f"{number} {alias}", free_text=False)
    unit = units().aliases[alias]
    assert quantity.unit == unit
    scaled = number / 1.024 if unit.dimension == "data" and number % 1024 == 0 else number
    assert quantity.magnitudes == (convert(scaled, unit),)


@given(st.integers(1, 999), st.sampled_from(["inch", "foot", "pound", "quart", "gb", "w", "mhz"]))
def test_units_round_trip(number: int, alias: str) -> None:
    unit = units().get(alias)
    assert unit is not None
    base = convert(float(number), unit)
    factor = convert(1.0, unit)
    assert base is not None
    assert factor is not None
    assert base / factor == pytest.approx(number, rel=0.01)


def test_conversions_are_those_of_pint() -> None:
    pint_units, table = pint.UnitRegistry(), load_table("units.yaml")
    for dimension in table["dimensions"].values():
        for name, forms in dimension["units"].items():
            unit = units().get(forms[0])
            assert unit is not None
            if name == dimension["base"]:
                assert (name not in table["conversions"], unit.size, unit.zero) == (True, 1.0, 0.0)
                continue
            for value in (0.0, 1.0, 37.5):
                wanted = pint_units.Quantity(value, name).to(dimension["base"]).magnitude
                assert value * unit.size + unit.zero == pytest.approx(wanted, rel=1e-12)
