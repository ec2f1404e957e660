"""Changes on one side, and when they are on the other. Used by the test and by the benchmark."""

import json
import time

from .wait import wait_for

CHANGES = 200
DEALS = 40
PACE = 0.03  # seconds between two changes


def quantile(values, q):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


class Changes:
    """Deals known to both sides, and people who change them."""

    def __init__(self, world, notify=False):
        self.world = world
        self.referrals = [world.refer(world.unique("Latency")) for _ in range(DEALS)]
        for referral in self.referrals:
            world.notify(referral, name="referral-created")
        wait_for(lambda: all((world.deal(r) or {}).get("record_id") for r in self.referrals), 60, "all records")
        world.settled(60)
        self.records = [world.deal(r)["record_id"] for r in self.referrals]
        self.number = 0

    def text(self):
        self.number += 1
        return "Change number %d of the latency test." % self.number

    def in_crm(self, count=CHANGES):
        """Seconds that each change of a record took to Partner Center."""
        return self.measure(count, self.world.partner, r"/referrals/", lambda n, text: self.world.crm.edit(
            "opportunities", self.records[n % DEALS], {"description": text}))

    def at_partner_center(self, count=CHANGES):
        """The same of changes of a referral, to the CRM."""
        return self.measure(count, self.world.crm, self.world.crm.row_path("opportunities"), lambda n, text: self.world.partner.edit(
            self.referrals[n % DEALS]["id"], {"details": {"notes": text}}, silent=False))

    def measure(self, count, target, path, change):
        since, began = target.last_request(), {}
        for number in range(count):
            # The next change of a deal waits for the one before: else two of them would be one look.
            text = self.text()
            change(number, text)
            began[text] = time.time()
            if number % DEALS == DEALS - 1:
                self.arrived(target, path, since, began)
            time.sleep(PACE)
        ended = self.arrived(target, path, since, began)
        return [max(0.0, ended[text] - at) for text, at in began.items()]

    def arrived(self, target, path, since, texts):
        """text -> when the request that brought it was answered."""
        def all_there():
            found = {}
            for request in target.requests(path, "PATCH", since):
                if request["status"] < 300 and "of the latency test." in (request.get("body") or ""):
                    for text in texts_of(json.loads(request["body"])):
                        found.setdefault(text, request["t"])
            return found if set(texts) <= set(found) else None
        return wait_for(all_there, 60, "all changes to arrive", every=0.2)

    def all_at_once(self):
        """One change of each deal, alternately here and there; (side, number, text)."""
        typed = []
        for number in range(DEALS):
            text = self.text()
            if number % 2:
                self.world.crm.edit("opportunities", self.records[number], {"description": text})
            else:
                self.world.partner.edit(self.referrals[number]["id"], {"details": {"notes": text}})
            typed.append((number, text))
        return typed

    def missing(self, typed):
        rows = {r["opportunityid"]: r["description"] for r in self.world.crm.rows("opportunities")}
        notes = {r["id"]: r["details"]["notes"] for r in self.world.partner.get("referrals")}
        return [text for number, text in typed
                if rows[self.records[number]] != text or notes[self.referrals[number]["id"]] != text]


def texts_of(body):
    """The notes that a request brings."""
    if isinstance(body, list):
        return [op["value"] for op in body if op.get("path") == "/details/notes"]
    return [body[name] for name in ("description", "Description") if body.get(name)]
