"""cosellctl against a server that says whatever a test wants: long jobs, restarts in the middle, strange answers, terminals."""

import base64
import http.server
import json
import os
import pty
import select
import signal
import threading
import time
import urllib.parse

import pytest

from harness import wait_for
from harness.ctl import CTL, Ctl, read_until
from harness.server import free_port

ID = "0123456789abcdef"
USER = "Basic " + base64.b64encode(b"alice:wonder").decode()


class Fake:
    """Answers of a cosell-admin: pages by their first parameter, a job that is `jobs[n]` at its n-th question."""

    def __init__(self, port=0):
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *ignored):
                pass

            def do_GET(self):
                fake.answer(self, None)

            def do_POST(self):
                fake.answer(self, self.rfile.read(int(self.headers["Content-Length"])))

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.url = "http://127.0.0.1:%d/cosell-admin" % self.port
        self.asked, self.wishes, self.headers = [], [], []
        self.pages, self.jobs, self.raw = {"": OVERVIEW}, [], None
        self.refuse, self.closed = None, False
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def answer(self, handler, body):
        if self.closed:
            handler.close_connection = True  # one that was kept open
            return
        parts = urllib.parse.urlsplit(handler.path)
        query = dict(urllib.parse.parse_qsl(parts.query, keep_blank_values=True))
        self.asked.append(parts.query)
        self.headers.append(dict(handler.headers))
        status, kind, document = 200, "application/json", None
        if self.raw:
            status, kind, document = self.raw
        elif self.refuse:
            status, document = self.refuse
        elif body is not None:
            self.wishes.append(json.loads(body))
            status, document = 202, {"accepted": True, "do": self.wishes[-1]["do"], "site": "contoso", "job": ID}
        elif "job" in query:
            document = self.jobs.pop(0) if len(self.jobs) > 1 else self.jobs[0]
            if callable(document):
                document = document(int(query.get("after", 0)))
        else:
            name = next(iter(query), "")
            document = self.pages.get(name, {})
            if callable(document):
                document = document(query)
            if "error" in document:
                status = 404
        data = document.encode() if isinstance(document, str) else json.dumps(document).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    def close(self):
        self.closed = True
        self.server.shutdown()
        self.server.server_close()


OVERVIEW = {"version": "0.1.0", "runner": {"alive": True, "pid": 7, "workers": 4}, "committer": {"troubled": False}, "store": {"kind": "sqlite"},
            "alerts": [], "sites": [{"site": "contoso", "totals": {"linked": 3}, "lane": {"state": "idle", "outstanding": 0, "dead": 0}}]}


def job(state, kind="look", rows=(), after=0, next=None, **more):
    return {"site": "contoso", "job": {"id": ID, "kind": kind, "state": state, "user": "alice", "arguments": {}, **more}, "rows": list(rows), "next": next}


def done(text="done", **result):
    return job("done", result={"text": text, **result})


@pytest.fixture
def fake():
    server = Fake()
    yield server
    server.close()


@pytest.fixture
def ctl(fake):
    return Ctl(fake.url)


# ---- wishes ----

@pytest.mark.parametrize("line,wish", [
    ("look 12", {"do": "look", "id": "12"}),
    ("release mapping", {"do": "release", "brake": "mapping"}),
    ("cancel 0123", {"do": "cancel", "job": "0123"}),
    ("pause --why upgrade", {"do": "pause", "why": "upgrade"}),
    ("resume --site contoso", {"do": "resume", "site": "contoso"}),
    ("deals link 7 0065g", {"do": "link", "deal": "7", "record": "0065g"}),
    ("deals unlink 7", {"do": "unlink", "deal": "7"}),
    ("deals create 7", {"do": "create", "deal": "7"}),
    ("deals ignore 7", {"do": "ignore", "deal": "7"}),
    ("deals choose 7 a-1", {"do": "choose", "deal": "7", "row": "a-1"}),
    ("deals resolve 7 value crm", {"do": "resolve", "deal": "7", "line": "value", "side": "crm"}),
    ("dead retry 7", {"do": "retry", "deal": "7"}),
    ("dead retry pc:abc", {"do": "retry", "name": "pc:abc"}),
    ("dead drop --cause", None),
    ("dead retry --all", {"do": "retry", "all": True}),
    ("dead retry", None),
    ("dead retry 7 --all", None),
    ("resync --all --dry-run", {"do": "resync", "all": True, "dry_run": True}),
    ("resync --id 7", {"do": "resync", "id": "7"}),
    ("resync --since 3d", {"do": "resync", "since": "3d"}),
    ("resync", None),
    ("resync --all --id 7", None),
    ("webhook show", {"do": "webhook", "action": "show"}),
    ("webhook register --url https://a/hook --events a,b --overwrite",
     {"do": "webhook", "action": "register", "url": "https://a/hook", "events": ["a", "b"], "overwrite": True}),
    ("webhook test", {"do": "webhook", "action": "test"}),
    ("login --device", {"do": "login", "method": "device"}),
    ("login --device --redirect-uri https://a/in", None),
    ("webhook restore --overwrite", {"do": "webhook", "action": "restore", "overwrite": True}),
    ("login --redirect-uri https://a/in", {"do": "login", "method": "code", "redirect_uri": "https://a/in"}),
])
def test_what_is_asked_for(fake, ctl, line, wish):
    fake.jobs = [done("it is so")]
    said = ctl(*line.split(), status=0 if wish else 2)
    assert fake.wishes == ([wish] if wish else [])
    if wish and wish["do"] != "resync":
        assert "it is so" in said.out


