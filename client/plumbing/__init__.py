"""IPFS by hand: the client's own blocks and pins, and the network without a ledger."""
