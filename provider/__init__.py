"""One role: whoever has disk sells it."""
