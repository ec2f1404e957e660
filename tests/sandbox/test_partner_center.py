"""The Partner Center simulator against Microsoft's documentation, by an independent client (python3-requests)."""

import base64
import http.server
import json
import os
import queue
import re
import socket
import ssl
import subprocess
import threading
import time
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime

import pytest
import requests
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

HERE = os.path.dirname(os.path.realpath(__file__))
WEBHOOKS = "https://api.partnercenter.microsoft.com"
REFERRALS = "https://api.partner.microsoft.com"
CLIENT = {"client_id": "11111111-0000-4000-8000-000000000001", "client_secret": "sandbox-secret"}
GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
EVENTS = ["test-created", "referral-created", "referral-updated", "related-referral-created", "related-referral-updated"]
PATIENCE = 10.0
BACKOFF = 0.004


def wait(condition, what="condition", seconds=PATIENCE):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError("no %s within %g s" % (what, seconds))


class Simulator:
    def __init__(self, *options):
        self.process = subprocess.Popen([os.path.join(HERE, "partner-center"), "--with-stdin", *options],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.line = json.loads(self.process.stdout.readline())
        self.base, self.referrals = self.line["base"], self.line["referrals"]
        self.registration = self.line["webhooks"] + "/registration"
        self.http = requests.Session()
        self.http.trust_env = False
        self._tokens = {}

    def close(self):
        self.http.close()
        self.process.stdin.close()
        assert self.process.wait(5) == 0
        self.process.stdout.close()

    def control(self, verb, route, body=None, ok=True, **query):
        answer = self.http.request(verb, self.line["sandbox"] + "/" + route, json=body, params=query, timeout=60)
        assert not ok or answer.status_code == 200, answer.text
        return answer.json()

    def reset(self):
        self._tokens.clear()
        self.control("DELETE", "faults")
        self.control("DELETE", "registration")
        self.control("POST", "options", DEFAULTS)
        self.control("POST", "lag", {"seconds": 0, "list_seconds": 0})
        self.control("POST", "clock", {"offset": 0, "rate": 1})
        self.control("POST", "tokens", {"revoke": "all", "expires_in": 3599, "fail": None, "mfa": True,
                                        "role": "referrals-admin"})
        self.control("POST", "tokens", {"revoke": False})
        self.control("POST", "certificate", {"file": "leaf", "format": "der"})
        self.control("DELETE", "requests")
        for referral in self.control("GET", "referrals"):
            self.control("DELETE", "referrals/" + referral["id"])

    def redeem(self, version="v1", tenant=None, **form):
        path = "/oauth2/token" if version == "v1" else "/oauth2/v2.0/token"
        url = "%s/%s%s" % (self.base, tenant or self.line["tenant"], path)
        return self.http.post(url, data={"grant_type": "refresh_token", "refresh_token": "sandbox-refresh-token", **CLIENT,
                                         **form}, timeout=10)

    def token(self, audience):
        if audience not in self._tokens:
            self._tokens[audience] = self.redeem(resource=audience).json()["access_token"]
        return self._tokens[audience]

    def call(self, method, url, audience=REFERRALS, **options):
        headers = {"Authorization": "Bearer " + self.token(audience), "Accept": "application/json",
                   **options.pop("headers", {})}
        return self.http.request(method, url, headers=headers, timeout=options.pop("timeout", 20), **options)

    def get(self, key, **options):
        return self.call("GET", self.referrals + "/" + key, **options)

    def list(self, **query):
        return self.call("GET", self.referrals, params={"$" + name: value for name, value in query.items()})

    def patch(self, referral, operations, etag=None, **headers):
        if etag is not None:
            headers["If-Match"] = etag
        return self.call("PATCH", self.referrals + "/" + referral["id"], headers=headers,
                         json=[{"op": op, "path": path, "value": value} for op, path, value in operations])

    def hooks(self, method, path="", **options):
        return self.call(method, self.registration + path, WEBHOOKS, **options)

    def register(self, url, flag=True, events=EVENTS):
        answer = self.hooks("POST", json={"WebhookUrl": url, "WebhookEvents": events,
                                          "SignatureTokenToMsSignatureHeader": flag})
        assert answer.status_code == 200, answer.text
        return answer


DEFAULTS = {}


@pytest.fixture(scope="session")
def directory():
    path = os.path.join(HERE, "..", "..", "build", "sandbox", "pki")
    subprocess.run([os.path.join(HERE, "pki"), path], check=True, stdout=subprocess.DEVNULL)
    return path


@pytest.fixture(scope="module")
def running(directory):
    simulator = Simulator("--pki", directory, "--deliver-backoff", str(BACKOFF))
    DEFAULTS.update(simulator.control("GET", "options"))
    yield simulator
    simulator.close()


@pytest.fixture
def sim(running):
    running.reset()
    return running


@pytest.fixture
def receiver():
    """A webhook receiver: `answers` are used up first, then 200; `events` get (headers, body)."""
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            server.events.put((self.headers, body, time.time()))
            status = server.answers.pop(0) if server.answers else server.default
            self.send_response(status)
            if status in (301, 302):
                self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.events, server.answers, server.default = queue.Queue(), [], 200
    server.url = "http://127.0.0.1:%d/partner-center" % server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def next_event(receiver, seconds=PATIENCE):
    headers, body, _ = receiver.events.get(timeout=seconds)
    return headers, json.loads(body)


def verify(sim, headers, body, header="x-ms-signature", digest=hashes.SHA256):
    """As a receiver does: certificate from its URL, then RSA PKCS#1 v1.5 over the raw bytes."""
    certificate = x509.load_der_x509_certificate(requests.get(headers["X-MS-Certificate-Url"], timeout=5).content)
    scheme, _, text = headers[header].partition(" ")
    assert scheme == "Signature"
    certificate.public_key().verify(base64.b64decode(text, validate=True), body, padding.PKCS1v15(), digest())
    return certificate


def new_referral(**more):
    return {"name": "Fabrikam migration", "type": "Independent", "qualification": "SalesQualified",
            "externalReferenceId": "crm-0001",
            "customerProfile": {"name": "Fabrikam Inc", "size": "10to50employees",
                                "address": {"addressLine1": "1 Main St", "city": "Redmond", "state": "WA",
                                            "postalCode": "98052", "country": "US"},
                                "team": [{"firstName": "Sue", "lastName": "Smith", "email": "sue@fabrikam.example",
                                          "phoneNumber": "5550100"}]},
            "consent": {"consentToToShareInfoWithOthers": True, "consentToContact": True,
                        "consentToMicrosoftToContactSpecificPartners": False,
                        "consentToShareReferralWithMicrosoftSellers": False},
            "details": {"notes": "Lift and shift", "dealValue": 50000, "currency": "USD",
                        "closingDateTime": "2027-06-30T00:00:00Z",
                        "requirements": {"solutions": [{"type": "Name", "id": "SOL-00000-AAA", "name": "Example App"}],
                                         "additionalRequirements": {"attributes": [
                                             {"type": "CustomerMarketplaceIntent", "id": "HaveNotDecided"}]}}},
            "team": [{"firstName": "Ann", "lastName": "Lee", "email": "ann@partner.example", "phoneNumber": "5550101"}],
            "target": [], **more}


# Tokens

def test_v1_token(sim):
    answer = sim.redeem(resource=REFERRALS, scope="openid")
    body = answer.json()
    assert answer.status_code == 200 and body["token_type"] == "Bearer" and body["resource"] == REFERRALS
    assert body["expires_in"] == "3599" and isinstance(body["expires_on"], str) and isinstance(body["not_before"], str)
    assert abs(int(body["expires_on"]) - time.time() - 3599) < 5
    assert body["scope"] == "user_impersonation" and body["refresh_token"] and body["id_token"]
    claims = body["access_token"].split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    assert claims["aud"] == REFERRALS and claims["amr"] == ["pwd", "mfa"] and claims["tid"] == sim.line["tenant"]


def test_v2_token(sim):
    body = sim.redeem("v2", scope=WEBHOOKS + "/.default offline_access").json()
    assert body["expires_in"] == 3599 and isinstance(body["expires_in"], int) and body["refresh_token"]
    assert "resource" not in body and "expires_on" not in body
    assert "refresh_token" not in sim.redeem("v2", scope=WEBHOOKS + "/.default").json()
    assert sim.redeem("v2", scope="https://graph.microsoft.com/.default").json()["error"] == "invalid_scope"


def test_refresh_rotation_leaves_the_old_one_valid(sim):
    first = sim.redeem(resource=REFERRALS).json()["refresh_token"]
    assert first != "sandbox-refresh-token"
    assert sim.redeem(resource=WEBHOOKS, refresh_token=first).status_code == 200
    assert sim.redeem(resource=REFERRALS).status_code == 200
    sim.control("POST", "options", {"RevokeOldRefreshTokens": True})
    second = sim.redeem(resource=REFERRALS, refresh_token=first).json()["refresh_token"]
    gone = sim.redeem(resource=REFERRALS, refresh_token=first)
    assert (gone.status_code, gone.json()["error"]) == (400, "invalid_grant")
    assert sim.redeem(resource=REFERRALS, refresh_token=second).status_code == 200


def test_refresh_token_dies_after_90_days_unused(sim):
    sim.control("POST", "clock", {"offset": 89 * 86400})
    kept = sim.redeem(resource=REFERRALS).json()["refresh_token"]
    sim.control("POST", "clock", {"offset": 160 * 86400})
    assert sim.redeem(resource=REFERRALS, refresh_token=kept).status_code == 200
    sim.control("POST", "clock", {"offset": 400 * 86400})
    assert sim.redeem(resource=REFERRALS).json()["error"] == "invalid_grant"


@pytest.mark.parametrize("form,status,error", [
    ({"refresh_token": "unknown"}, 400, "invalid_grant"), ({"client_secret": "wrong"}, 401, "invalid_client"),
    ({"client_id": "99999999-0000-4000-8000-000000000009"}, 400, "unauthorized_client"),
    ({"grant_type": "password"}, 400, "unsupported_grant_type"), ({"resource": "https://other.example"}, 400,
                                                                  "invalid_resource")])
def test_token_errors(sim, form, status, error):
    answer = sim.redeem(**{"resource": REFERRALS, **form})
    body = answer.json()
    assert (answer.status_code, body["error"]) == (status, error)
    assert body["error_description"].startswith("AADSTS%d:" % body["error_codes"][0])
    assert GUID.match(body["trace_id"]) and GUID.match(body["correlation_id"]) and body["timestamp"]


def test_token_switches(sim):
    sim.control("POST", "tokens", {"fail": "invalid_grant"})
    assert sim.redeem(resource=REFERRALS).json()["error"] == "invalid_grant"
    sim.control("POST", "tokens", {"fail": None, "revoke": True})
    assert sim.redeem(resource=REFERRALS).json()["error"] == "invalid_grant"
    sim.control("POST", "tokens", {"refresh_token": "after-consent", "expires_in": 60})
    assert sim.redeem(resource=REFERRALS, refresh_token="after-consent").json()["expires_in"] == "60"
    assert sim.redeem(tenant="00000000-0000-0000-0000-000000000000", resource=REFERRALS).status_code == 400


def test_authorization_code_with_pkce(sim):
    verifier = "v" * 50
    digest = hashes.Hash(hashes.SHA256())
    digest.update(verifier.encode())
    challenge = base64.urlsafe_b64encode(digest.finalize()).rstrip(b"=").decode()
    answer = sim.http.get("%s/common/oauth2/v2.0/authorize" % sim.base, allow_redirects=False, params={
        "client_id": CLIENT["client_id"], "response_type": "code", "redirect_uri": "https://hooks.example.com/login",
        "state": "s 1", "code_challenge": challenge, "code_challenge_method": "S256"})
    assert answer.status_code == 302
    target = requests.compat.urlsplit(answer.headers["Location"])
    query = dict(pair.split("=") for pair in target.query.split("&"))
    assert target.netloc == "hooks.example.com" and query["state"] in ("s+1", "s%201")
    form = {"grant_type": "authorization_code", "code": query["code"], "redirect_uri": "https://hooks.example.com/login",
            "scope": REFERRALS + "/.default offline_access"}
    assert sim.redeem("v2", code_verifier=verifier, **form).json()["refresh_token"]
    assert sim.redeem("v2", code_verifier=verifier, **form).json()["error"] == "invalid_grant"


def test_audiences_are_enforced(sim):
    assert sim.call("GET", sim.referrals, REFERRALS).status_code == 200
    wrong = sim.call("GET", sim.referrals, WEBHOOKS)
    assert wrong.status_code == 401 and wrong.json()["error"]["code"] == "unauthenticated"
    assert sim.hooks("GET", "/events").status_code == 200
    wrong = sim.call("GET", sim.registration, REFERRALS)
    assert wrong.status_code == 401 and set(wrong.json()) == {"code", "description", "data", "source"}


def test_missing_expired_and_revoked_access_token(sim):
    missing = sim.http.get(sim.referrals)
    assert missing.status_code == 401 and missing.headers["WWW-Authenticate"].startswith("Bearer")
    token = sim.token(REFERRALS)
    sim.control("POST", "clock", {"offset": 3700})
    late = sim.call("GET", sim.referrals)
    assert late.status_code == 401 and sim.token(REFERRALS) == token
    sim._tokens.clear()
    assert sim.call("GET", sim.referrals).status_code == 200
    sim.control("POST", "tokens", {"revoke": "access"})
    assert sim.call("GET", sim.referrals).status_code == 401


def test_mfa(sim):
    sim.control("POST", "tokens", {"mfa": False})
    for url, audience in ((sim.referrals, REFERRALS), (sim.registration, WEBHOOKS)):
        answer = sim.call("GET", url, audience)
        assert (answer.status_code, answer.reason) == (401, "Unauthorized - MFA required")
        assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"' and "900421" in answer.text


def test_app_only_is_for_webhooks_alone(sim):
    for audience, url, status in ((WEBHOOKS, sim.registration + "/events", 200), (REFERRALS, sim.referrals, 401)):
        body = sim.redeem(grant_type="client_credentials", resource=audience).json()
        assert "refresh_token" not in body
        answer = sim.http.get(url, headers={"Authorization": "Bearer " + body["access_token"]})
        assert answer.status_code == status


def test_roles(sim):
    mine = sim.control("POST", "referrals", {"team": [{"firstName": "I", "email": "me@partner.example"}]})
    other = sim.control("POST", "referrals", {})
    sim.control("POST", "tokens", {"role": "referrals-user", "user": "me@partner.example"})
    assert sim.get(mine["id"]).status_code == 200 and sim.get(other["id"]).status_code == 404
    assert [r["id"] for r in sim.list().json()["value"]] == [mine["id"]]
    sim._tokens.clear()
    sim.control("POST", "tokens", {"role": "none"})
    answer = sim.call("GET", sim.referrals)
    assert answer.status_code == 403 and answer.json()["error"]["code"] == "accessDenied"


# Webhook registration

def test_supported_events(sim):
    answer = sim.hooks("GET", "/events", headers={"MS-CorrelationId": "2f0f7c54-8a57-4f0c-9b0c-3f5f6c0d1a11"})
    assert set(EVENTS) <= set(answer.json()) and "subscription-updated" in answer.json()
    assert answer.headers["MS-CorrelationId"] == "2f0f7c54-8a57-4f0c-9b0c-3f5f6c0d1a11"
    assert GUID.match(answer.headers["MS-RequestId"]) and answer.headers["X-Locale"] == "en-US"
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"


def test_registration_life(sim):
    assert sim.hooks("GET").status_code == 404
    wanted = {"WebhookUrl": "https://hooks.example.com/a", "WebhookEvents": ["test-created", "referral-updated"],
              "SignatureTokenToMsSignatureHeader": True}
    assert sim.hooks("PUT", json=wanted).status_code == 404
    created = sim.hooks("POST", json=wanted)
    assert created.status_code == 200
    assert GUID.match(created.json()["subscriberId"]) and created.json()["webhookUrl"] == wanted["WebhookUrl"]
    assert sim.hooks("POST", json=wanted).status_code == 409
    read = sim.hooks("GET").json()
    assert read["webhookEvents"] == wanted["WebhookEvents"] and "subscriberId" not in read and read["lastModifiedTimestamp"]
    changed = sim.hooks("PUT", json={"webhookurl": "https://hooks.example.com/b", "webhookEvents": ["referral-created"]})
    assert changed.status_code == 200
    read = sim.hooks("GET").json()
    assert (read["webhookUrl"], read["webhookEvents"]) == ("https://hooks.example.com/b", ["referral-created"])
    assert sim.hooks("DELETE").status_code == 405


def test_registration_in_pascal_case(sim):
    sim.control("POST", "options", {"PascalCase": True})
    body = sim.register("https://hooks.example.com/a").json()
    assert {"SubscriberId", "WebhookUrl", "WebhookEvents"} <= set(body)
    assert "WebhookUrl" in sim.hooks("GET").json()


@pytest.mark.parametrize("change", [{"WebhookUrl": "not a url"}, {"WebhookUrl": "http://hooks.example.com/a"},
                                    {"WebhookUrl": None}, {"WebhookEvents": []}, {"WebhookEvents": ["no-such-event"]}])
def test_registration_refuses(sim, change):
    answer = sim.hooks("POST", json={"WebhookUrl": "https://hooks.example.com/a", "WebhookEvents": EVENTS, **change})
    assert answer.status_code == 400 and answer.json()["description"]
    assert sim.hooks("GET").status_code == 404


def test_same_request_id_is_answered_again(sim):
    body = {"WebhookUrl": "https://hooks.example.com/a", "WebhookEvents": EVENTS}
    headers = {"MS-RequestId": "aaaaaaaa-1111-4111-8111-%012x" % int(time.time())}
    assert [sim.hooks("POST", json=body, headers=headers).status_code for _ in range(2)] == [200, 200]
    assert sim.hooks("POST", json=body).status_code == 409


def test_test_event(sim, receiver):
    assert sim.hooks("POST", "/validationEvents").status_code == 400
    sim.register(receiver.url)
    receiver.answers[:] = [500]
    key = sim.hooks("POST", "/validationEvents").json()["correlationId"]
    headers, event = next_event(receiver)
    assert event["EventName"] == "test-created" and event["ResourceName"] == "test"
    assert event["ResourceUri"] == "http://api.partnercenter.microsoft.com/webhooks/v1/registration/validationEvents/" + key

    def completed():
        result = sim.hooks("GET", "/validationEvents/" + key).json()
        return result if result["status"] == "completed" else None
    result = wait(completed, "completed test event")
    assert result["correlationId"] == key and result["callbackUrl"] == receiver.url and GUID.match(result["partnerId"])
    assert [(r["responseCode"], r["systemError"]) for r in result["results"]] == [("InternalServerError", False),
                                                                                 ("OK", False)]
    assert not re.search(r"(Z|[+-]\d\d:\d\d)$", result["results"][0]["dateTimeUtc"])
    assert sim.hooks("GET", "/validationEvents/00000000-0000-4000-8000-000000000000").status_code == 404
    sim.control("POST", "clock", {"offset": 8 * 86400})
    sim._tokens.clear()
    assert sim.hooks("GET", "/validationEvents/" + key).status_code == 404


def test_test_events_are_throttled(sim, receiver):
    sim.control("POST", "clock", {"advance": 3600})
    sim.register(receiver.url)
    assert [sim.hooks("POST", "/validationEvents").status_code for _ in range(3)] == [200, 200, 429]
    answer = sim.hooks("POST", "/validationEvents")
    seconds = int(answer.headers["Retry-After"])
    assert 1 <= seconds <= 61 and answer.json()["statusCode"] == 429
    sim.control("POST", "clock", {"advance": seconds + 1})
    assert sim.hooks("POST", "/validationEvents").status_code == 200


def test_test_event_that_never_succeeds(sim, receiver):
    sim.control("POST", "clock", {"advance": 7200})
    sim.register(receiver.url)
    receiver.default = 404
    key = sim.hooks("POST", "/validationEvents").json()["correlationId"]
    assert sim.hooks("GET", "/validationEvents/" + key).json()["status"] == "Submitted"
    result = wait(lambda: (lambda r: r if r["status"] == "failed" else None)(
        sim.hooks("GET", "/validationEvents/" + key).json()), "failed test event", 20)
    assert [r["responseCode"] for r in result["results"]] == ["NotFound"] * 10


# Delivery

def test_event_on_the_wire(sim, receiver):
    sim.register(receiver.url)
    referral = sim.control("POST", "referrals", {"name": "Zoë"})
    headers, body, _ = receiver.events.get(timeout=PATIENCE)
    event = json.loads(body)
    assert list(event) == ["EventName", "ResourceUri", "ResourceName", "AuditUri", "ResourceChangeUtcDate"]
    assert body == json.dumps(event, separators=(",", ":")).encode()
    assert event["EventName"] == "referral-created" and event["ResourceName"] == "referral"
    assert event["ResourceUri"] == "https://api.partnercenter.microsoft.com/engagements/v1/referrals/" + referral["id"]
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}\+00:00$", event["ResourceChangeUtcDate"])
    assert headers["Content-Type"] == "application/json" and headers["X-MS-Signature-Algorithm"] == "rsa-sha256"
    assert headers["Authorization"] is None and headers["X-MS-Certificate-Url"] == sim.line["certificate"]
    certificate = verify(sim, headers, body)
    assert certificate.public_key().key_size == 2048
    with pytest.raises(InvalidSignature):
        verify(sim, headers, body.replace(b"referral-created", b"referral-cReated"))


