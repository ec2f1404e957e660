"""The status page: what it may be asked, and what it says of a notice that is no deal yet."""

import json
import uuid

import pytest

from harness import wait_for
from harness.world import CRM, DEAD, SUSPENDED

CRMS = ("dynamics365", "salesforce")


@pytest.fixture(scope="module")
def world(world_of):
    return world_of("status").start().ready()


@pytest.fixture(autouse=True)
def clean(world):
    yield
    world.partner.remove_faults()
    world.crm.remove_faults()
    world.crm.post("tokens", {"fail": None})
    world.real_time()


def ask(world, query):
    reply = world.server.get("/cosell-status?" + query)
    return reply.status, json.loads(reply.body)


@pytest.mark.parametrize("query,said", [
    ("journal=0", "1 to 1000"), ("journal=1001", "1 to 1000"), ("journal=99999", "1 to 1000"), ("journal=000", "1 to 1000"),
    ("journals=5", '"journals" is no parameter; allowed: after, before, cause, dead, deal, deals, explain, format'), ("deal=5&x%0Ay=1", '"x?y" is no parameter'),
    ("%zz=1", "is no parameter"), ("=5", '"" is no parameter'), ("deal=%zz", "deal: the value"), ("gr%C3%B6%C3%9Fe", '"gr????e" is no parameter'),
])
def test_wrong_question(world, query, said):
    status, answer = ask(world, query)
    assert status == 400 and said in answer["error"] and list(answer) == ["error"], answer


@pytest.mark.parametrize("query", ["journal=1", "journal=1000", "journal=", "Journal=5", "dead", "dead=1", ""])
def test_right_question(world, query):
    assert ask(world, query)[0] == 200


def test_unknown_deal(world):
    status, answer = ask(world, "deal=%s" % uuid.uuid4())
    assert status == 404 and "no notice" in answer["error"]


def test_notice_that_waits_for_another_attempt(world):
    referral = world.refer()
    world.partner.fault(method="GET", path="referrals/" + referral["id"], fault="status", status=500)
    world.notify(referral, name="referral-created")
    wait_for(lambda: (world.work(referral) or {}).get("attempts"), 20, "a first attempt")
    status, answer = ask(world, "deal=" + referral["id"].upper())
    waiting = answer["waiting"]
    assert status == 200 and list(answer) == ["waiting"]
    assert (waiting["name"], waiting["site"], waiting["state"]) == ("pc:" + referral["id"], "contoso", "ready")
    assert waiting["attempts"] >= 1 and waiting["first"] and waiting["due"] >= waiting["first"], waiting
    assert waiting["problem"] and waiting["detail"] and waiting["suspended"] is None, waiting
    world.partner.remove_faults()
    world.settled(40)
    status, answer = ask(world, "deal=" + referral["id"])
    assert status == 200 and answer["deal"]["referral"] == referral["id"] and "waiting" not in answer


def test_notice_that_was_given_up(world):
    world.server.log.announce("CS2040")
    referral = world.refer()
    world.partner.fault(method="GET", path="referrals/" + referral["id"], fault="status", status=403)
    world.notify(referral, name="referral-created")
    wait_for(lambda: (world.work(referral) or {}).get("state") == DEAD, 20, "the end of patience")
    status, answer = ask(world, "deal=" + referral["id"])
    waiting = answer["waiting"]
    assert status == 200 and waiting["state"] == "dead" and waiting["problem"] == world.work(referral)["problem"] and waiting["detail"], waiting


def test_notice_that_waits_for_an_upstream(new_world):
    world = new_world("status-suspended")
    world.crm.post("tokens", {"fail": "invalid_client"})
    world.start().ready()
    world.server.log.announce("CS2")
    referrals = [world.refer() for _ in range(3)]
    for referral in referrals:
        world.notify(referral, name="referral-created")
    wait_for(lambda: all((world.work(referral) or {}).get("state") == SUSPENDED for referral in referrals), 30, "the notices to wait for the CRM")
    status, answer = ask(world, "deal=" + referrals[0]["id"])
    assert status == 200, answer
    waiting = answer["waiting"]
    assert (waiting["state"], waiting["upstream"]) == ("suspended", CRM), waiting
    assert waiting["problem"] and waiting["detail"] and waiting["suspended"]["upstream"] == CRM and waiting["suspended"]["since"], waiting
