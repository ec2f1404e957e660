"""The Webhooks API as Microsoft documents it: who may register, one registration per tenant, test events and what came of them."""
import itertools
import os
import re
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from test_partner_center import EVENTS, directory, receiver, running, sim, verify, wait  # noqa: E402,F401

OURS = {"WebhookUrl": "https://hooks.example.com/a", "WebhookEvents": EVENTS, "SignatureTokenToMsSignatureHeader": True}
MINUTES = itertools.count()
GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")


def as_role(sim, role):
    sim._tokens.clear()
    sim.control("POST", "tokens", {"role": role})


def view(sim, key):
    return sim.hooks("GET", "/validationEvents/" + key)


def another_minute(sim):
    """Two test events a minute are allowed to the whole tenant."""
    sim.control("POST", "clock", {"offset": 36000 + 61 * next(MINUTES)})


# Roles

@pytest.mark.parametrize("role, hooks, referrals", [
    ("referrals-admin", 200, 200), ("referrals-user", 403, 200), ("admin-agent", 200, 403), ("sales-agent", 200, 403),
    ("helpdesk-agent", 200, 403), ("billing-admin", 200, 403), ("none", 403, 403)])
def test_roles(sim, role, hooks, referrals):
    as_role(sim, role)
    answer = sim.hooks("GET", "/events")
    assert answer.status_code == hooks
    if hooks == 403:
        assert set(answer.json()) == {"code", "description", "data", "source"} and answer.json()["description"]
    assert sim.call("GET", sim.referrals).status_code == referrals


def test_the_webhooks_pages_name_no_referrals_admin(sim):
    sim.control("POST", "options", {"ReferralsAdminRegisters": False})
    for method, path, body in (("GET", "", None), ("GET", "/events", None), ("POST", "", OURS), ("PUT", "", OURS),
                               ("POST", "/validationEvents", None)):
        assert sim.hooks(method, path, json=body).status_code == 403
    as_role(sim, "admin-agent")
    assert sim.hooks("POST", json=OURS).status_code == 200


def test_nothing_is_changed_by_who_may_not(sim):
    sim.hooks("POST", json=OURS)
    as_role(sim, "referrals-user")
    assert sim.hooks("PUT", json={**OURS, "WebhookUrl": "https://other.example.com/"}).status_code == 403
    assert sim.control("GET", "registration")["subscriberId"] and sim.control("GET", "registration")["webhookUrl"] == OURS["WebhookUrl"]


# The registration

def test_one_registration_for_all(sim):
    """There is no id: whoever comes second must update, and updating takes everything that was there away."""
    assert sim.hooks("POST", json=OURS).status_code == 200
    other = {"WebhookUrl": "https://other.example.com/hook?sig=1", "WebhookEvents": ["invoice-ready"]}
    assert sim.hooks("POST", json=other).status_code == 409
    assert sim.hooks("PUT", json=other).status_code == 200
    read = sim.hooks("GET").json()
    assert (read["webhookUrl"], read["webhookEvents"]) == (other["WebhookUrl"], ["invoice-ready"])
    assert sim.control("GET", "registration")["signatureTokenToMsSignatureHeader"] is False


def test_another_client_takes_over(sim, receiver):
    sim.register(receiver.url)
    first = sim.hooks("GET").json()
    sim.control("POST", "clock", {"advance": 5})
    sim.control("POST", "registration", {"WebhookUrl": "https://flow.example.com/hook", "WebhookEvents": ["referral-created"]})
    second = sim.hooks("GET").json()
    assert second["webhookUrl"] == "https://flow.example.com/hook" and second["webhookEvents"] == ["referral-created"]
    assert second["lastModifiedTimestamp"] > first["lastModifiedTimestamp"]
    sim.control("POST", "referrals", {})
    assert sim.hooks("PUT", json={**OURS, "WebhookUrl": receiver.url}).status_code == 200
    marker = sim.control("POST", "referrals", {})
    _, body, _ = receiver.events.get(timeout=10)
    assert marker["id"] in body.decode(), "what happened meanwhile went elsewhere"


