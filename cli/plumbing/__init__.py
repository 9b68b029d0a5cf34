"""The commands of `holdfast ipfs`."""