def test_signature_header_follows_the_flag(sim, receiver):
    sim.register(receiver.url, flag=False)
    sim.control("POST", "referrals", {})
    headers, body, _ = receiver.events.get(timeout=PATIENCE)
    assert headers["x-ms-signature"] is None
    verify(sim, headers, body, "Authorization")
    sim.hooks("PUT", json={"WebhookUrl": receiver.url, "WebhookEvents": EVENTS,
                           "SignatureTokenToMsSignatureHeader": "true"})
    sim.control("POST", "referrals", {})
    headers, body, _ = receiver.events.get(timeout=PATIENCE)
    assert headers["Authorization"] is None
    verify(sim, headers, body)


def stamp(text):
    match = re.match(r"(.*?)(\.\d+)?(Z|\+00:00)$", text)
    return datetime.fromisoformat(match[1] + "+00:00").timestamp() + float(match[2] or 0)


def test_event_time(sim, receiver):
    sim.register(receiver.url)
    gaps = []
    for _ in range(8):
        referral = sim.control("POST", "referrals", {})
        _, event = next_event(receiver)
        gaps.append(stamp(event["ResourceChangeUtcDate"]) - stamp(referral["updatedDateTime"]))
    assert -1e-6 <= min(gaps) and max(gaps) <= 0.5001 and max(gaps) > 0.02
    sim.control("POST", "options", {"EventDelay": False})
    referral = sim.control("POST", "referrals", {})
    _, event = next_event(receiver)
    assert event["ResourceChangeUtcDate"][:27] == referral["updatedDateTime"][:27]


