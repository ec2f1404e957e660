"""What needs a person is named within a minute, in words that say what to do, to whoever asked to be told; and it is over by itself after repair."""

import http.server
import json
import os
import re
import sqlite3
import threading
import time
import uuid

import pytest

from harness import Event, wait_for
from harness.paths import give_to_server_user

SPLIT = ("world", "second")
MINUTE = 60
LOCATION = ['<Location "/metrics">', "  SetHandler cosell-metrics", "</Location>"]
FAULT_SIZE = 64
LONG = 200
SCRIPT = """#!/bin/sh
# Appends what it is told to the file named by its argument: the document, and its environment.
read -r document
{ printf '%s\\n' "$document"; env | grep ^COSELL_ | sort; echo; } >> "$1"
"""


class Listener:
    """Takes documents at an address of the loopback; answers what `status` says."""

    def __init__(self):
        self.documents, self.status, self.attempts = [], 200, 0
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                owner.attempts += 1
                if owner.status == 200:
                    owner.documents.append((self.path, dict(self.headers), json.loads(body)))
                self.send_response(owner.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *ignored):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = "http://127.0.0.1:%d/hook" % self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def told(self):
        return [document for _, _, document in self.documents]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def commands(world):
    """(document, environment) of every run of the script."""
    try:
        with open(world.told_file) as file:
            blocks = [block for block in file.read().split("\n\n")[:-1] if block.strip()]  # the last one may still be written
    except FileNotFoundError:
        return []
    out = []
    for block in blocks:
        first, _, rest = block.strip("\n").partition("\n")
        out.append((json.loads(first), dict(line.split("=", 1) for line in rest.splitlines())))
    return out


def alerts(world):
    """{(site, what): level} of those that are on."""
    reply = world.server.get("/metrics")
    assert reply.status == 200
    return {(site, what): level for site, what, level in
            re.findall(r'^cosell_alert\{site="([^"]*)",what="([^"]*)",level="([^"]*)"\} 1$', reply.body.decode(), re.M)}


def store_fact(world, name, document):
    """As the runner would; None removes it."""
    connection = sqlite3.connect(world.server.database, timeout=10)
    try:
        with connection:
            connection.execute("DELETE FROM meta WHERE site = ? AND name = ?", (world.name, name))
            if document is not None:
                connection.execute("INSERT INTO meta VALUES (?, ?, ?)", (world.name, name, json.dumps(document)))
    finally:
        connection.close()


def brake(world, on):
    """What the store says of a bulk change that is held: the runner does not touch it."""
    connection = sqlite3.connect(world.server.database, timeout=10)
    try:
        with connection:
            connection.execute("DELETE FROM suspended WHERE upstream = 'brake:missing:sales'")
            if on:
                connection.execute("INSERT INTO suspended VALUES (?, 'brake:missing:sales', 'suspend', 'brake:missing', 'forty records are gone', ?, 0)",
                                   (world.name, int(time.time() * 1e6)))
    finally:
        connection.close()


def fault(world, what):
    with open(world.fault_file, "r+b" if os.path.exists(world.fault_file) else "wb") as file:
        file.write(what.encode().ljust(FAULT_SIZE, b"\0"))
    os.chmod(world.fault_file, 0o644)


def prepare(world):
    server = world.server
    world.listener = Listener()
    world.told_file = server.path("tmp/told")
    world.fault_file = server.path("tmp/fault")
    fault(world, "")
    server.env.update({"COSELL_FAULT_FILE": world.fault_file, "COSELL_FAULT_DIR": server.state, "SECRET_OF_THE_SERVER": "must-not-be-told"})
    script = server.write("tmp/notify", SCRIPT, 0o755)
    give_to_server_user(script)
    server.globals_ += ['CosellNotify "exec:%s %s" every=1d' % (script, world.told_file), "CosellNotify url:%s level=error" % world.listener.url]
    server.locations += LOCATION
    server.log.begin()
    return world


def begin(world):
    prepare(world).start().ready()
    world.looked(world.refer())
    return world


ONE_CHILD = ["StartServers 1", "ServerLimit 1", "ThreadLimit 32", "ThreadsPerChild 32", "MinSpareThreads 1", "MaxSpareThreads 32", "MaxRequestWorkers 32"]


@pytest.fixture(scope="module")
def world(world_of):
    world = begin(world_of("alerts", preloads=["fault_io"], mpm_lines=ONE_CHILD))
    yield world
    world.listener.close()


@pytest.fixture(scope="module")
def second(world_of):
    """Another one: within an hour nobody is called more than twenty times."""
    world = begin(world_of("alerts-again", preloads=["fault_io"], mpm_lines=ONE_CHILD))
    yield world
    world.listener.close()


