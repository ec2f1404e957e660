"""The four that stop everything: the CRM is gone, the sign-in is dead, the registration is somebody else's, the disk is full.

Within a minute of real time each is named on the page, by `cosellctl doctor` and by CosellNotify, in words that say what to do; after repair each is over
on all three within another one. Nothing comes in meanwhile, as on a quiet night; with work to do it must not take longer. Nobody looks before CosellNotify has told.
"""

import json
import os
import re
import time

import pytest
import requests

from harness import wait_for
from harness.admin import ADMIN, add_admin, fetch
from harness.ctl import Ctl, read_until
from harness.paths import give_to_server_user
from harness.sims import Dynamics

CRMS = ("dynamics365",)
LONG = 240
MINUTE = 60
KEY = {"table": "opportunity", "name": "t_key", "columns": ["msft_referralidentifier"]}
FAULT_SIZE = 64
SCRIPT = """#!/bin/sh
# Appends the document that it is told to the file named by its argument.
read -r document
printf '%s\\n' "$document" >> "$1"
"""


def fault(world, what):
    with open(world.fault_file, "r+b" if os.path.exists(world.fault_file) else "wb") as file:
        file.write(what.encode().ljust(FAULT_SIZE, b"\0"))
    os.chmod(world.fault_file, 0o644)


def sign_in(world):
    """cosellctl shows the address; the browser goes there, and comes back to cosell-login."""
    process = world.ctl.start("login")
    address = re.search(r"https?://\S+", read_until(process.stdout, "\n\n")).group(0)
    assert "signed in" in requests.get(address, timeout=30).text
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, (out, err)


@pytest.fixture(scope="module")
def world(world_of):
    """An installation that is well: signed in, registered, one deal that rests."""
    world = world_of("faults", preloads=["fault_io"])
    server = world.server
    add_admin(server)
    server.locations += ['<Location "/cosell-login">', "  SetHandler cosell-login", "</Location>"]
    world.replace("CosellPartnerCenter", re.sub(r" refresh-token=\S+", "", world.directive("CosellPartnerCenter")).replace("/oauth2/token", "/oauth2/v2.0/token"))
    world.told_file, world.fault_file = server.path("tmp/told"), server.path("tmp/fault")
    fault(world, "")
    server.env.update({"COSELL_FAULT_FILE": world.fault_file, "COSELL_FAULT_DIR": server.state})
    script = server.write("tmp/notify", SCRIPT, 0o755)
    give_to_server_user(script)
    server.globals_.append('CosellNotify "exec:%s %s"' % (script, world.told_file))
    world.partner.post("signin", {"consent": "auto"})
    world.crm.post("keys", KEY)
    world.ctl = Ctl(server.base + ADMIN)
    server.log.announce("CS2003")  # nobody has signed in when it starts
    world.start().ready()
    sign_in(world)
    world.ctl("webhook", "register", "--url", server.webhook)
    world.referral = world.refer()
    world.looked(world.referral, deadline=60)
    world.began = 0
    return world


# ---- the three who say it ----

def page(world):
    """The overview as a browser gets it."""
    answer = fetch(world.server.base, ADMIN, user="alice")
    assert answer.status in (200, 503) and answer.page, answer.text[:500]
    return answer.page.said


def told(world):
    """What the command was told since the fault began."""
    try:
        with open(world.told_file) as file:
            lines = file.read().splitlines(keepends=True)
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in lines if line.endswith("\n")][world.began:]


def words(text):
    return " ".join(text.split())


def line_of(said, check):
    """What a doctor says of a check: its line and those below it, up to the next."""
    found = re.search(r"^(?:FAIL|warn)  %s\s.*?(?=^\S|\Z)" % re.escape(check), said, re.M | re.S)
    return words(found.group(0)) if found else None


class Clock:
    def __init__(self, doing):
        self.doing, self.began = doing, time.monotonic()

    def left(self):
        return max(0.0, self.began + MINUTE - time.monotonic())

    def spent(self, what):
        seconds = time.monotonic() - self.began
        print("%s: %s after %.1f s" % (self.doing, what, seconds))
        assert seconds < MINUTE, "%s: %s after %.1f s" % (self.doing, what, seconds)


def is_named(world, clock, what, check, text, todo, shown=None):
    """On all three, each with the words that say what to do. The doctor is asked last: what it finds must not help the others."""
    document = wait_for(lambda: next((d for d in told(world) if d["event"] == "alert" and d["what"] == what), None), clock.left(), "the command to be told of " + what)
    clock.spent("CosellNotify says it")
    print("  %s\n  %s" % (document["text"], document["todo"]))
    assert document["level"] == "error" and text in document["text"] and todo in document["todo"], document
    assert document["site"] == (None if what == "store" else "contoso")

    overview = wait_for(lambda: (lambda said: said if "Needs somebody Error" in said and text in said else None)(page(world)), clock.left(), "the page to name " + what)
    clock.spent("the page says it")
    assert todo.replace("`", "") in overview and "Nothing needs you" not in overview, overview
    print("  " + re.search(r"Needs somebody .*? ago", overview + " ago").group(0)[:600])

    said = wait_for(lambda: (lambda said: said if line_of(said.out, check) else None)(world.ctl.run("doctor")), clock.left(), "the doctor to name " + check)
    clock.spent("the doctor says it")
    found = line_of(said.out, check)
    print("  exit %d: %s" % (said.status, found))
    assert said.status and found.startswith("FAIL") and " fix: " in found, said
    assert (shown or text) in found, said
    return said, found.partition(" fix: ")[2]


