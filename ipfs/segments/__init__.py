"""Files that blocks are appended to, and the index that finds them there."""
