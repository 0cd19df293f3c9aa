"""Trains what can be trained: one seeded loop with checkpoints for every network of the project."""
