"""Prompts seen by people: preview, lint and diff of templates, on invented reviews."""
