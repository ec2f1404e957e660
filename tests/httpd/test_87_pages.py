"""Pages: what each shows, that nothing from outside becomes markup, and that only one's own forms are taken."""

import json
import re
import sqlite3
import urllib.parse
import uuid

import pytest

from harness import wait_for
from harness.admin import ADMIN, HTML, add_admin, fetch, send, tidy
from harness.server import STATUS, WEBHOOK, free_port
from harness.world import DEAD

CRMS = ("dynamics365", "salesforce")
HOSTILE = "<script>alert(1)</script> \"onclick='x'\" & </td></table> \u202eRTL\u2066 \u0007bell \u0000\ufffe".replace("\u0000", "")
NOTES = "</textarea><img src=x onerror=alert(2)> 'quoted' \"twice\" \u202etxet"
POLICY = "default-src 'none'; style-src 'self'; form-action 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'"


def edit_notes(world, deal, text):
    table, column = ("Opportunity", "Description") if world.kind == "salesforce" else ("opportunities", "description")
    world.crm.edit(table, deal["record_id"], {column: text})


@pytest.fixture(scope="module")
def world(world_of):
    """A linked deal, one with a hostile title and a conflict, one that waits for its answer, and looks that were given up."""
    first, second = world_of("pages"), world_of("pages-other", site="fabrikam")
    server, port, free = first.server, second.server.port, free_port()
    add_admin(server)
    locations = []
    add_admin(server, locations)
    server.tail += ["Listen 127.0.0.1:%d" % port, "<VirtualHost 127.0.0.1:%d>" % port, "ServerName 127.0.0.1", *second.server.site,
                    '<Location "%s">' % WEBHOOK, "SetHandler cosell-webhook", "</Location>", *locations,
                    '<Location "%s">' % STATUS, "SetHandler cosell-status", "</Location>", "</VirtualHost>",
                    "Listen 127.0.0.1:%d" % free, *locations, '<Location "%s">' % STATUS, "SetHandler cosell-status", "</Location>"]
    first.main = "http://127.0.0.1:%d" % free
    second.server.state, second.server.database = server.state, server.database
    first.second = second
    server.log.announce("CS2040")
    first.start().ready()
    second.ready()
    first.ages = True
    first.good, first.hostile, first.new = first.refer("Fabrikam datacentre move"), first.refer(HOSTILE), first.refer("Litware onboarding", active=False)
    second.good = second.refer("Somebody else's secret deal")
    for referral in (first.good, first.hostile, first.new):
        first.notify(referral)
    second.notify(second.good)
    wait_for(lambda: all(first.record(r) for r in (first.good, first.hostile, first.new)) and second.record(second.good), 60, "the records")
    first.settled(40)
    if first.kind == "salesforce":
        first.crm.post("clock", {"advance": 5})
    first.partner.edit(first.hostile["id"], {"details": {"notes": "Partner Center's <b>notes</b>"}})
    edit_notes(first, first.deal(first.hostile), NOTES)
    first.looked(first.hostile)
    first.dead = [first.refer("Dead %d" % n) for n in range(3)]
    give_up(first, first.dead)
    return first


def give_up(world, referrals):
    for referral in referrals:
        world.partner.fault(method="GET", path="referrals/" + referral["id"], fault="status", status=403)
        world.notify(referral, name="referral-created")
    wait_for(lambda: all((world.work(r) or {}).get("state") == DEAD for r in referrals), 30, "the end of patience")


@pytest.fixture(autouse=True)
def calm(world):
    world.server.log.announce("CS2040")
    yield
    world.server.clock(offset=0)


def get(world, query="", handler=ADMIN, user="alice", **headers):
    return fetch(world.server.base, handler + ("?" + query if query else ""), user=user, **headers)


def ask(world, query, handler=STATUS):
    answer = fetch(world.server.base, handler + "?" + query, Accept="application/json")
    return answer.status, json.loads(answer.text)


def press(world, page, button, path=ADMIN, user="alice", given=None, **fields):
    form = page.form(button, **fields)
    form.update(given or {})
    return send(world.server.base, path, form, user)


