"""What the tests of the Salesforce simulator share: a server, and a client that knows only the documents."""
import base64
import datetime
import email.utils
import json
import os
import re
import subprocess
import time
import uuid

import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

HERE = os.path.dirname(os.path.realpath(__file__))
APP, SECRET = "3MVG9.sandbox.consumer.key.1", "sandbox-secret~1"
ADA, BEN, CLEO, CONNECTOR = ("0055g000000000%dAAA" % n for n in (1, 2, 3, 9))
FABRIKAM, LITWARE = "0015g0000000001AAA", "0015g0000000002AAA"
DORA, ELI = "0035g0000000001AAA", "0035g0000000002AAA"
SEEDED = "0065g0000000001AAA"
ID = re.compile(r"[a-zA-Z0-9]{18}\Z")
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000\+0000\Z")
DEAL = {"Name": "Deal", "StageName": "Prospecting", "CloseDate": "2030-01-31"}


class Server:
    def __init__(self, *args):
        self.process = subprocess.Popen([os.path.join(HERE, "salesforce"), "--with-stdin", *args],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.line = json.loads(self.process.stdout.readline())
        self.api, self.box, self.base = self.line["api"], self.line["sandbox"], self.line["base"]
        self.root = "/services/data/v60.0"
        self.http = requests.Session()
        self.before = self.control("GET", "options")
        self.login()

    def stop(self):
        self.process.stdin.close()
        try:
            return self.process.wait(5)
        finally:
            self.process.stdout.close()

    def token(self, **form):
        data = {"grant_type": "client_credentials", "client_id": APP, "client_secret": SECRET, **form}
        return requests.post(self.line["token"], data={k: v for k, v in data.items() if v is not None}, timeout=10)

    def login(self):
        answer = self.token()
        assert answer.status_code == 200, answer.text
        self.http.headers["Authorization"] = "Bearer " + answer.json()["access_token"]

    def reset(self):
        for what in ("faults", "quirks", "outbound", "requests"):
            self.control("DELETE", what)
        self.control("POST", "clock", {"offset": 0, "rate": 1})
        self.control("POST", "options", self.before)
        self.control("POST", "lag", {"seconds": 0, "list_seconds": 0})
        self.control("POST", "limits", {"used": 0, "concurrent": 0})
        self.control("POST", "tokens", {"fail": None, "expires_in": None, "idle": 7200, "rotate": False})
        self.control("POST", "outbound/silent", {"users": []})
        self.control("POST", "assignment", {})

    def ask(self, method, path, body=None, **headers):
        if path.startswith("http"):
            url = path
        else:
            url = self.base + path if path.startswith("/") else self.api + "/" + path
        headers = {k.replace("_", "-"): v for k, v in headers.items()}
        data = None
        if body is not None:
            headers.setdefault("Content-Type", "application/json; charset=UTF-8")
            data = body if isinstance(body, (bytes, str)) else json.dumps(body)
        return self.http.request(method, url, data=data, headers=headers, timeout=10)

    def get(self, path, **headers):
        return self.ask("GET", path, **headers)

    def row(self, table, id, fields=None):
        answer = self.get("sobjects/%s/%s%s" % (table, id, "?fields=" + fields if fields else ""))
        assert answer.status_code == 200, answer.text
        return answer.json()

    def make(self, table="Opportunity", **values):
        if table == "Opportunity":
            values = {**DEAL, **values}
        answer = self.ask("POST", "sobjects/%s/" % table, values)
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    def patch(self, table, id, **values):
        answer = self.ask("PATCH", "sobjects/%s/%s" % (table, id), values)
        assert answer.status_code == 204, answer.text

    def query(self, text, everything=False, **headers):
        answer = self.http.get(self.api + ("/queryAll" if everything else "/query"), params={"q": text},
                               headers={k.replace("_", "-"): v for k, v in headers.items()}, timeout=10)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def rows(self, text, everything=False):
        found = self.query(text, everything)
        assert found["done"] is True and found["totalSize"] == len(found["records"])
        return found["records"]

    def column(self, text, everything=False):
        """The values of the one field selected."""
        return [next(v for k, v in r.items() if k != "attributes") for r in self.rows(text, everything)]

    def control(self, method, path, body=None):
        answer = requests.request(method, self.box + "/" + path, json=body, timeout=10)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def options(self, **values):
        return self.control("POST", "options", values)

    def sub(self, method, path, name, body=None, headers=None):
        """One subrequest of a composite call."""
        out = {"method": method, "url": path if path.startswith("/") else "%s/%s" % (self.root, path),
               "referenceId": name}
        if body is not None:
            out["body"] = body
        if headers:
            out["httpHeaders"] = headers
        return out

    def composite(self, *subs, **more):
        answer = self.ask("POST", "composite", {"compositeRequest": list(subs), **more})
        assert answer.status_code == 200, answer.text
        found = answer.json()["compositeResponse"]
        assert [f["referenceId"] for f in found] == [s["referenceId"] for s in subs]
        for one in found:
            assert set(one) == {"body", "httpHeaders", "httpStatusCode", "referenceId"}
        return found

    def used(self):
        """Calls counted so far; asking counts, too."""
        header = self.get("limits").headers["Sforce-Limit-Info"]
        return int(re.match(r"api-usage=(\d+)/\d+\Z", header).group(1))


def unique(prefix="n"):
    return prefix + uuid.uuid4().hex


def refused(answer, status, code, *fields):
    """The one error of a REST answer; its message."""
    assert answer.status_code == status, answer.text
    errors = answer.json()
    assert isinstance(errors, list) and len(errors) == 1, answer.text
    assert errors[0]["errorCode"] == code, answer.text
    assert errors[0]["message"]
    if fields:
        assert errors[0]["fields"] == list(fields), answer.text
    return errors[0]["message"]


def wait_for(condition, seconds=5):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError("the condition did not come true")


def seconds_of(text):
    """Of 2026-01-31T10:00:00.000+0000."""
    assert STAMP.match(text), text
    return int(datetime.datetime.strptime(text[:19], "%Y-%m-%dT%H:%M:%S").replace(
        tzinfo=datetime.timezone.utc).timestamp())


def http_date(seconds):
    return email.utils.formatdate(seconds, usegmt=True)


class Signer:
    """A key with a self-signed certificate, and the assertions it signs."""

    def __init__(self):
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "connector")])
        now = datetime.datetime.utcnow()
        certificate = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(self.key.public_key())
                       .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
                       .not_valid_after(now + datetime.timedelta(days=30)).sign(self.key, hashes.SHA256()))
        self.pem = certificate.public_bytes(serialization.Encoding.PEM).decode()

    def assertion(self, header=None, **claims):
        claims = {"iss": APP, "sub": "cosell@contoso.example", "aud": "https://login.salesforce.com",
                  "exp": int(time.time()) + 120, **claims}
        parts = [base64.urlsafe_b64encode(json.dumps(one).encode()).rstrip(b"=")
                 for one in (header or {"alg": "RS256"}, claims)]
        signature = self.key.sign(b".".join(parts), padding.PKCS1v15(), hashes.SHA256())
        return b".".join(parts + [base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()
