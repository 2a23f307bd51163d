"""Asks pip-audit about each version in requirements.lock: `python .ci/audit.py`. Exits 1 when one is vulnerable.

The service may be out of reach: then nothing was audited, which is said in so many words and fails nothing. Whatever
else goes wrong fails.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

LOCK = Path(__file__).parent.parent / "requirements.lock"
#: Asked in turn, until one answers.
SERVICES = ("pypi", "osv")
#: What the last line of a run says that got no answer.
UNREACHABLE = ("ConnectionError", "Timeout", "Could not connect", "NameResolutionError", "ServiceError", "HTTPError")


def main() -> int:
    """Ask one service after another about what is not known yet."""
    vulnerable: dict[str, list[str]] = {}
    audited: set[str] = set()
    skipped: set[str] = set()
    for service in SERVICES:
        answer = ask(service)
        for one in answer:
            if "skip_reason" in one:
                skipped.add(one["name"])
            else:
                audited.add(one["name"])
                if one["vulns"]:
                    vulnerable[f"{one['name']} {one['version']}"] = [vuln["id"] for vuln in one["vulns"]]
        if answer and not skipped - audited:
            break
    for name, ids in sorted(vulnerable.items()):
        print(f"audit: {name}: {', '.join(ids)}")
    left = skipped - audited
    if not audited:
        print("audit: NOT AUDITED: no vulnerability service could be reached. Nothing is known about any version.")
    elif left:
        print(f"audit: {len(audited)} audited; NOT AUDITED, as no service knows them: {', '.join(sorted(left))}")
    else:
        print(f"audit: {len(audited)} audited, {len(vulnerable)} vulnerable")
    return 1 if vulnerable else 0


def ask(service: str) -> list[dict[str, Any]]:
    """What a service says of each requirement; nothing when it cannot be reached."""
    command = [sys.executable, "-m", "pip_audit", "-s", service, "-r", str(LOCK), "--disable-pip", "--no-deps"]
    done = subprocess.run([*command, "-f", "json"], capture_output=True, text=True, check=False)  # noqa: S603  # ours
    if done.stdout.lstrip().startswith("{"):
        found: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
        return found
    last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
    if any(word in last for word in UNREACHABLE):
        print(f"audit: {service} could not be reached")
        return []
    sys.exit(f"audit: pip-audit failed: {last}")


if __name__ == "__main__":
    sys.exit(main())
