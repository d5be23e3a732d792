"""The source contracts, one module per upstream database."""
