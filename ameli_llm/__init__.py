"""Attribute-aware multimodal entity linking: product reviews to the one right product of a knowledge base."""

__version__ = "0.1.0"
