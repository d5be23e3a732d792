"""The contracts, one module for each upstream database."""