@pytest.fixture(autouse=True)
def calm(request):
    name = next((name for name in ("world", "second") if name in request.fixturenames), None)
    if not name:
        yield
        return
    world = request.getfixturevalue(name)
    wait_for(lambda: not alerts(world), MINUTE, "nothing to be wrong before the test")
    wait_for(lambda: not pending(world), 20, "everything to be told before the test")
    world.before = len(commands(world)), len(world.listener.documents)
    yield
    fault(world, "")
    brake(world, False)
    for name in ("paused", "token", "webhook"):
        store_fact(world, name, None)
    world.partner.remove_faults()
    world.crm.remove_faults()
    world.partner.post("tokens", {"fail": None})
    world.server.clock(offset=0)


def pending(world):
    """What was told to be on and not yet to be over."""
    on = set()
    for document, _ in commands(world):
        key = document.get("site"), document.get("what")
        if document["event"] == "alert":
            on.add(key)
        elif document["event"] == "recovery":
            on.discard(key)
    return on


def comes(world, what, site="contoso", level="error", deadline=MINUTE):
    """Until it is on and everybody was told; returns the document."""
    started = time.monotonic()
    wait_for(lambda: alerts(world).get((site, what)) == level, deadline, "the alert %s; on are %s" % (what, alerts(world)), every=0.2)
    document, environment = wait_for(lambda: next(((d, e) for d, e in commands(world)[world.before[0]:]
                                                   if d["event"] == "alert" and d["what"] == what), None), 15, "the command to be run for %s" % what)
    assert time.monotonic() - started < MINUTE, "it took longer than a minute"
    assert document["site"] == (site or None) and document["level"] == level and document["text"] and document["since"].endswith("Z")
    assert environment["COSELL_EVENT"] == "alert" and environment["COSELL_ALERT"] == what and environment["COSELL_LEVEL"] == level
    assert environment["COSELL_TEXT"] == document["text"] and environment["COSELL_TODO"] == document["todo"]
    assert environment["COSELL_SITE"] == site
    if level == "error":
        told = wait_for(lambda: next((d for d in world.listener.told()[world.before[1]:] if d["event"] == "alert" and d["what"] == what), None), 15,
                        "the document to be sent for %s" % what)
        assert {k: v for k, v in told.items() if k != "at"} == {k: v for k, v in document.items() if k != "at"}
    return document


def goes(world, what, site="contoso", level="error", deadline=MINUTE):
    wait_for(lambda: (site, what) not in alerts(world), deadline, "the alert %s to be over" % what, every=0.2)
    document = wait_for(lambda: next((d for d, _ in commands(world)[world.before[0]:] if d["event"] == "recovery" and d["what"] == what), None), 15,
                        "the command to be run when %s was over" % what)
    assert document["site"] == (site or None) and document["text"]
    if level == "error":
        wait_for(lambda: any(d["event"] == "recovery" and d["what"] == what for d in world.listener.told()[world.before[1]:]), 15,
                 "the document to be sent when %s was over" % what)
    events = [d["event"] for d, _ in commands(world)[world.before[0]:] if d["what"] == what]
    assert events == ["alert", "recovery"], events


def test_nothing_secret_is_told(world):
    """The server's environment is not the command's."""
    with open(world.server.path("tmp/notify")) as file:
        assert "grep ^COSELL_" in file.read()
    probe = world.server.write("tmp/probe", "#!/bin/sh\nenv > %s\ncat > /dev/null\n" % world.server.path("tmp/environment"), 0o755)
    with open(world.server.path("tmp/notify")) as file:
        original = file.read()
    os.replace(probe, world.server.path("tmp/notify"))
    try:
        brake(world, True)
        wait_for(lambda: os.path.exists(world.server.path("tmp/environment")), MINUTE, "the command to be run")
    finally:
        # Never written over: a shell that runs the probe would go on reading in the other script.
        os.replace(world.server.write("tmp/notify.new", original, 0o755), world.server.path("tmp/notify"))
        brake(world, False)
    wait_for(lambda: os.path.getsize(world.server.path("tmp/environment")) > 0, 5)
    with open(world.server.path("tmp/environment")) as file:
        names = {line.split("=")[0] for line in file.read().splitlines() if "=" in line}
    assert not names - {"PATH", "LANG", "PWD", "OLDPWD", "SHLVL", "_"} - {"COSELL_" + name for name in
                                                                "EVENT SITE ALERT LEVEL TEXT TO\x44O SINCE SERVER".split()}, names
    # The one that was told while the probe stood there: now it is over.
    wait_for(lambda: any(d["event"] == "recovery" for d, _ in commands(world)[world.before[0]:]), MINUTE)


