"""Weights, thresholds and calibration chosen on a split with gold."""
