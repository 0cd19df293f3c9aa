"""Table 5 of the paper, disambiguation: its rows, their runs, and ours beside the published figures."""
