"""Blocks and the network that moves them; knows nothing of money or time."""
