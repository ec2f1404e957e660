"""Signing in to Partner Center: with the browser through cosell-login, and by device code; what is refused, and what no log and no store holds."""

import base64
import hashlib
import json
import os
import re
import threading
import urllib.error
import urllib.parse
import urllib.request

import pytest
import requests

from harness import wait_for
from harness.paths import apxs
from harness.server import STATUS

CRMS = ("dynamics365",)
ADMIN, LOGIN = "/cosell-admin", "/cosell-login"
GOOD = {"Content-Type": "application/json", "X-Cosell-Request": "1", "Authorization": "Basic " + base64.b64encode(b"alice:wonder").decode()}
SIGN_IN = {"consent": "auto", "user": None, "mfa": None, "role": None, "redirect_uris": None, "registration": "either", "device": "wait",
           "device_forbidden": False, "interval": 1, "declined": "authorization_declined", "life": 600}
OVER = ("done", "failed", "cancelled")


def prepare(world, seed=False):
    server = world.server
    modules = apxs("LIBEXECDIR")
    server.globals_ += ["<IfModule !%s>\n  LoadModule %s %s/mod_%s.so\n</IfModule>" % (name + "_module", name + "_module", modules, name)
                        for name in ("authn_core", "authn_file", "auth_basic", "authz_core", "authz_user")]
    server.globals_ += ['CustomLog "logs/access_log" "%h %u \\"%r\\" %U %q %>s"']
    users = server.write("conf/users", "alice:{SHA}%s\n" % base64.b64encode(hashlib.sha1(b"wonder").digest()).decode())
    server.locations += ['<Location "%s">' % ADMIN, "  SetHandler cosell-admin", "  AuthType Basic", '  AuthName "cosell"',
                         "  AuthUserFile " + users, "  Require valid-user", "</Location>",
                         '<Location "%s">' % LOGIN, "  SetHandler cosell-login", "</Location>"]
    if not seed:
        # The second version of the token endpoint, as an installation has it; a site with a file has the first here.
        line = world.directive("CosellPartnerCenter").replace("/oauth2/token", "/oauth2/v2.0/token")
        world.replace("CosellPartnerCenter", re.sub(r" refresh-token=\S+", "", line))
    world.partner.post("signin", SIGN_IN)
    return world


@pytest.fixture(scope="module")
def world(world_of):
    """Nobody has signed in when it starts."""
    world = prepare(world_of("login", log_level="info cosell:trace4"))
    world.server.log.announce("CS2003")
    return world.start().ready()


@pytest.fixture(autouse=True)
def plain(world):
    world.partner.post("signin", SIGN_IN)
    world.partner.remove_faults()


def redirect_uri(world):
    return world.server.base + LOGIN


def wish(world, **document):
    request = urllib.request.Request(world.server.base + ADMIN, json.dumps({"site": "contoso", **document}).encode(), GOOD)
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:
            return reply.status, json.loads(reply.read())
    except urllib.error.HTTPError as refusal:
        return refusal.code, json.loads(refusal.read())


def job(world, identity):
    """The job as it is stored: the page that shows it is somebody else's."""
    row = world.server.sql("SELECT * FROM job WHERE name = ?", identity)[0]
    for name in ("cursor", "progress", "result", "arguments"):
        row[name] = json.loads(row[name]) if row[name] else {}
    return row


def begin(world, **arguments):
    if arguments["method"] == "code":
        arguments.setdefault("redirect_uri", redirect_uri(world))
    status, answer = wish(world, do="login", **arguments)
    assert status == 202, answer
    row = wait_for(lambda: (lambda row: row if row["progress"].get("open") or row["state"] in OVER else None)(job(world, answer["job"])), 15,
                   "the address to sign in at")
    return answer["job"], row


def ended(world, identity, deadline=20):
    return wait_for(lambda: (lambda row: row if row["state"] in OVER else None)(job(world, identity)), deadline, "the end of the sign-in")


