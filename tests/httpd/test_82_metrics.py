"""Every metric moves when what it measures does, and mod_status shows the same.

The tests run in order on one server; the last asks whether each metric that is told has moved in one of them. (Form and format: test_59_metrics.py, `make lint`.)"""

import json
import math
import os
import re
import signal
import sqlite3
import time
import uuid

import pytest

from harness import Event, post, wait_for
from harness.paths import apxs

LONG = 90

SECRET = "a secret of the webhook of these tests"
FAULT_SIZE = 64
DAY = 86400 * 1000000
# Moved by tests of another file, which names them; the version is the same for the life of a server.
ELSEWHERE = {"test_81_alerts.py": {"cosell_runner_up", "cosell_notify_calls_total", "cosell_notify_failed_total", "cosell_store_up"}}
CONSTANT = {"cosell_build_info"}


class Samples(dict):
    """One that is not there is no number: nothing holds of it."""

    def __missing__(self, name):
        return math.nan


class Seen:
    """All values that each sample has had."""

    def __init__(self, world):
        self.world, self.values, self.families = world, {}, {}

    def now(self):
        reply = self.world.server.get("/metrics")
        assert reply.status == 200
        samples = Samples()
        for line in reply.body.decode().splitlines():
            if line.startswith("# TYPE "):
                self.families[line.split(" ")[2]] = line.split(" ")[3]
            elif not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                samples[name] = float(value)
        for name in set(samples) | set(self.values):
            self.values.setdefault(name, set()).add(samples.get(name))
        return samples

    def family(self, sample):
        name = sample.split("{")[0]
        base = re.sub(r"_(bucket|sum|count)$", "", name)
        return base if self.families.get(base) == "histogram" else name

    def moved(self):
        return {self.family(name) for name, values in self.values.items() if len(values) > 1}

    def until(self, condition, deadline=30, what=None):
        return wait_for(lambda: condition(self.now()), deadline, what, every=0.3)


def sql(world, statement, *arguments):
    connection = sqlite3.connect(world.server.database, timeout=10)
    try:
        with connection:
            connection.execute(statement, arguments)
    finally:
        connection.close()


def store_fact(world, name, document):
    sql(world, "DELETE FROM meta WHERE site = ? AND name = ?", world.name, name)
    if document is not None:
        sql(world, "INSERT INTO meta VALUES (?, ?, ?)", world.name, name, json.dumps(document))


def fault(world, what):
    with open(world.fault_file, "r+b" if os.path.exists(world.fault_file) else "wb") as file:
        file.write(what.encode().ljust(FAULT_SIZE, b"\0"))
    os.chmod(world.fault_file, 0o644)


def site(name, upstream=None, **more):
    labels = {"site": "contoso", **({"upstream": upstream} if upstream else {}), **more}
    return "cosell_%s{%s}" % (name, ",".join('%s="%s"' % item for item in labels.items()))


@pytest.fixture(scope="module")
def world(world_of):
    world = world_of("metrics-move", preloads=["fault_io"])
    server = world.server
    world.fault_file = server.path("tmp/fault")
    fault(world, "")
    server.env.update({"COSELL_FAULT_FILE": world.fault_file, "COSELL_FAULT_DIR": server.state})
    server.globals_ += ['LoadModule status_module "%s/mod_status.so"' % apxs("LIBEXECDIR"), "ExtendedStatus On"]
    server.locations += ['<Location "/metrics">', "  SetHandler cosell-metrics", "</Location>", '<Location "/crm">', "  SetHandler cosell-crm", "</Location>",
                         '<Location "/server-status">', "  SetHandler server-status", "</Location>"]
    world.replace("CosellCrm", world.directive("CosellCrm") + " webhook-secret=" + server.secret("crm-hook", SECRET))
    world.start().ready()
    world.crm.post("webhooks", {"url": server.base + "/crm", "auth": "HttpHeader", "table": "opportunity", "values": {"x-cosell-secret": SECRET}})
    world.seen = Seen(world)
    world.seen.now()
    world.referral = world.refer()
    return world


