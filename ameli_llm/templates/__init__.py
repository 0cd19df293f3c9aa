"""Prompt templates: found, checked and rendered from ``prompts/`` without a model and without torch."""

from __future__ import annotations

from ameli_llm.templates.load import Template, load_template, prompts_folder, template_names
from ameli_llm.templates.render import render

__all__ = ["Template", "load_template", "prompts_folder", "render", "template_names"]
