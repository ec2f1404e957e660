"""The webhook's registration: registered, given back, tested, watched; nothing foreign is taken without being told."""

import base64
import hashlib
import json
import urllib.error
import urllib.request

import pytest

from harness import wait_for
from harness.paths import apxs
from harness.server import STATUS

CRMS = ("dynamics365",)
ADMIN = "/cosell-admin"
GOOD = {"Content-Type": "application/json", "X-Cosell-Request": "1", "Authorization": "Basic " + base64.b64encode(b"alice:wonder").decode()}
REFERRALS = ["referral-created", "referral-updated", "related-referral-created", "related-referral-updated"]
DEFAULT = ["test-created", *REFERRALS]
FOREIGN = {"WebhookUrl": "https://flow.example/hook?sig=topsecret", "WebhookEvents": ["referral-created", "invoice-ready"], "SignatureTokenToMsSignatureHeader": False}
OVER = ("done", "failed", "cancelled")
EVERY = 60  # more than a period of the watch


@pytest.fixture(scope="module")
def started(world_of):
    world = world_of("webhook")
    server = world.server
    directory = apxs("LIBEXECDIR")
    server.globals_ += ["<IfModule !%s>\n  LoadModule %s %s/mod_%s.so\n</IfModule>" % (name + "_module", name + "_module", directory, name)
                        for name in ("authn_core", "authn_file", "auth_basic", "authz_core", "authz_user")]
    users = server.write("conf/users", "alice:{SHA}%s\n" % base64.b64encode(hashlib.sha1(b"wonder").digest()).decode())
    server.locations += ['<Location "%s">' % ADMIN, "  SetHandler cosell-admin", "  AuthType Basic", '  AuthName "cosell"',
                         "  AuthUserFile " + users, "  Require valid-user", "</Location>"]
    return world.start().ready()


@pytest.fixture
def world(started):
    """As it was never registered, and Partner Center's test events of the last minute are forgotten."""
    started.server.log.announce("CS2320", "CS2321")
    started.partner.remove_faults()
    started.partner.post("tokens", {"role": "referrals-admin", "mfa": True, "revoke": "access"})
    started.partner.delete("registration")
    started.partner.post("clock", {"advance": 61})
    if (fact(started) or {}).get("saved"):
        done(started, action="restore")
        started.partner.delete("registration")
    done(started, action="register")
    started.partner.delete("registration")
    return started


def wish(world, **document):
    request = urllib.request.Request(world.server.base + ADMIN, json.dumps({"do": "webhook", "site": "contoso", **document}).encode(), GOOD)
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:
            return reply.status, json.loads(reply.read())
    except urllib.error.HTTPError as refusal:
        return refusal.code, json.loads(refusal.read())


def job(world, identity):
    row = world.server.sql("SELECT * FROM job WHERE name = ?", identity)[0]
    for name in ("cursor", "progress", "result", "arguments"):
        row[name] = json.loads(row[name]) if row[name] else {}
    return row


def begin(world, **arguments):
    if arguments["action"] == "register":
        arguments.setdefault("url", world.server.webhook)
    status, answer = wish(world, **arguments)
    assert status == 202, answer
    return answer["job"]


def ended(world, identity, deadline=30):
    return wait_for(lambda: (lambda row: row if row["state"] in OVER else None)(job(world, identity)), deadline, "the job's end")


def run(world, deadline=30, **arguments):
    return ended(world, begin(world, **arguments), deadline)


def done(world, **arguments):
    row = run(world, **arguments)
    assert row["state"] == "done", row["result"]
    return row["result"]


def failed(world, **arguments):
    row = run(world, **arguments)
    assert row["state"] == "failed", row["result"]
    return row["result"]["error"]


def fact(world):
    rows = world.server.sql("SELECT text FROM meta WHERE name = 'webhook'")
    return json.loads(rows[0]["text"]) if rows else None


def registered(world):
    return world.partner.get("registration")


def journalled(world):
    return [row for row in world.server.sql("SELECT * FROM journal WHERE action = 'webhook' ORDER BY id")]


def watched(world, condition, what):
    """Until the watch has seen it; its period passes on the module's clock."""
    def check():
        if condition(fact(world) or {}):
            return True
        world.server.clock(advance=EVERY)
        return False
    wait_for(check, 30, what, every=1.5)


