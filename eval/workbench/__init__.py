"""A local page on which templates are edited and tried: the same functions as the command line's."""
