"""A thousand deals change at once: sixty requests to Dataverse are enough, a hundred to Salesforce, whose composite request takes 25 rows and no more."""

import pytest

from harness import Event, storm

LONG = 90

CRMS = ("dynamics365", "salesforce")
DEALS = 1000
MOST = {"dynamics365": 60, "salesforce": 100}
ONE_CHANGE = 3


@pytest.fixture
def world(new_world):
    world = new_world("thousand")
    world.start().ready()
    world.referrals = [world.partner.refer("Thousand %04d" % n, status="Active", substatus="Accepted") for n in range(DEALS)]
    assert {r.status for r in storm(world.server.webhook, [(n, world.raw(Event("referral-created", r["id"], changed=r["updatedDateTime"])))
                                                            for n, r in enumerate(world.referrals)], 16)} == {200}
    world.settled(300)
    return world


def test_requests(world):
    assert len([r for r in world.crm.rows("opportunities") if r["name"].startswith("Thousand")]) == DEALS
    if world.kind == "salesforce":
        world.crm.post("clock", {"advance": 3})  # rows that changed just now would be put off
    for n, referral in enumerate(world.referrals):
        world.partner.edit(referral["id"], {"details": {"notes": "Changed %d" % n}})
    since = world.crm.last_request()
    changed = {r["id"]: r["updatedDateTime"] for r in world.partner.get("referrals")}
    items = [(n, world.raw(Event("referral-updated", r["id"], changed=changed[r["id"]]))) for n, r in enumerate(world.referrals)]
    assert {r.status for r in storm(world.server.webhook, items, 16)} == {200}
    world.settled(300)
    rows = {r["name"]: r["description"] for r in world.crm.rows("opportunities") if r["name"].startswith("Thousand")}
    assert rows == {"Thousand %04d" % n: "Changed %d" % n for n in range(DEALS)}
    entries = world.crm.round_trips(since)
    print("%d requests to the CRM" % len(entries))
    assert len(entries) <= MOST[world.kind], [r["method"] + " " + r["path"] for r in entries][:120]
    one_change(world)


def one_change(world):
    """Beyond the first meeting, of which the burst was the second."""
    if world.kind == "salesforce":
        world.crm.post("clock", {"advance": 3})
    referral = world.referrals[17]
    world.partner.edit(referral["id"], {"details": {"notes": "Changed once more", "dealValue": 4711}})
    since = world.crm.last_request()
    assert world.looked(referral)["state"] == "linked"
    assert world.record(referral)["description"] == "Changed once more"
    entries = world.crm.round_trips(since)
    print("%d requests for one change" % len(entries))
    assert 1 < len(entries) <= ONE_CHANGE, [r["method"] + " " + r["path"] for r in entries]
