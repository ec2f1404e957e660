"""doctor: every prerequisite, one line each; each fault is named by its own check, with what to do about it."""

import base64
import hashlib
import json
import os
import urllib.error
import urllib.request

import pytest
import requests

from harness import wait_for
from harness.paths import apxs

CRMS = ("dynamics365", "salesforce")
ADMIN = "/cosell-admin"
HEADERS = {"Content-Type": "application/json", "X-Cosell-Request": "1", "Authorization": "Basic " + base64.b64encode(b"alice:wonder").decode()}
KEY = {"table": "opportunity", "name": "t_key", "columns": ["msft_referralidentifier"]}
FIELD = {"table": "Opportunity", "name": "Referral_Identifier__c", "type": "string", "length": 36}
ABOUT_CRM = ["sign-in", "organization", "api", "flows", "roles", "key", "duplicates", "mapping", "columns"]


def box(sim, method, path, body=None):
    """The simulator's own control API, in its own words."""
    answer = requests.request(method, sim.info["sandbox"] + "/" + path, json=body, timeout=10)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture(scope="module")
def world(world_of):
    world = world_of("doctor")
    server = world.server
    directory = apxs("LIBEXECDIR")
    server.globals_ += ["<IfModule !%s>\n  LoadModule %s %s/mod_%s.so\n</IfModule>" % (name + "_module", name + "_module", directory, name)
                        for name in ("authn_core", "authn_file", "auth_basic", "authz_core", "authz_user")]
    users = server.write("conf/users", "alice:{SHA}%s\n" % base64.b64encode(hashlib.sha1(b"wonder").digest()).decode())
    server.locations += ['<Location "%s">' % ADMIN, "  SetHandler cosell-admin", "  AuthType Basic", '  AuthName "cosell"',
                         "  AuthUserFile " + users, "  Require valid-user", "</Location>"]
    if world.kind == "dynamics365":
        box(world.crm, "POST", "keys", KEY)
    world.start().ready()
    referral = world.refer()
    world.notify(referral)
    wait_for(lambda: world.record(referral), 30, "the first deal")
    assert job(world, {"do": "webhook", "action": "register", "url": server.webhook, "overwrite": True})["state"] == "done"
    return world


