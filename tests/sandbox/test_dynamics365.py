"""The Dynamics 365 simulator against what Microsoft documents, asked by an independent client."""
import base64
import concurrent.futures
import datetime
import hashlib
import json
import os
import re
import socket
import ssl
import subprocess
import threading
import time
import urllib.parse
import urllib.request
import uuid

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

HERE = os.path.dirname(os.path.realpath(__file__))
APP, SECRET = "00000000-0000-4000-8000-0000000000c1", "sandbox-secret~1"
ORG_USER = "00000000-0000-4000-8000-00000000001f"
PERSON = "00000000-0000-4000-8000-000000000011"
FABRIKAM, DORA = "00000000-0000-4000-8000-000000000041", "00000000-0000-4000-8000-000000000051"
USD, EUR, JPY, KWD = ("00000000-0000-4000-8000-00000000002%d" % n for n in (1, 2, 4, 5))
GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
FIXED = {"EmptyErrorCodes": False, "ClosedRowsWritable": False, "ReopenAlone": False, "PrecisionSource": -1,
         "NotAMember": False, "LimitRequests": 0, "LimitMilliseconds": 0, "LimitConcurrent": 0,
         "LimitWindow": 300, "LatencyMilliseconds": 0, "KeyIndexSeconds": 0, "DuplicateStatus": 412}


class Server:
    def __init__(self, *args):
        self.process = subprocess.Popen([os.path.join(HERE, "dynamics365"), "--with-stdin", *args],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.line = json.loads(self.process.stdout.readline())
        self.api, self.box = self.line["api"], self.line["sandbox"]
        self.http = requests.Session()
        self.login()

    def stop(self):
        self.process.stdin.close()
        try:
            return self.process.wait(5)
        finally:
            self.process.stdout.close()

    def token(self, **form):
        data = {"grant_type": "client_credentials", "client_id": APP, "client_secret": SECRET,
                "scope": self.line["base"] + "/.default", **form}
        return requests.post(self.line["token"], data={k: v for k, v in data.items() if v is not None})

    def login(self):
        answer = self.token()
        assert answer.status_code == 200, answer.text
        self.http.headers["Authorization"] = "Bearer " + answer.json()["access_token"]

    def ask(self, method, path, body=None, **headers):
        url = path if path.startswith("http") else self.api + "/" + path
        names = {"match": "If-Match", "none_match": "If-None-Match", "prefer": "Prefer"}
        headers = {names.get(k, k.replace("_", "-")): v for k, v in headers.items()}
        headers.update({"Accept": "application/json", "OData-MaxVersion": "4.0", "OData-Version": "4.0"})
        data = None
        if body is not None:
            headers["Content-Type"] = "application/json; charset=utf-8"
            data = body if isinstance(body, (bytes, str)) else json.dumps(body)
        return self.http.request(method, url, data=data, headers=headers, timeout=10)

    def get(self, path, **headers):
        return self.ask("GET", path, **headers)

    def list(self, path, **headers):
        answer = self.get(path, **headers)
        assert answer.status_code == 200, answer.text
        return answer.json()["value"]

    def make(self, entity_set, **columns):
        answer = self.ask("POST", entity_set, columns)
        assert answer.status_code == 204, answer.text
        entity = answer.headers["OData-EntityId"]
        return entity[entity.rindex("(") + 1:-1]

    def control(self, method, path, body=None):
        answer = requests.request(method, self.box + "/" + path, json=body, timeout=10)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def options(self, **values):
        return self.control("POST", "options", values)


@pytest.fixture(scope="module")
def server():
    one = Server()
    yield one
    assert one.stop() == 0


@pytest.fixture
def d365(server):
    yield server
    server.control("DELETE", "faults")
    server.options(**FIXED)
    server.control("POST", "lag", {"seconds": 0, "list_seconds": 0})
    server.control("POST", "clock", {"offset": 0, "rate": 1})
    server.control("POST", "tokens", {"expires_in": 3599, "fail": None, "mfa": False})
    for table in ("opportunity", "account"):
        server.control("POST", "privileges", {"table": table, "deny": []})


def unique(prefix="n"):
    return prefix + uuid.uuid4().hex


def refused(answer, status, code):
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["code"] == code, answer.text
    assert error["message"]
    return error["message"]


def wait_for(condition, seconds=5):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("the condition did not come true")


# Tokens


def test_token_by_secret(d365):
    answer = d365.token()
    doc = answer.json()
    assert answer.status_code == 200
    assert doc["token_type"] == "Bearer" and doc["expires_in"] == doc["ext_expires_in"] == 3599
    assert doc["access_token"] and "refresh_token" not in doc


@pytest.mark.parametrize("form, status, error, code", [
    ({"client_secret": "wrong"}, 401, "invalid_client", 7000215),
    ({"client_id": str(uuid.uuid4())}, 400, "unauthorized_client", 700016),
    ({"scope": "https://graph.microsoft.com/.default"}, 400, "invalid_resource", 500011),
    ({"scope": "user_impersonation"}, 400, "invalid_scope", 70011),
    ({"grant_type": "password"}, 400, "unsupported_grant_type", 70003),
    ({"client_secret": None}, 401, "invalid_client", 7000218),
    ({"scope": None}, 400, "invalid_request", 900144),
])
def test_token_refusals(d365, form, status, error, code):
    answer = d365.token(**form)
    doc = answer.json()
    assert answer.status_code == status
    assert doc["error"] == error and doc["error_codes"] == [code]
    assert doc["error_description"].startswith("AADSTS%d:" % code)
    assert {"timestamp", "trace_id", "correlation_id", "error_uri"} <= set(doc)


def test_token_of_unknown_tenant(d365):
    url = "%s/nowhere.example/oauth2/v2.0/token" % d365.line["base"]
    answer = requests.post(url, data={"grant_type": "client_credentials", "client_id": APP,
                                      "client_secret": SECRET, "scope": d365.line["base"] + "/.default"})
    assert answer.status_code == 400 and answer.json()["error_codes"] == [90002]


def certificate():
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "connector")])
    now = datetime.datetime.utcnow()
    cert = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
            .serial_number(1).not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1)).sign(key, hashes.SHA256()))
    return key, cert


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def assertion(key, cert, audience, alg="PS256", **changed):
    der = cert.public_bytes(serialization.Encoding.DER)
    thumb = {"PS256": ("x5t#S256", hashlib.sha256), "RS256": ("x5t", hashlib.sha1)}[alg]
    header = {"alg": alg, "typ": "JWT", thumb[0]: b64(thumb[1](der).digest())}
    now = int(time.time())
    claims = {"aud": audience, "iss": APP, "sub": APP, "jti": str(uuid.uuid4()), "nbf": now, "exp": now + 300}
    claims.update(changed)
    text = "%s.%s" % (b64(json.dumps(header).encode()), b64(json.dumps(claims).encode()))
    pad = padding.PSS(padding.MGF1(hashes.SHA256()), 32) if alg == "PS256" else padding.PKCS1v15()
    return text + "." + b64(key.sign(text.encode(), pad, hashes.SHA256()))


def test_token_by_assertion(d365):
    key, cert = certificate()
    pem = cert.public_bytes(serialization.Encoding.PEM).decode()
    d365.control("POST", "apps", {"client_id": APP, "secret": SECRET, "certificate": pem})
    audience = d365.line["token"]

    def ask(text):
        return d365.token(client_secret=None, client_assertion=text, client_assertion_type="urn:ietf:params:oauth:"
                          "client-assertion-type:jwt-bearer")

    for alg in ("PS256", "RS256"):
        answer = ask(assertion(key, cert, audience, alg))
        assert answer.status_code == 200, answer.text
    good = assertion(key, cert, audience)
    for text, code in ((good[:-8] + "AAAAAAAA", 700027),
                       (assertion(*certificate(), audience), 700027),
                       (assertion(key, cert, "https://elsewhere.example/token"), 700023),
                       (assertion(key, cert, audience, sub=str(uuid.uuid4())), 700021),
                       (assertion(key, cert, audience, exp=int(time.time()) - 3600), 700024),
                       ("not.a.jwt", 50027)):
        answer = ask(text)
        assert answer.status_code == 401 and answer.json()["error_codes"] == [code], answer.text


def test_token_knobs(d365):
    d365.control("POST", "tokens", {"fail": "expired_secret"})
    answer = d365.token()
    assert answer.status_code == 401 and answer.json()["error_codes"] == [7000222]
    d365.control("POST", "tokens", {"fail": None, "mfa": True})
    assert d365.token().json()["error_codes"] == [50076]
    d365.control("POST", "tokens", {"mfa": False, "revoke": True})
    answer = d365.get("WhoAmI")
    assert answer.status_code == 401
    assert "authorization_uri=" in answer.headers["WWW-Authenticate"]
    assert "resource_id=" in answer.headers["WWW-Authenticate"]
    d365.login()
    assert d365.get("WhoAmI").status_code == 200


