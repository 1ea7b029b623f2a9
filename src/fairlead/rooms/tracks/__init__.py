"""Who publishes what, who hears which of it, and in which form."""
