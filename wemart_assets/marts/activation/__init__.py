"""Users, what they did first, and how many of a day's new ones came how far: the first activation."""
