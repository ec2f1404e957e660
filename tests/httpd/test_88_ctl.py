"""cosellctl with a real server: every verb, what it prints, its exit code, and who may."""

import base64
import hashlib
import json
import os
import re
import signal
import subprocess

import pytest
import requests

from harness import wait_for
from harness.ctl import Ctl, read_until
from harness.paths import apxs
from harness.server import free_port

CRMS = ("dynamics365", "salesforce")
ADMIN = "/cosell-admin"


def modules(*names):
    return ["<IfModule !%s_module>\n  LoadModule %s_module %s/mod_%s.so\n</IfModule>" % (name, name, apxs("LIBEXECDIR"), name) for name in names]


@pytest.fixture(scope="module")
def world(world_of, pki):
    world = world_of("ctl")
    server = world.server
    server.globals_ += modules("authn_core", "authn_file", "auth_basic", "authz_core", "authz_user", "socache_shmcb", "ssl")
    users = server.write("conf/users", "alice:{SHA}%s\n" % base64.b64encode(hashlib.sha1(b"wonder").digest()).decode())
    admin = ['<Location "%s">' % ADMIN, "  SetHandler cosell-admin"]
    server.locations += [*admin, "  AuthType Basic", '  AuthName "cosell"', "  AuthUserFile " + users, "  Require valid-user", "</Location>",
                         '<Location "/nobody">', "  SetHandler cosell-admin", "</Location>"]
    # The same site over TLS, where a client certificate is the user. The CA has signed itself, and nobody else.
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=carol", "-keyout", server.path("conf/carol.key"),
                    "-out", server.path("conf/carol.pem")], check=True, stderr=subprocess.DEVNULL)
    world.tls = "https://127.0.0.1:%d%s" % (free_port(), ADMIN)
    port = world.tls.split(":")[2].split("/")[0]
    server.globals_.append("Listen 127.0.0.1:%s" % port)
    world.prepare = lambda: server.tail.extend([
        "<VirtualHost 127.0.0.1:%s>" % port, "  ServerName 127.0.0.1", "  SSLEngine on", "  SSLCertificateFile " + server.write("conf/server.pem", pki.read("server.pem").decode()),
        "  SSLCertificateKeyFile " + server.write("conf/server.key", pki.read("server.key").decode(), 0o600),
        "  SSLCACertificateFile " + server.path("conf/carol.pem"), *("  " + line for line in server.site), *admin,
        "  SSLVerifyClient require", "  SSLUserName SSL_CLIENT_S_DN_CN", "  Require valid-user", "</Location>", "</VirtualHost>"])
    world.prepare()
    return world.start().ready()


@pytest.fixture(scope="module")
def ctl(world):
    return Ctl(world.server.base + ADMIN)


@pytest.fixture(scope="module")
def referral(world, ctl):
    """A deal that rests."""
    referral = world.refer("Fabrikam \u2014 B\u00e4ckerei")
    world.looked(referral, deadline=60)
    wait_for(lambda: world.deal(referral)["state"] == "linked", 30, "the deal")
    return referral


def number(world, referral):
    return str(world.deal(referral)["id"])


# ---- looking ----

@pytest.mark.parametrize("line,texts", [
    ("status", ["Site contoso", "linked", "sales:", "accepts      yes"]),
    ("deals", ["linked", "Fabrikam \u2014 B\u00e4ckerei"]),
    ("deals --state linked --search fabrikam", ["Fabrikam"]),
    ("journal", ["create to the CRM, done"]),
    ("jobs", []),
    ("problems", []),
    ("dead list", []),
])
def test_pages(world, ctl, referral, line, texts):
    said = ctl(*line.split())
    for text in texts:
        assert text in said.out, said
    assert "\033" not in said.out
    document = ctl(*line.split(), "--json").json
    assert document["sites"][0]["site"] == "contoso"
    assert ctl(*line.split(), "--site", "contoso").out == ctl(*line.split()).out or line == "status"
    assert "there: contoso" in ctl(*line.split(), "--site", "other", status=5).err


def test_deals_that_are_not_there(world, ctl, referral):
    assert ctl("deals", "--state", "gone").out == ""
    assert "linked" in ctl("deals", "--state", "nonsense", status=3).err
    assert ctl("deals", "--search", "nobodyhasthisword").out == ""


