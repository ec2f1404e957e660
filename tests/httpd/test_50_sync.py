"""End to end: what happens at Partner Center arrives in the CRM, once, and only what changed."""

import json
import os
import re
import time
import uuid

import pytest

from harness import wait_for
from harness.world import CLIENT_SECRET, CRM, CRM_CLIENT_SECRET, DEAD, REFRESH_TOKEN, SUSPENDED

CRMS = ("dynamics365", "salesforce")
LONG = 90


def ROW(world):
    return world.crm.row_path("opportunities")


@pytest.fixture(scope="module")
def world(world_of):
    world = world_of("sync").start().ready()
    world.ages = world.kind == "salesforce"
    return world


@pytest.fixture(autouse=True)
def clean(world):
    """Each test starts and ends without faults, on the real time, with nothing outstanding from others."""
    yield
    world.partner.remove_faults()
    world.crm.remove_faults()
    for simulator in (world.partner, world.crm):
        simulator.post("lag", {"seconds": 0, "list_seconds": 0})
    world.partner.post("tokens", {"fail": None, "mfa": True})
    world.crm.post("tokens", {"fail": None})
    world.real_time()


def created(world, **members):
    """A referral whose opportunity exists: (referral, deal)."""
    referral = world.refer(**members)
    deal = world.looked(referral, name="referral-created")
    assert deal and deal["state"] == "linked", (deal, world.work(referral))
    return referral, deal


def body_of(request):
    return json.loads(request["body"])


def row(world, deal):
    return world.crm.row("opportunities", deal["record_id"])


# Creating


def test_created(world):
    name = world.unique("Fabrikam datacentre")
    referral = world.refer(name, details={"notes": "Lift and shift\nof 240 servers", "dealValue": 185000.5, "currency": "USD",
                                          "closingDateTime": "2027-06-30T10:00:00Z"})
    since = world.crm.last_request()
    deal = world.looked(referral, name="referral-created")
    record = row(world, deal)
    assert record["name"] == name
    assert float(record["estimatedvalue"]) == 185000.5
    assert record["estimatedclosedate"] == "2027-06-30"
    assert record["description"].replace("\r\n", "\n") == "Lift and shift\nof 240 servers"
    assert record["statecode"] == 0
    account = world.crm.row("accounts", record["_parentaccountid_value"])
    assert account["name"] == referral["customerProfile"]["name"]
    currency = world.crm.row("transactioncurrencies", record["_transactioncurrencyid_value"])
    assert currency["isocurrencycode"] == "USD"
    assert deal["state"] == "linked" and deal["referral_id"] == referral["id"]
    entries = [e for e in world.journal(referral) if e["action"] == "create" and e["outcome"] == "done"]
    assert entries and entries[0]["direction"] == "to_crm" and entries[0]["calls"] >= 1
    creating = [r for r in world.crm.writes(since, ROW(world)) if r["method"] == "PATCH"]
    assert creating, "the row is made by PATCH: with If-None-Match under an id derived from the referral, or under its external id"


def test_record_id_is_derived(world):
    since = world.crm.last_request()
    referral, deal = created(world)
    if world.kind == "salesforce":
        # It gives the ids itself; what is derived is the external id that it is made under.
        made = world.crm.writes(since, ROW(world) + "Referral_Identifier__c/" + referral["id"])
        assert [r["method"] for r in made] == ["PATCH"]
        assert re.fullmatch("006[0-9A-Za-z]{15}", deal["record_id"]) and row(world, deal)["Referral_Identifier__c"] == referral["id"]
        return
    expected = uuid.uuid5(uuid.NAMESPACE_URL, "cosell:contoso:%s:opportunity:" % referral["id"])
    assert deal["record_id"] == str(expected)


def test_account_id_is_derived(world):
    referral, deal = created(world)
    table = "Account" if world.kind == "salesforce" else "account"
    ids = {str(uuid.uuid5(uuid.NAMESPACE_URL, "cosell:contoso:%s:%s:%s" % (referral["id"], table, key)))
           for key in ("", "account", referral["customerProfile"]["name"])}
    account = row(world, deal)["_parentaccountid_value"]
    if world.kind == "salesforce":
        account = world.crm.row("accounts", account)["Co_sell_Row_Key__c"]
    assert account in ids


def test_referral_is_told_which_record_is_its_own_and_nothing_else(world):
    since = world.partner.last_request()
    referral, deal = created(world)
    world.settled()
    mine = [w for w in world.partner.writes(since, "/v1.0/") if referral["id"] in w["path"]]
    assert [w["method"] for w in mine] == ["PATCH"], mine
    assert json.loads(mine[0]["body"]) == [{"op": "add", "path": "/externalReferenceId", "value": deal["record_id"]}]
    assert world.partner.referral(referral["id"])["externalReferenceId"] == deal["record_id"]


