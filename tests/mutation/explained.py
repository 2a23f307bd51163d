"""Mutants that change nothing that could be noticed, and why: module → (part of the line, change or empty) → reason."""

EQUIVALENT: dict[str, dict[tuple[str, str], str]] = {
    "heard": {
        ("if strings == (None, None, None):", "if False"): "a shortcut: without strings the long way ends the same",
        ("heard.opted_out or one.opted_out", "without part 0"): "only `gpp` opts out, and it is read last",
        ("heard.child or one.child", "without part 0"): "only `gpp` knows of children, and it is read last",
        ("found.tcf is not None and TCF_EU in apply", "without part 0"): "no section applies that is not there",
    },
}