def test_show(world, ctl, referral):
    for identity in (referral["id"], number(world, referral), world.deal(referral)["record_id"], referral["engagementId"]):
        said = ctl("show", identity)
        for text in ("Deal %s  Fabrikam \u2014 B\u00e4ckerei" % number(world, referral), "state         linked", "Lines, read now", "50000.00 USD",
                     "both sides are as the rules want them", "History"):
            assert text in said.out, (text, said)
    document = ctl("show", referral["id"], "--json").json
    assert document["job"]["result"]["deal"]["referral"] == referral["id"] and document["job"]["user"] == "alice"
    said = ctl("show", referral["id"], "--offline")
    assert "Lines, at the last look" in said.out or "What each side showed last" in said.out
    assert ctl("show", referral["id"], "--offline", "--json").json["deal"]["referral"] == referral["id"]
    assert ctl("show", "999999", status=5).err and ctl("show", "999999", "--offline", status=5).err


def test_show_before_and_after_a_change(world, ctl):
    """What a look would do is said, and not done."""
    referral = world.refer()
    world.looked(referral, deadline=60)
    if world.kind == "salesforce":
        world.crm.post("clock", {"advance": 5})
    world.partner.edit(referral["id"], {"details": {"notes": "Changed while nobody looked"}})
    said = ctl("show", referral["id"]).out
    assert "to crm" in said and "Changed while nobody looked" in said and "What a look would do now" in said and "1. update" in said
    said = ctl("resync", "--id", referral["id"], "--dry-run").out
    assert "+ Changed while nobody looked" in said and "- Notes" in said and "nothing was written" in said
    assert world.record(referral)["description"] != "Changed while nobody looked"
    ctl("look", referral["id"])
    wait_for(lambda: world.record(referral)["description"] == "Changed while nobody looked", 30, "the change")


def test_pause(world, ctl):
    ctl("pause", "--why", "a test looks")
    try:
        assert "by alice" in ctl("status").out and "a test looks" in ctl("status").out
        assert "paused by alice" in ctl.run("doctor").out
    finally:
        ctl("resume")
    wait_for(lambda: "paused" not in ctl("status").out, 90, "the end of its alert")


def test_journal_goes_on(world, ctl, referral):
    process = ctl.start("journal", "-f", "-n", "1", "--deal", referral["id"])
    read_until(process.stdout, "done")
    if world.kind == "salesforce":
        world.crm.post("clock", {"advance": 5})
    world.partner.edit(referral["id"], {"details": {"notes": "Followed"}})
    world.notify(referral)
    assert "to the CRM" in read_until(process.stdout, "Followed")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)
    assert process.returncode == -signal.SIGINT
    process = ctl.start("journal", "-f", "-n", "2", "--json")
    lines = [json.loads(line) for line in read_until(process.stdout, "}\n").splitlines()]
    process.terminate()
    process.communicate(timeout=10)
    assert lines[0]["id"] < lines[-1]["id"]


# ---- deciding ----

def test_link_and_unlink(world, ctl):
    referral = world.refer()
    world.looked(referral, deadline=60)
    deal, record = number(world, referral), world.deal(referral)["record_id"]
    said = ctl("deals", "unlink", deal)
    assert said.out
    wait_for(lambda: world.deal(referral)["state"] != "linked", 20, "the deal alone")
    assert ctl("deals", "link", deal, "no-such-record", status=1).err
    ctl("deals", "link", deal, record)
    wait_for(lambda: world.deal(referral)["state"] == "linked" and world.deal(referral)["record_id"] == record, 30, "the two together")
    assert ctl("deals", "ignore", "999999", status=5).err
    assert ctl("deals", "resolve", deal, "name", "crm", status=1).err  # nothing is in conflict
    assert ctl("deals", "create", deal, status=1).err  # it has a record
    assert "waits for no choice" in ctl("deals", "choose", deal, "nothing", status=1).err


def test_ignore(world, ctl):
    referral = world.refer()
    world.looked(referral, deadline=60)
    assert "unlink" in ctl("deals", "ignore", number(world, referral), status=1).err  # it has a record
    ctl("deals", "unlink", number(world, referral))
    assert "ignored" in ctl("deals", "ignore", number(world, referral)).out
    said = ctl("journal", "--deal", number(world, referral)).out
    assert "ignored" in said and "by alice" in said
    assert world.deal(referral)["state"] != "linked"


