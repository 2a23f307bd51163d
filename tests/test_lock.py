"""requirements.lock is in step with pyproject.toml, and what audits it cannot pass in silence."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
LOCK = (ROOT / "requirements.lock").read_text("utf-8")
PINNED = dict(re.findall(r"(?m)^([a-z0-9._-]+)==([^\s;]+)", LOCK))


def test_every_dependency_is_pinned_as_the_project_allows_it() -> None:
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    for text in wanted:
        requirement = Requirement(text)
        version = PINNED.get(requirement.name)
        assert version is not None, f"{requirement.name} is not in requirements.lock, whose head tells how it is made"
        assert requirement.specifier.contains(version), f"{requirement.name} {version} is locked, {text} is asked for"


def test_every_version_has_hashes_and_the_file_no_address() -> None:
    assert len(PINNED) > 30
    for block in re.split(r"(?m)^(?=[a-z0-9._-]+==)", LOCK)[1:]:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", block), block.splitlines()[0]
    assert not re.search(r"://|--(index|extra|find|trusted)", LOCK)


SAFE = {"name": "safe", "version": "1", "vulns": []}
WEAK = {"name": "weak", "version": "2", "vulns": [{"id": "CVE-2026-0001"}]}
SKIPPED = {"name": "safe", "skip_reason": "Dependency not found on PyPI and could not be audited: safe (1)"}
OTHER = {"name": "other", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("answers", "code", "words"),
    [
        ({"pypi": [SAFE]}, 0, "1 audited, 0 vulnerable"),
        ({"pypi": [SAFE, WEAK]}, 1, "weak 2: CVE-2026-0001"),
        ({"pypi": [SKIPPED], "osv": [SAFE]}, 0, "1 audited, 0 vulnerable"),
        ({"pypi": [SKIPPED], "osv": [WEAK]}, 1, "weak 2: CVE-2026-0001"),
        ({"pypi": [SKIPPED], "osv": "requests.exceptions.ConnectionError: no route"}, 0, "NOT AUDITED: no vuln"),
        ({"pypi": "requests.exceptions.ConnectionError: no route"}, 0, "NOT AUDITED: no vulnerability service"),
        ({"pypi": [SAFE, OTHER], "osv": [OTHER]}, 0, "NOT AUDITED, as no service knows them: other"),
        ({"pypi": "ValueError: the lock cannot be read"}, 1, "pip-audit failed: ValueError"),
    ],
)
def test_the_audit_says_what_it_did(tmp_path: Path, answers: dict[str, Any], code: int, words: str) -> None:
    (tmp_path / "pip_audit.py").write_text(
        "import json, sys\n"
        f"answer = json.loads({json.dumps(json.dumps(answers))}).get(sys.argv[2], 'ConnectionError: not there')\n"
        "sys.exit(answer) if isinstance(answer, str) else print(json.dumps({'dependencies': answer}))\n"
    )
    done = subprocess.run(
        [sys.executable, str(ROOT / ".ci/audit.py")],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, words in done.stdout + done.stderr) == (code, True), done.stdout + done.stderr
