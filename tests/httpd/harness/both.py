"""What tests of both directions share: notices of both sides that get lost, opted-in records, and what each side shows of a deal."""

import http.client
import http.server
import random
import threading
import uuid
from urllib.parse import quote, urlsplit

from .storm import post

HOOK = "/crm"
SECRET = "a shared secret of the sandbox"
EVENTS = ["referral-created", "referral-updated", "related-referral-created", "related-referral-updated"]
# Tables that a record shows, and the names of their collections.
TABLES = ("opportunity", "lead", "account", "contact", "msft_microsoftsolution", "systemuser")
USD = "00000000-0000-4000-8000-000000000021"
ADA, BEN = "00000000-0000-4000-8000-000000000011", "00000000-0000-4000-8000-000000000012"
AZURE = "00000000-0000-4000-8000-000000000061"
LOCATED = {"address1_line1": "1 Main Street", "address1_city": "Redmond", "address1_stateorprovince": "WA",
           "address1_postalcode": "98052", "address1_country": "US"}
HELP = 861980005  # General Or Other


class Lossy:
    """Stands before a server's address: of each request it passes on one, several or none, as chance has it. The sender hears 200 in any case."""

    def __init__(self, target, drop=0.0, copies=0.0, seed=0):
        self.target, self.drop, self.copies = target, drop, copies
        self.chance = random.Random(seed)
        self.lock = threading.Lock()
        self.seen = self.dropped = self.copied = 0
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = outer.take(self.path, dict(self.headers), body)
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = "http://127.0.0.1:%d" % self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def take(self, path, headers, body):
        with self.lock:
            self.seen += 1
            times = 0 if self.chance.random() < self.drop else 2 if self.chance.random() < self.copies else 1
            self.dropped += times == 0
            self.copied += times == 2
        status = 200
        headers = {k: v for k, v in headers.items() if k.lower() not in ("host", "content-length", "connection")}
        for _ in range(times):
            try:
                status = post(self.target + path, body, headers).status
            except (OSError, http.client.HTTPException):
                status = 503
        return status

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def hear(world, name=None):
    """Before the start: the site takes notifications of its CRM."""
    crm = world.directive("CosellCrm")
    world.replace("CosellCrm", crm + " webhook-secret=" + world.server.secret("crm-hook", SECRET))
    world.server.locations += ['<Location "%s">' % HOOK, "  SetHandler cosell-crm", "</Location>"]
    return world


def connect(world, url=None, tables=TABLES, partner=True):
    """Once it runs: both sides send their notices, the CRM's through `url` when there is one."""
    if partner:
        world.partner.post("registration", {"WebhookUrl": world.server.webhook, "SignatureTokenToMsSignatureHeader": True,
                                            "WebhookEvents": EVENTS})
    for table in tables:
        world.crm.notify_to((url or world.server.base) + HOOK + "?secret=" + quote(SECRET), table)
    return world


def opted_in(world, name=None, company=None, help=None, visible=False, contact=True, solution=True, **columns):
    """An opportunity with all that a referral needs, marked to be shared; with its account, contact and solution."""
    name = name or world.unique("Opportunity")
    account = world.crm.post("accounts", {"name": company or "Customer of " + name, **LOCATED})
    row = {"name": name, "estimatedvalue": 40000, "estimatedclosedate": "2027-05-31", "description": "Notes of " + name,
           "transactioncurrencyid": {"table": "transactioncurrency", "id": USD},
           "parentaccountid": {"table": "account", "id": account["accountid"]},
           "ownerid": {"table": "systemuser", "id": ADA}}
    if contact:
        person = world.crm.post("contacts", {"firstname": "Carla", "lastname": "Customer", "telephone1": "+1 425 555 0177",
                                             "emailaddress1": "carla.%s@customer.example" % uuid.uuid4().hex[:12], "jobtitle": "CIO",
                                             "parentcustomerid": {"table": "account", "id": account["accountid"]}})
        row["parentcontactid"] = {"table": "contact", "id": person["contactid"]}
    row.update(columns)
    row = world.crm.post("opportunities", row)
    if solution:
        add_solution(world, row["opportunityid"], AZURE)
    wish = {"msft_syncwithpartnercenter": True}
    if help is not None:
        wish["msft_howcanmicrosofthelp"] = help
    if visible:
        wish["msft_referralvisibility"] = True
    return world.crm.edit("opportunities", row["opportunityid"], wish)


