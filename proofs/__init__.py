"""Sealing and proving: bytes and hashes only."""
