"""Turns retrieval, comparison and image scores into one ranking, a confidence and a state."""
