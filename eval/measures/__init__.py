"""What is measured of a run. One file of this package is one kind of measure."""