def is_over(world, clock, what):
    wait_for(lambda: any(d["event"] == "recovery" and d["what"] == what for d in told(world)), clock.left(), "the command to be told that %s is over" % what)
    clock.spent("CosellNotify says it")
    wait_for(lambda: "Nothing needs you" in page(world), clock.left(), "a page on which nothing is wrong; there is %s" % page(world)[:600])
    clock.spent("the page says it")
    said = wait_for(lambda: (lambda said: said if not said.status else None)(world.ctl.run("doctor")), clock.left(), "the doctor to find nothing; it says %r" % world.ctl.run("doctor"))
    clock.spent("the doctor says it")
    assert "everything is as it must be" in said.out and "FAIL" not in said.out, said
    assert sorted((d["event"], d["what"]) for d in told(world)) == [("alert", what), ("recovery", what)], told(world)


@pytest.fixture(autouse=True)
def well(world):
    """Before and after each: nothing is wrong, and what comes in is done."""
    world.server.log.announce("cosell:(warn|error)")  # faults are what these tests make
    wait_for(lambda: "Nothing needs you" in page(world), MINUTE, "a page on which nothing is wrong; there is %s" % page(world)[:600])
    assert "everything is as it must be" in world.ctl("doctor").out
    world.began += len(told(world))
    yield
    fault(world, "")
    world.looked(world.refer(), deadline=60)
    note = "Noted after %d" % world.began
    world.partner.edit(world.referral["id"], {"details": {"notes": note}})
    world.notify(world.referral)
    wait_for(lambda: world.record(world.referral)["description"] == note, 60, "the deal of before to be kept up again")


# ---- the four ----

def start_again(world, before):
    """The same organisation at the same address, all its rows put back."""
    world.crm = Dynamics("--port", world.crm.base.rsplit(":", 1)[1])
    world.own.append(world.crm)
    world.crm.post("keys", KEY)
    there = world.crm.get("state")
    account = there["accounts"][0]
    while newest([account]) < max(newest(rows) for rows in before.values()):  # a database's own number never goes back
        account = world.crm.edit("accounts", row_id(account), {"description": "Counted on"})
    for table, rows in before.items():
        known = {json.dumps(row) for row in there.get(table, [])}
        ids = {row_id(row) for row in there.get(table, [])}
        missing = [row for row in rows if json.dumps(row) not in known and row_id(row) not in ids]
        if missing:
            world.crm.post("bulk/" + table, missing)


def newest(rows):
    return max((int(row.get("versionnumber") or 0) for row in rows), default=0)


def row_id(row):
    """The first column of a row that is no annotation: its own id."""
    return next(value for name, value in row.items() if not name.startswith("@"))


def nothing_is_due(world):
    """No look within this minute, whoever asks for it."""
    soon = (time.time() + 2 * MINUTE) * 1e6
    return world.outstanding() == 0 and world.server.count("deal", "next_look > 0 AND next_look < ?", soon) == 0


@pytest.fixture(params=["quiet", "busy"])
def traffic(request, world):
    """What comes in right after the fault."""
    if request.param == "busy":
        return lambda: world.notify(world.refer())
    wait_for(lambda: nothing_is_due(world), 2 * MINUTE, "nothing to be due")
    return lambda: None


def test_the_crm_is_killed(world, traffic):
    before = world.crm.get("state")
    clock = Clock("the CRM is killed")
    world.crm.process.kill()
    world.crm.process.wait()
    traffic()
    _, fix = is_named(world, clock, "breaker:sales", "sales.sign-in", "does not answer: ", "can be reached from this server", shown="cannot sign in")
    assert "reached" in fix
    start_again(world, before)
    is_over(world, Clock("the CRM is started again"), "breaker:sales")


def test_the_token_is_revoked(world, traffic):
    clock = Clock("the token is revoked")
    world.partner.post("tokens", {"revoke": "all"})
    traffic()
    _, fix = is_named(world, clock, "suspended:partner-center", "partner-center.token", "invalid_grant", "cosellctl login", shown="AADSTS")
    assert "cosellctl login" in fix
    clock = Clock("somebody signs in")
    sign_in(world)
    is_over(world, clock, "suspended:partner-center")


def test_the_registration_is_taken_over(world):
    clock = Clock("the registration is taken over")
    ours = world.partner.get("registration")
    world.partner.post("registration", {**ours, "WebhookUrl": "https://other.example/hook?key=secret"})
    said, fix = is_named(world, clock, "webhook:drift", "partner-center.webhook", "https://other.example/hook", "webhook register --overwrite")
    assert "webhook register --overwrite" in fix and "secret" not in said.out + page(world)
    clock = Clock("it is registered again")
    world.ctl("webhook", "register", "--overwrite", "--url", world.server.webhook)
    is_over(world, clock, "webhook:drift")


def test_the_disk_is_full(world):
    """No job can be taken: the doctor says what is wrong all the same."""
    clock = Clock("the disk is full")
    fault(world, "ENOSPC")
    said, fix = is_named(world, clock, "store", "store", "space", world.server.state)
    assert "room" in fix or "space" in fix
    assert said.err, said
    clock = Clock("the disk has room again")
    fault(world, "")
    is_over(world, clock, "store")
