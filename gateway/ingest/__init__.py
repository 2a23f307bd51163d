"""From a request's bytes to events on disk: decode → validate → enrich → consent → hash → outbox."""
