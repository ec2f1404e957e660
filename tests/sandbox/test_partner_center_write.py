"""Making and changing referrals step by step, as a partner's system does it: kinds, upgrades, lost answers, late lists."""
import os
import sys

import pytest
import requests

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from test_partner_center import directory, new_referral, next_event, receiver, running, sim, wait  # noqa: E402,F401

SHARE = "consentToShareReferralWithMicrosoftSellers"
HELP = {"assistanceRequestCode": "GeneralOrOther", "notes": "please"}
PERSON = {"firstName": "A", "lastName": "B", "email": "a@x.example", "phoneNumber": "1"}


def document(kind="private", **more):
    body = new_referral(**more)
    body["consent"][SHARE] = kind != "private"
    if kind == "co-sell":
        body.update(type="Shared", inviteContext=HELP, target=[{"type": "SolutionProfile", "id": "SOL-00000-AAA"}])
    return body


def connected(own, **more):
    return {**document("co-sell"), "engagementId": own["engagementId"],
            "target": [{"type": "BusinessProfileLocation", "id": "msft"}], **more}


def post(sim, body):
    return sim.call("POST", sim.referrals, json=body)


def organizations(sim, own):
    found = sim.list(filter="engagementId eq '%s'" % own["engagementId"]).json()["value"]
    return sorted("msft" if r["organizationId"] == "msft" else "own" for r in found)


@pytest.mark.parametrize("kind", ["private", "partner-led", "co-sell"])
def test_each_kind_begins_accepted(sim, kind):
    sim.control("POST", "options", {"CreateChecks": "portal"})
    own = post(sim, document(kind, externalReferenceId="crm-" + kind)).json()
    assert (own["status"], own["substatus"], own["direction"]) == ("Active", "Accepted", "Outgoing")
    assert own["consent"][SHARE] is (kind != "private") and own["externalReferenceId"] == "crm-" + kind
    assert organizations(sim, own) == ["own"]
    newest = sim.list(filter="direction eq 'Outgoing'", orderby="createdDateTime desc", top="10").json()["value"]
    assert newest[0]["id"] == own["id"] and newest[0]["externalReferenceId"] == "crm-" + kind


@pytest.mark.parametrize("kind", ["private", "partner-led"])
def test_an_upgrade_is_consent_first_then_the_connected_one(sim, kind):
    own = post(sim, document(kind)).json()
    refused = post(sim, connected(own))
    assert (refused.status_code == 400) is (kind == "private")
    if kind == "private":
        assert refused.json()["error"]["target"] == "consent/" + SHARE and organizations(sim, own) == ["own"]
        assert sim.patch(own, [("replace", "/consent/" + SHARE, True)], own["eTag"]).status_code == 204
        assert post(sim, connected(own)).status_code == 200
    assert organizations(sim, own) == ["msft", "own"]
    card = post(sim, connected(own, consent={SHARE: False}))
    assert card.status_code == 400


def test_a_double_connected_post_is_seen(sim):
    own = post(sim, document("co-sell")).json()
    for cards in (1, 2):
        assert post(sim, connected(own)).status_code == 200
        assert organizations(sim, own) == ["msft"] * cards + ["own"]
    sim.control("POST", "options", {"ConnectedAgain": "refuse"})
    assert post(sim, connected(own)).status_code == 409
    assert organizations(sim, own) == ["msft", "msft", "own"]


def test_a_double_own_post_is_seen(sim):
    assert post(sim, document(externalReferenceId="crm-2")).json()["id"] != \
        post(sim, document(externalReferenceId="crm-2")).json()["id"]


@pytest.mark.parametrize("fault, made", [("drop-after-commit", 1), ("reset-after", 1), ("truncate", 1), ("reset-before", 0),
                                         ("status", 0), ("html", 0)])
@pytest.mark.parametrize("second", [False, True])
def test_lost_answers_to_either_post(sim, fault, made, second):
    own = post(sim, document("co-sell")).json()
    sim.control("POST", "faults", {"method": "POST", "path": "/referrals$", "fault": fault, "times": 1,
                                   "match": '"engagementId"' if second else '"name"'})
    body = connected(own) if second else document(externalReferenceId="crm-lost")
    if fault in ("status", "html"):
        assert post(sim, body).status_code == 503
    else:
        with pytest.raises(requests.RequestException):
            post(sim, body).json()
    if second:
        assert organizations(sim, own) == ["msft"] * made + ["own"]
    else:
        rows = sim.list(orderby="createdDateTime desc").json()["value"]
        assert len([r for r in rows if r["externalReferenceId"] == "crm-lost"]) == made


def test_the_list_is_late_and_the_referral_itself_is_not(sim):
    sim.control("POST", "lag", {"list_seconds": 2700})
    own = post(sim, document("co-sell")).json()
    post(sim, connected(own))
    assert sim.get(own["id"]).status_code == 200
    assert sim.list(filter="direction eq 'Outgoing'").json()["value"] == [] and organizations(sim, own) == []
    sim.control("POST", "clock", {"advance": 2690})
    assert organizations(sim, own) == []
    sim.control("POST", "clock", {"advance": 15})
    assert organizations(sim, own) == ["msft", "own"]
    # A change is late in the list as well, by its own time.
    assert sim.patch(own, [("replace", "/salesStage", "40")]).status_code == 204
    assert sim.get(own["id"]).json()["salesStage"] == "40"
    assert sim.list(filter="direction eq 'Outgoing'").json()["value"][0]["salesStage"] is None


