"""The demonstration shows what it should."""

import json
import os
import subprocess

from harness import REPO
from harness.paths import PYTHON, module_path

CRMS = ("dynamics365", "salesforce")
# Who converts a lead, and how a deal is won there.
SAID = {"dynamics365": ("QualifyLead", "WinOpportunity"), "salesforce": ("the seller converts it", '"StageName":"Closed Won"')}


def test_demo(tmp_path, kind):
    result = tmp_path / "demo.json"
    env = {**os.environ, "COSELL_MODULE": module_path(), "COSELL_DEMO_JSON": str(result), "CRM": kind}
    env.pop("KEEP", None)
    done = subprocess.run([PYTHON, os.path.join(REPO, "tests", "demo", "demo.py")], env=env, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, universal_newlines=True, timeout=120)
    assert done.returncode == 0, done.stdout
    deals = json.loads(result.read_text())["deals"]
    assert len(deals) == 5
    for deal in deals:
        assert deal["referral"] in done.stdout and deal["record"] in done.stdout
        assert deal["status"] and deal["journal"] >= 1
    assert all(word in done.stdout for word in SAID[kind])
    assert "Free offers need the approval of the sales desk" in done.stdout
    assert "Waiting for: Solution" in done.stdout and '"path": "/details/notes"' in done.stdout
    assert "both edits stand" in done.stdout and "retype the right one" in done.stdout and "POST; Microsoft's referral" in done.stdout
    assert "answered 401" in done.stdout and "PATCH" in done.stdout
