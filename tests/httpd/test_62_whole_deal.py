"""Everything a referral carries reaches the CRM; what cannot is named to the seller and cured by the obvious action alone."""

import json

import pytest

from harness import wait_for

CRMS = ("dynamics365", "salesforce")
SOLUTIONS, CONTACTS, TEAM = 12, 6, 5
REFUSED, AMBIGUOUS = 7, 3


def told(document):
    document["names"].update(status="acme_cosellstatus", problem="acme_cosellproblem")
    for kind in document["records"].values():
        if isinstance(kind.get("tell", {}).get("problem"), dict):
            kind["tell"]["problem"]["max"] = 2000  # as long as the column of this test
    # A help code without a pair is told, not passed over.
    document["values"]["help"]["else"] = {"to_pc": "hold"}


@pytest.fixture(scope="module")
def world(world_of):
    world = world_of("whole")
    for table in ("opportunity", "lead"):
        world.crm.columns(table, acme_CosellStatus=("text", {"max": 100}), acme_CosellProblem=("memo", {"max": 2000}))
    world.edit_mapping(told)
    world.ages = world.kind == "salesforce"
    return world.start().ready()


def solution(number):
    return {"type": "Name", "id": "SOL-%02d" % number, "name": "Solution %02d" % number}


def person(word, number):
    return {"firstName": word, "lastName": "Number%d" % number, "phoneNumber": "+1 425 555 %04d" % number,
            "email": "%s%d@example.test" % (word.lower(), number)}


class Deal:
    """One deal with everything, of which three things cannot land."""

    def __init__(self, world):
        self.world = world
        self.customer = world.unique("Customer")
        self.users = [world.crm.post("systemusers", {"firstname": "Seller", "lastname": "Number%d" % n,
                                                     "internalemailaddress": "seller%d@example.test" % n}) for n in range(TEAM)]
        self.account = world.crm.post("accounts", {"name": self.customer, "address1_postalcode": "98052"})
        self.twins = [world.crm.post("contacts", {"firstname": "Twin", "lastname": "Number%d" % n, "emailaddress1": "Buyer3@example.test",
                                                  "parentcustomerid": {"table": "account", "id": self.account["accountid"]}}) for n in range(2)]
        self.quirk = world.crm.quirk("msft_microsoftsolutiondetail", "msft_solutionidentifier", "refuse-unnamed", values=["SOL-%02d" % REFUSED],
                                     message="Solution SOL-%02d is not released for sale." % REFUSED)
        self.referral = world.refer(
            customerProfile={"name": self.customer, "team": [person("Buyer", n) for n in range(CONTACTS)]},
            team=[person("Seller", n) for n in range(TEAM)],
            details={"requirements": {"solutions": [solution(n) for n in range(SOLUTIONS)]}},
            microsoft={"inviteContext": {"notes": "Please help", "assistanceRequestCode": "SomethingNewlyInvented"}})
        self.deal = world.looked(self.referral, name="referral-created")

    def again(self, **members):
        self.deal = self.world.looked(self.referral, **members)
        return self

    @property
    def row(self):
        return self.world.crm.row("opportunities", self.deal["record_id"])

    def solutions(self):
        details = {d["msft_microsoftsolutiondetailid"]: d["msft_solutionidentifier"] for d in self.world.crm.rows("msft_microsoftsolutiondetails")}
        return sorted(details[s["_msft_solutiondetailid_value"]] for s in self.world.crm.rows("msft_microsoftsolutions")
                      if s["_msft_opportunityid_value"] == self.deal["record_id"])

    def contacts(self):
        return sorted(c["emailaddress1"].lower() for c in self.world.crm.rows("contacts")
                      if c.get("_parentcustomerid_value") == self.account["accountid"])

    def members(self):
        teams = {t["teamid"] for t in self.world.crm.rows("teams") if t.get("_regardingobjectid_value") == self.deal["record_id"]}
        return sorted(m["systemuserid"] for m in self.world.crm.rows("teammemberships") if m["teamid"] in teams)

    def problem(self):
        return (self.row["acme_cosellproblem"] or "")


