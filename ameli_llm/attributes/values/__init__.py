"""What an attribute value means: tokens, units, colours, model numbers, and equality of values."""