def add_solution(world, record, detail):
    return world.crm.post("msft_microsoftsolutions", {"msft_opportunityid": {"table": "opportunity", "id": record},
                                                      "msft_solutiondetailid": {"table": "msft_microsoftsolutiondetail", "id": detail}})


def own_referrals(world, name):
    """Referrals of this name that are ours; names are unique in tests."""
    return [r for r in world.partner.get("referrals") if r["name"] == name and r["organizationId"] != "msft"]


def microsofts(world, engagement):
    return [r for r in world.partner.get("referrals") if r["organizationId"] == "msft" and r["engagementId"] == engagement]


def deal_of_record(world, record):
    """The deal of a CRM row, as the status page shows it; None while there is none."""
    reply = world.server.get("/cosell-status?deal=%s" % record, {"Accept": "application/json"})
    return __import__("json").loads(reply.body).get("deal") if reply.status == 200 else None


def referral_of(world, record):
    """The referral made of a record, once its deal knows it."""
    deal = deal_of_record(world, record)
    return world.partner.referral(deal["referral"]) if deal and deal.get("referral") else None


# What each side shows, in the same words


def amount(value):
    return None if value is None else "%.2f" % value


def clean(text):
    return "\n".join(line.rstrip() for line in (text or "").replace("\r\n", "\n").split("\n")).strip() or None


class Sides:
    """All referrals and records at one moment."""

    def __init__(self, world):
        self.world = world
        self.referrals = {r["id"]: r for r in world.partner.get("referrals")}
        self.rows = {r["opportunityid"]: r for r in world.crm.rows("opportunities")}
        self.currencies = {c["transactioncurrencyid"]: c["isocurrencycode"] for c in world.crm.rows("transactioncurrencies")}
        self.details = {d["msft_microsoftsolutiondetailid"]: d["msft_solutionidentifier"] for d in world.crm.rows("msft_microsoftsolutiondetails")}
        self.solutions = world.crm.rows("msft_microsoftsolutions")
        self.users = {u["systemuserid"]: u["internalemailaddress"].lower() for u in world.crm.rows("systemusers")
                      if not u.get("applicationid") and u.get("internalemailaddress")}
        self.teams = {t["teamid"]: t.get("_regardingobjectid_value") for t in world.crm.rows("teams")}
        self.members = world.crm.rows("teammemberships")

    def microsoft(self, referral):
        return next((r for r in self.referrals.values() if r["organizationId"] == "msft" and r["engagementId"] == referral["engagementId"]), None)

    def people(self, identity):
        """Owner and record team of a record, as far as they are people."""
        found = [self.rows[identity]["_ownerid_value"]] + [m["systemuserid"] for m in self.members if self.teams.get(m["teamid"]) == identity]
        return sorted({self.users[user] for user in found if user in self.users})

    def at_partner_center(self, identity):
        r = self.referrals[identity]
        details = r["details"]
        known = set(self.users.values())
        return {"state": r["status"], "team": sorted({m["email"].lower() for m in r["team"]} & known),
                "value": (amount(details.get("dealValue")), details.get("currency")), "close": (details.get("closingDateTime") or "")[:10] or None,
                "notes": clean(details.get("notes")), "campaign": clean(r.get("campaignId")),
                "visible": bool((r.get("consent") or {}).get("consentToShareReferralWithMicrosoftSellers")),
                "solutions": sorted({s["id"].lower() for s in (details.get("requirements") or {}).get("solutions") or []})}

    def in_crm(self, identity):
        row = self.rows[identity]
        state = "Closed" if row["statecode"] else {1: "Active", 2: "New"}.get(row["statuscode"])
        return {"state": state, "team": self.people(identity), "value": (amount(row["estimatedvalue"]), self.currencies.get(row["_transactioncurrencyid_value"])),
                "close": row["estimatedclosedate"], "notes": clean(row["description"]), "campaign": clean(row.get("acme_campaign")),
                "visible": bool(row["msft_referralvisibility"]),
                "solutions": sorted({self.details[s["_msft_solutiondetailid_value"]].lower() for s in self.solutions
                                     if s["_msft_opportunityid_value"] == identity})}
