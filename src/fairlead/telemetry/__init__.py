"""What happened, as figures. Not here: who reads them, and any state of its own."""