def test_who_is_told_what(sim, receiver):
    sim.control("POST", "options", {"EventDelay": False})
    sim.register(receiver.url)
    referral = sim.control("POST", "referrals", {"microsoft": True})
    got = {event["EventName"]: event["ResourceUri"].rpartition("/")[2]
           for event in (next_event(receiver)[1], next_event(receiver)[1])}
    cards = sim.list(filter="engagementId eq '%s'" % referral["engagementId"]).json()["value"]
    card = next(c for c in cards if c["organizationId"] == "msft")
    assert got == {"referral-created": referral["id"], "related-referral-created": card["id"]}
    assert sim.patch(referral, [("replace", "/details/dealValue", 1)]).status_code == 204
    assert next_event(receiver)[1]["EventName"] == "referral-updated"
    sim.control("PATCH", "referrals/" + card["id"], {"status": "Active", "substatus": "Accepted"})
    _, event = next_event(receiver)
    assert (event["EventName"], event["ResourceUri"][-36:]) == ("related-referral-updated", card["id"])
    sim.control("POST", "options", {"RelatedEventId": "own"})
    sim.control("PATCH", "referrals/" + card["id"], {"salesStage": "20"})
    assert next_event(receiver)[1]["ResourceUri"][-36:] == referral["id"]
    sim.control("PATCH", "referrals/" + card["id"], {"salesStage": "40"}, silent=1)
    sim.control("PATCH", "referrals/" + referral["id"], {"name": "told"})
    assert next_event(receiver)[1]["EventName"] == "referral-updated"
    assert receiver.events.empty()


