"""One deal's or one upstream's trouble must not become everybody's."""

import time

import pytest

from harness import wait_for
from harness.world import DEAD, SUSPENDED

CRMS = ("dynamics365", "salesforce")


@pytest.fixture(scope="module")
def world(world_of):
    return world_of("trouble").start().ready()


@pytest.fixture(autouse=True)
def clean(world):
    yield
    world.partner.remove_faults()
    world.crm.remove_faults()
    world.partner.post("tokens", {"fail": None})
    world.real_time()


def together(world, *referrals):
    """Events for all of them that one batch claims: an earlier one is held at Partner Center until they are stored."""
    first = world.refer()
    fault = world.partner.fault(method="GET", path="referrals/" + first["id"], fault="hold")
    world.notify(first)
    wait_for(world.partner.held, 10, "the first look to wait")
    for referral in referrals:
        world.notify(referral, name="referral-created")
    world.partner.remove_faults(fault)


def test_two_own_referrals_of_one_engagement(world):
    one = world.refer()
    two = world.refer(microsoft=False, engagementId=one["engagementId"])
    assert two["engagementId"] == one["engagementId"] and two["id"] != one["id"]
    together(world, one, two)
    world.settled()
    assert world.record(one) and world.record(two)
    assert world.deal(one)["id"] != world.deal(two)["id"]


def test_a_record_of_another_deal_is_not_written(world):
    one = world.refer()
    deal = world.looked(one, name="referral-created")
    name = world.record(one)["name"]
    world.crm.edit("opportunities", deal["record_id"], {column: None for column, value in world.record(one).items()
                                                        if value == one["id"]})
    two = world.refer(externalReferenceId=deal["record_id"])
    other = world.looked(two, name="referral-created")
    assert other["state"] == "parked" and one["id"] in other["problem"]
    assert world.record(one)["name"] == name
    journal = len(world.journal(two))
    world.looked(two)
    assert len(world.journal(two)) == journal


def test_a_forbidden_referral_stops_nobody_else(world):
    """The account may read referrals, but not this counterpart's."""
    world.server.log.announce("CS2040")
    other = world.refer()
    secret = world.refer()
    card = next(r for r in world.partner.get("referrals")
                if r["engagementId"] == secret["engagementId"] and r["organizationId"] == "msft")
    world.partner.fault(method="GET", path="referrals/" + card["id"], fault="status", status=403)
    world.notify(card["id"], name="related-referral-created")
    world.settled()
    assert not world.outstanding("state = %d" % SUSPENDED)
    assert not world.work(card["id"])
    assert not world.server.count("suspended")
    world.partner.fault(method="GET", path="referrals/" + secret["id"], fault="status", status=403)
    world.notify(secret)
    world.settled()
    assert world.work(secret)["state"] == DEAD
    assert not world.server.count("suspended")
    world.looked(other)
    assert world.record(other)


def test_sign_in_in_trouble_is_not_stormed(world):
    world.server.log.announce("CS2080")  # the breaker opens and says so
    world.partner.fault(method="POST", path="token", fault="status", status=503)
    world.partner.post("tokens", {"revoke": "access"})
    referrals = [world.refer() for _ in range(20)]
    since = world.partner.last_request()
    for referral in referrals:
        world.notify(referral)
    time.sleep(3)
    asked = [r for r in world.partner.requests(since=since) if r["method"] == "POST" and "token" in r["path"]]
    assert 1 <= len(asked) <= 8
    world.partner.remove_faults()
    world.settled(60)
    assert all(world.record(referral) for referral in referrals)


def test_refused_connections_cost_attempts(new_world):
    """Nothing reached the other end, and still each deal waits longer every time."""
    world = new_world("refused").start().ready()
    world.server.log.announce("CS2080")
    referral = world.refer()
    world.own.remove(world.partner)
    world.partner.stop()
    world.notify(referral)
    wait_for(lambda: world.work(referral)["attempts"] >= 3, 30, "the attempts to be counted")
