"""What happens to a deal besides its values: leads, Microsoft's side, partners, closings, names, identities."""

import uuid

import pytest

from harness import wait_for

CRMS = ("dynamics365", "salesforce")


def names(document):
    document["names"].update(status="acme_status", problem="acme_problem", expires="acme_expires", microsoft_status="acme_msstate",
                             microsoft_reason="acme_msreason", microsoft_seller="acme_sellers", registration_status="acme_registration",
                             synced="acme_synced")
    if "lead_subject" in document["names"]:
        document["names"]["lead_subject"] = "acme_subject"
    opportunity = document["records"]["opportunity"]
    opportunity["tell"]["explain"] = {"column": "acme_explain", "text": "https://cosell.example/explain/{id}"}
    opportunity["tell"]["mark"] = {"column": "name", "ok": "✔ ", "failed": "✘ ", "enabled": True}


@pytest.fixture(scope="module")
def world(world_of):
    world = world_of("life")
    world.crm.columns("opportunity", acme_Status=("text", {"max": 100}), acme_Problem=("memo", {"max": 2000}), acme_Expires="date",
                      acme_MsState=("text", {"max": 100}), acme_MsReason=("text", {"max": 200}), acme_Registration=("text", {"max": 100}),
                      acme_Synced=("text", {"max": 40}), acme_Explain=("text", {"max": 400}), acme_Sellers=("text", {"max": 200}))
    world.crm.columns("lead", acme_Status=("text", {"max": 100}), acme_Problem=("memo", {"max": 2000}), acme_Synced=("text", {"max": 40}),
                      acme_Subject=("text", {"max": 255}))
    world.edit_mapping(names)
    return world.start().ready()


def row(world, deal):
    return world.crm.row("opportunities", deal["record_id"])


def met(world, **members):
    referral = world.refer(**members)
    return referral, world.looked(referral, name="referral-created")


def writes(world, since):
    return world.crm.writes(since)


def move(world, referral, status, substatus, **more):
    world.partner.edit(referral["id"], {"status": status, "substatus": substatus, **more})
    return world.looked(referral)


# Leads


def lead(world, **members):
    members.setdefault("inviteContext", {"invitedBy": {"organizationId": "msft", "organizationName": "Microsoft"}})
    return met(world, active=False, microsoft=False, type="Independent", qualification="SalesQualified", status="New", substatus="Pending", **members)


def test_lead_becomes_a_crm_lead(world):
    referral, deal = lead(world)
    assert deal["state"] == "linked" and deal["kind"] == "lead", (deal, world.work(referral))
    record = world.crm.row("leads", deal["record_id"])
    assert record["acme_subject" if world.kind == "salesforce" else "subject"] == referral["name"] and record["companyname"] == referral["customerProfile"]["name"]
    assert record["lastname"] == "Example" and record["emailaddress1"] == referral["customerProfile"]["team"][0]["email"]
    since = world.crm.last_request()
    world.looked(referral)
    assert writes(world, since) == []


def test_accepted_lead_becomes_an_opportunity_with_its_history(world):
    referral, deal = lead(world)
    lead_id, number = deal["record_id"], deal["id"]
    deal = move(world, referral, "Active", "Accepted")
    if world.kind == "salesforce":  # no interface converts a lead: its owner is told, and does
        assert deal["kind"] == "lead" and "onvert" in (deal["problem"] or ""), deal
        opportunity = world.crm.convert(lead_id)
        world.looked(referral)
    wait_for(lambda: world.deal(referral)["kind"] == "opportunity", 20, "the deal to move: %s" % world.work(referral))
    world.settled()
    deal = world.deal(referral)
    assert deal["id"] == number and deal["state"] == "linked"
    record = row(world, deal)
    if world.kind == "salesforce":
        assert record["opportunityid"] == opportunity
    else:
        assert record["_originatingleadid_value"] == lead_id
    assert record["statecode"] == 0
    assert record["msft_referralidentifier"] == referral["id"] and record["msft_syncwithpartnercenter"] is True
    assert float(record["estimatedvalue"]) == 50000
    assert world.crm.row("leads", lead_id)["statecode"] == 1
    actions = [e["action"] for e in world.journal(referral)]
    assert "create" in actions and "move" in actions, actions
    since = world.crm.last_request()
    world.looked(referral)
    assert writes(world, since) == []


