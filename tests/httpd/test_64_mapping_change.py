"""A changed mapping over five hundred deals: what `introduce` says, no more; and a wrong one stops before it has done harm.

The tests run in this order over the same deals; each brings a line or a zone of its own.
"""

import base64
import hashlib
import json
import re
import urllib.request

import pytest

from harness import Event, storm, wait_for
from harness.paths import apxs
from harness.world import DEAD

CRMS = ("dynamics365", "salesforce")
LONG = 30
DEALS = 500
MOST = DEALS * 5 // 100
ADMIN = "/cosell-admin"


def may_release(server):
    """A place where alice may release brakes."""
    directory = apxs("LIBEXECDIR")
    server.globals_ += ["<IfModule !%s>\n  LoadModule %s %s/mod_%s.so\n</IfModule>" % (name + "_module", name + "_module", directory, name)
                        for name in ("authn_core", "authn_file", "auth_basic", "authz_core", "authz_user")]
    users = server.write("conf/users", "alice:{SHA}%s\n" % base64.b64encode(hashlib.sha1(b"wonder").digest()).decode())
    server.locations += ['<Location "%s">' % ADMIN, "  SetHandler cosell-admin", "  AuthType Basic", '  AuthName "cosell"',
                         "  AuthUserFile " + users, "  Require valid-user", "</Location>"]


@pytest.fixture(scope="module")
def world(world_of):
    world = world_of("introduce")
    may_release(world.server)
    world.crm.columns("opportunity", **{"acme_" + name: ("text", {"max": 100}) for name in ("Kept", "Filled", "Region")})
    world.start().ready()
    world.referrals = [world.partner.refer("Introduced %03d" % n, status="Active", substatus="Accepted", campaignId="Region %d" % (n % 3))
                       for n in range(DEALS)]
    events = [(n, world.raw(Event("referral-created", r["id"], changed=r["updatedDateTime"]))) for n, r in enumerate(world.referrals)]
    assert {r.status for r in storm(world.server.webhook, events, 16)} == {200}
    world.settled(120)
    world.ids = {r["name"]: r["opportunityid"] for r in world.crm.rows("opportunities") if r["name"].startswith("Introduced")}
    assert len(world.ids) == DEALS
    # Every tenth has values that a seller typed.
    for n in range(0, DEALS, 10):
        world.crm.edit("opportunities", world.ids["Introduced %03d" % n], {"acme_kept": "typed", "acme_filled": "typed", "acme_region": "typed"})
    return world


def change_mapping(world, change, revision):
    world.former = {row["mapping"] for row in world.server.sql("SELECT DISTINCT mapping FROM deal")}

    def edit(document):
        document["revision"] = revision
        change(document["records"]["opportunity"]["lines"])
    world.edit_mapping(edit)
    world.server.graceful()


def column(world, name):
    """The column in every deal's record, in the order of the deals."""
    rows = {row["opportunityid"]: row for row in world.crm.rows("opportunities")}
    return [rows[world.ids["Introduced %03d" % n]][name] for n in range(DEALS)]


def written(world, since):
    """Records that were written."""
    return {r["path"] for r in world.crm.writes(since) if re.search(world.crm.row_path("opportunities"), r["path"])}


def looked_at(world):
    """Every deal was looked at under the changed mapping, and nothing is left to do."""
    digests = {row["mapping"] for row in world.server.sql("SELECT DISTINCT mapping FROM deal")}
    return len(digests) == 1 and digests.isdisjoint(world.former) and not world.outstanding("state <> %d" % DEAD)


def braked(world):
    return world.server.sql("SELECT * FROM suspended WHERE upstream = 'brake:mapping'")


def release(world):
    request = urllib.request.Request(world.server.base + ADMIN, json.dumps({"do": "release", "site": world.name, "brake": "mapping"}).encode(), {
        "Content-Type": "application/json", "X-Cosell-Request": "1",
        "Authorization": "Basic " + base64.b64encode(b"alice:wonder").decode()})
    with urllib.request.urlopen(request, timeout=10) as reply:
        assert reply.status == 202, reply.read()


def text_line(column, **members):
    return {"pc": "/campaignId", "crm": column, "direction": "to_crm", **members}