def everything_said(world):
    return world.server.log.text() + json.dumps(world.server.sql("SELECT * FROM meta") + world.server.sql("SELECT arguments, cursor, progress, result FROM job")
                                                + world.server.sql("SELECT why FROM journal"))


# What is asked for

@pytest.mark.parametrize("why, arguments", [
    ("action", {"action": "delete"}), ("action", {}), ("https", {"action": "register", "url": "http://hooks.example/x"}),
    ("https", {"action": "register", "url": "hooks.example"}), ("register", {"action": "show", "url": "https://hooks.example/x"}),
    ("events", {"action": "register", "events": []}), ("events", {"action": "register", "events": ["x y"]}),
    ("overwrite", {"action": "test", "overwrite": True}), ("surprise", {"action": "show", "surprise": "x"})])
def test_refused(started, why, arguments):
    status, answer = wish(started, **arguments)
    assert status == 400 and why in answer["error"]


def test_show_and_events(world):
    result = done(world, action="show")
    assert result["old"] is None and "nothing is registered" in result["text"]
    assert set(DEFAULT) < set(done(world, action="events")["events"])
    world.partner.post("registration", FOREIGN)
    result = done(world, action="show")
    assert result["new"] == {"url": "https://flow.example/hook...", "events": FOREIGN["WebhookEvents"]}


# Register

def test_register_where_nothing_is(world):
    before = len(journalled(world))
    result = done(world, action="register")
    assert result["old"] is None and result["new"] == {"url": world.server.webhook, "events": DEFAULT}
    there = registered(world)
    assert (there["webhookUrl"], there["webhookEvents"], there["signatureTokenToMsSignatureHeader"]) == (world.server.webhook, DEFAULT, True)
    line = journalled(world)[before:][-1]
    assert line["outcome"] == "done" and line["why"].endswith(" by alice") and "none -> " + world.server.webhook in line["why"]
    known = fact(world)
    assert (known["url"], known["events"]) == (world.server.webhook, DEFAULT) and "drift" not in known and "saved" not in known
    # once more: nothing is written
    mark = world.partner.last_request()
    assert "already" in done(world, action="register")["text"]
    assert [r for r in world.partner.writes(mark) if "/webhooks/" in r["path"]] == []


def test_address_of_this_host(world):
    """The only <Location> with the handler is where Partner Center is to call; what was said once stays."""
    world.partner.post("registration", FOREIGN)
    done(world, action="register", overwrite=True)
    done(world, action="restore")
    world.partner.delete("registration")
    for told in (world.server.webhook, world.server.base + "/told"):
        row = ended(world, wish(world, action="register")[1]["job"])
        assert row["state"] == "done" and row["result"]["new"]["url"] == registered(world)["webhookUrl"] == told, row["result"]
        done(world, action="register", url=world.server.base + "/told")


def test_events_are_added_and_others_stay(world):
    world.partner.post("registration", {"WebhookUrl": world.server.webhook, "WebhookEvents": ["invoice-ready", "referral-created"],
                                        "SignatureTokenToMsSignatureHeader": False})
    result = done(world, action="register")
    assert result["old"]["events"] == ["invoice-ready", "referral-created"]
    assert set(registered(world)["webhookEvents"]) == {*DEFAULT, "invoice-ready"}
    assert registered(world)["signatureTokenToMsSignatureHeader"] is True
    assert fact(world)["events"] == DEFAULT
    done(world, action="register", events=["subscription-updated"])
    assert set(registered(world)["webhookEvents"]) == {*DEFAULT, "invoice-ready", "subscription-updated"}
    error = failed(world, action="register", events=["no-such-event"])
    assert "no-such-event" in error


def test_ours_may_move(world):
    done(world, action="register", url=world.server.base + "/old-place")
    result = done(world, action="register")
    assert result["old"]["url"] == world.server.base + "/old-place" and registered(world)["webhookUrl"] == world.server.webhook
    assert "saved" not in fact(world)


def test_what_lets_callers_in_is_not_shown(world):
    done(world, action="register", url=world.server.base + "/old-place?key=hunter2")
    assert registered(world)["webhookUrl"].endswith("?key=hunter2")
    for page in ("?jobs", "?format=html&jobs", "", "?journal=100"):
        seen = world.server.get(STATUS + page)
        assert seen.status == 200 and b"/old-place" in seen.body and b"hunter2" not in seen.body, page
    assert not world.server.log.matching("hunter2")
    done(world, action="register")