def job_of(answer):
    assert answer.status == 303, (answer.status, answer.text[:500])
    return re.search(r"\?job=([0-9a-f]{16})", answer.headers["Location"]).group(1)


def job_ends(world, answer, deadline=30):
    """The job that a form asked for, once it has ended."""
    identity = job_of(answer)
    return wait_for(lambda: (lambda job: job if job["state"] in ("done", "failed") else None)(ask(world, "job=" + identity)[1]["job"]), deadline, "the job")


PAGES = ["", "deals=", "deals=linked", "deals=parked", "search=Fabrikam", "deal={good}", "deal={hostile}", "deal={new}", "deal={dead}", "problems", "dead", "journal",
         "journal=5", "journal&deal=1", "jobs", "mapping", "mapping=sales", "explain={good}", "explain={hostile}", "explain={new}", "explain={dead}"]
WRONG = [("nothing=1", 400), ("deals=sideways", 400), ("journal=0", 400), ("job=12", 400), ("deal=nobody", 404), ("job=0123456789abcdef", 404),
         ("explain=nobody", 404), ("scope=all", 403), ("scope=some", 400), ("format=pdf", 400), ("deal=%ff%fe", 400), ("search=%c3%28", 400),
         ("deal=" + "x" * 2500, 400)]


def filled(world, query):
    return query.format(good=world.good["id"], hostile=world.hostile["id"], new=world.new["id"], dead=world.dead[0]["id"])


def assert_sound(answer):
    """As every page must be: no script and no style of its own, named, in order, escaped, allowed to load nothing."""
    page, text = answer.page, answer.text
    assert answer.headers["Content-Security-Policy"] == POLICY and answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff" and answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8" and answer.headers["Referrer-Policy"] == "same-origin"  # else a browser sends forms with a null origin
    for tag, attributes in page.elements:
        assert tag not in ("script", "style", "iframe", "object", "embed", "img", "base"), tag
        assert not [name for name in attributes if name.startswith("on") or name == "style"], (tag, attributes)
        for name in ("href", "action"):
            link = attributes.get(name)
            assert link is None or re.match(r"(\?|#content$|https?://)", link), link
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00-\x08\x0b-\x1f\x7f-\x9f\ufffe\uffff]", text)
    assert page.all("html")[0]["lang"] == "en" and len(page.all("h1")) == 1 and page.all("title")
    levels = [int(tag[1]) for tag, _ in page.elements if re.match(r"h[1-6]$", tag)]
    assert levels[0] == 1 and all(later <= earlier + 1 for earlier, later in zip(levels, levels[1:])), levels
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids)) and len(text) < 400000
    said = tidy(text)
    assert not said, said


@pytest.mark.parametrize("query", PAGES)
@pytest.mark.parametrize("handler", [STATUS, ADMIN])
def test_every_page_is_sound(world, query, handler):
    answer = get(world, filled(world, query), handler)
    assert answer.status == 200, answer.text[:500]
    assert_sound(answer)
    if handler == STATUS:
        assert not answer.page.buttons() and not [e for _, e in answer.page.elements if e.get("name") == "token"]


@pytest.mark.parametrize("query,status", WRONG)
def test_every_refusal_is_a_page_in_words(world, query, status):
    answer = get(world, query)
    assert answer.status == status
    assert_sound(answer)
    assert len(answer.page.said) > 40
    if "explain" not in query and "format" not in query:
        plain = fetch(world.server.base, STATUS + "?" + query + "&format=json", Accept=None)
        assert plain.status == status and list(json.loads(plain.text)) == ["error"]


def test_tidy_and_its_page_are_taken_seriously():
    """The proof would otherwise be none."""
    said = tidy('<!DOCTYPE html><html lang="en"><head><title>x</title></head><body><p>&nosuch; <b>not closed</body></html>')
    if said is None:
        pytest.skip("the Debian package tidy is not installed")
    assert said


# JSON or HTML


