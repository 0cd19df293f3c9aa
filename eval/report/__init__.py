"""The report of any number of runs, as one HTML file."""
