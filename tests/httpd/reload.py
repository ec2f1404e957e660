#!/usr/bin/python3
"""Reload every two seconds for a minute under 32 senders on fresh connections.

Every event is answered 200; the slowest answer is at most 200 ms slower than in the same time without reloads (median of three pairs); 30 s later every event has
been looked at.
"""

import argparse
import asyncio
import itertools
import os
import statistics
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

from harness import Event, World, wait_for
from harness.storm import storm_async

SENDERS = 32
SLOWER = 0.2


class Reload:
    def __init__(self, seconds, every, world=None):
        self.seconds, self.every = seconds, every
        self.world = world or World("reload")
        self.referrals = []
        self.reloads = 0
        self.refused = []

    def prepare(self, referrals=200):
        documents = [{"name": "Reload deal %04d" % n, "direction": "Incoming", "status": "Active", "substatus": "Accepted",
                      "type": "Shared", "qualification": "SalesQualified",
                      "customerProfile": {"name": "Reload customer %04d" % n, "address": {"addressLine1": "1 Main Street", "city": "Redmond",
                                          "state": "WA", "postalCode": "98052", "country": "US"}},
                      "details": {"notes": "n", "dealValue": 1000 + n, "currency": "USD", "closingDateTime": "2027-03-31T12:00:00Z"}}
                     for n in range(referrals)]
        self.referrals = self.world.partner.post("bulk/referrals", documents)
        events = [(n, self.world.raw(Event("referral-updated", r["id"], changed=r["updatedDateTime"]))) for n, r in enumerate(self.referrals * 20)]
        self.items = itertools.cycle(events)

    async def _reloads(self, end):
        loop = asyncio.get_running_loop()
        while time.monotonic() + self.every < end:
            await asyncio.sleep(self.every)
            status, said = await loop.run_in_executor(None, self.world.server.run, "-k", "graceful")
            self.reloads += 1
            if status:
                self.refused.append(said)

    async def _phase(self, reloading):
        end = time.monotonic() + self.seconds
        tasks = [storm_async(self.world.server.webhook, self.items, SENDERS, pause=0.04, until=lambda: time.monotonic() >= end)]
        if reloading:
            tasks.append(self._reloads(end))
        return (await asyncio.gather(*tasks))[0]

    def phase(self, reloading):
        """(slowest answer in seconds, answers by status, number of answers)"""
        loop = asyncio.new_event_loop()
        try:
            results = loop.run_until_complete(self._phase(reloading))
        finally:
            loop.close()
        bad = [r for r in results if r.status != 200]
        return max(r.seconds for r in results), bad, len(results)

    def looked_at(self, deadline=30):
        def done():
            return self.world.outstanding() == 0 and len({r["name"] for r in self.world.crm.rows("opportunities")
                                                          if r["name"].startswith("Reload deal")}) == len(self.referrals)
        wait_for(done, deadline, "every event to have been looked at", every=0.3)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--every", type=float, default=2)
    parser.add_argument("--pairs", type=int, default=3)
    args = parser.parse_args()
    run = Reload(args.seconds, args.every)
    wrong = []
    try:
        run.world.start().ready()
        run.prepare()
        slower = []
        for number in range(args.pairs):
            calm, bad_calm, n_calm = run.phase(False)
            hot, bad, n = run.phase(True)
            slower.append(hot - calm)
            print("   %d: slowest of %d without reloads %.0f ms, of %d with reloads %.0f ms; %d not answered 200" %
                  (number + 1, n_calm, calm * 1000, n, hot * 1000, len(bad) + len(bad_calm)), flush=True)
            if bad or bad_calm:
                wrong.append("answers %s" % sorted({r.status for r in bad + bad_calm}))
        ended = time.monotonic()
        try:
            run.looked_at(30)
            print("   every event had been looked at %.1f s after the last" % (time.monotonic() - ended))
        except AssertionError as error:
            wrong.append(str(error)[:300])
        if run.refused:
            wrong.append("reloads refused: %s" % run.refused[:1])
        median = statistics.median(slower)
        print("   %d reloads; slower by %.0f ms (median of %d)" % (run.reloads, median * 1000, args.pairs))
        if median > SLOWER:
            wrong.append("the slowest answer is %.0f ms slower with reloads" % (median * 1000))
        loud = run.world.server.log.unexpected()
        if loud:
            wrong.append("the error log has:\n      " + "\n      ".join(loud[:10]))
        for text in wrong:
            print("   WRONG: " + text)
        print("reload: " + ("FAILED" if wrong else "passed"))
        return 1 if wrong else 0
    finally:
        run.world.server.close(keep=bool(wrong))
        run.world.close()


if __name__ == "__main__":
    sys.exit(main())