def test_a_referral_becomes_a_record(world):
    before = world.seen.now()
    world.deal_row = world.looked(world.referral)
    after = world.seen.now()
    for name in ("accepted", "groups", "looks", "created", "calls_partner_center", "calls_crm"):
        assert after["cosell_%s_total" % name] > before["cosell_%s_total" % name], name
    told = sum(after["cosell_%s_total" % name] - before["cosell_%s_total" % name] for name in ("accepted", "notified"))
    assert told >= 1 and after['cosell_accept_seconds_count{outcome="stored"}'] == before['cosell_accept_seconds_count{outcome="stored"}'] + told
    assert 0 < after['cosell_accept_seconds_sum{outcome="stored"}'] - before['cosell_accept_seconds_sum{outcome="stored"}'] < 5
    assert after[site("notices_total", "partner-center")] == before[site("notices_total", "partner-center")] + 1
    assert abs(after[site("last_notice_timestamp_seconds", "partner-center")] - time.time()) < 30
    assert after[site("upstream_calls_total", "sales", outcome="ok")] > before[site("upstream_calls_total", "sales", outcome="ok")]
    world.seen.until(lambda m: m.get(site("deals")) == 1 and m.get(site("journal_lines"), 0) >= 1, what="the deal to be counted")
    assert world.seen.now()["cosell_store_bytes"] > 0


def test_nothing_to_do(world):
    before = world.seen.now()
    world.looked(world.referral)
    assert world.seen.now()["cosell_looks_nothing_total"] == before["cosell_looks_nothing_total"] + 1


def test_strangers(world):
    before = world.seen.now()
    assert post(world.server.webhook, b"{}", {"Content-Type": "application/json"}).status == 400
    event = Event("referral-updated", uuid.uuid4())
    headers = event.headers(world.pki, world.cert_url)
    assert post(world.server.webhook, event.body + b" ", headers).status == 401
    assert post(world.server.webhook, method="GET").status == 405
    after = world.seen.now()
    for name in ("rejected_400", "rejected_401", "rejected_other"):
        assert after["cosell_%s_total" % name] == before["cosell_%s_total" % name] + 1, name
    assert after['cosell_accept_seconds_count{outcome="stored"}'] == before['cosell_accept_seconds_count{outcome="stored"}'], "strangers are not timed"


def test_edits_on_both_sides(world):
    before = world.seen.now()
    world.partner.edit(world.referral["id"], {"details": {"notes": "from there"}})
    world.looked(world.referral)
    world.crm.edit("opportunities", world.deal_row["record_id"], {"description": "from here"})
    wait_for(lambda: world.partner.referral(world.referral["id"])["details"]["notes"] == "from here", 30, "the edit to arrive")
    world.settled()
    after = world.seen.now()
    for name in ("updated", "notified", "pc_updated"):
        assert after["cosell_%s_total" % name] > before["cosell_%s_total" % name], name
    assert after[site("notices_total", "sales")] > before[site("notices_total", "sales")]
    assert after['cosell_lag_seconds_count{direction="to_partner_center"}'] > before['cosell_lag_seconds_count{direction="to_partner_center"}']


def test_a_conflict(world):
    before = world.seen.now()
    world.partner.edit(world.referral["id"], {"details": {"notes": "New note"}})
    held = world.crm.fault(method="PATCH", path="opportunities", fault="hold", times=1)
    world.notify(world.referral)
    wait_for(world.crm.held, 10, "the write to be held")
    world.crm.patch("opportunities/" + world.deal_row["record_id"], {"closeprobability": 33}, silent="1")
    world.seen.until(lambda m: m[site("backlog")] >= 1 and m.get(site("backlog_oldest_seconds"), 0) > 0, what="the look to be counted as waiting")
    world.crm.remove_faults(held)
    world.settled()
    after = world.seen.until(lambda m: m[site("backlog")] == 0 and m, what="nothing to wait")
    assert after["cosell_conflicts_total"] > before["cosell_conflicts_total"]
    assert site("backlog_oldest_seconds") not in after


def test_found_by_a_poll_alone(world):
    before = world.seen.now()
    world.partner.edit(world.referral["id"], {"details": {"notes": "nobody told"}})
    world.advanced(lambda: world.crm.row("opportunities", world.deal_row["record_id"])["description"] == "nobody told", step=60, deadline=60)
    after = world.seen.now()
    assert after["cosell_polled_total"] > before["cosell_polled_total"]
    assert after[site("found_changes_total", "partner-center")] > before[site("found_changes_total", "partner-center")]
    assert after[site("last_found_timestamp_seconds", "partner-center")] > 0
    world.server.clock(offset=0)


