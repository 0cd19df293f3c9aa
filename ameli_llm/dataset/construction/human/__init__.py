"""People check a test split: a sheet for each, and what their answers leave of it (paper, section 3.5)."""