def test_none_in_its_other_forms(sim):
    for form, status in (("404", 404), ("204", 204), ("empty", 200)):
        sim.control("POST", "options", {"NoRegistration": form})
        answer = sim.hooks("GET")
        assert answer.status_code == status and (status != 200 or answer.json() == {})


def test_flag_as_text(sim):
    """As the Power Automate connector sends it."""
    assert sim.hooks("POST", json={**OURS, "SignatureTokenToMsSignatureHeader": "True"}).status_code == 200
    assert sim.control("GET", "registration")["signatureTokenToMsSignatureHeader"] is True


# Test events

@pytest.mark.parametrize("flag, header", [(True, "x-ms-signature"), (False, "Authorization")])
def test_test_event_is_signed(sim, receiver, flag, header):
    another_minute(sim)
    sim.register(receiver.url, flag)
    key = sim.hooks("POST", "/validationEvents").json()["correlationId"]
    assert GUID.match(key)
    headers, body, _ = receiver.events.get(timeout=10)
    verify(sim, headers, body, header)
    assert (b"/validationEvents/" + key.encode()) in body and (("Authorization" in headers) is not flag)


def test_needs_the_event_registered(sim, receiver):
    another_minute(sim)
    sim.register(receiver.url, events=["referral-created"])
    answer = sim.hooks("POST", "/validationEvents")
    assert answer.status_code == 400 and "test-created" in answer.json()["description"]
    assert receiver.events.empty()


def test_two_a_minute_whoever_asks(sim, receiver):
    another_minute(sim)
    sim.register(receiver.url)
    assert sim.hooks("POST", "/validationEvents").status_code == 200
    as_role(sim, "admin-agent")
    assert [sim.hooks("POST", "/validationEvents").status_code for _ in range(2)] == [200, 429]


def test_repeated_under_its_id(sim, receiver):
    """After a time-out a client repeats with the same MS-RequestId: there is one event."""
    another_minute(sim)
    sim.register(receiver.url)
    headers = {"MS-RequestId": "bbbbbbbb-2222-4222-8222-%012x" % os.getpid()}
    keys = {sim.hooks("POST", "/validationEvents", headers=headers).json()["correlationId"] for _ in range(3)}
    assert len(keys) == 1
    receiver.events.get(timeout=10)
    key = keys.pop()
    wait(lambda: view(sim, key).json()["status"] == "completed", "completed test event")
    assert receiver.events.empty()


def test_results_in_their_other_form(sim, receiver):
    another_minute(sim)
    sim.control("POST", "options", {"NumericResponseCode": True, "PascalCase": True})
    sim.register(receiver.url)
    receiver.answers[:] = [503]
    key = sim.hooks("POST", "/validationEvents").json()["CorrelationId"]
    result = wait(lambda: (lambda r: r if r["Status"] == "completed" else None)(view(sim, key).json()), "completed test event")
    assert [r["ResponseCode"] for r in result["Results"]] == ["503", "200"] and result["CallbackUrl"] == receiver.url


def test_nobody_listens(sim, receiver):
    another_minute(sim)
    sim.register("http://127.0.0.1:9/nobody")
    key = sim.hooks("POST", "/validationEvents").json()["correlationId"]
    result = wait(lambda: (lambda r: r if r["status"] == "failed" else None)(view(sim, key).json()), "failed test event", 20)
    assert len(result["results"]) == 10
    assert all(r["systemError"] and r["responseCode"] == "" and r["responseMessage"] for r in result["results"])


def test_forgotten_after_a_week(sim, receiver):
    another_minute(sim)
    sim.register(receiver.url)
    key = sim.hooks("POST", "/validationEvents").json()["correlationId"]
    receiver.events.get(timeout=10)
    sim.control("POST", "clock", {"advance": 7 * 86400 - 60})
    sim._tokens.clear()
    assert view(sim, key).status_code == 200
    sim.control("POST", "clock", {"advance": 120})
    assert view(sim, key).status_code == 404


# What tells where a request belongs to

def test_the_log_shows_a_trace(sim):
    mark = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    sim.hooks("GET", headers={"traceparent": mark})
    sim.hooks("GET")
    assert [r["traceparent"] for r in sim.control("GET", "requests", path="/registration$")][-2:] == [mark, None]