def test_an_upstream_that_fails_and_one_that_refuses(world):
    world.server.log.announce("CS2040", "CS2080", "CS4\\d\\d\\d")
    before = world.seen.now()
    number = world.crm.fault(method="*", path="/opportunities|batch", fault="status", status=503, times=2)
    world.looked(world.referral, 60)
    world.crm.remove_faults(number)
    secret = world.refer()
    world.partner.fault(method="GET", path="referrals/" + secret["id"], fault="status", status=403)
    world.notify(secret)
    world.settled()
    after = world.seen.until(lambda m: m[site("dead_looks")] >= 1 and m, what="the look to be dead")
    for name in ("calls_failed", "looks_failed", "dead"):
        assert after["cosell_%s_total" % name] > before["cosell_%s_total" % name], name
    assert after[site("upstream_calls_total", "partner-center", outcome="refused")] > before[site("upstream_calls_total", "partner-center", outcome="refused")]
    assert after[site("upstream_calls_total", "sales", outcome="failed")] > before[site("upstream_calls_total", "sales", outcome="failed")]
    assert after.get('cosell_alert{site="contoso",what="dead",level="error"}') == 1 or world.seen.until(
        lambda m: m.get('cosell_alert{site="contoso",what="dead",level="error"}') == 1)
    assert world.seen.now()['cosell_alerts{level="error"}'] >= 1
    assert world.seen.now()[site("causes")] >= 1
    world.partner.remove_faults()


def test_a_dead_token(world):
    world.server.log.announce("CS2003", "CS4\\d\\d\\d", "CS2110", "CS2040")
    before = world.seen.now()
    world.partner.post("tokens", {"fail": "invalid_grant", "revoke": "access"})
    world.notify(world.referral)
    world.seen.until(lambda m: m[site("upstream_suspended", "partner-center")] == 1 and m[site("suspended_looks")] >= 1, 60, "Partner Center to be suspended")
    world.partner.post("tokens", {"fail": None})
    world.advanced(lambda: not world.server.count("suspended"), step=60)
    world.server.clock(offset=0)
    world.settled()
    after = world.seen.until(lambda m: m[site("upstream_suspended", "partner-center")] == 0 and m)
    assert after["cosell_calls_token_total"] > before["cosell_calls_token_total"]


def test_a_broken_upstream(world):
    world.server.log.announce("CS2080", "CS2040", "CS2110", "CS4\\d\\d\\d")
    world.crm.fault(method="*", path=".*", fault="reset-before")
    world.notify(world.referral)
    world.seen.until(lambda m: m[site("breaker_open", "sales")] == 1, 60, "the breaker to open")
    world.crm.remove_faults()
    world.seen.until(lambda m: m[site("breaker_open", "sales")] == 0, 90, "the breaker to close")
    world.settled(60)


def test_a_referral_that_expires(world):
    """Counted by its day, without a list of referrals."""
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 2 * 86400))
    referral = world.refer(active=False, expirationDateTime=at)
    world.looked(referral)
    world.seen.until(lambda m: m[site("expiring_referrals")] == 1, 20, "it to be counted")
    world.seen.until(lambda m: m.get('cosell_alert{site="contoso",what="expiring",level="warning"}') == 1, 20, "it to be an alert")
    assert world.seen.now()[site("blocked_deals")] >= 1
    world.partner.edit(referral["id"], {"status": "Active", "substatus": "Accepted"})
    world.looked(referral)
    world.seen.until(lambda m: m[site("expiring_referrals")] == 0, 20, "it to be answered")


def test_closed(world):
    before = world.seen.now()
    world.partner.edit(world.referral["id"], {"status": "Closed", "substatus": "Won"})
    world.looked(world.referral)
    assert world.seen.now()["cosell_closed_total"] > before["cosell_closed_total"]


