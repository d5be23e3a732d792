"""Sources: contracts of the upstream tables, and how landing files and external tables are read to fit them."""