@pytest.mark.parametrize("accept,query,html", [
    (None, "", False), ("*/*", "", False), (HTML, "", True), ("text/html", "", True), ("application/json", "", False),
    ("application/json, text/html;q=0.5", "", False), ("application/json;q=0.5, text/html", "", True), ("text/html;q=0", "", False),
    ("text/htmlx", "", False), (HTML, "format=json", False), (None, "format=html", True), ("application/json", "format=html", True)])
def test_format(world, accept, query, html):
    answer = get(world, query, STATUS, None, Accept=accept)
    assert answer.status == 200 and (answer.page is not None) == html and "Accept" in answer.headers["Vary"]
    if not html:
        assert answer.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'" and json.loads(answer.text)["sites"]


def test_head_and_methods(world):
    for query in ("", "deals=", "nothing=1"):
        whole, head = get(world, query, STATUS), fetch(world.server.base, STATUS + "?" + query, "HEAD")
        assert head.status == whole.status and head.body == b""
        assert head.headers["Content-Security-Policy"] == POLICY and int(head.headers["Content-Length"]) > 500
    for handler, allowed in ((STATUS, "GET, HEAD"), (ADMIN, "GET, HEAD, POST")):
        for method in ("PUT", "DELETE", "PATCH"):
            answer = fetch(world.server.base, handler, method, b"x", user="alice", Accept=None)
            assert answer.status == 405 and answer.headers["Allow"] == allowed, (handler, method)
    assert fetch(world.server.base, STATUS, "POST", b"a=b", Content_Type="application/x-www-form-urlencoded").status == 405


def test_stylesheet(world):
    link = get(world).page.all("link")[0]["href"]
    answer = get(world, link[1:])
    assert answer.status == 200 and answer.headers["Content-Type"] == "text/css; charset=utf-8" and "immutable" in answer.headers["Cache-Control"]
    assert "prefers-color-scheme:dark" in answer.text and "url(" not in answer.text and "@import" not in answer.text
    assert get(world, "style=old").headers["Cache-Control"] == "no-cache" and get(world, "style=old").text == answer.text


# What pages show


def test_overview(world):
    said = get(world).page.said
    for words in ("Upstreams", "partner-center", "sales", "in use", "Sign-in to Partner Center", "Webhook registration", "Deals by state", "Polls and sweeps",
                  "Needs somebody", "given up", "Signed in as alice", "Find a deal"):
        assert words in said, words
    document = json.loads(fetch(world.server.base, STATUS, Accept=None).text)
    site = document["sites"][0]
    assert site["totals"]["linked"] == 3 and site["paused"] is None and site["token"]["source"] == "file", site
    assert isinstance(document["alerts"], list) and [s["name"] for s in site["upstreams"]] == ["partner-center", "sales"]
    assert any(cause["dead"] for cause in site["causes"]) and isinstance(site["jobs"], list)


def test_one_deal_tells_both_sides_and_what_happened(world):
    answer = get(world, "deal=" + world.good["id"])
    said = answer.page.said
    for words in ("Fabrikam datacentre move", "In the CRM: yes", "In sync", "What happens next", "Nothing until one of the two sides changes", world.good["id"],
                  world.deal(world.good)["record_id"], "the same on both sides", "What happened", "create to the CRM", "Active/Accepted"):
        assert words in said, words
    assert [link for link in answer.page.links() if link.startswith("http://127.0.0.1") and world.deal(world.good)["record_id"][:15] in link]
    for name in (world.deal(world.good)["record_id"], str(world.deal(world.good)["id"]), world.good["id"].upper()):
        assert get(world, "deal=" + name).page.said.split("What happens")[0] == said.split("What happens")[0]


def test_conflict_is_told_with_both_values(world):
    said = get(world, "deal=" + world.hostile["id"]).page.said
    assert "changed on both sides" in said and "Partner Center's <b>notes</b>" in said and "<img src=x onerror=alert(2)>" in said
    assert "Needs you" in said and "the next edit" in said
    causes = ask(world, "problems")[1]["sites"][0]["causes"]
    conflict = [cause for cause in causes if cause["cause"] == "conflict notes"]
    assert conflict and conflict[0]["deals"] == 1 and not conflict[0]["dead"], causes
    found = ask(world, "deals=&cause=conflict%20notes")[1]["sites"][0]["deals"]
    assert [deal["referral"] for deal in found] == [world.hostile["id"]]


