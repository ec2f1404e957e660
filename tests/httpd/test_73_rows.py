"""What a seller may expect of both directions, action by action: rows of the README's table of capabilities that no other file walks through."""

import json
import uuid

import pytest

from harness import wait_for
from harness.both import AZURE, HELP, add_solution, connect, deal_of_record, hear, microsofts, opted_in, own_referrals, referral_of

CRMS = ("dynamics365", "salesforce")
ROOT = "/v1.0/engagements/referrals"
STAGES = {"40": {"dynamics365": {"salesstage": 1}, "salesforce": {"StageName": "Needs Analysis"}},
          "60": {"dynamics365": {"salesstage": 2}, "salesforce": {"StageName": "Proposal/Price Quote"}}}
VALUE = {"dynamics365": "Est. Revenue", "salesforce": "Amount"}


def names(document):
    document["names"].update(status="acme_cosellstatus", problem="acme_cosellproblem", campaign="acme_campaign", location="acme_location",
                             intent="acme_customermarketplaceintent")
    opportunity = document["records"]["opportunity"]
    opportunity["from_crm"]["quiet"] = "1s"
    opportunity["lines"]["stage"]["enabled"] = True
    attributes = "/details/requirements/additionalRequirements/attributes"
    for line, word in (("area", "SolutionArea"), ("play", "SolutionPlay")):
        opportunity["lines"][line] = {"pc": "%s[type=%s]/id" % (attributes, word), "crm": "acme_" + line, "direction": "to_pc", "events": ["create"]}


@pytest.fixture(scope="module")
def world(world_of):
    world = world_of("rows")
    world.crm.columns("opportunity", acme_Campaign=("text", {"max": 100}), acme_Location=("text", {"max": 20}), acme_Area=("text", {"max": 100}),
                      acme_Play=("text", {"max": 100}))
    if world.kind == "salesforce":
        world.crm.columns("opportunity", acme_CustomerMarketplaceIntent=("text", {"max": 100}))
        for table in ("opportunity", "lead"):
            world.crm.columns(table, acme_CosellStatus=("text", {"max": 100}), acme_CosellProblem=("memo", {"max": 2000}))
    world.edit_mapping(names)
    hear(world).start().ready()
    return connect(world)


def met(world, **members):
    """A deal that came from Partner Center: (referral id, record id)."""
    referral = world.refer(**members)
    world.looked(referral, name="referral-created")
    deal = wait_for(lambda: (lambda d: d if d and d["record_id"] else None)(world.deal(referral)), 20, "the record")
    world.settled()
    return referral["id"], deal["record_id"]


def made(world, **wishes):
    """A deal that came from the CRM: (referral, row)."""
    row = opted_in(world, **wishes)
    referral = wait_for(lambda: referral_of(world, row["opportunityid"]), 30, "the referral of %s" % row["name"])
    wait_for(lambda: record(world, row["opportunityid"])["msft_referralidentifier"] == referral["id"], 20, "its id in the record")
    world.settled()
    return world.partner.referral(referral["id"]), record(world, row["opportunityid"])


def record(world, identity):
    return world.crm.row("opportunities", identity)


def type_in(world, identity, **columns):
    """What a seller types; back when the deal was looked at."""
    world.crm.edit("opportunities", identity, columns)


def referral_shows(world, identity, condition, what, deadline=20):
    found = wait_for(lambda: (lambda r: r if condition(r) else None)(world.partner.referral(identity)), deadline, what)
    world.settled()
    return found


def record_shows(world, identity, condition, what, deadline=20):
    found = wait_for(lambda: (lambda r: r if condition(r) else None)(record(world, identity)), deadline, what)
    world.settled()
    return found


def patches(world, identity, since):
    return [r for r in world.partner.requests("%s/%s$" % (ROOT, identity), "PATCH", since)]


def paths(request):
    return sorted(op["path"] for op in json.loads(request["body"]))


def problem(world, identity):
    return record(world, identity)["acme_cosellproblem"] or ""


def views(world, referral):
    return {v["line"]: v for v in world.server.status(deal=referral)["deal"]["explain"]["lines"]}


