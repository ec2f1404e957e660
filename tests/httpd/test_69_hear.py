"""What the record's state says to Partner Center, row by row of the table `hear` of the shipped profile: each by an ordinary edit or closing in the CRM,
told by the CRM's own notice. What no person did accepts nothing.

Dynamics has a status reason and buttons that close; Salesforce has a stage, and a field for the reason of a loss."""

from urllib.parse import quote

import pytest
import requests

from harness import Timeout, wait_for
from harness.salesforce import HOLD
from harness.world import CRM_CLIENT_ID, CRM_CLIENT_SECRET

CRMS = ("dynamics365", "salesforce")
LONG = 30
SECRET = "only-this-test-and-its-simulator-know"
PERSON = "00000000-0000-4000-8000-000000000011"
ON_HOLD, IN_PROGRESS, WON, CANCELED, OUT_SOLD = 2, 1, 3, 4, 5
LOST_LEAD, CANCELED_LEAD = 4, 7
HOUR = 3600
RULE = {"dynamics365": {"table": "opportunity", "column": "statuscode", "quirk": "ignore", "values": [ON_HOLD]},
        "salesforce": {"table": "Opportunity", "column": "StageName", "quirk": "replace", "values": [HOLD], "as": "Qualification"}}
NEW, ACCEPTED = ("New", "Pending"), ("Active", "Accepted")


def told(document):
    document["names"].update(status="acme_cosellstatus", problem="acme_cosellproblem")


@pytest.fixture(scope="module")
def world(world_of):
    world = world_of("hear")
    world.crm.columns("opportunity", acme_CosellStatus=("text", {"max": 100}), acme_CosellProblem=("memo", {"max": 2000}))
    world.crm.columns("lead", acme_CosellStatus=("text", {"max": 100}), acme_CosellProblem=("memo", {"max": 2000}))
    world.edit_mapping(told)
    world.replace("CosellCrm", world.directive("CosellCrm") + " webhook-secret=" + world.server.secret("webhook", SECRET))
    world.server.locations += ['<Location "/crm">', "  SetHandler cosell-crm", "</Location>"]
    world.start().ready()
    for table in ("opportunity", "lead"):
        world.crm.notify_to(world.server.base + "/crm?secret=" + quote(SECRET), table)
    return world


class Seller:
    """A person at the CRM's own screens."""

    def __init__(self, world):
        self.world = world

    def headers(self):
        """Signed in anew each time: time goes by in leaps here."""
        info = self.world.crm.info
        answer = requests.post(info["token"], data={"grant_type": "client_credentials", "client_id": CRM_CLIENT_ID,
                                                    "client_secret": CRM_CLIENT_SECRET, "scope": info["base"] + "/.default"}, timeout=10)
        return {"Authorization": "Bearer " + answer.json()["access_token"], "MSCRMCallerID": PERSON}

    def edits(self, identity, table="opportunities", **change):
        self.world.crm.edit(table, identity, change)

    def closes(self, identity, action, status, **activity):
        """The button and what is typed into its dialog; in Salesforce the stage, which has no dialog."""
        if self.world.kind == "salesforce":
            self.edits(identity, statecode=1 if action == "WinOpportunity" else 2, statuscode=status)
            return
        body = {"Status": status, "OpportunityClose": {"subject": "Closed", "opportunityid@odata.bind": "/opportunities(%s)" % identity, **activity}}
        answer = requests.post(self.world.crm.info["api"] + "/" + action, json=body, headers=self.headers(), timeout=10)
        assert answer.status_code == 204, answer.text


@pytest.fixture(scope="module")
def seller(world):
    return Seller(world)


class Deal:
    def __init__(self, world, table="opportunities", **members):
        self.world, self.table = world, table
        self.referral = world.refer(active=False, **members)
        deal = world.looked(self.referral, name="referral-created")
        assert deal["state"] == "linked", (deal, world.work(self.referral))
        self.id = deal["record_id"]
        self.mark()

    def mark(self):
        """What Partner Center was told until now."""
        self.heard()
        self.since = self.world.partner.last_request()

    @property
    def row(self):
        return self.world.crm.row(self.table, self.id)

    @property
    def card(self):
        return self.world.partner.referral(self.referral["id"])

    @property
    def state(self):
        return self.card["status"], self.card["substatus"]

    def becomes(self, *states, deadline=15):
        try:
            wait_for(lambda: self.state == states, deadline)
        except Timeout as error:
            raise AssertionError("Partner Center has %s, not %s; %s; journal %s" % (self.state, states, self.world.work(self.referral),
                                                                                  self.journal()[-3:])) from error
        self.mark()

    def stays(self, *states):
        """Nothing is left to be done, and nothing was done at Partner Center since the last mark."""
        self.heard()
        assert self.state == states
        assert self.world.partner.writes(self.since) == []

    def heard(self):
        """Until a look that began after the last edit is over."""
        wait_for(self.world.crm.notified, 10, "the notices to be delivered")
        self.world.settled()

    def journal(self):
        return self.world.journal(self.referral)

    def told(self):
        return self.row["acme_cosellstatus"], self.row["acme_cosellproblem"] or ""


