"""Members across all services: visits, orders, lives, and who is engaged with which artist."""
