"""A referral made from the CRM is made once: one of ours, one of Microsoft's, whatever dies or gets lost on the way, while searches see what was
made 45 minutes ago and nothing newer."""

import json
import re
import time
from urllib.parse import quote

import pytest

from harness import wait_for

CRMS = ("dynamics365", "salesforce")
LONG = 80
SPLIT = ("alone", "world")
PARTS = 4
THIN = {"salesforce": 3}  # what dies between two calls is the engine's, whichever CRM; `make both` runs every one
SECRET = "a secret that only this test knows"
LAG = 2700
HELP = {"msft_howcanmicrosofthelp": 861980005}
VISIBLE = {"msft_referralvisibility": True}
KINDS = {"private": {}, "partner-led": VISIBLE, "co-sell": {**VISIBLE, **HELP}}
UPGRADES = [("private", "partner-led"), ("private", "co-sell"), ("partner-led", "co-sell")]
SHARE = "consentToShareReferralWithMicrosoftSellers"
EVENTS = ["referral-created", "referral-updated", "related-referral-created", "related-referral-updated"]
KILLED = ["AH00098", "AH00045", "AH00046", "[Uu]nclean", "runner", "exit signal Killed", "AH00052", "AH00051"]

# What tells one call from the others.
CALLS = {"own": dict(method="POST", path="/referrals$", match=r'(?s)\A(?!.*"engagementId")'),
         "connected": dict(method="POST", path="/referrals$", match='"engagementId"'),
         "share": dict(method="PATCH", path="/referrals/", match=SHARE)}
# Nobody dies, but the answer is lost, or leaves open what was done. (More ways: tests/unit/test_remote_live.c.)
LOST = {"drop-after-commit": {}, "truncate": {}, "reset-before": {}, "status": dict(status=503)}
CARRIED_OUT = ["drop-after-commit", "truncate"]
# Died with the call under way: carried out after the restart began, or before.
HELD = {"carried out later": dict(fault="hold"), "carried out before": dict(fault="hold", when="after")}
# Died between two calls: what is there then, and what the deal says.
POINTS = {"post-intended": (0, "sent"), "post-sent": (1, "sent"), "post-known": (1, "done")}


def hasty(document):
    """Time that jumps ends leases, too, and then nothing is sent: what is to die while sending must not wait for a jump."""
    document["records"]["opportunity"]["from_crm"]["quiet"] = "1s"


def begin(world, told):
    world.told = told
    world.edit_mapping(hasty)
    world.replace("CosellCrm", world.directive("CosellCrm") + " webhook-secret=" + world.server.secret("crm-hook", SECRET))
    world.server.locations += ['<Location "/crm">', "  SetHandler cosell-crm", "</Location>"]
    world.start().ready()
    world.crm.notify_to(world.server.base + "/crm?secret=" + quote(SECRET), "opportunity")
    if told:
        world.partner.post("registration", {"WebhookUrl": world.server.webhook, "WebhookEvents": EVENTS, "SignatureTokenToMsSignatureHeader": True})
    world.partner.post("options", {"CreateChecks": "portal", "ConnectedNeedsConsent": True, "ConnectedAgain": "card"})
    world.partner.post("lag", {"list_seconds": LAG})
    return world


@pytest.fixture(scope="module")
def world(world_of):
    """What is made at Partner Center is told here, too: by events, at any time, and by polls."""
    return begin(world_of("create"), True)


@pytest.fixture(scope="module")
def alone(world_of):
    """Nobody tells what was made: it is found by searching for it, or never."""
    return begin(world_of("create-alone", poll="1d"), False)


@pytest.fixture(autouse=True)
def calm(request):
    yield
    for name in {"world", "alone"} & set(request.fixturenames):
        world = request.getfixturevalue(name)
        world.partner.remove_faults()
        world.crm.remove_faults()
        world.server.env.pop("COSELL_TEST_CRASH", None)


