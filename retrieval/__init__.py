"""Finds candidate products for a review."""
