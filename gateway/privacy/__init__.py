"""Personal data, purely: normalise, hash, scrub, and the consent gate. No network, disk, clock or random."""
