"""Signing in at the Partner Center simulator, by an independent client: authorization code with PKCE (RFC 7636), device code (RFC 8628),
the errors of Entra ID."""

import base64
import hashlib
import re
from urllib.parse import parse_qs, urlsplit

import pytest

from test_partner_center import CLIENT, DEFAULTS, REFERRALS, WEBHOOKS, Simulator, directory  # noqa: F401

BACK = "https://hooks.example.com/cosell-login"
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"  # of RFC 7636, appendix B
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
SCOPE = REFERRALS + "/.default offline_access openid profile"
SIGN_IN = {"consent": "auto", "user": None, "mfa": None, "role": None, "redirect_uris": None, "registration": "either", "device": "wait",
           "device_forbidden": False, "interval": 5, "declined": "authorization_declined", "life": 600}


@pytest.fixture(scope="module")
def running(directory):  # noqa: F811
    simulator = Simulator("--pki", directory)
    DEFAULTS.update(simulator.control("GET", "options"))
    yield simulator
    simulator.close()


@pytest.fixture
def sim(running):
    running.reset()
    running.control("POST", "signin", SIGN_IN)
    return running


def authorize(sim, version="/v2.0", **query):
    query = {"client_id": CLIENT["client_id"], "response_type": "code", "redirect_uri": BACK, "scope": SCOPE, "state": "s&1",
             "code_challenge": CHALLENGE, "code_challenge_method": "S256", **query}
    return sim.http.get("%s/%s/oauth2%s/authorize" % (sim.base, sim.line["tenant"], version), params=query, allow_redirects=False)


def came_back(answer):
    """What the browser brings back."""
    assert answer.status_code == 302
    target = urlsplit(answer.headers["Location"])
    assert "%s://%s%s" % (target.scheme, target.netloc, target.path) == BACK
    query = {name: values[0] for name, values in parse_qs(target.query).items()}
    assert query["state"] == "s&1"
    return query


def post(sim, path, **form):
    return sim.http.post("%s/%s/oauth2%s" % (sim.base, sim.line["tenant"], path), data={key: value for key, value in form.items() if value is not None})


def redeem(sim, code, version="/v2.0", **form):
    return post(sim, version + "/token", **{"grant_type": "authorization_code", "code": code, "redirect_uri": BACK, "code_verifier": VERIFIER,
                                            "scope": SCOPE, **CLIENT, **form})


def refused(answer, error, number):
    body = answer.json()
    assert (body["error"], body["error_codes"]) == (error, [number]), body
    assert body["error_description"].startswith("AADSTS%d:" % number)
    return True


def claims(token):
    part = token.split(".")[1]
    return __import__("json").loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def test_example_of_the_rfc():
    assert base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode() == CHALLENGE


def test_code_gives_tokens_and_says_who(sim):
    sim.control("POST", "signin", {"user": "service@partner.example"})
    body = redeem(sim, came_back(authorize(sim))["code"]).json()
    assert body["token_type"] == "Bearer" and body["expires_in"] == 3599
    assert claims(body["id_token"])["preferred_username"] == "service@partner.example"
    assert claims(body["access_token"])["upn"] == "service@partner.example" and claims(body["access_token"])["amr"] == ["pwd", "mfa"]
    again = sim.redeem("v2", refresh_token=body["refresh_token"], scope=WEBHOOKS + "/.default offline_access").json()
    assert again["refresh_token"] != body["refresh_token"] and claims(again["access_token"])["aud"] == WEBHOOKS


def test_first_version_takes_a_resource(sim):
    code = came_back(authorize(sim, "", resource=REFERRALS, scope="openid"))["code"]
    body = redeem(sim, code, "", resource=REFERRALS, scope="openid").json()
    assert body["expires_in"] == "3599" and body["refresh_token"] and claims(body["id_token"])["upn"] == "integration@partner.example"


def test_code_is_good_for_once(sim):
    code = came_back(authorize(sim))["code"]
    assert redeem(sim, code).status_code == 200
    refused(redeem(sim, code), "invalid_grant", 54005)