def later(world, seconds=300):
    """Here and in the CRM: nobody answers in the second in which a record appears."""
    clock = world.crm.get("clock")
    world.crm.post("clock", {"offset": clock["offset"] + seconds})
    world.server.clock(advance=seconds)


def unanswered(world, **members):
    deal = Deal(world, **members)
    assert deal.row["statuscode"] == ON_HOLD and deal.state == NEW
    later(world)
    return deal


def accepted(world, seller, **members):
    deal = unanswered(world, **members)
    seller.edits(deal.id, statuscode=IN_PROGRESS)
    deal.becomes(*ACCEPTED)
    return deal


# New


def test_waits_while_on_hold(world, seller):
    """New, on hold: wait. Other columns may move as they like."""
    deal = unanswered(world)
    seller.edits(deal.id, **{"NextStep" if world.kind == "salesforce" else "emailaddress": "somebody@example.test"})
    deal.stays(*NEW)
    assert deal.told()[0] == "Not accepted"


def test_status_reason_accepts(world, seller):
    """New, open: accept."""
    deal = unanswered(world)
    seller.edits(deal.id, statuscode=IN_PROGRESS)
    deal.becomes(*ACCEPTED)
    assert deal.row["statuscode"] == IN_PROGRESS and deal.row["statecode"] == 0
    assert deal.told()[0] == "In sync"
    since = world.partner.last_request(), world.crm.last_request()
    world.looked(deal.referral)
    assert world.partner.writes(since[0]) == [] and world.crm.writes(since[1]) == []


def test_winning_accepts_and_wins(world, seller):
    """New, won: accept, win."""
    deal = unanswered(world)
    seller.closes(deal.id, "WinOpportunity", WON)
    deal.becomes("Closed", "Won")
    states = [w for w in world.partner.writes(0, deal.referral["id"]) if w["method"] == "PATCH" and w["status"] < 300]
    assert '"Active"' in "".join(w["body"] for w in states), "a referral is accepted before it is won"
    assert deal.row["statecode"] == 1


@pytest.mark.parametrize("status, code", [(OUT_SOLD, "ChoseAnotherVendor"), (CANCELED, "Others")])
def test_losing_declines(world, seller, status, code):
    """New, lost: decline, with the reason of the status."""
    deal = unanswered(world)
    seller.closes(deal.id, "LoseOpportunity", status)
    deal.becomes("Closed", "Declined")
    assert deal.card["statusReason"].startswith(code)
    assert deal.row["statecode"] == 2 and deal.row["statuscode"] == status


# Active


def test_hold_while_active_is_the_customers(world, seller):
    """Active, open: stay, whatever the status reason says. The stage of unanswered referrals of a Salesforce organisation is no other stage: refused, and said so."""
    deal = accepted(world, seller)
    for status in (ON_HOLD, IN_PROGRESS):
        seller.edits(deal.id, statuscode=status)
        deal.stays(*ACCEPTED)
        assert deal.row["statuscode"] == status
        if world.kind == "salesforce":
            said = "this stage is for referrals that nobody has accepted yet"
            assert (said in deal.told()[1]) == (status == ON_HOLD), deal.told()


def test_winning_wins_after_three_days(world, seller):
    """Active, won: win, not before 72 hours."""
    deal = accepted(world, seller)
    seller.closes(deal.id, "WinOpportunity", WON, actualrevenue=60000)
    deal.stays(*ACCEPTED)
    offset = world.server.offset
    try:
        world.server.clock(advance=70 * HOUR)
        world.notify(deal.referral)
        world.settled()
        assert deal.state == ACCEPTED
        world.advanced(lambda: deal.state == ("Closed", "Won"), step=HOUR, what="the referral to be won")
    finally:
        world.server.clock(offset=offset)
    assert deal.row["statecode"] == 1


@pytest.mark.parametrize("status, code", [(OUT_SOLD, "ChoseAnotherVendor"), (CANCELED, "Others")])
def test_losing_loses_with_its_reason(world, seller, status, code):
    """Active, lost: lose, with the reason of the status and what was typed."""
    deal = accepted(world, seller)
    seller.closes(deal.id, "LoseOpportunity", status, description="They already had one")
    deal.becomes("Closed", "Lost")
    reason = deal.card["statusReason"]
    assert reason.startswith(code) and (world.kind == "salesforce" or "They already had one" in reason)
    assert deal.row["statecode"] == 2 and deal.row["statuscode"] == status
    # A record that the seller closed takes no writes any more: that it is over stands on the status page.
    wait_for(lambda: world.deal(deal.referral)["status"] == "Closed", 10, "the deal to be closed")


# Closed


