"""2,000 events over 100 referrals nobody knows yet: a hundred opportunities, and no more looking than needed."""

import collections

import pytest

from harness import Event, deliver, wait_for

CRMS = ("dynamics365", "salesforce")
EVENTS, REFERRALS = 2000, 100
READ = r"^/v1\.0/engagements/referrals"


@pytest.fixture
def burst(new_world):
    world = new_world("burst")
    world.start().ready()
    referrals = [world.partner.refer("Burst %03d" % n, status="Active", substatus="Accepted") for n in range(REFERRALS)]
    # What a notice speaks of is never newer than what can be read, so that no look has a reason to be repeated.
    items = [(n, world.raw(Event("referral-updated", referrals[n % REFERRALS]["id"],
                                 changed=referrals[n % REFERRALS]["updatedDateTime"]))) for n in range(EVENTS)]
    world.partner.delete("requests")
    return world, referrals, items


def reads(world):
    """Reads at Partner Center per referral: by its id, and the list of its engagement. "?" = another read."""
    owner = {r["engagementId"]: r["id"] for r in world.partner.get("referrals") if r["organizationId"] != "msft"}
    found = collections.defaultdict(list)
    for entry in world.partner.requests(READ, "GET"):
        identity = entry["path"].rpartition("/")[2]
        found[identity if identity != "referrals" else next((i for e, i in owner.items() if e in entry["query"]), "?")].append(entry)
    return found


def span(entry):
    return entry["t"] - entry["ms"] / 1000.0, entry["t"]


def opportunities(world, referrals):
    names = collections.Counter(row["name"] for row in world.crm.rows("opportunities"))
    return [names[r["name"]] for r in referrals]


def test_burst_while_partner_center_holds(burst):
    world, referrals, items = burst
    fault = world.partner.fault(path=READ, fault="hold")
    results = deliver(world.server.webhook, items, 32)
    assert {r.status for r in results} == {200} and len(results) == EVENTS
    world.partner.remove_faults(fault)
    world.settled(60)
    assert opportunities(world, referrals) == [1] * REFERRALS
    count = collections.Counter({identity: len(entries) for identity, entries in reads(world).items()})
    assert max(count.values()) <= 2 and "?" not in count, count.most_common(5)
    accounts = collections.Counter(row["name"] for row in world.crm.rows("accounts"))
    assert all(accounts[r["customerProfile"]["name"]] == 1 for r in referrals)
    # The same burst again finds nothing to do.
    since = [s.last_request() for s in (world.partner, world.crm)]
    results = deliver(world.server.webhook, items, 32)
    assert {r.status for r in results} == {200}
    world.settled(60)
    assert world.partner.writes(since[0]) == [] and world.crm.writes(since[1]) == []
    assert opportunities(world, referrals) == [1] * REFERRALS


def test_burst_while_partner_center_answers(burst):
    world, referrals, items = burst
    results = deliver(world.server.webhook, items, 32)
    assert {r.status for r in results} == {200}
    world.settled(60)
    assert opportunities(world, referrals) == [1] * REFERRALS
    found = reads(world)
    looks = world.server.status()["counters"]["looks"]
    assert "?" not in found, found["?"][:3]
    count = sum(len(entries) for entries in found.values())
    assert count <= 2 * looks, "%d reads for %d looks" % (count, looks)
    # A look reads the referral and lists its engagement. One that shares these with a second name of the deal would read it twice.
    for identity, entries in found.items():
        alone = [entry for entry in entries if entry["path"].endswith(identity)]
        assert len(alone) == len(entries) - len(alone), "%s was read %d times for %d lists" % (identity, len(alone), len(entries) - len(alone))
        times = sorted(map(span, alone))
        for (_, ended), (started, _) in zip(times, times[1:]):
            assert started >= ended - 0.0005, "two looks at %s at once" % identity


def test_growing_backlog_is_drained(burst):
    """Events keep coming while the backlog is worked on."""
    world, referrals, items = burst
    for _ in range(2):
        deliver(world.server.webhook, items[:1000], 32)
        for referral in referrals[::10]:
            world.partner.edit(referral["id"], {"details": {"notes": "Moved"}})
            world.notify(referral)
    world.settled(60)
    wait_for(lambda: opportunities(world, referrals) == [1] * REFERRALS, 5)
    moved = {row["name"] for row in world.crm.rows("opportunities") if row["description"] == "Moved"}
    assert moved == {r["name"] for r in referrals[::10]}