def test_lead_qualified_in_the_crm_is_followed_and_never_put_on_hold(world):
    referral, deal = lead(world)
    opportunity = world.crm.convert(deal["record_id"])
    deal = world.looked(referral)
    wait_for(lambda: world.deal(referral)["kind"] == "opportunity", 20)
    world.settled()
    deal = world.deal(referral)
    assert deal["record_id"] == opportunity
    assert row(world, deal)["statuscode"] == 1, "a qualified lead is no unanswered one"
    wait_for(lambda: world.partner.referral(referral["id"])["status"] == "Active", 20, "the referral to be accepted: who qualifies a lead takes it")
    world.settled()
    assert world.partner.referral(referral["id"])["substatus"] == "Accepted"
    since = world.crm.last_request()
    world.looked(referral)
    assert writes(world, since) == [] and row(world, world.deal(referral))["statuscode"] == 1


def test_declined_lead_is_disqualified(world):
    referral, deal = lead(world)
    move(world, referral, "Closed", "Declined")
    assert world.crm.row("leads", deal["record_id"])["statecode"] == 2


# Microsoft's side, expiry, registration


def test_microsofts_side_reaches_the_record(world):
    referral, deal = met(world, microsoft={"status": "Active", "substatus": "Accepted", "statusReason": "Looks good",
                                           "trackingInfo": {"microsoftMsxId": "7-ABC123"},
                                           "team": [{"firstName": "Mia", "lastName": "Soft", "email": "mia@microsoft.example", "phoneNumber": "1"}]})
    record = row(world, deal)
    assert record["acme_msstate"] == "Accepted" and record["acme_msreason"] == "Looks good"
    assert record["msft_microsoftcrmidentifier"] == "7-ABC123" and record["acme_sellers"] == "mia@microsoft.example"
    card = next(r for r in world.partner.get("referrals") if r["engagementId"] == referral["engagementId"] and r["organizationId"] == "msft")
    world.partner.edit(card["id"], {"status": "Closed", "substatus": "Declined", "statusReason": "No capacity"})
    world.notify(card["id"], name="related-referral-updated")
    world.settled()
    record = row(world, deal)
    assert record["acme_msstate"] == "Declined" and record["acme_msreason"] == "No capacity" and record["statecode"] == 0


def test_expiry_is_a_date_in_the_crm(world):
    referral, deal = met(world, active=False, expirationDateTime="2027-03-03T10:00:00Z")
    record = row(world, deal)
    assert record["acme_expires"] == "2027-03-03" and record["statuscode"] == 2
    assert record["acme_status"] == "Not accepted" and "Expires Wed 3 Mar" in record["acme_problem"]
    assert ("Stage" if world.kind == "salesforce" else "Status Reason") in record["acme_problem"], "in the words of the CRM's forms: %s" % record["acme_problem"]


def test_expired_closes_only_what_was_never_accepted(world):
    referral, deal = met(world, active=False)
    move(world, referral, "Closed", "Expired")
    assert row(world, deal)["statecode"] == 2
    referral, deal = met(world)
    move(world, referral, "Closed", "Expired")
    assert row(world, deal)["statecode"] == 0


def test_error_unlinks_and_loses_nothing(world):
    referral, deal = met(world)
    deal = move(world, referral, "Closed", "Error")
    assert deal["state"] == "unlinked" and row(world, deal)["statecode"] == 0


def test_registration_status(world):
    referral, deal = met(world, registrationStatus="ReviewPending")
    assert row(world, deal)["acme_registration"] == "ReviewPending"


def test_closing_reason(world):
    referral, deal = met(world)
    move(world, referral, "Closed", "Lost", statusReason="ChoseAnotherVendor:cheaper elsewhere")
    assert row(world, deal)["statuscode"] == 5
    referral, deal = met(world)
    move(world, referral, "Closed", "Lost", statusReason="SomethingNobodyKnows")
    assert row(world, deal)["statuscode"] == 4


def test_partner_to_partner_comes_in(world):
    other = str(uuid.uuid4())
    referral, deal = met(world, microsoft=False, inviteContext={"invitedBy": {"organizationId": other, "organizationName": "Another partner"}})
    assert deal["state"] == "linked" and row(world, deal)["name"].endswith(referral["name"])