def test_dead(world, ctl):
    """A look that the CRM refuses for good: listed, by cause, tried again, dropped."""
    world.server.log.announce("cosell:(warn|error)")
    path = "Opportunity" if world.kind == "salesforce" else "opportunities"
    fault = world.crm.fault(method="PATCH", path=path, fault="status", status=403, code="INSUFFICIENT_ACCESS" if world.kind == "salesforce" else "0x80048306")
    referral = world.refer()
    world.notify(referral)
    try:
        wait_for(lambda: world.server.count("work", "state != 0"), 60, "work that stands")
    finally:
        world.crm.remove_faults(fault)
    rows = ctl("dead", "list", "--json").json["sites"][0]["dead"]
    assert "permission set" in rows[0]["detail"] if world.kind == "salesforce" else "security role" in rows[0]["detail"]
    assert rows[0]["detail"].endswith(")") and " answered 403" in rows[0]["detail"].split(" (", 1)[1]
    assert len(rows) == 1 and rows[0]["name"] in ctl("dead", "list").out and "1 dead" in ctl("status").out
    cause = [cause for cause in ctl("problems", "--json").json["sites"][0]["causes"] if cause["dead"]][0]["cause"]
    assert rows[0]["name"] in ctl("dead", "list", "--cause", cause).out and ctl("dead", "list", "--cause", "another").out == ""
    assert "no such look" in ctl("dead", "retry", "--cause", "another").out
    world.crm.post("clock", {"advance": 5})
    ctl("dead", "retry", "--cause", cause)
    wait_for(lambda: world.record(referral), 60, "the record after all")
    wait_for(lambda: ctl("dead", "list").out == "", 20, "nothing dead")
    ctl("dead", "drop", "--all")
    ctl("dead", "retry", rows[0]["name"])


def test_release(world, ctl):
    said = ctl("release", "mapping", status=5)
    assert "is not on" in said.err


# ---- long work ----

def test_resync(world, ctl, referral):
    said = ctl("resync", "--all", "--dry-run")
    assert "nothing was written" in said.out
    document = ctl("resync", "--all", "--json").json
    assert document["job"]["state"] == "done" and document["job"]["kind"] == "resync" and document["job"]["result"]["looked"] >= 1
    identity = document["job"]["id"]
    assert re.search("^%s  resync all deals +done " % identity, ctl("jobs").out, re.M) and "what     resync all deals" in ctl("job", identity).out
    assert "resync all deals, dry run" in ctl("jobs").out
    assert ctl("job", identity, "--json").json["job"]["id"] == identity
    assert ctl("job", identity, "--follow").out
    assert ctl("resync", "--since", "yesterday", status=3).err
    assert ctl("resync", "--since", "1h").out
    assert ctl("job", "0" * 16, status=5).err


def test_a_deal_by_its_engagement(world, ctl, referral):
    engagement = referral["engagementId"]
    assert "it is looked at now" in ctl("look", engagement).out
    assert "look at deal " + engagement in ctl("jobs").out
    assert "deal %s " % number(world, referral) in ctl("resync", "--id", engagement, "--dry-run").out or "nothing was written" in ctl("resync", "--id", engagement, "--dry-run").out
    assert ctl("journal", "--deal", engagement).out == ctl("journal", "--deal", number(world, referral)).out
    assert ctl("journal", "--deal", "999999", status=5).out == ""


def test_interrupt_and_cancel(world, ctl):
    """A sign-in that nobody ends is long work; interrupted it goes on, until somebody cancels it."""
    process = ctl.start("login")
    read_until(process.stdout, "http")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert process.returncode == 130, (out, err)
    identity = re.search(r"cosellctl job ([0-9a-f]{16}) --follow", err).group(1)
    assert "running" in ctl("job", identity).out
    ctl("cancel", identity)
    wait_for(lambda: "cancelled" in ctl("job", identity).out, 15, "the end of it")
    assert "cancelled" in ctl("job", identity, "--follow", status=1).err


