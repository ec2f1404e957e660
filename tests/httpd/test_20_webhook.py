"""Each row of the webhook's contract, and each negative case of the signature."""

import base64
import http.server
import json
import os
import threading
import uuid

import pytest

from harness import Event, post, wait_for
from harness.events import RESOURCE
from harness.storm import request_bytes

NAME = "pcnotifications-dispatch.microsoft.com"


class CertificateHost:
    """Serves whatever a test wants under /cert/<name>.cer, and counts."""

    def __init__(self):
        self.files = {}
        self.hits = []
        host = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                host.hits.append(self.path)
                status, headers, body = host.files.get(self.path, (404, {}, b""))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *ignored):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base = "http://127.0.0.1:%d" % self.http.server_port
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def serve(self, body=b"", status=200, headers=None, name=None):
        """A new URL that answers this."""
        path = "/cert/%s.cer" % (name or uuid.uuid4().hex)
        self.files[path] = (status, headers or {}, body)
        return self.base + path

    def asked(self, url):
        return self.hits.count(url[len(self.base):])

    def close(self):
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture(scope="module")
def host():
    host = CertificateHost()
    yield host
    host.close()


@pytest.fixture(scope="module")
def world(world_of, host):
    world = world_of("webhook")
    world.replace("CosellSignature", world.directive("CosellSignature") + " url=%s/cert/*.cer name=%s" % (host.base, NAME))
    world.server.globals_.append("LimitRequestBody 1048576")
    return world.start().ready()


def stored(world):
    return world.stored() if os.path.exists(world.server.database) else 0


def refused(world, status, answer_of, why=None):
    """The request gets this status and leaves no trace in the store; the log says why in a line of info."""
    before = stored(world)
    answer = answer_of()
    assert answer.status == status, (answer.status, answer.body[:200])
    assert stored(world) == before
    if why:
        wait_for(lambda: world.server.log.matching(why), 5, "the log to say %r" % why)
    return answer


# 200


@pytest.mark.parametrize("header", ["x-ms-signature", "Authorization"])
def test_authentic_event_is_durable(world, header):
    referral = str(uuid.uuid4())
    before = stored(world)
    answer = world.send(Event("referral-created", referral), header=header)
    assert (answer.status, answer.body) == (200, b"")
    assert stored(world) == before + 1
    rows = world.server.sql("SELECT * FROM delivery ORDER BY id DESC LIMIT 1")
    assert rows[0]["site"] == "contoso" and referral in json.dumps(rows[0], default=str)


@pytest.mark.parametrize("key", ["3072", "4096"])
def test_larger_keys(world, host, key):
    url = host.serve(world.pki.read(key + ".der"))
    assert world.send(Event(referral=uuid.uuid4()), cert_url=url, key=key).status == 200


@pytest.mark.parametrize("form", ["pem", "base64", "base64-lines"])
def test_certificate_forms(world, host, form):
    der = world.pki.read("leaf.der")
    body = {"pem": world.pki.read("leaf.pem"), "base64": base64.b64encode(der), "base64-lines": base64.encodebytes(der)}[form]
    assert world.send(Event(referral=uuid.uuid4()), cert_url=host.serve(body)).status == 200


def test_scheme_in_any_case_and_more_blanks(world):
    for scheme in ("signature ", "SIGNATURE ", "Signature    "):
        assert world.send(Event(referral=uuid.uuid4()), scheme=scheme).status == 200


def test_algorithm_in_any_case(world):
    event = Event(referral=uuid.uuid4())
    headers = event.headers(world.pki, world.cert_url)
    headers["X-MS-Signature-Algorithm"] = "RSA-SHA256"
    assert post(world.server.webhook, event.body, headers).status == 200


def test_content_type_with_charset(world):
    event = Event(referral=uuid.uuid4())
    headers = {**event.headers(world.pki, world.cert_url), "Content-Type": "application/json; charset=utf-8"}
    assert post(world.server.webhook, event.body, headers).status == 200


def test_non_ascii_body(world):
    assert world.send(Event(referral=uuid.uuid4(), Note="Müller & Søn, 東京 🚀")).status == 200


def test_chunked_body(world):
    import http.client
    event = Event(referral=uuid.uuid4())
    connection = http.client.HTTPConnection("127.0.0.1", world.server.port, timeout=10)
    pieces = [event.body[:17], event.body[17:40], event.body[40:]]
    connection.request("POST", "/partner-center", body=iter(pieces), headers=event.headers(world.pki, world.cert_url),
                       encode_chunked=False)
    assert connection.getresponse().status == 200
    connection.close()


