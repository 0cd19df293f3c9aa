"""The HTTP service: links reviews and keeps the knowledge base current. ``server.serve`` runs it."""
