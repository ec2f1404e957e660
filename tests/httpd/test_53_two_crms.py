"""One tenant of Partner Center with two CRMs: whose a deal is, both directions of either, and one that is down while the other works."""

import os
from urllib.parse import quote

import pytest

from harness import wait_for
from harness.both import HOOK, connect, opted_in, own_referrals
from harness.paths import REPO
from harness.world import CRM, CRM_CLIENT_SECRET, CRMS as SIMULATORS, SALESFORCE_CLIENT_ID

CRMS = ("salesforce", "dynamics365")  # the first CRM; the second one is an organisation of Salesforce either time
OTHER = "emea"
SECRETS = {CRM: "the secret of the first CRM", OTHER: "the secret of the second CRM"}


class Second:
    """The second CRM, with what helpers of the suite ask a world for."""

    def __init__(self, world):
        self.world, self.crm, self.kind = world, SIMULATORS["salesforce"](), "salesforce"
        self.unique = world.unique
        server = world.server
        with open(os.path.join(REPO, "conf", "mapping", "salesforce.json")) as source:
            mapping = server.write("conf/mapping/second.json", source.read())
        server.site.insert(server.site.index(world.directive("CosellCrm")) + 1,
                           "CosellCrm %s salesforce %s client-id=%s mapping=%s client-secret=%s token-url=%s webhook-secret=%s"
                           % (OTHER, self.crm.info["base"], SALESFORCE_CLIENT_ID, mapping, server.secret("second-client", CRM_CLIENT_SECRET),
                              self.crm.info["token"], server.secret("second-hook", SECRETS[OTHER])))


def only_america(document):
    """The first CRM takes customers in the United States; all others are the second one's."""
    for kind in document["records"].values():
        kind["from_pc"]["when"] = {"all": [kind["from_pc"]["when"], {"pc": "/customerProfile/address/country", "is": "US"}]}


@pytest.fixture(scope="module")
def world(world_of):
    world = world_of("two-crms")
    world.edit_mapping(only_america)
    world.replace("CosellCrm", world.directive("CosellCrm") + " webhook-secret=" + world.server.secret("first-hook", SECRETS[CRM]))
    world.server.locations += ['<Location "%s">' % HOOK, "  SetHandler cosell-crm", "</Location>"]
    world.second = Second(world)
    world.start().ready()
    connect(world, tables=())
    for name, crm in ((CRM, world.crm), (OTHER, world.second.crm)):
        crm.notify_to(world.server.base + HOOK + "?secret=" + quote(SECRETS[name]), "opportunity")
    yield world
    world.second.crm.stop()


@pytest.fixture(autouse=True)
def clean(world):
    yield
    for simulator in (world.partner, world.crm, world.second.crm):
        simulator.remove_faults()
    world.real_time()


def refer(world, country="US", **members):
    address = {"addressLine1": "1 Main Street", "city": "Redmond", "state": "WA", "postalCode": "98052", "country": country}
    if country != "US":
        address = {"addressLine1": "1 High Street", "city": "Reading", "state": "", "postalCode": "RG1 1AA", "country": country}
    referral = world.refer(customerProfile={"address": address}, **members)
    world.notify(referral, "referral-created")
    return referral


def simulators(world):
    return {CRM: world.crm, OTHER: world.second.crm}


def row(world, referral):
    deal = world.deal(referral)
    return simulators(world)[deal["crm"]].row("opportunities", deal["record_id"]) if deal and deal["record_id"] else None


def named(crm, referral):
    return [r for r in crm.rows("opportunities") if r.get("name") == referral["name"]]


def linked(world, referral, crm, deadline=20):
    deal = wait_for(lambda: (lambda d: d if d and d["state"] == "linked" and d["record_id"] else None)(world.deal(referral)), deadline, "a deal that is linked")
    assert deal["crm"] == crm
    return deal