def test_token_expires_by_the_clock(d365):
    d365.control("POST", "clock", {"offset": 3700})
    assert d365.get("WhoAmI").status_code == 401
    d365.login()
    assert d365.get("WhoAmI").status_code == 200
    d365.control("POST", "clock", {"offset": 0})
    d365.login()


def test_app_without_user_is_no_member(d365):
    other = d365.token(client_id="00000000-0000-4000-8000-0000000000c2", client_secret="not-a-member").json()
    answer = requests.get(d365.api + "/WhoAmI", headers={"Authorization": "Bearer " + other["access_token"]})
    assert refused(answer, 403, "0x80072560") == "The user is not a member of the organization."


def test_membership_can_end(d365):
    d365.options(NotAMember=True)
    refused(d365.get("WhoAmI"), 403, "0x80072560")
    d365.options(NotAMember=False)
    d365.control("PATCH", "systemusers/" + ORG_USER, {"isdisabled": True})
    refused(d365.get("WhoAmI"), 403, "0x80072560")
    d365.control("PATCH", "systemusers/" + ORG_USER, {"isdisabled": False})
    assert d365.get("WhoAmI").status_code == 200


# Headers


def test_who_am_i_and_headers(d365):
    answer = d365.get("WhoAmI")
    doc = answer.json()
    assert doc["@odata.context"] == d365.api + "/$metadata#Microsoft.Dynamics.CRM.WhoAmIResponse"
    assert doc["UserId"] == ORG_USER and GUID.match(doc["OrganizationId"]) and GUID.match(doc["BusinessUnitId"])
    assert answer.headers["Content-Type"] == "application/json; odata.metadata=minimal"
    assert answer.headers["OData-Version"] == "4.0"
    assert GUID.match(answer.headers["REQ_ID"])
    assert GUID.match(answer.headers["x-ms-service-request-id"])
    assert int(answer.headers["x-ms-dop-hint"]) > 0
    assert int(answer.headers["x-ms-ratelimit-burst-remaining-xrm-requests"]) > 0
    assert float(answer.headers["x-ms-ratelimit-time-remaining-xrm-requests"]) > 0
    fresh = requests.get(d365.api + "/WhoAmI", headers={"Authorization": d365.http.headers["Authorization"]})
    assert fresh.headers["Set-Cookie"].startswith("ARRAffinity=")


def test_older_versions_answer_too(d365):
    assert d365.get(d365.api.replace("v9.2", "v9.0") + "/WhoAmI").status_code == 200


# Create, read, update, delete


def test_create_answers_204_with_entity_id(d365):
    answer = d365.ask("POST", "accounts", {"name": "Contoso"})
    assert answer.status_code == 204 and answer.content == b""
    assert re.match(re.escape(d365.api) + r"/accounts\([0-9a-f-]{36}\)\Z", answer.headers["OData-EntityId"])
    assert "Content-Type" not in answer.headers


def test_create_with_representation(d365):
    answer = d365.ask("POST", "opportunities?$select=name,estimatedvalue&$expand=parentaccountid($select=name)",
                      {"name": "Deal", "estimatedvalue": 10, "parentaccountid@odata.bind":
                       "/accounts(%s)" % FABRIKAM}, prefer="return=representation")
    assert answer.status_code == 201
    assert "OData-EntityId" not in answer.headers
    assert answer.headers["Preference-Applied"] == "return=representation"
    doc = answer.json()
    assert doc["@odata.context"].endswith("$metadata#opportunities(name,estimatedvalue,parentaccountid(name))/$entity")
    assert doc["@odata.etag"] == answer.headers["ETag"]
    assert re.match(r'W/"\d+"\Z', doc["@odata.etag"])
    assert doc["_transactioncurrencyid_value"] == USD
    assert doc["parentaccountid"]["name"] == "Fabrikam Ltd"


def test_read_selects(d365):
    id = d365.make("opportunities", name="Read me", estimatedvalue=5000000)
    answer = d365.get("opportunities(%s)?$select=name,estimatedvalue,statecode" % id.upper())
    doc = answer.json()
    assert set(doc) == {"@odata.context", "@odata.etag", "name", "estimatedvalue", "statecode",
                        "_transactioncurrencyid_value", "opportunityid"}
    assert '"estimatedvalue":5000000.0000' in answer.text
    assert answer.headers["ETag"] == doc["@odata.etag"]
    assert doc["opportunityid"] == id
    whole = d365.get("opportunities(%s)" % id).json()
    assert whole["description"] is None and whole["_ownerid_value"] == ORG_USER
    assert whole["_owningbusinessunit_value"] and whole["_createdby_value"] == ORG_USER
    assert whole["versionnumber"] == int(doc["@odata.etag"][3:-1])
    assert (whole["statecode"], whole["statuscode"]) == (0, 1)


def test_missing_row(d365):
    gone = str(uuid.uuid4())
    assert refused(d365.get("opportunities(%s)" % gone), 404, "0x80040217") == \
        "opportunity With Id = %s Does Not Exist" % gone


def test_missing_set_and_function(d365):
    assert "opportunitys" in refused(d365.get("opportunitys"), 404, "0x8006088a")
    assert "WhoIsIt" in refused(d365.get("WhoIsIt"), 404, "0x8006088a")


def test_update_bumps_version_and_author(d365):
    row = d365.control("POST", "opportunities", {"name": "By a person"})
    assert row["_modifiedby_value"] == PERSON
    id = row["opportunityid"]
    answer = d365.ask("PATCH", "opportunities(%s)" % id, {"name": "By us"}, match="*")
    assert answer.status_code == 204
    assert answer.headers["OData-EntityId"] == "%s/opportunities(%s)" % (d365.api, id)
    after = d365.get("opportunities(%s)" % id).json()
    assert after["name"] == "By us" and after["_modifiedby_value"] == ORG_USER
    assert after["_createdby_value"] == PERSON
    assert after["versionnumber"] > row["versionnumber"]


def test_versions_are_global_and_rise(d365):
    a, b = d365.make("accounts", name="a"), d365.make("contacts", lastname="b")
    first = d365.get("accounts(%s)" % a).json()["versionnumber"]
    second = d365.get("contacts(%s)" % b).json()["versionnumber"]
    assert second > first


def test_update_with_representation_ignores_expand(d365):
    id = d365.make("opportunities", name="x")
    answer = d365.ask("PATCH", "opportunities(%s)?$select=name&$expand=ownerid" % id, {"name": "y"}, match="*",
                      prefer="return=representation")
    assert answer.status_code == 200 and answer.json()["name"] == "y" and "ownerid" not in answer.json()


def test_single_column(d365):
    id = d365.make("opportunities", name="x", description="d")
    url = "opportunities(%s)/" % id
    assert d365.ask("PUT", url + "name", {"value": "z"}).status_code == 204
    assert d365.get(url + "name").json()["value"] == "z"
    assert d365.ask("DELETE", url + "description").status_code == 204
    assert d365.get(url + "description").status_code == 204


def test_delete(d365):
    id = d365.make("accounts", name="x")
    tag = d365.get("accounts(%s)" % id).headers["ETag"]
    refused(d365.ask("DELETE", "accounts(%s)" % id, match='W/"1"'), 412, "0x80060882")
    assert d365.ask("DELETE", "accounts(%s)" % id, match=tag).status_code == 204
    refused(d365.ask("DELETE", "accounts(%s)" % id), 404, "0x80040217")


# The matrix of conditional requests


def test_patch_without_condition_upserts(d365):
    id = str(uuid.uuid4())
    assert d365.ask("PATCH", "accounts(%s)" % id, {"name": "made"}).status_code == 204
    assert d365.ask("PATCH", "accounts(%s)" % id, {"name": "kept"}).status_code == 204
    assert d365.get("accounts(%s)" % id).json()["name"] == "kept"


def test_patch_if_match_any(d365):
    id = str(uuid.uuid4())
    refused(d365.ask("PATCH", "accounts(%s)" % id, {"name": "x"}, match="*"), 404, "0x80040217")
    assert d365.get("accounts(%s)" % id).status_code == 404


def test_patch_if_match_tag(d365):
    id = d365.make("accounts", name="x")
    url = "accounts(%s)" % id
    tag = d365.get(url).headers["ETag"]
    assert d365.ask("PATCH", url, {"name": "y"}, match=tag).status_code == 204
    message = refused(d365.ask("PATCH", url, {"name": "z"}, match=tag), 412, "0x80060882")
    assert message == "The version of the existing record doesn't match the RowVersion property provided."
    assert d365.get(url).json()["name"] == "y"
    refused(d365.ask("PATCH", "accounts(%s)" % uuid.uuid4(), {"name": "z"}, match=tag), 404, "0x80040217")