def test_deal_by_its_engagement(world):
    deal = world.deal(world.good)
    assert ask(world, "deal=" + world.good["engagementId"].upper())[1]["deal"]["id"] == deal["id"]
    assert get(world, "deal=" + world.good["engagementId"]).status == 200


def test_an_id_that_two_deals_have_is_asked_back(world):
    """As where two CRMs of a site have a row of the same id."""
    good, hostile = world.deal(world.good), world.deal(world.hostile)
    alias = (world.name, "pc-engagement:" + good["record_id"].lower(), hostile["id"])
    connection = sqlite3.connect(world.server.database, timeout=10)
    try:
        with connection:
            connection.execute("INSERT INTO alias VALUES (?, ?, ?)", alias)
        status, document = ask(world, "deal=" + good["record_id"])
        assert status == 409 and sorted(deal["id"] for deal in document["candidates"]) == sorted([good["id"], hostile["id"]])
        assert all("deal %d (opportunity of sales)" % deal["id"] in document["error"] for deal in (good, hostile)) and "number" in document["error"]
        answer = get(world, "deal=" + good["record_id"])
        assert answer.status == 409 and "Which deal is meant?" in answer.text and "deal=%d" % good["id"] in answer.text and "deal=%d" % hostile["id"] in answer.text
        assert "<script>alert" not in answer.text
        assert_sound(answer)
        sellers = get(world, "explain=" + good["record_id"], handler="/why", user=None)
        assert sellers.status == 409 and "more than one deal" in sellers.text and "Fabrikam" not in sellers.text and "deal=" not in sellers.text
        assert ask(world, "deal=%d" % good["id"])[1]["deal"]["id"] == good["id"]
    finally:
        with connection:
            connection.execute("DELETE FROM alias WHERE site = ? AND name = ? AND deal = ?", alias)
        connection.close()


def test_journal_names_look_ups_as_people_do(world):
    page = get(world, "journal&deal=%d" % world.deal(world.good)["id"])
    assert "the user whose e-mail is " in page.text and "made if there is none" in page.text
    for internal in ("$lookup", "none skip", "several hold", "columns [", "keys ["):
        assert internal not in page.text, internal
        assert internal not in get(world, "deal=%d" % world.deal(world.good)["id"]).text.split("What happened")[1]


def test_jobs_say_what_they_are_of(world):
    deal = str(world.deal(world.good)["id"])
    fetch(world.server.base, ADMIN, "POST", json.dumps({"do": "look", "site": world.name, "id": deal}).encode(), "alice", Content_Type="application/json", X_Cosell_Request="1")
    wait_for(lambda: any(j["what"] == "look at deal " + deal for j in ask(world, "jobs")[1]["sites"][0]["jobs"]), 20, "the job")
    assert "look at deal " + deal in get(world, "jobs").text


def test_what_is_dead_says_who_refused_what(world):
    detail = ask(world, "dead")[1]["sites"][0]["dead"][0]["detail"]
    assert detail.startswith("Partner Center does not let our account read this: the account needs the role Referrals admin") and " answered 403" in detail.split(" (GET referral ")[1]
    cause = [c for c in ask(world, "problems")[1]["sites"][0]["causes"] if c["dead"]][0]
    assert cause["text"].startswith("Partner Center does not let our account read this") and cause["todo"] is None
    assert "Referrals admin" in get(world, "problems").text and "Referrals admin" in get(world, "dead").text


def test_notice_without_a_deal_says_why(world):
    answer = get(world, "deal=" + world.dead[0]["id"])
    assert "In the CRM: no" in answer.page.said and "given up" in answer.page.said and "403" in answer.page.said


