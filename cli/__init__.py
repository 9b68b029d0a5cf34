"""Words on a terminal, turned into calls."""