def test_patch_if_none_match_creates_only(d365):
    id = str(uuid.uuid4())
    answer = d365.ask("PATCH", "opportunities(%s)" % id, {"name": "once"}, none_match="*")
    assert answer.status_code == 204 and answer.headers["OData-EntityId"].endswith("(%s)" % id)
    message = refused(d365.ask("PATCH", "opportunities(%s)" % id, {"name": "twice"}, none_match="*"), 412, "0x80040237")
    assert message == "A record with matching key values already exists."
    assert d365.get("opportunities(%s)" % id).json()["name"] == "once"


def test_create_with_representation_by_patch(d365):
    id = str(uuid.uuid4())
    answer = d365.ask("PATCH", "accounts(%s)?$select=name" % id, {"name": "n"}, none_match="*",
                      prefer="return=representation")
    assert answer.status_code == 201 and answer.json()["accountid"] == id


def test_get_if_none_match(d365):
    id = d365.make("accounts", name="x")
    url = "accounts(%s)?$select=name" % id
    tag = d365.get(url).headers["ETag"]
    answer = d365.get(url, none_match=tag)
    assert answer.status_code == 304 and answer.content == b""
    assert d365.get(url, none_match='W/"1"').status_code == 200
    assert d365.get(url, none_match="null").status_code == 200
    assert d365.get(url + "&$expand=ownerid($select=fullname)", none_match=tag).status_code == 200
    assert d365.get(url, none_match=tag, prefer='odata.include-annotations="*"').status_code == 200


def test_null_word_is_no_condition_on_patch(d365):
    id = d365.make("accounts", name="x")
    assert d365.ask("PATCH", "accounts(%s)" % id, {"name": "y"}, none_match="null").status_code == 204


def test_empty_error_codes(d365):
    id = d365.make("accounts", name="x")
    d365.options(EmptyErrorCodes=True)
    answer = d365.ask("PATCH", "accounts(%s)" % id, {"name": "y"}, match='W/"1"')
    assert answer.status_code == 412 and answer.json()["error"]["code"] == ""


# Alternate keys


@pytest.fixture
def referral_key(d365):
    d365.control("POST", "keys", {"table": "opportunity", "name": "msft_ReferralKey",
                                  "columns": ["msft_referralidentifier"]})
    yield d365
    d365.control("DELETE", "keys/opportunity.msft_ReferralKey")


def test_upsert_by_key(referral_key):
    d365, key = referral_key, unique()
    url = "opportunities(msft_referralidentifier='%s')?$select=opportunityid" % key
    refused(d365.get(url), 404, "0x80060891")
    refused(d365.ask("PATCH", url, {"name": "a"}, match="*"), 404, "0x80060891")
    first = d365.ask("PATCH", url, {"name": "a"}, prefer="return=representation")
    second = d365.ask("PATCH", url, {"name": "b"}, prefer="return=representation")
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["opportunityid"] == second.json()["opportunityid"]
    row = d365.get("opportunities(%s)" % first.json()["opportunityid"]).json()
    assert row["msft_referralidentifier"] == key and row["name"] == "b"
    answer = d365.ask("PATCH", url.partition("?")[0], {"name": "c"})
    assert answer.status_code == 204
    assert answer.headers["OData-EntityId"] == "%s/%s" % (d365.api, url.partition("?")[0])
    refused(d365.ask("PATCH", url, {"name": "c"}, none_match="*"), 412, "0x80040237")


def test_key_columns_of_the_body(referral_key):
    d365, key = referral_key, unique()
    url = "opportunities(msft_referralidentifier='%s')" % key
    other = unique()
    made = d365.ask("PATCH", url, {"name": "a", "msft_referralidentifier": other}, prefer="return=representation")
    assert made.json()["msft_referralidentifier"] == other
    url = "opportunities(msft_referralidentifier='%s')" % other
    kept = d365.ask("PATCH", url, {"msft_referralidentifier": "dropped"}, prefer="return=representation")
    assert kept.status_code == 200 and kept.json()["msft_referralidentifier"] == other


def test_second_row_under_a_key(referral_key):
    d365, key = referral_key, unique()
    d365.make("opportunities", name="a", msft_referralidentifier=key)
    answer = d365.ask("POST", "opportunities", {"name": "b", "msft_referralidentifier": key.upper()})
    assert refused(answer, 412, "0x80060892").startswith("Entity Key msft_ReferralKey violated. A record with the "
                                                        "same value for Referral Identifier already exists")
    d365.make("opportunities", name="null keys are not unique")
    d365.make("opportunities", name="null keys are not unique")


def test_racing_upserts_make_one_row(referral_key):
    d365, key = referral_key, unique()
    url = "opportunities(msft_referralidentifier='%s')" % key

    def upsert(n):
        return requests.patch(d365.api + "/" + url, json={"name": str(n)}, headers=dict(d365.http.headers)).status_code
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert set(pool.map(upsert, range(8))) == {204}
    assert len(d365.list("opportunities?$filter=msft_referralidentifier eq '%s'" % key)) == 1


@pytest.mark.parametrize("bad", ["a/b", "a<b", "a*b", "a%b", "a&b", "a:b", "a\\b", "a?b", "a+b"])
def test_forbidden_characters_in_keys(referral_key, bad):
    d365 = referral_key
    value = unique() + bad
    d365.make("opportunities", name="a", msft_referralidentifier=value)
    quoted = urllib.parse.quote(value, safe="")
    assert d365.get("opportunities(msft_referralidentifier='%s')" % quoted).status_code == 400
    refused(d365.ask("POST", "opportunities", {"name": "b", "msft_referralidentifier": value}), 412, "0x80060892")


def test_quote_in_key_is_doubled(referral_key):
    d365 = referral_key
    value = unique("O'Neil ")
    d365.make("opportunities", name="quoted", msft_referralidentifier=value)
    found = d365.get("opportunities(msft_referralidentifier='%s')" % urllib.parse.quote(value.replace("'", "''")))
    assert found.json()["name"] == "quoted"


def test_unknown_key_and_named_primary_key(d365):
    message = refused(d365.get("accounts(name='x')"), 400, "0x80060888")
    assert message.startswith("The key in the request URI is not valid for resource 'Microsoft.Dynamics.CRM.account'")
    assert d365.get("accounts(accountid=%s)" % FABRIKAM).json()["name"] == "Fabrikam Ltd"


def test_key_of_two_columns_with_lookup(d365):
    d365.control("POST", "keys", {"table": "contact", "name": "two", "columns": ["emailaddress1", "parentcustomerid"]})
    url = "contacts(emailaddress1='dora@fabrikam.example',_parentcustomerid_value=%s)" % FABRIKAM
    assert d365.get(url).json()["contactid"] == DORA
    refused(d365.get("contacts(emailaddress1='dora@fabrikam.example')"), 400, "0x80060888")
    d365.control("DELETE", "keys/contact.two")


def test_key_is_usable_once_its_index_is_active(d365):
    d365.options(KeyIndexSeconds=60)
    label = {"@odata.type": "Microsoft.Dynamics.CRM.Label", "LocalizedLabels": []}
    answer = d365.ask("POST", "EntityDefinitions(LogicalName='lead')/Keys",
                      {"SchemaName": "new_LeadKey", "DisplayName": label, "KeyAttributes": ["subject"]})
    assert answer.status_code == 204

    def status():
        return d365.list("EntityDefinitions(LogicalName='lead')/Keys")[0]["EntityKeyIndexStatus"]
    assert status() == "Pending"
    d365.make("leads", subject="under a key", lastname="L")
    url = "leads(subject='under a key')"
    refused(d365.get(url), 400, "0x80060888")
    d365.control("POST", "clock", {"offset": 61})
    assert status() == "Active"
    assert d365.get(url).status_code == 200
    key = d365.list("EntityDefinitions(LogicalName='lead')/Keys")[0]
    assert key["KeyAttributes"] == ["subject"] and key["LogicalName"] == "new_leadkey"
    assert d365.ask("DELETE", "EntityDefinitions(LogicalName='lead')/Keys(%s)" % key["MetadataId"]).status_code == 204


# Types


def amount(d365, value, currency, **more):
    id = d365.make("opportunities", name="money", estimatedvalue=value,
                   **{"transactioncurrencyid@odata.bind": "/transactioncurrencies(%s)" % currency, **more})
    text = d365.get("opportunities(%s)?$select=estimatedvalue" % id).text
    return re.search(r'"estimatedvalue":([-0-9.]+)', text).group(1)