def authorize(row):
    """What Entra sends the browser to."""
    answer = requests.get(row["progress"]["open"], allow_redirects=False)
    assert answer.status_code == 302, answer.text
    return answer.headers["Location"]


def visit(url, **options):
    return requests.get(url, allow_redirects=False, timeout=30, **options)


def fact(world):
    rows = world.server.sql("SELECT text FROM meta WHERE name = 'token'")
    return json.loads(rows[0]["text"]) if rows else None


def suspended(world):
    return [s for s in world.server.status()["sites"][0]["suspended"] if s["upstream"] == "partner-center"]


def bytes_of(world, names=("cosell.db", "cosell.db-wal", "cosell.db-shm")):
    found = b""
    for name in names:
        path = os.path.join(world.server.state, name)
        if os.path.exists(path):
            with open(path, "rb") as file:
                found += file.read()
    return found


def page_text(reply):
    """What a good page of ours is, whatever it says."""
    policy = reply.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-") and "frame-ancestors 'none'" in policy
    style = re.search("<style>(.*?)</style>", reply.text, re.S).group(1)
    assert base64.b64encode(hashlib.sha256(style.encode()).digest()).decode() in policy
    assert reply.headers["Cache-Control"] == "no-store" and reply.headers["Referrer-Policy"] == "no-referrer"
    assert reply.headers["Content-Type"] == "text/html; charset=utf-8"
    return reply.text


# Nobody has signed in

def test_site_waits_for_somebody_to_sign_in(world):
    world.server.log.announce("CS2003")
    found = wait_for(lambda: suspended(world), 10, "the site to wait")[0]
    assert found["problem"] == "config:refresh-token" and "cosellctl login" in found["detail"]
    referral = world.refer()
    world.notify(referral)
    assert fact(world) is None


@pytest.mark.parametrize("arguments,said", [
    ({}, "method"), ({"method": "password"}, "allowed are code and device"), ({"method": "code"}, "redirect_uri is missing"),
    ({"method": "code", "redirect_uri": "http://evil.example/cosell-login"}, "https:"),
    ({"method": "code", "redirect_uri": "https://a.example/x?y=1"}, "redirect_uri"), ({"method": "code", "redirect_uri": "https://a.example/#f"}, "redirect_uri"),
    ({"method": "code", "redirect_uri": "https://me@a.example/"}, "redirect_uri"), ({"method": "code", "redirect_uri": "javascript:alert(1)"}, "redirect_uri"),
    ({"method": "device", "redirect_uri": "https://a.example/"}, "method code only"), ({"method": "device", "secret": "x"}, "secret")])
def test_wishes_that_are_none(world, arguments, said):
    status, answer = wish(world, do="login", **arguments)
    assert status == 400 and said in answer["error"], answer


@pytest.mark.parametrize("query,status,said", [
    ("", 400, "nothing to be opened"), ("?code=abc", 400, "none that a sign-in"), ("?state=%s.%s&code=abc" % ("0" * 16, "A" * 43), 404, "No sign-in"),
    ("?state=<script>&code=abc", 400, "none that a sign-in"), ("?code=a&code=b&state=%s.%s" % ("0" * 16, "A" * 43), 400, "damaged"),
    ("?code=a%%00b&state=%s.%s" % ("0" * 16, "A" * 43), 400, ""), ("?code=%s&state=%s.%s" % ("a" * 7900, "0" * 16, "A" * 43), 400, "no code"),
    ("?code=a%%0ab&state=%s.%s" % ("0" * 16, "A" * 43), 400, "no code"), ("?code=x&error=y&state=%s.%s" % ("0" * 16, "A" * 43), 400, "none that a sign-in"),
    ("?state=%s.%s" % ("0" * 16, "A" * 43), 400, "none that a sign-in")])
def test_addresses_that_are_none(world, query, status, said):
    reply = visit(redirect_uri(world) + query)
    assert reply.status_code == status and said in page_text(reply), reply.text
    assert "<script>" not in reply.text