def test_crm_that_does_not_answer(world):
    world.server.log.announce("CS2080", "CS2040", "CS2110")
    world.crm.fault(method="*", path=".*", fault="reset-before")
    referral = world.refer()
    world.notify(referral)
    document = comes(world, "breaker:sales")
    assert "sales" in document["text"] and "reached" in document["todo"]
    metrics = world.server.get("/metrics").body.decode()
    assert 'cosell_breaker_open{site="contoso",upstream="sales"} 1' in metrics
    assert float(re.search(r'cosell_upstream_calls_total\{site="contoso",upstream="sales",outcome="(?:failed|unknown)"\} (\d+)', metrics).group(1)) >= 0
    assert sum(map(int, re.findall(r'cosell_upstream_calls_total\{site="contoso",upstream="sales",outcome="(?:failed|unknown)"\} (\d+)', metrics))) >= 3
    world.crm.remove_faults()
    goes(world, "breaker:sales")
    world.settled()
    assert world.record(referral)


def test_token_that_is_dead(world):
    world.server.log.announce("CS2003", "CS4\\d\\d\\d", "CS2110")
    world.partner.post("tokens", {"fail": "invalid_grant", "revoke": "access"})
    referral = world.refer()
    world.notify(referral)
    document = comes(world, "suspended:partner-center")
    assert "invalid_grant" in document["text"] and "cosellctl login" in document["todo"]
    assert 'cosell_upstream_suspended{site="contoso",upstream="partner-center"} 1' in world.server.get("/metrics").body.decode()
    world.partner.post("tokens", {"fail": None})
    world.advanced(lambda: not world.server.count("suspended"), step=60)
    goes(world, "suspended:partner-center")
    world.settled()
    assert world.record(referral)


def test_full_disk(world):
    """Named although nothing can be written, once; and it is over without anybody sending anything."""
    world.server.log.announce("CS220[0-9]", "CS3\\d\\d\\d", "CS20(26|27)", "CS4\\d\\d\\d", "cosell:(warn|error).*space")
    fault(world, "ENOSPC")
    answer = world.send(Event("referral-updated", uuid.uuid4()))
    assert answer.status == 503
    document = comes(world, "store", site="")
    assert "space" in document["text"] and world.server.state in document["todo"]
    assert re.search(r"^cosell_store_up 0$", world.server.get("/metrics").body.decode(), re.M)
    fault(world, "")
    goes(world, "store", site="")
    assert re.search(r"^cosell_store_up 1$", world.server.get("/metrics").body.decode(), re.M)


def test_hung_disk(world):
    """Nothing fails, nothing ends: that notices are answered 503 is all there is to see."""
    world.server.log.announce("CS220[0-9]", "CS3\\d\\d\\d", "CS20\\d\\d", "cosell:(warn|error)")
    fault(world, "HANG")
    for _ in range(3):
        assert world.send(Event("referral-updated", uuid.uuid4())).status == 503
    wait_for(lambda: {what for site, what in alerts(world) if not site} & {"unavailable", "watch", "runner"}, MINUTE, "it to be named", every=0.3)
    fault(world, "")
    world.ready(MINUTE)
    wait_for(lambda: not alerts(world), 2 * MINUTE, "nothing to be wrong any more")


def test_registration_taken_over(world):
    world.server.log.announce("CS2320")
    events = ["referral-created", "referral-updated"]
    ours = {"WebhookUrl": world.server.webhook, "WebhookEvents": events, "SignatureTokenToMsSignatureHeader": True}
    world.partner.post("registration", ours)
    store_fact(world, "webhook", {"url": world.server.webhook, "events": events})
    wait_for(lambda: 'cosell_webhook_registered{site="contoso"} 1' in world.server.get("/metrics").body.decode(), 20)
    world.partner.post("registration", {**ours, "WebhookUrl": "https://other.example/hook"})
    document = comes(world, "webhook:drift")
    assert "other.example" in document["text"] and "--overwrite" in document["todo"]
    assert 'cosell_webhook_registered{site="contoso"} 0' in world.server.get("/metrics").body.decode()
    world.partner.post("registration", ours)
    goes(world, "webhook:drift")
    assert 'cosell_webhook_registered{site="contoso"} 1' in world.server.get("/metrics").body.decode()


def test_paused_by_a_person_is_a_warning(world):
    now = int(time.time() * 1e6)
    sent = len(world.listener.documents)
    store_fact(world, "paused", {"by": "ada", "at": now, "why": "month's end"})
    document = comes(world, "paused", level="warning")
    assert "ada" in document["text"] and "month's end" in document["text"]
    store_fact(world, "paused", None)
    goes(world, "paused", level="warning")
    assert len(world.listener.documents) == sent, "who wants errors alone is told errors alone"


