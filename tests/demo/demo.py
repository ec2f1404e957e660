#!/usr/bin/python3
"""The first sync, to watch: signed events of a Partner Center simulator become opportunities in a Dynamics 365 simulator.

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

COLUMNS = ("name", "estimatedvalue", "estimatedclosedate", "description", "statecode", "statuscode", "actualvalue")
KEEP = os.environ.get("KEEP", "") not in ("", "0")
STATES = {0: "open", 1: "won", 2: "lost"}


def say(text=""):
    print(text, flush=True)


def title(number, text):
    say()
    say("%d. %s" % (number, text))
    say("-" * (len(text) + 3))


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


class Demo:
    def __init__(self):
        module = os.environ.get("COSELL_MODULE", os.path.join(BUILD, "mod_cosell.so"))
        self.world = World("demo", module=module, detached=KEEP)
        self.referrals = []

    def run(self):
        title(1, "Start")
        self.start()
        title(2, "Three referrals are created; Partner Center's signed events arrive")
        self.create()
        title(3, "One referral changes: only the changed columns are sent")
        self.update()
        title(4, "One referral is won")
        self.win()
        title(5, "An event with a wrong signature")
        self.refuse()
        title(6, "The opportunities as the CRM has them")
        self.read_back()
        title(7, "The journal")
        self.journal()
        self.write_result()
        unexpected = self.world.server.log.unexpected()
        expect(not unexpected, "the server's error log complains:\n" + "\n".join(unexpected))

    def start(self):
        world = self.world
        world.start().ready()
        say("   Partner Center (simulated)  %s" % world.partner.base)
        say("   Dynamics 365 (simulated)    %s" % world.crm.base)
        say("   httpd with mod_cosell       %s" % world.server.base)
        world.partner.post("registration", {
            "WebhookUrl": world.server.webhook, "SignatureTokenToMsSignatureHeader": True,
            "WebhookEvents": ["referral-created", "referral-updated", "related-referral-created", "related-referral-updated"]})
        say("   webhook registered          %s" % world.server.webhook)

    def create(self):
        world = self.world
        for name, customer, value, currency, notes in DEALS:
            referral = world.partner.post("referrals", {
                "name": name, "direction": "Incoming", "status": "Active", "substatus": "Accepted", "type": "Shared",
                "qualification": "SalesQualified", "microsoft": True,
                "customerProfile": {"name": customer, "address": {"addressLine1": "1 Main Street", "city": "Redmond",
                                                                  "state": "WA", "postalCode": "98052", "country": "US"}},
                "details": {"notes": notes, "dealValue": value, "currency": currency, "closingDateTime": "2027-06-30T12:00:00Z"}})
            self.referrals.append(referral)
            say("   referral %s  %s" % (referral["id"], name))
        for referral in self.referrals:
            wait_for(lambda: world.record(referral), 30, "the opportunity of \"%s\"" % referral["name"])
        world.settled()
        for referral in self.referrals:
            rows = world.opportunities(referral["name"])
            expect(len(rows) == 1, "%d opportunities are named \"%s\" instead of one" % (len(rows), referral["name"]))
            say("   => opportunity %s  %s" % (rows[0]["opportunityid"], rows[0]["name"]))

    def update(self):
        world, referral = self.world, self.referrals[0]
        since = world.crm.last_request()
        world.partner.edit(referral["id"], {"details": {"notes": "Lift and shift of 260 servers; lease ends in June."}}, silent=False)
        say("   Partner Center: the notes of \"%s\" change" % referral["name"])
        wait_for(lambda: "260 servers" in (world.record(referral)["description"] or ""), 30, "the new notes in the CRM")
        world.settled()
        writes = [r for r in world.crm.requests(r"/opportunities\(", "PATCH", since)]
        expect(len(writes) == 1, "%d PATCH requests reached the CRM instead of one" % len(writes))
        body = json.loads(writes[0]["body"])
        say("   => PATCH %s" % writes[0]["path"])
        say("      " + json.dumps(body, ensure_ascii=False))
        expect("description" in body, "the PATCH does not carry the description")
        expect(not set(body) & {"name", "estimatedvalue", "estimatedclosedate"}, "the PATCH carries columns that did not change")

    def win(self):
        world, referral = self.world, self.referrals[1]
        world.partner.edit(referral["id"], {"status": "Closed", "substatus": "Won"}, silent=False)
        say("   Partner Center: \"%s\" is closed as won" % referral["name"])
        record = wait_for(lambda: (lambda r: r if r["statecode"] == 1 else None)(world.record(referral)), 30, "the opportunity to be won")
        world.settled()
        calls = world.crm.requests("WinOpportunity")
        expect(len(calls) == 1 and calls[0]["status"] == 204, "WinOpportunity was not called once with success")
        say("   => POST WinOpportunity; the opportunity is %s, actual value %s" % (STATES[record["statecode"]], record.get("actualvalue")))

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
        for referral in self.referrals:
            record = self.world.record(referral)
            say("   %s" % record["opportunityid"])
            account = self.world.crm.row("accounts", record["_parentaccountid_value"])
            show_row(record)
            say("      %-20s %s" % ("account", account["name"]))

    def journal(self):
        world = self.world
        names = {world.deal(r)["id"]: r["name"] for r in self.referrals}
        for entry in world.journal():
            when = time.strftime("%H:%M:%S", time.gmtime(entry["at"] / 1e6))
            what = "%s%s" % (entry["action"], " of " + entry["line"] if entry["line"] else "")
            say("   %s  %-31s %-20s %-8s %s" % (when, names.get(entry["deal"], "-")[:31], what, entry["outcome"] or "",
                                               (entry["why"] or "")[:60]))
        for referral in self.referrals:
            expect(world.journal(referral), "the journal says nothing about \"%s\"" % referral["name"])

    def write_result(self):
        deals = []
        for referral in self.referrals:
            deal = self.world.deal(referral)
            deals.append({"referral": referral["id"], "record": deal["record_id"], "status": deal["status"] or deal["state"],
                          "journal": len(self.world.journal(referral))})
        path = os.environ.get("COSELL_DEMO_JSON", os.path.join(BUILD, "demo.json"))
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
        say("   end it:")
        say("      kill %s" % " ".join(str(pid) for pid in processes))


def main():
    demo = None
    done = False
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
