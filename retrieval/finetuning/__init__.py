"""Fine-tunes the text encoder of retrieval."""