def test_deals_are_found(world):
    titles = {"search=fabrikam": 1, "search=DATACENTRE+fab": 1, "search=" + world.new["id"]: 1, "search=nothing-like-it": 0, "deals=linked": 3, "deals=gone": 0,
              "search=" + urllib.parse.quote(world.deal(world.new)["record_id"]): 1}
    for query, wanted in titles.items():
        deals = ask(world, query)[1]["sites"][0]["deals"]
        assert len(deals) == wanted, (query, deals)
        page = get(world, query)
        assert page.page.said.count("Linked") >= wanted and ("There is no such deal" in page.page.said) == (wanted == 0)
    first = ask(world, "deals=&max=2")[1]["sites"][0]
    rest = ask(world, "deals=&max=2&after=" + urllib.parse.quote(first["next"]))[1]["sites"][0]
    assert len(first["deals"]) == 2 and not {d["id"] for d in first["deals"]} & {d["id"] for d in rest["deals"]}
    assert ask(world, "deals=&after=nowhere")[0] == 400
    assert "images" not in first["deals"][0] and first["deals"][0]["link"]


def test_what_was_typed_is_escaped(world):
    for text in ("\"><script>alert(1)</script>", "' onfocus='alert(1)", "&lt;b&gt;", "javascript:alert(1)"):
        answer = get(world, "search=" + urllib.parse.quote(text))
        assert answer.status == 200, answer.text[:300]
        assert_sound(answer)
        assert [e["value"] for t, e in answer.page.elements if t == "input" and e.get("name") == "search"] == [text]


def test_journal_pages(world):
    lines = ask(world, "journal=1000")[1]["sites"][0]["journal"]
    page = ask(world, "journal=3&before=%d" % lines[2]["id"])[1]["sites"][0]["journal"]
    assert [line["id"] for line in page] == [line["id"] for line in lines[3:6]]
    later = ask(world, "journal=2&after=%d" % lines[4]["id"])[1]["sites"][0]["journal"]
    assert [line["id"] for line in later] == [lines[3]["id"], lines[2]["id"]]
    number = world.deal(world.good)["id"]
    assert {line["deal"] for line in ask(world, "journal&deal=%d" % number)[1]["sites"][0]["journal"]} == {number}
    assert "Older" in get(world, "journal=2").page.said


def test_mapping_in_force(world):
    crm = ask(world, "mapping")[1]["sites"][0]["crms"][0]
    lines = {line["line"]: line for line in crm["kinds"][0]["lines"]}
    assert lines["name"]["pc"] == "/name" and lines["name"]["direction"] == "both" and crm["misfits"] == []
    assert any(line["off"] for line in lines.values()) and ask(world, "mapping=nobody")[1]["sites"][0]["crms"] == []
    assert "/details/dealValue" in get(world, "mapping").page.said


def test_another_sites_deal_is_not_there(world):
    theirs, second = world.second.good["id"], world.second
    for query in ("deal=" + theirs, "explain=" + theirs, "deal=%d" % world.second.deal(second.good)["id"]):
        assert get(world, query).status == 404, query
    for query in ("deals=", "search=secret", "journal=1000", "", "problems", "jobs"):
        assert "secret deal" not in get(world, query).text and theirs not in get(world, query).text, query
    assert fetch(second.server.base, ADMIN + "?deal=" + theirs, user="alice").status == 200


def test_explained_for_sellers(world):
    for handler in (STATUS, "/why"):
        answer = get(world, "explain=" + world.hostile["id"], handler, None)
        assert answer.status == 200
        assert_sound(answer)
        for words in ("Needs you", "What this means", "What to do", "What happens next", "What differs", "notes", world.hostile["id"]):
            assert words in answer.page.said, words
        for words in ("Overview", "Journal", "Find a deal", "correlation", "contoso", "partner-center", "mod_cosell 0", world.good["id"], "Datacentre"):
            assert words not in answer.page.said.replace("mod_cosell", "", 1) or words == "mod_cosell 0", words
        assert not [link for link in answer.page.links() if link.startswith("?")]
    assert "Accept or decline" in get(world, "explain=" + world.new["id"], "/why", None).page.said
    for query in ("", "deals=", "deal=" + world.good["id"], "journal", "jobs", "format=json"):
        assert get(world, query, "/why", None).status == 404, query
    assert json.loads(get(world, "deals=&format=json", "/why", None).text)["error"]


