"""Mutants that change nothing that could be noticed, and why: module → (part of the line, change or empty) → reason."""

EQUIVALENT: dict[str, dict[tuple[str, str], str]] = {}