def test_test_event_leaves_a_row_and_no_work(world):
    before, works = stored(world), world.server.count("work")
    event = Event("test-created", uri="http://api.partnercenter.microsoft.com/webhooks/v1/registration/validationEvents/%s"
                  % uuid.uuid4(), ResourceName="test")
    assert world.send(event).status == 200
    assert stored(world) == before + 1 and world.server.count("work") == works


@pytest.mark.parametrize("name", ["subscription-updated", "azure-fraud-event-detected", "an-event-of-tomorrow"])
def test_unknown_name_leaves_a_row_and_no_work(world, name):
    before, works = stored(world), world.server.count("work")
    assert world.send(Event(name, uri=None, ResourceUri=None, ResourceName="Customer")).status == 200
    assert stored(world) == before + 1 and world.server.count("work") == works


def test_unknown_referral_is_accepted(world):
    assert world.send(Event("related-referral-updated", uuid.uuid4())).status == 200


def test_duplicates_are_accepted(world):
    event = Event(referral=uuid.uuid4())
    assert [world.send(event).status for _ in range(3)] == [200, 200, 200]


@pytest.mark.parametrize("uri", [RESOURCE + "not-a-guid", RESOURCE, "", "https://evil.example/" + "a" * 2000])
def test_resource_without_guid_is_kept_with_its_problem(world, uri):
    assert world.send(Event("referral-updated", uri=uri)).status == 200
    row = world.server.sql("SELECT * FROM delivery ORDER BY id DESC LIMIT 1")[0]
    assert row["problem"], row


def test_resource_uri_yields_only_a_guid(world):
    """The address in an event is never used: the runner asks its own Partner Center about the GUID."""
    referral = world.refer()
    since = world.partner.last_request()
    event = Event("referral-updated", uri="http://127.0.0.1:1/x/../" + referral["id"].upper())
    assert world.send(event).status == 200
    wait_for(lambda: world.partner.requests("referrals/" + referral["id"], "GET", since), 10, "the referral to be read")


# 400


def test_no_signature(world):
    event = Event(referral=uuid.uuid4())
    headers = event.headers(world.pki, world.cert_url)
    del headers["x-ms-signature"]
    refused(world, 400, lambda: post(world.server.webhook, event.body, headers))


def test_both_signature_headers(world):
    event = Event(referral=uuid.uuid4())
    headers = event.headers(world.pki, world.cert_url)
    headers["Authorization"] = headers["x-ms-signature"]
    refused(world, 400, lambda: post(world.server.webhook, event.body, headers))


def test_foreign_authorization_is_no_second_signature(world):
    event = Event(referral=uuid.uuid4())
    headers = {**event.headers(world.pki, world.cert_url), "Authorization": "Bearer abc"}
    assert post(world.server.webhook, event.body, headers).status == 200


@pytest.mark.parametrize("name", ["X-MS-Certificate-Url", "X-MS-Signature-Algorithm"])
def test_missing_header(world, name):
    event = Event(referral=uuid.uuid4())
    headers = event.headers(world.pki, world.cert_url)
    del headers[name]
    refused(world, 400, lambda: post(world.server.webhook, event.body, headers))


@pytest.mark.parametrize("body", [b"[]", b"\"text\"", b"{", b"{\"EventName\":}", b"not json", b"\xef\xbb\xbf{\"EventName\":\"referral-updated\"}",
                                  b"{\"EventName\":\"\xff\xfe\"}", b"{" * 5000, b"{}{}"],
                         ids=["array", "string", "open", "no-value", "words", "bom", "not-utf8", "deep", "two"])
def test_authentic_but_no_object(world, body):
    refused(world, 400, lambda: world.send(Event(body=body)))


def test_empty_body(world):
    refused(world, 400, lambda: world.send(Event(body=b"")))


# 401


def test_flipped_byte(world):
    event = Event(referral=uuid.uuid4())
    headers = event.headers(world.pki, world.cert_url)
    body = bytearray(event.body)
    body[20] ^= 1
    refused(world, 401, lambda: post(world.server.webhook, bytes(body), headers))


def test_wrong_key(world):
    refused(world, 401, lambda: world.send(Event(referral=uuid.uuid4()), key="wrong"))