# Buttons


def test_only_a_user_gets_pages_with_buttons(world):
    assert get(world, user=None).status == 401
    answer = get(world, "problems", "/open-admin", None)
    assert answer.status == 403 and "Require" in answer.page.said and not answer.page.buttons()
    assert "Drop all that were given up" in get(world, "problems").page.buttons()


def test_retry_one_by_cause_and_all(world):
    page = get(world, "dead").page
    name = "pc:" + world.dead[0]["id"]
    world.partner.remove_faults()
    job = job_ends(world, press(world, page, "Try again", name=name))
    assert job["state"] == "done" and job["kind"] == "retry" and job["user"] == "alice", job
    wait_for(lambda: world.record(world.dead[0]), 30, "the record of the one that was tried again")
    assert (world.work(world.dead[1]) or {}).get("state") == DEAD
    cause = next(cause["cause"] for cause in ask(world, "problems")[1]["sites"][0]["causes"] if cause["dead"])
    job_ends(world, press(world, get(world, "problems").page, "Try these again", cause=cause))
    wait_for(lambda: all(world.record(r) for r in world.dead), 30, "the records of the others")
    wait_for(lambda: not [c for c in ask(world, "problems")[1]["sites"][0]["causes"] if c["dead"]], 10, "the problems to be over")
    more = [world.refer() for _ in range(2)]
    give_up(world, more)
    world.partner.remove_faults()
    job_ends(world, press(world, get(world, "problems").page, "Try all that were given up again"))
    wait_for(lambda: all(world.record(r) for r in more), 30, "the records of all")


def test_drop_asks_again(world):
    dead = world.refer("To be dropped")
    give_up(world, [dead])
    page = get(world, "dead").page
    asked = press(world, page, "Drop", name="pc:" + dead["id"])
    assert asked.status == 200 and "To be dropped" not in asked.text and dead["id"] in asked.text
    assert_sound(asked)
    assert (world.work(dead) or {}).get("state") == DEAD
    job = job_ends(world, press(world, asked.page, "Yes, drop"))
    assert job["state"] == "done", job
    wait_for(lambda: not world.work(dead), 10, "the work to be gone")
    world.partner.remove_faults()


def test_look_of_a_deal_that_was_given_up(world):
    world.partner.fault(method="GET", path="referrals/" + world.new["id"], fault="status", status=403)
    world.notify(world.new)
    wait_for(lambda: (world.work(world.new) or {}).get("state") == DEAD, 30, "the end of patience")
    answer = get(world, "deal=" + world.new["id"])
    assert_sound(answer)
    assert "Its look was given up" in answer.page.said and "403" in answer.page.said
    world.partner.remove_faults()
    assert job_ends(world, press(world, answer.page, "Try again"))["state"] == "done"
    wait_for(lambda: not world.work(world.new), 20, "the look")
    assert "Its look was given up" not in get(world, "deal=" + world.new["id"]).page.said


def parked(world):
    nobody = str(uuid.uuid4()) if world.kind == "dynamics365" else "006000000000ZZZAA2"
    referral = world.refer(externalReferenceId=nobody)
    world.notify(referral)
    wait_for(lambda: (world.deal(referral) or {}).get("state") == "parked", 30, "the deal to be parked")
    return referral