def test_only_subscribed_events(sim, receiver):
    sim.control("POST", "options", {"EventDelay": False})
    sim.register(receiver.url, events=["referral-updated"])
    referral = sim.control("POST", "referrals", {})
    sim.control("PATCH", "referrals/" + referral["id"], {"name": "new"})
    assert next_event(receiver)[1]["EventName"] == "referral-updated" and receiver.events.empty()


def test_ten_attempts_then_dead(sim, receiver):
    sim.register(receiver.url)
    receiver.default = 503
    referral = sim.control("POST", "referrals", {})
    dead = wait(lambda: [d for d in sim.control("GET", "deliveries") if d["referral"] == referral["id"] and d["dead"]],
                "dead delivery", 20)
    assert [a["status"] for a in dead[0]["attempts"]] == [503] * 10 and receiver.events.qsize() == 10
    bodies = [receiver.events.get()[1:] for _ in range(10)]
    assert len({body for body, _ in bodies}) == 1
    gaps = [later[1] - earlier[1] for earlier, later in zip(bodies, bodies[1:])]
    assert all(gap >= BACKOFF * 2 ** n * 0.5 for n, gap in enumerate(gaps) if n >= 5)
    assert sum(gaps) >= BACKOFF * 511 * 0.9


@pytest.mark.parametrize("status,times", [(200, 1), (204, 1), (302, 2), (401, 2), (500, 2)])
def test_which_answers_count(sim, receiver, status, times):
    sim.register(receiver.url)
    receiver.answers[:] = [status]
    referral = sim.control("POST", "referrals", {})
    entry = wait(lambda: [d for d in sim.control("GET", "deliveries")
                          if d["referral"] == referral["id"] and d["status"] == "delivered"], "delivery")[0]
    assert len(entry["attempts"]) == times and entry["attempts"][0]["status"] == status


def test_nobody_listens(sim):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        sim.register("http://127.0.0.1:%d/x" % closed.getsockname()[1])
        referral = sim.control("POST", "referrals", {})
        entry = wait(lambda: [d for d in sim.control("GET", "deliveries")
                              if d["referral"] == referral["id"] and len(d["attempts"]) > 1], "attempts")[0]
    assert entry["attempts"][0]["status"] is None and entry["attempts"][0]["error"]


def test_delivery_faults(sim, receiver):
    sim.register(receiver.url)
    sim.control("POST", "options", {"EventDelay": False, "DeliverDuplicates": 2})
    sim.control("POST", "referrals", {})
    assert len({receiver.events.get(timeout=PATIENCE)[1] for _ in range(3)}) == 1
    sim.control("POST", "options", {"DeliverDuplicates": 0, "DeliverDrop": 1.0})
    sim.control("POST", "referrals", {})
    sim.control("POST", "options", {"DeliverDrop": 0, "DeliverKey": "wrong"})
    sim.control("POST", "referrals", {})
    headers, body, _ = receiver.events.get(timeout=PATIENCE)
    with pytest.raises(InvalidSignature):
        verify(sim, headers, body)
    sim.control("POST", "options", {"DeliverKey": None, "DeliverReorder": 0.3})
    sent = [sim.control("POST", "referrals", {})["id"] for _ in range(12)]
    got = [next_event(receiver)[1]["ResourceUri"][-36:] for _ in sent]
    assert sorted(got) == sorted(sent) and got != sent


@pytest.mark.parametrize("authority,delivered", [("server-ca.pem", True), ("ca.pem", False)])
def test_https_receiver_is_verified_when_asked(directory, receiver, authority, delivered):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(os.path.join(directory, "server.pem"), os.path.join(directory, "server.key"))
    receiver.socket = context.wrap_socket(receiver.socket, server_side=True)
    receiver.handle_error = lambda *_: None
    sim = Simulator("--pki", directory, "--deliver-backoff", "0.001", "--deliver-ca", os.path.join(directory, authority))
    try:
        sim.register(receiver.url.replace("http:", "https:"))
        sim.control("POST", "referrals", {})
        status = wait(lambda: {d["status"] for d in sim.control("GET", "deliveries")} & {"delivered", "dead"}, "end")
        assert status == {"delivered" if delivered else "dead"} and receiver.events.empty() != delivered
    finally:
        sim.close()


def test_deliver_on_demand(sim, receiver):
    referral = sim.control("POST", "referrals", {})
    assert "no webhook" in sim.control("POST", "deliver", {"referral": referral["id"]}, ok=False)["error"]
    sim.control("POST", "deliver", {"event": "related-referral-updated", "referral": referral["id"], "copies": 2,
                                    "url": receiver.url})
    events = [next_event(receiver)[1] for _ in range(2)]
    assert events[0] == events[1] and events[0]["EventName"] == "related-referral-updated"


# Signing and the certificate

@pytest.mark.parametrize("key,bits", [("leaf", 2048), ("3072", 3072), ("4096", 4096), ("small", 1024)])
def test_sign_with_other_keys(sim, key, bits):
    sim.control("POST", "certificate", {"file": key})
    body = '{"EventName":"größer"}'.encode()
    signed = sim.http.post(sim.base + "/_sandbox/sign", data=body, params={"key": key}).json()["headers"]
    assert verify(sim, signed, body).public_key().key_size == bits
    assert len(base64.b64decode(signed["x-ms-signature"].split()[1])) * 8 == bits


def test_sign_variants(sim):
    def sign(**query):
        return sim.http.post(sim.base + "/_sandbox/sign", data=b"{}", params=query)
    assert set(sign(header="both").json()["headers"]) >= {"Authorization", "x-ms-signature"}
    assert "x-ms-signature" not in sign(header="authorization").json()["headers"]
    with pytest.raises(InvalidSignature):
        verify(sim, sign(key="wrong").json()["headers"], b"{}")
    weak = sign(alg="rsa-sha1", cert_url=sim.line["certificate"]).json()["headers"]
    assert weak["X-MS-Signature-Algorithm"] == "rsa-sha1"
    verify(sim, weak, b"{}", digest=hashes.SHA1)
    assert sign(cert_url="http://elsewhere.example/c.cer").json()["headers"]["X-MS-Certificate-Url"] == \
        "http://elsewhere.example/c.cer"
    assert sign(key="no-such-key").status_code == 400
    assert all(sign(key=key).status_code == 200 for key in ("expired", "wrong-issuer", "untrusted", "other-subject",
                                                            "renewed", "ec", "not-yet-valid", "other-name"))


def test_certificate_forms_and_faults(sim, directory):
    with open(os.path.join(directory, "leaf.der"), "rb") as file:
        der = file.read()
    assert requests.get(sim.line["certificate"]).content == der
    sim.control("POST", "certificate", {"format": "pem"})
    assert requests.get(sim.line["certificate"]).content.startswith(b"-----BEGIN CERTIFICATE-----")
    sim.control("POST", "certificate", {"format": "base64"})
    assert base64.b64decode(requests.get(sim.line["certificate"]).content) == der
    for fault, check in (("redirect", lambda a: a.status_code == 302 and a.headers["Location"]),
                         ("oversized", lambda a: len(a.content) > 1 << 20), ("404", lambda a: a.status_code == 404),
                         ("500", lambda a: a.status_code == 500), ("empty", lambda a: a.content == b""),
                         ("garbage", lambda a: len(a.content) == 700), ("html", lambda a: b"<html>" in a.content)):
        sim.control("POST", "certificate", {"format": "der", "fault": fault})
        assert check(requests.get(sim.line["certificate"], allow_redirects=False)), fault
    assert "unknown file" in sim.control("POST", "certificate", {"file": "x"}, ok=False)["error"]


