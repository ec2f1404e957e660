"""PKI, both simulators and one configured server: what most tests need."""

import itertools
import json
import os
import time
import uuid

import requests

from .events import Event, Pki
from .paths import REPO
from .server import Server
from .salesforce import Salesforce, translate_mapping
from .sims import Dynamics, PartnerCenter
from .storm import post, request_bytes
from .wait import wait_for

CLIENT_ID = "11111111-0000-4000-8000-000000000001"
CLIENT_SECRET = "sandbox-secret"
REFRESH_TOKEN = "sandbox-refresh-token"
CRM = "sales"  # the configured name, whichever it is
CRMS = {"dynamics365": Dynamics, "salesforce": Salesforce}
DEAL_STATES = ("new", "linked", "closed", "lead", "ignored", "parked", "unlinked", "gone")  # domain/record.h
READY, DEAD, SUSPENDED = 0, 1, 2  # work rows, store/store.h
CRM_CLIENT_ID = "00000000-0000-4000-8000-0000000000c1"
SALESFORCE_CLIENT_ID = "3MVG9.sandbox.consumer.key.1"
CRM_CLIENT_SECRET = "sandbox-secret~1"


class World:
    """`server` is configured but not started; change server.site or server.globals_ and call start()."""

    def __init__(self, name, rate="0", partner=None, crm=None, pki=None, site="contoso", signature="", poll=None, detached=False, kind="dynamics365", **server):
        self.pki = pki or Pki()
        self.own = []
        self.partner = partner or self._own(PartnerCenter(self.pki, detached=detached))
        self.crm = crm or self._own(CRMS[kind](detached=detached))
        self.kind = self.crm.kind
        self.ages = False
        self.server = Server(name, **server)
        self.name = site
        self.cert_url = self.partner.certificate
        self.numbers = itertools.count(1)
        if self.server.module:
            self._site(rate, signature, poll)

    def _own(self, simulator):
        self.own.append(simulator)
        return simulator

    def _site(self, rate, signature, poll):
        server, partner, crm = self.server, self.partner.info, self.crm.info
        tenant = partner.get("tenant", "7d230000-0000-4000-8000-000000000001")
        mapping = os.environ.get("COSELL_MAPPING", os.path.join(REPO, "conf", "mapping", self.kind + ".json"))
        # Copies, for the checkout may lie where the server's user cannot go.
        ca, intermediates = (server.write("conf/" + name, self.pki.read(name).decode()) for name in ("ca.pem", "intermediates.pem"))
        with open(mapping) as source:
            self.mapping = server.write("conf/mapping/%s.json" % self.kind, source.read())
        server.site += [
            "CosellEngine on",
            "CosellSite " + self.name,
            "CosellPartnerCenter tenant=%s client-id=%s client-secret=%s refresh-token=%s token-url=%s webhooks-url=%s referrals-url=%s"
            % (tenant, CLIENT_ID, server.secret("pc-client", CLIENT_SECRET), server.secret("pc-refresh", REFRESH_TOKEN),
               partner["token"], partner["base"], partner["base"]),
            self._crm_line(),
            "CosellSignature url=%s ca=%s intermediates=%s%s" % (self.cert_url, ca, intermediates, signature),
        ]
        if rate is not None:
            server.site.append("CosellUpstream * rate=" + rate)
        if poll is not None:
            server.site.append("CosellPoll " + poll)

    def _crm_line(self):
        crm = self.crm.info
        common = "mapping=%s client-secret=%s token-url=%s" % (self.mapping, self.server.secret("crm-client", CRM_CLIENT_SECRET), crm["token"])
        if self.kind == "salesforce":
            return "CosellCrm %s salesforce %s client-id=%s %s" % (CRM, crm["base"], SALESFORCE_CLIENT_ID, common)
        return "CosellCrm %s dynamics365 %s tenant=%s client-id=%s %s" % (CRM, crm["base"], crm.get("tenant") or crm["token"].split("/")[3], CRM_CLIENT_ID, common)

    def replace(self, directive, line):
        """Replaces the site's line of this directive; None removes it."""
        lines = [old for old in self.server.site if not old.startswith(directive + " ")]
        self.server.site[:] = lines + ([line] if line else [])

    def directive(self, name):
        return next(line for line in self.server.site if line.startswith(name + " "))

    def edit_mapping(self, change):
        """change(document) edits the installed mapping; takes effect with the next start or reload."""
        with open(self.mapping) as file:
            document = json.load(file)
        change(document)
        if self.kind == "salesforce":
            translate_mapping(document)
        with open(self.mapping, "w") as file:
            json.dump(document, file, indent=2)

    def start(self, **options):
        self.server.start(**options)
        return self

    def close(self):
        self.server.close()
        for simulator in self.own:
            simulator.stop()

    def __enter__(self):
        return self

    def __exit__(self, *ignored):
        self.close()

    # Callbacks

    def send(self, event, **signing):
        """Sends one event; returns the answer."""
        url = signing.pop("url", self.server.webhook)
        return post(url, event.body, event.headers(self.pki, signing.pop("cert_url", self.cert_url), **signing))

    def notify(self, referral, name="referral-updated", **members):
        """A signed callback for this referral that must be accepted."""
        identity = referral["id"] if isinstance(referral, dict) else referral
        members.setdefault("changed", self.version(identity))
        answer = self.send(Event(name, identity, **members))
        assert answer.status == 200, "callback answered %d %r" % (answer.status, answer.body[:300])

    def version(self, identity):
        """When the referral changed last: what a notice speaks of can be read, or the look would wait for it. None = nobody can say."""
        try:
            return self.partner.referral(identity)["updatedDateTime"]
        except (AssertionError, requests.RequestException):
            return None

    def raw(self, event):
        """The event as the bytes of a whole request, for storms."""
        return request_bytes(self.server.webhook, event.body, event.headers(self.pki, self.cert_url))

    def ready(self, deadline=15):
        """Until the certificate is there and callbacks are accepted."""
        event = Event("test-created", uri="http://api.partnercenter.microsoft.com/webhooks/v1/registration/validationEvents/%s"
                      % uuid.uuid4(), ResourceName="test")
        wait_for(lambda: self.send(event).status == 200, deadline, "a test event to be accepted")
        return self

    # Deals

    def unique(self, word="Deal"):
        return "%s %d of %s" % (word, next(self.numbers), uuid.uuid4().hex[:8])

    def refer(self, name=None, active=True, **members):
        """A new referral; no event is sent."""
        if active:
            members.setdefault("status", "Active")
            members.setdefault("substatus", "Accepted")
        return self.partner.refer(name or self.unique(), **members)

    def opportunities(self, name):
        """Rows of this name, and with Microsoft's or our mark none is missed: names are unique in tests."""
        return [row for row in self.crm.rows("opportunities") if row.get("name") == name]

    def deal(self, referral):
        identity = (referral["id"] if isinstance(referral, dict) else referral).lower()
        rows = self.server.sql("SELECT d.* FROM deal d JOIN alias a ON a.deal = d.id WHERE a.name = ? AND a.site = ?",
                               "pc:" + identity, self.name)
        if not rows:
            return None
        deal = rows[0]
        deal["state"] = DEAL_STATES[deal["state"]]
        for name in ("images", "intent", "told", "explain"):
            deal[name] = json.loads(deal[name]) if deal[name] else None
        return deal

    def record(self, referral):
        """The CRM row of the deal, or None."""
        deal = self.deal(referral)
        if not deal or not deal["record_id"]:
            return None
        try:
            return self.crm.row("opportunities", deal["record_id"])
        except AssertionError:
            return None

    def stored(self):
        """Accepted callbacks in the store, those folded into an equal one included."""
        return self.server.sql("SELECT count(*) + coalesce(sum(repeats), 0) AS n FROM delivery")[0]["n"]

    def work(self, referral):
        """The outstanding look of a referral's deal or name, or None."""
        identity = (referral["id"] if isinstance(referral, dict) else referral).lower()
        deal = self.deal(identity)
        names = ["pc:" + identity] + (["deal:%d" % deal["id"]] if deal else [])
        rows = self.server.sql("SELECT * FROM work WHERE kind = 'look' AND wanted > done AND name IN (%s)"
                               % ",".join("?" * len(names)), *names)
        return rows[0] if rows else None

    def outstanding(self, where="1", *arguments):
        return self.server.count("work", "kind = 'look' AND wanted > done AND " + where, *arguments)

    def works(self):
        return self.server.sql("SELECT * FROM work WHERE kind = 'look'")

    def settled(self, deadline=20):
        """Until no look is outstanding (dead and suspended ones are not waited for)."""
        wait_for(lambda: self.outstanding("state = 0") == 0, deadline, "every look to be settled; left: %s" %
                 self.works()[:3])

    def looked(self, referral, deadline=20, **members):
        """Sends an event for the referral and waits until it was looked at; returns the deal.

        Where versions have a grain of a second, rows that changed just now are not written: `ages` moves the CRM's clock on instead of waiting.
        """
        if self.ages:
            self.crm.post("clock", {"advance": 3})
        self.notify(referral, **members)
        self.settled(deadline)
        return self.deal(referral)

    def advanced(self, condition, step=120, deadline=30, what=None):
        """Moves the module's clock on in steps until the condition holds: for what waits minutes or hours."""
        def check():
            value = condition()
            if not value:
                self.server.clock(advance=step)
            return value
        return wait_for(check, deadline, what, every=1.2)

    def real_time(self, deadline=60):
        """The module's clock back on the real time, and no look left behind: one that was asked for on the moved clock would be due long after."""
        def due(after):
            return self.server.sql("SELECT max(due) AS at FROM work WHERE kind = 'look' AND state = 0 AND wanted > done AND due > ?",
                                   int((time.time() + after) * 1e6))[0]["at"]

        def back():
            moved = self.server.offset
            if moved <= 0:
                self.server.clock(offset=0)
                return True
            if self.outstanding("state = 0 AND due <= ?", int((time.time() + moved) * 1e6)):
                return False
            self.server.clock(offset=0)
            left = due(60)
            if left:
                self.server.clock(offset=max(moved, left / 1e6 - time.time() + 1))
            return not left
        wait_for(back, deadline, "what the moved clock made due to be looked at")

    def journal(self, referral=None):
        if referral is None:
            return self.server.sql("SELECT * FROM journal ORDER BY id")
        deal = self.deal(referral)
        return self.server.sql("SELECT * FROM journal WHERE deal = ? ORDER BY id", deal["id"]) if deal else []