def job(world, document, deadline=60):
    """Asks for a job and waits for its end."""
    request = urllib.request.Request("http://127.0.0.1:%d%s" % (world.server.port, ADMIN), json.dumps(document).encode(), HEADERS, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:
            identity = json.loads(reply.read())["job"]
    except urllib.error.HTTPError as refusal:
        pytest.fail("%s is answered %d %s" % (document, refusal.code, refusal.read()))

    def row():
        return (world.server.sql("SELECT * FROM job WHERE name = ?", identity) or [{}])[0]
    wait_for(lambda: row().get("state") in ("done", "failed", "cancelled"), deadline, "the end of %s" % document)
    found = row()
    for name in ("progress", "result"):
        found[name] = json.loads(found[name] or "null")
    return found


def doctor(world):
    """{check: {"state","text","fix"}} of a doctor that came to its end."""
    found = job(world, {"do": "doctor"})
    assert found["state"] == "done", found["result"]
    checks = found["result"]["checks"]
    assert len({one["check"] for one in checks}) == len(checks), "a check is said twice: %s" % checks
    for one in checks:
        assert one["state"] in ("ok", "warn", "fail", "skip") and one["text"] and "\n" not in one["text"], one
        assert one["state"] in ("ok", "skip") or one["fix"], one
    assert found["progress"]["done"] == found["progress"]["of"] and len(found["progress"]["say"]) == len(checks)
    assert found["result"]["text"].startswith("%d checks: " % len(checks))
    return {one["check"]: one for one in checks}


@pytest.fixture(autouse=True)
def loud(world):
    """Faults are what these tests make: the lane finds some of them, too."""
    world.server.log.announce("cosell:(warn|error)")


def ills(checks):
    return {name: one for name, one in checks.items() if one["state"] in ("warn", "fail")}


def only(world, check, *words, state="fail"):
    """Only this check is not well; its text has the first of the words, its fix the others."""
    found = ills(doctor(world))
    assert list(found) == [check], json.dumps(found, indent=1)
    assert found[check]["state"] == state and words[0] in found[check]["text"], found
    for word in words[1:]:
        assert word in found[check]["fix"], found
    return found[check]


def test_all_is_well(world):
    checks = doctor(world)
    assert not ills(checks), json.dumps(ills(checks), indent=1)
    for name in ("server.runner", "server.state-dir", "server.store", "server.clock", "partner-center.token", "partner-center.mfa",
                 "partner-center.role", "partner-center.account", "partner-center.organization", "partner-center.webhook",
                 "partner-center.signature"):
        assert checks[name]["state"] == "ok", checks[name]
    for name in ABOUT_CRM + (["requests"] if world.kind == "salesforce" else ["changes"]):
        wanted = "skip" if (name, world.kind) == ("flows", "salesforce") else "ok"
        assert checks["sales." + name]["state"] == wanted, checks["sales." + name]
    assert world.server.sql("SELECT count(*) n FROM suspended")[0]["n"] == 0
    for name in ("the login", "Partner Center", "sales"):
        assert name in checks["server.clock"]["text"]


def test_dead_crm(world):
    number = world.crm.fault(method="*", path="^/(?!_sandbox)", fault="reset-before")
    try:
        only(world, "sales.sign-in", "cannot sign in", "reached")
    finally:
        world.crm.remove_faults(number)
    assert not ills(doctor(world))


def test_expired_token(world):
    world.partner.post("tokens", {"fail": "invalid_grant"})
    try:
        only(world, "partner-center.token", "AADSTS", "cosellctl login")
    finally:
        world.partner.post("tokens", {"fail": None})
    assert not ills(doctor(world))


def test_role_of_the_account(world):
    world.partner.post("tokens", {"role": "none"})
    try:
        only(world, "partner-center.role", "may not read referrals", "Referrals admin")
    finally:
        world.partner.post("tokens", {"role": "referrals-admin"})


def test_second_factor(world):
    world.partner.post("tokens", {"mfa": False})
    try:
        only(world, "partner-center.mfa", "multi-factor", "cosellctl login")
    finally:
        world.partner.post("tokens", {"mfa": True})


def test_registration_taken_over(world):
    ours = box(world.partner, "GET", "registration")
    box(world.partner, "POST", "registration", {**ours, "WebhookUrl": "https://elsewhere.example/hook?key=secret"})
    try:
        found = only(world, "partner-center.webhook", "https://elsewhere.example/hook", "webhook register --overwrite")
        assert "secret" not in json.dumps(found)
    finally:
        box(world.partner, "POST", "registration", ours)
    assert not ills(doctor(world))


def test_rights_in_the_crm(world):
    table = "Opportunity" if world.kind == "salesforce" else "opportunity"
    box(world.crm, "POST", "privileges", {"table": table, "deny": ["write"]})
    try:
        only(world, "sales.roles", "cannot be changed" if world.kind == "salesforce" else "prvWriteOpportunity",
             "Permission Sets" if world.kind == "salesforce" else "security role")
    finally:
        box(world.crm, "POST", "privileges", {"table": table, "deny": []})


def test_column_missing(world):
    table, name, kind = ("Opportunity", "Referral_Program__c", "string") if world.kind == "salesforce" else (
        "opportunity", "msft_referralprogram", "text")
    box(world.crm, "DELETE", "columns/%s.%s" % (table, name))
    try:
        only(world, "sales.columns", name, "make the column")
    finally:
        box(world.crm, "POST", "columns", {"table": table, "name": name, "type": kind, "length" if world.kind == "salesforce" else "max": 100})
    assert not ills(doctor(world))


def twice(world):
    """Two records that name one referral, which nothing but a key keeps out; their paths."""
    if world.kind == "salesforce":
        row = {"Name": "Twice", "StageName": "Prospecting", "CloseDate": "2030-01-31", "Referral_Identifier__c": "twice-1"}
        return ["Opportunity/" + box(world.crm, "POST", "Opportunity?silent=1", row)["Id"] for _ in range(2)]
    row = {"name": "Twice", "msft_referralidentifier": "twice-1"}
    return ["opportunities/" + box(world.crm, "POST", "opportunities?silent=1", row)["opportunityid"] for _ in range(2)]


def test_key_and_duplicates(world):
    """A key that does not hold, and then what it let in."""
    if world.kind == "salesforce":
        box(world.crm, "POST", "columns", {**FIELD, "external": True})
    else:
        box(world.crm, "POST", "keys", {**KEY, "status": "Failed"})
    rows = []
    try:
        only(world, "sales.key", "not unique" if world.kind == "salesforce" else "could not be built",
             "Unique" if world.kind == "salesforce" else "Reactivate")
        rows = twice(world)
        found = ills(doctor(world))
        assert sorted(found) == ["sales.duplicates", "sales.key"], found
        assert "twice-1 (2 rows)" in found["sales.duplicates"]["text"] and "empty" in found["sales.duplicates"]["fix"]
    finally:
        for row in rows:
            box(world.crm, "DELETE", row)
        if world.kind == "salesforce":
            box(world.crm, "POST", "columns", {**FIELD, "external": True, "unique": True})
        else:
            box(world.crm, "POST", "keys", KEY)


def test_flow_of_the_connector(world):
    if world.kind == "salesforce":
        assert "Power Automate" in doctor(world)["sales.flows"]["fix"]
        return
    flow = box(world.crm, "POST", "workflows", {"name": "Partner Center to Dynamics 365", "category": 5, "type": 1, "statecode": 1})
    try:
        only(world, "sales.flows", "Partner Center to Dynamics 365", "turn them off")
    finally:
        box(world.crm, "DELETE", "workflows/" + flow["workflowid"])


def test_what_one_crm_alone_has(world):
    """Tables that do not track changes; requests of the day that are used up."""
    if world.kind == "salesforce":
        box(world.crm, "POST", "limits", {"used": 85000, "max": 100000})
        try:
            only(world, "sales.requests", "of 100000 requests", "Company Information", state="warn")
        finally:
            box(world.crm, "POST", "limits", {"used": 0, "max": 1000000})
        return
    box(world.crm, "POST", "table-options", {"table": "contact", "change_tracking": False})
    try:
        only(world, "sales.changes", "contact", "Track changes", state="warn")
    finally:
        box(world.crm, "POST", "table-options", {"table": "contact", "change_tracking": True})


def test_clock_is_off(world):
    """Half an hour ahead of everybody; three minutes are only a warning."""
    world.server.clock(offset=180)
    try:
        found = only(world, "server.clock", "ahead of", "NTP", state="warn")
        world.server.clock(offset=1800)
        found = only(world, "server.clock", "ahead of", "timedatectl")
        assert "17" in found["text"] or "18" in found["text"]
    finally:
        world.server.clock(offset=0)
    assert not ills(doctor(world))


def test_state_directory_is_open(world):
    os.chmod(world.server.state, 0o755)
    try:
        only(world, "server.state-dir", "0755", "chmod 700", state="warn")
    finally:
        os.chmod(world.server.state, 0o700)


def test_mapping_was_edited(world):
    """Nothing tells httpd that the file is another one now; the doctor tells the administrator."""
    with open(world.mapping) as file:
        before = file.read()

    def edit(document):
        document["revision"] = "edited"
    world.edit_mapping(edit)
    try:
        only(world, "sales.mapping", "edited", "reload", state="warn")
    finally:
        with open(world.mapping, "w") as file:
            file.write(before)


def test_suspended_or_paused_it_answers(world):
    """A person who paused the site, and a CRM that is suspended, wait for what the doctor says."""
    assert job(world, {"do": "pause", "why": "test"})["state"] == "done"
    box(world.crm, "POST", "tokens", {"fail": "invalid_client"})
    try:
        only(world, "sales.sign-in", "cannot sign in", "reload httpd")
    finally:
        box(world.crm, "POST", "tokens", {"fail": None})
        assert job(world, {"do": "resume"})["state"] == "done"
    assert not ills(doctor(world))


def test_no_arguments(world):
    request = urllib.request.Request("http://127.0.0.1:%d%s" % (world.server.port, ADMIN), b'{"do":"doctor","all":true}', HEADERS, method="POST")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=10)
    assert refused.value.code == 400