def test_second_notice_writes_nothing(world):
    referral, _ = created(world)
    since = world.crm.last_request()
    journal = len(world.journal(referral))
    world.looked(referral)
    assert world.crm.writes(since) == []
    assert len(world.journal(referral)) == journal


def test_existing_account_is_used(world):
    customer = world.unique("Customer")
    account = world.crm.post("accounts", {"name": customer, "address1_postalcode": "98052"})
    before = len(world.crm.rows("accounts"))
    _, deal = created(world, customerProfile={"name": " %s " % customer.upper()})
    assert row(world, deal)["_parentaccountid_value"] == account["accountid"]
    assert len(world.crm.rows("accounts")) == before


def test_several_accounts_are_for_a_person(world):
    """The opportunity is there without an account, for one open question must not block a deal; the seller is told which accounts they are."""
    customer = world.unique("Twin")
    twins = [world.crm.post("accounts", {"name": customer, "address1_postalcode": "98052"})["accountid"] for _ in range(2)]
    referral = world.refer(customerProfile={"name": customer})
    deal = world.looked(referral)
    assert deal["state"] == "linked" and row(world, deal).get("_parentaccountid_value") is None, "no account is chosen by guess"
    assert "account" in deal["problem"].lower(), deal["problem"]
    assert all(twin in json.dumps(deal["explain"]) + deal["problem"] for twin in twins), (deal["problem"], deal["explain"])
    # One of them goes: the other one is meant.
    world.crm.delete("accounts/" + twins[1])
    deal = world.looked(referral)
    assert row(world, deal)["_parentaccountid_value"] == twins[0] and not deal["problem"]


def test_two_referrals_of_one_customer_share_the_account(world):
    customer = world.unique("Shared customer")
    _, first = created(world, customerProfile={"name": customer})
    _, second = created(world, customerProfile={"name": customer})
    assert row(world, first)["_parentaccountid_value"] == row(world, second)["_parentaccountid_value"]
    assert len([a for a in world.crm.rows("accounts") if a["name"] == customer]) == 1


def test_many_at_once(world):
    referrals = [world.refer(world.unique("Many")) for _ in range(40)]
    for referral in referrals:
        world.notify(referral, "referral-created")
    world.settled(30)
    names = [r["name"] for r in world.crm.rows("opportunities")]
    assert [names.count(r["name"]) for r in referrals] == [1] * 40


def test_text_beyond_ascii(world):
    name = world.unique("Größe & Øst \"東京\" 🚀 <b>")
    _, deal = created(world, name=name, details={"notes": "Zeile 1\nZeile 2\tä", "dealValue": 10, "currency": "EUR",
                                                 "closingDateTime": "2027-03-31T12:00:00Z"})
    assert row(world, deal)["name"] == name


@pytest.mark.parametrize("amount, currency", [(0.1, "USD"), (1234567.89, "EUR"), (99999999999.99, "USD"), (5, "EUR")])
def test_money(world, amount, currency):
    _, deal = created(world, details={"notes": "n", "dealValue": amount, "currency": currency,
                                      "closingDateTime": "2027-03-31T12:00:00Z"})
    assert float(row(world, deal)["estimatedvalue"]) == amount


def test_unknown_currency_holds_the_pair(world):
    world.server.log.announce("CS2040.*XTS")
    referral = world.refer(details={"notes": "n", "dealValue": 100, "currency": "XTS", "closingDateTime": "2027-03-31T12:00:00Z"})
    deal = world.looked(referral)
    record = world.record(referral)
    assert record is None or record.get("estimatedvalue") is None
    texts = json.dumps([deal, world.work(referral), world.journal(referral)], default=str)
    assert "XTS" in texts, "it says which currency"


def test_microsofts_card_never_creates_a_record(world):
    referral, deal = created(world)
    card = next(r for r in world.partner.get("referrals")
                if r["engagementId"] == referral["engagementId"] and r["organizationId"] == "msft")
    before = len(world.crm.rows("opportunities"))
    world.looked(card["id"], name="related-referral-updated")
    assert len(world.crm.rows("opportunities")) == before
    assert world.deal(card["id"])["id"] == deal["id"]


def test_related_event_for_an_unknown_engagement_finds_the_own_card(world):
    referral = world.refer()
    card = next(r for r in world.partner.get("referrals")
                if r["engagementId"] == referral["engagementId"] and r["organizationId"] == "msft")
    world.notify(card["id"], "related-referral-created")
    world.settled()
    assert len(world.opportunities(referral["name"])) <= 1
    world.looked(referral)
    assert len(world.opportunities(referral["name"])) == 1


