"""Sessions of visitors tracked by RudderStack: eight daily tables, and the state that they carry from day to day."""
