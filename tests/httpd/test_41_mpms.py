"""Pages, forms, wishes, sign-in, numbers and cosellctl: the same with each way of running httpd. (Most other tests are about event.)"""

import base64
import json
import re
import urllib.parse

import pytest

from harness import wait_for
from harness.admin import ADMIN, add_admin, fetch, send
from harness.ctl import Ctl
from harness.server import STATUS

CRMS = ("dynamics365",)
LOGIN, METRICS = "/cosell-login", "/metrics"
SIGN_IN = {"consent": "auto", "user": None, "mfa": None, "role": None, "redirect_uris": None, "registration": "either"}
OVER = ("done", "failed", "cancelled")


def prepare(world):
    add_admin(world.server)
    world.server.locations += ['<Location "%s">' % LOGIN, "  SetHandler cosell-login", "</Location>",
                               '<Location "%s">' % METRICS, "  SetHandler cosell-metrics", "</Location>"]
    world.partner.post("signin", SIGN_IN)
    return world


def ask(world, query="", handler=STATUS):
    answer = fetch(world.server.base, handler + "?" + query, user="alice", Accept="application/json")
    assert answer.status == 200, answer.text
    return json.loads(answer.text)


def ended(world, identity, deadline=30):
    return wait_for(lambda: (lambda job: job if job["state"] in OVER else None)(ask(world, "job=" + identity)["job"]), deadline, "the end of the job")


def wish(world, **document):
    answer = fetch(world.server.base, ADMIN, "POST", json.dumps(document).encode(), "alice", Accept=None, Content_Type="application/json",
                   X_Cosell_Request="1")
    assert answer.status == 202, answer.text
    return json.loads(answer.text)["job"]


def press(world, query, button):
    """A button of a page; the job that comes of it."""
    page = fetch(world.server.base, ADMIN + "?" + query, user="alice").page
    answer = send(world.server.base, ADMIN, page.form(button))
    assert answer.status == 303, answer.text
    return re.search("job=([0-9a-f]{16})", answer.headers["Location"]).group(1)


def see_pages(world, referral):
    identity = referral["id"]
    assert ask(world)["runner"]["alive"] and ask(world, "deal=" + identity)["deal"]["referral"] == identity
    for handler in (STATUS, ADMIN):
        for query in ("", "deals=", "deal=" + identity, "problems", "dead", "journal", "jobs", "mapping"):
            answer = fetch(world.server.base, handler + "?" + query, user="alice")
            assert answer.status == 200 and answer.page, (handler, query)
            assert handler == ADMIN or not answer.page.buttons(), query
    assert fetch(world.server.base, STATUS + "?style=x").headers["Content-Type"].startswith("text/css")
    # For sellers, who have no account here.
    assert fetch(world.server.base, "/why?deal=" + identity).status == 404
    assert referral["name"] in fetch(world.server.base, "/why?explain=" + identity).page.said
    assert fetch(world.server.base, ADMIN).status == 401


def see_numbers(world):
    text = fetch(world.server.base, METRICS, Accept=None).text
    assert "\ncosell_runner_up 1\n" in text and re.search(r'\ncosell_upstream_calls_total\{site="contoso",upstream="sales",outcome="ok"\} [1-9]', text), text[:3000]


def act(world, referral):
    """As JSON and as a form."""
    assert ended(world, wish(world, do="look", id=referral["id"]))["state"] == "done"
    assert ended(world, press(world, "deal=" + referral["id"], "Look at it now"))["state"] == "done"
    assert ended(world, wish(world, do="pause", why="a test"))["state"] == "done" and ask(world)["sites"][0]["paused"]["by"] == "alice"
    assert ended(world, wish(world, do="resume"))["state"] == "done" and not ask(world)["sites"][0]["paused"]
    assert fetch(world.server.base, ADMIN, "POST", b'{"do":"brew"}', "alice", Content_Type="application/json", X_Cosell_Request="1").status == 400


def sign_in_with_the_browser(world):
    """The page that the browser comes back to waits for the runner."""
    identity = wish(world, do="login", method="code", redirect_uri=world.server.base + LOGIN)
    shown = wait_for(lambda: (ask(world, "job=" + identity, ADMIN)["job"].get("progress") or {}).get("open"), 15, "the address to sign in at")
    parts = urllib.parse.urlsplit(shown)
    reply = fetch("%s://%s" % (parts.scheme, parts.netloc), parts.path + "?" + parts.query)
    assert reply.status == 302, reply.text
    back = urllib.parse.urlsplit(reply.headers["Location"])
    answer = fetch(world.server.base, back.path + "?" + back.query)
    assert answer.status == 200 and "signed in as" in answer.page.said, answer.text
    assert ended(world, identity)["state"] == "done"


def ask_cosellctl(world, referral):
    ctl = Ctl(world.server.base + ADMIN)
    assert "Site contoso" in ctl("status").out
    assert "both sides are as the rules want them" in ctl("show", referral["id"]).out
    assert "nothing" in ctl("resync", "--all", "--dry-run").out
    assert ctl("journal").out and ctl("jobs").out and ctl("deals").out
    ctl("look", referral["id"])
    said = ctl.run("doctor")
    assert said.status in (0, 1) and "Partner Center" in said.out, said


@pytest.mark.parametrize("mpm,single", [("worker", False), ("prefork", False), ("event", True), ("prefork", True)])
def test_everything_works_the_same(new_world, mpm, single):
    world = prepare(new_world("mpm-%s%s" % (mpm, "-x" if single else ""), mpm=mpm))
    world.start(single=single).ready()
    referral = world.refer("Contoso moves")
    world.looked(referral)
    see_pages(world, referral)
    see_numbers(world)
    act(world, referral)
    sign_in_with_the_browser(world)
    ask_cosellctl(world, referral)
    if not single:
        before = world.server.runner()
        world.server.graceful()
        wait_for(lambda: world.server.runner() not in (None, before), 10, "a new runner")
        act(world, referral)
    seconds = world.server.stop()
    assert seconds < (5.0 if single else 3.0), "stopping took %.1f s" % seconds
    assert not world.server.processes()