def test_made_in_the_crm(world):
    before = world.seen.now()
    name = world.unique()
    account = world.crm.post("accounts", {"name": "Customer of " + name, "address1_line1": "1 Main Street", "address1_city": "Redmond",
                                          "address1_stateorprovince": "WA", "address1_postalcode": "98052", "address1_country": "US"})
    account = {"table": "account", "id": account["accountid"]}
    contact = world.crm.post("contacts", {"firstname": "Ada", "lastname": "Example", "telephone1": "+1 425 555 0100", "parentcustomerid": account,
                                          "emailaddress1": "ada.%s@customer.example" % uuid.uuid4().hex[:12]})
    row = world.crm.post("opportunities", {
        "name": name, "description": "Notes", "estimatedvalue": 50000, "estimatedclosedate": "2027-03-31", "isrevenuesystemcalculated": False,
        "parentaccountid": account, "parentcontactid": {"table": "contact", "id": contact["contactid"]},
        "transactioncurrencyid": {"table": "transactioncurrency", "id": "00000000-0000-4000-8000-000000000021"},
        "ownerid": {"table": "systemuser", "id": "00000000-0000-4000-8000-000000000012"}})
    world.crm.post("msft_microsoftsolutions", {"msft_opportunityid": {"table": "opportunity", "id": row["opportunityid"]},
                                               "msft_solutiondetailid": {"table": "msft_microsoftsolutiondetail", "id": "00000000-0000-4000-8000-000000000061"}})
    world.crm.edit("opportunities", row["opportunityid"], {"msft_syncwithpartnercenter": True})
    world.advanced(lambda: world.seen.now()["cosell_pc_created_total"] > before["cosell_pc_created_total"], step=30, deadline=60)
    world.server.clock(offset=0)


def test_facts_of_a_site(world):
    now = int(time.time() * 1e6)
    store_fact(world, "quota:sales", {"used": 90, "most": 1000, "kept": 50, "at": "2026-11-23T00:00:00.000Z"})
    store_fact(world, "token", {"account": "ada@contoso.example", "signed_in": now - 3 * DAY, "rotated": now - DAY, "source": "login"})
    store_fact(world, "paused", {"by": "ada", "at": now})
    sql(world, "INSERT INTO suspended VALUES (?, 'brake:missing:sales', 'suspend', 'brake:missing', 'forty records are gone at once', ?, 0)", world.name, now)
    try:
        m = world.seen.until(lambda m: m.get(site("site_paused")) == 1 and m)
        assert (m[site("quota_used_requests", "sales")], m[site("quota_limit_requests", "sales")], m[site("quota_reserved_requests", "sales")]) == (90, 1000, 50)
        assert abs(m[site("token_age_seconds")] - 3 * 86400) < 60 and abs(m[site("token_rotation_age_seconds")] - 86400) < 60
        assert m[site("held_brakes")] == 1
        assert m['cosell_alert{site="contoso",what="brake:missing:sales",level="error"}'] == 1
    finally:
        for name in ("quota:sales", "token", "paused"):
            store_fact(world, name, None)
        sql(world, "DELETE FROM suspended WHERE upstream = 'brake:missing:sales'")
    store_fact(world, "quota:sales", {"used": 91, "most": 2000, "kept": 60, "at": "2026-11-23T00:00:00.000Z"})
    world.seen.until(lambda m: m[site("site_paused")] == 0 and m[site("quota_used_requests", "sales")] == 91)


def test_registration(world):
    """The runner reads it at Partner Center now and then, and stores what it found: here its turn does not come."""
    world.server.log.announce("CS2320")
    assert site("webhook_registered") not in world.seen.now(), "we have not registered any"
    for drift, shown in ({}, 1), ({"drift": "it is gone"}, 0):
        def told(m, drift=drift, shown=shown):
            store_fact(world, "webhook", {"url": world.server.webhook, "events": [], **drift})
            return m[site("webhook_registered")] == shown
        world.seen.until(told)
    store_fact(world, "webhook", None)


def test_a_full_disk(world):
    world.server.log.announce("CS220[0-9]", "CS3\\d\\d\\d", "CS20(26|27)", "CS4\\d\\d\\d", "cosell:(warn|error).*space")
    before = world.seen.now()
    fault(world, "ENOSPC")
    try:
        assert world.send(Event("referral-updated", uuid.uuid4())).status == 503
        world.seen.until(lambda m: m["cosell_store_up"] == 0)
    finally:
        fault(world, "")
    after = world.seen.until(lambda m: m["cosell_store_up"] == 1 and m, 60)
    for name in ("unavailable", "store_errors"):
        assert after["cosell_%s_total" % name] > before["cosell_%s_total" % name], name
    assert after['cosell_accept_seconds_count{outcome="unavailable"}'] > before['cosell_accept_seconds_count{outcome="unavailable"}']


