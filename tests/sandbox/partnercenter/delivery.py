"""Signing and delivering events, and the certificate they are signed under."""

import asyncio
import base64
import collections
import itertools
import json
import os
import random
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import aiohttp
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding

from simlib import Reply, iso, parse_iso, pki

CERTIFICATE_PATH = "/cert/" + pki.NAME + ".cer"
ATTEMPTS = 10
TIMEOUT = 30.0
KEPT = 20_000
HASHES = {"sha1": hashes.SHA1, "sha256": hashes.SHA256, "sha384": hashes.SHA384, "sha512": hashes.SHA512}
FORMATS = ("der", "pem", "base64")
FAULTS = ("redirect", "oversized", "404", "500", "503", "empty", "garbage", "html")


class Signer:
    """Keys and certificates of the PKI directory by their file names; "wrong" is a key without a certificate."""

    def __init__(self, directory):
        self.directory = directory
        self.names = (*pki.LEAVES, "wrong")
        self._keys = {}
        self.current = "leaf"

    def key(self, name):
        name = name or self.current
        if name not in self.names:
            raise ValueError("unknown key %r; allowed: %s" % (name, ", ".join(self.names)))
        if name not in self._keys:
            with open(os.path.join(self.directory, name + ".key"), "rb") as file:
                self._keys[name] = serialization.load_pem_private_key(file.read(), None)
        return self._keys[name]

    def sign(self, body, name=None, digest="sha256"):
        key, method = self.key(name), HASHES.get(digest, hashes.SHA256)()
        if isinstance(key, ec.EllipticCurvePrivateKey):
            return base64.b64encode(key.sign(body, ec.ECDSA(method))).decode()
        return base64.b64encode(key.sign(body, padding.PKCS1v15(), method)).decode()

    def file(self, name, form):
        with open(os.path.join(self.directory, "%s.%s" % (name, "pem" if form == "pem" else "der")), "rb") as file:
            data = file.read()
        return base64.b64encode(data) if form == "base64" else data


def event_body(name, uri, moment, resource="referral"):
    """Compact, in the order of the documentation; the time with 7 digits and +00:00."""
    event = {"EventName": name, "ResourceUri": uri, "ResourceName": resource, "AuditUri": None,
             "ResourceChangeUtcDate": iso(moment, 7)[:-1] + "+00:00"}
    return json.dumps(event, separators=(",", ":"))


def referral_uri(key):
    return "https://api.partnercenter.microsoft.com/engagements/v1/referrals/" + key


class Delivery:
    __slots__ = ("id", "event", "referral", "url", "body", "header", "key", "attempts", "status", "created", "done")

    def __init__(self, number, event, referral, url, body, header, key, created):
        self.id = number
        self.event = event
        self.referral = referral
        self.url = url
        self.body = body
        self.header = header
        self.key = key
        self.created = created
        self.attempts = []
        self.status = "queued"
        self.done = None

    def state(self):
        return {"id": self.id, "event": self.event, "referral": self.referral, "url": self.url,
                "body": self.body.decode(), "created": self.created, "status": self.status,
                "dead": self.status == "dead", "attempts": self.attempts}