def test_the_sign_in_ends_beside_the_handler(fake, ctl):
    fake.jobs = [done()]
    ctl("login")
    assert fake.wishes == [{"do": "login", "method": "code", "redirect_uri": fake.url.replace("cosell-admin", "cosell-login")}]


def test_the_handlers_headers(fake, ctl):
    fake.jobs = [done()]
    ctl("look", "1")
    post = fake.headers[0]
    assert post["Authorization"] == USER and post["X-Cosell-Request"] == "1" and post["Content-Type"] == "application/json"
    assert post["Accept"] == "application/json" and fake.headers[1]["Authorization"] == USER


def test_the_webhooks_address_is_not_the_handlers(fake, ctl):
    assert "cosell-webhook" in ctl("webhook", "register", "--url", fake.url, status=2).err
    assert not fake.wishes


# ---- long work ----

def working(n, of, say=()):
    return job("running", "resync", progress={"done": n, "of": of, "rate": 50.0, "text": "looking", "say": list(say)})


def test_progress_without_a_terminal_is_lines(fake, ctl):
    fake.jobs = [job("waiting", "resync"), working(10, 100, ["first"]), working(50, 100, ["first", "second"]), working(100, 100, ["first", "second"]),
                 job("done", "resync", result={"text": "100 deals looked at: changed 1"})]
    said = ctl("resync", "--all")
    assert "\r" not in said.err and "\033" not in said.err + said.out
    assert said.err.count("first") == 1 and said.err.count("second") == 1 and "10/100" in said.err
    assert "100 deals looked at: changed 1" in said.out


@pytest.mark.parametrize("more", [(), ("--no-progress",)])
def test_no_progress_amid_the_doctors_lines(fake, ctl, more):
    fake.jobs = [job("running", "doctor", progress={"done": n, "of": 5, "text": "Partner Center", "say": ["asks"]}) for n in (1, 2, 3)] + [
        job("done", "doctor", result={"text": "x", "checks": []})]
    said = ctl("doctor", *more)
    assert said.err == "" and "everything is as it must be" in said.out
    fake.jobs = [job("running", "doctor", progress={"done": 1, "of": 5, "waits": "sales works again"}), job("done", "doctor", result={"text": "x", "checks": []})]
    assert "waits: sales works again" in ctl("doctor", *more).err
    fake.jobs = [working(10, 100), job("done", "resync", result={"text": "over"})]
    said = ctl("resync", "--all", *more)
    assert "10% 10/100" in said.err and "#" not in said.err and "[" not in said.err


def test_a_diff_of_each_deal(fake, ctl):
    rows = [{"n": 1, "deal": 4, "row": {"deal": 4, "referral": "r-4", "title": "Fabrikam", "changes": [
        {"line": "value", "direction": "to_crm", "from": {"amount": "1.00", "currency": "USD"}, "to": {"amount": "2.00", "currency": "USD"}, "why": "moved"}]}},
        {"n": 2, "deal": 5, "row": {"deal": 5, "referral": "r-5", "title": "Northwind", "changes": [], "error": "http:503"}}]
    result = {"text": "2 deals looked at", "looked": 2, "would_change": 1, "nothing": 0, "failed": 1, "lines": {"value": 1}}

    def page(after):
        left = [row for row in rows if row["n"] > after]
        return job("done", "resync", rows=left[:1], next=left[0]["n"] if len(left) > 1 else None, result=result)
    fake.jobs = [page]
    said = ctl("resync", "--all", "--dry-run")
    for text in ("deal 4  Fabrikam  r-4", "value in the CRM  (moved)", "- 1.00 USD", "+ 2.00 USD", "deal 5  Northwind", "http:503",
                 "2 deals looked at\nlines: value 1"):
        assert text in said.out, said
    document = ctl("resync", "--all", "--dry-run", "--json").json
    assert [row["n"] for row in document["rows"]] == [1, 2] and document["job"]["result"]["looked"] == 2


