"""What a whole deal needs of Partner Center: kinds of referral, cards of an engagement, life in the portal."""
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from test_partner_center import directory, running, sim  # noqa: E402,F401


def cards(sim, referral):
    found = sim.list(filter="engagementId eq '%s'" % referral["engagementId"]).json()["value"]
    return {c["organizationId"]: c for c in found}


@pytest.mark.parametrize("kind, type, qualification, shared, incoming, others", [
    ("private", "Independent", "SalesQualified", False, False, []),
    ("partner-led", "Independent", "SalesQualified", True, False, []),
    ("co-sell", "Shared", "SalesQualified", True, False, ["msft"]),
    ("marketplace-lead", "Independent", "Direct", False, True, []),
    ("qualified-lead", "Independent", "MarketingQualified", False, True, []),
    ("p2p", "Shared", "SalesQualified", False, True, ["7d230000-0000-4000-8000-0000000000b1"]),
])
def test_kinds(sim, kind, type, qualification, shared, incoming, others):
    made = sim.control("POST", "referrals", {"kind": kind})
    read = sim.get(made["id"]).json()
    assert (read["type"], read["qualification"]) == (type, qualification)
    assert read["consent"]["consentToShareReferralWithMicrosoftSellers"] is shared
    assert read["direction"] == ("Incoming" if incoming else "Outgoing")
    assert (read["status"], read["substatus"]) == (("New", "Pending") if incoming else ("Active", "Accepted"))
    assert (read["expirationDateTime"] is not None) is incoming
    invited = read["inviteContext"]["invitedBy"]["organizationId"]
    assert invited == ("msft" if kind.endswith("lead") else others[0] if kind == "p2p" else read["organizationId"])
    found = cards(sim, made)
    assert sorted(found) == sorted([read["organizationId"], *others])
    if kind == "p2p":
        other = found[others[0]]
        assert other["details"]["dealValue"] != read["details"]["dealValue"]
        assert other["team"] != read["team"] and other["status"] == "Active"


def test_unknown_kind(sim):
    answer = sim.control("POST", "referrals", {"kind": "friend"}, ok=False)
    assert "kind must be one of" in answer["error"]


def test_card_of_microsoft(sim):
    made = sim.control("POST", "referrals", {"kind": "co-sell", "microsoft": {"team": [{"email": "seller@ms.example"}]}})
    card = cards(sim, made)["msft"]
    assert (card["status"], card["substatus"], card["trackingInfo"]["microsoftMsxId"]) == ("New", "Pending", None)
    sim.control("PATCH", "referrals/" + card["id"], {
        "status": "Active", "substatus": "Accepted", "trackingInfo": {"microsoftMsxId": "7-1ABCDEF"}})
    read = sim.get(card["id"]).json()
    assert read["trackingInfo"]["microsoftMsxId"] == "7-1ABCDEF" and read["acceptedDateTime"]
    assert read["team"] == [{"email": "seller@ms.example"}]
    assert sim.patch(card, [("replace", "/status", "Closed")]).status_code == 403
    sim.control("PATCH", "referrals/" + card["id"], {"status": "Closed", "substatus": "Declined",
                                                     "statusReason": "Budget:not now"})
    read = sim.get(card["id"]).json()
    assert (read["substatus"], read["statusReason"]) == ("Declined", "Budget:not now")


def test_error_and_reopening_by_a_person(sim):
    made = sim.control("POST", "referrals", {"kind": "co-sell"})
    sim.control("PATCH", "referrals/" + made["id"], {"status": "Closed", "substatus": "Error",
                                                     "statusReason": "DuplicatePortal:made twice"})
    read = sim.get(made["id"]).json()
    assert read["substatus"] == "Error" and read["closedDateTime"]
    assert sim.patch(made, [("replace", "/details/dealValue", 1)]).status_code == 400
    sim.control("PATCH", "referrals/" + made["id"], {"status": "Active", "substatus": "Accepted", "statusReason": None})
    read = sim.get(made["id"]).json()
    assert (read["status"], read["closedDateTime"], read["statusReason"]) == ("Active", None, None)
    assert sim.patch(made, [("replace", "/details/dealValue", 1)]).status_code == 204