@pytest.mark.parametrize("currency, sent, kept", [
    (USD, 10.005, "10.0100"), (USD, 10.004, "10.0000"), (JPY, 1234.5, "1235.0000"), (KWD, 1.2345, "1.2350"),
    (EUR, 999999999999.99, "999999999999.9900"), (USD, -0.005, "-0.0100")])
def test_money_is_rounded_to_the_currency(d365, currency, sent, kept):
    assert amount(d365, sent, currency) == kept


def test_money_precision_source(d365):
    d365.options(PrecisionSource=0)
    assert amount(d365, 12.345, KWD) == "12.3500"
    d365.options(PrecisionSource=1, OrganizationPrecision=0)
    assert amount(d365, 12.345, KWD) == "12.0000"
    d365.options(OrganizationPrecision=2)


def test_base_amount_and_rate(d365):
    id = d365.make("opportunities", name="m", estimatedvalue=80,
                   **{"transactioncurrencyid@odata.bind": "transactioncurrencies(%s)" % EUR})
    row = d365.get("opportunities(%s)" % id).json()
    assert row["exchangerate"] == 0.8 and row["estimatedvalue_base"] == 100
    d365.ask("PATCH", "opportunities(%s)" % id, {"estimatedvalue": 8, "estimatedvalue_base": 1}, match="*")
    assert d365.get("opportunities(%s)" % id).json()["estimatedvalue_base"] == 10
    d365.ask("PATCH", "opportunities(%s)" % id, {"estimatedvalue": None}, match="*")
    row = d365.get("opportunities(%s)" % id).json()
    assert row["estimatedvalue"] is None and row["estimatedvalue_base"] is None


def test_big_money_keeps_its_digits(d365):
    text = '{"name":"big","estimatedvalue":123456789012.34}'
    answer = d365.ask("POST", "opportunities?$select=estimatedvalue", text, prefer="return=representation")
    assert '"estimatedvalue":123456789012.3400' in answer.text


def test_system_calculated_revenue_ignores_the_value(d365):
    id = d365.make("opportunities", name="s", estimatedvalue=7)
    d365.ask("PATCH", "opportunities(%s)" % id, {"isrevenuesystemcalculated": True}, match="*")
    assert d365.ask("PATCH", "opportunities(%s)" % id, {"estimatedvalue": 9}, match="*").status_code == 204
    assert d365.get("opportunities(%s)" % id).json()["estimatedvalue"] == 7


@pytest.mark.parametrize("column, value, status, code", [
    ("estimatedvalue", 1000000000001, 400, "0x80044330"),
    ("estimatedvalue", -1000000000001, 400, "0x80044330"),
    ("closeprobability", 101, 400, "0x8004432F"),
    ("closeprobability", 2 ** 31, 400, "0x80048d19"),
    ("closeprobability", 5.5, 400, "0x80048d19"),
    ("opportunityratingcode", 9, 400, "0x8004431A"),
    ("name", "x" * 301, 400, "0x80044331"),
    ("name", "\U0001f600" * 151, 400, "0x80044331"),
    ("name", 5, 400, "0x80048d19"),
    ("estimatedvalue", "5", 400, "0x80048d19"),
    ("estimatedclosedate", "2026-03-31T00:00:00Z", 400, "0x80048d19"),
    ("estimatedclosedate", "31.03.2026", 400, "0x80048d19"),
    ("isrevenuesystemcalculated", "true", 400, "0x80048d19"),
    ("nosuchcolumn", 1, 400, "0x80048d19"),
    ("_parentaccountid_value", FABRIKAM, 400, "0x80048d19"),
    ("ParentAccountId@odata.bind", "/accounts(%s)" % FABRIKAM, 400, "0x80048d19"),
    ("parentaccountid@odata.bind", "/contacts(%s)" % DORA, 400, "0x80048d19"),
    ("parentaccountid@odata.bind", "/accounts(%s)" % uuid.UUID(int=5), 404, "0x80040217"),
    ("statuscode", 3, 400, "0x80048408"),
    ("ownerid@odata.bind", None, 400, "0x80040203"),
])
def test_refused_values(d365, column, value, status, code):
    before = d365.control("GET", "requests/summary")["total"]
    refused(d365.ask("POST", "opportunities", {"name": "bad", column: value}), status, code)
    id = d365.make("opportunities", name="good")
    both = {"description": "half", column: value}
    refused(d365.ask("PATCH", "opportunities(%s)" % id, both, match="*"), status, code)
    assert d365.get("opportunities(%s)" % id).json()["description"] is None
    assert d365.control("GET", "requests/summary")["total"] == before + 4


def test_messages_of_the_documentation(d365):
    answer = d365.ask("POST", "opportunities", {"name": "x" * 301})
    assert answer.json()["error"]["message"] == (
        "A validation error occurred. The length of the 'name' attribute of the 'opportunity' entity exceeded the "
        "maximum allowed length of '300'.")
    answer = d365.ask("POST", "opportunities", {"new_partner@odata.bind": "/accounts(%s)" % FABRIKAM})
    assert "only has property annotations" in answer.json()["error"]["message"]


def test_broken_json(d365):
    for text in (b"{", b"[]", b"\xff\xfe", b'{"name":NaN}'):
        refused(d365.ask("POST", "accounts", text), 400, "0x80048d19")


def test_body_must_be_declared_json(d365):
    answer = d365.http.post(d365.api + "/accounts", data=b'{"name":"x"}', headers={"Content-Type": "text/plain"})
    assert answer.status_code == 415


def test_text_of_300_units_fits_and_empty_is_null(d365):
    id = d365.make("opportunities", name="\U0001f600" * 150, description="")
    row = d365.get("opportunities(%s)" % id).json()
    assert row["name"] == "\U0001f600" * 150 and row["description"] is None


def test_dates(d365):
    id = d365.make("opportunities", name="d", estimatedclosedate="2026-03-31",
                   overriddencreatedon="2016-09-28T17:57:53-05:00")
    row = d365.get("opportunities(%s)" % id).json()
    assert row["estimatedclosedate"] == "2026-03-31"
    assert row["createdon"] == "2016-09-28T22:57:53Z"
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\Z", row["modifiedon"])


def test_read_only_columns_are_ignored(d365):
    id = d365.make("contacts", firstname="A", lastname="B", fullname="no", versionnumber=5, statecode=1)
    row = d365.get("contacts(%s)" % id).json()
    assert row["fullname"] == "A B" and row["statecode"] == 0 and row["versionnumber"] > 5
    assert d365.ask("PATCH", "contacts(%s)" % id, {"modifiedon": "2001-01-01T00:00:00Z"}, match="*").status_code == 204
    assert d365.get("contacts(%s)" % id).json()["modifiedon"] > "2020"


def test_annotations(d365):
    id = d365.make("opportunities", name="ann", estimatedvalue=1234.5, estimatedclosedate="2026-03-31",
                   **{"customerid_account@odata.bind": "/accounts(%s)" % FABRIKAM})
    answer = d365.get("opportunities(%s)?$select=statecode,estimatedvalue,estimatedclosedate,_customerid_value,"
                      "isrevenuesystemcalculated" % id, prefer='odata.include-annotations="*"')
    doc, shown = answer.json(), "@OData.Community.Display.V1.FormattedValue"
    assert doc["statecode" + shown] == "Open"
    assert doc["estimatedvalue" + shown] == "$1,234.50"
    assert doc["estimatedclosedate" + shown] == "3/31/2026"
    assert doc["isrevenuesystemcalculated" + shown] == "No"
    assert doc["_customerid_value" + shown] == "Fabrikam Ltd"
    assert doc["_customerid_value@Microsoft.Dynamics.CRM.lookuplogicalname"] == "account"
    assert doc["_customerid_value@Microsoft.Dynamics.CRM.associatednavigationproperty"] == "customerid_account"
    assert "include-annotations" in answer.headers["Preference-Applied"]
    few = d365.get("opportunities(%s)?$select=statecode,_customerid_value" % id,
                   prefer='odata.include-annotations="OData.Community.Display.V1.FormattedValue"').json()
    assert "statecode" + shown in few and "_customerid_value@Microsoft.Dynamics.CRM.lookuplogicalname" not in few
    error = d365.get("opportunities(%s)" % uuid.uuid4(), prefer='odata.include-annotations="*"').json()["error"]
    assert "@Microsoft.PowerApps.CDS.HelpLink" in error and "@Microsoft.PowerApps.CDS.TraceText" in error


# Look-ups