@pytest.fixture(scope="module")
def deal(world):
    return Deal(world)


def all_but(count, *missing, form="SOL-%02d"):
    return [form % n for n in range(count) if n not in missing]


def test_everything_else_lands(world, deal):
    assert deal.deal["state"] == "linked", (deal.deal, world.work(deal.referral))
    row = deal.row
    assert row["name"] == deal.referral["name"] and float(row["estimatedvalue"]) == 50000
    assert row["_parentaccountid_value"] == deal.account["accountid"]
    assert deal.solutions() == all_but(SOLUTIONS, REFUSED)
    assert deal.contacts() == sorted(all_but(CONTACTS, form="buyer%d@example.test") + ["buyer3@example.test"])  # the twins, not a third
    users = {u["systemuserid"] for u in deal.users}
    assert row["_ownerid_value"] in users
    assert users <= set(deal.members()) | {row["_ownerid_value"]}


def test_the_record_says_what_is_missing(deal):
    text = deal.problem()
    assert "SOL-07" in text or "Solution 07" in text, text
    assert "not released for sale" in text, text
    assert "buyer3@example.test" in text.lower() or "Twin" in text, text
    assert "SomethingNewlyInvented" in text, text
    assert deal.row["acme_cosellstatus"] in ("Waiting", "Needs you", "In sync, not all")


def test_nothing_else_cures(world, deal):
    """Another notice without the action: nothing lands, nothing is told anew, nothing is made twice."""
    before = deal.row
    since = world.crm.last_request()
    deal.again()
    assert deal.solutions() == all_but(SOLUTIONS, REFUSED)
    assert deal.row["acme_cosellproblem"] == before["acme_cosellproblem"] and world.crm.version(deal.row) == world.crm.version(before)
    done = [r for r in world.crm.writes(since) if r["status"] < 300]
    assert done == [], done


def test_released_solution_lands(world, deal):
    world.crm.remove_quirks(deal.quirk)
    deal.again()
    assert deal.solutions() == all_but(SOLUTIONS)
    assert "SOL-07" not in deal.problem() and "buyer3" in deal.problem().lower() and "SomethingNewlyInvented" in deal.problem()


def test_the_right_contact_lands(world, deal):
    world.crm.delete("contacts/" + deal.twins[1]["contactid"])
    deal.again()
    assert deal.contacts() == all_but(CONTACTS, form="buyer%d@example.test")
    assert "buyer3" not in deal.problem().lower() and "SomethingNewlyInvented" in deal.problem()


def test_the_new_choice_lands(world, deal):
    """The administrator adds the pair; a reload is all it takes."""
    def add(document):
        document["values"]["help"]["pairs"]["SomethingNewlyInvented"] = "General Or Other"
    world.edit_mapping(add)
    world.server.graceful()
    wait_for(lambda: deal.problem() == "", 30, "the changed mapping to reach the record")
    deal.again()
    assert deal.row["acme_cosellstatus"] == "In sync"
    assert deal.row["msft_howcanmicrosofthelp"] is not None


def test_then_quiet(world, deal):
    since = world.crm.last_request()
    deal.again()
    assert world.crm.writes(since) == []


def test_items_follow(world, deal):
    """One goes, one comes: one row less, one more, the others untouched."""
    rows = {s["msft_microsoftsolutionid"]: world.crm.version(s) for s in world.crm.rows("msft_microsoftsolutions")}
    wanted = [solution(n) for n in range(1, SOLUTIONS + 1)]
    requirements = world.partner.referral(deal.referral["id"])["details"]["requirements"]
    world.partner.edit(deal.referral["id"], {"details": {"requirements": {**requirements, "solutions": list(reversed(wanted))}}})
    deal.again()
    assert deal.solutions() == ["SOL-%02d" % n for n in range(1, SOLUTIONS + 1)]
    after = {s["msft_microsoftsolutionid"]: world.crm.version(s) for s in world.crm.rows("msft_microsoftsolutions")}
    assert len(set(rows) - set(after)) == 1 and len(set(after) - set(rows)) == 1
    assert all(after[i] == rows[i] for i in set(rows) & set(after))