def test_only_get(world):
    for method in ("POST", "HEAD", "DELETE"):
        reply = requests.request(method, redirect_uri(world) + "?code=a&state=%s.%s" % ("0" * 16, "A" * 43))
        assert reply.status_code == 405 and reply.headers["Allow"] == "GET"


# Code

def test_sign_in_that_is_refused_leaves_the_site_waiting(world):
    """Without a second factor, without the role; the site waits on."""
    world.server.log.announce("CS2003")
    for knobs, said in (({"mfa": False}, "multi-factor"), ({"role": "none"}, "Referrals admin")):
        world.partner.post("signin", {**SIGN_IN, **knobs, "user": "weak@partner.example"})
        identity, row = begin(world, method="code")
        reply = visit(authorize(row))
        assert reply.status_code == 403 and said in page_text(reply), reply.text
        row = job(world, identity)
        assert row["state"] == "failed" and said in row["result"]["error"] and "weak@partner.example" in row["result"]["error"]
        assert "open" not in row["progress"]
        assert suspended(world) and fact(world) is None
    lines = [line for line in world.journal() if line["action"] == "login"]
    assert [line["outcome"] for line in lines] == ["refused", "refused"] and all("by alice" in line["why"] for line in lines)


def test_sign_in_with_the_browser(world):
    world.server.log.announce("CS2003")
    world.partner.post("signin", {**SIGN_IN, "user": "service@partner.example"})
    identity, row = begin(world, method="code")
    query = {name: values[0] for name, values in urllib.parse.parse_qs(urllib.parse.urlsplit(row["progress"]["open"]).query).items()}
    assert query["code_challenge_method"] == "S256" and query["redirect_uri"] == redirect_uri(world)
    assert {"openid", "offline_access", "https://api.partner.microsoft.com/.default"} <= set(query["scope"].split())
    assert row["state"] == "running" and row["progress"]["expires"] and not {"verifier", "key"} & set(row["cursor"])
    # Whoever may only look is not told where to sign in: he would end it with an account of his own.
    for page in ("?job=" + identity, "?jobs", "", "?format=html&job=" + identity):
        seen = requests.get(world.server.base + STATUS + page)
        assert seen.status_code == 200 and query["state"] not in seen.text and "authorize?" not in seen.text, page
    shown = requests.get(world.server.base + ADMIN + "?job=" + identity, headers=GOOD).json()
    assert shown["job"]["progress"]["open"] == row["progress"]["open"]
    target = authorize(row)
    # A state that belongs to nobody, then one of which only the end is wrong.
    wrong = target[:-1] + ("A" if target[-1] != "A" else "B")
    assert visit(wrong).status_code == 404
    reply = visit(target)
    assert reply.status_code == 200 and "signed in as service@partner.example" in page_text(reply)
    row = job(world, identity)
    assert row["state"] == "done" and row["result"]["account"] == "service@partner.example"
    assert row["result"]["text"] == "signed in as service@partner.example; Partner Center answers"
    # What waited goes on at once.
    wait_for(lambda: not suspended(world), 10, "Partner Center to be asked again")
    world.settled()
    assert world.server.count("deal") == 1
    token = fact(world)
    assert token["account"] == "service@partner.example" and token["source"] == "login" and token["rotated"] >= token["signed_in"] > 0
    line = [line for line in world.journal() if line["action"] == "login"][-1]
    assert line["outcome"] == "done" and line["why"].endswith("by alice")
    # Again: over, and in other words than before.
    assert visit(target).status_code == 410
    found = world.server.log.matching("CS2300")
    assert len(found) == 1 and "service@partner.example" in found[0] and "alice" in found[0]


