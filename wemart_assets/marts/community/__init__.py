"""Communities: who belongs where, every day, and what follows from it."""
