"""Bitswap 1.2.0: blocks for whoever wants them."""
