"""What trained extractors share: labelled texts, tags, encoders, training, the folder of a trained one."""
