"""Pages as people see them: a headless Chromium with scripts switched off, in both colour schemes, wide and as narrow as a telephone."""

import base64
import json
import os
import urllib.request

import pytest

from harness import wait_for
from harness.admin import ADMIN, add_admin
from harness.browser import Browser
from harness.paths import BUILD
from harness.server import STATUS
from harness.world import DEAD

pytestmark = pytest.mark.skipif(Browser.missing() is not None, reason=str(Browser.missing()))
SHOTS = os.path.join(BUILD, "pages")
WIDTHS = (1200, 390)


@pytest.fixture(scope="module")
def world(world_of):
    world = world_of("browser")
    world.ages = world.kind == "salesforce"
    add_admin(world.server)
    world.server.log.announce("CS2040")
    world.start().ready()
    names = ["Fabrikam datacentre move", "Northwind ERP renewal", "Adatum security review", "Tailspin point of sale", "<b>Contoso</b> & \"Sons\""]
    world.deals = [world.refer(name) for name in names] + [world.refer("Litware onboarding", active=False)]
    for referral in world.deals:
        world.notify(referral)
    wait_for(lambda: all(world.record(referral) for referral in world.deals), 60, "the records")
    world.settled(40)
    conflict = world.deals[0]
    world.partner.edit(conflict["id"], {"details": {"notes": "Kick-off moved to spring, says the partner manager"}})
    world.crm.edit("opportunities", world.deal(conflict)["record_id"], {"description": "Kick-off in December, says the seller"})
    world.looked(conflict)
    moved = world.deals[1]
    world.partner.edit(moved["id"], {"details": {"dealValue": 72000}})
    world.looked(moved)
    world.dead = [world.refer("Dead %d" % n) for n in range(3)]
    for referral in world.dead:
        world.partner.fault(method="GET", path="referrals/" + referral["id"], fault="status", status=403)
        world.notify(referral, name="referral-created")
    wait_for(lambda: all((world.work(r) or {}).get("state") == DEAD for r in world.dead), 30, "the end of patience")
    os.makedirs(SHOTS, exist_ok=True)
    return world


@pytest.fixture(scope="module")
def chromium():
    browser = Browser()
    yield browser
    browser.close()


@pytest.fixture
def browser(world, chromium):
    """Signed in, without scripts."""
    world.server.log.announce("CS2040")
    chromium.scripts(False)
    chromium.sign_in("alice", "wonder")
    chromium.look(1200)
    chromium.seen = len(chromium.events)
    yield chromium
    assert chromium.complaints(chromium.seen) == []


def pages(world):
    deal = world.deals[0]["id"]
    return {"overview": ADMIN, "deals": ADMIN + "?deals=", "deal": ADMIN + "?deal=" + deal, "problems": ADMIN + "?problems", "dead": ADMIN + "?dead",
            "journal": ADMIN + "?journal=20", "jobs": ADMIN + "?jobs", "mapping": ADMIN + "?mapping", "explain": STATUS + "?explain=" + deal,
            "given-up": ADMIN + "?deal=" + world.dead[0]["id"]}


RATIO = """(() => {
  const parse = c => (c.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => { const f = v => { v /= 255; return v <= 0.03928 ? v / 12.92 : Math.pow((v + 0.055) / 1.055, 2.4); };
                                 return 0.2126 * f(r) + 0.7152 * f(g) + 0.0722 * f(b); };
  const ground = e => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c.length === 3 || c[3] > 0) return c; } return [255, 255, 255]; };
  const low = [];
  for (const e of document.querySelectorAll('body *')) {
    const own = [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim());
    if (!own || !e.offsetParent || getComputedStyle(e).clipPath !== 'none') continue;
    const text = light(parse(getComputedStyle(e).color)), back = light(ground(e));
    const ratio = (Math.max(text, back) + 0.05) / (Math.min(text, back) + 0.05);
    if (ratio < 4.5) low.push([e.tagName + '.' + e.className, e.textContent.slice(0, 30), Math.round(ratio * 100) / 100]);
  }
  return low;
})()"""