# Updating


def test_only_changed_columns_are_sent(world):
    referral, deal = created(world)
    since = world.crm.last_request()
    world.partner.edit(referral["id"], {"details": {"notes": "Another note"}})
    world.looked(referral)
    patches = [r for r in world.crm.writes(since, ROW(world)) if r["method"] == "PATCH"]
    assert len(patches) == 1
    columns = world.crm.changed_columns(patches[0])
    assert "description" in columns
    assert not columns & {"name", "estimatedvalue", "estimatedclosedate", "transactioncurrencyid", "parentaccountid", "statecode"}
    assert row(world, deal)["description"] == "Another note"
    assert [e["line"] for e in world.journal(referral) if e["action"] == "update" and e["outcome"] == "done"]


def test_money_travels_as_a_pair(world):
    referral, deal = created(world)
    world.partner.edit(referral["id"], {"details": {"dealValue": 75000.25}})
    world.looked(referral)
    record = row(world, deal)
    assert float(record["estimatedvalue"]) == 75000.25
    assert record["description"] == referral["details"]["notes"]


def test_date_moves(world):
    referral, deal = created(world)
    world.partner.edit(referral["id"], {"details": {"closingDateTime": "2028-02-29T23:30:00Z"}})
    world.looked(referral)
    assert row(world, deal)["estimatedclosedate"] == "2028-02-29"


def test_several_edits_are_one_look(world):
    referral, deal = created(world)
    for number in range(5):
        world.partner.edit(referral["id"], {"details": {"notes": "Edit %d" % number}})
    since = world.crm.last_request()
    for _ in range(20):
        world.notify(referral)
    world.settled()
    assert row(world, deal)["description"] == "Edit 4"
    assert len([r for r in world.crm.writes(since, ROW(world)) if r["method"] == "PATCH"]) == 1


def test_edit_in_the_crm_travels(world):
    """A value changed only in the CRM goes to Partner Center, once and alone, and is never overwritten."""
    referral, deal = created(world)
    world.crm.edit("opportunities", deal["record_id"], {"description": "From the seller"})
    since, own = world.crm.last_request(), world.partner.last_request()
    deal = world.looked(referral)
    assert row(world, deal)["description"] == "From the seller"
    sent = world.partner.writes(own, "/v1.0/")
    assert [json.loads(w["body"]) for w in sent] == [[{"op": "replace", "path": "/details/notes", "value": "From the seller"}]], sent
    assert world.partner.referral(referral["id"])["details"]["notes"] == "From the seller"
    assert not [r for r in world.crm.writes(since, ROW(world)) if "description" in world.crm.changed_columns(r)]
    assert "From the seller" in json.dumps(deal["explain"], ensure_ascii=False)
    world.looked(referral)
    assert row(world, deal)["description"] == "From the seller"
    assert len(world.partner.writes(own, "/v1.0/")) == 1


def test_edits_on_both_sides_are_held(world):
    referral, deal = created(world)
    world.crm.edit("opportunities", deal["record_id"], {"description": "Seller's"})
    world.partner.edit(referral["id"], {"details": {"notes": "Microsoft's"}})
    deal = world.looked(referral)
    assert row(world, deal)["description"] == "Seller's"
    assert any(e["outcome"] == "held" for e in world.journal(referral))
    assert deal["problem"]
    world.partner.edit(referral["id"], {"details": {"notes": "Agreed"}})
    world.looked(referral)
    assert row(world, deal)["description"] == "Agreed", "the next edit on either side settles it"


def test_same_edit_on_both_sides_is_nothing(world):
    referral, deal = created(world)
    world.crm.edit("opportunities", deal["record_id"], {"description": "Same"})
    world.partner.edit(referral["id"], {"details": {"notes": "Same"}})
    since = world.crm.last_request()
    deal = world.looked(referral)
    assert not [r for r in world.crm.writes(since, ROW(world)) if "description" in world.crm.changed_columns(r)]
    assert not deal["problem"]


def test_other_columns_of_the_record_do_not_matter(world):
    referral, deal = created(world)
    world.crm.edit("opportunities", deal["record_id"], {"closeprobability": 70})
    since = world.crm.last_request()
    world.looked(referral)
    assert world.crm.writes(since, ROW(world)) == []


# Closing


def close(world, referral, how, **members):
    world.partner.edit(referral["id"], {"status": "Closed", "substatus": how, **members})
    return world.looked(referral)


