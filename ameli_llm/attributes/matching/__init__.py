"""Finds the values of a closed vocabulary in a review's text, aware of negation, typos and other products."""
