"""One index on a Chroma server for several linkers."""