def test_keep_writes_nothing(world):
    since = world.crm.last_request()
    before = column(world, "acme_kept")
    change_mapping(world, lambda lines: lines.update(kept=text_line("acme_kept", introduce="keep")), "kept")
    wait_for(lambda: looked_at(world), 120, "every deal to be looked at again")
    assert world.crm.writes(since) == []
    assert column(world, "acme_kept") == before == ["typed" if n % 10 == 0 else None for n in range(DEALS)]
    # The next movement at Partner Center travels all the same.
    world.partner.edit(world.referrals[3]["id"], {"campaignId": "moved"})
    world.looked(world.referrals[3])
    assert world.record(world.referrals[3])["acme_kept"] == "moved"
    world.partner.edit(world.referrals[3]["id"], {"campaignId": "Region 0"})
    world.looked(world.referrals[3])


def test_brake_and_corrected_mapping(world):
    """More deals than the brake allows would change: it stops before 5 % are touched, and says why; another mapping takes it off."""
    world.server.log.announce("CS2005.*brake:mapping")
    since = world.crm.last_request()
    change_mapping(world, lambda lines: lines.update(region=text_line("acme_region", introduce="partner-center")), "wrong")
    why = wait_for(lambda: braked(world), 120, "the brake")[0]
    assert len(written(world, since)) <= MOST
    assert re.search(r"revision wrong.*at least \d+ of 500 deals.*region", why["detail"]), why
    # Deals' own notices are not held up by it.
    world.partner.edit(world.referrals[7]["id"], {"details": {"notes": "by notice"}})
    world.notify(world.referrals[7])
    wait_for(lambda: world.record(world.referrals[7])["description"] == "by notice", 20, "the note of a deal that moved by itself")
    assert braked(world)
    change_mapping(world, lambda lines: lines.pop("region"), "corrected")
    wait_for(lambda: not braked(world) and looked_at(world), 120, "the brake to be off")
    assert len(written(world, since)) <= MOST + 1
    assert sum(value not in (None, "typed") for value in column(world, "acme_region")) <= MOST + 1


def test_fill_empty_released(world):
    """The default: what is empty is filled, what a seller typed stays; five hundred at once want a person's word."""
    world.server.log.announce("CS2005.*brake:mapping")
    since = world.crm.last_request()
    change_mapping(world, lambda lines: lines.update(filled=text_line("acme_filled")), "filled")
    wait_for(lambda: braked(world), 120, "the brake")
    assert len(written(world, since)) <= MOST
    release(world)
    wait_for(lambda: not braked(world) and looked_at(world), 120, "the rest")
    assert column(world, "acme_filled") == ["typed" if n % 10 == 0 else "Region %d" % (n % 3) for n in range(DEALS)]


def dates(world):
    return column(world, "estimatedclosedate")


def test_changed_zone_is_no_edit(world):
    """Noon in London is tomorrow at +14:00. By default nobody's date is replaced for that; what is told may trip the brake."""
    world.server.log.announce("CS2005.*brake:mapping")
    assert set(dates(world)) == {"2027-03-31"}
    change_mapping(world, lambda lines: lines["close"].update(zone="+14:00"), "zone")
    wait_for(lambda: braked(world) or looked_at(world), 120, "every deal to be looked at again, or the brake")
    if braked(world):
        release(world)
        wait_for(lambda: not braked(world) and looked_at(world), 120, "the rest")
    assert set(dates(world)) == {"2027-03-31"}


def test_changed_zone_on_purpose(world):
    """It is tomorrow at +13:00, too. `introduce` says whose date counts: it stops before 5 % are touched and, released, every deal has the new date."""
    world.server.log.announce("CS2005.*brake:mapping")
    since = world.crm.last_request()
    change_mapping(world, lambda lines: lines["close"].update(zone="+13:00", introduce="partner-center"), "zone on purpose")
    why = wait_for(lambda: braked(world), 120, "the brake")[0]
    assert len(written(world, since)) <= MOST and sum(date != "2027-03-31" for date in dates(world)) <= MOST
    assert "close" in why["detail"], why
    release(world)
    wait_for(lambda: not braked(world) and looked_at(world), 120, "the rest")
    assert dates(world) == ["2027-04-01"] * DEALS