def test_foreign_is_not_taken(world):
    world.partner.post("registration", FOREIGN)
    mark = world.partner.last_request()
    error = failed(world, action="register")
    assert "https://flow.example/hook..." in error and "overwrite" in error
    assert [r for r in world.partner.writes(mark) if "/webhooks/" in r["path"]] == []
    assert registered(world)["webhookUrl"] == FOREIGN["WebhookUrl"]
    line = journalled(world)[-1]
    assert line["outcome"] == "refused" and line["why"].endswith("by alice")


def test_foreign_is_taken_when_told_and_given_back(world):
    world.partner.post("registration", FOREIGN)
    result = done(world, action="register", overwrite=True)
    assert result["old"] == {"url": "https://flow.example/hook...", "events": FOREIGN["WebhookEvents"]}
    there = registered(world)
    assert there["webhookUrl"] == world.server.webhook and set(there["webhookEvents"]) == {*DEFAULT, "invoice-ready"}
    assert fact(world)["saved"]["url"] == "https://flow.example/hook..."
    # registering again keeps what was saved
    done(world, action="register", events=["subscription-updated"])
    result = done(world, action="restore")
    there = registered(world)
    assert (there["webhookUrl"], there["webhookEvents"]) == (FOREIGN["WebhookUrl"], FOREIGN["WebhookEvents"])
    assert there["signatureTokenToMsSignatureHeader"] is False
    assert "given back" in result["text"] and result["new"]["url"] == "https://flow.example/hook..."
    known = fact(world)
    assert "url" not in known and "saved" not in known and "drift" not in known
    assert "nothing to give back" in failed(world, action="restore")
    assert "topsecret" not in everything_said(world)


def test_restore_takes_nothing_from_a_third(world):
    world.partner.post("registration", FOREIGN)
    done(world, action="register", overwrite=True)
    world.partner.post("registration", {**FOREIGN, "WebhookUrl": "https://third.example/x"})
    assert "https://third.example/x" in failed(world, action="restore")
    assert registered(world)["webhookUrl"] == "https://third.example/x"
    done(world, action="restore", overwrite=True)
    assert registered(world)["webhookUrl"] == FOREIGN["WebhookUrl"]


def test_a_role_is_missing(world):
    world.partner.post("tokens", {"role": "referrals-user", "revoke": "access"})
    error = failed(world, action="register")
    assert "Referrals admin" in error and "Admin agent" in error
    assert not [s for s in world.server.status()["sites"][0]["suspended"]], "looks need not wait for this"


@pytest.mark.parametrize("fault", ["reset-before", "reset-after", "status"])
def test_trouble_passes(world, fault):
    world.partner.fault(method="POST", path="/registration$", fault=fault, status=503, times=1)
    result = done(world, action="register")
    assert result["new"]["url"] == world.server.webhook and registered(world)["webhookUrl"] == world.server.webhook


# Test

def test_test_event_comes_in(world):
    done(world, action="register")
    before = world.server.count("delivery", "source = 'pc'")
    result = done(world, action="test")
    assert "x-ms-signature" in result["text"] and result["header"] == "x-ms-signature"
    sent = [d for d in world.partner.get("deliveries") if result["event"] in d["body"]]
    assert len(sent) == 1 and sent[0]["status"] == "delivered"
    assert world.server.count("delivery", "source = 'pc'") == before + 1 and fact(world)["delivered"]
    assert world.server.count("work", "kind NOT IN ('poll', 'sweep', 'registration watch')") == 0
    assert journalled(world)[-1]["why"].endswith("asked for by alice")


def test_test_names_the_header(world):
    world.partner.post("registration", {"WebhookUrl": world.server.webhook, "WebhookEvents": DEFAULT})
    assert done(world, action="test")["header"] == "Authorization"


def test_test_goes_astray(world):
    done(world, action="register", url=world.server.base + "/nobody")
    identity = begin(world, action="test")
    wait_for(lambda: "NotFound" in job(world, identity)["progress"].get("text", ""), 20, "Partner Center's view")
    world.server.clock(advance=200)
    row = ended(world, identity)
    assert row["state"] == "failed" and "NotFound" in row["result"]["error"] and "SetHandler cosell-webhook" in row["result"]["error"]
    assert journalled(world)[-1]["outcome"] == "failed"


