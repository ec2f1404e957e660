#!/usr/bin/python3
"""Both directions, to watch: signed events of a Partner Center simulator become opportunities and leads in a CRM simulator, an opportunity becomes
a referral, and edits of both sides travel. The CRM is Dynamics 365, or with CRM=salesforce Salesforce.

Everything is private to this checkout and listens on 127.0.0.1 only. KEEP=1 leaves all of it running and prints the addresses.
"""

import hashlib
import json
import os
import sys
import time
import traceback

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "httpd"))

from harness import BUILD, Event, World, wait_for
from harness.both import AZURE, HELP, HOOK, add_solution, connect, hear, microsofts, opted_in, own_referrals, referral_of

COLUMNS = ("name", "estimatedvalue", "estimatedclosedate", "description", "statecode", "statuscode", "actualvalue", "acme_cosellstatus")
SOLUTIONS = ("Fabrikam Analytics", "Fabrikam Backup", "Fabrikam Governance")
SELLERS = (("Ada", "Seller", "ada.seller@contoso.example"), ("Ben", "Partner", "ben.partner@contoso.example"))
NOTES = "Lift and shift of 260 servers; lease ends in June."
KEEP = os.environ.get("KEEP", "") not in ("", "0")
CRM = os.environ.get("CRM") or "dynamics365"
CRM_NAMES = {"dynamics365": "Dynamics 365", "salesforce": "Salesforce"}
STATES = {0: "open", 1: "won", 2: "lost"}


def say(text=""):
    print(text, flush=True)


def title(number, text):
    say()
    line = "%d. %s" % (number, text)
    say(line)
    say("-" * len(line))


class Wrong(Exception):
    """Something is not as it should be; the text says what."""


def expect(condition, text):
    if not condition:
        raise Wrong(text)


def show_row(row, indent="      "):
    for name in COLUMNS:
        value = row.get(name)
        if value is None:
            continue
        if name == "statecode":
            value = "%s (%s)" % (value, STATES.get(value, "?"))
        say("%s%-20s %s" % (indent, name, str(value).replace("\n", " / ")[:90]))


DEALS = [
    ("Fabrikam datacentre migration", "Fabrikam Inc", 185000, "USD", "Lift and shift of 240 servers."),
    ("Northwind analytics platform", "Northwind Traders", 62000, "EUR", "Warehouse and reports on Azure."),
    ("Bläckforst Käserei web shop", "Bläckforst Käserei GmbH", 27500, "EUR", "Neuer Onlineshop, zweisprachig."),
]


def person(first, last, email):
    return {"firstName": first, "lastName": last, "email": email, "phoneNumber": "+1 425 555 0100"}


def customer(name, *people):
    return {"name": name, "address": {"addressLine1": "1 Main Street", "city": "Redmond", "state": "WA", "postalCode": "98052", "country": "US"},
            "team": list(people)}