def test_writes_through_the_api_are_told(sim, receiver):
    sim.control("POST", "options", {"EventDelay": False})
    sim.register(receiver.url)
    own = post(sim, document("co-sell")).json()
    event = next_event(receiver)[1]
    assert (event["EventName"], event["ResourceUri"][-36:]) == ("referral-created", own["id"])
    card = post(sim, connected(own)).json()
    event = next_event(receiver)[1]
    assert (event["EventName"], event["ResourceUri"][-36:]) == ("related-referral-created", card["id"])
    assert sim.patch(own, [("replace", "/externalReferenceId", "crm-9")], own["eTag"]).status_code == 204
    event = next_event(receiver)[1]
    assert (event["EventName"], event["ResourceUri"][-36:]) == ("referral-updated", own["id"])
    assert sim.patch(own, [("replace", "/name", "x")]).status_code == 400
    assert sim.patch(own, [("replace", "/salesStage", "x")], own["eTag"]).status_code == 412
    assert receiver.events.empty()


@pytest.mark.parametrize("value", [0, "0", 0.0])
def test_money_is_never_taken_away(sim, value):
    own = post(sim, document()).json()
    answer = sim.patch(own, [("replace", "/details/dealValue", value)])
    assert answer.status_code == 400 and answer.json()["error"]["target"] == "/details/dealValue"
    assert sim.patch(own, [("replace", "/details/dealValue", None)]).status_code == 400
    assert sim.get(own["id"]).json()["details"]["dealValue"] == 50000
    sim.control("POST", "options", {"ZeroDealValue": True})
    assert sim.patch(own, [("replace", "/details/dealValue", value)]).status_code == 204


@pytest.mark.parametrize("path, value", [
    ("/name", "x"), ("/customerProfile/name", "x"), ("/customerProfile/address/city", "x"), ("/customerProfile/ids", []),
    ("/mpnId", "7"), ("/type", "Shared"), ("/target", []), ("/inviteContext/assistanceRequestCode", "GeneralOrOther"),
    ("/inviteContext/notes", "x"), ("/consent/consentToContact", False), ("/qualification", "Direct"),
    ("/engagementId", "x"), ("/organizationId", "msft"), ("/trackingInfo/microsoftMsxId", "7"),
    ("/details/requirements/additionalRequirements/attributes", []), ("/details/requirements/industries", [])])
def test_what_is_fixed_after_creation(sim, path, value):
    own = post(sim, document()).json()
    answer = sim.patch(own, [("replace", path, value)])
    assert (answer.status_code, answer.json()["error"]["target"]) == (400, path)
    sim.control("POST", "options", {"PatchName": True})
    assert sim.patch(own, [("replace", "/name", "new")]).status_code == 204
    assert sim.patch(own, [("replace", "/mpnId", "7")]).status_code == 400


@pytest.mark.parametrize("path", ["/team", "/customerProfile/team", "/details/requirements/solutions"])
def test_lists_take_fifty(sim, path):
    own = post(sim, document()).json()
    entry = PERSON if path.endswith("team") else {"id": "SOL-1", "type": "Name"}
    assert sim.patch(own, [("replace", path, [entry] * 50)]).status_code == 204
    assert sim.patch(own, [("add", path + "/-", entry)]).status_code == 400
    assert sim.patch(own, [("replace", path, [entry] * 51)]).status_code == 400
    assert sim.patch(own, [("replace", path, [entry] * 49), ("add", path + "/-", entry)]).status_code == 204


def test_creation_takes_fifty(sim):
    assert post(sim, document(team=[PERSON] * 51)).status_code == 400
    body = document()
    body["details"]["requirements"]["solutions"] *= 51
    assert post(sim, body).json()["error"]["target"] == "details/requirements/solutions"


def test_intent_may_be_required_alone(sim):
    body = document()
    body["details"]["requirements"]["additionalRequirements"] = {}
    assert post(sim, body).status_code == 200
    sim.control("POST", "options", {"IntentRequired": True})
    answer = post(sim, body)
    assert answer.status_code == 400 and "CustomerMarketplaceIntent" in answer.json()["error"]["message"]
    assert post(sim, document()).status_code == 200


def test_help_needs_a_contact(sim):
    sim.control("POST", "options", {"CreateChecks": "portal"})
    body = document("co-sell")
    body["customerProfile"]["team"] = []
    assert post(sim, body).json()["error"]["target"] == "customerProfile/team"
    body["customerProfile"]["team"] = [{**PERSON, "phoneNumber": ""}]
    assert post(sim, body).status_code == 400
    body["customerProfile"]["team"] = [PERSON]
    assert post(sim, body).status_code == 200
    body = document("partner-led")
    body["customerProfile"]["team"] = []
    assert post(sim, body).status_code == 200
