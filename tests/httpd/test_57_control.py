"""cosell-admin: who may, and a brake that a person releases; what the status page says about it."""

import base64
import json
import os
import re
import sqlite3
import time
import urllib.error
import urllib.request

import pytest

from harness import wait_for
from harness.paths import apxs

CRMS = ("dynamics365", "salesforce")
ADMIN = "/cosell-admin"
GOOD = {"Content-Type": "application/json", "X-Cosell-Request": "1", "Authorization": "Basic " + base64.b64encode(b"alice:wonder").decode()}
DEALS = 24  # more than a brake lets through


@pytest.fixture(scope="module")
def world(world_of):
    world = world_of("control")
    server = world.server
    directory = apxs("LIBEXECDIR")
    server.globals_ += ["<IfModule !%s>\n  LoadModule %s %s/mod_%s.so\n</IfModule>" % (name + "_module", name + "_module", directory, name)
                        for name in ("authn_core", "authn_file", "auth_basic", "authz_core", "authz_user")]
    users = server.write("conf/users", "alice:{SHA}%s\n" % base64.b64encode(__import__("hashlib").sha1(b"wonder").digest()).decode())
    server.locations += ['<Location "%s">' % ADMIN, "  SetHandler cosell-admin", "  AuthType Basic", '  AuthName "cosell"',
                         "  AuthUserFile " + users, "  Require valid-user", "</Location>",
                         '<Location "/open-admin">', "  SetHandler cosell-admin", "</Location>"]
    return world.start().ready()


