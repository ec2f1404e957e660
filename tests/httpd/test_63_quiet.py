"""Values chosen to break naive comparison: once written, ten quiet minutes and a notice more write nothing."""

import pytest

from harness import wait_for

CRMS = ("dynamics365", "salesforce")


def lines(document):
    opportunity = document["records"]["opportunity"]["lines"]
    opportunity["short"] = {"pc": "/campaignId", "crm": "acme_short", "direction": "to_crm", "cut": "plain"}
    opportunity["protected"] = {"pc": "/details/notes", "crm": "acme_protected", "direction": "to_crm", "cut": "protect"}
    opportunity["calculated"] = {"pc": "/referralProgram", "crm": "acme_calculated", "direction": "to_crm"}
    opportunity["normalised"] = {"pc": "/customerProfile/name", "crm": "acme_normalised", "direction": "to_crm"}
    opportunity["trimmed"] = {"pc": "/customerProfile/address/city", "crm": "acme_trimmed", "direction": "to_crm"}


@pytest.fixture(scope="module")
def world(world_of):
    world = world_of("quiet")
    world.crm.columns("opportunity", acme_Short=("text", {"max": 120}), acme_Protected=("text", {"max": 120}),
                      acme_Calculated=("text", {"max": 200}), acme_Normalised=("text", {"max": 200}), acme_Trimmed=("text", {"max": 200}))
    world.crm.quirk("opportunity", "acme_calculated", "calculated", template="what the CRM works out of {name}")
    world.crm.quirk("opportunity", "acme_normalised", "nfc")
    world.crm.quirk("opportunity", "acme_trimmed", "truncate", length=5)
    world.edit_mapping(lines)
    return world.start().ready()


SHAPES = {
    "sum": {"details": {"dealValue": 0.1 + 0.2}},
    "half cent": {"details": {"dealValue": 1234.565}},
    "half cent below": {"details": {"dealValue": 1.005}},
    "fifteen digits": {"details": {"dealValue": 999999999.123456}},
    "sixteen digits": {"details": {"dealValue": 1234567890.123456}},
    "no decimals": {"details": {"dealValue": 100.5, "currency": "JPY"}},
    "three decimals": {"details": {"dealValue": 10.1234, "currency": "KWD"}},
    "west": {"details": {"closingDateTime": "2027-03-31T23:59:59-12:00"}},
    "east": {"details": {"closingDateTime": "2027-03-31T00:30:00+14:00"}},
    "midnight": {"details": {"closingDateTime": "2027-03-31T00:00:00Z"}},
    "fractions": {"details": {"closingDateTime": "2027-03-31T12:00:00.1234567Z"}},
    "combining": {"details": {"notes": "Cafe\u0301 \u1112\u1161\u11ab"}, "customerProfile": {"name": "Cafe\u0301 Ltd"}},
    "composed": {"details": {"notes": "Caf\u00e9"}, "customerProfile": {"name": "Caf\u00e9 Ltd"}},
    "blanks": {"details": {"notes": "trailing   \n blanks \t \n\n"}},
    "line ends": {"details": {"notes": "one\r\ntwo\rthree\nfour"}},
    "astral": {"details": {"notes": "\U0001f600" * 70}},
    "long": {"details": {"notes": "x" * 200}, "campaignId": "y" * 200},
    "long at a pair": {"campaignId": "z" * 119 + "\U0001f600"},
    "program": {"referralProgram": "Microsoft"},
    "city": {"customerProfile": {"address": {"addressLine1": "1", "city": "Llanfairpwllgwyngyll", "state": "WA", "postalCode": "98052", "country": "US"}}},
    "empty": {"details": {"notes": ""}, "campaignId": None},
    "zero": {"details": {"dealValue": 0}},
}


@pytest.fixture(scope="module")
def deals(world):
    referrals = {shape: world.refer(world.unique(shape), **members) for shape, members in SHAPES.items()}
    for referral in referrals.values():
        world.notify(referral, name="referral-created")
    world.settled(60)
    return referrals


def test_all_are_there(world, deals):
    missing = {shape: world.work(r) for shape, r in deals.items() if not world.record(r)}
    assert not missing, missing


def test_another_notice_writes_nothing(world, deals):
    """The first look after writing may learn what the CRM made of a value; from then on there is nothing to do."""
    for referral in deals.values():
        world.notify(referral)
    world.settled(60)
    since = world.crm.last_request()
    for referral in deals.values():
        world.notify(referral)
    world.settled(60)
    assert world.crm.writes(since) == []


def test_ten_quiet_minutes(world, deals):
    since = [s.last_request() for s in (world.crm, world.partner)]
    looks = world.server.status()["counters"]["looks"]
    for minute in range(1, 11):
        world.server.clock(advance=60)
        for simulator in (world.crm, world.partner):
            simulator.post("clock", {"offset": 60 * minute})
        wait_for(lambda: world.outstanding("state = 0") == 0, 20)
    assert world.crm.writes(since[0]) == []
    for referral in deals.values():
        world.notify(referral)
    world.settled(60)
    assert world.server.status()["counters"]["looks"] >= looks + len(deals)
    assert world.crm.writes(since[0]) == []
    assert world.partner.writes(since[1], "/v1.0/") == []


def test_reordered_arrays_write_nothing(world, deals):
    referral = deals["program"]
    document = world.partner.referral(referral["id"])
    more = [{"type": "Name", "id": "SOL-%d" % n, "name": "Solution %d" % n} for n in range(3)]
    world.partner.edit(referral["id"], {"details": {"requirements": {**document["details"]["requirements"], "solutions": more}}})
    world.looked(referral)
    world.looked(referral)
    since = world.crm.last_request()
    world.partner.edit(referral["id"], {"details": {"requirements": {**document["details"]["requirements"], "solutions": more[::-1]}}})
    world.looked(referral)
    assert world.crm.writes(since) == []


def test_cut_and_kept(world, deals):
    row = world.record(deals["long"])
    assert row["acme_short"] == "y" * 120 and row["acme_protected"] == "x" * 120
    assert world.record(deals["long at a pair"])["acme_short"] == "z" * 119
    assert world.record(deals["city"])["acme_trimmed"] == "Llanf"