class Demo:
    def __init__(self):
        module = os.environ.get("COSELL_MODULE", os.path.join(BUILD, "mod_cosell.so"))
        self.world = World("demo", module=module, detached=KEEP, kind=CRM)
        self.referrals = []
        self.lead = None
        self.shared = None  # the opportunity that becomes a referral

    def run(self):
        title(1, "Start")
        self.start()
        title(2, "Three referrals are created; Partner Center's signed events arrive")
        self.create()
        title(3, "Everything that came with the first one")
        self.whole_deal()
        title(4, "One referral changes: only the changed columns are sent")
        self.update()
        title(5, "The CRM refuses one field: the others arrive, and the seller reads why")
        self.refuse_field()
        title(6, "A lead of Microsoft's, and what becomes of it")
        self.qualify()
        title(7, "One referral is won")
        self.win()
        title(8, "A seller shares an opportunity: it becomes a referral")
        self.share()
        title(9, "An edit in the CRM travels to Partner Center")
        self.edit_in_crm()
        title(10, "An edit at Partner Center travels to the CRM")
        self.edit_at_partner_center()
        title(11, "Both sides edit different fields at once: both edits stand")
        self.merge()
        title(12, "Both sides edit the same field at once: held, until somebody types again")
        self.settle()
        title(13, "The seller asks Microsoft for help: the private referral becomes co-sell")
        self.upgrade()
        title(14, "An event with a wrong signature")
        self.refuse()
        title(15, "The opportunities as the CRM has them")
        self.read_back()
        title(16, "The journal")
        self.journal()
        self.write_result()
        unexpected = self.world.server.log.unexpected()
        expect(not unexpected, "the server's error log complains:\n" + "\n".join(unexpected))

    def start(self):
        world = self.world
        # What this organisation has otherwise than the shipped profile: two columns for what the seller reads, one for Microsoft's answer.
        for table in ("opportunity", "lead"):
            world.crm.columns(table, acme_CosellStatus=("text", {"max": 100}), acme_CosellProblem=("memo", {"max": 2000}))
        if CRM == "salesforce":
            world.crm.columns("opportunity", acme_MicrosoftStatus=("text", {"max": 100}))
        world.edit_mapping(self.adapt)
        hear(world).start().ready()
        say("   Partner Center (simulated)  %s" % world.partner.base)
        say("   %-27s %s" % (CRM_NAMES[CRM] + " (simulated)", world.crm.base))
        say("   httpd with mod_cosell       %s" % world.server.base)
        connect(world)
        say("   webhook of Partner Center   %s" % world.server.webhook)
        say("   %-27s %s%s" % ("notices of " + CRM_NAMES[CRM], world.server.base, HOOK))

    @staticmethod
    def adapt(document):
        document["names"].update(status="acme_cosellstatus", problem="acme_cosellproblem", microsoft_status="acme_microsoftstatus")
        document["records"]["opportunity"]["from_crm"]["quiet"] = "2s"  # shipped: 90 s since the last edit, so that nothing half typed is shared

    def create(self):
        world = self.world
        for number, (name, company, value, currency, notes) in enumerate(DEALS):
            word = company.split()[0].lower().replace("ä", "ae")
            referral = world.partner.post("referrals", {
                "name": name, "direction": "Incoming", "status": "Active", "substatus": "Accepted", "type": "Shared",
                "qualification": "SalesQualified",
                "microsoft": {"status": "Active", "substatus": "Accepted", "trackingInfo": {"microsoftMsxId": "7-DEMO%d" % number}},
                "customerProfile": customer(company, person("Chris", "Chief", "chris@%s.example" % word)),
                "team": [person(*seller) for seller in SELLERS],
                "details": {"notes": notes, "dealValue": value, "currency": currency, "closingDateTime": "2027-06-30T12:00:00Z",
                            "requirements": {"solutions": [{"type": "Name", "id": "SOL-%05d-DEM" % (n + 1), "name": solution}
                                                           for n, solution in enumerate(SOLUTIONS[:len(DEALS) - number])]}}})
            self.referrals.append(referral)
            say("   referral %s  %s" % (referral["id"], name))
        for referral in self.referrals:
            wait_for(lambda: world.record(referral), 30, "the opportunity of \"%s\"" % referral["name"])
        world.settled()
        for referral in self.referrals:
            rows = world.opportunities(referral["name"])
            expect(len(rows) == 1, "%d opportunities are named \"%s\" instead of one" % (len(rows), referral["name"]))
            say("   => opportunity %s  %s" % (rows[0]["opportunityid"], rows[0]["name"]))

    def whole_deal(self):
        """Account, contact, solutions, owner, team, Microsoft's side."""
        crm, record = self.world.crm, self.world.record(self.referrals[0])
        account = crm.row("accounts", record["_parentaccountid_value"])
        contact = crm.row("contacts", record["_parentcontactid_value"])
        details = {d["msft_microsoftsolutiondetailid"]: d for d in crm.rows("msft_microsoftsolutiondetails")}
        solutions = sorted(details[s["_msft_solutiondetailid_value"]]["msft_solutionname"] for s in crm.rows("msft_microsoftsolutions")
                           if s["_msft_opportunityid_value"] == record["opportunityid"])
        users = {u["systemuserid"]: u for u in crm.rows("systemusers")}
        owner = users[record["_ownerid_value"]]["internalemailaddress"]
        teams = {t["teamid"] for t in crm.rows("teams") if t.get("_regardingobjectid_value") == record["opportunityid"]}
        team = sorted(users[m["systemuserid"]]["internalemailaddress"] for m in crm.rows("teammemberships") if m["teamid"] in teams)
        for name, value in (("account", "%s, %s" % (account["name"], account["address1_city"])),
                            ("contact", "%s %s, %s" % (contact["firstname"], contact["lastname"], contact["emailaddress1"])),
                            ("solution rows", ", ".join(solutions)), ("owner", owner), ("sales team", ", ".join(team) or "-"),
                            ("Microsoft says", record["acme_microsoftstatus"]), ("Microsoft's number", record["msft_microsoftcrmidentifier"]),
                            ("status", record["acme_cosellstatus"]), ("link", record["msft_referrallink"])):
            say("      %-20s %s" % (name, value))
        expect(solutions == sorted(SOLUTIONS), "the solution rows are %s" % solutions)
        expect(contact["_parentcustomerid_value"] == account["accountid"], "the contact is not the account's")
        expect({owner, *team} >= {seller[2] for seller in SELLERS}, "owner and team are %s and %s" % (owner, team))
        expect(record["acme_microsoftstatus"] == "Accepted" and record["msft_microsoftcrmidentifier"] == "7-DEMO0", "Microsoft's side did not arrive")
        expect(record["acme_cosellstatus"] == "In sync", "the status is %s: %s" % (record["acme_cosellstatus"], record["acme_cosellproblem"]))

    def update(self):
        world, referral = self.world, self.referrals[0]
        since = world.crm.last_request()
        world.partner.edit(referral["id"], {"details": {"notes": NOTES}}, silent=False)
        say("   Partner Center: the notes of \"%s\" change" % referral["name"])
        wait_for(lambda: "260 servers" in (world.record(referral)["description"] or ""), 30, "the new notes in the CRM")
        world.settled()
        writes = self.crm_patches(since)
        expect(len(writes) == 1, "%d PATCH requests reached the CRM instead of one" % len(writes))
        columns = world.crm.changed_columns(writes[0])
        say("   => PATCH %s" % writes[0]["path"])
        say("      " + json.dumps(json.loads(writes[0]["body"]), ensure_ascii=False))
        expect("description" in columns, "the PATCH does not carry the description")
        expect(not columns & {"name", "estimatedvalue", "estimatedclosedate"}, "the PATCH carries columns that did not change")

    def crm_patches(self, since):
        return self.world.crm.requests(self.world.crm.row_path("opportunities"), "PATCH", since)

    def refuse_field(self):
        world, referral = self.world, self.referrals[0]
        quirk = world.crm.quirk("opportunity", "description", "refuse-unnamed", values=["Free of charge for a year."],
                                message="Free offers need the approval of the sales desk.")
        say("   the CRM has a rule of its own now: \"Free offers need the approval of the sales desk.\"")
        world.partner.edit(referral["id"], {"details": {"notes": "Free of charge for a year.", "dealValue": 190000}}, silent=False)
        say("   Partner Center: notes and value change")
        record = wait_for(lambda: (lambda r: r if r["estimatedvalue"] == 190000 and r["acme_cosellproblem"] else None)(world.record(referral)), 30,
                          "the value, and what the seller reads")
        world.settled()
        record = world.record(referral)
        say("   => the value arrived: %s; the description stays: %s" % (record["estimatedvalue"], record["description"]))
        say("      status   %s" % record["acme_cosellstatus"])
        say("      problem  %s" % record["acme_cosellproblem"])
        expect(record["description"] == NOTES, "the description is %r" % record["description"])
        expect("Free offers need the approval" in record["acme_cosellproblem"], "the seller does not read the CRM's reason")
        world.crm.remove_quirks(quirk)
        say("   the sales desk lifts its rule; the next event tries again")
        world.notify(referral)
        wait_for(lambda: world.record(referral)["description"] == "Free of charge for a year.", 30, "the refused notes")
        world.settled()
        record = world.record(referral)
        say("   => %s: %s" % (record["acme_cosellstatus"], record["description"]))
        expect(record["acme_cosellstatus"] == "In sync" and not record["acme_cosellproblem"], "the problem is still told: %s" % record["acme_cosellproblem"])

    def qualify(self):
        world = self.world
        referral = self.lead = world.partner.post("referrals", {
            "name": "Tailspin cost review", "kind": "qualified-lead", "status": "New", "substatus": "Pending",
            "customerProfile": customer("Tailspin Toys", person("Toni", "Toymaker", "toni@tailspin.example")), "team": [person(*SELLERS[0])],
            "details": {"notes": "Wants a review of its bill.", "dealValue": 15000, "currency": "USD", "closingDateTime": "2027-06-30T12:00:00Z"}})
        say("   lead     %s  %s" % (referral["id"], referral["name"]))
        wait_for(lambda: (world.deal(referral) or {}).get("state") == "linked", 30, "the lead")
        world.settled()
        deal = world.deal(referral)
        row = world.crm.row("leads", deal["record_id"])
        say("   => lead %s: %s %s of %s" % (row["leadid"], row["firstname"], row["lastname"], row["companyname"]))
        expect(deal["kind"] == "lead", "it became a %s" % deal["kind"])
        world.partner.edit(referral["id"], {"status": "Active", "substatus": "Accepted"}, silent=False)
        say("   Partner Center: the lead is accepted")
        if CRM == "salesforce":
            self.convert(referral, row)
            return
        wait_for(lambda: world.deal(referral)["kind"] == "opportunity", 30, "the opportunity of the lead")
        world.settled()
        record = world.record(referral)
        say("   => POST QualifyLead; opportunity %s, made from lead %s" % (record["opportunityid"], record["_originatingleadid_value"]))
        expect(record["_originatingleadid_value"] == row["leadid"], "the opportunity does not come from the lead")
        expect(world.crm.row("leads", row["leadid"])["statecode"] == 1, "the lead is not qualified")
        expect(world.crm.requests("QualifyLead"), "QualifyLead was not called")

    def convert(self, referral, row):
        """Salesforce converts leads in its own screens alone: the seller is asked to."""
        world = self.world
        def asked():
            text = world.crm.row("leads", row["leadid"]).get("acme_cosellproblem") or ""
            return text if "convert" in text.lower() else None
        say("   => the lead says: %s" % wait_for(asked, 30, "the lead to ask for its conversion"))
        made = world.crm.convert(row["leadid"])
        say("   the seller converts it; opportunity %s" % made)
        wait_for(lambda: (world.record(referral) or {}).get("msft_referralidentifier") == referral["id"], 30, "the opportunity to have the referral")
        world.settled()
        expect(world.deal(referral)["record_id"] == made and world.deal(referral)["kind"] == "opportunity", "the deal did not move to the opportunity")
        say("   => the opportunity has the referral: %s" % world.record(referral)["msft_referralidentifier"])

    def win(self):
        world, referral = self.world, self.referrals[1]
        since = world.crm.last_request()
        world.partner.edit(referral["id"], {"status": "Closed", "substatus": "Won"}, silent=False)
        say("   Partner Center: \"%s\" is closed as won" % referral["name"])
        record = wait_for(lambda: (lambda r: r if r["statecode"] == 1 else None)(world.record(referral)), 30, "the opportunity to be won")
        world.settled()
        if CRM == "salesforce":
            writes = self.crm_patches(since)
            say("   => PATCH %s" % writes[0]["path"])
            say("      " + writes[0]["body"])
            return
        calls = world.crm.requests("WinOpportunity")
        expect(len(calls) == 1 and calls[0]["status"] == 204, "WinOpportunity was not called once with success")
        say("   => POST WinOpportunity; the opportunity is %s, actual value %s" % (STATES[record["statecode"]], record.get("actualvalue")))

    # From the CRM

    def record(self):
        return self.world.crm.row("opportunities", self.shared["opportunityid"])

    def referral(self):
        return self.world.partner.referral(self.shared["referral"])

    def at_partner_center(self, condition, what):
        found = wait_for(lambda: (lambda r: r if condition(r) else None)(self.referral()), 30, what)
        self.world.settled()
        return found

    def in_crm(self, condition, what):
        found = wait_for(lambda: (lambda r: r if condition(r) else None)(self.record()), 30, what)
        self.world.settled()
        return found

    def patches(self, since):
        """What was sent for the referral, successful or not."""
        return self.world.partner.requests("/referrals/%s$" % self.shared["referral"], "PATCH", since)

    def share(self):
        world = self.world
        row = opted_in(world, name="Adatum identity rollout", company="Adatum Corporation", solution=False)
        self.shared = row
        say("   opportunity %s  %s: value %s, \"Sync with Partner Center\" is set" % (row["opportunityid"], row["name"], row["estimatedvalue"]))
        told = self.in_crm(lambda r: r["acme_cosellproblem"], "what is missing")
        say("   => %s: %s" % (told["acme_cosellstatus"], told["acme_cosellproblem"]))
        expect(told["acme_cosellstatus"] == "Waiting" and "olution" in told["acme_cosellproblem"], "the missing solution is not named")
        expect(not own_referrals(world, row["name"]), "a referral was made though the solution is missing")
        add_solution(world, row["opportunityid"], AZURE)
        say("   the seller adds the solution")
        referral = wait_for(lambda: referral_of(world, row["opportunityid"]), 30, "the referral")
        self.shared["referral"] = referral["id"]
        record = self.in_crm(lambda r: r["msft_referralidentifier"] == referral["id"] and r["acme_cosellstatus"] == "In sync", "the referral's id in the record")
        customer, details = referral["customerProfile"], referral["details"]
        say("   => POST; referral %s  %s, %s/%s" % (referral["id"], referral["name"], referral["status"], referral["substatus"]))
        for name, value in (("customer", "%s, %s, %s" % (customer["name"], customer["address"]["city"], customer["address"]["country"])),
                            ("contact", ", ".join("%s %s" % (m["firstName"], m["lastName"]) for m in customer["team"])),
                            ("value", "%s %s" % (details["dealValue"], details["currency"])),
                            ("solutions", ", ".join(s["id"] for s in details["requirements"]["solutions"])),
                            ("team", ", ".join(m["email"] for m in referral["team"])), ("our id there", referral["externalReferenceId"]),
                            ("its id here", record["msft_referralidentifier"]), ("status", record["acme_cosellstatus"])):
            say("      %-20s %s" % (name, value))
        expect(len(own_referrals(world, row["name"])) == 1, "there is not exactly one referral")
        expect(details["dealValue"] == 40000 and details["currency"] == "USD", "the value did not arrive")
        expect(referral["externalReferenceId"] == row["opportunityid"], "the referral does not name the record")
        expect(not microsofts(world, referral["engagementId"]), "Microsoft was told of a private deal")

    def edit_in_crm(self):
        since = self.world.partner.last_request()
        self.world.crm.edit("opportunities", self.shared["opportunityid"], {"description": "Budget approved in March."})
        say("   CRM: the description becomes \"Budget approved in March.\"")
        after = self.at_partner_center(lambda r: r["details"]["notes"] == "Budget approved in March.", "the new notes at Partner Center")
        sent = self.patches(since)
        expect(len(sent) == 1, "%d PATCH requests reached Partner Center instead of one" % len(sent))
        operations = json.loads(sent[0]["body"])
        say("   => PATCH %s" % sent[0]["path"])
        say("      " + json.dumps(operations, ensure_ascii=False))
        say("      notes there          %s" % after["details"]["notes"])
        expect([op["path"] for op in operations] == ["/details/notes"], "the PATCH carries more than the notes")

    def edit_at_partner_center(self):
        since = self.world.crm.last_request()
        self.world.partner.edit(self.shared["referral"], {"details": {"closingDateTime": "2027-09-30T12:00:00Z"}}, silent=False)
        say("   Partner Center: the closing date becomes 2027-09-30")
        record = self.in_crm(lambda r: r["estimatedclosedate"] == "2027-09-30", "the new date in the CRM")
        writes = self.crm_patches(since)
        say("   => PATCH %s" % writes[0]["path"])
        say("      " + writes[0]["body"])
        expect(record["description"] == "Budget approved in March.", "the seller's description is gone")
        expect(not self.world.crm.changed_columns(writes[0]) & {"description", "estimatedvalue", "name"}, "the PATCH carries columns that did not change")

    def both_at_once(self, at_partner_center, in_crm):
        """Two edits between two looks: Partner Center's answer to ours is held until the other edit is made, too."""
        world = self.world
        fault = world.partner.fault(method="GET", path="/referrals/%s$" % self.shared["referral"], fault="hold")
        world.partner.edit(self.shared["referral"], {"details": at_partner_center}, silent=False)
        wait_for(lambda: world.partner.held(), 30, "the look at Partner Center's edit to begin")
        world.crm.edit("opportunities", self.shared["opportunityid"], in_crm)
        world.partner.remove_faults(fault)

    def merge(self):
        self.both_at_once({"dealValue": 52000}, {"description": "Budget approved; start in May."})
        say("   Partner Center: value 52000; CRM: description \"Budget approved; start in May.\"")
        there = self.at_partner_center(lambda r: r["details"]["notes"] == "Budget approved; start in May." and r["details"]["dealValue"] == 52000,
                                       "both edits at Partner Center")
        here = self.in_crm(lambda r: r["estimatedvalue"] == 52000 and r["description"] == "Budget approved; start in May.", "both edits in the CRM")
        say("   => Partner Center       %s, %s" % (there["details"]["dealValue"], there["details"]["notes"]))
        say("      CRM                  %s, %s" % (here["estimatedvalue"], here["description"]))
        expect(not here["acme_cosellproblem"], "a problem is told: %s" % here["acme_cosellproblem"])

    def settle(self):
        self.both_at_once({"dealValue": 50500}, {"estimatedvalue": 60500})
        say("   Partner Center: value 50500; CRM: value 60500")
        record = self.in_crm(lambda r: r["acme_cosellstatus"] == "Needs you", "the conflict")
        say("   => %s: %s" % (record["acme_cosellstatus"], record["acme_cosellproblem"]))
        expect("50500" in record["acme_cosellproblem"] and "60500" in record["acme_cosellproblem"], "the seller does not read both values")
        expect(record["estimatedvalue"] == 60500 and self.referral()["details"]["dealValue"] == 50500, "one of the two was overwritten")
        self.world.crm.edit("opportunities", self.shared["opportunityid"], {"estimatedvalue": 58000})
        say("   the seller types the right one: 58000")
        there = self.at_partner_center(lambda r: r["details"]["dealValue"] == 58000, "the decision at Partner Center")
        record = self.in_crm(lambda r: r["acme_cosellstatus"] == "In sync", "the conflict to be over")
        say("   => Partner Center %s, CRM %s, %s" % (there["details"]["dealValue"], record["estimatedvalue"], record["acme_cosellstatus"]))
        expect(record["estimatedvalue"] == 58000 and not record["acme_cosellproblem"], "the conflict is not over: %s" % record["acme_cosellproblem"])

    def upgrade(self):
        world, engagement = self.world, self.referral()["engagementId"]
        world.crm.edit("opportunities", self.shared["opportunityid"], {"msft_howcanmicrosofthelp": HELP})
        say("   CRM: \"How can Microsoft help?\" becomes General Or Other")
        card = wait_for(lambda: microsofts(world, engagement), 30, "Microsoft's referral")[0]
        world.settled()
        consent = self.referral()["consent"]["consentToShareReferralWithMicrosoftSellers"]
        say("   => PATCH of the consent: %s" % consent)
        say("   => POST; Microsoft's referral %s of engagement %s, %s" % (card["id"], engagement, card["inviteContext"]["assistanceRequestCode"]))
        expect(consent is True, "the consent to share with Microsoft is not given")
        expect(card["inviteContext"]["assistanceRequestCode"] == "GeneralOrOther", "Microsoft was asked for something else")
        world.partner.edit(card["id"], {"status": "Active", "substatus": "Accepted"}, silent=False)
        say("   Microsoft accepts")
        record = self.in_crm(lambda r: r["acme_microsoftstatus"] == "Accepted", "Microsoft's answer in the CRM")
        say("   => Microsoft says        %s" % record["acme_microsoftstatus"])
        expect(len(microsofts(world, engagement)) == 1 and len(own_referrals(world, self.shared["name"])) == 1, "a referral was made twice")

    # The end

    def refuse(self):
        world = self.world
        event = Event("referral-updated", self.referrals[2]["id"])
        answer = world.send(event, key="wrong")
        rows = world.server.count("delivery", "digest = ?", hashlib.sha256(event.body).hexdigest())
        say("   the event is signed with a key that is not Microsoft's")
        expect(answer.status == 401, "the event was answered %d instead of 401" % answer.status)
        expect(rows == 0, "the refused event left a row in the store")
        say("   => answered %d, nothing stored" % answer.status)

    def read_back(self):
        for referral in self.everything():
            record = self.world.record(referral)
            say("   %s" % record["opportunityid"])
            account = self.world.crm.row("accounts", record["_parentaccountid_value"])
            show_row(record)
            say("      %-20s %s" % ("account", account["name"]))

    def journal(self):
        world = self.world
        names = {world.deal(r)["id"]: r["name"] for r in self.everything()}
        for entry in world.journal():
            when = time.strftime("%H:%M:%S", time.gmtime(entry["at"] / 1e6))
            what = "%s%s" % (entry["action"], " of " + entry["line"] if entry["line"] else "")
            way = {"to_crm": "->", "to_pc": "<-"}.get(entry["direction"], "  ")
            say("   %s  %-30s %s %-42s %-8s %s" % (when, names.get(entry["deal"], "-")[:30], way, what, entry["outcome"] or "",
                                                  (entry["why"] or "")[:60]))
        for referral in self.everything():
            expect(world.journal(referral), "the journal says nothing about \"%s\"" % referral["name"])

    def everything(self):
        return self.referrals + [self.lead, self.referral()]

    def write_result(self):
        deals = []
        for referral in self.everything():
            deal = self.world.deal(referral)
            deals.append({"referral": referral["id"], "record": deal["record_id"], "status": deal["status"] or deal["state"],
                          "journal": len(self.world.journal(referral))})
        path = os.environ.get("COSELL_DEMO_JSON", os.path.join(BUILD, "demo.json" if CRM == "dynamics365" else "demo-%s.json" % CRM))
        with open(path, "w") as file:
            json.dump({"deals": deals}, file, indent=1, ensure_ascii=False)
            file.write("\n")
        say()
        say("Result: %s" % os.path.relpath(path))

    def keep(self):
        world = self.world
        processes = [world.server.pid(), world.partner.process.pid, world.crm.process.pid]
        say()
        say("All is left running.")
        say("   status     %s/cosell-status" % world.server.base)
        say("   webhook    %s" % world.server.webhook)
        say("   simulators %s/state" % world.partner.sandbox)
        say("              %s/state" % world.crm.sandbox)
        say("   error log  %s" % world.server.log.path)
        say("   change a referral, and see its opportunity change:")
        say("      curl -X PATCH %s/referrals/%s -d '{\"details\":{\"dealValue\":99000}}'" % (world.partner.sandbox, self.referrals[0]["id"]))
        say("   change an opportunity, and see its referral change:")
        table, column = ("opportunities", "description") if CRM == "dynamics365" else ("Opportunity", "Description")
        say("      curl -X PATCH %s/%s/%s -d '{\"%s\":\"Typed by hand\"}'" % (world.crm.sandbox, table, self.shared["opportunityid"], column))
        say("   end it:")
        say("      kill %s" % " ".join(str(pid) for pid in processes))


def main():
    demo = None
    done = False
    if CRM not in CRM_NAMES:
        say("CRM=%s: allowed are %s" % (CRM, ", ".join(CRM_NAMES)))
        return 2
    try:
        demo = Demo()
        demo.run()
        say("All is as it should be.")
        done = True
        if KEEP:
            demo.keep()
        return 0
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        say()
        if not isinstance(error, (Wrong, AssertionError)):
            traceback.print_exc()
        say("demo: %s" % error)
        if demo:
            say("the end of the server's error log (%s):" % demo.world.server.log.path)
            for line in demo.world.server.log.text().splitlines()[-15:]:
                say("   " + line)
        return 1
    finally:
        if demo and not (done and KEEP):
            demo.world.server.close(keep=not done)
            demo.world.close()


if __name__ == "__main__":
    sys.exit(main())
