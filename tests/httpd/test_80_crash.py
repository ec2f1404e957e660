"""Ten cycles of tests/crash; `make crash` runs three hundred."""

import os
import sys

from harness import REPO

sys.path.insert(0, os.path.join(REPO, "tests", "crash"))

import crash

CRMS = ("dynamics365", "salesforce")


def test_ten_crashes(kind):
    seed = int(os.environ.get("SEED", "0")) or int.from_bytes(os.urandom(4), "big")
    run = crash.Crash(10, seed, 16, kind)
    run.world.server.log.announce(*crash.ANNOUNCED)
    try:
        assert run.run(), "seed %d: see the output above" % seed
    finally:
        run.world.close()