def test_a_mod_status_page(world):
    """After its deals, alerts and a dead look."""
    auto = dict(line.split(": ", 1) for line in world.server.get("/server-status?auto").body.decode().splitlines() if ": " in line)
    counters = world.server.status()["counters"]
    assert auto["CosellRunner"] == "alive" and auto["CosellVersion"]
    assert int(auto["CosellAccepted"]) == counters["accepted"] and int(auto["CosellPcCreated"]) == counters["pc_created"]
    assert int(auto["CosellDeals[contoso]"]) == world.server.count("deal") and auto["CosellDeadLooks[contoso]"] == "1"
    assert int(auto["CosellAlerts"]) >= 1 and auto["CosellAlert[1]"].startswith("error contoso dead one look was given up")
    page = world.server.get("/server-status").body.decode()
    section = page[page.index("Co-sell synchronisation"):]
    assert "<td>contoso</td>" in section and "one look was given up" in section and "To do: " in section
    assert "the runner is alive" in section
    notable = world.server.get("/server-status?notable").body.decode()
    assert "Co-sell synchronisation" in notable and "<td>contoso</td>" not in notable


def test_what_is_from_outside_is_escaped(world):
    store_fact(world, "paused", {"by": "<script>alert(1)</script>", "at": int(time.time() * 1e6), "why": "a\nCosellAlert[9]: \"forged\""})
    try:
        world.seen.until(lambda m: m.get(site("site_paused")) == 1)
        wait_for(lambda: "alert(1)" in world.server.get("/server-status").body.decode(), 10)
        assert "<script>" not in world.server.get("/server-status").body.decode()
        assert not re.search(r"^CosellAlert\[9\]", world.server.get("/server-status?auto").body.decode(), re.M)
    finally:
        store_fact(world, "paused", None)


def test_a_reload_goes_on_counting(world):
    """Counters and what was measured of a site survive; a broken mapping degrades the site."""
    world.server.log.announce("CS10\\d\\d", "CS2021", "cosell:(warn|error)")
    before = world.seen.now()
    with open(world.mapping) as file:
        good = file.read()
    with open(world.mapping, "w") as file:
        file.write("{")
    cert = [os.path.join(world.server.state, "certs", name) for name in os.listdir(os.path.join(world.server.state, "certs"))]
    for path in cert:
        os.utime(path, (1, 1))
    world.partner.post("certificate", {"fault": "404"})
    before_children = set(world.server.children())
    os.kill(world.server.pid(), signal.SIGUSR1)  # `-k graceful` would find the mistake and leave everything as it is
    wait_for(lambda: set(world.server.children()) - before_children, 20, "a new generation of children")
    world.seen.until(lambda m: m.get(site("site_degraded")) == 1, 30, "the site to be degraded")
    world.seen.until(lambda m: m["cosell_certificate_errors_total"] > before["cosell_certificate_errors_total"], 30, "the certificate not to be there")
    assert world.seen.now()["cosell_accepted_total"] == before["cosell_accepted_total"]
    assert world.seen.now()[site("notices_total", "partner-center")] == before[site("notices_total", "partner-center")]
    world.partner.post("certificate", {"fault": None})
    with open(world.mapping, "w") as file:
        file.write(good)
    world.server.graceful()
    after = world.seen.until(lambda m: m.get(site("site_degraded")) == 0 and m, 30, "the site to be good again")
    assert after["cosell_runner_starts_total"] >= before["cosell_runner_starts_total"] + 2
    world.seen.until(lambda m: m["cosell_certificate_fetches_total"] > before["cosell_certificate_fetches_total"], 90, "the certificate to be fetched")


def test_a_site_that_goes_takes_its_metrics_along(world):
    world.server.log.announce("CS10\\d\\d")
    world.seen.now()
    world.replace("CosellSite", "CosellSite fabrikam")
    world.server.configure()
    world.server.graceful()
    m = world.seen.until(lambda m: m.get('cosell_backlog{site="fabrikam"}') == 0 and m, 30, "the new site to be measured")
    assert not [name for name in m if "contoso" in name]


def test_every_metric_has_moved(world):
    moved = world.seen.moved()
    directory = os.path.dirname(os.path.realpath(__file__))
    for file, names in ELSEWHERE.items():
        with open(os.path.join(directory, file)) as source:
            text = source.read()
        for name in names:
            assert name in text, "%s does not name %s" % (file, name)
        moved |= names
    left = set(world.seen.families) - moved - CONSTANT
    assert not left, "never moved: %s" % sorted(left)