def test_registration_seen_by_a_person(sim):
    made = sim.control("POST", "referrals", {"kind": "co-sell"})
    value = {"type": "AzureIPCoSell", "contract": {"value": 1, "currency": "USD", "term": "Finite"},
             "solutionDetails": [{"id": "SOL-00000-AAA", "value": 1, "currency": "USD", "isDeployedOnAzure": True,
                                  "primaryDeploymentOn": "Customer", "pricingModel": "Other",
                                  "marketplaceTransactionDetails": {"isMarketplaceTransacted": False}}]}
    assert sim.patch(made, [("add", "/registrations/-", value)]).status_code == 204
    read = sim.get(made["id"]).json()
    first = {**read["registrations"][0], "status": "Approved",
             "statusHistory": {**read["registrations"][0]["statusHistory"], "approvedDateTime": "2030-01-01T00:00:00Z"}}
    sim.control("PATCH", "referrals/" + made["id"], {"registrations": [first], "registrationStatus": "Approved"})
    read = sim.get(made["id"]).json()
    assert read["registrationStatus"] == read["registrations"][0]["status"] == "Approved"
    assert sim.patch(made, [("replace", "/registrations/0/solutionDetails/0/value", 2)]).status_code == 204


def test_contacts_may_be_frozen_once_shared(sim):
    sim.control("POST", "options", {"FrozenWhenShared": True})
    people = [{"firstName": "A", "lastName": "B", "email": "a@x.example", "phoneNumber": "1"}]
    private, shared = (sim.control("POST", "referrals", {"kind": k}) for k in ("private", "partner-led"))
    assert sim.patch(private, [("replace", "/customerProfile/team", people)]).status_code == 204
    assert sim.patch(shared, [("replace", "/customerProfile/team", people)]).status_code == 400
    assert sim.patch(shared, [("replace", "/team", people)]).status_code == 204


def test_twelve_solutions_six_contacts_five_people(sim):
    solutions = [{"id": "SOL-%05d-AAA" % n, "name": "S%d" % n, "type": "Name", "publisherName": "P"} for n in range(12)]
    people = [{"firstName": "F%d" % n, "lastName": "L", "email": "p%d@x.example" % n, "phoneNumber": "1"}
              for n in range(6)]
    made = sim.control("POST", "referrals", {"kind": "co-sell", "direction": "Incoming", "team": people[:5],
                                             "customerProfile": {"team": people},
                                             "details": {"requirements": {"solutions": solutions}}})
    read = sim.get(made["id"]).json()
    assert read["details"]["requirements"]["solutions"] == solutions
    assert read["customerProfile"]["team"] == people and read["team"] == people[:5]
    assert read["details"]["requirements"]["industries"] and read["status"] == "New"


@pytest.mark.parametrize("silent", [True, False])
def test_a_thousand_edits_in_one_request(sim, silent):
    made = sim.control("POST", "bulk/referrals", [{} for _ in range(1000)])
    before = {r["id"]: r["eTag"] for r in made}
    query = {"silent": 1} if silent else {}
    answer = sim.control("PATCH", "bulk/referrals", [{"id": r["id"], "details": {"dealValue": n}}
                                                     for n, r in enumerate(made)], **query)
    assert answer == {"changed": 1000}
    read = sim.get(made[7]["id"]).json()
    assert read["details"]["dealValue"] == 7 and read["eTag"] != before[made[7]["id"]]
    assert read["details"]["currency"] == "USD"
    answer = sim.control("PATCH", "bulk/referrals", {"ids": [r["id"] for r in made], "change": {"salesStage": "40"}},
                         **query)
    assert answer == {"changed": 1000} and sim.get(made[999]["id"]).json()["salesStage"] == "40"
