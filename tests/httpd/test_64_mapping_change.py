"""A changed mapping over five hundred deals: what `introduce` says, no more; and a wrong one stops before it has done harm."""

import json

import pytest

from harness import wait_for

DEALS = 500
WRITES = ("PATCH", "POST", "DELETE", "PUT")


@pytest.fixture
def world(new_world):
    world = new_world("introduce")
    world.crm.columns("opportunity", acme_Region=("text", {"max": 100}))
    world.start().ready()
    world.referrals = [world.partner.refer("Introduced %03d" % n, status="Active", substatus="Accepted", campaignId="Region %d" % (n % 3))
                       for n in range(DEALS)]
    for referral in world.referrals:
        world.notify(referral, name="referral-created", changed=referral["updatedDateTime"])
    world.settled(120)
    rows = world.crm.rows("opportunities")
    world.ids = {r["name"]: r["opportunityid"] for r in rows if r["name"].startswith("Introduced")}
    assert len(world.ids) == DEALS
    # Every tenth has a region that a seller typed.
    for n in range(0, DEALS, 10):
        world.crm.edit("opportunities", world.ids["Introduced %03d" % n], {"acme_region": "typed"})
    return world


def add_line(introduce, **members):
    def change(document):
        line = {"pc": "/campaignId", "crm": "acme_region", "direction": "to_crm", **members}
        if introduce:
            line["introduce"] = introduce
        document["revision"] = "with region"
        document["records"]["opportunity"]["lines"]["region"] = line
    return change


def regions(world):
    return [world.crm.row("opportunities", world.ids["Introduced %03d" % n])["acme_region"] for n in range(DEALS)]


def writes(world, since):
    return [r for r in world.crm.requests(since=since) if r["method"] in WRITES and "/oauth2/" not in r["path"]
            and not r["path"].endswith("$batch")]


def remapped(world):
    """Every deal was looked at under the mapping in force."""
    digests = world.server.sql("SELECT mapping, count(*) AS n FROM deal GROUP BY mapping")
    return len(digests) == 1


def braked(world):
    return [s for s in world.server.sql("SELECT * FROM suspension") if s["upstream"].startswith("brake:")]


def expected(n, introduce):
    typed = n % 10 == 0
    if introduce == "keep":
        return "typed" if typed else None
    if introduce == "partner-center":
        return "Region %d" % (n % 3)
    return "typed" if typed else "Region %d" % (n % 3)


@pytest.mark.parametrize("introduce", ["keep"])
def test_introduce_without_writes(world, introduce):
    since = world.crm.last_request()
    world.edit_mapping(add_line(introduce))
    world.server.graceful()
    wait_for(lambda: remapped(world), 120, "every deal to be looked at again")
    world.settled(60)
    assert writes(world, since) == []
    assert regions(world) == [expected(n, introduce) for n in range(DEALS)]
    # The next movement at Partner Center travels all the same.
    world.partner.edit(world.referrals[3]["id"], {"campaignId": "moved"})
    world.looked(world.referrals[3])
    assert world.record(world.referrals[3])["acme_region"] == "moved"


def test_brake_and_release(world):
    """More deals than the brake allows would change: it stops before 5 % are touched, says so, and goes on when told to."""
    world.server.log.announce("brake", "CS\\d+.*brake")
    since = world.crm.last_request()
    world.edit_mapping(add_line(None))
    world.server.graceful()
    wait_for(lambda: braked(world), 120, "the brake")
    touched = sum(r is not None and r != "typed" for r in regions(world))
    assert touched <= DEALS * 0.05, touched
    assert len(writes(world, since)) <= DEALS * 0.05
    why = braked(world)[0]
    assert "region" in (why["detail"] or ""), why
    # Deals' own notices are not held up by it.
    world.partner.edit(world.referrals[7]["id"], {"details": {"notes": "by notice"}})
    world.looked(world.referrals[7])
    assert world.record(world.referrals[7])["description"] == "by notice"
    # A corrected mapping takes it off.
    world.edit_mapping(add_line("keep"))
    world.server.graceful()
    wait_for(lambda: not braked(world) and remapped(world), 120, "the brake to be off")
    world.settled(60)
    assert sum(r is not None and r != "typed" for r in regions(world)) <= DEALS * 0.05


def test_changed_zone(world):
    """Dates are read in another zone: nothing is a change of anybody's."""
    since = world.crm.last_request()

    def change(document):
        document["revision"] = "zone"
        document["records"]["opportunity"]["lines"]["close"]["zone"] = "+14:00"
    world.edit_mapping(change)
    world.server.graceful()
    wait_for(lambda: remapped(world), 120, "every deal to be looked at again")
    world.settled(60)
    assert writes(world, since) == [], "a zone is no edit"
