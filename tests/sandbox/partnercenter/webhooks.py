"""The Webhooks API: one registration per tenant, and test events."""

from uuid import uuid4
from urllib.parse import urlsplit

from simlib import Reply, iso

from .delivery import event_body
from .errors import refuse_webhook, throttled

ROOT = "/webhooks/v1"
KEEP_SECONDS = 7 * 86400
EVENTS = (
    "test-created", "referral-created", "referral-updated", "related-referral-created", "related-referral-updated",
    "subscription-updated", "subscription-active", "usagerecords-thresholdExceeded", "invoice-ready",
    "azure-fraud-event-detected", "reseller-relationship-accepted-by-customer",
    "indirect-reseller-relationship-accepted-by-customer", "dap-admin-relationship-approved",
    "dap-admin-relationship-terminated", "dap-admin-relationship-terminated-by-microsoft",
    "granular-admin-relationship-approved", "granular-admin-relationship-activated",
    "granular-admin-relationship-terminated", "granular-admin-relationship-expired",
    "granular-admin-access-assignment-created", "granular-admin-access-assignment-activated",
    "granular-admin-access-assignment-updated", "granular-admin-access-assignment-deleted",
    "new-commerce-migration-created", "new-commerce-migration-completed", "new-commerce-migration-failed",
    "new-commerce-migration-schedule-failed")
# Whom the Webhooks API's own pages name; the co-sell connectors' pages have a Referrals admin make the same calls.
AGENTS = ("admin-agent", "sales-agent", "helpdesk-agent", "billing-admin")
TEST_EVENTS_A_MINUTE = 2
STATUS_NAMES = {200: "OK", 201: "Created", 202: "Accepted", 204: "NoContent", 301: "MovedPermanently", 302: "Found",
                400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 405: "MethodNotAllowed",
                413: "RequestEntityTooLarge", 415: "UnsupportedMediaType", 429: "TooManyRequests",
                500: "InternalServerError", 502: "BadGateway", 503: "ServiceUnavailable", 504: "GatewayTimeout"}