@pytest.mark.parametrize("end,status,text", [
    (job("failed", result={"error": "the CRM refused"}), 1, "the CRM refused"),
    (job("cancelled", result={"text": "by bob"}), 1, "cancelled"),
    (job("done", result={"text": "fine"}), 0, "fine")])
def test_how_a_job_ends(fake, ctl, end, status, text):
    fake.jobs = [end]
    said = ctl("look", "1", status=status)
    assert text in said.out + said.err
    document = ctl("look", "1", "--json", status=status).json
    assert document["job"]["state"] == end["job"]["state"]


def test_a_job_that_does_not_begin_says_why(fake, ctl):
    fake.pages[""] = dict(OVERVIEW, runner={"alive": False, "pid": None, "workers": 4})
    states = iter(range(1000))
    started = time.monotonic()
    fake.jobs = [lambda after: done() if time.monotonic() - started > 7 and next(states) else job("waiting")]
    said = ctl("look", "1")
    assert "waits to begin" in said.err and "runner" in said.err


def test_an_interrupted_program_leaves_the_job(fake, ctl):
    fake.jobs = [working(1, 10)]
    process = ctl.start("resync", "--all")
    wait_for(lambda: len(fake.asked) > 2, 10, "polls")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert process.returncode == 130, (out, err)
    assert "job %s goes on" % ID in err and "cosellctl job %s --follow" % ID in err and "cosellctl cancel %s" % ID in err


def test_a_restart_in_the_middle_is_waited_for(ctl):
    port = free_port()
    first = Fake(port)
    first.jobs = [working(1, 10)]
    ctl.url = first.url
    process = ctl.start("resync", "--all")
    wait_for(lambda: len(first.asked) > 2, 10, "polls")
    first.close()
    read_until(process.stderr, "waiting for it")
    second = Fake(port)
    try:
        second.jobs = [working(5, 10), job("done", "resync", result={"text": "10 deals looked at"})]
        out, err = process.communicate(timeout=20)
    finally:
        second.close()
    assert process.returncode == 0 and "10 deals" in out, (out, err)


def test_login_shows_where_to_sign_in(fake, ctl):
    waits = job("running", "login", progress={"open": "https://login.example/in?x=1", "code": "ABCD-EFGH", "expires": "2026-11-23T05:00:00.000Z"})
    fake.jobs = [job("waiting", "login"), waits, waits, job("done", "login", result={"text": "signed in as admin@contoso.example"})]
    said = ctl("login", "--device")
    assert said.out.count("https://login.example/in?x=1") == 1 and "ABCD-EFGH" in said.out and "2026-11-23 05:00:00 UTC" in said.out
    assert "signed in as admin@contoso.example" in said.out
    fake.jobs = [waits, job("done", "login", result={"text": "signed in"})]
    said = ctl("login", "--json")
    assert said.json["job"]["state"] == "done" and "https://login.example/in?x=1" in said.err


def test_doctor(fake, ctl):
    checks = [{"check": "token", "state": "ok", "text": "it works", "fix": None},
              {"check": "key", "state": "warn", "text": "no alternate key", "fix": "make one"},
              {"check": "flow", "state": "skip", "text": "not asked", "fix": None}]
    fake.jobs = [job("done", "doctor", result={"text": "x", "checks": checks})]
    said = ctl("doctor")
    assert "ok    token" in said.out and "warn  key" in said.out and "fix: make one" in said.out and "1 warning" in said.out
    assert " runner " not in said.out  # the page's own checks: only what is wrong
    checks.append({"check": "role", "state": "fail", "text": "no right to write", "fix": "give it"})
    said = ctl("doctor", status=1)
    assert "FAIL  role" in said.out and "1 thing fails" in said.out
    assert ctl("doctor", "--json", status=1).json["job"]["result"]["checks"] == checks


