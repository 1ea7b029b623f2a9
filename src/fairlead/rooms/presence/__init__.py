"""Who comes, goes, comes back, and goes on elsewhere."""