def test_verifier_is_really_compared(sim):
    for verifier in ("x" * 43, CHALLENGE, "", VERIFIER + "a"):
        refused(redeem(sim, came_back(authorize(sim))["code"], code_verifier=verifier), "invalid_grant", 501481)
    refused(redeem(sim, came_back(authorize(sim))["code"], code_verifier=None), "invalid_grant", 501481)
    assert redeem(sim, came_back(authorize(sim, code_challenge=VERIFIER, code_challenge_method="plain"))["code"]).status_code == 200


def test_code_expires_and_belongs_to_its_request(sim):
    code = came_back(authorize(sim))["code"]
    refused(redeem(sim, code, redirect_uri=BACK + "/other"), "invalid_grant", 500112)
    refused(redeem(sim, "none"), "invalid_grant", 70008)
    sim.control("POST", "clock", {"advance": 601})
    refused(redeem(sim, code), "invalid_grant", 70008)


def test_stranger_is_not_sent_back(sim):
    sim.control("POST", "signin", {"redirect_uris": [BACK]})
    answer = authorize(sim, redirect_uri="https://evil.example/")
    assert answer.status_code == 400 and "AADSTS50011" in answer.text and "Location" not in answer.headers
    assert "AADSTS700016" in authorize(sim, client_id="99999999-0000-4000-8000-000000000009").text
    assert came_back(authorize(sim))["code"]


def test_odd_challenge_is_sent_back(sim):
    assert came_back(authorize(sim, code_challenge_method="S512"))["error"] == "invalid_request"
    assert came_back(authorize(sim, code_challenge="short"))["error"] == "invalid_request"


@pytest.mark.parametrize("consent,error,number", [
    ("access_denied", "access_denied", 65004), ("consent_required", "consent_required", 65001), ("mfa_required", "interaction_required", 50076),
    ("conditional_access", "interaction_required", 53003), ("not_assigned", "access_denied", 50105)])
def test_errors_come_back(sim, consent, error, number):
    sim.control("POST", "signin", {"consent": consent})
    query = came_back(authorize(sim))
    assert query["error"] == error and query["error_description"].startswith("AADSTS%d:" % number) and "code" not in query


def test_page_asks(sim):
    sim.control("POST", "signin", {"consent": "page"})
    for button, name in (("accept", "code"), ("cancel", "error")):
        page = authorize(sim)
        assert page.status_code == 200 and page.headers["Content-Type"].startswith("text/html")
        ticket = re.search('name="ticket" value="([^"]+)"', page.text).group(1)
        answer = sim.http.post(sim.base + "/common/consent", data={"ticket": ticket, "do": button}, allow_redirects=False)
        assert name in came_back(answer)
        assert sim.http.post(sim.base + "/common/consent", data={"ticket": ticket, "do": button}, allow_redirects=False).status_code == 400


def test_who_signed_in_stays_with_the_token(sim):
    """Somebody without a second factor signs in: the token of before is as good as ever, the new one of no use."""
    before = sim.redeem(resource=REFERRALS).json()
    sim.control("POST", "signin", {"mfa": False})
    after = redeem(sim, came_back(authorize(sim))["code"]).json()
    assert claims(after["access_token"])["amr"] == ["pwd"]
    rotated = sim.redeem(resource=REFERRALS, refresh_token=after["refresh_token"]).json()
    for token, status in ((before["access_token"], 200), (after["access_token"], 401), (rotated["access_token"], 401)):
        assert sim.http.get(sim.referrals, headers={"Authorization": "Bearer " + token}).status_code == status
    sim.control("POST", "signin", {"mfa": None, "role": "none"})
    token = redeem(sim, came_back(authorize(sim))["code"]).json()["access_token"]
    assert sim.http.get(sim.referrals, headers={"Authorization": "Bearer " + token}).status_code == 403


# Device code

def begin(sim, version="/v2.0", **form):
    form = form or ({"scope": SCOPE} if version else {"resource": REFERRALS, "scope": "openid"})
    return post(sim, version + "/devicecode", client_id=CLIENT["client_id"], **form)


