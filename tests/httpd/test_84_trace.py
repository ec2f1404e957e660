"""W3C trace context: a notice's trace is that of everything its look asks for on both sides, and of the journal; bad ones and none are answered by one of ours."""

import re
import uuid

import pytest

from harness import wait_for
from harness.both import Lossy, connect, hear
from harness.events import Event
from harness.storm import post

CRMS = ("dynamics365", "salesforce")
TRACE = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-0[01]\Z")


@pytest.fixture(scope="module")
def world(world_of):
    world = hear(world_of("trace"))
    return world.start().ready()


def new_trace(flags="01"):
    return "00-%s-%s-%s" % (uuid.uuid4().hex, uuid.uuid4().hex[:16], flags)


def name_of(trace):
    return trace.split("-")[1]


def notify(world, referral, trace):
    event = Event("referral-updated", referral["id"], changed=world.version(referral["id"]))
    headers = {**event.headers(world.pki, world.cert_url), **({"traceparent": trace} if trace is not None else {})}
    assert post(world.server.webhook, event.body, headers).status == 200


def asked(simulator, since):
    """HTTP requests of looks: what reads the registration and what signs in belongs to nobody."""
    return [r for r in simulator.requests(since=since) if not r.get("batch") and "/oauth2/" not in r["path"] and "/webhooks/" not in r["path"]]


def looked(world, referral, trace):
    marks = world.partner.last_request(), world.crm.last_request()
    notify(world, referral, trace)
    world.settled()
    return asked(world.partner, marks[0]), asked(world.crm, marks[1])


def correlations(world, referral):
    return [line["correlation"] for line in world.journal(referral)]


def test_through_to_both_sides(world):
    referral, trace = world.refer(), new_trace()
    partner, crm = looked(world, referral, trace)
    assert len(partner) >= 2 and any(r["method"] in ("POST", "PATCH") for r in crm), (partner, crm)
    sent = [r["traceparent"] for r in partner + crm]
    assert all(TRACE.match(one) and name_of(one) == name_of(trace) and one.endswith("-01") for one in sent), sent
    assert len({one.split("-")[2] for one in sent} | {trace.split("-")[2]}) == len(sent) + 1, "each request has a span of its own"
    assert correlations(world, referral) and all("trace=" + name_of(trace) in one for one in correlations(world, referral))


@pytest.mark.parametrize("given", [
    "00-%s-00f067aa0ba902b7-01" % ("0" * 32), "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", "nonsense", None])
def test_one_of_ours_instead(world, given):
    referral = world.refer()
    partner, crm = looked(world, referral, given)
    sent = {name_of(r["traceparent"]) for r in partner + crm}
    assert len(sent) == 1 and "4bf92f3577b34da6a3ce929d0e0e4736" not in sent, sent
    assert all(r["traceparent"].endswith("-00") for r in partner + crm)
    assert all("trace=" + min(sent) in one for one in correlations(world, referral))


def test_of_a_later_version(world):
    trace = new_trace()
    partner, crm = looked(world, world.refer(), "cc" + trace[2:] + "-what-the-future-will-be-like")
    assert {name_of(r["traceparent"]) for r in partner + crm} == {name_of(trace)}
    assert all(r["traceparent"].startswith("00-") for r in partner + crm)


def test_several_at_once(world):
    """What is asked for one deal bears its own trace; a batch for several deals bears one of its own, unless theirs is the same."""
    for same in (False, True):
        blocker, deals = world.refer(), [world.refer(), world.refer()]
        traces = [new_trace(), new_trace()]
        if same:
            traces[1] = traces[0][:36] + uuid.uuid4().hex[:16] + "-01"
        fault = world.partner.fault(method="GET", path=blocker["id"], fault="hold", times=1)
        notify(world, blocker, new_trace())
        wait_for(lambda: world.partner.held() == 1, 10, "the lane to be busy")
        marks = world.partner.last_request(), world.crm.last_request()
        for deal, trace in zip(deals, traces):
            notify(world, deal, trace)
        world.partner.remove_faults(fault)
        world.settled()
        for deal, trace in zip(deals, traces):
            mine = [r for r in asked(world.partner, marks[0]) if deal["id"] in r["path"] or deal["engagementId"] in r["query"]]
            assert mine and {name_of(r["traceparent"]) for r in mine} == {name_of(trace)}
            assert all("trace=" + name_of(trace) in one for one in correlations(world, deal))
        writes = {name_of(r["traceparent"]) for r in asked(world.crm, marks[1]) if r["method"] != "GET"}
        assert writes and (name_of(traces[0]) in writes) is same, (same, writes)


class Traced(Lossy):
    trace = None

    def take(self, path, headers, body):
        return super().take(path, {**headers, "traceparent": self.trace}, body)


def test_notifications_of_the_crm(world):
    referral = world.refer()
    looked(world, referral, None)
    record = world.deal(referral)["record_id"]
    looked(world, referral, None)
    relay = Traced(world.server.base)
    relay.trace = new_trace()
    try:
        connect(world, relay.url, tables=("opportunity",), partner=False)
        if world.kind == "salesforce":
            world.crm.post("clock", {"advance": 3})
        since = world.partner.last_request()
        world.crm.edit("opportunities", record, {"estimatedvalue": 77777})
        wait_for(lambda: world.partner.referral(referral["id"])["details"]["dealValue"] == 77777, 20, "the value at Partner Center")
        world.settled()
        patches = [r for r in asked(world.partner, since) if r["method"] == "PATCH"]
        assert [name_of(r["traceparent"]) for r in patches] == [name_of(relay.trace)]
        assert "trace=" + name_of(relay.trace) in correlations(world, referral)[-1]
    finally:
        relay.close()


def test_what_is_polled_bears_none(world):
    """Nobody asked for it: polls and the watch of the registration."""
    since = world.partner.last_request()
    lists = lambda: [r for r in world.partner.requests(since=since) if "updatedDateTime" in r["query"] or "/registration" in r["path"]]
    world.advanced(lambda: lists(), step=310, what="a poll")
    assert {r["traceparent"] for r in lists()} == {None}