def test_no_secret_in_a_log_or_in_the_store(world):
    """What the sign-in above brought, and its codes."""
    identity, row = begin(world, method="code")
    target = authorize(row)
    code = urllib.parse.parse_qs(urllib.parse.urlsplit(target).query)["code"][0]
    state = urllib.parse.parse_qs(urllib.parse.urlsplit(target).query)["state"][0]
    assert visit(target).status_code == 200
    with open(world.server.path("logs/access_log")) as file:
        access = file.read()
    assert "GET %s HTTP/1.1" % LOGIN in access and "code=" not in access and state not in access
    log = world.server.log.text()
    for secret in (code, urllib.parse.quote(code, safe=""), state):
        assert secret not in log, "the error log has %.20s" % secret
    assert code.encode() not in bytes_of(world)
    tokens = world.partner.get("tokens")
    refresh = world.partner.get("signin/tokens")
    assert tokens["refresh_tokens"] == len(refresh) and len(refresh) > 1
    stored = bytes_of(world)
    for token in refresh[1:]:
        assert token.encode() not in stored and token not in log and token not in access
    # What is kept of it is the mark, and the answer is gone.
    rows = {row["name"]: row for row in world.server.sql("SELECT * FROM secret")}
    assert not rows["login-answer:" + identity]["sealed"]
    assert "open" not in job(world, identity)["progress"]


def test_answer_is_taken_once(world):
    world.partner.fault(fault="hold", method="POST", path="/oauth2/v2.0/token", times=1)
    identity, row = begin(world, method="code")
    target = authorize(row)
    first = []
    thread = threading.Thread(target=lambda: first.append(visit(target)))
    thread.start()
    wait_for(lambda: world.partner.held(), 15, "the code to be on its way")
    again = visit(target)
    assert again.status_code == 409 and "opened before" in page_text(again)
    world.partner.remove_faults()
    thread.join(30)
    assert first[0].status_code == 200 and ended(world, identity)["state"] == "done"


@pytest.mark.parametrize("consent,said", [
    ("access_denied", "declined"), ("consent_required", "admin consent"), ("conditional_access", "conditional access policy"),
    ("mfa_required", "multi-factor"), ("not_assigned", "assign the account")])
def test_errors_of_entra_come_in_words(world, consent, said):
    before = fact(world)
    world.partner.post("signin", {**SIGN_IN, "consent": consent})
    identity, row = begin(world, method="code")
    reply = visit(authorize(row))
    assert reply.status_code == 403 and said in page_text(reply) and "AADSTS" in reply.text
    assert said in job(world, identity)["result"]["error"]
    assert fact(world) == before and not suspended(world)


def test_description_from_outside_is_escaped(world):
    identity, row = begin(world, method="code")
    state = urllib.parse.parse_qs(urllib.parse.urlsplit(row["progress"]["open"]).query)["state"][0]
    reply = visit(redirect_uri(world) + "?" + urllib.parse.urlencode({"error": "access_denied", "state": state, "error_description":
                                                                      "<script>alert('1')</script> refresh_token=abcdef\r\nSet-Cookie: a=b"}))
    assert reply.status_code == 403 and "<script>" not in reply.text and "&lt;script&gt;" in page_text(reply) and "Set-Cookie" not in reply.headers
    assert "abcdef" not in job(world, identity)["result"]["error"]


def test_failed_sign_in_leaves_what_is_in_force(world):
    before, counted = fact(world), world.partner.get("tokens")["latest_refresh_token_sha256"]
    world.partner.post("signin", {**SIGN_IN, "mfa": False, "user": "weak@partner.example"})
    identity, row = begin(world, method="code")
    reply = visit(authorize(row))
    assert "what was in force before stays" in page_text(reply)
    assert fact(world) == before and counted != world.partner.get("tokens")["latest_refresh_token_sha256"]
    world.partner.post("tokens", {"revoke": "access"})
    world.looked(world.refer())
    assert fact(world)["account"] == before["account"] and fact(world)["rotated"] > before["rotated"]