def test_doctor_without_a_runner_says_so(fake, ctl):
    fake.pages[""] = dict(OVERVIEW, runner={"alive": False, "workers": 4}, alerts=[
        {"site": "contoso", "what": "suspended:sales", "level": "error", "text": "sales is off", "todo": "sign in again", "since": None}])
    said = ctl("doctor", status=4)
    assert "FAIL  runner" in said.out and "FAIL  suspended:sales" in said.out and "fix: sign in again" in said.out
    assert not fake.wishes
    fake.refuse = (503, dict(OVERVIEW, error="the disk is full"))
    said = ctl("doctor", status=4)
    assert "FAIL  store" in said.out and "the disk is full" in said.out


# ---- pages ----

def test_deals_come_page_by_page(fake, ctl):
    def page(query):
        first = int(query.get("after", 0))
        n = min(int(query["max"]), 200)
        deals = [{"id": i, "state": "linked", "title": "Deal %d" % i, "status": "In sync", "problem": None, "updated": None} for i in range(first, min(first + n, 450))]
        return {"sites": [{"site": "contoso", "totals": {}, "deals": deals, "next": str(first + n) if first + n < 450 else None}]}
    fake.pages["deals"] = page
    document = ctl("deals", "--max", "1000", "--json").json
    assert [deal["id"] for deal in document["sites"][0]["deals"]] == list(range(450)) and document["sites"][0]["next"] is None
    assert len(fake.asked) == 3
    said = ctl("deals", "--max", "3", "--state", "linked", "--search", "a b&c")
    assert len(said.out.splitlines()) == 4 and "there are more" in said.err
    assert "deals=linked&search=a%20b%26c&max=3" in fake.asked[-1]
    ctl("deals", "--max", "0", status=2)
    ctl("deals", "--max", "many", status=2)


def test_what_strangers_wrote_commands_no_terminal(fake, ctl):
    fake.pages["deals"] = {"sites": [{"site": "contoso", "deals": [{"id": 1, "state": "linked", "title": "x\033[2J\033]0;owned\007y\u202ez", "updated": None}]}]}
    said = ctl("deals")
    assert "\033" not in said.out and "\007" not in said.out and "\u202e" not in said.out and "x?[2J" in said.out


def journal(*numbers):
    return {"sites": [{"site": "contoso", "journal": [
        {"id": n, "deal": 4, "at": "2026-11-23T04:00:%02d.000Z" % n, "direction": "to_crm", "action": "update", "line": "value", "from": 1, "to": 2,
         "outcome": "done", "why": "line %d" % n} for n in numbers]}]}


def test_the_journal_goes_on(fake, ctl):
    fake.pages["journal"] = lambda query: journal(*range(int(query["after"]) + 1, 8)) if "after" in query else journal(5, 4, 3)
    process = ctl.start("journal", "-f", "-n", "3")
    lines = read_until(process.stdout, "line 7").splitlines()
    process.terminate()
    process.communicate(timeout=10)
    assert [line.rpartition("line ")[2].strip() for line in lines] == ["3", "4", "5", "6", "7"]
    assert "1 → 2 to the CRM" in lines[0] and lines[0].startswith("2026-11-23 04:00:03")


def test_the_journal_of_a_deal_by_any_id(fake, ctl):
    fake.pages["deal"] = {"deal": {"id": 4}}
    fake.pages["journal"] = journal(1)
    ctl("journal", "--deal", "c5fb-x")
    assert "deal=4" in fake.asked[-1]
    fake.pages["deal"] = {"error": "no deal has this number"}
    assert "no deal has" in ctl("journal", "--deal", "c5fb-x", status=5).err


PLAN = {"what": "steps", "why": "Partner Center moved", "mapping": "2", "lines": [
    {"line": "value", "verdict": "to_crm", "why": "changed there", "pc": {"amount": "2.00", "currency": "USD"}, "crm": {"amount": "1.00", "currency": "USD"},
     "seen_pc": {"amount": "1.00", "currency": "USD"}, "seen_crm": {"amount": "1.00", "currency": "USD"}, "value": {"amount": "2.00", "currency": "USD"}},
    {"line": "name", "verdict": "same", "pc": "Fabrikam", "crm": "Fabrikam", "seen_pc": "Fabrikam", "seen_crm": "Fabrikam"}],
    "steps": [{"kind": "update", "send": True, "table": "opportunity", "id": "o-1", "columns": {"estimatedvalue": 2}, "lines": ["value"], "after": -1, "why": "value"}]}
