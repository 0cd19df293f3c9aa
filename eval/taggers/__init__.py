"""Trained extractors beside the figures of their papers: MEPAVE and MAE."""