def test_token_that_ages(world):
    day = 86400 * 1000000
    now = int(time.time() * 1e6)
    store_fact(world, "token", {"account": "ada@contoso.example", "signed_in": now - 80 * day, "rotated": now - 80 * day, "source": "login"})
    document = comes(world, "token", level="warning")
    assert "ada@contoso.example" in document["text"] and "9 days" in document["text"] + "10 days"
    age = float(re.search(r'cosell_token_age_seconds\{site="contoso"\} (\S+)', world.server.get("/metrics").body.decode()).group(1))
    assert abs(age - 80 * 86400) < 600
    store_fact(world, "token", {"account": "ada@contoso.example", "signed_in": now, "rotated": now, "source": "login"})
    goes(world, "token", level="warning")


def test_a_reload_repeats_nothing(second):
    world = second
    brake(world, True)
    comes(world, "brake:missing:sales")
    world.server.graceful()
    world.ready()
    wait_for(lambda: world.server.runner() and ("contoso", "brake:missing:sales") in alerts(world), 20, "the new runner to know it")
    runner = world.server.runner()
    world.server.log.announce("CS1024")
    world.server.kill([runner])
    wait_for(lambda: world.server.runner() not in (None, runner), 20, "another runner")
    # The next round of the new one, and its notifier's.
    time_of = float(re.search(r"^cosell_watch_age_seconds (\S+)", world.server.get("/metrics").body.decode(), re.M).group(1))
    wait_for(lambda: float(re.search(r"^cosell_watch_age_seconds (\S+)", world.server.get("/metrics").body.decode(), re.M).group(1)) < min(time_of, 4), 20)
    brake(world, False)
    goes(world, "brake:missing:sales")


def test_a_restart_repeats_nothing(second):
    """The file has what was told."""
    world = second
    brake(world, True)
    comes(world, "brake:missing:sales")
    wait_for(lambda: os.path.exists(os.path.join(world.server.state, "alerts.json")) and
             "brake:missing:sales" in open(os.path.join(world.server.state, "alerts.json")).read(), 20)
    world.server.stop()
    world.start().ready()
    wait_for(lambda: ("contoso", "brake:missing:sales") in alerts(world), 20)
    brake(world, False)
    goes(world, "brake:missing:sales", deadline=90)


def test_a_target_that_fails_is_tried_again(second):
    world = second
    world.server.log.announce("CS2371")
    world.listener.status = 500
    attempts = world.listener.attempts
    brake(world, True)
    wait_for(lambda: world.listener.attempts >= attempts + 2, MINUTE, "a second attempt")
    assert float(re.search(r"^cosell_notify_calls_total (\d+)", world.server.get("/metrics").body.decode(), re.M).group(1)) >= 2
    assert float(re.search(r"^cosell_notify_failed_total (\d+)", world.server.get("/metrics").body.decode(), re.M).group(1)) >= 2
    world.listener.status = 200
    comes(world, "brake:missing:sales")
    assert world.server.log.matching("CS2370") or wait_for(lambda: world.server.log.matching("CS2370"), 5)
    # Such an address is often a password: its host is enough to know it by.
    said = world.server.log.matching("CS237[01]")
    assert all(world.listener.url[:-len("/hook")] in line or "/notify" in line for line in said) and not any("/hook" in line for line in said)
    brake(world, False)
    goes(world, "brake:missing:sales")


def test_a_killed_runner_is_named(second):
    """By readers alone, for who would tell it is gone."""
    world = second
    world.server.log.announce("CS1024")
    os.kill(world.server.runner(), 19)
    try:
        wait_for(lambda: alerts(world).get(("", "runner")) == "error", 30, "the runner to be missed", every=0.3)
        assert re.search(r"^cosell_runner_up 0$", world.server.get("/metrics").body.decode(), re.M)
    finally:
        os.kill(world.server.runner(), 18)
    wait_for(lambda: ("", "runner") not in alerts(world), 10)


@pytest.mark.parametrize("line, said", [
    ("CosellNotify exec:notify.sh", "absolute path"),
    ("CosellNotify exec:/nonexistent/program", "No such file"),
    ("CosellNotify exec:/etc/passwd", "not an executable file"),
    ("CosellNotify url:http://hooks.example/x", "loopback"),
    ("CosellNotify url:https://user:pw@hooks.example/x", "not allowed"),
    ("CosellNotify mail:root", "allowed are exec:"),
    ("CosellNotify exec:/bin/true level=info", "allowed are error"),
    ("CosellNotify exec:/bin/true every=5m", "1h to 30d"),
    ("CosellNotify exec:/bin/true colour=red", "colour"),
])
def test_mistakes_are_found_at_configtest(new_world, line, said):
    world = new_world("alerts-config")
    world.server.globals_.append(line)
    world.server.configure()
    status, text = world.server.configtest()
    assert status and said in text and "httpd.conf" in text, text


def test_not_in_a_host(new_world):
    world = new_world("alerts-host")
    world.server.site.append("CosellNotify exec:/bin/true")
    world.server.configure()
    status, text = world.server.configtest()
    assert status and "main server only" in text, text