def test_won(world):
    referral, _ = created(world)
    deal = close(world, referral, "Won")
    record = row(world, deal)
    assert record["statecode"] == 1 and record["statuscode"] == 3
    if world.kind == "salesforce":
        assert record["StageName"] == "Closed Won" and float(record["Amount"]) == 50000.0
    else:
        assert float(record["actualvalue"]) == 50000.0
    assert deal["state"] == "closed"
    assert len(world.crm.closings(deal["record_id"])) == 1


def test_lost(world):
    referral, _ = created(world)
    deal = close(world, referral, "Lost", statusReason="ChoseAnotherVendor")
    record = row(world, deal)
    assert record["statecode"] == 2 and record["statuscode"] in (4, 5)
    assert deal["state"] == "closed"


def test_last_fields_are_written_before_closing(world):
    referral, _ = created(world)
    deal = close(world, referral, "Won", details={"dealValue": 64000, "notes": "Final"})
    record = row(world, deal)
    assert record["statecode"] == 1 and float(record["estimatedvalue"]) == 64000 and record["description"] == "Final"


def test_closed_twice_is_once(world):
    referral, _ = created(world)
    deal = close(world, referral, "Won")
    since = world.crm.last_request()
    world.looked(referral)
    assert world.crm.writes(since) == []
    assert len(world.crm.closings(deal["record_id"])) == 1


def test_closed_the_other_way_is_reopened_first(world):
    referral, deal = created(world)
    world.crm.edit("opportunities", deal["record_id"], {"statecode": 2, "statuscode": 4})
    since = world.crm.last_request()
    deal = close(world, referral, "Won")
    record = row(world, deal)
    assert record["statecode"] == 1
    writes = world.crm.writes(since)
    if world.kind == "salesforce":
        # Closed rows take writes: one stage follows the other.
        assert [(body_of(r)["StageName"]) for r in writes] == ["Closed Won"]
        return
    reopening = [r["n"] for r in writes if r["method"] == "PATCH" and body_of(r).get("statecode") == 0]
    winning = [r["n"] for r in writes if r["path"].endswith("/WinOpportunity")]
    assert reopening and winning and reopening[0] < winning[0]
    assert any(e["action"] == "reopen" for e in world.journal(referral))


def test_closed_first_met_is_only_journalled(world):
    referral = world.refer(status="Closed", substatus="Won")
    deal = world.looked(referral)
    assert world.opportunities(referral["name"]) == []
    assert deal["state"] == "ignored"
    assert len(world.journal(referral)) == 1
    world.looked(referral)
    assert len(world.journal(referral)) == 1


def test_new_first_met_is_on_hold_and_not_accepted(world):
    referral = world.refer(active=False, status="New", substatus="Pending")
    deal = world.looked(referral)
    record = row(world, deal)
    assert record["statecode"] == 0 and record["statuscode"] == 2
    assert world.partner.referral(referral["id"])["status"] == "New"


def test_accepted_later(world):
    referral = world.refer(active=False, status="New", substatus="Pending")
    deal = world.looked(referral)
    world.partner.edit(referral["id"], {"status": "Active", "substatus": "Accepted"})
    world.looked(referral)
    assert row(world, deal)["statuscode"] == 1


def test_error_only_unlinks(world):
    referral, _ = created(world)
    deal = close(world, referral, "Error")
    assert deal["state"] == "unlinked"
    assert row(world, deal)["statecode"] == 0


# Leads


LEADS = [{"type": "Independent", "qualification": "Direct", "active": False, "microsoft": False},
         {"type": "Independent", "qualification": "MarketingQualified", "active": False, "microsoft": False,
          "inviteContext": {"invitedBy": {"organizationId": "msft", "organizationName": "Microsoft"}}}]


@pytest.mark.parametrize("members", LEADS, ids=["marketplace", "qualified"])
def test_lead(world, members):
    """Leads have a kind of their own in the shipped profile; test_66_life shows what becomes of them."""
    referral = world.refer(**members)
    deal = world.looked(referral)
    assert deal["state"] == "linked" and deal["kind"] == "lead", (deal, world.work(referral))
    lead = world.crm.row("leads", deal["record_id"])
    assert lead["companyname"] == referral["customerProfile"]["name"] and world.opportunities(referral["name"]) == []
    assert world.kind == "salesforce" or lead["subject"] == referral["name"]  # leads of Salesforce have no subject


def test_mapping_without_a_kind_for_leads_leaves_them_alone(new_world):
    world = new_world("leadless")
    world.edit_mapping(lambda document: document["records"].pop("lead"))
    world.start().ready()
    for members in LEADS:
        referral = world.refer(**members)
        since = world.crm.last_request()
        deal = world.looked(referral)
        assert deal["state"] == "lead"
        assert world.opportunities(referral["name"]) == [] and world.crm.writes(since) == []
        assert any("no record kind of the mapping takes it" in (e["why"] or "") for e in world.journal(referral))
        before = len(world.journal(referral))
        world.looked(referral)
        assert len(world.journal(referral)) == before


