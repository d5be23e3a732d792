"""Members across all services: visits, orders, live broadcasts, and who is engaged with which artist."""
