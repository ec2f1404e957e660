#!/usr/bin/python3
"""A long run: every event is a real change of one of 1,000 referrals; memory must not grow.

The resident memory of the child and of the runner grows by less than 8 MiB between a tenth of the events (each referral has been made and changed by
then) and the end.
"""

import argparse
import os
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "httpd"))

from harness import Event, World, storm, wait_for

LIMIT = 8 * 1024 * 1024
ONE_CHILD = ["StartServers 1", "ServerLimit 1", "ThreadLimit 64", "ThreadsPerChild 64", "MinSpareThreads 1", "MaxSpareThreads 64",
             "MaxRequestWorkers 64"]


class Soak:
    def __init__(self, events, referrals):
        self.events, self.count = events, referrals
        self.world = World("soak", mpm_lines=ONE_CHILD, log_level="warn", module=os.environ.get("COSELL_MODULE", "test"),
                           kind=os.environ.get("CRM") or "dynamics365")
        self.sent = 0
        self.round = 0

    def document(self, number):
        return {"name": "Soak deal %05d" % number, "direction": "Incoming", "status": "Active", "substatus": "Accepted", "type": "Shared",
                "qualification": "SalesQualified",
                "customerProfile": {"name": "Soak customer %05d" % (number % 200),
                                    "address": {"addressLine1": "1 Main Street", "city": "Redmond", "state": "WA", "postalCode": "98052",
                                                "country": "US"}},
                "details": {"notes": "Round 0", "dealValue": 1000, "currency": "USD", "closingDateTime": "2027-03-31T12:00:00Z"}}

    def one_round(self):
        """Each referral changes and its event is sent; the round ends when all was looked at."""
        world = self.world
        self.round += 1
        share = min(self.count, self.events - self.sent)
        items = []
        for referral in self.referrals[:share]:
            if self.round > 1:
                referral = world.partner.edit(referral["id"], {"details": {"notes": "Round %d" % self.round, "dealValue": 1000 + self.round}})
            event = Event("referral-updated", referral["id"], changed=referral["updatedDateTime"])
            items.append((referral["id"], world.raw(event)))
        results = storm(world.server.webhook, items, 32)
        bad = [r for r in results if r.status != 200]
        if bad:
            raise AssertionError("%d events were not answered 200: %s" % (len(bad), {r.status for r in bad}))
        self.sent += share
        wait_for(lambda: world.outstanding() == 0, 120, "round %d to be looked at" % self.round, every=0.05)

    def memory(self):
        """The least of two seconds: what a batch that has just ended gave back is not at once the system's again."""
        server, child, runner = self.world.server, [], []
        for _ in range(20):
            child.append(server.rss(server.children()[0]))
            runner.append(server.rss(server.runner()))
            time.sleep(0.1)
        return {"child": min(child), "runner": min(runner)}

    def run(self):
        world = self.world
        world.start().ready()
        self.referrals = world.partner.post("bulk/referrals", [self.document(n) for n in range(self.count)])
        started, first, pids = time.monotonic(), None, None
        mark = max(self.events // 10, min(2 * self.count, self.events))
        while self.sent < self.events:
            self.one_round()
            if first is None and self.sent >= mark:
                first, pids = self.memory(), (world.server.children(), world.server.runner())
                print("   after %6d events: child %.1f MiB, runner %.1f MiB" % (self.sent, first["child"] / 2 ** 20, first["runner"] / 2 ** 20))
            if self.round % 10 == 0:
                now = self.memory()
                print("   %6d events, %4.0f per second: child %.1f MiB, runner %.1f MiB" %
                      (self.sent, self.sent / (time.monotonic() - started), now["child"] / 2 ** 20, now["runner"] / 2 ** 20), flush=True)
        last = self.memory()
        wrong = []
        if pids != (world.server.children(), world.server.runner()):
            wrong.append("processes were replaced on the way")
        for name in last:
            grown = last[name] - first[name]
            print("   %s: %.1f MiB after %d events, %.1f MiB after %d: %+.1f MiB" %
                  (name, first[name] / 2 ** 20, mark, last[name] / 2 ** 20, self.sent, grown / 2 ** 20))
            if grown >= LIMIT:
                wrong.append("the %s's memory grew by %.1f MiB" % (name, grown / 2 ** 20))
        rows = {r["name"]: r for r in world.crm.rows("opportunities")}
        stale = [r["name"] for r in self.referrals if rows.get(r["name"], {}).get("description") not in
                 ("Round %d" % self.round, "Round %d" % (self.round - 1), "Round 0")]
        newest = sum(rows.get(r["name"], {}).get("description") == "Round %d" % self.round for r in self.referrals)
        expected = (self.events - 1) % self.count + 1
        if stale or self.round > 1 and newest != expected:
            wrong.append("%d opportunities have the newest value, %d were expected" % (newest, expected))
        loud = world.server.log.unexpected()
        if loud:
            wrong.append("the error log has:\n      " + "\n      ".join(loud[:10]))
        for text in wrong:
            print("   WRONG: " + text)
        print("soak: %s, %d events in %.0f s" % ("FAILED" if wrong else "passed", self.sent, time.monotonic() - started))
        return not wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100000)
    parser.add_argument("--referrals", type=int, default=1000)
    args = parser.parse_args()
    soak = Soak(args.events, args.referrals)
    good = False
    try:
        good = soak.run()
    finally:
        soak.world.server.close(keep=not good)
        soak.world.close()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