def test_bodies_of_refusals_are_one(world, host):
    bodies = {world.send(Event(referral=uuid.uuid4()), key="wrong").body,
              world.send(Event(referral=uuid.uuid4()), cert_url="https://elsewhere.example/cert/a.cer").body,
              world.send(Event(referral=uuid.uuid4()), key="untrusted",
                         cert_url=host.serve(world.pki.read("untrusted.der"))).body}
    assert len(bodies) == 1


@pytest.mark.parametrize("value", ["Signature", "Signature ", "Signature !!!!", "Basic QUJD", "Signature QUJD",
                                   "Signature " + base64.b64encode(b"x" * 255).decode(),
                                   "Signature " + base64.b64encode(b"x" * 257).decode(),
                                   "Signature " + base64.b64encode(b"x" * 513).decode(),
                                   "Signature " + base64.b64encode(b"x" * 256).decode().rstrip("="),
                                   "Signature " + base64.urlsafe_b64encode(b"\xff\xfe" * 128).decode(), "Signature" + "A" * 344],
                         ids=["no-value", "blank", "no-base64", "scheme", "short", "255", "257", "513", "no-padding", "urlsafe",
                              "no-blank"])
def test_signature_header_not_good(world, value):
    event = Event(referral=uuid.uuid4())
    headers = {**event.headers(world.pki, world.cert_url), "x-ms-signature": value}
    refused(world, 401, lambda: post(world.server.webhook, event.body, headers))


@pytest.mark.parametrize("algorithm", ["rsa-sha1", "rsa-md5", "sha256", "ecdsa-sha256", "rsa-sha256-x"])
def test_algorithm_not_allowed(world, algorithm):
    event = Event(referral=uuid.uuid4())
    headers = {**event.headers(world.pki, world.cert_url), "X-MS-Signature-Algorithm": algorithm}
    refused(world, 401, lambda: post(world.server.webhook, event.body, headers))


def test_certificate_url_not_configured(world, host):
    own = host.base
    urls = ["https://elsewhere.example/cert/%s.cer" % NAME, "http://elsewhere.example/cert/%s.cer" % NAME, own + "/other/a.cer",
            own + "/cert/a.pem", own + "/cert/a.cer?x=1", own + "/cert/a.cer#x", own + "/cert/../a.cer", own + "/cert/%61.cer",
            own + "/cert/a/b.cer", own.replace("http://", "http://user@") + "/cert/a.cer", "file:///etc/passwd", "//", "x",
            world.cert_url + "x", world.cert_url.replace("http:", "HTTP:") + "/", world.cert_url[:-1],
            own.replace("127.0.0.1", "127.0.0.1.example") + "/cert/a.cer"]
    before = len(host.hits)
    for url in urls:
        refused(world, 401, lambda: world.send(Event(referral=uuid.uuid4()), cert_url=url))
    assert len(host.hits) == before


@pytest.mark.parametrize("name", ["wrong-issuer", "untrusted", "other-subject", "other-name"])
def test_certificate_not_good(world, host, name):
    world.server.log.announce("certificate")
    url = host.serve(world.pki.read(name + ".der"))
    refused(world, 401, lambda: world.send(Event(referral=uuid.uuid4()), key=name, cert_url=url))


@pytest.mark.parametrize("name", ["expired", "not-yet-valid"])
def test_certificate_outside_its_validity(world, host, name):
    """401 for a certificate that is no good, or 503 for one that a renewal may replace; never a 2xx."""
    world.server.log.announce("certificate")
    url = host.serve(world.pki.read(name + ".der"))
    answer = world.send(Event(referral=uuid.uuid4()), key=name, cert_url=url)
    assert answer.status in (401, 503)


@pytest.mark.parametrize("name", ["small", "ec"])
def test_key_not_good(world, host, name):
    world.server.log.announce("certificate")
    url = host.serve(world.pki.read(name + ".der"))
    event = Event(referral=uuid.uuid4())
    headers = event.headers(world.pki, url)
    assert post(world.server.webhook, event.body, headers).status in (401, 503)


# 405, 413, 415


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_only_post(world, method):
    answer = post(world.server.webhook, method=method)
    assert answer.status == 405
    assert answer.headers["allow"] == "POST"


def test_too_large(world):
    event = Event(referral=uuid.uuid4(), Filler="x" * 2_000_000)
    refused(world, 413, lambda: world.send(event))