def test_webhook(world, ctl):
    assert "referral-created" in ctl("webhook", "events").out.splitlines()
    assert ctl("webhook", "events", "--json").json["job"]["result"]["events"]
    hook = world.server.base + "/partner-center"
    world.partner.post("registration", {"WebhookUrl": "https://somebody.example/else", "WebhookEvents": ["invoice-ready"]})
    assert "somebody.example" in ctl("webhook", "show").out
    said = ctl("webhook", "register", "--url", hook, status=1)
    assert "overwrite" in said.err and "somebody.example" in said.err
    said = ctl("webhook", "register", "--url", hook, "--overwrite")
    assert hook in said.out
    assert "test event" in ctl("webhook", "test").out
    assert "somebody.example" in ctl("webhook", "restore", "--overwrite").out
    ctl("webhook", "register", "--url", hook, "--overwrite")
    assert ctl("webhook", "register", "--url", "ftp://nowhere", status=3).err


def test_doctor(world, ctl, referral):
    world.server.log.announce("cosell:(warn|error)")
    said = ctl.run("doctor")
    assert said.status in (0, 1) and "ok    partner-center.token" in said.out and "sales.columns" in said.out, said
    number = world.crm.fault(method="*", path="^/(?!_sandbox)", fault="reset-before")
    try:
        said = ctl("doctor", status=1)
        assert "FAIL  sales." in said.out and "fix: " in said.out
    finally:
        world.crm.remove_faults(number)


# ---- who may ----

def test_nobody_and_the_wrong_one(world, ctl):
    nobody = Ctl(ctl.url, user=None)
    said = nobody("jobs", status=3)
    assert "~/.netrc" in said.err
    wrong = Ctl(ctl.url, password="wander")
    said = wrong("jobs", status=3)
    assert "not accepted" in said.err and "wander" not in said.err
    world.server.log.announce("AH01617", "AH01618")
    open_one = Ctl(world.server.base + "/nobody")
    assert "Require" in open_one("pause", status=3).err
    elsewhere = Ctl(world.server.base + "/static.txt")
    assert "not with a document" in elsewhere("jobs", status=4).err
    missing = Ctl(world.server.base + "/nothing-here")
    assert "SetHandler cosell-admin" in missing("jobs", status=4).err


def test_client_certificate(world, pki):
    files = ("--cacert", pki.path("server-ca.pem"), "--cert", world.server.path("conf/carol.pem"), "--key", world.server.path("conf/carol.key"))
    world.server.log.announce("AH02263")
    carol = Ctl(world.tls, user=None)
    assert "contoso" in carol("status", *files).out
    carol("pause", "--why", "by certificate", *files)
    assert "by carol" in carol("status", *files).out
    carol("resume", *files)
    carol.write(".config/cosell/ctl.conf", "cert=%s\nkey=%s\ncacert=%s\n" % (files[3], files[5], files[1]))
    assert carol("jobs").out
    os.unlink(os.path.join(carol.home, ".config/cosell/ctl.conf"))
    assert "--cacert" in carol("jobs", status=4).err  # a server that nobody vouches for
    said = carol("jobs", *files[:2], status=4)  # no certificate shown
    assert "carol" not in said.err
    assert "no-such" in carol("jobs", *files[:2], "--cert", "/no-such.pem", status=2).err
    assert "--cert" in carol("jobs", *files[:2], "--key", files[5], status=2).err


def test_the_journal_names_the_user(world, ctl):
    ctl("pause", "--why", "to be named")
    ctl("resume")
    lines = [line for line in world.journal() if line["action"] in ("pause", "resume")]
    assert lines and all("alice" in line["why"] or "carol" in line["why"] for line in lines)


def test_a_server_that_is_down(world, ctl):
    """Last: nothing answers, then nothing works."""
    world.server.log.announce("cosell:(warn|error)", "ssl:warn")
    world.server.stop()
    for line in (["status"], ["doctor"], ["look", "1"]):
        assert "could not reach" in ctl(*line, status=4).err
    world.server.globals_.append("CosellWorkers 0")
    world.server.start()
    wait_for(lambda: ctl.run("status").status == 0, 15, "pages")
    said = ctl("doctor", status=4)
    assert "FAIL  runner" in said.out and "CosellWorkers" in said.out
