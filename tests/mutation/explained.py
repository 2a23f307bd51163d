"""Mutants that change nothing that could be noticed, and why: module → (part of the line, change or empty) → reason."""

EQUIVALENT: dict[str, dict[tuple[str, str], str]] = {
    "withdrawal": {
        ("if denial is None or decision.action", "without part 1"): "a shortcut: a denial leaves a skip a skip",
    },
    "consent": {
        ("if region is None or not self.limited:", "without part 1"): "a shortcut: nothing is among no regions",
        ("len(code) > 2 and code[:2]", "2 → 3"): "no code of a region has three characters",
        ("if heard is NOTHING:", "if False"): "a shortcut: nothing heard changes nothing",
        ("replace(consent, **changes) if changes", "if True"): "a shortcut: a copy is equal",
    },
    "gpp": {
        ("zip(numbers, bodies, strict=True)", "True → False"): "their lengths are compared before",
    },
    "heard": {
        ("if strings == (None, None, None):", "if False"): "a shortcut: without strings the long way ends the same",
        ("heard.opted_out or one.opted_out", "without part 0"): "only `gpp` opts out, and it is read last",
        ("heard.child or one.child", "without part 0"): "only `gpp` knows of children, and it is read last",
        ("heard.opt_outs or one.opt_outs", "without part 0"): "only `gpp` says so, and it is read last",
        ("found.tcf is not None and TCF_EU in apply", "without part 0"): "no section applies that is not there",
    },
}
