"""One faithful mock for each bundled platform: it refuses what the real one refuses."""
