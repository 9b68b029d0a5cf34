"""Files and folders as Merkle DAGs."""
