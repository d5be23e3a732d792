"""Communities: their members day by day, joins and leaves, engagement, popular posts and direct messages."""
