"""Blocks and files over HTTP: the trustless and the path gateway."""