# 7: an edit in the CRM


def test_only_the_path_that_differs_is_sent(world):
    referral, row = met(world)
    since = world.partner.last_request()
    type_in(world, row, description="Typed by the seller")
    referral_shows(world, referral, lambda r: r["details"]["notes"] == "Typed by the seller", "the notes at Partner Center")
    sent = patches(world, referral, since)
    assert len(sent) == 1 and paths(sent[0]) == ["/details/notes"], sent
    entry = [e for e in world.journal(referral) if e["direction"] == "to_pc" and e["line"] == "notes"][-1]
    assert entry["outcome"] == "done" and "Typed by the seller" in entry["new"] and entry["why"]


def test_money_travels_as_a_pair_or_not_at_all(world):
    referral, row = met(world)
    since = world.partner.last_request()
    euro = "00000000-0000-4000-8000-000000000022"
    type_in(world, row, estimatedvalue=61234.5, transactioncurrencyid={"table": "transactioncurrency", "id": euro})
    after = referral_shows(world, referral, lambda r: r["details"]["dealValue"] == 61234.5, "the value at Partner Center")
    assert after["details"]["currency"] == "EUR"
    assert {"/details/dealValue", "/details/currency"} <= set(paths(patches(world, referral, since)[0]))


def test_a_lost_guard_is_looked_at_again(world):
    """Somebody changes the referral between our read and our PATCH: nothing of theirs is overwritten, ours arrives."""
    referral, row = met(world)
    fault = world.partner.fault(method="PATCH", path="%s/%s$" % (ROOT, referral), fault="hold", times=1)
    type_in(world, row, description="The seller's")
    wait_for(lambda: world.partner.held(), 20, "our PATCH to be on its way")
    world.partner.edit(referral, {"campaignId": "Theirs"})
    world.partner.remove_faults(fault)
    after = referral_shows(world, referral, lambda r: r["details"]["notes"] == "The seller's", "the seller's notes")
    assert after["campaignId"] == "Theirs"
    record_shows(world, row, lambda r: r["acme_campaign"] == "Theirs", "their campaign in the CRM")


def test_what_partner_center_refuses_is_left_out_and_told(world):
    referral, row = met(world)
    fault = world.partner.fault(method="PATCH", path="%s/%s$" % (ROOT, referral), fault="status", status=400, match="Closed campaign",
                                body={"error": {"code": "990005", "message": "The campaign is not open.", "target": "/campaignId"}})
    type_in(world, row, acme_campaign="Closed campaign", description="Goes through")
    referral_shows(world, referral, lambda r: r["details"]["notes"] == "Goes through", "the line that was not refused")
    assert world.partner.referral(referral)["campaignId"] != "Closed campaign"
    assert "The campaign is not open" in problem(world, row), problem(world, row)
    assert record(world, row)["acme_campaign"] == "Closed campaign", "the seller's text stays"
    assert "The campaign is not open" in world.deal(referral)["images"]["campaign"]["refused"]["why"]
    world.partner.remove_faults(fault)
    type_in(world, row, acme_campaign="Open campaign")
    referral_shows(world, referral, lambda r: r["campaignId"] == "Open campaign", "the next text")
    assert problem(world, row) == ""


def test_a_fixed_name_is_explained(world):
    referral, row = met(world)
    before = world.partner.referral(referral)["name"]
    since = world.partner.last_request()
    type_in(world, row, name="Renamed in the CRM")
    record_shows(world, row, lambda r: before in (r["acme_cosellproblem"] or ""), "the seller to be told")
    assert patches(world, referral, since) == [] and record(world, row)["name"] == "Renamed in the CRM"


def test_a_seller_may_save_often(world):
    """Dynamics saves by itself: that many edits within an hour are no quarrel."""
    referral, row = met(world)
    for number in range(16):
        type_in(world, row, description="Saved %d" % number)
        referral_shows(world, referral, lambda r: r["details"]["notes"] == "Saved %d" % number, "save %d" % number)


# 11: opt-in