def test_bind_and_clear_lookup(d365):
    id = d365.make("opportunities", name="l", **{"parentaccountid@odata.bind":
                                                "%s/accounts(%s)" % (d365.api, FABRIKAM)})
    url = "opportunities(%s)" % id
    row = d365.get(url).json()
    assert row["_parentaccountid_value"] == FABRIKAM and row["_customerid_value"] == FABRIKAM
    assert d365.ask("PATCH", url, {"parentaccountid": None}, match="*").status_code == 204
    assert d365.get(url).json()["_parentaccountid_value"] is None
    d365.ask("PATCH", url, {"parentaccountid@odata.bind": "accounts(%s)" % FABRIKAM}, match="*")
    assert d365.get(url + "/parentaccountid?$select=name").json()["name"] == "Fabrikam Ltd"
    assert d365.ask("DELETE", url + "/parentaccountid/$ref").status_code == 204
    assert d365.get(url).json()["_parentaccountid_value"] is None


def test_owner_may_be_a_team(d365):
    team = "00000000-0000-4000-8000-000000000032"
    id = d365.make("opportunities", name="t", **{"ownerid@odata.bind": "/teams(%s)" % team})
    row = d365.get("opportunities(%s)" % id).json()
    assert row["_ownerid_value"] == row["_owningteam_value"] == team and row["_owninguser_value"] is None
    d365.ask("PATCH", "opportunities(%s)" % id, {"ownerid@odata.bind": "/systemusers(%s)" % PERSON}, match="*")
    row = d365.get("opportunities(%s)?$expand=owningbusinessunit($select=name)" % id).json()
    assert row["_owninguser_value"] == PERSON and row["_owningteam_value"] is None
    assert row["owningbusinessunit"]["name"] == "EMEA"


def test_custom_lookup_is_bound_by_its_schema_name(d365):
    detail = "00000000-0000-4000-8000-000000000061"
    opportunity = d365.make("opportunities", name="with solution")
    body = {"msft_OpportunityId@odata.bind": "/opportunities(%s)" % opportunity,
            "msft_SolutionDetailId@odata.bind":
            "/msft_microsoftsolutiondetails(msft_solutionidentifier='SOL-24100-GWB')"}
    id = d365.make("msft_microsoftsolutions", **body)
    row = d365.get("msft_microsoftsolutions(%s)" % id).json()
    assert row["_msft_opportunityid_value"] == opportunity and row["_msft_solutiondetailid_value"] == detail
    wrong = {"msft_opportunityid@odata.bind": "/opportunities(%s)" % opportunity}
    refused(d365.ask("POST", "msft_microsoftsolutions", wrong), 400, "0x80048d19")
    rows = d365.list("msft_microsoftsolutions?$filter=_msft_opportunityid_value eq %s" % opportunity)
    assert [r["msft_microsoftsolutionid"] for r in rows] == [id]
    row = d365.get("opportunities(%s)?$select=name&$expand=msft_opportunity_microsoftsolutions" % opportunity).json()
    assert len(row["msft_opportunity_microsoftsolutions"]) == 1


def test_deep_insert_is_atomic(d365):
    name = unique()
    body = {"name": name, "parentaccountid": {"name": name},
            "msft_opportunity_microsoftsolutions": [{"msft_name": name}]}
    assert d365.ask("POST", "opportunities", body).status_code == 204
    row = d365.list("opportunities?$filter=name eq '%s'&$expand=parentaccountid($select=name)" % name)[0]
    assert row["parentaccountid"]["name"] == name
    name = unique()
    body = {"name": name, "parentaccountid": {"name": name}, "closeprobability": 500}
    assert d365.ask("POST", "opportunities", body).status_code == 400
    body = {"name": name, "parentaccountid": {"name": name}, "msft_opportunity_microsoftsolutions": [{"bad": 1}]}
    assert d365.ask("POST", "opportunities", body).status_code == 400
    assert d365.list("accounts?$filter=name eq '%s'" % name) == []
    assert d365.list("opportunities?$filter=name eq '%s'" % name) == []


# Closing


def close(d365, action, id, status, **more):
    return d365.ask("POST", action, {"Status": status, "OpportunityClose": {
        "opportunityid@odata.bind": "/opportunities(%s)" % id, **more}})


def test_win_and_reopen(d365):
    id = d365.make("opportunities", name="win", estimatedvalue=10)
    url = "opportunities(%s)" % id
    answer = close(d365, "WinOpportunity", id, 3, subject="Won via co-sell", actualrevenue=12000.0,
                   actualend="2026-03-31", description="done")
    assert answer.status_code == 204 and answer.content == b""
    row = d365.get(url).json()
    assert (row["statecode"], row["statuscode"]) == (1, 3)
    assert row["actualclosedate"] == "2026-03-31" and row["actualvalue"] == 12000
    activities = d365.list("opportunitycloses?$filter=_opportunityid_value eq %s" % id)
    assert [(a["subject"], a["actualrevenue"], a["description"]) for a in activities] == \
        [("Won via co-sell", 12000.0, "done")]
    message = refused(d365.ask("PATCH", url, {"name": "no"}, match="*"), 400, "0x80040203")
    assert "reopened" in message
    refused(close(d365, "LoseOpportunity", id, 4), 400, "0x80040203")
    assert d365.ask("PATCH", url, {"statecode": 0, "statuscode": 1}, match="*").status_code == 204
    assert d365.ask("PATCH", url, {"name": "yes"}, match="*").status_code == 204
    assert d365.get(url).json()["statecode"] == 0


@pytest.mark.parametrize("action, status, expected", [
    ("LoseOpportunity", 5, (2, 5)), ("LoseOpportunity", -1, (2, 4)), ("WinOpportunity", -1, (1, 3))])
def test_close_status(d365, action, status, expected):
    id = d365.make("opportunities", name="close")
    assert close(d365, action, id, status).status_code == 204
    row = d365.get("opportunities(%s)" % id).json()
    assert (row["statecode"], row["statuscode"]) == expected


def test_close_refusals(d365):
    id = d365.make("opportunities", name="close")
    refused(close(d365, "WinOpportunity", id, 4), 400, "0x80048408")
    refused(close(d365, "LoseOpportunity", id, 3), 400, "0x80048408")
    refused(close(d365, "WinOpportunity", uuid.uuid4(), 3), 404, "0x80040217")
    refused(close(d365, "WinOpportunity", id, 3, nonsense=1), 400, "0x80048d19")
    refused(d365.ask("POST", "WinOpportunity", {"Status": 3}), 400, "0x80048d19")
    assert d365.get("opportunities(%s)" % id).json()["statecode"] == 0


def test_state_by_patch(d365):
    id = d365.make("opportunities", name="set state")
    url = "opportunities(%s)" % id
    assert d365.ask("PATCH", url, {"statuscode": 2}, match="*").status_code == 204
    refused(d365.ask("PATCH", url, {"statuscode": 3}, match="*"), 400, "0x80048408")
    refused(d365.ask("PATCH", url, {"statecode": 1, "statuscode": 4}, match="*"), 400, "0x80048408")
    assert d365.ask("PATCH", url, {"statecode": 1}, match="*").status_code == 204
    assert d365.get(url).json()["statuscode"] == 3
    assert d365.list("opportunitycloses?$filter=_opportunityid_value eq %s" % id) == []
    refused(d365.ask("PATCH", url, {"statecode": 2}, match="*"), 400, "0x80040203")
    assert d365.ask("DELETE", url).status_code == 204


def test_on_hold_at_creation(d365):
    id = d365.make("opportunities", name="hold", statuscode=2)
    assert d365.get("opportunities(%s)" % id).json()["statuscode"] == 2


def test_reopening_and_writing_at_once_is_a_switch(d365):
    id = d365.make("opportunities", name="r")
    close(d365, "WinOpportunity", id, 3)
    d365.options(ReopenAlone=True)
    both = {"statecode": 0, "statuscode": 1, "name": "both"}
    refused(d365.ask("PATCH", "opportunities(%s)" % id, both, match="*"), 400, "0x80040203")
    d365.options(ReopenAlone=False)
    assert d365.ask("PATCH", "opportunities(%s)" % id, both, match="*").status_code == 204


