"""Table 4 of the paper, candidate retrieval: its methods, and ours beside the published figures."""
