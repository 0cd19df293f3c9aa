"""Measures runs: metrics, intervals, error budget, paired comparison, report."""