def test_limit_holds_without_a_length(world):
    import socket
    with socket.create_connection(("127.0.0.1", world.server.port), 10) as sock:
        event = Event(body=b"x")
        head = request_bytes(world.server.webhook, b"", event.headers(world.pki, world.cert_url))
        head = head.replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
        chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
        answer = b""
        try:
            sock.sendall(head)
            for _ in range(64):
                sock.sendall(chunk)
            sock.sendall(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            pass
        try:
            answer = sock.recv(4096)
        except ConnectionResetError:
            pass
        assert not answer or answer.startswith(b"HTTP/1.1 413"), answer[:100]
    assert world.server.static_served()


@pytest.mark.parametrize("media", ["text/plain", "application/xml", "application/jsonx", None])
def test_content_type(world, media):
    event = Event(referral=uuid.uuid4())
    headers = event.headers(world.pki, world.cert_url)
    headers["Content-Type"] = media
    if media is None:
        del headers["Content-Type"]
    refused(world, 415, lambda: post(world.server.webhook, event.body, headers))


# 503 and the fetching of certificates


@pytest.mark.parametrize("fault", ["redirect", "404", "500", "oversized", "empty"])
def test_no_certificate_is_503(world, host, fault):
    world.server.log.announce("certificate")
    target = host.serve(world.pki.read("leaf.der"))
    url = {"redirect": lambda: host.serve(status=302, headers={"Location": target}), "404": lambda: host.serve(status=404),
           "500": lambda: host.serve(status=500), "oversized": lambda: host.serve(world.pki.read("leaf.der") + b"\0" * 70000),
           "empty": lambda: host.serve(b"")}[fault]()
    answer = world.send(Event(referral=uuid.uuid4()), cert_url=url)
    assert answer.status == 503 and answer.headers.get("retry-after", "").isdigit()
    assert answer.seconds < 4
    assert host.asked(target) == 0


def test_garbage_for_a_certificate(world, host):
    world.server.log.announce("certificate")
    answer = world.send(Event(referral=uuid.uuid4()), cert_url=host.serve(b"<html>no</html>"))
    assert answer.status in (401, 503)


def test_one_wish_per_url(world, host):
    """Requests that wait for the same certificate cost one fetch."""
    url = host.serve(world.pki.read("leaf.der"))
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(world.send(Event(referral=uuid.uuid4()), cert_url=url).status))
               for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers.count(200) >= 1 and set(answers) <= {200, 503}
    assert host.asked(url) == 1


def test_renewal_without_notice(world, host):
    """A new certificate appears at the same address; the old one was fetched more than a minute ago."""
    url = host.serve(world.pki.read("leaf.der"), name="renewal")
    assert world.send(Event(referral=uuid.uuid4()), cert_url=url).status == 200
    host.serve(world.pki.read("renewed.der"), name="renewal")
    early = world.send(Event(referral=uuid.uuid4()), cert_url=url, key="renewed")
    assert early.status == 401 and early.seconds < 1, "a signature under a fresh certificate is refused at once"
    world.server.clock(advance=90)
    try:
        wait_for(lambda: world.send(Event(referral=uuid.uuid4()), cert_url=url, key="renewed").status == 200, 10,
                 "the renewed certificate to be fetched")
        refused(world, 401, lambda: world.send(Event(referral=uuid.uuid4()), cert_url=url, key="leaf"))
    finally:
        world.server.clock(offset=0)


def test_certificates_are_transported_only(world, host):
    """What the runner stores is what was served, under the name of its address."""
    import hashlib
    url = host.serve(world.pki.read("leaf.pem"))
    assert world.send(Event(referral=uuid.uuid4()), cert_url=url).status == 200
    path = os.path.join(world.server.state, "certs", hashlib.sha256(url.encode()).hexdigest())
    with open(path, "rb") as file:
        assert file.read() == world.pki.read("leaf.pem")
    assert os.stat(path).st_mode & 0o777 == 0o600


# Registered at the simulator, as in real life


def test_delivery_by_partner_center(world):
    """The simulator's own delivery, to the URL registered through its API, reaches the store."""
    world.partner.post("registration", {"WebhookUrl": world.server.webhook, "SignatureTokenToMsSignatureHeader": True,
                                        "WebhookEvents": ["referral-created", "referral-updated", "related-referral-created",
                                                          "related-referral-updated"]})
    try:
        referral = world.refer()
        wait_for(lambda: world.server.sql("SELECT 1 FROM delivery WHERE names LIKE ?", "%" + referral["id"] + "%"), 10,
                 "the delivery to be stored")
    finally:
        world.partner.delete("registration")


def test_static_file_beside(world):
    assert world.server.static_served()