def test_somebody_else_answers_well(world):
    """A page that takes anything: Partner Center is content, and we are not."""
    done(world, action="register", url=world.server.base + "/static.txt")
    identity = begin(world, action="test")
    world.advanced(lambda: job(world, identity)["state"] in OVER, step=6, what="the job's end")
    row = job(world, identity)
    assert row["state"] == "failed" and "which is not this server" in row["result"]["error"]


def test_test_needs_a_registration(world):
    assert "nothing is registered" in failed(world, action="test")
    world.partner.post("registration", {"WebhookUrl": world.server.webhook, "WebhookEvents": ["referral-created"]})
    assert "test-created is not registered" in failed(world, action="test")


def test_two_tests_a_minute(world):
    done(world, action="register")
    for _ in range(2):
        done(world, action="test")
    identity = begin(world, action="test")
    waits = wait_for(lambda: job(world, identity)["progress"].get("waits"), 15, "the limit to be met")
    assert "two test events a minute" in waits
    world.partner.post("clock", {"advance": 62})
    world.server.clock(advance=62)
    assert ended(world, identity)["state"] == "done"


# The watch

def test_take_over_is_noticed(world):
    done(world, action="register")
    world.partner.post("registration", FOREIGN)
    watched(world, lambda f: "taken over" in f.get("drift", ""), "the take-over to be noticed")
    known = fact(world)
    assert "https://flow.example/hook..." in known["drift"] and world.server.webhook in known["drift"]
    assert known["found"]["url"] == "https://flow.example/hook..." and registered(world)["webhookUrl"] == FOREIGN["WebhookUrl"]
    assert len(world.server.log.matching("CS2320")) == 1
    assert "taken over" in journalled(world)[-1]["why"]
    # the same person puts it right
    done(world, action="register", overwrite=True)
    assert "drift" not in fact(world) and "as it should be again" in "".join(row["why"] for row in journalled(world)[-2:])
    assert "topsecret" not in everything_said(world)


def test_missing_events_and_nothing_left(world):
    done(world, action="register")
    world.partner.post("registration", {"WebhookUrl": world.server.webhook, "WebhookEvents": DEFAULT[:3]})
    watched(world, lambda f: "related-referral-created, related-referral-updated" in f.get("drift", ""), "missing events to be noticed")
    world.partner.delete("registration")
    watched(world, lambda f: "nothing is registered any more" in f.get("drift", ""), "the registration to be missed")
    assert fact(world)["found"] is None
    world.partner.post("registration", {"WebhookUrl": world.server.webhook, "WebhookEvents": DEFAULT})
    watched(world, lambda f: "drift" not in f, "it to be as it was")


def test_never_registered_is_no_drift(world):
    world.partner.post("registration", FOREIGN)
    done(world, action="register", overwrite=True)
    done(world, action="restore")
    world.partner.delete("registration")
    watched(world, lambda f: f.get("found", 1) is None, "the watch to see nothing")
    assert "drift" not in fact(world)


def test_what_cannot_be_read(world):
    done(world, action="register")
    world.partner.post("tokens", {"role": "referrals-user", "revoke": "access"})
    watched(world, lambda f: "Referrals admin" in f.get("trouble", ""), "the trouble to be noticed")
    row = world.server.sql("SELECT * FROM work WHERE kind = 'registration watch'")[0]
    assert "Referrals admin" in row["detail"] and not world.server.status()["sites"][0]["suspended"]
    world.partner.post("tokens", {"role": "referrals-admin", "revoke": "access"})
    watched(world, lambda f: "trouble" not in f, "it to be read again")


def test_watch_is_one_small_request(world):
    """While nothing is wrong nothing is journalled, and nothing else is asked for."""
    done(world, action="register")
    lines, read = len(journalled(world)), fact(world)["read"]
    mark = world.partner.last_request()
    watched(world, lambda f: f["read"] > read, "the watch's turn")
    asked = [r for r in world.partner.requests(since=mark) if "/webhooks/" in r["path"]]
    assert {(r["method"], r["path"]) for r in asked} == {("GET", "/webhooks/v1/registration")}
    assert len(journalled(world)) == lines


def test_watch_goes_on_while_paused(world):
    done(world, action="register")
    assert wish(world, do="pause")[0] == 202
    try:
        world.partner.post("registration", FOREIGN)
        watched(world, lambda f: "taken over" in f.get("drift", ""), "the take-over to be noticed")
    finally:
        assert wish(world, do="resume")[0] == 202
