"""From the outbox to the platforms: claim → batch → send → judge → record, a lane for each destination."""
