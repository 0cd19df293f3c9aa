"""Small whole numbers in words."""

NUMERALS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve"),
)
"""The word of each number, from zero."""

WRITTEN_OUT = NUMERALS[:11]
"""Those that shoppers write out: up to ten."""
