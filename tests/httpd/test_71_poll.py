"""Nobody tells of any change: what polls and sweeps find, how soon, and what they cost.

The simulators deliver no events here (no webhook is registered at either), so that a look which no test sent a notice for was asked for by a poll."""

import pytest

from harness import wait_for

CRMS = ("dynamics365", "salesforce")
LONG = 150
POLL = 60
LATEST = POLL * 1.1 + 15  # the interval, its jitter, and one step of the clock
KILLED = ["AH00098", "AH00045", "AH00046", "[Uu]nclean", "runner", "exit signal Killed", "AH00052", "AH00051"]


def latest(world):
    """What Salesforce says of changes ends with the last full minute."""
    return LATEST + (60 if world.kind == "salesforce" else 0)


def clock(world, seconds):
    """All three live in the same time."""
    world.server.clock(advance=seconds)
    for simulator in (world.partner, world.crm):
        simulator.post("clock", {"offset": world.server.offset})


def polls(world):
    return {poll["name"]: poll for poll in world.server.status()["sites"][0]["polls"]}


def counters(world):
    return world.server.status()["counters"]


def is_idle(world):
    """Nothing is due: every timer's next time lies ahead."""
    status = world.server.status()
    return not world.outstanding("state = 0") and all(poll["next"] and poll["next"] > status["server"]["time"] for poll in status["sites"][0]["polls"])


def idle(world, what="everything due to be done"):
    wait_for(lambda: is_idle(world), 40, what)


def until(world, condition, most, what):
    """Lets time pass in steps until the condition holds; how many seconds it took."""
    passed = 0
    while not condition():
        assert passed < most, "%s: not within %d seconds; %s" % (what, most, polls(world))
        clock(world, 10)
        passed += 10
        idle(world)
    return passed


def round_of_polls(world, rounds=1):
    """Time for every poll to have its turn."""
    for _ in range(rounds):
        clock(world, POLL * 1.1 + 1)
        idle(world)


def start(world, sweep="12h"):
    world.replace("CosellPoll", "CosellPoll %ds" % POLL)
    world.server.site.append("CosellSweep " + sweep)
    world.start().ready()
    round_of_polls(world, 2)
    return world


@pytest.fixture(scope="module")
def world(world_of):
    return start(world_of("poll"))


@pytest.fixture
def deal(world):
    """In sync, and known to every poll."""
    referral = world.refer()
    world.looked(referral)
    assert world.record(referral), world.work(referral)
    round_of_polls(world, 2)
    return referral


def notes(world, referral):
    return world.record(referral)["description"]


def test_a_change_at_partner_center_is_found(world, deal):
    before = counters(world)
    world.partner.edit(deal["id"], {"details": {"notes": "found by the list"}})
    assert until(world, lambda: notes(world, deal) == "found by the list", latest(world), "the change") > 0
    assert counters(world)["polled"] == before["polled"] + 1


def test_a_referral_nobody_told_of_is_found(world):
    referral = world.refer()
    until(world, lambda: world.record(referral), latest(world), "the referral")
    assert world.deal(referral)["state"] == "linked"


def test_a_change_in_the_crm_is_found(world, deal):
    before = counters(world)["polled"]
    world.crm.edit("opportunities", world.record(deal)["opportunityid"], {"description": "written by a seller"})
    until(world, lambda: world.partner.referral(deal["id"])["details"]["notes"] == "written by a seller", latest(world), "the edit")
    assert counters(world)["polled"] > before
    assert notes(world, deal) == "written by a seller"


def test_a_value_changed_right_after_the_record_was_made_is_found(world):
    """Nobody has looked since: what the create was answered with says whose the value is."""
    referral = world.refer()
    world.looked(referral)
    row = world.record(referral)
    assert world.deal(referral)["images"]["value"].get("rest") is None
    world.crm.edit("opportunities", row["opportunityid"], {"estimatedvalue": 61500})
    until(world, lambda: world.partner.referral(referral["id"])["details"]["dealValue"] == 61500, latest(world), "the value")
    assert world.record(referral)["estimatedvalue"] == 61500


@pytest.mark.parametrize("table,column", [("accounts", "_parentaccountid_value"), ("contacts", "_parentcontactid_value")])
def test_a_row_that_a_record_shows_wakes_its_deal(world, deal, table, column):
    row = world.record(deal)[column]
    looked = world.deal(deal)["updated"]
    world.crm.edit(table, row, {"telephone1": "+1 425 555 0123"})
    until(world, lambda: world.deal(deal)["updated"] > looked, latest(world), "a look at the deal")


