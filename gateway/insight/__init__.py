"""What became of events, and what would become of them. Reads, never writes."""
