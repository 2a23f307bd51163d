"""What became of the rows of a file, counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import msgspec


@dataclass(slots=True)
class Tally:
    """Counts that only grow. As JSON it stands beside the position in the file, so that it goes on with it."""

    #: Lines of NDJSON, records of CSV; empty ones are not counted.
    rows: int = 0
    accepted: int = 0
    duplicates: int = 0
    #: Events that were refused, and rows that are none.
    rejected: int = 0
    #: Rows that the mapping leaves out.
    left_out: int = 0
    #: Destination → what it was told of the accepted → how many.
    destinations: dict[str, Counter[str]] = field(default_factory=dict)
    #: Code → how many faults, of refused rows; the same of warnings.
    errors: Counter[str] = field(default_factory=Counter)
    warnings: Counter[str] = field(default_factory=Counter)

    def plus(self, other: Tally) -> Tally:
        """Both together, as a new one."""
        names = (self.destinations | other.destinations).keys()
        return Tally(
            rows=self.rows + other.rows,
            accepted=self.accepted + other.accepted,
            duplicates=self.duplicates + other.duplicates,
            rejected=self.rejected + other.rejected,
            left_out=self.left_out + other.left_out,
            destinations={
                name: self.destinations.get(name, Counter()) + other.destinations.get(name, Counter()) for name in names
            },
            errors=self.errors + other.errors,
            warnings=self.warnings + other.warnings,
        )


def encoded(tally: Tally) -> str:
    """A tally as JSON."""
    return msgspec.json.encode(tally).decode()


def decoded(data: str) -> Tally:
    """The same back."""
    found = msgspec.json.decode(data)
    counted = {name: Counter(found.get(name, {})) for name in ("errors", "warnings")}
    destinations = {name: Counter(counts) for name, counts in found.get("destinations", {}).items()}
    return Tally(**{**found, **counted, "destinations": destinations})
