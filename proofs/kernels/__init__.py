"""The fast versions of hashing, fr32 and labels; each held equal to its readable twin."""