def test_parked_deal_is_decided_by_buttons(world):
    first, second = parked(world), parked(world)
    causes = {cause["cause"]: cause for cause in ask(world, "problems")[1]["sites"][0]["causes"]}
    assert causes["parked missing"]["deals"] == 2, causes
    answer = get(world, "deal=" + first["id"])
    assert_sound(answer)
    assert "In the CRM: no" in answer.page.said and "does not exist" in answer.page.said and "Link to this record" in answer.page.buttons()
    assert job_ends(world, press(world, answer.page, "Make a new record"))["state"] == "done"
    wait_for(lambda: world.record(first), 30, "a record of its own")
    asked = press(world, get(world, "deal=" + second["id"]).page, "Leave it alone for good")
    assert asked.status == 200 and "alone for good" in asked.page.said and world.deal(second)["state"] == "parked"
    assert_sound(asked)
    assert job_ends(world, press(world, asked.page, "Yes, ignore"))["state"] == "done"
    assert world.deal(second)["state"] == "unlinked"
    answer = get(world, "deal=" + second["id"])
    assert "In the CRM: no" in answer.page.said and "ignored by alice" in answer.page.said and "Make a new record" in answer.page.buttons()
    wait_for(lambda: "parked missing" not in [c["cause"] for c in ask(world, "problems")[1]["sites"][0]["causes"]], 20, "the cause to be over")


def test_pause_resume_look_and_doctor(world):
    overview = get(world).page
    job_ends(world, press(world, overview, "Pause the site", given={"why": "the <CRM> moves"}))
    wait_for(lambda: ask(world, "")[1]["sites"][0]["paused"], 10, "the pause")
    page = get(world).page
    assert "Paused by alice" in page.said and "the <CRM> moves" in page.said and "Resume the site" in page.buttons()
    assert "The site is paused" in get(world, "deal=" + world.good["id"]).page.said
    job_ends(world, press(world, page, "Resume the site"))
    wait_for(lambda: not ask(world, "")[1]["sites"][0]["paused"], 10, "the end of the pause")
    before = world.partner.last_request()
    job_ends(world, press(world, get(world, "deal=" + world.good["id"]).page, "Look at it now"))
    wait_for(lambda: world.partner.requests(path=world.good["id"], since=before), 20, "the look")
    job = job_ends(world, press(world, get(world).page, "Check everything (doctor)"), 60)
    answer = get(world, "job=" + job["id"])
    assert_sound(answer)
    assert "Checks" in answer.page.said, answer.page.said


def test_dry_run_of_a_deal_says_what_would_change(world):
    answer = press(world, get(world, "deal=" + world.good["id"]).page, "What would a resync change?")
    identity = job_of(answer)
    alive = get(world, "job=" + identity)
    if alive.page.all("meta") and [m for m in alive.page.all("meta") if m.get("http-equiv") == "refresh"]:
        assert_sound(alive)
    job = job_ends(world, answer, 60)
    assert job["state"] == "done" and job["arguments"]["dry_run"] is True, job
    ended = get(world, "job=" + identity)
    assert_sound(ended)
    assert not [m for m in ended.page.all("meta") if m.get("http-equiv")] and "Job: resync" in ended.page.said
    assert_sound(get(world, "jobs"))


def jobs(world):
    return len(ask(world, "jobs")[1]["sites"][0]["jobs"])


def changed(form, **members):
    return {**form, **members}


FORGED = [
    ("no token", lambda f: {n: v for n, v in f.items() if n != "token"}, {}, 403, "did not come from a page"),
    ("an empty token", lambda f: changed(f, token=""), {}, 403, "did not come from a page"),
    ("a made-up token", lambda f: changed(f, token="0" * 76), {}, 403, "was not made for you"),
    ("a token with another time", lambda f: changed(f, token="%012d" % (int(f["token"][:12]) + 1) + f["token"][12:]), {}, 403, "was not made for you"),
    ("a token with a bit changed", lambda f: changed(f, token=f["token"][:-1] + ("0" if f["token"][-1] != "0" else "1")), {}, 403, "was not made for you"),
    ("somebody else's token", lambda f: f, {"user": "bob"}, 403, "was not made for you"),
    ("another page", lambda f: f, {"Origin": "https://evil.example"}, 403, "other origins"),
    ("a sandboxed page", lambda f: f, {"Origin": "null"}, 403, "other origins"),
    ("another site's form", lambda f: f, {"Sec_Fetch_Site": "cross-site"}, 403, "other origins"),
    ("a neighbour host's form", lambda f: f, {"Sec_Fetch_Site": "same-site"}, 403, "other origins"),
    ("another site of ours", lambda f: changed(f, site="fabrikam"), {}, 403, "not this host's"),
    ("no site", lambda f: {n: v for n, v in f.items() if n != "site"}, {}, 403, "not this host's"),
    ("another verb", lambda f: changed(f, do="explode"), {}, 400, "not known"),
    ("a stranger field", lambda f: changed(f, surprise="1"), {}, 400, "surprise"),
    ("a field that is no text", lambda f: b"&".join([urllib.parse.urlencode(f).encode(), b"why=%ff"]), {}, 400, "URL-encoded"),
    ("too much", lambda f: changed(f, why="x" * 20000), {}, 413, "bytes"),
]


