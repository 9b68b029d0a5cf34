"""Kademlia: who has what, found without a directory."""