DEAL = {"deal": {"id": 4, "site": "contoso", "state": "linked", "title": "Fabrikam", "status": "In sync, not all", "problem": "Topic is too long", "referral": "r-4",
                 "engagement": "e-4", "crm": "sales", "kind": "opportunity", "table": "opportunity", "record": "o-1", "link": "https://crm/o-1",
                 "pc_status": "Active/Accepted", "images": {"name": {"pc": "Fabrikam", "crm": "Fabrikam"}}, "explain": dict(PLAN, lines=[]), "next_look": None,
                 "updated": "2026-11-23T04:00:00.000Z"},
        "work": {"kind": "look", "name": "deal:4", "state": "suspended", "attempts": 2, "due": "2026-11-23T05:00:00.000Z", "detail": "it is off"},
        "suspended": {"upstream": "sales", "problem": "http:503", "detail": "sales answers 503", "since": "2026-11-23T03:00:00.000Z", "probe": "2026-11-23T05:00:00.000Z"},
        "journal": journal(2, 1)["sites"][0]["journal"]}


def test_show(fake, ctl):
    fake.pages["deal"] = DEAL
    fake.jobs = [job("done", "show", result={"text": "x", "deal": DEAL["deal"], "partner_center": {"status": "Active", "substatus": "Accepted"}, "microsoft": None,
                                              "record": {"name": "Fabrikam"}, "plan": PLAN, "calls": 2})]
    said = ctl("show", "r-4")
    for text in ("Deal 4  Fabrikam", "Topic is too long", "r-4  Active/Accepted", "opportunity o-1 of sales", "sales answers 503", "suspended after 2 tries",
                 "to_crm: changed there", "2.00 USD (was 1.00 USD)", "1. update opportunity o-1", "estimatedvalue = 2", "because", "line 2", "Active/Accepted"):
        assert text in said.out, (text, said)
    assert fake.wishes == [{"do": "show", "id": "r-4"}]
    assert ctl("show", "r-4", "--json").json["job"]["result"]["calls"] == 2
    fake.wishes.clear()
    said = ctl("show", "r-4", "--offline")
    assert not fake.wishes and "What each side showed last" in said.out and "Fabrikam" in said.out
    assert ctl("show", "r-4", "--offline", "--json").json == DEAL
    fake.jobs = [job("failed", "show", result={"error": "sales answers 503"})]
    said = ctl("show", "r-4", status=1)
    assert "sales answers 503" in said.err and "Deal 4" in said.out
    fake.jobs = [job("done", "show", result={"text": "it would be made", "deal": None, "partner_center": {"status": "New"}, "record": None, "plan": None, "calls": 1})]
    fake.pages["deal"] = {"waiting": {"name": "pc:r-9", "state": "ready", "due": "2026-11-23T05:00:00.000Z", "attempts": 0, "suspended": None}}
    assert "waits for its first look" in ctl("show", "r-9").out
    fake.pages["deal"] = {"error": "no deal has this number"}
    assert "is no deal yet" in ctl("show", "r-9").out
    assert "no deal" in ctl("show", "r-9", "--offline", status=5).err
    fake.jobs = [job("failed", "show", result={"error": "nobody knows it"})]
    assert "nobody knows it" in ctl("show", "r-9", status=5).err


def test_status_with_warnings_first(fake, ctl):
    fake.pages[""] = dict(OVERVIEW, alerts=[{"site": "contoso", "what": "dead", "level": "warning", "text": "3 looks are dead", "todo": "see dead list", "since": None}])
    said = ctl("status")
    assert said.out.splitlines()[0].startswith("warn") and "see dead list" in said.out and "3 linked" in said.out
    assert ctl("status", "--json").json == fake.pages[""]
    said = ctl("status", "--site", "fabrikam", status=5)
    assert said.out == "" and said.err == 'cosellctl: there is no site "fabrikam" at %s; there: contoso (the main server shows all with ?scope=all)\n' % fake.url
    for more in ((), ("--json",)):
        assert ctl("status", "--site", "fabrikam", *more, status=5).out == ""