def test_renewed_without_notice(sim, receiver):
    sim.register(receiver.url)
    sim.control("POST", "referrals", {})
    old = verify(sim, *receiver.events.get(timeout=PATIENCE)[:2])
    sim.control("POST", "certificate", {"file": "renewed"})
    sim.control("POST", "referrals", {})
    new = verify(sim, *receiver.events.get(timeout=PATIENCE)[:2])
    assert old.serial_number != new.serial_number and old.subject == new.subject


def test_sign_many(sim):
    made = sim.control("POST", "bulk/referrals", [{} for _ in range(1000)])
    assert len({r["id"] for r in made}) == 1000 and len({r["customerProfile"]["name"] for r in made}) == 1000
    events = [{"EventName": "referral-updated", "referral": made[n % 1000]["id"]} for n in range(5000)]
    started = time.monotonic()
    signed = sim.control("POST", "sign-many", {"events": events})
    assert time.monotonic() - started < 20
    assert len({entry["body"] for entry in signed}) == 5000
    key = x509.load_der_x509_certificate(requests.get(sim.line["certificate"]).content).public_key()
    for entry in signed[::500]:
        key.verify(base64.b64decode(entry["signature"]), entry["body"].encode(), padding.PKCS1v15(), hashes.SHA256())
        assert json.loads(entry["body"])["ResourceName"] == "referral"
    fixed = sim.control("POST", "sign-many", {"events": [{"EventName": "test-created", "referral": None,
                                                          "ResourceChangeUtcDate": "2025-02-17T00:05:39+00:00"}]})
    assert '"2025-02-17T00:05:39+00:00"' in fixed[0]["body"] and '"ResourceName":"test"' in fixed[0]["body"]


# Referrals: reading

def test_get(sim):
    made = sim.control("POST", "referrals", {"microsoft": True})
    answer = sim.get(made["id"], headers={"client-request-id": "0c7e1c1e-5b6e-4b55-9d5f-3a3e6f5a1b2c"})
    body = answer.json()
    assert answer.status_code == 200 and answer.headers["Content-Type"].startswith("application/json")
    assert answer.headers["client-request-id"] == "0c7e1c1e-5b6e-4b55-9d5f-3a3e6f5a1b2c"
    assert GUID.match(answer.headers["request-id"]) and answer.headers["x-ms-ags-diagnostic"]
    assert re.match(r'"[0-9a-f]{8}-0000-0100-0000-[0-9a-f]{8}0000"$', body["eTag"]) and answer.headers["ETag"] == body["eTag"]
    assert body["@odata.context"] and body["links"]["relatedReferrals"]["uri"].endswith("eq " + body["engagementId"])
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z$", body["updatedDateTime"])
    for name in ("customerProfile", "consent", "details", "team", "inviteContext", "mpnId", "qualification", "type"):
        assert body[name], name
    missing = sim.get("00000000-0000-4000-8000-000000000000")
    assert missing.status_code == 404 and missing.json()["error"]["code"] == "itemNotFound"
    assert sim.call("DELETE", sim.referrals + "/" + made["id"]).status_code == 405


def test_list_filters(sim):
    first = sim.control("POST", "referrals", {"microsoft": True, "customerProfile": {"address": {"country": "DE"}},
                                              "team": [{"firstName": "O", "email": "o'neil@partner.example"}]})
    inbound = sim.control("POST", "referrals", {"direction": "Incoming"})

    def ids(text):
        answer = sim.list(filter=text)
        assert answer.status_code == 200, answer.text
        return {r["id"] for r in answer.json()["value"]}
    engagement = ids("engagementId eq '%s'" % first["engagementId"])
    assert len(engagement) == 2 and first["id"] in engagement
    assert ids("engagementId eq " + first["engagementId"].upper()) == engagement
    sim.control("POST", "options", {"UnquotedGuid": False})
    assert sim.list(filter="engagementId eq " + first["engagementId"]).status_code == 400
    assert inbound["id"] in ids("status eq 'New' and qualification eq 'SalesQualified'")
    assert first["id"] not in ids("status eq 'New' and qualification eq 'SalesQualified'")
    assert first["id"] in ids("customerProfile/address/country eq 'DE' and direction eq 'Outgoing'")
    assert ids("(type eq 'Shared' and direction eq 'Incoming')") == (engagement - {first["id"]}) | {inbound["id"]}
    assert ids("substatus eq 'Pending' and not (engagementId eq '%s')" % first["engagementId"]) == {inbound["id"]}
    assert ids("team/any(t:t/email eq 'o''neil@partner.example')") == {first["id"]}
    assert ids("status eq 'Closed' or status eq 'Active'") == {first["id"]}
    assert inbound["id"] in ids("updatedDateTime ge " + inbound["updatedDateTime"])
    assert ids("updatedDateTime gt 2099-01-01T00:00:00Z") == set()


@pytest.mark.parametrize("query", [
    {"filter": "status eq"}, {"filter": "status like 'x'"}, {"filter": "name eq 'x'"}, {"filter": "status eq 'New"},
    {"filter": "updatedDateTime gt 'yesterday'"}, {"orderby": "name"}, {"orderby": "createdDateTime sideways"},
    {"top": "x"}, {"skiptoken": "!"}, {"select": "nosuch"}, {"search": "x"}])
def test_list_refuses(sim, query):
    sim.control("POST", "referrals", {})
    answer = sim.list(**query)
    assert answer.status_code == 400 and answer.json()["error"]["code"] == "invalidRequest"


def test_order_select_and_paging(sim):
    made = sim.control("POST", "bulk/referrals", [{} for _ in range(25)])
    made.append(sim.control("PATCH", "referrals/" + made.pop(3)["id"], {"name": "touched"}))
    seen, query = [], {"orderby": "updatedDateTime desc", "top": 10, "select": "id,status,customerProfile"}
    sizes = []
    while True:
        body = sim.list(**query).json()
        seen += [row["id"] for row in body["value"]]
        sizes.append(len(body["value"]))
        assert body["@odata.context"] and body["@odata.count"] == len(body["value"])
        assert all(set(row) == {"id", "status", "customerProfile"} for row in body["value"])
        link = body.get("@odata.nextLink")
        if link is None:
            break
        assert link.startswith("http://api.partner.microsoft.com/v1.0/referrals?$skiptoken=")
        query["skiptoken"] = link.partition("$skiptoken=")[2]
    assert seen == [r["id"] for r in reversed(made)] and sizes == [10, 10, 5]
    rows = sim.list(orderby="createdDateTime", top=5).json()["value"]
    assert [r["createdDateTime"] for r in rows] == sorted(r["createdDateTime"] for r in made)[:5]


def test_next_link_without_the_quirk_can_be_followed(sim):
    sim.control("POST", "options", {"NextLinkQuirk": False, "PageMax": 7, "CountIsTotal": True})
    made = sim.control("POST", "bulk/referrals", [{} for _ in range(20)])
    body = sim.list().json()
    seen = []
    while True:
        seen += [row["id"] for row in body["value"]]
        assert body["@odata.count"] == 20
        if "@odata.nextLink" not in body:
            break
        body = sim.call("GET", body["@odata.nextLink"]).json()
    assert sorted(seen) == sorted(r["id"] for r in made)


# Referrals: creating

def test_create_own_deal(sim):
    answer = sim.call("POST", sim.referrals, json=new_referral(status="New", substatus="Pending"))
    body = answer.json()
    assert answer.status_code == 200 and (body["status"], body["substatus"]) == ("Active", "Accepted")
    assert body["direction"] == "Outgoing" and GUID.match(body["id"]) and GUID.match(body["engagementId"])
    assert body["createdDateTime"] == body["updatedDateTime"] == body["acceptedDateTime"]
    assert body["externalReferenceId"] == "crm-0001" and body["details"]["dealValue"] == 50000
    assert sim.get(body["id"]).json()["name"] == "Fabrikam migration"
    again = sim.call("POST", sim.referrals, json=new_referral()).json()
    assert again["id"] != body["id"] and again["engagementId"] != body["engagementId"]
    sim.control("POST", "options", {"CreateStatus": 201})
    assert sim.call("POST", sim.referrals, json=new_referral()).status_code == 201