class Courier:
    def __init__(self, sim, signer, backoff, authority=None):
        self.sim = sim
        self.signer = signer
        self.backoff = backoff
        self.authority = authority
        self.registration = lambda: None
        self.deliveries = collections.OrderedDict()
        self._ids = itertools.count(1)
        self._session = None
        self._slots = None
        self._pool = ThreadPoolExecutor(os.cpu_count() or 1)
        self.served = {"file": "leaf", "format": "der", "fault": None}
        sim.started.append(self._open)
        sim.add_route("GET", "/cert/{name}", self.certificate, auth=False)
        sim.add_control("POST", "sign", self.sign)
        sim.add_control("POST", "sign-many", self.sign_many)
        sim.add_control("POST", "deliver", self.deliver)
        sim.add_control("POST", "certificate", self.set_certificate)
        sim.add_control("GET", "certificate", lambda req: self.served)
        sim.add_collection("deliveries", list=self.states, get=self.state)
        sim.add_control("DELETE", "deliveries", self.forget)

    def _open(self):
        verify = False
        if self.authority:
            verify = ssl.create_default_context(cafile=self.authority)
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, ssl=verify),
                                              timeout=aiohttp.ClientTimeout(total=TIMEOUT), auto_decompress=False,
                                              cookie_jar=aiohttp.DummyCookieJar())
        self._slots = asyncio.Semaphore(64)

    # The certificate

    def certificate(self, req):
        name = req.params["name"]
        if name != pki.NAME + ".cer":
            if not name.endswith(".cer") or name[:-4] not in pki.LEAVES:
                return Reply(404, "<?xml version=\"1.0\"?><Error><Code>BlobNotFound</Code></Error>",
                             content_type="application/xml")
            return Reply(200, self.signer.file(name[:-4], "der"), content_type="application/octet-stream")
        fault = self.served["fault"]
        if fault == "redirect":
            return Reply(302, headers={"Location": self.sim.base + "/cert/leaf.cer"})
        if fault in ("404", "500", "503"):
            return Reply(int(fault), "<?xml version=\"1.0\"?><Error><Code>BlobNotFound</Code></Error>",
                         content_type="application/xml")
        data = self.signer.file(self.served["file"], self.served["format"])
        if fault is not None:
            data = {"oversized": data + b"\n" * (1 << 20), "empty": b"", "garbage": os.urandom(700),
                    "html": b"<html><body>service unavailable</body></html>"}[fault]
        return Reply(200, data, content_type="text/html" if fault == "html" else "application/octet-stream")

    def set_certificate(self, req):
        """Also makes deliveries and /sign use the key of that file, as when Microsoft renews its certificate."""
        body = req.json()
        unknown = set(body) - {"file", "format", "fault"}
        if unknown:
            raise ValueError("unknown member %s; allowed: file, format, fault" % ", ".join(sorted(unknown)))
        served = {**self.served, "fault": None, **body}
        if served["file"] not in pki.LEAVES:
            raise ValueError("unknown file %r; allowed: %s" % (served["file"], ", ".join(pki.LEAVES)))
        if served["format"] not in FORMATS:
            raise ValueError("unknown format %r; allowed: %s" % (served["format"], ", ".join(FORMATS)))
        if served["fault"] not in (None, *FAULTS):
            raise ValueError("unknown fault %r; allowed: null, %s" % (served["fault"], ", ".join(FAULTS)))
        self.served = served
        self.signer.current = served["file"]
        return served

    @property
    def certificate_url(self):
        return self.sim.base + CERTIFICATE_PATH

    # Signing on demand

    def sign(self, req):
        query = req.query
        algorithm = query.get("alg", "rsa-sha256")
        signature = self.signer.sign(req.body, query.get("key"), algorithm.lower().rpartition("-")[2])
        return {"headers": self.headers(signature, query.get("header", "x-ms-signature"), algorithm,
                                        query.get("cert_url"))}

    def headers(self, signature, header, algorithm="rsa-sha256", url=None):
        if header not in ("x-ms-signature", "authorization", "both"):
            raise ValueError("header must be x-ms-signature, authorization or both")
        value = "Signature " + signature
        headers = {}
        if header != "authorization":
            headers["x-ms-signature"] = value
        if header != "x-ms-signature":
            headers["Authorization"] = value
        headers["X-MS-Certificate-Url"] = url or self.certificate_url
        headers["X-MS-Signature-Algorithm"] = algorithm
        headers["Content-Type"] = "application/json"
        return headers

    async def sign_many(self, req):
        events = req.json()["events"]
        bodies = [self._body_of(event) for event in events]
        key = req.query.get("key")
        self.signer.key(key)
        loop, share = asyncio.get_running_loop(), max(1, (len(bodies) + 1) // 2)

        def work(part):
            return [{"body": body, "signature": self.signer.sign(body.encode(), key)} for body in part]
        parts = await asyncio.gather(*(loop.run_in_executor(self._pool, work, bodies[at:at + share])
                                       for at in range(0, len(bodies), share)))
        return [entry for part in parts for entry in part]

    def _body_of(self, event):
        name, key, when = event["EventName"], event.get("referral"), event.get("ResourceChangeUtcDate")
        if name == "test-created":
            uri, resource = "http://api.partnercenter.microsoft.com/webhooks/v1/registration/validationEvents/" + (
                key or str(uuid4())), "test"
        else:
            uri, resource = referral_uri(str(key)), "referral"
        if when is None:
            known = self.sim.stores["referrals"].get(key)
            moment = self._event_time(parse_iso(known["updatedDateTime"]) if known else self.sim.now())
            return event_body(name, uri, moment, resource)
        body = json.loads(event_body(name, uri, 0, resource))
        body["ResourceChangeUtcDate"] = when
        return json.dumps(body, separators=(",", ":"))

    def _event_time(self, changed):
        return changed + (random.uniform(0, 0.5) if self.sim.options["EventDelay"] else 0)

    # Delivery

    def emit(self, event, referral, updated):
        """A change happened: deliver to the registered webhook, if it asked for this event."""
        registration = self.registration()
        options = self.sim.options
        if registration is None or event not in registration["WebhookEvents"]:
            return
        if options["DeliverDrop"] and random.random() < options["DeliverDrop"]:
            return
        moment = self._event_time(parse_iso(updated))
        body = event_body(event, referral_uri(referral), moment).encode()
        pause = max(0.0, moment - self.sim.now()) + options["DeliverDelay"]
        for _ in range(1 + options["DeliverDuplicates"]):
            delay = pause + random.uniform(0, options["DeliverReorder"])
            self.queue(event, referral, registration["WebhookUrl"], body, self._header(registration), delay)

    @staticmethod
    def _header(registration):
        return "x-ms-signature" if registration["SignatureTokenToMsSignatureHeader"] else "authorization"

    def queue(self, event, referral, url, body, header, delay=0.0, done=None):
        entry = Delivery(next(self._ids), event, referral, url, body, header, self.sim.options["DeliverKey"],
                         iso(self.sim.now(), 7))
        entry.done = done
        self.deliveries[entry.id] = entry
        while len(self.deliveries) > KEPT:
            self.deliveries.popitem(last=False)
        self.sim.spawn(self._carry(entry, delay))
        return entry

    async def _carry(self, entry, delay):
        if delay > 0:
            await self.sim.sleep(delay)
        signature = self.signer.sign(entry.body, entry.key)
        headers = self.headers(signature, entry.header)
        for attempt in range(ATTEMPTS):
            if attempt:
                entry.status = "retrying"
                await self.sim.sleep(self.backoff * 2 ** (attempt - 1))
            while self.sim.options["DeliverPause"]:
                await asyncio.sleep(0.05)
            async with self._slots:
                good = await self._attempt(entry, headers)
            if entry.done:
                entry.done(entry, good, good or attempt == ATTEMPTS - 1)
            if good:
                entry.status = "delivered"
                return
        entry.status = "dead"

    async def _attempt(self, entry, headers):
        started, status, error = time.monotonic(), None, None
        try:
            async with self._session.post(entry.url, data=entry.body, headers=headers, allow_redirects=False) as answer:
                await answer.read()
                status = answer.status
        except asyncio.TimeoutError:
            error = "no answer within %d s" % TIMEOUT
        except (aiohttp.ClientError, OSError, ValueError) as problem:
            error = "%s: %s" % (type(problem).__name__, problem)
        entry.attempts.append({"t": iso(self.sim.now(), 7), "status": status, "error": error,
                               "ms": round((time.monotonic() - started) * 1000, 1)})
        return status is not None and 200 <= status < 300

    def states(self):
        return [entry.state() for entry in self.deliveries.values()]

    def state(self, key):
        entry = self.deliveries.get(int(key)) if key.isdigit() else None
        return entry.state() if entry else None

    def forget(self, req):
        """Forgets those that are over."""
        for number in [n for n, entry in self.deliveries.items() if entry.status in ("delivered", "dead")]:
            del self.deliveries[number]
        return {"left": len(self.deliveries)}

    def deliver(self, req):
        body = req.json()
        registration = self.registration() or {"WebhookUrl": None, "SignatureTokenToMsSignatureHeader": True}
        url = body.get("url") or registration["WebhookUrl"]
        if not url:
            raise ValueError("no webhook is registered and no url was given")
        event = {"EventName": body.get("event", "referral-updated"), "referral": body.get("referral"),
                 "ResourceChangeUtcDate": body.get("ResourceChangeUtcDate")}
        data = self._body_of(event).encode()
        queued = [self.queue(event["EventName"], body.get("referral"), url, data, self._header(registration)).id
                  for _ in range(int(body.get("copies", 1)))]
        return {"queued": queued}
