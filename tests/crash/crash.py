#!/usr/bin/python3
"""kill -9 at any instant: what was answered 200 is not lost, and nothing is made twice.

32 senders deliver distinct events while parent, children and runner are killed at a random instant, again and again; at least every third time while
the CRM holds a write open. After the last restart every event answered 200 must have its opportunity within a minute; there is one opportunity and one account per
referral. A preloaded recorder shows a completed sync of the write-ahead log between each callback and its 200.
"""

import argparse
import bisect
import collections
import os
import random
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "httpd"))

import asyncio

from harness import Event, World, wait_for
from harness.storm import storm_async

SENDERS = 32
ANNOUNCED = ["AH00098", "AH00045", "AH00046", "unclean", "Unclean", "runner", "exit signal Killed", "AH00052", "AH00051"]


class Crash:
    def __init__(self, cycles, seed, fresh, kind=None):
        self.cycles = cycles
        self.seed = seed
        self.random = random.Random(seed)
        self.fresh = fresh            # new referrals per cycle
        self.world = World("crash", preloads=["record_sync"], kind=kind or os.environ.get("CRM") or "dynamics365")
        self.synclog = self.world.server.path("tmp/syncs")
        open(self.synclog, "w").close()
        os.chmod(self.synclog, 0o666)
        self.world.server.env["COSELL_SYNC_LOG"] = self.synclog
        self.referrals = []
        self.changed = {}
        self.acknowledged = set()     # referrals with at least one event answered 200
        self.answers = collections.Counter()
        self.held = 0                 # kills while a CRM write was open
        self.kills = collections.Counter()

    def new_referrals(self):
        documents = []
        for _ in range(self.fresh):
            number = len(self.referrals) + len(documents)
            documents.append({
                "name": "Crash deal %06d" % number, "direction": "Incoming", "status": "Active", "substatus": "Accepted",
                "type": "Shared", "qualification": "SalesQualified",
                "customerProfile": {"name": "Crash customer %06d" % number,
                                    "address": {"addressLine1": "1 Main Street", "city": "Redmond", "state": "WA",
                                                "postalCode": "98052", "country": "US"}},
                "details": {"notes": "n", "dealValue": 1000 + number, "currency": "USD", "closingDateTime": "2027-03-31T12:00:00Z"}})
        made = self.world.partner.post("bulk/referrals", documents)
        self.referrals += [(r["id"], r["name"], r["customerProfile"]["name"]) for r in made]
        # What a notice speaks of is never newer than what can be read, so that no look has a reason to be repeated.
        self.changed.update((r["id"], r["updatedDateTime"]) for r in made)
        return [r["id"] for r in made]

    def events(self, fresh):
        """Distinct events without end: each new referral once, then any of all."""
        for identity in fresh:
            yield identity, self.world.raw(Event("referral-created", identity, changed=self.changed[identity]))
        while True:
            identity = self.random.choice(self.referrals)[0]
            yield identity, self.world.raw(Event("referral-updated", identity, changed=self.changed[identity]))

    def answered(self, result):
        self.answers[result.status] += 1
        if result.status == 200:
            self.acknowledged.add(result.tag)

    async def cycle(self, number):
        world, loop = self.world, asyncio.get_running_loop()
        fresh = self.new_referrals()
        hold = number % 2 == 0
        when = self.random.choice(["before", "after"])
        if hold:
            world.crm.fault(method="*", path="%s|%s" % tuple(map(world.crm.row_path, ("opportunities", "accounts"))), match=".", fault="hold", when=when,
                            skip=self.random.randrange(0, 12))
        dead = False
        task = asyncio.ensure_future(storm_async(world.server.webhook, self.events(fresh), SENDERS, until=lambda: dead,
                                                 timeout=5.0, answered=self.answered))
        if hold:
            end = time.monotonic() + 5
            while time.monotonic() < end and not await loop.run_in_executor(None, world.crm.held):
                await asyncio.sleep(0.005)
        await asyncio.sleep(self.random.uniform(0.0, 0.6 if not hold else 0.15))
        if hold and await loop.run_in_executor(None, world.crm.held):
            self.held += 1
        await loop.run_in_executor(None, self.kill)
        dead = True
        await task
        world.crm.remove_faults()

    def kill(self):
        server = self.world.server
        pids = list(server.processes())
        self.random.shuffle(pids)
        self.kills["processes"] += len(pids)
        server.kill_all(pids)

    def run(self):
        server = self.world.server
        print("crash: %s, %d cycles, seed %d" % (self.world.kind, self.cycles, self.seed), flush=True)
        started = time.monotonic()
        self.world.start().ready()
        loop = asyncio.new_event_loop()
        for number in range(self.cycles):
            if number:
                server.start()
            loop.run_until_complete(self.cycle(number))
            if (number + 1) % 25 == 0:
                print("   %3d cycles, %d events answered 200, %d referrals, %.0f s" %
                      (number + 1, self.answers[200], len(self.referrals), time.monotonic() - started), flush=True)
        loop.close()
        server.start()
        restarted = time.monotonic()
        self.settle()
        print("   after the last restart all was in order within %.1f s" % (time.monotonic() - restarted))
        return self.verdict()

    def settle(self):
        """Until every acknowledged referral has its opportunity, or 60 s after the restart."""
        def done():
            names = {row["name"] for row in self.world.crm.rows("opportunities")}
            missing = [n for i, n, _ in self.referrals if i in self.acknowledged and n not in names]
            if not missing and self.world.outstanding() and not self.world.outstanding("problem IS NOT 'crm:unheard'"):
                # A row without a key (a contact's role in Salesforce) that nobody heard of is looked for two minutes long before it is made again.
                self.world.server.clock(advance=120)
            return not missing and self.world.outstanding() == 0
        try:
            wait_for(done, 60, "the opportunities of all acknowledged events", every=0.5)
        except AssertionError as error:
            print("   " + str(error)[:300])

    def left(self):
        """What is never done. Looks that deals ask for by themselves come and go."""
        try:
            wait_for(lambda: not self.world.works(), 30)
        except AssertionError:
            return self.world.works()
        return []

    def verdict(self):
        world, wrong = self.world, []
        opportunities = collections.Counter(r["name"] for r in world.crm.rows("opportunities"))
        accounts = collections.Counter(r["name"] for r in world.crm.rows("accounts"))
        lost = [n for i, n, _ in self.referrals if i in self.acknowledged and not opportunities[n]]
        doubles = [n for _, n, _ in self.referrals if opportunities[n] > 1]
        accounts_wrong = [c for _, n, c in self.referrals if accounts[c] > 1 or opportunities[n] and accounts[c] != 1]
        left = self.left()
        print("   %d events answered 200, %d others %s; %d referrals, %d acknowledged, %d opportunities" %
              (self.answers[200], sum(v for k, v in self.answers.items() if k != 200),
               dict((k, v) for k, v in self.answers.items() if k != 200), len(self.referrals), len(self.acknowledged),
               sum(opportunities[n] for _, n, _ in self.referrals)))
        print("   %d processes killed in %d cycles, %d times with a CRM write held open" % (self.kills["processes"], self.cycles, self.held))
        if lost:
            wrong.append("%d acknowledged referrals have no opportunity: %s" % (len(lost), lost[:5]))
        if doubles:
            wrong.append("more than one opportunity: %s" % doubles[:5])
        if accounts_wrong:
            wrong.append("not exactly one account: %s" % accounts_wrong[:5])
        if left:
            wrong.append("work left: %s" % left[:2])
        if self.held * 3 < self.cycles:
            wrong.append("only %d of %d kills hit an open CRM write" % (self.held, self.cycles))
        if self.answers[200] < self.cycles:
            wrong.append("only %d events were answered 200" % self.answers[200])
        odd = [s for s in self.answers if s not in (0, 200, 503)]
        if odd:
            wrong.append("unexpected answers %s" % odd)
        wrong += check_syncs(self.synclog, self.answers[200])
        world.server.log.announce(*ANNOUNCED)
        loud = world.server.log.unexpected()
        if loud:
            wrong.append("%d lines in the error log nobody expects:\n      %s" % (len(loud), "\n      ".join(loud[:10])))
        for text in wrong:
            print("   WRONG: " + text)
        print("crash: %s, seed %d" % ("FAILED" if wrong else "passed", self.seed), flush=True)
        return not wrong