def test_opt_in_off_pauses_both_directions_and_on_again_merges(world):
    referral, row = met(world)
    type_in(world, row, msft_syncwithpartnercenter=False)
    record_shows(world, row, lambda r: r["acme_cosellstatus"] == "Paused", "the pause to be told")
    assert "Microsoft" in problem(world, row), problem(world, row)
    since = [s.last_request() for s in (world.partner, world.crm)]
    type_in(world, row, description="Typed while paused")
    world.partner.edit(referral, {"campaignId": "Paused too"}, silent=False)
    world.notify(referral)
    world.settled()
    assert patches(world, referral, since[0]) == []
    assert record(world, row)["acme_campaign"] != "Paused too"
    type_in(world, row, msft_syncwithpartnercenter=True)
    referral_shows(world, referral, lambda r: r["details"]["notes"] == "Typed while paused", "what was typed meanwhile")
    record_shows(world, row, lambda r: r["acme_campaign"] == "Paused too" and r["acme_cosellstatus"] == "In sync", "what came meanwhile")


def test_not_opted_in_is_left_alone(world):
    row = opted_in(world)
    other = world.crm.post("opportunities", {"name": world.unique("Private matter")})
    wait_for(lambda: referral_of(world, row["opportunityid"]), 30, "the referral of the one that is")
    world.settled()
    assert deal_of_record(world, other["opportunityid"]) is None and own_referrals(world, other["name"]) == []


# 6, 14, 35: kinds and their upgrades


def test_kinds_only_rise(world):
    referral, row = made(world)
    identity, deal = row["opportunityid"], referral["id"]
    assert microsofts(world, referral["engagementId"]) == []
    assert not referral["consent"].get("consentToShareReferralWithMicrosoftSellers"), "private"
    type_in(world, identity, msft_referralvisibility=True)
    referral_shows(world, deal, lambda r: r["consent"]["consentToShareReferralWithMicrosoftSellers"], "the consent")
    assert microsofts(world, referral["engagementId"]) == [], "partner-led"
    type_in(world, identity, msft_howcanmicrosofthelp=HELP)
    cards = wait_for(lambda: microsofts(world, referral["engagementId"]), 30, "Microsoft's referral")
    world.settled()
    assert len(cards) == 1 and cards[0]["inviteContext"]["assistanceRequestCode"] == "GeneralOrOther"
    type_in(world, identity, msft_referralvisibility=False)
    record_shows(world, identity, lambda r: r["msft_referralvisibility"] is True, "the visibility to be restored")
    assert world.partner.referral(deal)["consent"]["consentToShareReferralWithMicrosoftSellers"] is True
    type_in(world, identity, msft_howcanmicrosofthelp=None)
    record_shows(world, identity, lambda r: r["msft_howcanmicrosofthelp"] == HELP, "the help asked to be restored")
    assert len(microsofts(world, referral["engagementId"])) == 1 and len(own_referrals(world, row["name"])) == 1


# 25, 38, 39, 40: what a referral is made with


def test_a_new_referral_carries_what_the_record_says(world):
    company = world.unique("Company")
    account = world.crm.post("accounts", {"name": company, "address1_line1": "Am Markt 1", "address1_city": "Berlin", "address1_postalcode": "10115",
                                          "address1_country": "Germany"})
    referral, row = made(world, company=company + " elsewhere", acme_location="1234567", acme_customermarketplaceintent="Yes", acme_area="Data & AI",
                         acme_play="Modernise", parentaccountid={"table": "account", "id": account["accountid"]}, contact=False, help=None,
                         **STAGES["40"][world.kind])
    assert referral["customerProfile"]["address"]["country"] == "DE", "the name of a country becomes its code"
    assert referral["customerProfile"]["name"] == company and referral["mpnId"] == "1234567"
    attributes = {a["type"]: a["id"] for a in referral["details"]["requirements"]["additionalRequirements"]["attributes"]}
    assert attributes == {"CustomerMarketplaceIntent": "Yes", "SolutionArea": "Data & AI", "SolutionPlay": "Modernise"}
    assert referral["salesStage"] == "40" and referral["externalReferenceId"] == row["opportunityid"]
    assert [s["id"] for s in referral["details"]["requirements"]["solutions"]] == ["SOL-24100-GWB"]
    assert referral["qualification"] == "SalesQualified" and referral["consent"]["consentToContact"] is True
    assert row["msft_referralidentifier"] == referral["id"] and referral["id"] in row["msft_referrallink"]
    since = world.partner.last_request()
    type_in(world, row["opportunityid"], **STAGES["60"][world.kind])
    referral_shows(world, referral["id"], lambda r: r["salesStage"] == "60", "the stage")
    world.crm.edit("accounts", account["accountid"], {"address1_city": "Potsdam"})
    type_in(world, row["opportunityid"], acme_location="7654321")
    world.settled()
    assert world.partner.referral(referral["id"])["mpnId"] == "1234567"
    assert all(set(paths(r)) <= {"/salesStage"} for r in patches(world, referral["id"], since))


