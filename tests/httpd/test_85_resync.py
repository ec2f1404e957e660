"""resync and show on a real httpd: all deals looked at again by list pages, in portions, through a kill -9; a dry run that writes nothing.

The tests run in this order over the same deals. COSELL_RESYNC_DEALS=10000 makes it the size of acceptance.
"""

import base64
import hashlib
import json
import os
import re
import time
import urllib.request

import pytest

from harness import wait_for
from harness.paths import apxs
from harness.sims import referral

CRMS = ("dynamics365", "salesforce")
LONG = 30
ADMIN = "/cosell-admin"
DEALS = int(os.environ.get("COSELL_RESYNC_DEALS", "240"))
PAGE = 100
PAGES = 2 * DEALS // PAGE + 1  # own cards and Microsoft's
LIMIT = max(20, DEALS * 5 // 100)
PATIENCE = 60 + DEALS // 10
DONE, FAILED, CANCELLED = "done", "failed", "cancelled"
LISTS, SINGLES = "GET /v1.0/engagements/referrals", "GET /v1.0/engagements/referrals/{id}"


def may_ask(server):
    """A place where alice may ask for things."""
    directory = apxs("LIBEXECDIR")
    server.globals_ += ["<IfModule !%s>\n  LoadModule %s %s/mod_%s.so\n</IfModule>" % (name + "_module", name + "_module", directory, name)
                        for name in ("authn_core", "authn_file", "auth_basic", "authz_core", "authz_user")]
    users = server.write("conf/users", "alice:{SHA}%s\n" % base64.b64encode(hashlib.sha1(b"wonder").digest()).decode())
    server.locations += ['<Location "%s">' % ADMIN, "  SetHandler cosell-admin", "  AuthType Basic", '  AuthName "cosell"',
                         "  AuthUserFile " + users, "  Require valid-user", "</Location>"]


def ask(world, **document):
    """The id of the job that it becomes."""
    request = urllib.request.Request(world.server.base + ADMIN, json.dumps({"site": world.name, **document}).encode(), {
        "Content-Type": "application/json", "X-Cosell-Request": "1",
        "Authorization": "Basic " + base64.b64encode(b"alice:wonder").decode()})
    with urllib.request.urlopen(request, timeout=10) as reply:
        assert reply.status == 202
        return json.loads(reply.read())["job"]


STATES = ("waiting", "running", DONE, FAILED, CANCELLED)


def job(world, identity):
    row = world.server.sql("SELECT * FROM job WHERE name = ?", identity)[0]
    state = row["state"]
    row["state"] = STATES[int(state)] if str(state).isdigit() else state
    for name in ("progress", "result"):
        row[name] = json.loads(row[name]) if row[name] else {}
    return row


def ended(world, identity, deadline=PATIENCE):
    row = wait_for(lambda: (lambda r: r if r["state"] in (DONE, FAILED, CANCELLED) else None)(job(world, identity)), deadline,
                   "job %s to end; it is at %s" % (identity, job(world, identity)))
    assert row["state"] == DONE, row
    return row["result"]


def run(world, **arguments):
    return ended(world, ask(world, do="resync", **arguments))


def read_of_partner_center(world, since):
    """How many requests for lists, for cards of one engagement, and for single referrals."""
    lists = engagements = singles = 0
    for r in world.partner.requests(r"/engagements/referrals", "GET", since=since):
        if re.search(r"/referrals/[0-9a-f-]{36}", r["path"]):
            singles += 1
        elif "engagementId" in (r.get("query") or ""):
            engagements += 1
        else:
            lists += 1
    return lists, engagements, singles


def writes(world, since):
    return world.partner.writes(since[0]), world.crm.writes(since[1])


def marks(world):
    return world.partner.last_request(), world.crm.last_request()


def settled(world):
    """Nothing outstanding; what changed a moment ago is old enough to be written."""
    world.settled(PATIENCE)
    world.crm.post("clock", {"advance": 3})
    world.server.clock(advance=3)
    world.settled(PATIENCE)


def deals(world):
    """All that the store knows of deals."""
    return world.server.sql("SELECT * FROM deal ORDER BY id"), world.server.count("journal"), world.server.count("alias")


@pytest.fixture(scope="module")
def world(world_of):
    world = world_of("resync", poll="1d")
    world.server.site.append("CosellSweep 30d")
    may_ask(world.server)
    world.referrals = []
    for n in range(0, DEALS, 500):
        world.referrals += world.partner.post("bulk/referrals", [
            dict(referral("Resync %05d" % k, status="Active", substatus="Accepted"), microsoft=True) for k in range(n, min(n + 500, DEALS))])
    world.referrals = [r for r in world.referrals if r["organizationId"] != "msft"]
    assert len(world.referrals) == DEALS
    return world.start().ready()


def ids(world):
    if not hasattr(world, "records"):
        world.records = {r["name"]: r for r in world.crm.rows("opportunities") if r["name"].startswith("Resync")}
    return world.records


def record_id(world, n):
    return world.deal(world.referrals[n])["record_id"]


def test_referrals_nobody_told_of_come_in_by_it(world):
    """A site that begins: they are old, no poll takes them in. So many at once want a person's word."""
    world.server.log.announce("CS2005.*brake:resync")
    since = marks(world)
    resync = ask(world, do="resync", all=True)
    why = wait_for(lambda: job(world, resync)["progress"].get("waits"), PATIENCE, "the brake")
    assert re.search(r"would make records of at least \d+ referrals", why), why
    assert world.crm.writes(since[1]) == [] and world.server.count("deal") == 0
    ask(world, do="release", brake="resync")
    result = ended(world, resync)
    assert result["looked"] == DEALS and result["changed"] + result["later"] == DEALS and result["failed"] == 0, result
    settled(world)
    assert world.server.count("deal", "state = 1") == DEALS
    assert len([r for r in world.crm.rows("opportunities") if r["name"].startswith("Resync")]) == DEALS
    progress = job(world, resync)["progress"]
    assert progress["done"] == progress["of"] == DEALS and progress["rate"] > 0
    assert not world.server.count("suspended")
    lists, engagements, singles = read_of_partner_center(world, since[0])
    assert lists <= 2 * PAGES + 6, lists  # the clock was not moved: one reading, perhaps a poll's
    # Where the CRM gives ids, or something is told later, a deal has a second look of its own.
    assert singles <= 2 * DEALS and engagements <= 2 * DEALS


def test_all_as_it_should_be_costs_pages_alone(world):
    settled(world)
    since, before = marks(world), world.server.count("journal")
    result = run(world, all=True)
    assert (result["looked"], result["nothing"], result["changed"], result["failed"], result["later"]) == (DEALS, DEALS, 0, 0, 0), result
    lists, engagements, singles = read_of_partner_center(world, since[0])
    assert singles == 0 and engagements <= 3 and lists <= PAGES + 3, (lists, engagements, singles)
    assert writes(world, since) == ([], [])
    assert len(world.crm.round_trips(since[1])) <= DEALS // 50 * 4 + 12
    assert world.server.count("journal") == before + 1


def silent_edits(world):
    """What no notice told: at Partner Center and in the CRM. Returns how many."""
    here, there = min(LIMIT, 20) // 2, min(LIMIT, 20) // 4
    for n in range(here):
        world.partner.edit(world.referrals[7 * n]["id"], {"details": {"notes": "Silently %d" % n}})
    for n in range(there):
        world.crm.patch("opportunities/" + record_id(world, 7 * n + 1), {"description": "Typed %d" % n}, silent=1)
    world.crm.post("clock", {"advance": 3})
    return here, there


def test_dry_run_says_what_would_change(world):
    settled(world)
    here, there = world.edits = silent_edits(world)
    since, before = marks(world), deals(world)
    identity = ask(world, do="resync", all=True, dry_run=True)
    result = ended(world, identity)
    assert (result["looked"], result["would_change"], result["failed"]) == (DEALS, here + there, 0), result
    assert result["lines"]["notes"] == here + there, result
    assert "nothing was written" in result["text"]
    assert writes(world, since) == ([], []) and deals(world) == before
    assert world.outstanding() == 0
    lists, engagements, singles = read_of_partner_center(world, since[0])
    assert singles == 0 and engagements <= 3 and lists <= PAGES + 3
    number = world.server.sql("SELECT id FROM job WHERE name = ?", identity)[0]["id"]
    rows = [json.loads(r["row"]) for r in world.server.sql("SELECT row FROM job_row WHERE job = ? ORDER BY n", number)]
    assert len(rows) == here + there
    by_referral = {row["referral"]: {change["line"]: change for change in row["changes"]} for row in rows}
    to_crm, to_pc = by_referral[world.referrals[7]["id"]]["notes"], by_referral[world.referrals[8]["id"]]["notes"]
    assert (to_crm["direction"], to_crm["to"]) == ("to_crm", "Silently 1") and to_crm["from"] == "Notes of Resync 00007"
    assert (to_pc["direction"], to_pc["to"]) == ("to_pc", "Typed 1") and to_pc["from"] == "Notes of Resync 00008"


def test_items_of_a_list_are_counted_as_the_list(world):
    chosen = [world.referrals[n] for n in (3, 4)]
    before = [world.partner.referral(r["id"])["customerProfile"] for r in chosen]
    for r, profile in zip(chosen, before):
        people = [{"firstName": "Ann", "lastName": "Number %d" % n, "email": "ann%d@many.example" % n, "phoneNumber": ""} for n in range(3)]
        world.partner.edit(r["id"], {"customerProfile": {"team": profile["team"] + people}})
    try:
        for r in chosen:
            result = run(world, id=r["id"], dry_run=True)
            assert result["lines"]["contacts"] == 1 and not [name for name in result["lines"] if "/" in name], result
    finally:
        for r, profile in zip(chosen, before):
            world.partner.edit(r["id"], {"customerProfile": {"team": profile["team"]}})


def test_show_reads_both_sides(world):
    since, before = marks(world), deals(world)
    for name in (world.referrals[7]["id"], record_id(world, 7), world.referrals[7]["engagementId"], str(world.deal(world.referrals[7])["id"])):
        result = ended(world, ask(world, do="show", id=name))
        assert "would write" in result["text"] and "notes" in result["text"], result["text"]
        assert result["partner_center"]["details"]["notes"] == "Silently 1"
        assert result["microsoft"]["organizationId"] == "msft"
        assert result["record"]["id"] == record_id(world, 7) and result["plan"]["steps"]
        assert result["deal"]["referral"] == world.referrals[7]["id"]
    stranger = world.partner.refer("Resync of a stranger", status="Active", substatus="Accepted")
    result = ended(world, ask(world, do="show", id=stranger["id"]))
    assert "no look has met" in result["text"] and result["record"] is None and result["deal"]["id"] is None
    assert [c for c in result["changes"] if c["line"] == "$record"]
    assert writes(world, since) == ([], []) and deals(world) == before
    world.partner.delete("referrals/" + stranger["id"])
    for other in world.partner.get("referrals"):
        if other["engagementId"] == stranger["engagementId"]:
            world.partner.delete("referrals/" + other["id"])


def test_it_is_done(world):
    here, there = world.edits
    since = marks(world)
    result = run(world, all=True)
    assert (result["looked"], result["changed"], result["failed"], result["later"]) == (DEALS, here + there, 0, 0), result
    settled(world)
    for n in range(here):
        assert world.record(world.referrals[7 * n])["description"] == "Silently %d" % n
    for n in range(there):
        assert world.partner.referral(world.referrals[7 * n + 1]["id"])["details"]["notes"] == "Typed %d" % n
    assert read_of_partner_center(world, since[0])[2] == 0


def test_since_leaves_out_what_is_older(world):
    settled(world)
    world.partner.post("clock", {"advance": 7200})
    world.server.clock(advance=7200)
    world.crm.post("clock", {"advance": 7200})
    for n in range(3):
        world.partner.edit(world.referrals[n]["id"], {"details": {"notes": "Lately %d" % n}})
    since = marks(world)
    result = run(world, since="30m")
    assert (result["looked"], result["changed"]) == (3, 3), result
    lists, engagements, singles = read_of_partner_center(world, since[0])
    assert lists <= 3 and engagements == 3 and singles == 0
    settled(world)
    assert world.record(world.referrals[2])["description"] == "Lately 2"


def reads_of_crm(world):
    """A fault that makes the CRM slow, so that there is a middle."""
    return world.crm.fault(method="*", path=r"/\$batch|/composite", fault="slow", seconds=0.15 if DEALS < 2000 else 0.02, times=0, inside=False)


def test_killed_in_the_middle_it_goes_on(world):
    settled(world)
    here = min(LIMIT, 20) // 2
    for n in range(here):
        world.partner.edit(world.referrals[(DEALS // here) * n]["id"], {"details": {"notes": "Before the kill %d" % n}})
    fault = reads_of_crm(world)
    since = marks(world)
    resync = ask(world, do="resync", all=True)
    wait_for(lambda: job(world, resync)["progress"].get("done", 0) >= DEALS // 3, PATIENCE, "the first third")
    before = job(world, resync)
    assert before["state"] == "running" and before["progress"]["done"] < DEALS
    world.server.log.announce(r"runner", r"CS20\d\d")
    world.server.kill([world.server.runner()])
    result = ended(world, resync)
    world.crm.remove_faults(fault)
    assert (result["looked"], result["changed"], result["failed"], result["later"]) == (DEALS, here, 0, 0), result
    settled(world)
    for n in range(here):
        assert world.record(world.referrals[(DEALS // here) * n])["description"] == "Before the kill %d" % n
    lists, engagements, singles = read_of_partner_center(world, since[0])
    assert singles == 0 and engagements <= 6 and lists <= 2 * (PAGES + 3), (lists, engagements, singles)
    # Each was written once: the third that was done was not done again.
    written = [r for r in world.crm.writes(since[1]) if re.search(world.crm.row_path("opportunities"), r["path"])]
    assert len({r["path"] for r in written}) == here


def test_live_edit_goes_first_and_cancel_stops_it(world):
    settled(world)
    fault = reads_of_crm(world)
    resync = ask(world, do="resync", all=True)
    wait_for(lambda: job(world, resync)["progress"].get("done", 0) > 0, PATIENCE, "its first portion")
    last = world.referrals[-1]
    world.partner.edit(last["id"], {"details": {"notes": "Live"}})
    started = time.monotonic()
    world.notify(last)
    wait_for(lambda: world.record(last)["description"] == "Live", 10, "the live edit")
    took, state = time.monotonic() - started, job(world, resync)
    ask(world, do="cancel", job=resync)
    wait_for(lambda: job(world, resync)["state"] == CANCELLED, 10, "the job to be cancelled")
    world.crm.remove_faults(fault)
    assert took < 8 and state["state"] == "running", (took, state)
    done = job(world, resync)["progress"]["done"]
    assert done < DEALS
    settled(world)
    assert job(world, resync)["progress"]["done"] == done
    assert not world.server.count("suspended")
