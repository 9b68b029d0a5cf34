"""A small libp2p: what Kubo speaks, nothing more."""