def test_create_connected(sim):
    shared = new_referral(type="Shared", target=[{"type": "SolutionProfile", "id": "SOL-00000-AAA"}],
                          inviteContext={"assistanceRequestCode": "GeneralOrOther", "notes": "help"})
    shared["consent"]["consentToShareReferralWithMicrosoftSellers"] = True
    own = sim.call("POST", sim.referrals, json=shared).json()
    second = {**shared, "engagementId": own["engagementId"], "target": [{"type": "BusinessProfileLocation", "id": "msft"}]}
    card = sim.call("POST", sim.referrals, json=second).json()
    assert (card["organizationId"], card["status"], card["substatus"]) == ("msft", "New", "Pending")
    assert card["engagementId"] == own["engagementId"] and card["id"] != own["id"]
    assert sim.patch(card, [("replace", "/salesStage", "20")]).status_code == 403
    lost = {**second, "engagementId": "00000000-0000-4000-8000-000000000000"}
    assert sim.call("POST", sim.referrals, json=lost).status_code == 404
    sim.control("POST", "options", {"AutoConnected": True})
    own = sim.call("POST", sim.referrals, json=shared).json()
    found = sim.list(filter="engagementId eq '%s'" % own["engagementId"]).json()["value"]
    assert sorted(r["organizationId"] == "msft" for r in found) == [False, True]


@pytest.mark.parametrize("missing", ["type", "customerProfile", "consent", "details"])
def test_create_demands(sim, missing):
    body = new_referral()
    del body[missing]
    answer = sim.call("POST", sim.referrals, json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["target"]) == (400, "invalidRequest", missing)
    assert sim.list().json()["value"] == []


def test_create_as_strict_as_the_portal(sim):
    sim.control("POST", "options", {"CreateChecks": "portal"})
    assert sim.call("POST", sim.referrals, json=new_referral()).status_code == 200
    body = new_referral()
    body["details"]["requirements"]["additionalRequirements"]["attributes"] = []
    answer = sim.call("POST", sim.referrals, json=body)
    assert answer.status_code == 400 and "CustomerMarketplaceIntent" in answer.json()["error"]["message"]


# Referrals: changing

def test_patch_and_prefer(sim):
    referral = sim.control("POST", "referrals", {})
    answer = sim.patch(referral, [("replace", "/details/dealValue", "60000"), ("add", "/details/notes", "ñ"),
                                  ("replace", "/externalReferenceId", "crm-7"), ("add", "/team/-", {"firstName": "B"})],
                       referral["eTag"])
    assert (answer.status_code, answer.content) == (204, b"")
    after = sim.get(referral["id"]).json()
    assert after["details"]["dealValue"] == 60000 and after["details"]["notes"] == "ñ"
    assert after["externalReferenceId"] == "crm-7" and after["team"][-1] == {"firstName": "B"}
    assert after["details"]["currency"] == referral["details"]["currency"]
    assert after["eTag"] != referral["eTag"] and after["updatedDateTime"] > referral["updatedDateTime"]
    answer = sim.patch(referral, [("replace", "/salesStage", "40")], after["eTag"], Prefer="return=representation")
    assert answer.status_code == 200 and answer.json()["salesStage"] == "40"
    assert answer.json()["eTag"] == sim.get(referral["id"]).json()["eTag"]


def test_if_match(sim):
    referral = sim.control("POST", "referrals", {})
    assert sim.patch(referral, [("replace", "/salesStage", "20")], referral["eTag"]).status_code == 204
    answer = sim.patch(referral, [("replace", "/salesStage", "40")], referral["eTag"])
    assert answer.status_code == 412 and answer.json() == {"error": {
        "code": "preconditionFailed", "target": "ETag",
        "message": "A precondition provided in the request (such as an if-match header) does not match the resource's "
                   "current state.",
        "innerError": {"code": "99918", "details": None,
                       "message": "One of the specified pre-condition is not met. Etag value did not Match"}}}
    current = sim.get(referral["id"]).json()
    assert current["salesStage"] == "20"
    assert sim.patch(referral, [("replace", "/salesStage", "40")], current["eTag"].strip('"')).status_code == 412
    assert sim.patch(referral, [("replace", "/salesStage", "40")]).status_code == 204


@pytest.mark.parametrize("operation", [
    ("remove", "/details/notes", None), ("test", "/status", "Active"), ("replace", "/name", "x"), ("replace", "/id", "x"),
    ("replace", "/favorite", True), ("replace", "/inviteContext/notes", "x"), ("replace", "/customerProfile/name", "x"),
    ("replace", "/team/-", {}), ("replace", "/details/dealValue", "much"), ("replace", "/details/dealValue", -1),
    ("replace", "/details/currency", "dollar"), ("replace", "/details/closingDateTime", "soon"),
    ("replace", "/status", "Done"), ("add", "/details/requirements/solutions", [{}] * 51)])
def test_patch_refuses_all_or_nothing(sim, operation):
    referral = sim.control("POST", "referrals", {})
    answer = sim.patch(referral, [("replace", "/salesStage", "60"), operation])
    assert answer.status_code == 400 and answer.json()["error"]["code"] == "invalidRequest"
    assert sim.get(referral["id"]).json()["eTag"] == referral["eTag"]


def test_patch_bodies(sim):
    url = sim.referrals + "/" + sim.control("POST", "referrals", {})["id"]
    json_type = {"Content-Type": "application/json"}
    assert sim.call("PATCH", url, data="{", headers=json_type).status_code == 400
    assert sim.call("PATCH", url, data='{"salesStage":"20"}', headers=json_type).status_code == 400
    assert sim.call("PATCH", url, data="[]", headers={"Content-Type": "text/plain"}).status_code == 415
    missing = sim.referrals + "/00000000-0000-4000-8000-000000000000"
    assert sim.call("PATCH", missing, json=[{"op": "add", "path": "/salesStage", "value": "20"}]).status_code == 404


MOVES = [("New", "Pending", "Active", "Accepted", 204), ("New", "Pending", "Closed", "Declined", 204),
         ("New", "Pending", "New", "Received", 204), ("New", "Pending", "Active", "Pending", 400),
         ("Active", "Accepted", "Closed", "Won", 204), ("Active", "Accepted", "Closed", "Lost", 204),
         ("Active", "Accepted", "New", "Pending", 400), ("Active", "Accepted", "Closed", "Accepted", 400),
         ("Active", "Accepted", "Closed", "Expired", 400), ("Active", "Accepted", "Active", "Won", 400)]


@pytest.mark.parametrize("status,substatus,to_status,to_substatus,answer", MOVES)
def test_status_machine(sim, status, substatus, to_status, to_substatus, answer):
    referral = sim.control("POST", "referrals", {"status": status, "substatus": substatus, "direction": "Incoming"})
    got = sim.patch(referral, [("replace", "/status", to_status), ("replace", "/substatus", to_substatus)])
    assert got.status_code == answer, got.text
    after = sim.get(referral["id"]).json()
    wanted = (to_status, to_substatus) if answer == 204 else (status, substatus)
    assert (after["status"], after["substatus"]) == wanted
    if answer == 204:
        assert bool(after["acceptedDateTime"]) == (to_status == "Active" or status == "Active")
        assert bool(after["closedDateTime"]) == (to_status == "Closed")


@pytest.mark.parametrize("substatus", ["Won", "Lost", "Declined", "Expired"])
def test_closed_is_the_end(sim, substatus):
    referral = sim.control("POST", "referrals", {"status": "Closed", "substatus": substatus})
    for operations in ([("replace", "/details/notes", "x")], [("replace", "/status", "Active"),
                                                              ("replace", "/substatus", "Accepted")]):
        assert sim.patch(referral, operations, referral["eTag"]).status_code == 400
    sim.control("POST", "options", {"TerminalStatus": 409})
    assert sim.patch(referral, [("replace", "/details/notes", "x")]).status_code == 409
    assert sim.get(referral["id"]).json()["eTag"] == referral["eTag"]


def test_sharing_cannot_be_taken_back(sim):
    referral = sim.control("POST", "referrals", {})
    path = "/consent/consentToShareReferralWithMicrosoftSellers"
    assert sim.patch(referral, [("replace", path, True)]).status_code == 204
    assert sim.patch(referral, [("replace", path, False)]).status_code == 400