# What goes wrong


def test_conflict_is_looked_at_again(world):
    """Somebody edits the row between our read and our write."""
    referral, deal = created(world)
    world.partner.edit(referral["id"], {"details": {"notes": "New note"}})
    fault = world.crm.fault(method="PATCH", path=ROW(world), fault="hold", times=1)
    world.notify(referral)
    wait_for(world.crm.held, 10, "the write to be held")
    world.crm.edit("opportunities", deal["record_id"], {"closeprobability": 33})
    world.crm.remove_faults(fault)
    world.settled()
    record = row(world, deal)
    assert record["description"] == "New note" and record["closeprobability"] == 33
    assert any(r["status"] == 412 for r in world.crm.requests(ROW(world), "PATCH"))


def test_throttled_costs_no_attempt(world):
    referral, deal = created(world)
    world.partner.edit(referral["id"], {"details": {"notes": "After the limit"}})
    world.crm.fault(path=world.crm.api_path, fault="status", times=1, **world.crm.refusals["throttled"])
    since = world.crm.last_request()
    world.notify(referral)
    status = world.crm.refusals["throttled"]["status"]
    wait_for(lambda: [r for r in world.crm.requests(since=since) if r["status"] == status], 10, "the refusal")
    world.settled()
    assert row(world, deal)["description"] == "After the limit"
    entries = world.crm.requests(world.crm.api_path, since=since)
    refused = next(r for r in entries if r["status"] == status)
    assert all(r["t"] - refused["t"] > 1.5 for r in entries if r["n"] > refused["n"]), "nothing is sent while the CRM asks for peace"
    assert not [e for e in world.journal(referral) if e["action"] == "dead"]


def test_partner_center_throttles(world):
    referral = world.refer()
    world.partner.fault(path="/v1.0/", fault="status", status=429, retry_after=1, times=2)
    deal = world.looked(referral)
    assert deal and world.record(referral)


@pytest.mark.parametrize("side", ["partner", "crm"])
def test_one_401_is_one_new_token(world, side):
    referral, deal = created(world)
    world.partner.edit(referral["id"], {"details": {"notes": "New token %s" % side}})
    simulator = getattr(world, side)
    since = simulator.last_request()
    simulator.fault(path="/v1.0/" if side == "partner" else world.crm.api_path, fault="status", status=401, times=1)
    world.looked(referral)
    assert row(world, deal)["description"] == "New token %s" % side
    assert len([r for r in simulator.requests("/oauth2/", since=since)]) <= 1
    assert not world.server.sql("SELECT * FROM suspended")


@pytest.mark.parametrize("side", ["partner", "crm"])
def test_revoked_access_tokens_are_replaced(world, side):
    referral, deal = created(world)
    world.partner.edit(referral["id"], {"details": {"notes": "Revoked %s" % side}})
    getattr(world, side).post("tokens", {"revoke": True} if side == "crm" else {"revoke": "access"})
    world.looked(referral)
    assert row(world, deal)["description"] == "Revoked %s" % side


def suspended(world, upstream):
    return world.server.sql("SELECT * FROM suspended WHERE upstream = ?", upstream)


def test_suspend_and_resume_crm(world):
    world.server.log.announce("suspend", "not a member", CRM)
    referral, deal = created(world)
    world.partner.edit(referral["id"], {"details": {"notes": "After the pause"}})
    world.crm.lock_out(True)
    try:
        world.notify(referral)
        wait_for(lambda: suspended(world, CRM), 15, "the CRM to be suspended")
        wait_for(lambda: world.work(referral)["state"] == SUSPENDED, 10, "the work to wait")
        assert world.work(referral)["attempts"] == 0
        assert suspended(world, CRM)[0]["problem"]
        other = world.refer()
        world.notify(other)
    finally:
        world.crm.lock_out(False)
    world.advanced(lambda: not suspended(world, CRM), what="the CRM to resume by itself")
    world.settled()
    assert row(world, deal)["description"] == "After the pause"
    assert world.record(other)


def test_suspend_and_resume_partner_center(world):
    world.server.log.announce("suspend", "invalid_grant", "partner-center")
    referral = world.refer()
    world.partner.post("tokens", {"fail": "invalid_grant", "revoke": "access"})
    world.notify(referral)
    wait_for(lambda: suspended(world, "partner-center"), 15, "Partner Center to be suspended")
    assert "invalid_grant" in json.dumps(suspended(world, "partner-center"))
    world.partner.post("tokens", {"fail": None})
    world.advanced(lambda: not suspended(world, "partner-center"), what="Partner Center to resume by itself")
    world.settled()
    assert world.record(referral)