def ask(world, document, path=ADMIN, method="POST", **headers):
    """Status and answer; a header of None is left out."""
    chosen = dict(GOOD)
    for name, value in headers.items():
        chosen[name.replace("_", "-")] = value
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    request = urllib.request.Request("http://127.0.0.1:%d%s" % (world.server.port, path), body, {n: v for n, v in chosen.items() if v is not None},
                                     method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:
            return reply.status, json.loads(reply.read())
    except urllib.error.HTTPError as refusal:
        text = refusal.read()
        return refusal.code, json.loads(text) if refusal.headers.get_content_type() == "application/json" else text


RELEASE = {"do": "release", "site": "contoso", "brake": "mapping"}


@pytest.mark.parametrize("why,status,said,arguments", [
    ("another method", 405, "GET, HEAD and POST", {"method": "PUT"}),
    ("a form", 415, "application/json", {"Content_Type": "text/plain"}),
    ("no mark", 403, "X-Cosell-Request", {"X_Cosell_Request": None}),
    ("another page", 403, "origin", {"Origin": "https://evil.example"}),
    ("a sandboxed page", 403, "origin", {"Origin": "null"}),
    ("another site's fetch", 403, "origin", {"Sec_Fetch_Site": "cross-site"}),
    ("no user", 401, None, {"Authorization": None}),
    ("a place without sign-in", 403, "Require", {"path": "/open-admin"}),
    ("scope of the main server", 403, "not this host's", {"path": ADMIN + "?scope=all", "document": dict(RELEASE, site="fabrikam")}),
    ("another site", 403, "not this host's", {"document": dict(RELEASE, site="fabrikam")}),
    ("no JSON", 400, None, {"document": b"release"}),
    ("a list", 400, "object", {"document": []}),
    ("another verb", 400, "allowed are ", {"document": dict(RELEASE, do="brew")}),
    ("a stranger member", 400, "surprise", {"document": dict(RELEASE, surprise="x")}),
    ("no brake", 400, "brake", {"document": {"do": "release", "site": "contoso"}}),
    ("too much", 413, "8192", {"document": b" " * 9000}),
    ("a brake that is not on", 404, "is not on; none is", {}),
    ("the status page's name of it", 404, 'the brake "mapping" of', {"document": dict(RELEASE, brake="brake:mapping")}),
])
def test_refused(world, why, status, said, arguments):
    given = dict(arguments)
    got, answer = ask(world, given.pop("document", RELEASE), **given)
    assert got == status, (why, answer)
    if said:
        assert said in answer["error"], answer


def test_own_page_is_no_stranger(world):
    assert ask(world, RELEASE, Origin="http://127.0.0.1:%d" % world.server.port)[0] == 404


def test_status_page_wants_a_number(world):
    for query, status in (("journal=abc", 400), ("journal=-1", 400), ("journal=5", 200), ("journal", 200)):
        reply = world.server.get("/cosell-status?" + query)
        assert reply.status == status, query
    assert b"1 to 1000" in world.server.get("/cosell-status?journal=abc").body


def test_database_is_the_owners_alone(world):
    for name in ("cosell.db", "cosell.db-wal", "cosell.db-shm"):
        assert os.stat(os.path.join(world.server.state, name)).st_mode & 0o777 == 0o600, name


def site(world):
    return world.server.status()["sites"][0]


def test_wrong_mapping_is_stopped_and_released(world):
    """A line that would change every deal: nothing is written until a person says so."""
    world.server.log.announce("CS2005")
    referrals = [world.refer() for _ in range(DEALS)]
    for referral in referrals:
        world.notify(referral)
    wait_for(lambda: all(world.record(referral) for referral in referrals), 60, "the opportunities")
    wait_for(lambda: site(world)["lane"]["outstanding"] == 0, 60, "rest")
    # Rows that Salesforce has just written are written 2 seconds later, and these looks are to be together.
    world.crm.post("clock", {"advance": 5})
    version, extra = ("SystemModstamp", "NextStep") if world.kind == "salesforce" else ("versionnumber", "proposedsolution")
    before = {referral["id"]: world.record(referral)[version] for referral in referrals}

    def add_line(document):
        document["revision"] = "wrong"
        document["records"]["opportunity"]["lines"]["extra"] = {
            "pc": "/customerProfile/name", "crm": extra, "type": "text", "max": 100, "direction": "to_crm", "introduce": "partner-center"}
    world.edit_mapping(add_line)
    world.server.graceful()
    brake = wait_for(lambda: [s for s in site(world)["suspended"] if s["upstream"] == "brake:mapping"], 60, "the brake")[0]
    assert re.search(r"revision wrong.*%d of \d+ deals.*extra \(%d\)" % (DEALS, DEALS), brake["detail"]), brake
    assert brake["probe"] is None
    assert {referral["id"]: world.record(referral)[version] for referral in referrals} == before
    ended = [line for line in world.server.log.text().splitlines() if "CS2041" in line and "revision wrong" in line]
    assert ended and len(ended) < DEALS / 2 and any(re.search(r"\d+ looks, that at deal:\d+ first, ended early", line) for line in ended), ended
    status, answer = ask(world, dict(RELEASE, brake="missing:dynamics"))
    assert status == 404 and answer["error"].endswith("is not on; on: mapping"), answer
    status, answer = ask(world, dict(RELEASE, brake=brake["upstream"]))
    assert (status, answer["accepted"], answer["brake"]) == (202, True, "mapping")
    wait_for(lambda: all(world.record(referral).get(extra) for referral in referrals), 60, "the line in every record")
    assert not site(world)["suspended"]
    journal = world.server.status(journal="200")["sites"][0]["journal"]
    assert [line["why"] for line in journal if line["action"] == "release"] == ['brake "mapping" released by alice']


def test_quarrel_of_one_deal_is_released_by_its_number(world):
    referral = world.refer()
    world.notify(referral)
    wait_for(lambda: world.record(referral), 30, "the opportunity")
    wait_for(lambda: site(world)["lane"]["outstanding"] == 0, 30, "rest")
    number = world.server.status(deal=referral["id"])["deal"]["id"]
    for brake in ("quarrel:%d" % number, "quarrel:", "quarrel:x", "quarrel:99999"):
        status, answer = ask(world, dict(RELEASE, brake=brake))
        assert status == 404 and "is not on" in answer["error"], (brake, answer)
    with sqlite3.connect(os.path.join(world.server.state, "cosell.db"), timeout=10) as database:  # as 12 writes against somebody leave it
        database.execute("UPDATE deal SET crossed=13, crossed_since=? WHERE id=?", (int(time.time() * 1000000) - 60000000, number))
    status, answer = ask(world, dict(RELEASE, brake="quarrel:%d" % number))
    assert (status, answer["accepted"], answer["brake"]) == (202, True, "quarrel:%d" % number)
    wait_for(lambda: ask(world, dict(RELEASE, brake="quarrel:%d" % number))[0] == 404, 30, "the release")
    journal = world.server.status(journal="200")["sites"][0]["journal"]
    assert 'brake "quarrel:%d" released by alice' % number in [line["why"] for line in journal if line["action"] == "release"]