def ask(sim, code, version="/v2.0", secret=CLIENT["client_secret"], **form):
    form = form or ({"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "device_code": code} if version
                    else {"grant_type": "device_code", "code": code, "resource": REFERRALS})
    return post(sim, version + "/token", client_id=CLIENT["client_id"], client_secret=secret, **form)


@pytest.mark.parametrize("version", ["/v2.0", ""])
def test_device_code(sim, version):
    body = begin(sim, version).json()
    assert body["expires_in"] == ("600" if not version else 600) and body["interval"] == ("5" if not version else 5)
    assert body["user_code"] in body["message"]
    assert refused(ask(sim, body["device_code"], version), "authorization_pending", 70016)
    where = body["verification_uri" if version else "verification_url"]
    assert "user_code" in sim.http.get(where).text
    assert sim.http.post(where, data={"user_code": "NOSUCH", "do": "approve"}).status_code == 400
    assert sim.http.post(where, data={"user_code": body["user_code"], "do": "approve"}).status_code == 200
    sim.control("POST", "clock", {"advance": 6})
    tokens = ask(sim, body["device_code"], version).json()
    assert tokens["refresh_token"] and claims(tokens["id_token"])["upn" if not version else "preferred_username"] == "integration@partner.example"
    sim.control("POST", "clock", {"advance": 6})
    refused(ask(sim, body["device_code"], version), "invalid_grant", 54005)


def test_device_slow_down_declined_expired_unknown(sim):
    body = begin(sim).json()
    refused(ask(sim, body["device_code"]), "authorization_pending", 70016)
    refused(ask(sim, body["device_code"]), "slow_down", 70016)
    sim.control("POST", "clock", {"advance": 6})
    refused(ask(sim, body["device_code"]), "slow_down", 70016)
    sim.control("POST", "clock", {"advance": 16})
    refused(ask(sim, body["device_code"]), "authorization_pending", 70016)
    sim.control("POST", "device", {"user_code": body["user_code"], "do": "deny"})
    sim.control("POST", "clock", {"advance": 30})
    refused(ask(sim, body["device_code"]), "authorization_declined", 70017)
    other = begin(sim).json()["device_code"]
    sim.control("POST", "clock", {"advance": 601})
    refused(ask(sim, other), "expired_token", 70020)
    refused(ask(sim, "none"), "bad_verification_code", 70018)


def test_device_code_is_forbidden(sim):
    sim.control("POST", "signin", {"device_forbidden": True})
    refused(begin(sim), "invalid_grant", 53003)
    refused(begin(sim, scope=""), "invalid_request", 900144)


def test_public_clients_have_no_secret(sim):
    sim.control("POST", "signin", {"registration": "confidential", "interval": 0})
    body = begin(sim).json()
    refused(ask(sim, body["device_code"], secret=None), "invalid_client", 7000218)
    refused(ask(sim, body["device_code"]), "authorization_pending", 70016)
    sim.control("POST", "signin", {"registration": "public"})
    sim.control("POST", "device", {"user_code": body["user_code"]})
    refused(ask(sim, body["device_code"]), "invalid_client", 700025)
    token = ask(sim, body["device_code"], secret=None).json()["refresh_token"]
    form = {"grant_type": "refresh_token", "client_id": CLIENT["client_id"], "scope": REFERRALS + "/.default offline_access"}
    refused(post(sim, "/v2.0/token", refresh_token=token, client_secret=CLIENT["client_secret"], **form), "invalid_client", 700025)
    rotated = post(sim, "/v2.0/token", refresh_token=token, **form).json()["refresh_token"]
    refused(post(sim, "/v2.0/token", refresh_token=rotated, client_secret=CLIENT["client_secret"], **form), "invalid_client", 700025)
    assert sim.redeem("v2", scope=REFERRALS + "/.default offline_access").status_code == 200


def test_switches_say_what_is_allowed(sim):
    for body in ({"consent": "maybe"}, {"surprise": 1}, {"registration": "none"}, {"device": "yes"}):
        assert sim.control("POST", "signin", body, ok=False)["error"]
    assert sim.control("POST", "device", {"user_code": "NOSUCH"}, ok=False)["error"]