def test_mfa_missing_suspends(world):
    world.server.log.announce("suspend", "MFA", "900421", "partner-center")
    referral = world.refer()
    world.partner.post("tokens", {"mfa": False, "revoke": "access"})
    world.notify(referral)
    wait_for(lambda: suspended(world, "partner-center"), 15, "Partner Center to be suspended")
    world.partner.post("tokens", {"mfa": True, "revoke": "access"})
    world.advanced(lambda: not suspended(world, "partner-center"), what="Partner Center to resume by itself")
    world.settled()
    assert world.record(referral)


def test_unknown_referral_is_tried_for_an_hour(world):
    """An event may precede visibility."""
    missing = str(uuid.uuid4())
    world.notify(missing)
    wait_for(lambda: (world.work(missing) or {}).get("attempts", 0) >= 1, 15, "a first attempt")
    assert world.work(missing)["state"] != DEAD
    world.server.log.announce("dead", "404", "gone")
    world.advanced(lambda: world.work(missing) is None or world.work(missing)["state"] == DEAD, step=600, deadline=60,
             what="the look to be given up")


def test_referral_that_becomes_visible(world):
    referral = world.refer()
    world.partner.fault(method="GET", path="referrals/" + referral["id"], fault="status", status=404, times=2)
    world.notify(referral)
    wait_for(lambda: (world.work(referral) or {}).get("attempts", 0) >= 1, 15, "a first attempt")
    world.advanced(lambda: world.record(referral), step=60, what="the opportunity")


def test_deleted_record_is_never_made_again(world):
    referral, deal = created(world)
    world.crm.delete("opportunities/" + deal["record_id"])
    world.partner.edit(referral["id"], {"details": {"notes": "Too late"}})
    deal = world.looked(referral)
    assert deal["state"] == "gone"
    assert world.opportunities(referral["name"]) == []
    world.looked(referral)
    assert world.opportunities(referral["name"]) == []
    assert any("delete" in (e["why"] or "") or e["action"] in ("gone", "tombstone") for e in world.journal(referral))


def test_refused_is_dead_with_its_reason_and_revived(world):
    world.server.log.announce("CS2040")
    referral, deal = created(world)
    world.partner.edit(referral["id"], {"details": {"notes": "Forbidden"}})
    fault = world.crm.fault(method="PATCH", path=ROW(world), fault="status", **world.crm.refusals["forbidden"])
    world.notify(referral)
    wait_for(lambda: (world.work(referral) or {}).get("state") == DEAD, 15, "the look to be dead")
    work = world.work(referral)
    assert work["problem_class"] == "refused" and world.crm.refusals["forbidden"]["code"].lower() in (work["problem"] + work["detail"]).lower()
    assert any(e["action"] == "dead" for e in world.journal(referral))
    world.crm.remove_faults(fault)
    world.looked(referral)
    assert world.work(referral) is None
    assert row(world, deal)["description"] == "Forbidden"


def test_plugin_refusal(world):
    world.server.log.announce("CS2040")
    referral = world.refer()
    fault = world.crm.fault(method="PATCH", path=ROW(world), fault="status",
                            message="Our rule says no.", **world.crm.refusals["rule"])
    world.notify(referral)
    wait_for(lambda: (world.work(referral) or {}).get("state") == DEAD, 20, "the look to be dead")
    assert "Our rule says no" in world.work(referral)["detail"]
    world.crm.remove_faults(fault)
    world.notify(referral)
    world.advanced(lambda: world.work(referral) is None, what="the look to be revived")
    assert len(world.opportunities(referral["name"])) == 1


@pytest.mark.parametrize("fault", [
    {"fault": "status", "status": 503}, {"fault": "status", "because": "deadlock"},
    {"fault": "status", "status": 502, "body": "<html>gateway</html>", "content_type": "text/html"}, {"fault": "html", "status": 504},
    {"fault": "reset-before"}, {"fault": "truncate"}], ids=["503", "deadlock", "gateway", "html", "reset", "truncated"])
def test_transient_trouble_of_the_crm_heals(world, fault):
    referral, deal = created(world)
    world.partner.edit(referral["id"], {"details": {"notes": "Healed " + json.dumps(fault)}})
    spec = {k: v for k, v in fault.items() if k != "because"}
    world.crm.fault(path=world.crm.api_path, times=2, **spec, **world.crm.refusals.get(fault.get("because"), {}))
    world.notify(referral)
    world.advanced(lambda: row(world, deal)["description"] == "Healed " + json.dumps(fault), step=5, what="the value to arrive")
    world.settled()
    assert len(world.opportunities(referral["name"])) == 1