def test_alerts_of_other_sites_are_not_shown(fake, ctl):
    fake.pages[""] = dict(OVERVIEW, alerts=[{"site": site, "what": "dead", "level": "error", "text": "it is %s" % site, "todo": None, "since": None}
                                            for site in ("contoso", "fabrikam", None)])
    said = ctl("status", "--site", "contoso").out
    assert "it is contoso" in said and "it is None" in said and "it is fabrikam" not in said
    assert "it is fabrikam" in ctl("status").out


def test_an_id_of_several_deals(fake, ctl):
    several = {"error": 'the id "r-4" is that of deal 4 (opportunity of sales) and deal 9 (opportunity of emea); say which by its number',
               "candidates": [{"id": 4, "site": "contoso"}, {"id": 9, "site": "fabrikam"}]}
    fake.refuse = (409, several)
    said = ctl("show", "r-4", status=3)
    assert said.out == "" and said.err == "cosellctl: %s\n" % several["error"] and not fake.wishes
    ctl("show", "r-4", "--site", "fabrikam", "--offline", status=3)
    assert fake.asked[-1] == "deal=9"


def test_jobs_say_what_they_are_of(fake, ctl):
    one = {"id": ID, "kind": "look", "what": "look at deal 12", "user": "alice", "state": "running", "created": "2026-11-23T04:00:00Z", "updated": None, "result": None,
           "arguments": {"id": "12"}}
    fake.pages["jobs"] = {"sites": [{"site": "contoso", "jobs": [one, {**one, "what": None}]}]}
    lines = ctl("jobs").out.splitlines()
    assert "look at deal 12  running" in lines[1] and "look  " in lines[2]
    fake.jobs = [{"site": "contoso", "job": one, "rows": [], "next": None}]
    assert "what     look at deal 12" in ctl("job", ID).out
    fake.pages[""] = dict(OVERVIEW, sites=[{"site": "contoso", "jobs": [one]}])
    assert ID + " look at deal 12, running" in ctl("status").out


def test_times_have_one_form(fake, ctl):
    fake.pages["deal"] = DEAL
    raw = "2026-11-23T05:15:25.2307124Z"
    plan = {"what": "nothing", "lines": [{"line": "expires", "verdict": "equal", "pc": "2026-12-01T01:00:00+01:00", "crm": "2026-12-01"}]}
    fake.jobs = [job("done", "show", result={"text": "x", "deal": DEAL["deal"], "partner_center": {"status": "Active", "substatus": "Accepted", "updatedDateTime": raw},
                                              "microsoft": None, "record": None, "plan": plan, "calls": 1})]
    said = ctl("show", "r-4").out
    assert "changed 2026-11-23 05:15:25 UTC" in said and raw not in said and "Partner Center  2026-12-01 00:00:00 UTC" in said and "CRM             2026-12-01\n" in said
    assert ctl("show", "r-4", "--json").json["job"]["result"]["partner_center"]["updatedDateTime"] == raw


def test_what_is_dead_says_what_to_do(fake, ctl):
    fake.pages["problems"] = {"sites": [{"site": "contoso", "causes": [{"cause": "dead config:crm 1", "text": "it belongs to emea", "todo": "configure it", "deals": 2, "since": None, "dead": True}]}]}
    assert "it belongs to emea; configure it" in ctl("problems").out
    fake.pages["dead"] = {"sites": [{"site": "contoso", "dead": [{"name": "deal:4", "attempts": 0, "first": None, "problem": "config:crm", "detail": "it belongs to emea", "todo": "configure it"},
                                                                 {"name": "deal:5", "attempts": 0, "first": None, "problem": "x", "detail": "why", "todo": None}], "next": None}]}
    said = ctl("dead", "list").out
    assert "it belongs to emea; configure it" in said and said.rstrip().endswith("why")


def test_all_sites_of_a_main_server(fake, ctl):
    ctl.url = fake.url + "?scope=all"
    fake.jobs = [done()]
    fake.pages["scope"] = OVERVIEW
    fake.pages["problems"] = {"sites": []}
    ctl("status")
    ctl("problems", status=5)
    ctl("look", "1", "--site", "contoso")
    assert fake.asked[:3] == ["scope=all", "problems&scope=all", "scope=all"] and "scope=all" in fake.asked[3]


# ---- what goes wrong ----