# 48: what is missing is said before anything is sent


def test_missing_inputs_are_named_and_nothing_is_sent(world):
    since = world.partner.last_request()
    row = opted_in(world, solution=False, estimatedvalue=None)
    text = record_shows(world, row["opportunityid"], lambda r: r["acme_cosellstatus"] == "Waiting" and r["acme_cosellproblem"], "what it waits for")["acme_cosellproblem"]
    assert "olution" in text and VALUE[world.kind] in text, text
    assert [r for r in world.partner.requests(ROOT + "$", "POST", since)] == []
    add_solution(world, row["opportunityid"], AZURE)
    record_shows(world, row["opportunityid"], lambda r: "olution" not in (r["acme_cosellproblem"] or ""), "the solution to be there")
    type_in(world, row["opportunityid"], estimatedvalue=12000)
    referral = wait_for(lambda: referral_of(world, row["opportunityid"]), 30, "the referral")
    assert referral["details"]["dealValue"] == 12000
    record_shows(world, row["opportunityid"], lambda r: r["acme_cosellstatus"] == "In sync" and not r["acme_cosellproblem"], "that nothing is missing")


# 28: people


def test_owner_reaches_the_referrals_team(world):
    referral, row = made(world)
    assert "ada.seller@contoso.example" in {m["email"] for m in referral["team"]}
    world.crm.post("systemusers", {"firstname": "Dan", "lastname": "Desk", "internalemailaddress": "dan.desk@contoso.example",
                                   "address1_telephone1": "+1 425 555 0109"})
    type_in(world, row["opportunityid"], ownerid={"table": "systemuser", "id": next(
        u["systemuserid"] for u in world.crm.rows("systemusers") if u["internalemailaddress"] == "dan.desk@contoso.example")})
    referral_shows(world, referral["id"], lambda r: "dan.desk@contoso.example" in {m["email"] for m in r["team"]}, "the new owner in the team")


# 46: concurrent edits


def test_edits_of_different_fields_are_merged(world):
    referral, row = met(world)
    fault = world.partner.fault(method="GET", path="%s/%s$" % (ROOT, referral), fault="hold")
    world.partner.edit(referral, {"details": {"dealValue": 71000}}, silent=False)
    wait_for(lambda: world.partner.held(), 20, "the look to begin")
    type_in(world, row, description="Typed meanwhile")
    world.partner.remove_faults(fault)
    referral_shows(world, referral, lambda r: r["details"]["notes"] == "Typed meanwhile" and r["details"]["dealValue"] == 71000, "both at Partner Center")
    record_shows(world, row, lambda r: r["estimatedvalue"] == 71000 and r["description"] == "Typed meanwhile", "both in the CRM")
    assert problem(world, row) == ""


