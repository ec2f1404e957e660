"""What the tests of the Dynamics 365 simulator share: a server, and a client that knows only the documents."""
import json
import os
import re
import subprocess
import time
import uuid

import requests

HERE = os.path.dirname(os.path.realpath(__file__))
APP, SECRET = "00000000-0000-4000-8000-0000000000c1", "sandbox-secret~1"
PERSON, BEN = ("00000000-0000-4000-8000-00000000001%d" % n for n in (1, 2))
ORG_USER = "00000000-0000-4000-8000-00000000001f"
FABRIKAM, LITWARE = ("00000000-0000-4000-8000-00000000004%d" % n for n in (1, 2))
DORA = "00000000-0000-4000-8000-000000000051"
USD, EUR, JPY, KWD = ("00000000-0000-4000-8000-00000000002%d" % n for n in (1, 2, 4, 5))
GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
NAMES = {"match": "If-Match", "none_match": "If-None-Match", "prefer": "Prefer"}


class Server:
    def __init__(self, *args):
        self.process = subprocess.Popen([os.path.join(HERE, "dynamics365"), "--with-stdin", *args],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.line = json.loads(self.process.stdout.readline())
        self.api, self.box = self.line["api"], self.line["sandbox"]
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
        data = {"grant_type": "client_credentials", "client_id": APP, "client_secret": SECRET,
                "scope": self.line["base"] + "/.default", **form}
        return requests.post(self.line["token"], data={k: v for k, v in data.items() if v is not None})

    def login(self):
        answer = self.token()
        assert answer.status_code == 200, answer.text
        self.http.headers["Authorization"] = "Bearer " + answer.json()["access_token"]

    def reset(self):
        self.control("DELETE", "faults")
        self.control("POST", "options", self.before)
        self.control("POST", "lag", {"seconds": 0, "list_seconds": 0})
        self.control("POST", "clock", {"offset": 0, "rate": 1})

    def ask(self, method, path, body=None, **headers):
        url = path if path.startswith("http") else self.api + "/" + path
        headers = {NAMES.get(k, k.replace("_", "-")): v for k, v in headers.items()}
        headers.update({"Accept": "application/json", "OData-MaxVersion": "4.0", "OData-Version": "4.0"})
        data = None
        if body is not None:
            headers.setdefault("Content-Type", "application/json; charset=utf-8")
            data = body if isinstance(body, (bytes, str)) else json.dumps(body)
        return self.http.request(method, url, data=data, headers=headers, timeout=10)

    def get(self, path, **headers):
        return self.ask("GET", path, **headers)

    def row(self, path, **headers):
        answer = self.get(path, **headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def list(self, path, **headers):
        return self.row(path, **headers)["value"]

    def make(self, entity_set, **columns):
        answer = self.ask("POST", entity_set, columns)
        assert answer.status_code == 204, answer.text
        entity = answer.headers["OData-EntityId"]
        return entity[entity.rindex("(") + 1:-1]

    def patch(self, path, **columns):
        answer = self.ask("PATCH", path, columns, match="*")
        assert answer.status_code == 204, answer.text

    def control(self, method, path, body=None):
        answer = requests.request(method, self.box + "/" + path, json=body, timeout=10)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def options(self, **values):
        return self.control("POST", "options", values)


class Part:
    """One answer of a batch."""

    def __init__(self, text, content_id):
        line, _, rest = text.partition("\r\n")
        head, _, self.text = rest.partition("\r\n\r\n")
        m = re.match(r"HTTP/1\.1 (\d{3}) \S", line)
        assert m, text
        self.status = int(m.group(1))
        self.headers = dict(h.split(": ", 1) for h in head.split("\r\n") if h)
        self.content_id = content_id
        self.set = None

    def json(self):
        return json.loads(self.text)


def split(text, boundary):
    """Parts of a multipart answer: (MIME headers, content)."""
    chunks = text.split("--" + boundary)
    assert chunks[0].strip() == "" and chunks[-1].strip() == "--", text
    out = []
    for chunk in chunks[1:-1]:
        head, _, content = chunk.lstrip("\r\n").partition("\r\n\r\n")
        out.append((dict(h.split(": ", 1) for h in head.split("\r\n")), content))
    return out


def parts_of(answer):
    m = re.match(r"multipart/mixed; boundary=(batchresponse_[\w-]+)\Z", answer.headers["Content-Type"])
    assert m, answer.headers["Content-Type"]
    out = []
    for mime, content in split(answer.content.decode(), m.group(1)):
        if mime["Content-Type"].startswith("multipart/mixed; boundary=changesetresponse_"):
            inner = split(content, mime["Content-Type"].partition("boundary=")[2])
            parts = [Part(c, h["Content-ID"]) for h, c in inner]
            for part in parts:
                part.set = mime["Content-Type"]
            out.append(parts)
            continue
        assert mime["Content-Type"] == "application/http"
        assert mime["Content-Transfer-Encoding"] == "binary"
        out.append(Part(content, mime.get("Content-ID")))
    return out


def http_part(method, url, body=None, headers=None, content_id=None):
    lines = ["Content-Type: application/http", "Content-Transfer-Encoding: binary"]
    if content_id is not None:
        lines.append("Content-ID: %s" % content_id)
    lines += ["", "%s %s HTTP/1.1" % (method, url)]
    if body is not None:
        lines.append("Content-Type: application/json; type=entry")
    lines += ["%s: %s" % h for h in (headers or {}).items()]
    lines += ["", json.dumps(body) if body is not None else ""]
    return "\r\n".join(lines) + "\r\n"


def batch_body(items, boundary="batch_1"):
    """Each item is a part, or a list of parts that form a change set."""
    out = []
    for n, item in enumerate(items):
        out.append("--%s\r\n" % boundary)
        if isinstance(item, list):
            inner = "changeset_%d" % n
            out.append('Content-Type: multipart/mixed; boundary="%s"\r\n\r\n' % inner)
            out += ["--%s\r\n%s" % (inner, part) for part in item]
            out.append("--%s--\r\n\r\n" % inner)
        else:
            out.append(item)
    out.append("--%s--\r\n" % boundary)
    return "".join(out)


def batch(server, *items, quoted=True, **headers):
    mark = '"batch_1"' if quoted else "batch_1"
    return server.ask("POST", "$batch", batch_body(items).encode(),
                      **{"Content-Type": "multipart/mixed; boundary=" + mark, **headers})


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