class Deal:
    """An opportunity as a seller writes it, and what has become of it at Partner Center."""

    def __init__(self, world, kind):
        self.world, self.kind = world, kind
        name = world.unique("Deal")
        account = world.crm.post("accounts", {"name": "Customer of " + name, "address1_line1": "1 Main Street", "address1_city": "Redmond",
                                              "address1_stateorprovince": "WA", "address1_postalcode": "98052", "address1_country": "US"})
        account = {"table": "account", "id": account["accountid"]}
        contact = world.crm.post("contacts", {"firstname": "Ada", "lastname": "Example", "telephone1": "+1 425 555 0100", "parentcustomerid": account,
                                              "emailaddress1": "ada.%s@customer.example" % name.split()[-1]})
        row = world.crm.post("opportunities", {
            "name": name, "description": "Notes of " + name, "estimatedvalue": 50000, "estimatedclosedate": "2027-03-31",
            "isrevenuesystemcalculated": False, "parentaccountid": account,
            "parentcontactid": {"table": "contact", "id": contact["contactid"]},
            "transactioncurrencyid": {"table": "transactioncurrency", "id": "00000000-0000-4000-8000-000000000021"},
            "ownerid": {"table": "systemuser", "id": "00000000-0000-4000-8000-000000000012"}})
        self.id = row["opportunityid"]
        world.crm.post("msft_microsoftsolutions", {
            "msft_opportunityid": {"table": "opportunity", "id": self.id},
            "msft_solutiondetailid": {"table": "msft_microsoftsolutiondetail", "id": "00000000-0000-4000-8000-000000000061"}})
        self.edit({"msft_syncwithpartnercenter": True, **KINDS[kind]})

    def edit(self, change):
        self.world.crm.edit("opportunities", self.id, change)

    def upgrade(self, kind):
        self.kind = kind
        self.edit({name: value for name, value in KINDS[kind].items() if not self.row.get(name)})

    @property
    def row(self):
        return self.world.crm.row("opportunities", self.id)

    @property
    def cards(self):
        """(ours, Microsoft's), as they really are, however late the list is."""
        everything = self.world.partner.get("referrals")
        own = [r for r in everything if (r["externalReferenceId"] or "").lower() == self.id.lower() and r["organizationId"] != "msft"]
        engagements = {r["engagementId"] for r in own}
        return own, [r for r in everything if r["organizationId"] == "msft" and r["engagementId"] in engagements]

    def is_done(self):
        """Both sides know each other, and there is what there should be, once."""
        own, theirs = self.cards
        self.once()
        assert len(own) == 1, "no referral yet: %s" % self.told()
        assert self.row["msft_referralidentifier"] == own[0]["id"], self.told()
        assert own[0]["consent"][SHARE] is (self.kind != "private"), self.told()
        assert len(theirs) == (self.kind == "co-sell"), self.told()
        assert self.world.deal(own[0])["state"] == "linked"
        return True

    def is_known(self):
        """We know of everything that it is there."""
        (own,), theirs = self.cards
        posted, deal = self.posted(), self.world.deal(own)
        assert posted["own"]["state"] == "done" and posted["own"]["id"] == own["id"], posted
        assert deal["status"] == "In sync" and not deal["problem"], deal
        for card in theirs:
            # The answer's, or the list's: whichever told of it first.
            known = posted["connected"]
            assert known["state"] == "sent" or known["state"] == "done" and known["id"] == card["id"], posted

    def posted(self):
        rows = self.world.server.sql("SELECT posted FROM deal WHERE record_id = ?", self.id)
        return json.loads(rows[0]["posted"] or "{}") if rows else {}

    def once(self):
        own, theirs = self.cards
        assert len(own) <= 1 and len(theirs) <= 1, "made twice: %s %s" % ([r["id"] for r in own], [r["id"] for r in theirs])

    def told(self):
        rows = self.world.server.sql("SELECT * FROM deal WHERE record_id = ?", self.id)
        return rows and {name: rows[0].get(name) for name in ("state", "status", "problem", "posted")}


def tick(world, seconds):
    """An hour is an hour for everybody."""
    world.server.clock(advance=seconds)
    world.partner.post("clock", {"advance": seconds})
    world.crm.post("clock", {"advance": seconds})


