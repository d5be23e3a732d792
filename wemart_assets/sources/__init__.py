"""What comes in: contracts of the upstream tables, and how landing files or others' tables become them."""
