"""Small whole numbers in words."""

NUMERALS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve"),
)
"""The word of each number, from zero."""

WRITTEN_OUT = NUMERALS[:11]
"""Those that shoppers write out: up to ten."""

DIGITS = {word: str(number) for number, word in enumerate(NUMERALS) if number > 1}
"""Digits of the words that are nothing but numbers: "one" is mostly a pronoun."""
