"""The official AMELI code: its leaks as settings, and scores counted its way."""
