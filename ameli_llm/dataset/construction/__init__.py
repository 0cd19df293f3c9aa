"""Raw dumps to a benchmark (paper, section 3): rules, mentions, crops, filter, split, human check."""