@pytest.mark.parametrize("name", ["overview", "deals", "deal", "problems", "dead", "journal", "jobs", "mapping", "explain", "given-up"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_can_be_read(world, browser, name, dark, width):
    """Styled by our stylesheet, nothing wider than the window, and every text stands out from its ground at least 4.5 : 1."""
    browser.look(width, 844 if width < 600 else 900, dark)
    browser.go(world.server.base + pages(world)[name])
    assert browser.evaluate("document.styleSheets.length") == 1
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    ground = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(20, 23, 26)") == dark, ground
    low = browser.evaluate(RATIO)
    assert low == [], low
    picture = browser.screenshot(os.path.join(SHOTS, "%s-%d%s.png" % (name, width, "-dark" if dark else "")))
    assert len(picture) > 5000
    if width < 600:
        assert browser.evaluate("document.documentElement.scrollHeight") < 12000, "something is squeezed"
        small = browser.evaluate("[...document.querySelectorAll('button,nav a,.tabs a')].map(e => e.getBoundingClientRect()).filter(r => r.height && r.height < 24).length")
        assert small == 0, "targets too small for a finger"


def test_keyboard_reaches_everything_and_shows_where_it_is(world, browser):
    browser.go(world.server.base + ADMIN)
    seen = []
    for _ in range(12):
        for kind in ("rawKeyDown", "keyUp"):
            browser.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
        seen.append(browser.evaluate("document.activeElement.textContent.trim() || document.activeElement.name"))
        assert browser.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid", seen
    assert seen[0] == "Skip to the content" and "Problems" in seen and "search" in seen and "Find" in seen, seen


def test_why_is_this_deal_not_in_the_crm(world, browser):
    """From the overview: type into the box on top, press Enter, and the answer stands there."""
    browser.go(world.server.base + ADMIN)
    browser.type_into("#search", "northwind")
    browser.enter()
    assert "Northwind ERP renewal" in browser.text() and "Adatum" not in browser.text() and "search=northwind" in browser.url()
    browser.press("document.querySelector('tbody a')")
    text = browser.text()
    assert "In the CRM: yes" in text and "USD 72000.00" in text and "What happened" in text
    browser.type_into("#search", world.dead[0]["id"])
    browser.enter()
    text = browser.text()
    assert "In the CRM: no" in text and "given up" in text and "403" in text, text
    browser.press("[...document.querySelectorAll('main a')].find(a => a.textContent === 'What happens next')")
    assert "A new notice, a newer version, a changed mapping or a person wakes it" in browser.text()


def test_conflict_and_its_end_by_a_button(world, browser):
    deal = world.deals[0]
    browser.go(world.server.base + ADMIN + "?deal=" + deal["id"])
    text = browser.text()
    assert "Needs you" in text and "Kick-off in December, says the seller" in text and "Kick-off moved to spring" in text
    browser.press("[...document.querySelectorAll('button')].find(b => b.textContent === \"Take Partner Center's\")")
    assert "Job: resolve" in browser.text() and "?job=" in browser.url()
    row = lambda: world.record(deal)["description"] if world.kind == "dynamics365" else world.record(deal)["Description"]
    wait_for(lambda: row() == "Kick-off moved to spring, says the partner manager", 30, "Partner Center's text in the CRM")


def test_problems_are_tried_again_by_a_button(world, browser):
    browser.go(world.server.base + ADMIN + "?problems")
    assert "3 given up" in browser.text()
    world.partner.remove_faults()
    browser.press("[...document.querySelectorAll('button')].find(b => b.textContent === 'Try all that were given up again')")
    assert "Job: try again" in browser.text()
    wait_for(lambda: browser.evaluate("!document.querySelector('meta[http-equiv]') && document.body.innerText.includes('done')"), 30, "the page to have asked again until the job ended")
    wait_for(lambda: all(world.record(referral) for referral in world.dead), 30, "the records")
    browser.press("[...document.querySelectorAll('main a')].find(a => a.textContent === 'problems')")
    assert "given up" not in browser.text()


def test_hostile_title_is_only_text(world, browser):
    """With scripts switched on, too, nothing of it comes alive."""
    browser.scripts(True)
    browser.go(world.server.base + ADMIN + "?deal=" + world.deals[4]["id"])
    assert "<b>Contoso</b> & \"Sons\"" in browser.evaluate("document.querySelector('h1').textContent")
    assert browser.evaluate("document.querySelectorAll('h1 b').length") == 0
    assert "default-src 'none'" in urllib.request.urlopen(world.server.base + STATUS + "?format=html", timeout=10).headers["Content-Security-Policy"]
    # Were there a script all the same, the policy would not let it run.
    before = len(browser.events)
    browser.evaluate("document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.ran = 1'})); 1")
    assert browser.evaluate("window.ran") is None
    said = wait_for(lambda: browser.evaluate("1") and browser.complaints(before), 10, "the browser to say so")
    assert "Content Security Policy" in said[0]
    browser.seen = len(browser.events)


def test_form_on_another_page_does_nothing(world, browser):
    """A page of another origin that posts with the user's sign-in, in a real browser."""
    browser.scripts(True)
    jobs = lambda: json.loads(urllib.request.urlopen(world.server.base + STATUS + "?jobs", timeout=10).read())["sites"][0]["jobs"]
    before = len(jobs())
    page = ('<!DOCTYPE html><title>x</title><form id="f" method="post" action="%s"><input name="do" value="pause">'
                       '<input name="site" value="contoso"><button>win a prize</button></form>' % (world.server.base + ADMIN))
    browser.go("data:text/html;base64," + base64.b64encode(page.encode()).decode())
    browser.press("document.querySelector('button')")
    assert "other origins" in browser.text(), browser.text()
    assert len(jobs()) == before
    browser.seen = len(browser.events)
