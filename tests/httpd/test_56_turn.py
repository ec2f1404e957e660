"""What a person asks for begins within seconds, however few requests an upstream lets through; and while it waits it says for what."""

import base64
import json
import time
import urllib.request

import pytest

from harness import wait_for
from test_85_resync import ADMIN, may_ask

ALICE = {"Authorization": "Basic " + base64.b64encode(b"alice:wonder").decode()}
DEALS = 40  # a batch at two requests a second: it takes 40 seconds


def ask(world, document=None, query=""):
    request = urllib.request.Request(world.server.base + ADMIN + query, json.dumps(document).encode() if document else None,
                                     dict(ALICE, **({"Content-Type": "application/json", "X-Cosell-Request": "1"} if document else {})))
    with urllib.request.urlopen(request, timeout=10) as reply:
        return json.loads(reply.read())


@pytest.fixture(scope="module")
def world(world_of):
    world = world_of("turn", rate="2")
    may_ask(world.server)
    return world.start().ready()


def test_a_wish_does_not_wait_for_a_batch(world):
    referrals = [world.refer(world.unique("Turn")) for _ in range(DEALS)]
    mark = world.partner.last_request()
    for referral in referrals:
        world.notify(referral, "referral-created")
    wait_for(lambda: len(world.partner.requests(r"/engagements/referrals", "GET", since=mark)) > 4, 30, "the batch to begin")
    asked, waits = time.monotonic(), set()
    identity = ask(world, {"site": world.name, "do": "pause", "why": "month end"})["job"]

    def over():
        job = ask(world, query="?job=" + identity)["job"]
        waits.add((job["progress"] or {}).get("waits"))
        return job["state"] == "done"
    wait_for(over, 30, "the job to be done")
    assert time.monotonic() - asked < 20
    assert any(text and "under way end" in text for text in waits), waits
    left = sum(1 for r in referrals if not world.record(r))
    assert left > 0  # the batch ended with what it had
    ask(world, {"site": world.name, "do": "resume"})
    wait_for(lambda: all(world.record(r) for r in referrals), 120, "all of them")