def test_sign_in_mends_a_token_that_was_revoked(world):
    """The page says what to do; once it is done, what waited goes on."""
    world.server.log.announce("CS2003")
    world.partner.post("tokens", {"revoke": "all"})
    referral = world.refer()
    world.notify(referral)
    found = wait_for(lambda: suspended(world), 15, "Partner Center to be suspended")[0]
    assert found["problem"] == "oauth:invalid_grant" and "sign in again with cosellctl login" in found["detail"], found
    identity, row = begin(world, method="code")
    assert visit(authorize(row)).status_code == 200
    wait_for(lambda: not suspended(world), 10, "Partner Center to be asked again")
    wait_for(lambda: world.deal(referral), 15, "the deal that waited")
    assert not job(world, identity)["progress"].get("waits")


def test_sign_in_outlasts_a_token_endpoint_that_is_away(world):
    world.server.log.announce("CS2080", "CS2081")
    identity, row = begin(world, method="code")
    target = authorize(row)
    fault = world.partner.fault(status=503, method="POST", path="/oauth2/v2.0/token")
    thread = threading.Thread(target=visit, args=(target,))
    thread.start()
    wait_for(lambda: job(world, identity)["progress"].get("waits"), 15, "the trouble to be told")
    world.partner.remove_faults(fault)
    assert ended(world, identity, 30)["state"] == "done"
    thread.join(30)


def test_sign_in_that_nobody_ends_is_over(world):
    identity, row = begin(world, method="code")
    target = authorize(row)
    world.server.clock(advance=901)
    row = ended(world, identity)
    assert row["state"] == "failed" and "in time" in row["result"]["error"]
    reply = visit(target)
    assert reply.status_code == 410 and "cosellctl login" in page_text(reply)


def test_cancelled_sign_in_is_over_and_wiped(world):
    identity, row = begin(world, method="code")
    assert wish(world, do="cancel", job=identity)[0] == 202
    assert ended(world, identity)["state"] == "cancelled"
    assert visit(authorize(row)).status_code == 410
    before = world.server.sql("SELECT sealed FROM secret WHERE name = ?", "login:" + identity)[0]["sealed"]
    other, row = begin(world, method="code")
    assert world.server.sql("SELECT sealed FROM secret WHERE name = ?", "login:" + identity)[0]["sealed"] != before
    assert visit(authorize(row)).status_code == 200


# Device

def test_device_code(world):
    world.partner.post("signin", {**SIGN_IN, "user": "device@partner.example"})
    identity, row = begin(world, method="device")
    code = row["progress"]["code"]
    assert row["progress"]["open"].startswith(world.partner.base) and row["progress"]["expires"]
    wait_for(lambda: world.partner.get("device")[-1]["times"] >= 2, 15, "the token endpoint to be asked")
    assert requests.post(row["progress"]["open"], data={"user_code": code, "do": "approve"}).status_code == 200
    row = ended(world, identity)
    assert row["state"] == "done" and row["result"]["account"] == "device@partner.example" and "code" not in row["progress"]
    assert fact(world)["account"] == "device@partner.example"


def test_device_code_of_a_public_client(world):
    """Its refresh token goes without the secret, then and later."""
    world.partner.post("signin", {**SIGN_IN, "registration": "public", "user": "public@partner.example"})
    identity, row = begin(world, method="device")
    world.partner.post("device", {"user_code": row["progress"]["code"]})
    assert ended(world, identity)["state"] == "done"
    before = fact(world)["rotated"]
    since = world.partner.last_request()
    world.partner.post("tokens", {"revoke": "access"})
    world.looked(world.refer())
    asked = [r for r in world.partner.requests("/oauth2/", since=since)]
    assert fact(world)["rotated"] > before and [r["status"] for r in asked] == [200] and "client_secret" not in asked[0]["body"]


@pytest.mark.parametrize("knobs,act,said", [
    ({}, "deny", "declined"), ({"declined": "access_denied"}, "deny", "declined"), ({"device_forbidden": True}, None, "conditional access policy"),
    ({"registration": "public"}, "deny", "declined")])
def test_device_code_that_fails(world, knobs, act, said):
    before = fact(world)
    world.partner.post("signin", {**SIGN_IN, **knobs})
    identity, row = begin(world, method="device")
    if act:
        world.partner.post("device", {"user_code": row["progress"]["code"], "do": act})
    row = ended(world, identity)
    assert row["state"] == "failed" and said in row["result"]["error"], row["result"]
    assert fact(world) == before


