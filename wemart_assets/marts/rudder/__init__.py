"""Sessions of the visitors whom RudderStack tracked: eight tables, by day, with what later days need carried on."""
