"""What a table is and how it is stored: schema, audit, engines, Delta commits. Knows no mart and no source."""