def test_device_code_slows_down(world):
    identity, row = begin(world, method="device")
    times = world.partner.get("device")[-1]["times"]
    world.partner.fault(status=400, method="POST", path="/oauth2/v2.0/token", times=1, body={"error": "slow_down"})
    wait_for(lambda: job(world, identity)["cursor"]["interval"] == 6, 15, "the job to slow down")
    world.partner.post("device", {"user_code": row["progress"]["code"]})
    assert ended(world, identity, 30)["state"] == "done"
    assert world.partner.get("device")[-1]["times"] >= times


# The server and the sign-in

def test_restart_amid_a_sign_in(world):
    """With the browser, and by device code: it goes on."""
    identity, row = begin(world, method="code")
    other, device = begin(world, method="device")
    target = authorize(row)
    runner = world.server.runner()
    world.server.kill([runner])
    wait_for(lambda: world.server.runner() not in (None, runner), 15, "another runner")
    world.server.log.announce("AH00\\d+", "CS10\\d\\d")
    reply = visit(target)
    assert reply.status_code == 200, reply.text
    world.partner.post("device", {"user_code": device["progress"]["code"]})
    assert ended(world, identity)["state"] == "done" and ended(world, other)["state"] == "done"


def test_runner_killed_while_the_code_is_on_its_way(world):
    """The code may have been used: the job ends either way, and says so."""
    world.partner.fault(fault="hold", method="POST", path="/oauth2/v2.0/token", times=1, when="after")
    identity, row = begin(world, method="code")
    pages = []
    thread = threading.Thread(target=lambda: pages.append(visit(authorize(row))))
    thread.start()
    wait_for(lambda: world.partner.held(), 15, "the code to be on its way")
    world.server.log.announce("AH00\\d+", "CS10\\d\\d")
    world.server.kill([world.server.runner()])
    world.partner.remove_faults()
    row = ended(world, identity, 30)
    assert row["state"] == "failed" and "used before" in row["result"]["error"], row["result"]
    thread.join(30)
    assert fact(world)["account"] and not suspended(world)
    world.looked(world.refer())


def test_token_is_kept_alive_while_the_site_is_paused(world):
    status, answer = wish(world, do="pause", why="holidays")
    assert status == 202
    ended(world, answer["job"])
    before = fact(world)["rotated"]
    for day in range(5):
        world.server.clock(advance=86400)
    world.server.clock(advance=2 * 86400)
    world.partner.post("clock", {"advance": 7 * 86400})
    wait_for(lambda: fact(world)["rotated"] > before, 15, "the token to be redeemed")
    assert fact(world)["account"]
    status, answer = wish(world, do="resume")
    ended(world, answer["job"])


# A file's token and a sign-in

def test_file_and_sign_in_follow_each_other(new_world):
    """A sign-in wins over the file until the file's content is another; then the file does."""
    world = prepare(new_world("login-file"), seed=True)
    world.start().ready()
    world.looked(world.refer())
    assert fact(world)["source"] == "file" and "account" not in fact(world) and "signed_in" not in fact(world)
    world.partner.post("signin", {**SIGN_IN, "user": "service@partner.example"})
    identity, row = begin(world, method="code")
    assert visit(authorize(row)).status_code == 200
    assert fact(world)["source"] == "login"
    world.server.graceful()
    world.partner.post("tokens", {"revoke": "access"})
    world.looked(world.refer())
    assert fact(world)["source"] == "login" and fact(world)["account"] == "service@partner.example"
    world.partner.post("tokens", {"refresh_token": "another-refresh-token"})
    world.server.secret("pc-refresh", "another-refresh-token")
    world.server.graceful()
    world.partner.post("tokens", {"revoke": "access"})
    world.looked(world.refer())
    assert fact(world)["source"] == "file" and "account" not in fact(world)