@pytest.mark.parametrize("fault", [
    {"fault": "status", "status": 503, "retry_after": 1}, {"fault": "status", "status": 500}, {"fault": "html", "status": 502},
    {"fault": "reset-before"}, {"fault": "truncate"}], ids=["503", "500", "html", "reset", "truncated"])
def test_transient_trouble_of_partner_center_heals(world, fault):
    referral = world.refer()
    world.partner.fault(path="/v1.0/", times=2, **fault)
    world.notify(referral)
    world.advanced(lambda: world.record(referral), step=5, what="the opportunity")
    world.settled()
    assert len(world.opportunities(referral["name"])) == 1


@pytest.mark.parametrize("fault", ["drop-after-commit", "reset-after"])
@pytest.mark.parametrize("table", ["opportunities", "accounts"])
def test_lost_answer_of_a_create(world, fault, table):
    referral = world.refer()
    path = world.crm.table_path(table)
    world.crm.fault(method="PATCH", path=path, fault=fault, times=1)
    world.crm.fault(method="POST", path=path, fault=fault, times=1)
    world.notify(referral)
    world.advanced(lambda: world.record(referral) and not world.outstanding("state = 0"), step=5, what="the opportunity")
    assert len(world.opportunities(referral["name"])) == 1
    assert len([a for a in world.crm.rows("accounts") if a["name"] == referral["customerProfile"]["name"]]) == 1


def test_lost_answer_of_an_update_is_no_users_edit(world):
    """The value read later equals the intent: it counts as ours."""
    referral, deal = created(world)
    world.partner.edit(referral["id"], {"details": {"notes": "Lost answer"}})
    world.crm.fault(method="PATCH", path=ROW(world), fault="drop-after-commit", times=1)
    world.notify(referral)
    world.advanced(lambda: row(world, deal)["description"] == "Lost answer" and not world.outstanding("state = 0"), step=5)
    world.partner.edit(referral["id"], {"details": {"notes": "And on"}})
    deal = world.looked(referral)
    assert row(world, deal)["description"] == "And on" and not deal["problem"]


def test_lost_answer_of_a_win(world):
    referral, deal = created(world)
    world.partner.edit(referral["id"], {"status": "Closed", "substatus": "Won"})
    world.crm.fault(fault="drop-after-commit", times=1, **world.crm.win_request)
    world.notify(referral)
    world.advanced(lambda: world.deal(referral)["state"] == "closed" and not world.outstanding("state = 0"), step=5)
    assert row(world, deal)["statecode"] == 1
    assert len(world.crm.closings(deal["record_id"])) == 1


def test_read_older_than_the_notice_is_repeated(world):
    """Partner Center's read lags behind: the look counts only once it saw the version the notice spoke of."""
    referral, deal = created(world)
    world.partner.post("lag", {"seconds": 30, "list_seconds": 30})
    world.partner.edit(referral["id"], {"details": {"notes": "Seen late"}})
    world.partner.post("clock", {"advance": 10})
    try:
        world.partner.edit(referral["id"], {"details": {"notes": "Seen later"}})
        changed = world.partner.referral(referral["id"])["updatedDateTime"]
        since = world.partner.last_request()
        world.notify(referral, changed=changed)
        wait_for(lambda: world.partner.requests("referrals/" + referral["id"], "GET", since), 15, "a first look")
        wait_for(lambda: (work := world.work(referral)) and work["due"] > work["first"], 10,
                 "the look to be repeated later")
        world.partner.post("lag", {"seconds": 0, "list_seconds": 0})
        world.advanced(lambda: row(world, deal)["description"] == "Seen later", step=6, what="the newest note")
    finally:
        world.partner.post("clock", {"offset": 0})


def test_too_long_a_note_never_blocks_the_deal(world):
    referral, deal = created(world)
    world.partner.edit(referral["id"], {"details": {"notes": "x" * 2500, "closingDateTime": "2027-09-30T12:00:00Z"}})
    deal = world.looked(referral)
    record = row(world, deal)
    assert record["estimatedclosedate"] == "2027-09-30"
    assert len(record["description"]) <= 2000
    assert "notes" in json.dumps(deal["explain"])


def test_limits_of_concurrency(world):
    """Never more at once than configured: 2 for Partner Center, 8 for a CRM."""
    path = r"/referrals/[0-9a-f-]{36}$"
    first = world.partner.fault(method="GET", path=path, fault="hold", times=1)
    world.partner.fault(method="GET", path=path, fault="hold")
    referrals = [world.refer() for _ in range(8)]
    world.notify(referrals[0])
    wait_for(world.partner.held, 10, "the first look to be held, while the others gather")
    for referral in referrals[1:]:
        world.notify(referral)
    world.partner.remove_faults(first)
    wait_for(lambda: world.partner.held() >= 2, 10, "two reads at once")
    most, end = 0, time.monotonic() + 0.5
    while time.monotonic() < end:
        most = max(most, world.partner.held())
    assert most == 2
    world.partner.remove_faults()
    world.settled()


