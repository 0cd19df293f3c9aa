"""Finds the attribute values that a review states, each with the place that proves it."""