def test_the_first_whose_when_matches_owns_the_deal(world):
    america, britain = refer(world), refer(world, "GB")
    linked(world, america, CRM)
    linked(world, britain, OTHER)
    assert len(named(world.crm, america)) == 1 and named(world.second.crm, america) == []
    assert len(named(world.second.crm, britain)) == 1 and named(world.crm, britain) == []
    # Their look-ups are made where they are.
    assert any(a["name"] == britain["customerProfile"]["name"] for a in world.second.crm.rows("accounts"))
    assert not any(a["name"] == britain["customerProfile"]["name"] for a in world.crm.rows("accounts"))


def test_it_stays_the_owner_for_ever(world):
    referral = refer(world)
    linked(world, referral, CRM)
    world.partner.edit(referral["id"], {"customerProfile": {"address": {**referral["customerProfile"]["address"], "country": "GB"}}, "details": {"notes": "Moved abroad"}})
    world.notify(referral)
    wait_for(lambda: row(world, referral)["description"] == "Moved abroad", 20, "the note")
    assert linked(world, referral, CRM) and named(world.second.crm, referral) == []


@pytest.mark.parametrize("name, country", [(CRM, "US"), (OTHER, "GB")])
def test_both_directions(world, name, country):
    referral = refer(world, country)
    deal = linked(world, referral, name)
    crm = simulators(world)[name]
    world.partner.edit(referral["id"], {"details": {"notes": "From the portal"}})
    world.notify(referral)
    wait_for(lambda: row(world, referral)["description"] == "From the portal", 20, "the note from Partner Center")
    world.settled(30)
    crm.edit("opportunities", deal["record_id"], {"description": "From the seller"})
    wait_for(lambda: world.partner.referral(referral["id"])["details"]["notes"] == "From the seller", 30, "the seller's note")


def test_records_of_either_become_referrals(world):
    names = {}
    for name, at in ((CRM, world), (OTHER, world.second)):
        names[name] = opted_in(at)["name"]
    for name, title in names.items():
        referral = world.advanced(lambda: next(iter(own_referrals(world, title)), None), step=100, deadline=40, what="the referral of %s" % name)
        world.advanced(lambda: world.deal(referral) and world.deal(referral)["state"] == "linked", step=5, what="the deal")
        assert world.deal(referral)["crm"] == name
        assert referral["externalReferenceId"] == world.deal(referral)["record_id"]
    world.advanced(lambda: not world.outstanding("state = 0"), step=5, what="everything to be told")
    assert len([r for r in world.partner.get("referrals") if r["name"] in names.values() and r["organizationId"] != "msft"]) == 2


@pytest.mark.parametrize("down", [CRM, OTHER])
def test_one_is_down_and_the_other_works(world, down):
    world.server.log.announce("CS2003", "CS2080", "CS2081", down)
    waiting, working = (refer(world), refer(world, "GB"))[::1 if down == CRM else -1]
    other = OTHER if down == CRM else CRM
    for referral in (waiting, working):
        wait_for(lambda: row(world, referral), 20, "the opportunity")
    world.settled(30)
    before = row(world, waiting)["description"]
    simulators(world)[down].lock_out(True)
    try:
        for referral in (waiting, working):
            world.partner.edit(referral["id"], {"details": {"notes": "While %s was down" % down}})
            world.notify(referral)
        wait_for(lambda: world.server.sql("SELECT * FROM suspended WHERE upstream = ?", down), 20, "the CRM to be suspended")
        wait_for(lambda: row(world, working)["description"] == "While %s was down" % down, 20, "the other one's deal")
        fresh = refer(world, "GB" if down == CRM else "US")
        linked(world, fresh, other)
        assert row(world, waiting)["description"] == before and not world.server.sql("SELECT * FROM suspended WHERE upstream = ?", other)
    finally:
        simulators(world)[down].lock_out(False)
    world.advanced(lambda: not world.server.sql("SELECT * FROM suspended") and row(world, waiting)["description"] == "While %s was down" % down,
                   what="what waited to arrive")


def test_the_status_page_has_both(world):
    site = world.server.status()["sites"][0]
    assert [crm["name"] for crm in site["crms"]] == [CRM, OTHER]
    assert [crm["misfits"] for crm in site["crms"]] == [[], []], site["crms"]