def complete(world, deals, minutes=240):
    """Lets time go by until all is done; POSTs that have no answer are looked for 5, 15 and 60 minutes later."""
    passed = [-2]

    def check():
        try:
            return all(deal.is_done() for deal in deals)
        except AssertionError:
            for deal in deals:
                deal.once()
            if passed[0] < minutes:
                step = 1 if passed[0] < 0 else 2 if passed[0] < 10 else 10
                passed[0] += step
                if passed[0] > 0:
                    tick(world, step * 60)
            raise
    try:
        wait_for(check, 60, "the deals %s to be made" % [d.kind for d in deals], every=1.1)
    finally:
        for deal in deals:
            deal.once()
    settle(world)


def settle(world):
    """Until no look is left. A notice of what the list does not show yet is looked at again until it does."""
    wait_for(lambda: world.outstanding("state = 0") == 0 or tick(world, 600), 40, "every look to be settled; left: %s" % world.works()[:3], every=1.1)


def stays(world, deals):
    """Two hours later nothing has been made or changed any more."""
    since = world.partner.last_request()
    for _ in range(4):
        polls = world.partner.last_request()
        tick(world, 1800)
        if world.told:
            wait_for(lambda: world.partner.last_request() > polls, 10, "a poll of the list")
        wait_for(lambda: not world.server.count("deal", "next_look BETWEEN 1 AND ?", int((time.time() + world.server.offset) * 1e6)), 10,
                 "the looks that are due")
    settle(world)
    for deal in deals:
        assert deal.is_done()
        deal.is_known()
    assert world.partner.writes(since) == []


def restart(world, **env):
    if world.server.processes():
        world.server.kill_all()
    world.server.env.pop("COSELL_TEST_CRASH", None)
    world.server.env.update(env)
    world.start()


def make(world, kinds):
    return [Deal(world, kind) for kind in kinds]


def ready(world, kinds):
    deals = make(world, kinds)
    complete(world, deals)
    return deals


def crash_held(world, call, spec, begin):
    """Dies while Partner Center holds this call; begin() brings the call about."""
    world.server.log.announce(*KILLED)
    world.partner.fault(**CALLS[call], **spec)
    deals = begin()
    wait_for(world.partner.held, 30, "%s to be held; %s" % (call, [d.told() for d in deals]))
    world.server.kill_all()
    world.partner.remove_faults()
    world.server.start()
    return deals


def crash_at(world, point, begin, which, passage=1):
    """Dies at the nth passage through a point between two calls; `which` call it is about, None = a change."""
    world.server.log.announce(*KILLED)
    world.partner.post("options", {"DeliverPause": True})  # so that nobody else tells what was made
    restart(world, COSELL_TEST_CRASH="%s:%d" % (point, passage))
    seen = wait_for(world.server.runner)
    deals = begin()
    wait_for(lambda: world.server.runner() != seen, 30, "the runner to die at %s; %s" % (point, [d.told() for d in deals]))
    if which:
        assert POINTS[point] in [(len(deal.cards[which == "connected"]), deal.posted().get(which, {}).get("state")) for deal in deals]
    restart(world)
    world.partner.post("options", {"DeliverPause": False})
    return deals


def calls(world, call, since):
    """How often this call reached Partner Center."""
    matcher = CALLS[call]
    return len([r for r in world.partner.requests(matcher["path"], matcher["method"], since) if re.search(matcher["match"], r["body"] or "")])


# Creation


@pytest.mark.parametrize("deal", list(KINDS))
def test_each_kind_is_made_once(world, deal):
    deals = ready(world, [deal])
    own, theirs = deals[0].cards
    assert (own[0]["status"], own[0]["substatus"], own[0]["qualification"]) == ("Active", "Accepted", "SalesQualified")
    assert own[0]["name"] == deals[0].row["name"] and own[0]["details"]["dealValue"] == 50000
    assert own[0]["customerProfile"]["team"][0]["firstName"] == "Ada"
    assert [s["id"] for s in own[0]["details"]["requirements"]["solutions"]] == ["SOL-24100-GWB"]
    if theirs:
        assert theirs[0]["inviteContext"]["assistanceRequestCode"] == "GeneralOrOther"
    stays(world, deals)