def test_a_deleted_record_is_found(world, deal):
    world.server.log.announce("CS2")
    record = world.record(deal)["opportunityid"]
    world.crm.delete("opportunities/" + record)
    until(world, lambda: world.deal(deal)["state"] == "gone", latest(world), "the delete")
    assert world.server.sql("SELECT count(*) AS n FROM watch WHERE deal = ?", world.deal(deal)["id"])[0]["n"] == 0


def test_idle_polls_make_no_looks(world, deal):
    before, since = counters(world), [s.last_request() for s in (world.partner, world.crm)]
    watched = len(polls(world)) - 2
    round_of_polls(world, 4)
    after = counters(world)
    assert (after["looks"], after["polled"]) == (before["looks"], before["polled"])
    # The registration of the webhook is watched meanwhile.
    asked = [[r for r in s.round_trips(n) if "/webhooks/" not in r["path"]] for s, n in zip((world.partner, world.crm), since)]
    assert asked[0] and all(r["method"] == "GET" and "orderby" in r["query"] for r in asked[0]), asked[0]
    assert watched <= len(asked[1]) and all(r["method"] == "GET" or r["path"].endswith("/composite") for r in asked[1]), asked[1]
    assert world.crm.writes(since[1]) == []
    # Four rounds, each table and the list at most twice in one: intervals are a tenth longer or shorter. Salesforce has two lists, of what changed and of what went.
    assert len(asked[0]) <= 8 and len(asked[1]) <= 8 * watched * (2 if world.kind == "salesforce" else 1), asked


def test_a_version_is_asked_for_once(world, deal):
    """The newest of the list are looked through again and again: they are no news then."""
    world.partner.edit(deal["id"], {"details": {"notes": "once"}})
    until(world, lambda: notes(world, deal) == "once", latest(world), "the change")
    round_of_polls(world)
    before = counters(world)["looks"]
    round_of_polls(world, 3)
    assert counters(world)["looks"] == before


def test_a_failing_poll_is_shown_and_repeated(world, deal):
    world.server.log.announce("CS2110")
    world.partner.fault(method="GET", path="/referrals$", fault="status", status=400)
    clock(world, POLL * 1.1)
    wait_for(lambda: polls(world)["referrals"]["attempts"] > 0, 20, "a failed poll")
    shown = polls(world)["referrals"]
    assert shown["problem"] and shown["detail"], shown
    assert world.server.status()["sites"][0]["lane"]["outstanding"] == 0
    world.partner.remove_faults()
    world.partner.edit(deal["id"], {"details": {"notes": "after all"}})
    until(world, lambda: notes(world, deal) == "after all", latest(world), "the change")
    shown = polls(world)["referrals"]
    assert shown["problem"] is None and shown["attempts"] == 0 and shown["last"], shown


def test_an_expired_token_makes_no_storm(new_world):
    world = start(new_world("poll-expired"))
    deals = [world.refer() for _ in range(12)]
    for referral in deals:
        world.notify(referral, name="referral-created")
    world.settled(60)
    clock(world, 1200)  # what is looked through twice lies before it
    idle(world)
    round_of_polls(world, 2)
    days = 31  # Salesforce lists what changed within thirty days
    if world.kind == "dynamics365":
        days = 3
        organization = world.crm.rows("organizations")[0]
        world.crm.edit("organizations", organization["organizationid"], {"expirechangetrackingindays": 1})
    before = counters(world)
    world.server.stop()
    clock(world, days * 86400)
    world.crm.edit("opportunities", world.record(deals[0])["opportunityid"], {"description": "after some days"})
    world.server.start()
    world.ready()
    until(world, lambda: world.partner.referral(deals[0]["id"])["details"]["notes"] == "after some days", latest(world), "the edit")
    round_of_polls(world, 2)
    after = counters(world)
    # The counters began anew with the server: one deal was edited, and the others were swept once.
    # Salesforce no longer lists which rows of theirs went in so long a time: each may be looked at for that once.
    assert after["polled"] <= 4 + (len(deals) if world.kind == "salesforce" else 0), (before, after)
    assert all(poll["problem"] is None for poll in polls(world).values()), polls(world)


def test_missed_while_it_was_down(world, deal):
    world.server.stop()
    world.partner.edit(deal["id"], {"details": {"notes": "while nobody listened"}})
    created = world.refer()
    clock(world, POLL * 3)
    world.server.start()
    world.ready()
    until(world, lambda: notes(world, deal) == "while nobody listened" and world.record(created), 30, "what was missed")


