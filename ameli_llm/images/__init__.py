"""The image adapter: applied, trained, kept on disk."""
