"""A file's rows into the outbox: read, translated, taken through the door in batches, each exactly once."""