class Webhooks:
    def __init__(self, sim, courier, subscriber):
        self.sim = sim
        self.courier = courier
        self.subscriber = subscriber
        self.current = None
        self.validations = {}
        self._recent = []
        self._answers = {}
        courier.registration = lambda: self.current
        registration = ROOT + "/registration"
        sim.add_route("GET", registration, self.read)
        sim.add_route("POST", registration, self.once(self.register))
        sim.add_route("PUT", registration, self.once(self.update))
        sim.add_route("GET", registration + "/events", lambda req: Reply.json(200, EVENTS))
        sim.add_route("POST", registration + "/validationEvents", self.once(self.test))
        sim.add_route("GET", registration + "/validationEvents/{id}", self.test_result)
        sim.add_collection("registration", list=lambda: self.shown(True) if self.current else {},
                           create=lambda body, query: self.store(body) and self.shown(True))
        sim.add_control("DELETE", "registration", self.remove)

    def once(self, handler):
        """A write repeated under the same MS-RequestId gets the first answer again."""
        def wrapper(req):
            key = req.headers.get("MS-RequestId")
            if not key:
                return handler(req)
            known = self._answers.get((req.method, req.path, key))
            if known is None:
                known = handler(req)
                self._answers[(req.method, req.path, key)] = known
                if len(self._answers) > 1000:
                    del self._answers[next(iter(self._answers))]
            return Reply(known.status, known.body, known.headers, known.content_type)
        return wrapper

    def roles(self):
        """Who may use this API."""
        return (*AGENTS, "referrals-admin") if self.sim.options["ReferralsAdminRegisters"] else AGENTS

    def _cased(self, document):
        """Members as this API spells them at present."""
        if not self.sim.options["PascalCase"]:
            return document
        return {name[0].upper() + name[1:]: [self._cased(one) for one in value] if name == "results" else value
                for name, value in document.items()}

    # Registration

    def store(self, body):
        """Names in any case, as .NET reads them."""
        if not isinstance(body, dict):
            raise refuse_webhook(400, "The request body must be a WebhookRegistration.", "3000")
        given = {name.lower(): value for name, value in body.items()}
        url, events = given.get("webhookurl"), given.get("webhookevents")
        parts = urlsplit(url) if isinstance(url, str) else None
        if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
            raise refuse_webhook(400, "WebhookUrl must be an absolute URL.", "3001")
        if parts.scheme != "https" and (self.sim.options["HttpsOnly"]
                                        or parts.hostname not in ("127.0.0.1", "localhost", "::1")):
            raise refuse_webhook(400, "WebhookUrl must be an https URL.", "3001")
        if not isinstance(events, list) or not events:
            raise refuse_webhook(400, "WebhookEvents must name at least one event.", "3002")
        unknown = [event for event in events if event not in EVENTS]
        if unknown:
            raise refuse_webhook(400, "The events %s are not supported." % ", ".join(map(str, unknown)), "3003")
        flag = given.get("signaturetokentomssignatureheader", False)
        if isinstance(flag, str):
            flag = flag.lower() == "true"
        self.current = {"SubscriberId": self.subscriber, "WebhookUrl": url, "WebhookEvents": list(dict.fromkeys(events)),
                        "SignatureTokenToMsSignatureHeader": bool(flag), "LastModifiedTimestamp": iso(self.sim.now(), 7)}
        return self.current

    def shown(self, everything=False):
        """As answered: the signature flag and, on reads, the subscriber are left out, as in Microsoft's samples."""
        names = ["WebhookUrl", "WebhookEvents", "LastModifiedTimestamp"]
        if everything or self.sim.options["EchoSignatureFlag"]:
            names.append("SignatureTokenToMsSignatureHeader")
        if everything:
            names.insert(0, "SubscriberId")
        return self._cased({name[0].lower() + name[1:]: self.current[name] for name in names})

    def _answer(self):
        return Reply.json(200, {**self._cased({"subscriberId": self.subscriber}), **self.shown()})

    def remove(self, req):
        self.current = None
        return {"ok": True}

    @staticmethod
    def _json(req):
        try:
            return req.json()
        except ValueError as error:
            raise refuse_webhook(400, "The request body is not valid JSON.", "3000") from error

    def read(self, req):
        if self.current is None:
            missing = self.sim.options["NoRegistration"]
            if missing == "404":
                raise refuse_webhook(404, "No webhook registration was found.", "3004")
            return Reply(204) if missing == "204" else Reply.json(200, {})
        return Reply.json(200, self.shown())

    def register(self, req):
        body = self._json(req)
        if self.current is not None:
            raise refuse_webhook(409, "A webhook is registered already.", "3005")
        self.store(body)
        return self._answer()

    def update(self, req):
        body = self._json(req)
        if self.current is None:
            raise refuse_webhook(404, "No webhook registration was found.", "3004")
        self.store(body)
        return self._answer()

    # Test events

    def test(self, req):
        now = self.sim.now()
        self._recent = [when for when in self._recent if now - 60 < when <= now]
        if len(self._recent) >= TEST_EVENTS_A_MINUTE:
            return throttled(max(1, int(self._recent[0] + 60 - now) + 1))
        if self.current is None or "test-created" not in self.current["WebhookEvents"]:
            raise refuse_webhook(400, "The webhook is not registered for the event test-created.", "3006")
        self._recent.append(now)
        key = str(uuid4())
        record = {"correlationId": key, "partnerId": self.subscriber, "status": "Submitted",
                  "callbackUrl": self.current["WebhookUrl"], "results": []}
        self._purge(now)
        self.validations[key] = (now, record)
        uri = "http://api.partnercenter.microsoft.com/webhooks/v1/registration/validationEvents/" + key
        self.courier.queue("test-created", None, self.current["WebhookUrl"],
                           event_body("test-created", uri, now, "test").encode(), self.courier._header(self.current),
                           done=lambda entry, good, last: self._tried(record, entry, good, last))
        return Reply.json(200, key if self.sim.options["BareCorrelationId"] else self._cased({"correlationId": key}))

    def _purge(self, now):
        for key in [key for key, (created, _) in self.validations.items() if created < now - KEEP_SECONDS]:
            del self.validations[key]

    def _tried(self, record, entry, good, last):
        attempt = entry.attempts[-1]
        code = str(attempt["status"] or "")
        if not self.sim.options["NumericResponseCode"]:
            code = STATUS_NAMES.get(attempt["status"], code)
        record["results"].append({"responseCode": code, "responseMessage": attempt["error"] or "",
                                  "systemError": attempt["status"] is None, "dateTimeUtc": attempt["t"].rstrip("Z")})
        if last:
            record["status"] = "completed" if good else "failed"

    def test_result(self, req):
        self._purge(self.sim.now())
        _, record = self.validations.get(req.params["id"].lower(), (0, None))
        if record is None:
            raise refuse_webhook(404, "The validation event was not found.", "3007")
        return Reply.json(200, self._cased(record))