def check_syncs(path, answers):
    """Each 200 has a sync in its own process that began after the callback was read and was complete before the answer."""
    syncs = collections.defaultdict(list)
    callbacks = []
    with open(path) as file:
        for line in file:
            fields = line.split()
            if fields[0] == "S" and len(fields) == 4:
                syncs[fields[1]].append((int(fields[2]), int(fields[3])))
            elif fields[0] == "A" and len(fields) == 5:
                callbacks.append((fields[1], int(fields[3]), int(fields[4])))
    begins = {}
    for pid, intervals in syncs.items():
        intervals.sort()
        begins[pid] = [begin for begin, _ in intervals]
    bare = 0
    for pid, read_at, answered_at in callbacks:
        index = bisect.bisect_right(begins.get(pid, []), read_at)
        if not any(end <= answered_at for _, end in syncs[pid][index:index + 8]):
            bare += 1
    print("   recorder: %d answers 200, %d syncs of the write-ahead log, %d answers without one between" %
          (len(callbacks), sum(map(len, syncs.values())), bare))
    wrong = []
    if bare:
        wrong.append("%d of %d answers 200 went out without a completed sync since the callback was read" % (bare, len(callbacks)))
    if len(callbacks) < answers:
        wrong.append("the recorder saw %d answers, the senders %d" % (len(callbacks), answers))
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cycles", type=int, default=300)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--referrals", type=int, default=24, help="new referrals per cycle (default 24)")
    args = parser.parse_args()
    seed = args.seed if args.seed is not None else int.from_bytes(os.urandom(4), "big")
    crash = Crash(args.cycles, seed, args.referrals)
    good = False
    try:
        good = crash.run()
    finally:
        if not good:
            print("   error log: %s" % crash.world.server.log.path)
        crash.world.server.close(keep=not good)
        crash.world.close()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