def test_deal_registration(sim):
    referral = sim.control("POST", "referrals", {"status": "Closed", "substatus": "Won"})
    assert sim.patch(referral, [("add", "/registrations/-", {"type": "AzureIPCoSell"})]).status_code == 400
    referral = sim.control("POST", "referrals", {})
    assert sim.patch(referral, [("replace", "/registrations/0/contract/value", 1)]).status_code == 400
    value = {"type": "AzureIPCoSell", "solutionDetails": [{"id": "SOL-1", "value": 5}], "contract": {"value": 5}}
    assert sim.patch(referral, [("add", "/registrations/-", value)]).status_code == 204
    assert sim.patch(referral, [("replace", "/registrations/0/contract/value", 30000)]).status_code == 204
    after = sim.get(referral["id"]).json()
    assert after["registrationStatus"] == after["registrations"][0]["status"] == "ReviewPending"
    assert GUID.match(after["registrations"][0]["id"]) and after["registrations"][0]["contract"]["value"] == 30000


def test_put_is_a_fallback(sim):
    made = sim.call("POST", sim.referrals, json=new_referral()).json()
    body = {**made, "details": {**made["details"], "dealValue": 7}}
    url = sim.referrals + "/" + made["id"]
    assert sim.call("PUT", url, json=body).status_code == 400
    assert sim.call("PUT", url, json=body, headers={"If-Match": '"old"'}).status_code == 412
    answer = sim.call("PUT", url, json=body, headers={"If-Match": made["eTag"]})
    assert answer.status_code == 200 and answer.json()["details"]["dealValue"] == 7
    sim.control("POST", "options", {"PutEnabled": False})
    assert sim.call("PUT", url, json=body, headers={"If-Match": "*"}).status_code == 405


def test_unanswered_inbound_expires(sim, receiver):
    sim.register(receiver.url)
    waiting = sim.control("POST", "referrals", {"direction": "Incoming"})
    answered = sim.control("POST", "referrals", {"direction": "Incoming"})
    assert (waiting["status"], waiting["substatus"]) == ("New", "Pending")
    assert abs(stamp(waiting["expirationDateTime"]) - time.time() - 14 * 86400) < 5
    sim.patch(answered, [("replace", "/status", "Active"), ("replace", "/substatus", "Accepted")])
    for _ in range(3):
        next_event(receiver)
    sim.control("POST", "clock", {"offset": 13.9 * 86400})
    assert sim.control("GET", "referrals/" + waiting["id"])["status"] == "New" and receiver.events.empty()
    sim.control("POST", "clock", {"offset": 14 * 86400 + 5})
    _, event = next_event(receiver)
    assert (event["EventName"], event["ResourceUri"][-36:]) == ("referral-updated", waiting["id"])
    sim._tokens.clear()
    after = sim.get(waiting["id"]).json()
    assert (after["status"], after["substatus"]) == ("Closed", "Expired") and after["closedDateTime"]
    assert sim.get(answered["id"]).json()["status"] == "Active"


# Faults, lag, log

@pytest.mark.parametrize("status,code", [(401, "unauthenticated"), (403, "accessDenied"), (404, "itemNotFound"),
                                         (412, "preconditionFailed"), (500, "generalException"),
                                         (503, "serviceNotAvailable")])
def test_status_faults(sim, status, code):
    referral = sim.control("POST", "referrals", {})
    number = sim.control("POST", "faults", {"method": "PATCH", "path": "/referrals/", "status": status, "times": 1})["id"]
    assert sim.get(referral["id"]).status_code == 200
    answer = sim.patch(referral, [("replace", "/salesStage", "20")])
    assert answer.status_code == status and answer.json()["error"]["code"] == code
    assert sim.get(referral["id"]).json()["eTag"] == referral["eTag"]
    assert sim.patch(referral, [("replace", "/salesStage", "20")]).status_code == 204
    assert sim.control("GET", "faults")[0] == {**sim.control("GET", "faults")[0], "id": number, "hits": 1, "held": 0}


def test_throttling(sim):
    referral = sim.control("POST", "referrals", {})
    sim.control("POST", "faults", {"path": "/referrals/", "status": 429, "retry_after": 3, "times": 1})
    sim.control("POST", "faults", {"path": "/referrals/", "status": 429, "retry_after": "http-date:4", "times": 1})
    answer = sim.get(referral["id"])
    assert answer.headers["Retry-After"] == "3" and answer.json() == {
        "statusCode": 429, "message": "Rate limit is exceeded. Try again in 3 seconds."}
    when = parsedate_to_datetime(sim.get(referral["id"]).headers["Retry-After"])
    assert timedelta(seconds=1) < when - datetime.now(timezone.utc) < timedelta(seconds=5)
    sim.control("POST", "clock", {"advance": 70 - sim.control("GET", "clock")["now"] % 60})
    sim.control("POST", "options", {"RatePerMinute": 3})
    answers = [sim.get(referral["id"]) for _ in range(8)]
    assert answers[-1].status_code == 429 and 1 <= int(answers[-1].headers["Retry-After"]) <= 60


def test_lost_answers(sim):
    for kind, made in (("reset-before", 0), ("reset-after", 1), ("drop-after-commit", 2)):
        sim.control("POST", "faults", {"method": "POST", "path": "/referrals$", "fault": kind, "times": 1})
        with pytest.raises(requests.ConnectionError):
            sim.call("POST", sim.referrals, json=new_referral())
        assert len(sim.list().json()["value"]) == made


def test_damaged_answers(sim):
    referral = sim.control("POST", "referrals", {})
    sim.control("POST", "faults", {"method": "GET", "path": "/referrals/", "fault": "truncate", "times": 1})
    whole = len(sim.get(referral["id"], headers={"Accept-Encoding": "identity"}, stream=True).raw.read(1 << 20))
    answer = sim.get(referral["id"])
    assert 0 < whole < len(answer.content)
    sim.control("POST", "faults", {"path": "/referrals/", "fault": "html", "status": 502, "times": 1})
    answer = sim.get(referral["id"])
    assert answer.status_code == 502 and answer.headers["Content-Type"].startswith("text/html") and "<html" in answer.text


def test_slow_and_held(sim):
    referral = sim.control("POST", "referrals", {})
    sim.control("POST", "faults", {"path": "/referrals/", "fault": "slow", "seconds": 0.3, "times": 1})
    started = time.monotonic()
    assert sim.get(referral["id"]).status_code == 200 and time.monotonic() - started >= 0.3
    fault = sim.control("POST", "faults", {"method": "PATCH", "path": "/referrals/", "fault": "hold"})["id"]
    token, got = sim.token(REFERRALS), []
    thread = threading.Thread(target=lambda: got.append(requests.patch(
        sim.referrals + "/" + referral["id"], headers={"Authorization": "Bearer " + token},
        json=[{"op": "replace", "path": "/salesStage", "value": "80"}])))
    thread.start()
    wait(lambda: sim.control("GET", "faults")[-1]["held"] == 1, "held request")
    assert sim.get(referral["id"]).json()["salesStage"] != "80" and not got
    sim.control("DELETE", "faults/%d" % fault)
    thread.join()
    assert got[0].status_code == 204 and sim.get(referral["id"]).json()["salesStage"] == "80"


def test_a_write_held_when_its_caller_dies_is_carried_out(sim):
    referral = sim.control("POST", "referrals", {})
    sim.control("POST", "faults", {"method": "PATCH", "fault": "hold"})
    with pytest.raises(requests.Timeout):
        sim.call("PATCH", sim.referrals + "/" + referral["id"], timeout=0.2,
                 json=[{"op": "replace", "path": "/salesStage", "value": "80"}])
    assert sim.get(referral["id"]).json()["salesStage"] != "80"
    sim.control("DELETE", "faults")
    wait(lambda: sim.get(referral["id"]).json()["salesStage"] == "80", "late write")