# What the seller reads


def test_mark_is_no_part_of_the_name(world):
    referral, deal = met(world)
    assert row(world, deal)["name"] == "✔ " + referral["name"]
    since = world.crm.last_request()
    world.looked(referral)
    assert writes(world, since) == []
    world.partner.edit(referral["id"], {"name": "Another name"})
    world.looked(referral)
    assert row(world, deal)["name"] == "✔ Another name"
    # Both change the notes: a conflict turns the mark, and nothing else of the name.
    world.partner.edit(referral["id"], {"details": {"notes": "theirs"}})
    world.crm.edit("opportunities", deal["record_id"], {"description": "ours"})
    world.looked(referral)
    record = row(world, deal)
    assert record["name"] == "✘ Another name" and record["acme_status"] == "Needs you"
    assert "Description" in record["acme_problem"], record["acme_problem"]
    world.partner.edit(referral["id"], {"details": {"notes": "the right one"}})
    world.looked(referral)
    assert row(world, deal)["description"] == "the right one" and row(world, deal)["name"] == "✔ Another name"


def test_told_is_a_level_and_the_time_travels_along(world):
    referral, deal = met(world)
    record = row(world, deal)
    assert record["acme_explain"] == "https://cosell.example/explain/" + referral["id"]
    first = record["acme_synced"]
    assert first
    world.crm.edit("opportunities", deal["record_id"], {"acme_status": "scribbled", "acme_explain": None})
    world.looked(referral)
    record = row(world, deal)
    assert record["acme_status"] == "In sync" and record["acme_explain"]


# Identity


def test_existing_record_is_proposed_never_guessed(world):
    customer, name = world.unique("Customer"), world.unique("Known deal")
    account = world.crm.post("accounts", {"name": customer, "address1_postalcode": "98052"})
    old = world.crm.post("opportunities", {"name": name, "parentaccountid": {"table": "account", "id": account["accountid"]}})
    referral, deal = met(world, name=name, customerProfile={"name": customer})
    assert deal["state"] == "parked" and old["opportunityid"] in deal["problem"], deal
    assert len([r for r in world.crm.rows("opportunities") if r["name"].endswith(name)]) == 1
    # A person says which: the referral's id in the column that carries it.
    world.crm.edit("opportunities", old["opportunityid"], {"msft_referralidentifier": referral["id"]})
    deal = world.looked(referral)
    assert deal["state"] == "linked" and deal["record_id"] == old["opportunityid"]


def test_foreign_id_is_parked(world):
    referral, deal = met(world, externalReferenceId="0065g000Another" if world.kind == "salesforce" else str(uuid.uuid4()))
    assert deal["state"] == "parked" and referral["externalReferenceId"] in deal["problem"]


def test_free_text_is_no_id(world):
    referral, deal = met(world, externalReferenceId="see Mrs Smith")
    assert deal["state"] == "linked"
    assert world.partner.referral(referral["id"])["externalReferenceId"] == "see Mrs Smith"


def test_deleted_stays_deleted_and_undelete_resumes(world):
    referral, deal = met(world)
    kept = row(world, deal)
    world.crm.delete("opportunities/" + deal["record_id"])
    world.partner.edit(referral["id"], {"details": {"notes": "after the deletion"}})
    deal = world.looked(referral)
    assert deal["state"] == "gone"
    assert [r for r in world.crm.rows("opportunities") if r["opportunityid"] == deal["record_id"]] == []
    world.crm.post("restore", {"table": "opportunity", "id": kept["opportunityid"]})
    deal = world.looked(referral)
    assert deal["state"] == "linked" and row(world, deal)["description"] == "after the deletion"


def test_merged_account_is_followed(world):
    customer = world.unique("Customer")
    loser = world.crm.post("accounts", {"name": customer, "address1_postalcode": "98052"})
    survivor = world.crm.post("accounts", {"name": customer + " Holding", "address1_postalcode": "98052"})
    first, deal = met(world, customerProfile={"name": customer})
    assert row(world, deal)["_parentaccountid_value"] == loser["accountid"]
    world.crm.post("merge", {"table": "account", "target": survivor["accountid"], "subordinate": loser["accountid"]})
    world.looked(first)
    assert row(world, deal)["_parentaccountid_value"] == survivor["accountid"], "look-ups follow the survivor"
