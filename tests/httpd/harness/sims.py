"""Starts the simulators and speaks to their control API."""

import json
import os
import re
import select
import subprocess
import time
import uuid
from urllib.parse import unquote

import requests

from .paths import BUILD, PYTHON, SANDBOX

WRITING = ("PATCH", "POST", "DELETE", "PUT")


class Simulator:
    """One simulator process; it ends with this process because its standard input does, unless it is `detached`."""

    name = None

    def __init__(self, *options, log=None, detached=False, verify=True):
        path = os.path.join(SANDBOX, self.name)
        os.makedirs(os.path.join(BUILD, "httpd"), exist_ok=True)
        self._log = open(log or os.path.join(BUILD, "httpd", "%s-%d-%x.log" % (self.name, os.getpid(), id(self))), "ab")
        self.process = subprocess.Popen([PYTHON, path, *([] if detached else ["--with-stdin"]), *options],
                                        stdin=subprocess.DEVNULL if detached else subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self._log, start_new_session=detached)
        self.info = self._first_line(20)
        self.base = self.info["base"]
        self.sandbox = self.info["sandbox"]
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = verify

    def _first_line(self, deadline):
        end = time.monotonic() + deadline
        data = b""
        while b"\n" not in data:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))
            chunk = os.read(self.process.stdout.fileno(), 4096) if ready else b""
            if not chunk:
                self.process.kill()
                raise RuntimeError("%s did not say where it listens; its output is in %s" % (self.name, self._log.name))
            data += chunk
        return json.loads(data.split(b"\n")[0])

    def call(self, method, path, body=None, data=None, /, **query):
        reply = self.session.request(method, self.sandbox + "/" + path, json=body, data=data, params=query, timeout=120)
        if reply.status_code >= 400:
            raise AssertionError("%s %s of %s: %d %s" % (method, path, self.name, reply.status_code, reply.text[:500]))
        return reply.json() if reply.content else None

    def get(self, path, /, **query):
        return self.call("GET", path, **query)

    def post(self, path, body=None, /, **query):
        return self.call("POST", path, body, **query)

    def patch(self, path, body, /, **query):
        return self.call("PATCH", path, body, **query)

    def delete(self, path, /, **query):
        return self.call("DELETE", path, **query)

    def fault(self, **spec):
        """Adds a fault, returns its number."""
        return self.post("faults", spec)["id"]

    def faults(self):
        return {fault["id"]: fault for fault in self.get("faults")}

    def held(self):
        return sum(fault.get("held", 0) for fault in self.get("faults"))

    def remove_faults(self, number=None):
        self.delete("faults" if number is None else "faults/%d" % number)

    def requests(self, path=None, method=None, since=0):
        query = {"since": since}
        if path:
            query["path"] = path
        if method:
            query["method"] = method
        return self.get("requests", **query)

    def writes(self, since=0, path=None):
        """Requests that change something: lone ones and operations inside batches, never a batch's envelope nor signing in."""
        return [r for r in self.requests(path, since=since) if r["method"] in WRITING and "/oauth2/" not in r["path"]
                and not r["path"].endswith("/$batch")]

    def round_trips(self, since=0):
        """HTTP requests but for signing in: a batch is one, whatever is in it."""
        return [r for r in self.requests(since=since) if "/oauth2/" not in r["path"] and not r.get("batch")]

    def last_request(self):
        entries = self.get("requests", limit=1)
        return entries[-1]["n"] if entries else 0

    def stop(self):
        if self.process.poll() is None:
            if self.process.stdin:
                self.process.stdin.close()
            else:
                self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stdout.close()
        self.session.close()
        self._log.close()
        if os.path.getsize(self._log.name) == 0:
            os.unlink(self._log.name)


class PartnerCenter(Simulator):
    name = "partner-center"

    def __init__(self, pki, *options, **more):
        super().__init__("--pki", pki.directory, *options, **more)
        self.certificate = self.info["certificate"]

    def refer(self, name, microsoft=True, **members):
        """A co-sell referral as it comes in, with everything a deal needs."""
        document = referral(name, **members)
        if microsoft:
            document["microsoft"] = microsoft
        return self.post("referrals", document)

    def edit(self, referral_id, change, silent=True):
        """As a person in the portal would; no event unless asked for."""
        return self.patch("referrals/" + referral_id, change, **({"silent": "1"} if silent else {}))

    def referral(self, referral_id):
        return self.get("referrals/" + referral_id)