@pytest.mark.parametrize("why,forge,more,status,said", FORGED, ids=[case[0] for case in FORGED])
def test_forged_forms_are_refused_in_words(world, why, forge, more, status, said):
    before, form = jobs(world), get(world).page.form("Pause the site")
    answer = send(world.server.base, ADMIN, forge(form), **more)
    assert answer.status == status and said in answer.page.said, (why, answer.status, answer.text[-600:])
    assert_sound(answer)
    assert jobs(world) == before and not ask(world, "")[1]["sites"][0]["paused"]


def test_form_without_a_user(world):
    form = get(world).page.form("Pause the site")
    assert send(world.server.base, ADMIN, form, user=None).status == 401
    answer = send(world.server.base, "/open-admin", form, user=None)
    assert answer.status == 403 and "Require" in answer.page.said


def test_form_of_another_site_of_the_same_user(world):
    form = fetch(world.second.server.base, ADMIN, user="alice").page.form("Pause the site")
    assert form["site"] == "fabrikam"
    for fields in (form, changed(form, site="contoso")):
        assert send(world.server.base, ADMIN, fields).status == 403


def test_pressed_twice_does_no_harm(world):
    page = get(world, "deal=" + world.good["id"]).page
    version, answers = world.record(world.good), [press(world, page, "Look at it now") for _ in range(2)]
    assert [job_ends(world, answer)["state"] for answer in answers] == ["done", "done"]
    world.settled(30)
    assert world.record(world.good) == version


def test_all_sites_are_the_main_servers_alone(world):
    for handler in (STATUS, ADMIN):
        assert get(world, "scope=all", handler).status == 403
    assert "The last hours" in fetch(world.main, ADMIN + "?scope=all", user="alice").page.said
    for query in ("scope=all", "deals=&scope=all", "problems&scope=all", "journal&scope=all", "jobs&scope=all", "mapping&scope=all"):
        answer = fetch(world.main, ADMIN + "?" + query, user="alice")
        assert answer.status == 200 and "Site contoso" in answer.page.said and "Site fabrikam" in answer.page.said, query
        assert_sound(answer)
        assert all("scope=all" in link for link in answer.page.links() if link.startswith("?")), answer.page.links()
    assert fetch(world.main, ADMIN + "?scope=all&deal=" + world.second.good["id"], user="alice").status == 200
    assert "no site of its own" in fetch(world.main, ADMIN, user="alice").page.said
    page = fetch(world.main, ADMIN + "?scope=all", user="alice").page
    answer = send(world.main, ADMIN + "?scope=all", page.form("Look at it now", site="fabrikam", do="look") | {"id": world.second.good["id"]})
    assert answer.status == 303 and answer.headers["Location"].endswith("&scope=all"), answer.text
    assert send(world.main, ADMIN, page.form("Look at it now", site="fabrikam", do="look") | {"id": "1"}).status == 403


def test_old_page_is_refused_and_a_reload_is_survived(world):
    """The last one here: what is planned while the clock is ahead stays ahead."""
    form = get(world, "deal=" + world.good["id"]).page.form("Look at it now")
    world.server.graceful()
    job_ends(world, send(world.server.base, ADMIN, form))
    world.server.clock(offset=11.9 * 3600)
    assert send(world.server.base, ADMIN, form).status == 303
    world.server.clock(offset=12.1 * 3600)
    answer = send(world.server.base, ADMIN, form)
    assert answer.status == 403 and "older than 12 hours" in answer.page.said
    world.server.clock(offset=0)