@pytest.mark.parametrize("action, status, substatus", [("LoseOpportunity", OUT_SOLD, "Lost")])
def test_reopening_is_refused_and_said(world, seller, action, status, substatus):
    """Closed, open again: refuse, and say so."""
    deal = accepted(world, seller)
    seller.closes(deal.id, action, status)
    deal.becomes("Closed", substatus)
    seller.edits(deal.id, statecode=0, statuscode=IN_PROGRESS)
    deal.stays("Closed", substatus)
    wait_for(lambda: "reopened here" in deal.told()[1], 10, "the record to say that it is closed at Partner Center; it says %r" % (deal.told(),))
    assert deal.row["statecode"] == 0, "nobody closes what a person opened"


# Leads


def lead(world):
    deal = Deal(world, table="leads", microsoft=False, type="Independent", qualification="SalesQualified", status="New", substatus="Pending",
                inviteContext={"invitedBy": {"organizationId": "msft", "organizationName": "Microsoft"}})
    assert world.deal(deal.referral)["kind"] == "lead" and deal.row["statecode"] == 0
    later(world)
    return deal


def test_open_lead_waits(world, seller):
    """New, open: wait."""
    deal = lead(world)
    seller.edits(deal.id, "leads", **({"Status": "Working - Contacted"} if world.kind == "salesforce" else {"leadqualitycode": 1, "statuscode": 2}))
    deal.stays(*NEW)


def test_qualified_lead_accepts_and_moves_the_link(world, seller):
    """New, qualified: accept; the deal goes on as the opportunity."""
    deal = lead(world)
    opportunity = world.crm.convert(deal.id)
    deal.becomes(*ACCEPTED)
    wait_for(lambda: world.deal(deal.referral)["record_id"] == opportunity, 10, "the link to move")


@pytest.mark.parametrize("status, code", [(LOST_LEAD, "NotACustomer"), (CANCELED_LEAD, "Others")])
def test_disqualified_lead_declines(world, seller, status, code):
    """New, disqualified: decline, with its reason."""
    deal = lead(world)
    if world.kind == "salesforce":  # its statuses know no reasons; the field beside them does
        reason, code = {LOST_LEAD: ("Competition", "ChoseAnotherVendor"), CANCELED_LEAD: ("Other", "Others")}[status]
        seller.edits(deal.id, "leads", Status="Closed - Not Converted", Loss_Reason__c=reason)
    else:
        seller.edits(deal.id, "leads", statecode=2, statuscode=status)
    deal.becomes("Closed", "Declined")
    assert deal.card["statusReason"].startswith(code)


# What no person did


def test_first_meeting_never_accepts(world, seller):
    """A record that is open and not on hold when the referral finds it has accepted nothing."""
    name = world.unique()
    account = world.crm.post("accounts", {"name": "Customer of " + name, "address1_postalcode": "98052"})
    record = world.crm.post("opportunities", {"name": name, "msft_syncwithpartnercenter": False,
                                              "parentaccountid": {"table": "account", "id": account["accountid"]}})["opportunityid"]
    referral = world.refer(name, active=False, externalReferenceId=record)
    deal = world.looked(referral, name="referral-created")
    assert deal and deal["record_id"] == record, (deal, world.work(referral))
    card = world.partner.referral(referral["id"])
    assert (card["status"], card["substatus"]) == NEW
    for _ in range(2):
        world.looked(referral)
        card = world.partner.referral(referral["id"])
        assert (card["status"], card["substatus"]) == NEW


def test_rule_that_refuses_on_hold_is_reported(world):
    """The organisation's own rule makes new opportunities In Progress (another stage) while they are saved."""
    quirk = world.crm.post("quirks", RULE[world.kind])["id"] if world.kind == "dynamics365" else world.crm.raw("POST", "quirks", RULE[world.kind])["id"]
    try:
        deal = Deal(world)
        assert deal.row["statuscode"] == IN_PROGRESS
        for _ in range(2):
            deal.stays(*NEW)
            world.looked(deal.referral)
        assert deal.state == NEW
        assert "unanswered" in deal.told()[1] or "accept" in deal.told()[1].lower(), deal.told()
    finally:
        world.crm.remove_quirks(quirk)


@pytest.mark.parametrize("settled", [False, True], ids=["as soon as it is there", "once we have seen it"])
def test_workflow_that_resets_the_reason_accepts_nothing(world, settled):
    """A customer's workflow runs when a record was made, and sets In Progress."""
    name = world.unique()
    referral = world.refer(name, active=False)
    world.notify(referral, name="referral-created")
    record = wait_for(lambda: world.opportunities(name), 15, "the record", every=0.005)[0]["opportunityid"]
    if settled:
        world.settled()
    world.crm.edit("opportunities", record, {"statuscode": IN_PROGRESS})
    wait_for(world.crm.notified, 10, "the notices to be delivered")
    world.settled()
    for _ in range(2):
        world.looked(referral)
        card = world.partner.referral(referral["id"])
        assert (card["status"], card["substatus"]) == NEW, "a workflow accepted the referral"
