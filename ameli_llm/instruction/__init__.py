"""Instruction data: what the linker asks a model, with the answers that a review's facts decide.

told (what a review says of its product) <- shopper (text made from products) or reading (real reviews);
exercises renders told reviews as the linker does and derives the answers; packing makes tokens of them.
"""
