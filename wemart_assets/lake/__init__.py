"""What a table is and how it is kept: schema, audit, engines, the Delta commit. Knows no mart and no source."""
