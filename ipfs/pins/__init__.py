"""Why blocks are kept, and for how long."""