@pytest.mark.parametrize("fault", list(LOST))
@pytest.mark.parametrize("call", ["own", "connected"])
def test_lost_answers_make_nothing_twice(world, call, fault):
    since, kinds = world.partner.last_request(), list(KINDS) if call == "own" else ["co-sell"]
    world.partner.fault(**CALLS[call], fault=fault, times=len(kinds), **LOST[fault])
    deals = ready(world, kinds)
    stays(world, deals)
    assert calls(world, call, since) == len(kinds) * (1 if fault in CARRIED_OUT else 2)


@pytest.mark.parametrize("fault", ["drop-after-commit", "reset-before"])
@pytest.mark.parametrize("call", ["own", "connected"])
def test_searching_alone_finds_what_was_made(alone, call, fault):
    test_lost_answers_make_nothing_twice(alone, call, fault)


@pytest.mark.parametrize("point", list(POINTS))
def test_searching_alone_after_a_death(alone, point):
    test_dying_between_calls_makes_nothing_twice(alone, "co-sell", point)


@pytest.mark.parametrize("when", list(HELD))
@pytest.mark.parametrize("call", ["own", "connected"])
def test_dying_during_a_call_makes_nothing_twice(world, call, when):
    deals = crash_held(world, call, HELD[when], lambda: make(world, KINDS if call == "own" else ["co-sell"]))
    complete(world, deals)
    stays(world, deals)


@pytest.mark.parametrize("point", list(POINTS))
@pytest.mark.parametrize("deal", list(KINDS))
def test_dying_between_calls_makes_nothing_twice(world, deal, point):
    deals = crash_at(world, point, lambda: make(world, [deal]), "own")
    complete(world, deals)
    stays(world, deals)


@pytest.mark.parametrize("point", list(POINTS))
def test_dying_around_the_connected_call_makes_nothing_twice(world, point):
    """The second passage of a process through the point is that of Microsoft's referral."""
    deals = crash_at(world, point, lambda: make(world, ["co-sell"]), "connected", passage=2)
    complete(world, deals)
    stays(world, deals)


def test_dying_while_the_record_is_told(world):
    """The referral is known, its id not yet in the record."""
    world.server.log.announce(*KILLED)
    for when in ("before", "after"):
        world.crm.fault(method="PATCH", path=world.crm.row_path("opportunities"), match=world.crm.column("opportunities", "msft_referralidentifier"), fault="hold",
                        when=when)
        deals = make(world, KINDS)
        wait_for(world.crm.held, 30, "the record's update to be held")
        world.server.kill_all()
        world.crm.remove_faults()
        world.server.start()
        complete(world, deals)
        stays(world, deals)


# Upgrades


@pytest.mark.parametrize("before, after", UPGRADES)
def test_each_upgrade_is_made_once(world, before, after):
    deals = ready(world, [before])
    deals[0].upgrade(after)
    complete(world, deals)
    stays(world, deals)


def upgrading(world):
    return ready(world, [before for before, _ in UPGRADES])


def begin_upgrades(deals):
    for deal, (_, after) in zip(deals, UPGRADES):
        deal.upgrade(after)
    return deals


@pytest.mark.parametrize("fault", list(LOST))
@pytest.mark.parametrize("call", ["share", "connected"])
def test_lost_answers_of_upgrades_make_nothing_twice(world, call, fault):
    deals = upgrading(world)
    since = world.partner.last_request()
    world.partner.fault(**CALLS[call], fault=fault, times=2, **LOST[fault])
    begin_upgrades(deals)
    complete(world, deals)
    stays(world, deals)
    # A change that was carried out is found by reading; one that was not is sent again. A referral is searched for.
    assert calls(world, call, since) == 2 * (1 if fault in CARRIED_OUT else 2)


@pytest.mark.parametrize("when", list(HELD))
@pytest.mark.parametrize("call", ["share", "connected"])
def test_dying_during_an_upgrade_makes_nothing_twice(world, call, when):
    deals = upgrading(world)
    crash_held(world, call, HELD[when], lambda: begin_upgrades(deals))
    complete(world, deals)
    stays(world, deals)


@pytest.mark.parametrize("point", ["patch-sent", *POINTS])
def test_dying_between_the_calls_of_an_upgrade_makes_nothing_twice(world, point):
    deals = upgrading(world)
    crash_at(world, point, lambda: begin_upgrades(deals), "connected" if point in POINTS else None)
    complete(world, deals)
    stays(world, deals)
