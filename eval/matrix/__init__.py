"""A matrix: templates, models and settings against each other, on one sample of a split."""
