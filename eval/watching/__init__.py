"""Versions of a template tried on one sample: what each fixes and breaks of the one before."""
