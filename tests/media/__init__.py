"""Media that can be recognised after a call: chirps and pictures with a code in them."""