@pytest.mark.parametrize("raw,status,text", [
    ((401, "text/html", "<h1>no</h1>"), 3, "not accepted"),
    ((403, "application/json", '{"error": "not this host"}'), 3, "not this host"),
    ((403, "text/html", "<h1>no</h1>"), 3, "Require"),
    ((404, "application/json", '{"error": "no such brake"}'), 5, "no such brake"),
    ((404, "text/html", "<h1>no</h1>"), 4, "SetHandler cosell-admin"),
    ((400, "application/json", '{"error": "what?"}'), 3, "what?"),
    ((503, "application/json", '{"error": "the disk is full"}'), 4, "the disk is full"),
    ((500, "text/html", "<h1>no</h1>"), 4, "500"),
    ((302, "text/html", ""), 4, "elsewhere"),
    ((200, "text/html", "<h1>It works</h1>"), 4, "not with a document"),
    ((200, "application/json", '{"a": 1, "a": 2}'), 4, "not with a document"),
])
def test_answers_that_are_none(fake, ctl, raw, status, text):
    fake.raw = raw
    for line in (("jobs",), ("look", "1")):
        assert text in ctl(*line, status=status).err


def test_nobody_listens(ctl):
    ctl.url = "http://127.0.0.1:%d/cosell-admin" % free_port()
    said = ctl("jobs", status=4)
    assert "is httpd running" in said.err and "wonder" not in said.err


@pytest.mark.parametrize("why,arguments", [
    ("netrc", ("--user", "alice:wonder", "status")), ("netrc", ("status", "--password=wonder")), ("netrc", ("-ualice:wonder", "status")),
    ("netrc", ("--url", "https://alice:wonder@127.0.0.1/x", "status")), ("https", ("--url", "http://hooks.example.com/x", "status"))])
def test_no_credentials_on_the_command_line(fake, ctl, why, arguments):
    said = ctl(*arguments, status=2)
    assert why in said.err and "wonder" not in said.err and not fake.asked


def test_where_settings_come_from(fake, ctl):
    fake.pages["jobs"] = {"sites": [{"site": "contoso", "jobs": []}]}
    ctl.url = None
    assert "COSELL_URL" in ctl("jobs", status=2).err
    ctl.write(".config/cosell/ctl.conf", "# mine\nurl = %s\nsite=contoso\n" % fake.url)
    ctl("jobs")
    assert "there: contoso" in ctl("jobs", "--site", "other", status=5).err
    ctl("jobs", status=4, COSELL_URL="http://127.0.0.1:1/x")
    ctl.write(".config/cosell/ctl.conf", "url=%s\npassword=wonder\n" % fake.url)
    said = ctl("jobs", status=2)
    assert "ctl.conf:2" in said.err and "wonder" not in said.err


def test_netrc(fake, ctl):
    fake.pages["jobs"] = {"sites": [{"site": "contoso", "jobs": []}]}
    os.chmod(os.path.join(ctl.home, ".netrc"), 0o644)
    assert "chmod 600" in ctl("jobs", status=2).err
    other = ctl.write("other", "default login bob password builder\n", 0o600)
    ctl("jobs", "--netrc", other)
    assert fake.headers[-1]["Authorization"] == "Basic " + base64.b64encode(b"bob:builder").decode()
    assert "no-such" in ctl("jobs", "--netrc", "/no-such", status=2).err
    broken = ctl.write("broken", "machine 127.0.0.1 login bob\npasswort builder\n", 0o600)
    said = ctl("jobs", "--netrc", broken, status=2)
    assert "line 2" in said.err and "builder" not in said.err
    os.unlink(os.path.join(ctl.home, ".netrc"))
    ctl("jobs")
    assert "Authorization" not in fake.headers[-1]
    fake.raw = (401, "text/html", "")
    assert "~/.netrc" in ctl("jobs", status=3).err


# ---- a terminal ----

def on_terminal(ctl, *arguments, columns=60, **env):
    """All that a terminal of so many columns was sent, and the exit status."""
    import fcntl
    import struct
    import termios
    pid, terminal = pty.fork()
    if pid == 0:
        fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        os.execve(CTL, [CTL, *arguments], ctl.environment(**env))
    data, end = b"", time.monotonic() + 30
    while time.monotonic() < end:
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                more = os.read(terminal, 65536)
            except OSError:
                break
            if not more:
                break
            data += more
    os.close(terminal)
    return data.decode(), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_bar_on_a_terminal(fake, ctl):
    fake.jobs = [working(10, 100), working(50, 100, ["half of it"]), working(90, 100, ["half of it"]),
                 job("done", "resync", result={"text": "100 deals looked at"})]
    said, status = on_terminal(ctl, "resync", "--all")
    assert status == 0 and "10% 10/100, 50/s" in said and "\r\033[K" in said and said.count("half of it") == 1
    for line in said.replace("\033[K", "").replace("\r", "\n").split("\n"):
        assert len(line) <= 60, line
    fake.jobs = [working(10, 100), job("done", "resync", result={"text": "x", "looked": 1})]
    said, status = on_terminal(ctl, "resync", "--all", "--no-progress")
    assert status == 0 and "\033[K" not in said


