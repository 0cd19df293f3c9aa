"""Reads, checks and makes datasets in the AMELI format."""