@pytest.mark.parametrize("point", ["poll-before", "poll-after"])
def test_killed_amid_pages(new_world, point):
    world = new_world("poll-" + point)
    world.partner.post("options", {"PageMax": 5})
    start(world)
    rows = len(world.crm.rows("opportunities"))
    deals = [world.refer() for _ in range(23)]
    for referral in deals:
        world.notify(referral, name="referral-created")
    world.settled(60)
    round_of_polls(world, 2)
    world.server.log.announce(*KILLED)
    world.server.stop()
    for n, referral in enumerate(deals):
        world.partner.edit(referral["id"], {"details": {"notes": "edit %d" % n}})
    clock(world, POLL * 2)
    # Every runner that is started dies again at its third page or the like, and the next goes on from there.
    world.server.env["COSELL_TEST_CRASH"] = point + ":3"
    world.server.start()
    wait_for(lambda: world.server.status()["runner"]["starts"] >= 3, 60, "some deaths")
    wait_for(lambda: all(notes(world, r) == "edit %d" % n for n, r in enumerate(deals)), 60, "all edits to arrive")
    world.server.env.pop("COSELL_TEST_CRASH")
    world.server.stop()
    world.server.start()
    world.ready()
    idle(world)
    assert len(world.crm.rows("opportunities")) == rows + len(deals)


def test_a_sweep_finds_microsofts_answer(new_world):
    """The list is not asked: only the regular look at every open deal can see it."""
    world = new_world("poll-sweep")
    world.crm.columns("opportunity", acme_MicrosoftAnswer=("text", {"max": 100}))
    world.edit_mapping(lambda document: document["names"].update(microsoft_status="acme_microsoftanswer"))
    world.replace("CosellPoll", "CosellPoll 1d")
    world.server.site.append("CosellSweep 1h")
    world.start().ready()
    deals = [world.refer() for _ in range(120)]  # more than two portions
    for referral in deals:
        world.notify(referral, name="referral-created")
    world.settled(120)
    card = next(r for r in world.partner.get("referrals") if r["engagementId"] == deals[-1]["engagementId"] and r["organizationId"] == "msft")
    world.partner.edit(card["id"], {"status": "Active", "substatus": "Accepted"})
    before, polled = counters(world)["looks"], counters(world)["polled"]
    until_swept = lambda: world.record(deals[-1])["acme_microsoftanswer"] == "Accepted"
    passed = 0
    while not until_swept():
        assert passed <= 4500, polls(world)
        clock(world, 600)
        passed += 600
        idle(world)
    idle(world)
    assert counters(world)["looks"] - before == len(deals) and counters(world)["polled"] == polled
    assert polls(world)["deals"]["last"]
    writes = world.crm.last_request()
    clock(world, 3 * 3600)
    idle(world)
    assert world.crm.writes(writes) == []


def test_polls_keep_to_the_budget(new_world):
    world = new_world("poll-budget", rate="2")
    start(world)
    since = world.crm.last_request()
    clock(world, POLL * 30)  # all are due at once
    idle(world)
    times = [r["t"] for r in world.crm.round_trips(since)]
    assert len(times) >= len(polls(world)) - 2
    # Two at once after a rest of the bucket, then half a second apart.
    for first, third in zip(times, times[4:]):
        assert third - first >= 0.8, times


def test_a_copy_of_the_organisation_is_not_written_to(world, deal):
    world.server.log.announce("CS2003")
    assert world.server.sql("SELECT text FROM meta WHERE name LIKE 'organization:%'")
    world.server.stop()
    pinned = next(line for line in world.server.site if line.startswith("CosellCrm "))
    another = "00D0badc0de0001" if world.kind == "salesforce" else "0badc0de-0000-4000-8000-000000000001"
    world.replace("CosellCrm", pinned + " organization=" + another)
    world.server.start()
    world.ready()
    since = world.crm.last_request()
    world.partner.edit(deal["id"], {"details": {"notes": "not for a copy"}})
    world.notify(deal)
    wait_for(lambda: world.server.status()["sites"][0]["suspended"], 20, "the suspension")
    suspended = world.server.status()["sites"][0]["suspended"][0]
    assert suspended["problem"] == "config:organization" and "0badc0de" in suspended["detail"], suspended
    assert world.crm.writes(since) == []
    world.server.stop()
    world.replace("CosellCrm", pinned)
    world.server.start()
    world.ready()
    wait_for(lambda: notes(world, deal) == "not for a copy", 30, "the work to resume")