# What can be seen afterwards


def test_correlation_ids_find_the_calls(world):
    referral, _ = created(world)
    entry = next(e for e in world.journal(referral) if e["action"] == "create" and e["outcome"] == "done")
    calls = world.crm.requests(ROW(world))
    assert entry["correlation"]
    assert any(r["request_id"] in entry["correlation"] or (r["client_request_id"] or "?") in entry["correlation"] for r in calls)


def test_every_call_carries_an_id_of_its_own(world):
    """Every HTTP request; what is inside a batch goes by the batch's."""
    created(world)
    if world.kind == "salesforce":
        # Salesforce takes no id of a call and answers none: the client's name is all that its own log can show.
        assert {r["client_request_id"] for r in world.crm.requests(world.crm.api_path) if not r.get("batch")} == {"client=mod_cosell"}
    for simulator, path in ((world.partner, "/v1.0/"), (world.crm, world.crm.api_path))[:1 if world.kind == "salesforce" else 2]:
        calls = [r for r in simulator.requests(path) if not r["fault"] and not r.get("batch")]
        ids = [r["client_request_id"] for r in calls]
        twice = [r for r in calls if ids.count(r["client_request_id"]) > 1]
        assert calls and all(ids)
        assert not twice, "\n".join("%(t).3f %(method)s %(path)s %(status)s %(client_request_id)s" % r for r in twice)


def test_status_explains_the_deal(world):
    referral, deal = created(world)
    document = world.server.status()
    text = json.dumps(document)
    assert '"accepted"' in text
    for query in ({"deal": deal["id"]}, {"deal": referral["id"]}):
        text = json.dumps(world.server.status(**query))
        assert referral["id"] in text and deal["record_id"] in text


def test_secrets_stay_secret(world):
    created(world)
    secrets = (CLIENT_SECRET, CRM_CLIENT_SECRET, REFRESH_TOKEN, "Bearer ey")
    log = world.server.log.text()
    for secret in secrets:
        assert secret not in log
    for name in os.listdir(world.server.state):
        path = os.path.join(world.server.state, name)
        if os.path.isfile(path):
            with open(path, "rb") as file:
                data = file.read()
            for secret in secrets:
                assert secret.encode() not in data, (name, secret)
    for pid in world.server.processes():
        with open("/proc/%d/cmdline" % pid, "rb") as file:
            assert b"secret" not in file.read().replace(world.server.root.encode(), b"")


def test_rotated_refresh_token_is_sealed(world):
    created(world)
    rows = world.server.sql("SELECT * FROM secret")
    assert rows and all(isinstance(r["sealed"], bytes) and len(r["sealed"]) > 28 for r in rows)
    assert os.stat(os.path.join(world.server.state, "secret.key")).st_mode & 0o777 == 0o600
    assert os.stat(world.server.state).st_mode & 0o777 == 0o700


def test_refresh_token_survives_a_restart_though_the_seed_is_used_up(new_world):
    """The rotated token wins over the seed file, whose token no longer works."""
    world = new_world("rotation")
    world.partner.post("options", {"RevokeOldRefreshTokens": True})
    world.start().ready()
    first = world.refer()
    world.looked(first)
    world.server.stop()
    world.partner.post("tokens", {"revoke": "access"})
    world.server.start()
    second = world.refer()
    world.looked(second)
    assert world.record(first) and world.record(second)


# The default rate, on the test clock


def test_default_rate(new_world):
    """Without CosellUpstream: 2 requests per second to Partner Center, counted on a clock that runs ten times as fast."""
    world = new_world("rate", rate=None)
    world.start().ready()
    referrals = [world.refer(world.unique("Rate")) for _ in range(15)]
    world.server.clock(rate=10.0)
    for referral in referrals:
        world.notify(referral, "referral-created")
    wait_for(lambda: all(world.record(r) for r in referrals), 60, "all opportunities")
    times = [r["t"] for r in world.partner.requests("/v1.0/")]
    virtual = (times[-1] - times[0]) * 10
    least = (len(times) - 3) / 2.0
    assert virtual >= least * 0.9, "%d requests in %.1f virtual seconds" % (len(times), virtual)
    assert virtual <= least * 2.0 + 30, "%d requests took %.1f virtual seconds" % (len(times), virtual)