def test_fault_selection(sim):
    referral = sim.control("POST", "referrals", {})
    sim.control("POST", "faults", {"path": "/referrals/", "status": 500, "skip": 2, "times": 1})
    assert [sim.get(referral["id"]).status_code for _ in range(4)] == [200, 200, 500, 200]
    sim.control("DELETE", "faults")
    sim.control("POST", "faults", {"path": "/referrals/", "status": 500, "probability": 0.0})
    assert sim.get(referral["id"]).status_code == 200
    sim.control("POST", "faults", {"match": "salesStage", "status": 500})
    assert sim.patch(referral, [("replace", "/details/notes", "x")]).status_code == 204
    assert sim.patch(referral, [("replace", "/salesStage", "20")]).status_code == 500
    assert "unknown fault" in sim.control("POST", "faults", {"fault": "x"}, ok=False)["error"]


def test_faults_of_the_token_endpoint(sim):
    sim.control("POST", "faults", {"path": "/oauth2/", "status": 503, "times": 1})
    answer = sim.redeem(resource=REFERRALS)
    assert answer.status_code == 503 and answer.json()["error"] == "temporarily_unavailable"
    assert sim.redeem(resource=REFERRALS).status_code == 200


def test_read_lag(sim):
    referral = sim.control("POST", "referrals", {})
    sim.control("POST", "clock", {"advance": 100})
    sim.control("POST", "lag", {"seconds": 30, "list_seconds": 60})
    sim.patch(referral, [("replace", "/salesStage", "80")])
    fresh = sim.control("POST", "referrals", {})
    engagement = "engagementId eq '%s'" % fresh["engagementId"]
    assert sim.get(referral["id"]).json()["eTag"] == referral["eTag"] and sim.get(fresh["id"]).status_code == 404
    sim.control("POST", "clock", {"advance": 35})
    assert sim.get(referral["id"]).json()["salesStage"] == "80" and sim.get(fresh["id"]).status_code == 200
    rows = {row["id"]: row for row in sim.list().json()["value"]}
    assert set(rows) == {referral["id"]} and rows[referral["id"]]["eTag"] == referral["eTag"]
    assert sim.list(filter=engagement).json()["value"] == []
    sim.control("POST", "clock", {"advance": 30})
    assert [row["id"] for row in sim.list(filter=engagement).json()["value"]] == [fresh["id"]]
    assert len(sim.list().json()["value"]) == 2


def test_request_log_keeps_no_secrets(sim):
    referral = sim.control("POST", "referrals", {})
    token = sim.redeem(resource=REFERRALS).json()
    sim._tokens[REFERRALS] = token["access_token"]
    sim.list(filter="status eq 'New'")
    sim.patch(referral, [("replace", "/details/notes", "grüße")], **{"client-request-id": "abc"})
    text = json.dumps(sim.control("GET", "requests")) + json.dumps(sim.control("GET", "state"))
    for secret in ("sandbox-secret", "sandbox-refresh-token", token["access_token"], token["refresh_token"]):
        assert secret not in text
    entries = sim.control("GET", "requests")
    assert [e["method"] for e in entries] == ["POST", "GET", "PATCH"] and "grant_type=refresh_token" in entries[0]["body"]
    assert entries[1]["query"].startswith("%24filter=") and entries[1]["body"] is None and entries[1]["status"] == 200
    assert json.loads(entries[2]["body"])[0]["value"] == "grüße"
    assert entries[2]["client_request_id"] == "abc" and entries[2]["t"] >= entries[1]["t"]
    assert sim.control("GET", "requests", since=entries[1]["n"]) == entries[2:]
    assert len(sim.control("GET", "requests", path="/referrals/", method="PATCH")) == 1
    summary = sim.control("GET", "requests/summary")
    assert summary["total"] == 3 and summary["by"]["PATCH /v1.0/engagements/referrals/{id}"] == {"204": 1}


def test_gzip_when_asked(sim):
    referral = sim.control("POST", "referrals", {})
    sim.control("POST", "options", {"Gzip": True})
    answer = sim.get(referral["id"], headers={"Accept-Encoding": "gzip"})
    assert answer.headers["Content-Encoding"] == "gzip" and answer.json()["id"] == referral["id"]
    assert "Content-Encoding" not in sim.get(referral["id"], headers={"Accept-Encoding": "identity"}).headers


def test_clock(sim):
    ahead = sim.control("POST", "clock", {"offset": 86400, "rate": 50})
    assert abs(ahead["offset"] - 86400) < 5
    first = sim.control("POST", "referrals", {})
    assert stamp(first["createdDateTime"]) - time.time() > 86400
    date = sim.get(first["id"]).headers["Date"]
    assert parsedate_to_datetime(date) - datetime.now(timezone.utc) > timedelta(hours=23)
    wait(lambda: sim.control("GET", "clock")["offset"] > ahead["offset"] + 5, "fast clock")
    assert abs(sim.control("POST", "clock", {"offset": 0, "rate": 1})["offset"]) < 1


def test_control_answers_mistakes(sim):
    for method, path, body in (("POST", "options", {"NoSuch": 1}), ("POST", "options", {"PascalCase": "yes"}),
                               ("POST", "options", {"TerminalStatus": 418}), ("POST", "clock", {"speed": 2}),
                               ("POST", "lag", {"seconds": "2"}), ("POST", "bulk/referrals", {}),
                               ("GET", "referrals/nothing", None), ("PATCH", "referrals/nothing", {}),
                               ("GET", "nothing", None)):
        assert sim.control(method, path, body, ok=False)["error"], path
    assert sim.control("GET", "health") == {"ok": True}


# The process

def test_seed_and_tls(directory):
    sim = Simulator("--pki", directory, "--seed", os.path.join(HERE, "seed-partner-center.json"), "--tls",
                    os.path.join(directory, "server.pem"), os.path.join(directory, "server.key"))
    try:
        assert sim.base.startswith("https://127.0.0.1:")
        with pytest.raises(requests.exceptions.SSLError):
            sim.control("GET", "health")
        sim.http.verify = os.path.join(directory, "server-ca.pem")
        rows = {row["id"]: row for row in sim.list().json()["value"]}
        kinds = {(r["type"], r["qualification"], r["status"], r["organizationId"] == "msft") for r in rows.values()}
        assert {("Shared", "SalesQualified", "Active", False), ("Shared", "SalesQualified", "Active", True),
                ("Independent", "SalesQualified", "Active", False), ("Independent", "Direct", "New", False),
                ("Independent", "SalesQualified", "New", False),
                ("Independent", "MarketingQualified", "Active", False)} <= kinds
        assert all(stamp(r["details"]["closingDateTime"]) > time.time() for r in rows.values())
        sim.control("POST", "faults", {"fault": "reset-after", "method": "PATCH"})
        key = next(key for key, row in rows.items() if row["status"] == "Active" and row["organizationId"] != "msft")
        with pytest.raises(requests.ConnectionError):
            sim.patch(rows[key], [("replace", "/salesStage", "100")])
        assert sim.get(key).json()["salesStage"] == "100"
    finally:
        sim.close()


@pytest.mark.parametrize("how", ["SIGTERM", "shutdown", "stdin"])
def test_ends_at_once_even_with_held_requests(directory, how):
    sim = Simulator("--pki", directory)
    sim.control("POST", "faults", {"fault": "hold"})
    with socket.create_connection(("127.0.0.1", int(sim.base.rpartition(":")[2]))) as held:
        held.sendall(b"GET /v1.0/engagements/referrals HTTP/1.1\r\nHost: x\r\n\r\n")
        wait(lambda: sim.control("GET", "faults")[0]["held"], "held request")
        started = time.monotonic()
        if how == "SIGTERM":
            sim.process.terminate()
        elif how == "shutdown":
            sim.control("POST", "shutdown")
        else:
            sim.process.stdin.close()
        assert sim.process.wait(5) == 0 and time.monotonic() - started < 2
    sim.close()


def test_mistaken_options_are_named(directory, tmp_path):
    seed = tmp_path / "seed.json"
    for text in ("{", '{"referral": []}', '{"options": {"NoSuch": true}}'):
        seed.write_text(text)
        result = subprocess.run([os.path.join(HERE, "partner-center"), "--seed", str(seed), "--pki", directory],
                                capture_output=True, text=True)
        assert result.returncode != 0 and str(seed) in result.stderr and "Traceback" not in result.stderr
