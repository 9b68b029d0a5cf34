"""What is negotiated: both sides of each conversation in one file."""