@pytest.mark.parametrize("side", ["crm", "pc"])
def test_a_conflict_is_held_until_somebody_types_again(world, side):
    referral, row = met(world)
    fault = world.partner.fault(method="GET", path="%s/%s$" % (ROOT, referral), fault="hold")
    world.partner.edit(referral, {"details": {"dealValue": 50500}}, silent=False)
    wait_for(lambda: world.partner.held(), 20, "the look to begin")
    type_in(world, row, estimatedvalue=60500)
    world.partner.remove_faults(fault)
    record_shows(world, row, lambda r: r["acme_cosellstatus"] == "Needs you", "the conflict to be told")
    text = problem(world, row)
    assert "50500" in text and "60500" in text, text
    assert world.partner.referral(referral)["details"]["dealValue"] == 50500 and record(world, row)["estimatedvalue"] == 60500
    assert views(world, referral)["value"]["verdict"] == "held"
    since = [s.last_request() for s in (world.partner, world.crm)]
    world.looked(referral)
    assert world.partner.writes(since[0], "/v1.0/") == [] and world.crm.writes(since[1]) == [], "a hold waits"
    if side == "crm":
        type_in(world, row, estimatedvalue=55500)
    else:
        world.partner.edit(referral, {"details": {"dealValue": 55500}}, silent=False)
    referral_shows(world, referral, lambda r: r["details"]["dealValue"] == 55500, "the decision at Partner Center")
    record_shows(world, row, lambda r: r["estimatedvalue"] == 55500 and r["acme_cosellstatus"] == "In sync", "the decision in the CRM")
    assert problem(world, row) == ""


# 50: clones, restored identity


def test_a_clone_loses_the_foreign_id_and_waits_for_a_new_opt_in(world):
    referral, row = met(world)
    original = record(world, row)
    copy = world.crm.post("opportunities", {k: original[k] for k in ("description", "estimatedvalue", "estimatedclosedate", "msft_referralidentifier",
                                                                      "msft_referrallink", "msft_syncwithpartnercenter")} | {
        "name": original["name"] + " (copy)", "parentaccountid": {"table": "account", "id": original["_parentaccountid_value"]}})
    record_shows(world, copy["opportunityid"], lambda r: not r["msft_referralidentifier"], "the id to be taken off the copy")
    assert world.deal(referral)["record_id"] == row and record(world, row)["msft_referralidentifier"] == referral
    assert own_referrals(world, original["name"] + " (copy)") == []


def test_identity_is_restored(world):
    referral, row = met(world)
    type_in(world, row, msft_referralidentifier=str(uuid.uuid4()), msft_referrallink="https://elsewhere.example")
    record_shows(world, row, lambda r: r["msft_referralidentifier"] == referral and referral in r["msft_referrallink"], "id and link to be restored")


def test_deleted_record_is_no_reason_to_make_it_again(world):
    referral, row = met(world)
    world.crm.delete("opportunities/" + row)
    wait_for(lambda: world.deal(referral)["state"] == "gone", 20, "the tombstone")
    world.partner.edit(referral, {"details": {"notes": "Still there"}}, silent=False)
    world.looked(referral)
    assert [r for r in world.crm.rows("opportunities") if r["name"] == world.partner.referral(referral)["name"]] == []


# Watched tables: what a record shows


def test_a_solution_row_that_comes_and_goes_reaches_the_referral(world):
    referral, row = met(world)
    number = world.unique("SOL")
    detail = world.crm.post("msft_microsoftsolutiondetails", {"msft_solutionidentifier": number, "msft_solutionname": "More"})
    added = add_solution(world, row, detail["msft_microsoftsolutiondetailid"])
    ids = lambda r: {s["id"] for s in r["details"]["requirements"]["solutions"]}
    referral_shows(world, referral, lambda r: number in ids(r), "the new solution")
    world.crm.delete("msft_microsoftsolutions/" + added["msft_microsoftsolutionid"])
    referral_shows(world, referral, lambda r: number not in ids(r), "the solution to go")


def test_a_contacts_new_number_reaches_the_referral(world):
    referral, row = made(world)
    contact = row["_parentcontactid_value"]
    world.crm.edit("contacts", contact, {"telephone1": "+49 30 555 0100"})
    world.settled()
    shown = {m["email"].lower(): m for m in world.partner.referral(referral["id"])["customerProfile"]["team"]}
    assert len(shown) == 1, "no second entry for the same person"