def test_qualify_and_disqualify_lead(d365):
    id = d365.make("leads", subject="From PC", firstname="L", lastname="Ead", companyname="Leadco")
    answer = d365.ask("POST", "leads(%s)/Microsoft.Dynamics.CRM.QualifyLead" % id, {
        "CreateAccount": True, "CreateContact": True, "CreateOpportunity": True, "Status": 3,
        "OpportunityCurrencyId": {"transactioncurrencyid": EUR,
                                  "@odata.type": "Microsoft.Dynamics.CRM.transactioncurrency"}})
    assert answer.status_code == 200
    made = {v["@odata.type"].rpartition(".")[2]: v for v in answer.json()["value"]}
    assert set(made) == {"account", "contact", "opportunity"}
    row = d365.get("opportunities(%s)" % made["opportunity"]["opportunityid"]).json()
    assert row["_originatingleadid_value"] == id and row["_transactioncurrencyid_value"] == EUR
    lead = d365.get("leads(%s)" % id).json()
    assert (lead["statecode"], lead["statuscode"]) == (1, 3)
    assert lead["_qualifyingopportunityid_value"] == row["opportunityid"]
    assert d365.ask("PATCH", "leads(%s)" % id, {"subject": "closed"}, match="*").status_code == 400
    id = d365.make("leads", subject="no", lastname="x")
    assert d365.ask("PATCH", "leads(%s)" % id, {"statecode": 2, "statuscode": 7}, match="*").status_code == 204


# Queries


@pytest.fixture(scope="module")
def many(server):
    mark = unique("q")
    names = ["Alpha", "beta", "Gamma O'Neil", "delta", None]
    rows = [{"name": n, "description": mark, "estimatedvalue": 100 * i if i else None,
             "estimatedclosedate": "2026-0%d-01" % (i + 1), "closeprobability": i * 10,
             "parentaccountid": FABRIKAM if i % 2 else None, "statecode": 1 if i == 4 else 0,
             "modifiedon": "2026-01-0%dT10:00:00Z" % (i + 1)} for i, n in enumerate(names)]
    server.control("POST", "bulk/opportunities", rows)
    return mark