def test_colours_unless_not_wanted(fake, ctl):
    fake.jobs = [job("done", "doctor", result={"text": "x", "checks": [{"check": "token", "state": "fail", "text": "no", "fix": "mend"}]})]
    said, status = on_terminal(ctl, "doctor")
    assert status == 1 and "\033[31mFAIL\033[0m" in said
    said, status = on_terminal(ctl, "doctor", NO_COLOR="1")
    assert status == 1 and "FAIL" in said and "\033[3" not in said


def test_tables_end_where_the_terminal_ends(fake, ctl):
    fake.pages["deals"] = {"sites": [{"site": "contoso", "deals": [
        {"id": n, "state": "linked", "title": "日本語の長い題名 " * 5, "problem": "Bläckforst " * 20, "updated": "2026-11-23T04:00:00.000Z"} for n in range(3)]}]}
    said, status = on_terminal(ctl, "deals", columns=70)
    assert status == 0 and "…" in said
    import unicodedata
    for line in said.splitlines():
        assert sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line) <= 70, line
    assert "…" not in ctl("deals").out


# ---- offline ----

def test_every_mistake_of_a_mapping_with_its_place(ctl):
    ctl.url = None
    path = ctl.write("wrong.json", '{\n  "extends": "dynamics365.json", "revision": "a",\n  "names": {"status": 5},\n  "recordz": {}\n}\n')
    from harness.paths import REPO
    ctl.write("dynamics365.json", open(os.path.join(REPO, "conf", "mapping", "dynamics365.json")).read())
    said = ctl("map", "check", path, status=1)
    assert path + ":3:23: /names/status: " in said.out and path + ":4:" in said.out and "/recordz" in said.out and "2 mistakes" in said.err
    document = ctl("map", "check", path, "--json", status=1).json
    assert not document["good"] and len(document["mistakes"]) == 2
    assert any({"file": path, "line": 3, "column": 23, "pointer": "/names/status"}.items() <= mistake.items() for mistake in document["mistakes"])
    good = ctl("map", "check", os.path.join(REPO, "conf", "mapping", "example-overlay-salesforce.json")).out
    assert "good" in good and "salesforce" in good and "conf/mapping/salesforce.json" in good
    assert ctl("map", "check", "/no/such.json", status=5).err
    ctl("map", "check", ctl.write("half.json", '{"extends": '), status=1)


def test_help_version_completion(ctl):
    ctl.url = None
    assert "resync" in ctl("help").out and "--dry-run" in ctl("help", "resync").out and "dead drop" in ctl("help", "dead").out
    assert "--dry-run" in ctl("resync", "--help").out
    assert ctl("version").out.startswith("cosellctl ") and ctl("--version").out == ctl("version").out
    ctl("help", "nope", status=2)
    ctl("completion", "fish", status=2)


def complete(ctl, *words):
    import subprocess
    script = ctl.write("completion", ctl("completion", "bash").out)
    code = 'source %s; COMP_WORDS=(%s); COMP_CWORD=%d; _cosellctl; printf "%%s\\n" "${COMPREPLY[@]}"' % (
        script, " ".join("'%s'" % word for word in ("cosellctl", *words)), len(words))
    return subprocess.run(["bash", "-c", code], stdout=subprocess.PIPE, check=True, encoding="utf-8").stdout.split()


def test_completion(ctl):
    ctl.url = None
    assert {"status", "webhook", "deals", "dead"} <= set(complete(ctl, ""))
    assert complete(ctl, "webhook", "re") == ["register", "restore"]
    assert complete(ctl, "--site", "show", "dead", "") == ["list", "retry", "drop"]
    assert complete(ctl, "webhook", "register", "--over") == ["--overwrite"]
    assert "--follow" in complete(ctl, "journal", "--") and "--overwrite" not in complete(ctl, "journal", "--")
    assert "linked" in complete(ctl, "deals", "--state", "")
    assert complete(ctl, "completion", "") == ["bash"]