class Crm(Simulator):
    """What tests ask of either CRM, in the same words."""

    def rows(self, table):
        return self.get(table)

    def row(self, table, key):
        return self.get(table + "/" + key)

    def edit(self, table, key, change):
        return self.patch(table + "/" + key, change)

    def columns(self, table, **columns):
        """Adds columns: name="text", or name=("text", {"max": 120})."""
        for name, kind in columns.items():
            kind, more = kind if isinstance(kind, tuple) else (kind, {})
            self.post("columns", {"table": table, "name": name, "type": kind, **more})

    def quirk(self, table, column, quirk, **members):
        return self.post("quirks", {"table": table, "column": column, "quirk": quirk, **members})["id"]

    def remove_quirks(self, number=None):
        self.delete("quirks" if number is None else "quirks/%d" % number)


class Dynamics(Crm):
    name = "dynamics365"
    kind = "dynamics365"
    api_path = "/api/data/"
    win_request = {"method": "POST", "path": "WinOpportunity"}
    refusals = {"throttled": {"status": 429, "code": "0x80072322", "retry_after": 2}, "forbidden": {"status": 403, "code": "0x80040220"},
                "rule": {"status": 400, "code": "0x80040265"}, "deadlock": {"status": 500, "code": "0x80044150"}}

    def notify_to(self, url, table):
        """Changes of this table are sent there; the secret in the query goes into a header."""
        address, _, query = url.partition("?")
        return self.post("webhooks", {"url": address, "auth": "HttpHeader", "table": table,
                                      "values": {"x-cosell-secret": unquote(query.partition("=")[2])}})

    def notified(self):
        """Every notice was taken."""
        return all(delivery["done"] for delivery in self.get("webhooks"))

    def convert(self, lead):
        """As a seller does who qualifies it; the opportunity that it makes."""
        row = self.row("leads", lead)
        identity = self.post("opportunities", {"name": row["subject"], "originatingleadid": {"table": "lead", "id": lead}})["opportunityid"]
        self.edit("leads", lead, {"statecode": 1, "statuscode": 3, "qualifyingopportunityid": {"table": "opportunity", "id": identity}})
        return identity

    def row_path(self, table, identity=""):
        """What the path of a write to a row of this table looks like."""
        return r"/%s\(%s" % (table, re.escape(identity))

    def column(self, table, name):
        """What it is called in the CRM."""
        return name

    @staticmethod
    def version(row):
        return row["versionnumber"]

    def table_path(self, table):
        """... of any write to this table."""
        return "/" + table

    def lock_out(self, locked):
        """Whether the application's user may no longer use this organisation."""
        self.post("options", {"NotAMember": locked})

    def closings(self, opportunity):
        """How often it was closed."""
        return [row for row in self.rows("opportunitycloses") if row.get("_opportunityid_value") == opportunity]

    def changed_columns(self, request, table="opportunities"):
        """The columns a write has."""
        return {name.split("@")[0] for name in json.loads(request["body"] or "{}")}


def referral(name, **members):
    """Complete; its contact is nobody else's, since Dynamics' own duplicate rules go by e-mail."""
    document = {
        "name": name, "type": "Shared", "qualification": "SalesQualified", "direction": "Incoming", "status": "New",
        "substatus": "Pending",
        "customerProfile": {"name": "Customer of " + name, "size": "51to250employees",
                            "address": {"addressLine1": "1 Main Street", "addressLine2": "", "city": "Redmond", "state": "WA",
                                        "postalCode": "98052", "country": "US"},
                            "team": [{"firstName": "Ada", "lastName": "Example", "phoneNumber": "+1 425 555 0100",
                                      "email": "ada.%s@customer.example" % uuid.uuid4().hex[:12]}]},
        "consent": {"consentToToShareInfoWithOthers": True, "consentToContact": True,
                    "consentToShareReferralWithMicrosoftSellers": True},
        "details": {"notes": "Notes of " + name, "dealValue": 50000.0, "currency": "USD",
                    "closingDateTime": "2027-03-31T12:00:00Z",
                    "requirements": {"solutions": [{"id": "SOL-12345-ABC", "name": "Fabrikam Analytics", "type": "Name"}],
                                     "additionalRequirements": {"attributes": [{"type": "CustomerMarketplaceIntent",
                                                                                "id": "HaveNotDecided"}]}}},
        "team": [{"firstName": "Sam", "lastName": "Seller", "phoneNumber": "+1 425 555 0111", "email": "sam@contoso.example"}],
    }
    for key, value in members.items():
        if isinstance(value, dict) and isinstance(document.get(key), dict):
            document[key] = {**document[key], **value}
        else:
            document[key] = value
    return document