@pytest.mark.parametrize("text, expected", [
    ("name eq 'ALPHA'", "0"), ("name ne 'Alpha'", "1234"), ("name eq null", "4"), ("name ne null", "0123"),
    ("null ne name", "0123"),
    ("name eq 'Gamma O''Neil'", "2"), ("contains(name,'O''N')", "2"), ("startswith(name,'be')", "1"),
    ("endswith(name,'TA')", "13"), ("not contains(name,'a')", "4"), ("contains(name,'a') eq false", "4"),
    ("estimatedvalue gt 100", "234"), ("estimatedvalue ge 100.0", "1234"), ("estimatedvalue lt 200.5", "12"),
    ("estimatedvalue le 100", "1"), ("200 lt estimatedvalue", "34"), ("estimatedvalue eq 300", "3"),
    ("estimatedclosedate ge 2026-03-01", "234"), ("modifiedon ge 2026-01-03T10:00:00Z", "234"),
    ("modifiedon gt 2026-01-03T10:00:00Z", "34"), ("modifiedon gt 2026-01-03T09:59:59.5Z", "234"),
    ("modifiedon ge 2026-01-03T12:00:00%2B02:00", "234"),
    ("statecode eq 1", "4"), ("statecode eq 0 and closeprobability ge 20", "23"),
    ("name eq 'Alpha' or name eq 'delta' and closeprobability eq 0", "0"),
    ("(name eq 'Alpha' or name eq 'delta') and closeprobability eq 30", "3"),
    ("not (name eq 'Alpha')", "1234"), ("_parentaccountid_value eq %s" % FABRIKAM, "13"),
    ("_parentaccountid_value ne null", "13"), ("parentaccountid/name eq 'Fabrikam Ltd'", "13"),
    ("isrevenuesystemcalculated eq false", "01234"), ("msft_syncwithpartnercenter eq true", ""),
    ("name eq @p&@p='beta'", "1"),
    ("Microsoft.Dynamics.CRM.In(PropertyName='name',PropertyValues=['alpha','delta'])", "03"),
])
def test_filters(d365, many, text, expected):
    if "&" in text:
        text, _, alias = text.partition("&")
        text = "%s and description eq '%s'&%s" % (text, many, alias)
    else:
        text = "(%s) and description eq '%s'" % (text, many)
    rows = d365.list("opportunities?$select=closeprobability&$filter=" + text.replace(" ", "%20"))
    assert "".join(sorted(str(r["closeprobability"] // 10) for r in rows)) == expected


@pytest.mark.parametrize("query", [
    "$select=nosuch", "$filter=nosuch eq 1", "$orderby=nosuch", "$expand=nosuch", "$filter=name eq 5",
    "$filter=_parentaccountid_value eq 'x'", "$filter=name eq 'open", "$filter=name", "$filter=name eq",
    "$filter=(name eq 'x'", "$filter=substringof('x',name) eq true", "$filter=modifiedon gt 'today'", "$skip=5",
    "$top=x", "$search=x", "$filter=name eq @p", "$expand=parentaccountid($select=nosuch)",
    "$select=name&$select=name", "fetchXml=<fetch/>", "$apply=aggregate($count as n)",
    "$filter=parentaccountid eq %s" % FABRIKAM])
def test_bad_queries(d365, query):
    refused(d365.get("opportunities?" + query), 400, "0x80060888")


def test_unknown_column_message(d365):
    assert refused(d365.get("opportunities?$select=foo"), 400, "0x80060888") == \
        "Could not find a property named 'foo' on type 'Microsoft.Dynamics.CRM.opportunity'."


def test_order_top_count_and_empty(d365, many):
    base = "opportunities?$select=closeprobability&$filter=description eq '%s'" % many

    def order(text):
        return [r["closeprobability"] // 10 for r in d365.list(base + "&$orderby=" + text)]
    assert order("name") == [4, 0, 1, 3, 2] and order("name desc") == [2, 3, 1, 0, 4]
    assert order("statecode desc,closeprobability asc") == [4, 0, 1, 2, 3]
    assert order("modifiedon desc&$top=2") == [4, 3]
    doc = d365.get(base + "&$count=true&$top=2").json()
    assert doc["@odata.count"] == 5 and len(doc["value"]) == 2 and "@odata.nextLink" not in doc
    empty = d365.get("opportunities?$select=name&$filter=name eq 'nobody'").json()
    assert empty == {"@odata.context": d365.api + "/$metadata#opportunities(name)", "value": []}
    answer = d365.get("opportunities/$count?$filter=description eq '%s'" % many)
    assert answer.content == b"\xef\xbb\xbf5" and answer.headers["Content-Type"].startswith("text/plain")


def follow(d365, url, prefer):
    pages = []
    while url:
        answer = d365.get(url, prefer=prefer)
        assert answer.status_code == 200, answer.text
        doc = answer.json()
        pages.append(doc["value"])
        url = doc.get("@odata.nextLink")
        assert url is None or url.startswith(d365.api + "/") and "$skiptoken=%3Ccookie%20pagenumber=" in url
    return pages


@pytest.mark.parametrize("order", ["", "&$orderby=name desc", "&$orderby=estimatedvalue asc,name",
                                   "&$orderby=modifiedon"])
def test_paging(d365, many, order):
    url = "opportunities?$select=closeprobability&$filter=description eq '%s'%s" % (many, order)
    whole = [r["closeprobability"] for r in d365.list(url)]
    pages = follow(d365, url, "odata.maxpagesize=2")
    assert [len(p) for p in pages] == [2, 2, 1]
    assert [r["closeprobability"] for p in pages for r in p] == whole
    first = d365.get(url, prefer="odata.maxpagesize=2")
    assert first.headers["Preference-Applied"] == "odata.maxpagesize=2"


def test_default_page_is_5000(d365):
    mark = unique()
    d365.control("POST", "bulk/accounts", [{"name": "p%d" % i, "description": mark} for i in range(5001)])
    doc = d365.get("accounts?$select=name&$count=true&$filter=description eq '%s'" % mark,
                   prefer='odata.include-annotations="*"').json()
    assert len(doc["value"]) == 5000 and doc["@odata.count"] == 5000
    assert doc["@Microsoft.Dynamics.CRM.totalrecordcountlimitexceeded"] is True
    assert len(d365.get(doc["@odata.nextLink"]).json()["value"]) == 1


def test_broken_cookie(d365):
    refused(d365.get("accounts?$skiptoken=%3Ccookie%20pagenumber"), 400, "0x80040203")


def test_expand(d365):
    id = d365.make("opportunities", name="e", **{"parentaccountid@odata.bind": "/accounts(%s)" % FABRIKAM})
    row = d365.get("opportunities(%s)?$select=name&$expand=parentaccountid($select=name,accountnumber;"
                   "$expand=createdby($select=fullname)),parentcontactid($select=fullname),ownerid($select=fullname)"
                   % id).json()
    assert row["parentaccountid"]["accountnumber"] == "FAB-001"
    assert row["parentaccountid"]["createdby"]["fullname"] == "Ada Seller"
    assert row["parentcontactid"] is None
    assert "Co-sell" in row["ownerid"]["fullname"]


def test_account_search_uses_an_index(d365):
    d365.control("POST", "bulk/accounts", [{"name": "bulk %d" % i} for i in range(10000)])
    d365.list("accounts?$select=name&$filter=name eq 'BULK 77'")
    began = time.monotonic()
    for i in range(50):
        assert len(d365.list("accounts?$select=name&$filter=statecode eq 0 and name eq 'bulk %d'" % i)) == 1
    assert time.monotonic() - began < 2


# Rights, duplicates, impersonation


def test_missing_privilege(d365):
    id = d365.make("opportunities", name="p")
    d365.control("POST", "privileges", {"table": "opportunity", "deny": ["write"]})
    assert "prvWriteOpportunity" in refused(
        d365.ask("PATCH", "opportunities(%s)" % id, {"name": "q"}, match="*"), 403, "0x80040220")
    refused(close(d365, "WinOpportunity", id, 3), 403, "0x80040220")
    assert d365.get("opportunities(%s)" % id).status_code == 200


def test_duplicate_detection_header(d365):
    mail = unique() + "@example.com"
    d365.make("accounts", name="one", emailaddress1=mail)
    d365.make("accounts", name="two", emailaddress1=mail)
    on = {"MSCRM.SuppressDuplicateDetection": "false"}
    body = {"name": "three", "emailaddress1": mail.upper()}
    refused(d365.ask("POST", "accounts", body, **on), 412, "0x80040333")
    id = d365.make("accounts", name="four")
    refused(d365.ask("PATCH", "accounts(%s)" % id, {"emailaddress1": mail}, match="*", **on), 412, "0x80040333")
    assert d365.ask("POST", "accounts", {"name": "five", "emailaddress1": unique() + "@x"}, **on).status_code == 204
    assert d365.ask("POST", "accounts", body, **{"MSCRM.SuppressDuplicateDetection": "true"}).status_code == 204


def test_impersonation(d365):
    answer = d365.ask("POST", "accounts", {"name": "on behalf"}, MSCRMCallerID=PERSON)
    row = d365.get(answer.headers["OData-EntityId"]).json()
    assert row["_createdby_value"] == PERSON and row["_createdonbehalfby_value"] == ORG_USER
    answer = d365.ask("PATCH", answer.headers["OData-EntityId"], {"name": "again"}, match="*",
                      CallerObjectId="00000000-0000-4000-8000-000000000e12")
    assert answer.status_code == 204


def test_query_tag_is_accepted(d365):
    assert d365.ask("POST", "accounts?tag=cosell", {"name": "tagged"}).status_code == 204


# Service protection and faults


def test_request_limit(d365):
    d365.options(LimitRequests=3, LimitWindow=30)
    answers = [d365.get("WhoAmI") for _ in range(6)]
    codes = [a.status_code for a in answers]
    assert codes == [200, 200, 200, 429, 429, 429]
    assert refused(answers[3], 429, "0x80072322") == \
        "Number of requests exceeded the limit of 3 over time window of 30 seconds."
    waits = [int(a.headers["Retry-After"]) for a in answers[3:]]
    assert 0 < waits[0] <= 30 and waits == sorted(waits)
    assert answers[2].headers["x-ms-ratelimit-burst-remaining-xrm-requests"] == "0"
    d365.control("POST", "clock", {"advance": 31})
    assert d365.get("WhoAmI").status_code == 200


def test_time_limit(d365):
    d365.control("POST", "clock", {"advance": 1000})
    d365.options(LimitMilliseconds=50, LatencyMilliseconds=30, LimitWindow=300)
    answers = [d365.get("WhoAmI") for _ in range(3)]
    assert [a.status_code for a in answers] == [200, 200, 429]
    refused(answers[2], 429, "0x80072321")
    assert "Retry-After" in answers[2].headers


def test_concurrency_limit(d365):
    d365.options(LimitConcurrent=2, LatencyMilliseconds=300)

    def ask(_):
        return requests.get(d365.api + "/WhoAmI", headers=dict(d365.http.headers))
    with concurrent.futures.ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(ask, range(5)))
    over = [a for a in answers if a.status_code == 429]
    assert len(over) == 3
    assert refused(over[0], 429, "0x80072326") == "Number of concurrent requests exceeded the limit of 2."
    assert d365.get("WhoAmI").status_code == 200


def test_status_faults(d365):
    d365.control("POST", "faults", {"method": "GET", "path": "/WhoAmI$", "fault": "status", "status": 429,
                                    "code": "0x80072326", "retry_after": 3, "times": 1})
    d365.control("POST", "faults", {"path": "/WhoAmI$", "fault": "status", "status": 500, "code": "0x80044150",
                                    "times": 1})
    d365.control("POST", "faults", {"path": "/WhoAmI$", "fault": "html", "status": 503, "times": 1})
    answer = d365.get("WhoAmI")
    refused(answer, 429, "0x80072326")
    assert answer.headers["Retry-After"] == "3"
    refused(d365.get("WhoAmI"), 500, "0x80044150")
    answer = d365.get("WhoAmI")
    assert answer.status_code == 503 and answer.headers["Content-Type"].startswith("text/html")
    assert d365.get("WhoAmI").status_code == 200


@pytest.mark.parametrize("kind", ["drop-after-commit", "reset-after"])
def test_commits_without_answering(d365, kind):
    id = str(uuid.uuid4())
    d365.control("POST", "faults", {"method": "PATCH", "path": "/accounts", "fault": kind, "times": 1})
    with pytest.raises(requests.ConnectionError):
        d365.ask("PATCH", "accounts(%s)" % id, {"name": "committed"}, none_match="*")
    assert d365.get("accounts(%s)" % id).json()["name"] == "committed"
    refused(d365.ask("PATCH", "accounts(%s)" % id, {"name": "again"}, none_match="*"), 412, "0x80040237")


def test_reset_before_does_not_commit(d365):
    id = str(uuid.uuid4())
    d365.control("POST", "faults", {"method": "PATCH", "path": "/accounts", "fault": "reset-before", "times": 1})
    with pytest.raises(requests.ConnectionError):
        d365.ask("PATCH", "accounts(%s)" % id, {"name": "lost"}, none_match="*")
    assert d365.get("accounts(%s)" % id).status_code == 404


@pytest.mark.parametrize("when, committed", [("before", False), ("after", True)])
def test_hold_around_the_commit(d365, when, committed):
    id = str(uuid.uuid4())
    hold = {"method": "PATCH", "path": "/accounts", "fault": "hold", "when": when}
    number = d365.control("POST", "faults", hold)["id"]
    answers = []

    def patch():
        answers.append(requests.patch("%s/accounts(%s)" % (d365.api, id), json={"name": "held"},
                                      headers=dict(d365.http.headers)).status_code)
    thread = threading.Thread(target=patch)
    thread.start()
    wait_for(lambda: d365.control("GET", "faults")[0]["held"] == 1)
    assert (d365.get("accounts(%s)" % id).status_code == 200) is committed
    assert answers == []
    d365.control("DELETE", "faults/%d" % number)
    thread.join(5)
    assert answers == [204] and d365.get("accounts(%s)" % id).status_code == 200


def test_truncated_body(d365):
    d365.control("POST", "faults", {"path": "/WhoAmI$", "fault": "truncate", "times": 1})
    with pytest.raises(requests.exceptions.RequestException):
        d365.get("WhoAmI").json()


def test_read_lag(d365):
    id = d365.make("accounts", name="old", accountnumber=unique()[:20])
    gone = d365.make("accounts", name=unique())
    name = d365.get("accounts(%s)" % gone).json()["name"]
    d365.control("POST", "clock", {"rate": 0})
    d365.control("POST", "clock", {"advance": 30})
    d365.control("POST", "lag", {"seconds": 5, "list_seconds": 5})
    new_name = unique()
    d365.ask("PATCH", "accounts(%s)" % id, {"name": new_name}, match="*")
    d365.ask("DELETE", "accounts(%s)" % gone)
    fresh = d365.make("accounts", name=new_name)
    assert d365.get("accounts(%s)" % id).json()["name"] == "old"
    assert d365.get("accounts(%s)" % fresh).status_code == 404
    assert d365.get("accounts(%s)" % gone).status_code == 200
    assert d365.list("accounts?$filter=name eq '%s'" % new_name) == []
    assert len(d365.list("accounts?$filter=name eq '%s'" % name)) == 1
    refused(d365.ask("PATCH", "accounts(%s)" % fresh, {"name": "x"}, none_match="*"), 412, "0x80040237")
    d365.control("POST", "clock", {"advance": 6})
    assert d365.get("accounts(%s)" % id).json()["name"] == new_name
    assert d365.get("accounts(%s)" % gone).status_code == 404
    assert len(d365.list("accounts?$filter=name eq '%s'" % new_name)) == 2


# Metadata


def test_entity_definitions(d365):
    doc = d365.get("EntityDefinitions(LogicalName='opportunity')?$select=EntitySetName,PrimaryIdAttribute,"
                   "PrimaryNameAttribute,ChangeTrackingEnabled,IsOptimisticConcurrencyEnabled").json()
    assert doc["EntitySetName"] == "opportunities" and doc["PrimaryIdAttribute"] == "opportunityid"
    assert doc["IsOptimisticConcurrencyEnabled"] is True and GUID.match(doc["MetadataId"])
    columns = d365.list("EntityDefinitions(LogicalName='opportunity')/Attributes?$select=LogicalName,SchemaName,"
                        "AttributeType,RequiredLevel,IsValidForCreate,IsValidForUpdate,IsValidForRead")
    kinds = {c["LogicalName"]: c["AttributeType"] for c in columns}
    assert kinds["estimatedvalue"] == "Money" and kinds["ownerid"] == "Owner" and kinds["statuscode"] == "Status"
    assert kinds["msft_howcanmicrosofthelp"] == "Picklist" and kinds["msft_syncwithpartnercenter"] == "Boolean"


def test_choice_and_status_options(d365):
    base = "EntityDefinitions(LogicalName='opportunity')/Attributes"
    doc = d365.get(base + "(LogicalName='msft_howcanmicrosofthelp')/Microsoft.Dynamics.CRM.PicklistAttributeMetadata"
                   "?$select=LogicalName&$expand=OptionSet").json()
    labels = [o["Label"]["UserLocalizedLabel"]["Label"] for o in doc["OptionSet"]["Options"]]
    assert "General Or Other" in labels and len(labels) == 6
    rows = d365.list(base + "/Microsoft.Dynamics.CRM.StatusAttributeMetadata?$expand=OptionSet")
    assert {o["Value"]: o["State"] for o in rows[0]["OptionSet"]["Options"]} == {1: 0, 2: 0, 3: 1, 4: 2, 5: 2}
    sizes = d365.list(base + "/Microsoft.Dynamics.CRM.StringAttributeMetadata?$select=LogicalName,MaxLength")
    assert {s["LogicalName"]: s["MaxLength"] for s in sizes}["msft_referrallink"] == 500
    money = d365.list(base + "/Microsoft.Dynamics.CRM.MoneyAttributeMetadata?$select=LogicalName,PrecisionSource")
    assert {m["LogicalName"]: m["PrecisionSource"] for m in money}["estimatedvalue"] == 2
    assert d365.get(base + "?$expand=OptionSet").status_code == 400
    picked = d365.list(base + "?$select=LogicalName&$filter=AttributeType eq "
                       "Microsoft.Dynamics.CRM.AttributeTypeCode'State'")
    assert [p["LogicalName"] for p in picked] == ["statecode"]


def test_relationships_and_keys(d365):
    rows = d365.list("EntityDefinitions(LogicalName='msft_microsoftsolution')/ManyToOneRelationships?$select="
                     "ReferencingAttribute,ReferencingEntityNavigationPropertyName,ReferencedEntity")
    assert {r["ReferencingAttribute"]: r["ReferencingEntityNavigationPropertyName"] for r in rows
            if r["ReferencedEntity"] == "opportunity"} == {"msft_opportunityid": "msft_OpportunityId"}
    rows = d365.list("EntityDefinitions?$select=SchemaName&$expand=Keys($select=KeyAttributes)")
    keys = {r["SchemaName"]: r["Keys"] for r in rows}
    assert keys["msft_MicrosoftSolutionDetail"][0]["KeyAttributes"] == ["msft_solutionidentifier"]
    assert d365.get("EntityDefinitions(LogicalName='nosuch')").status_code == 404


# Control API


def test_columns_and_tables_can_be_added(d365):
    refused(d365.get("opportunities?$select=new_tier"), 400, "0x80060888")
    version = d365.get("accounts?$top=1", prefer='odata.include-annotations="*"').json()[
        "@Microsoft.Dynamics.CRM.globalmetadataversion"]
    d365.control("POST", "columns", {"table": "opportunity", "name": "new_Tier", "type": "choice",
                                     "options": [[1, "Gold"], [2, "Silver"]]})
    id = d365.make("opportunities", name="tier", new_tier=2)
    assert d365.get("opportunities(%s)?$select=new_tier" % id).json()["new_tier"] == 2
    refused(d365.ask("POST", "opportunities", {"new_tier": 3}), 400, "0x8004431A")
    assert version != d365.get("accounts?$top=1", prefer='odata.include-annotations="*"').json()[
        "@Microsoft.Dynamics.CRM.globalmetadataversion"]
    d365.control("POST", "tables", {"name": "new_Thing", "set": "new_things", "primary_name": "new_name",
                                    "columns": [{"name": "new_Name", "type": "text", "max": 10}]})
    d365.make("new_things", new_name="thing")
    assert d365.control("GET", "new_things")[0]["new_name"] == "thing"
    d365.control("DELETE", "columns/opportunity.new_tier")
    refused(d365.get("opportunities?$select=new_tier"), 400, "0x80060888")


def test_person_edits_a_row(d365):
    row = d365.control("POST", "opportunities", {"name": "person", "ownerid": PERSON, "parentaccountid": FABRIKAM})
    id = row["opportunityid"]
    changed = d365.control("PATCH", "opportunities/" + id, {"name": "edited", "statecode": 1, "parentaccountid": None})
    assert changed["name"] == "edited" and changed["statuscode"] == 3 and changed["_modifiedby_value"] == PERSON
    assert changed["_parentaccountid_value"] is None
    assert changed["versionnumber"] > row["versionnumber"]
    assert d365.control("GET", "opportunities/" + id)["name"] == "edited"
    assert id in json.dumps(d365.control("GET", "state")["opportunities"])
    d365.control("DELETE", "opportunities/" + id)
    assert requests.get("%s/opportunities/%s" % (d365.box, id)).status_code == 404


def test_request_log_holds_no_secret(d365):
    d365.token()
    d365.ask("POST", "accounts", {"name": "logged"})
    text = json.dumps(d365.control("GET", "requests"))
    assert SECRET not in text and d365.http.headers["Authorization"][7:] not in text
    assert "logged" in text
    by = d365.control("GET", "requests/summary")["by"]
    assert by["POST /api/data/v9.2/accounts"]["204"] >= 1


def test_seed_file_and_socket(tmp_path):
    seed = {"rows": {"account": [{"accountid": str(uuid.UUID(int=9)), "name": "Only one"}]},
            "keys": {"opportunity": [{"name": "new_key", "columns": ["msft_referralidentifier"]}]},
            "columns": [{"table": "account", "name": "new_Segment", "type": "text", "max": 20}]}
    path = tmp_path / "seed.json"
    path.write_text(json.dumps(seed))
    one = Server("--seed", str(path))
    try:
        assert [r["name"] for r in one.list("accounts?$select=name,new_segment")] == ["Only one"]
        assert one.list("opportunities") == [] and len(one.list("transactioncurrencies")) == 5
        with socket.create_connection(("127.0.0.1", int(one.line["base"].rpartition(":")[2]))) as s:
            s.sendall(b"GET /api/data/v9.2/WhoAmI HTTP/1.1\r\nHost: x\r\n\r\n")
            assert s.recv(100).startswith(b"HTTP/1.1 401 ")
    finally:
        assert one.stop() == 0


def test_https(tmp_path):
    key, cert = certificate()
    (tmp_path / "cert").write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    (tmp_path / "key").write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    process = subprocess.Popen([os.path.join(HERE, "dynamics365"), "--with-stdin", "--tls", str(tmp_path / "cert"),
                                str(tmp_path / "key")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        line = json.loads(process.stdout.readline())
        assert line["api"].startswith("https://")
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(line["sandbox"] + "/health", timeout=10)
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        form = urllib.parse.urlencode({"grant_type": "client_credentials", "client_id": APP, "client_secret": SECRET,
                                       "scope": line["base"] + "/.default"}).encode()
        token = json.load(urllib.request.urlopen(line["token"], form, 10, context=context))["access_token"]
        ask = urllib.request.Request(line["api"] + "/accounts", b'{"name":"tls"}',
                                     {"Authorization": "Bearer " + token, "Content-Type": "application/json"})
        answer = urllib.request.urlopen(ask, timeout=10, context=context)
        assert answer.status == 204 and answer.headers["OData-EntityId"].startswith(line["api"] + "/accounts(")
    finally:
        process.stdin.close()
        assert process.wait(5) == 0
        process.stdout.close()
