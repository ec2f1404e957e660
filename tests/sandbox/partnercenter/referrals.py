"""The Referrals API: documents, list, create, patch; and the same documents as the portal's users change them."""

import base64
import json
import random
from uuid import uuid4

from simlib import HttpError, Reply, Store, iso, merge_patch, parse_iso
from simlib.core import JSON, dumps

from . import rules
from .errors import PRECONDITION, refuse
from .odata import BadQuery, parse_filter, parse_order

ROOT = "/v1.0/engagements/referrals"
HOST = "https://api.partner.microsoft.com"
CONTEXT = "http://api.partner.microsoft.com/v1.0/$metadata#Referrals"
ANSWER_DAYS = 14
QUERY = {"$filter", "$orderby", "$select", "$top", "$skip", "$count", "$expand", "$skiptoken"}
FIXED = {"id", "engagementId", "organizationId", "organizationName", "createdDateTime", "updatedDateTime",
         "expirationDateTime", "acceptedDateTime", "closedDateTime", "direction", "eTag", "links", "trackingInfo",
         "registrations", "registrationStatus", "quality", "isSpam", "tags"}

CUSTOMERS = ("Fabrikam", "Contoso", "Adventure Works", "Northwind Traders", "Tailspin Toys", "Wide World Importers",
             "Litware", "Proseware", "Fourth Coffee", "Graphic Design Institute", "Lucerne Publishing", "Humongous")
SUBJECTS = ("migration", "data platform", "modern workplace", "SAP on Azure", "contact centre", "security review")


# Shapes of what there is (the documents call them by these words), as a person would meet them in the portal.
NO_HELP = {"notes": "", "assistanceRequestCode": "Unknown"}
KINDS = {
    "private": {"type": "Independent", "consent": {"consentToShareReferralWithMicrosoftSellers": False},
                "inviteContext": NO_HELP},
    "partner-led": {"type": "Independent", "consent": {"consentToShareReferralWithMicrosoftSellers": True},
                    "inviteContext": NO_HELP},
    "co-sell": {"type": "Shared", "microsoft": True},
    "marketplace-lead": {"type": "Independent", "qualification": "Direct", "direction": "Incoming",
                         "referralSource": "Commercial marketplace", "callToAction": "ContactMe",
                         "inviteContext": NO_HELP},
    "qualified-lead": {"type": "Independent", "qualification": "MarketingQualified", "direction": "Incoming",
                       "inviteContext": {"notes": "Please take care of this lead", "assistanceRequestCode": "Unknown"}},
    "p2p": {"type": "Shared", "direction": "Incoming", "partners": [{}], "inviteContext": NO_HELP},
}
PARTNER = "7d230000-0000-4000-8000-0000000000b1"


class Referrals:
    def __init__(self, sim, organization_id, organization_name, emit):
        self.sim = sim
        self.organization_id = organization_id
        self.organization_name = organization_name
        self.emit = emit
        self.store = Store(sim, "referrals", indexes=("engagementId",))
        self._ticks = 0
        self._writes = random.getrandbits(16)
        self._made = 0
        self._encoded = {}
        add = sim.add_route
        add("GET", ROOT + "/{id}", self.read)
        add("PATCH", ROOT + "/{id}", self.patch)
        add("PUT", ROOT + "/{id}", self.replace)
        for path in (ROOT, ROOT + "/"):
            add("GET", path, self.list)
            add("POST", path, self.create)
        sim.add_collection("referrals", list=self.store.values, get=self.store.get, create=self.portal_create,
                           patch=self.portal_patch, delete=self.portal_delete, bulk=self.bulk)

    # Documents

    def _moment(self):
        ticks = int(self.sim.now() * 10 ** 7)
        if self._ticks - 10 ** 7 < ticks <= self._ticks:
            ticks = self._ticks + 1
        self._ticks = ticks
        seconds, fraction = divmod(ticks, 10 ** 7)
        digits = self.sim.options["FractionDigits"]
        return iso(seconds)[:-1] + ("." + ("%07d" % fraction)[:digits] if digits else "") + "Z"

    def _etag(self):
        self._writes += 1
        return '"%08x-0000-0100-0000-%08x0000"' % ((0x84001c9d + self._writes) & 0xffffffff, int(self.sim.now()))

    def save(self, document, announce=True, created=False, moment=None):
        """Stamps and stores a version, and tells subscribers. The document must be one nobody else holds."""
        document["updatedDateTime"] = moment or self._moment()
        document["eTag"] = self._etag()
        before = self.store.get(document["id"]) or {}
        self.store.put(document["id"], document)
        due = document.get("expirationDateTime") if document["status"] == "New" else None
        if due and before.get("expirationDateTime") != due:
            self.sim.at(parse_iso(due), lambda: self._expire(document["id"]))
        if announce:
            self.announce(document, "created" if created else "updated")
        return document

    def announce(self, document, action):
        own = document["organizationId"] == self.organization_id
        subject = document["id"]
        if not own and self.sim.options["RelatedEventId"] == "own":
            subject = next((r["id"] for r in self.store.find("engagementId", document["engagementId"])
                            if r["organizationId"] == self.organization_id), subject)
        self.emit(("referral-" if own else "related-referral-") + action, subject, document["updatedDateTime"])

    def _expire(self, key):
        document = self.store.get(key)
        if document is None or document["status"] != "New" or document["direction"] != "Incoming":
            return
        due = parse_iso(document.get("expirationDateTime"))
        if due is not None and due <= self.sim.now():
            document = {**document, "status": "Closed", "substatus": "Expired", "closedDateTime": self._moment()}
            self.save(document)

    def links(self, document):
        wrong = self.sim.options["LinksMisspelling"]
        root = HOST + ("/v1.0/engagments/referrals" if wrong else ROOT)
        return {"relatedReferrals": {"uri": root + "?$filter=engagementId eq " + document["engagementId"],
                                     "method": "GET"},
                "self": {"uri": root + "/" + document["id"], "method": "GET"}}

    def encode(self, document):
        """The JSON of one referral, kept until its next version."""
        known = self._encoded.get(document["id"])
        wrong = self.sim.options["LinksMisspelling"]
        if known is not None and known[0] is document and known[1] is wrong:
            return known[2]
        data = dumps({**document, "links": self.links(document)})
        self._encoded[document["id"]] = (document, wrong, data)
        return data

    # API

    def _visible(self, req, document):
        """A Referrals user sees what lists it in the team, a Referrals admin everything."""
        if document is None or req.extra.role != "referrals-user":
            return document
        user = self.sim.tokens.knobs["user"].lower()
        if any((member.get("email") or "").lower() == user for member in document.get("team") or ()):
            return document
        return None

    def _find(self, req, document):
        if self._visible(req, document) is None:
            raise refuse(404, "The referral '%s' was not found." % req.params["id"], "id", "990040")
        return document

    def _whole(self, status, document, headers=None):
        body = b'{"@odata.context":"' + CONTEXT.encode() + b'/$entity",' + self.encode(document)[1:]
        return Reply(status, body, {"ETag": document["eTag"], **(headers or {})}, JSON)

    def read(self, req):
        return self._whole(200, self._find(req, self.store.read(req.params["id"].lower())))

    def list(self, req):
        query = dict(req.query)
        for name in query:
            if name.startswith("$") and name not in QUERY:
                raise refuse(400, "The query option '%s' is not supported." % name, name, "990050")
        try:
            return self._page(req, query)
        except BadQuery as error:
            raise refuse(400, str(error), "query", "990051") from error

    def _page(self, req, query):
        after = None
        if "$skiptoken" in query:
            kept, after = self._unpack(query["$skiptoken"])
            query = {**kept, **query}
        limit = self.sim.options["PageMax"]
        size = min(self._number(query, "$top", limit), limit)
        found = self._matching(req, query)
        field, descending = parse_order(query["$orderby"]) if query.get("$orderby") else ("createdDateTime", False)
        found.sort(key=lambda d: (d[field], d["id"]), reverse=descending)
        total = len(found)
        if after is not None:
            mark = tuple(after)
            found = [d for d in found if ((d[field], d["id"]) < mark if descending else (d[field], d["id"]) > mark)]
        else:
            found = found[self._number(query, "$skip", 0):]
        page = found[:size]
        whole = self.sim.options["CountIsTotal"] or query.get("$count") == "true"
        head = '{"@odata.context":"%s","@odata.count":%d,"value":[' % (CONTEXT, total if whole else len(page))
        parts = self._select(page, query["$select"]) if query.get("$select") else [self.encode(d) for d in page]
        tail = b"]}"
        if len(found) > size and page:
            tail = b'],"@odata.nextLink":' + dumps(self._next(query, (page[-1][field], page[-1]["id"]))) + b"}"
        return Reply(200, head.encode() + b",".join(parts) + tail, None, JSON)

    def _matching(self, req, query):
        options = self.sim.options
        text = query.get("$filter")
        if not text:
            found = self.store.scan()
        else:
            wanted = parse_filter(text, options["StrictFilter"], options["UnquotedGuid"])
            if wanted.engagement is not None:
                found = [d for d in self.store.find_lagged("engagementId", wanted.engagement) if wanted.test(d)]
            else:
                found = [d for d in self.store.scan() if wanted.test(d)]
        if req.extra.role == "referrals-user":
            found = [d for d in found if self._visible(req, d)]
        return found

    @staticmethod
    def _number(query, name, default):
        text = query.get(name)
        if text is None:
            return default
        if not text.isdigit():
            raise BadQuery("Invalid value '%s' for %s query option found; a non-negative integer is expected."
                           % (text, name))
        return int(text)

    def _select(self, page, text):
        names = [name.strip() for name in text.split(",")]
        known = {name.lower(): name for d in page for name in d}
        known.update(links="links", campaignid="campaignId", favorite="favorite")
        chosen = []
        for name in names:
            if page and name.lower() not in known:
                raise BadQuery("Could not find a property named '%s' on type 'Referral'." % name)
            chosen.append(known.get(name.lower(), name))
        rows = ({**d, "links": self.links(d)} if "links" in chosen else d for d in page)
        return [dumps({name: row[name] for name in chosen if name in row}) for row in rows]

    def _next(self, query, mark):
        kept = {name: value for name, value in query.items() if name in QUERY and name not in ("$skiptoken", "$skip")}
        token = base64.urlsafe_b64encode(dumps([kept, mark])).decode().rstrip("=")
        if self.sim.options["NextLinkQuirk"]:
            return "http://api.partner.microsoft.com/v1.0/referrals?$skiptoken=" + token
        return self.sim.base + ROOT + "?$skiptoken=" + token

    @staticmethod
    def _unpack(token):
        try:
            kept, mark = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
            if not isinstance(kept, dict) or len(mark) != 2:
                raise ValueError(token)
            return kept, mark
        except ValueError as error:
            raise BadQuery("The value of $skiptoken is not valid.") from error

    def create(self, req):
        body = self._json(req)
        options = self.sim.options
        rules.check_create(body, options["CreateChecks"] == "portal", options["IntentRequired"])
        document = {name: value for name, value in body.items() if name not in FIXED and not name.startswith("@")}
        if "dealValue" in document["details"] and document["details"]["dealValue"] is not None:
            document["details"] = {**document["details"],
                                   "dealValue": rules.money(document["details"]["dealValue"], "details/dealValue")}
        document = self._connected(body, document) if body.get("engagementId") else self._own(document)
        self.save(document, created=True, moment=document["createdDateTime"])
        if options["AutoConnected"] and not body.get("engagementId") and rules.asks_microsoft(document):
            self.save(self.microsoft_card(document), created=True)
        status = options["CreateStatus"]
        return self._whole(status, document, {"Location": HOST + ROOT + "/" + document["id"]} if status == 201 else None)

    def _own(self, document):
        now = self._moment()
        document = {**self._blank(now), **document}
        document.update(status="Active", substatus="Accepted", direction="Outgoing", acceptedDateTime=now,
                        createdVia="API")
        return document

    def _connected(self, body, document):
        """The second half of a shared deal: it belongs to the organization it targets, which has yet to answer."""
        engagement = str(body["engagementId"]).lower()
        first = self.store.find("engagementId", engagement)
        if not first:
            raise refuse(404, "The engagement '%s' was not found." % engagement, "engagementId", "990041")
        target = next((t.get("id") for t in document.get("target") or () if isinstance(t, dict)), None)
        if not target:
            raise refuse(400, "A connected referral needs a target.", "target", "990042")
        microsoft = target.lower() == "msft"
        if microsoft:
            own = next((r for r in first if r["organizationId"] == self.organization_id), first[0])
            rules.check_connected(own, document, any(r["organizationId"] == "msft" for r in first),
                                  self.sim.options["ConnectedAgain"], self.sim.options["ConnectedNeedsConsent"])
        now = self._moment()
        document = {**self._blank(now), **document, "engagementId": engagement}
        document.update(organizationId="msft" if microsoft else target,
                        organizationName="Microsoft" if microsoft else "Partner " + target[:8], status="New",
                        substatus="Pending", direction="Incoming", acceptedDateTime=None, createdVia="API",
                        expirationDateTime=iso(self.sim.now() + ANSWER_DAYS * 86400))
        return document

    def _blank(self, now):
        return {"id": str(uuid4()), "engagementId": str(uuid4()), "name": None,
                "organizationId": self.organization_id, "organizationName": self.organization_name,
                "externalReferenceId": None, "createdDateTime": now, "updatedDateTime": now,
                "expirationDateTime": None, "acceptedDateTime": None, "closedDateTime": None, "status": "New",
                "substatus": "Pending", "statusReason": None, "qualification": "SalesQualified", "type": "Independent",
                "direction": "Outgoing", "eTag": None, "target": [], "customerProfile": {}, "consent": {}, "details": {},
                "team": [], "inviteContext": None, "trackingInfo": None, "registrations": [],
                "registrationStatus": "None", "mpnId": "1234567", "campaignId": None, "salesStage": None,
                "referralProgram": None,
                "quality": "Unknown", "isSpam": False, "favorite": False, "tags": [], "dealSensitivity": "None",
                "createdVia": None, "lastModifiedVia": None}

    @staticmethod
    def _json(req):
        media = req.headers.get("Content-Type", "").split(";")[0].strip().lower()
        if media not in ("application/json", "application/json-patch+json"):
            raise refuse(415, "The content type '%s' is not supported." % media, "Content-Type", "990060")
        try:
            return req.json()
        except ValueError as error:
            raise refuse(400, "The request body is not valid JSON.", "body", "990061") from error

    def _writable(self, req):
        """The referral a PATCH or PUT addresses, once it may be written and the precondition holds."""
        document = self._find(req, self.store.get(req.params["id"].lower()))
        if document["organizationId"] != self.organization_id:
            raise refuse(403, "The referral belongs to another organization.", "id", "990043")
        wanted = req.headers.get("If-Match")
        if wanted is not None and wanted.strip() not in ("*", document["eTag"]):
            raise HttpError(Reply.json(412, PRECONDITION))
        if document["status"] == "Closed":
            raise refuse(self.sim.options["TerminalStatus"],
                         "The referral is closed as %s and cannot be updated." % document["substatus"], "status",
                         "990044", code="invalidRequest")
        return document

    def patch(self, req):
        before = self._writable(req)
        operations = self._json(req)
        after = rules.apply(before, operations, self.sim.options["PatchName"], self.sim.options["ZeroDealValue"])
        if self.sim.options["FrozenWhenShared"]:
            rules.check_frozen(before, after)
        rules.check_transition(before, after)
        after = self._registered(before, self._dated(before, dict(after)))
        after["lastModifiedVia"] = "API"
        return self._written(req, self.save(after))

    def _written(self, req, document):
        if "return=representation" in req.headers.get("Prefer", "").replace(" ", ""):
            return self._whole(200, document, {"Preference-Applied": "return=representation"})
        return Reply(204, headers={"ETag": document["eTag"]} if self.sim.options["EtagOnPatch"] else None)

    def replace(self, req):
        if not self.sim.options["PutEnabled"]:
            return self.sim.bad_method(req, ["GET", "PATCH"])
        if "If-Match" not in req.headers:
            raise refuse(400, "The header If-Match is required.", "If-Match", "990045")
        before = self._writable(req)
        body = self._json(req)
        rules.check_create(body, False)
        after = dict(before)
        after.update((name, body[name]) for name in ("status", "substatus", "statusReason", "salesStage", "details",
                                                      "team", "consent", "inviteContext", "externalReferenceId",
                                                      "campaignId", "favorite") if name in body)
        after["customerProfile"] = {**before["customerProfile"], "team": body["customerProfile"].get("team", [])}
        after["status"] = rules.enumerated(after["status"], rules.STATUSES, "status")
        after["substatus"] = rules.enumerated(after["substatus"], rules.SUBSTATUSES, "substatus")
        rules.check_transition(before, after)
        return self._whole(200, self.save(self._dated(before, after)))

    def _dated(self, before, after):
        now = None
        if after["status"] == "Active" and before["status"] != "Active" and not after.get("acceptedDateTime"):
            now = after["acceptedDateTime"] = self._moment()
        if after["status"] == "Closed" and before["status"] != "Closed" and not after.get("closedDateTime"):
            after["closedDateTime"] = now or self._moment()
        if after["status"] != "Closed" and before["status"] == "Closed":
            after["closedDateTime"] = None
        return after

    def _registered(self, before, after):
        """A deal registration just added gets what the service sets."""
        if len(after["registrations"] or ()) > len(before["registrations"] or ()):
            fresh = {"id": str(uuid4()), "registrationDateTime": self._moment(), "status": "ReviewPending",
                     "statusReason": None, "statusHistory": {"reviewPendingDateTime": self._moment()}}
            after["registrations"] = [*after["registrations"][:-1], {**after["registrations"][-1], **fresh}]
            after["registrationStatus"] = "ReviewPending"
        return after

    # The portal and seeds

    def portal_create(self, body, query):
        return self.admit(body, announce=not query.get("silent"))

    def portal_patch(self, key, change, query):
        before = self.store.get(key.lower())
        if before is None:
            return None
        after = merge_patch(before, change)
        for name in ("id", "engagementId", "organizationId"):
            after[name] = before[name]
        for name in before:
            after.setdefault(name, None)
        after = self._dated(before, after)
        after["lastModifiedVia"] = "Portal"
        return self.save(after, announce=not query.get("silent"))

    def portal_delete(self, key, query):
        self._encoded.pop(key.lower(), None)
        return self.store.delete(key.lower()) is not None

    def bulk(self, bodies, query):
        return [self.admit(body, announce=False) for body in bodies]

    def admit(self, body, announce=True):
        """A referral as it stands in Partner Center, from a partial document; `microsoft` adds the msft card."""
        if not isinstance(body, dict):
            raise ValueError("a referral must be a JSON object")
        body = self._relative(body)
        kind = body.pop("kind", None)
        if kind is not None:
            if kind not in KINDS:
                raise ValueError("kind must be one of %s" % ", ".join(KINDS))
            body = merge_patch(KINDS[kind], body)
        microsoft, partners = body.pop("microsoft", None), body.pop("partners", ())
        if partners:
            first = (partners[0].get("organizationId") or PARTNER).lower()
            invite = {"organizationId": first, "organizationName": "Partner " + first[:8]}
            body = merge_patch({"inviteContext": {"invitedBy": invite}} if body.get("direction") == "Incoming" else {},
                               body)
        now = self._moment()
        document = merge_patch(self._example(now, body, bool(microsoft)), {k: v for k, v in body.items() if v is not None})
        document.update((name, None) for name, value in body.items() if value is None)
        if document["id"] in self.store:
            raise ValueError("a referral with id %s exists already" % document["id"])
        document["id"], document["engagementId"] = document["id"].lower(), document["engagementId"].lower()
        self.save(document, announce, True, body.get("updatedDateTime") or document["createdDateTime"])
        if microsoft:
            card = self.microsoft_card(document)
            if isinstance(microsoft, dict):
                card = self._dated(card, merge_patch(card, microsoft))
            self.save(card, announce, True)
        for n, changes in enumerate(partners):
            self.save(self.partner_card(document, changes, n), announce, True)
        return document

    def partner_card(self, document, changes, n):
        """The card of another partner in the same engagement: a deal of its own, with its own value and people."""
        now = self._moment()
        incoming = document["direction"] == "Incoming"
        organization = (changes.get("organizationId") or PARTNER[:-1] + str(n + 1)).lower()
        card = {**document, "id": str(uuid4()), "organizationId": organization,
                "organizationName": "Partner " + organization[:8], "createdDateTime": now,
                "status": "Active" if incoming else "New", "substatus": "Accepted" if incoming else "Pending",
                "direction": "Outgoing" if incoming else "Incoming", "acceptedDateTime": now if incoming else None,
                "expirationDateTime": None if incoming else iso(self.sim.now() + ANSWER_DAYS * 86400),
                "closedDateTime": None, "externalReferenceId": None, "statusReason": None, "trackingInfo": None,
                "registrations": [], "type": "Shared",
                "target": [] if incoming else [{"type": "BusinessProfileLocation", "id": organization}],
                "details": {**document["details"], "dealValue": 5000 + n},
                "team": [{"firstName": "Pat", "lastName": "Ner", "email": "pat%d@other.example" % n,
                          "phoneNumber": "+14255550199"}]}
        return self._dated(card, merge_patch(card, {k: v for k, v in changes.items() if k != "organizationId"}))

    def _relative(self, body):
        """Times such as "+90d" count from now, so that a seed file does not grow old."""
        result = {}
        for name, value in body.items():
            if isinstance(value, dict):
                value = self._relative(value)
            elif name.endswith("DateTime") and isinstance(value, str) and value[:1] in "+-" and value[-1:] == "d":
                value = iso((self.sim.now() + float(value[:-1]) * 86400) // 86400 * 86400)
            result[name] = value
        return result

    def _example(self, now, body, shared):
        """A complete, plausible referral; inbound ones wait for an answer unless the body says otherwise."""
        self._made += 1
        n = self._made
        incoming = body.get("direction") == "Incoming"
        fresh = body.get("status", "New" if incoming else "Active")
        customer = "%s %05d" % (CUSTOMERS[n % len(CUSTOMERS)], n)
        substatus = {"New": "Pending", "Active": "Accepted", "Closed": "Won"}.get(fresh, "None")
        document = self._blank(now)
        document.update(
            name="%s %s" % (customer, SUBJECTS[n % len(SUBJECTS)]), status=fresh, substatus=substatus,
            direction="Incoming" if incoming else "Outgoing", createdVia="Portal",
            acceptedDateTime=now if fresh != "New" else None, closedDateTime=now if fresh == "Closed" else None,
            expirationDateTime=iso(self.sim.now() + ANSWER_DAYS * 86400) if fresh == "New" else None,
            customerProfile={
                "name": customer, "size": "51to250employees", "isMatchingComplete": True,
                "address": {"addressLine1": "%d Main St" % n, "addressLine2": "", "city": "Redmond", "state": "WA",
                            "postalCode": "98052", "country": "US"},
                "team": [{"firstName": "Sue", "lastName": "Smith", "email": "sue%d@customer.example" % n,
                          "phoneNumber": "+14255550100", "contactPreference": {"locale": "en-us",
                                                                               "disableNotifications": False}}],
                "ids": [{"profileType": "Duns", "id": "%09d" % n}]},
            consent={"consentToToShareInfoWithOthers": True, "consentToContact": True,
                     "consentToMicrosoftToContactSpecificPartners": False,
                     "consentToShareReferralWithMicrosoftSellers": shared},
            details={"notes": "Needs help with %s" % SUBJECTS[n % len(SUBJECTS)], "dealValue": 10000 + 250 * (n % 400),
                     "currency": "USD", "closingDateTime": iso((self.sim.now() + 90 * 86400) // 86400 * 86400),
                     "customerRequestedContact": False,
                     "requirements": {
                         "industries": [{"id": "Manufacturing"}], "products": [], "services": [], "offers": [],
                         "solutions": [{"id": "SOL-%05d-AAA" % (n % 100), "name": "Example App", "type": "Name",
                                        "publisherName": self.organization_name, "solutionType": "3P"}],
                         "additionalRequirements": {"iot": {}, "attributes": [
                             {"type": "CustomerMarketplaceIntent", "id": "HaveNotDecided"}]}}},
            team=[{"firstName": "Ann", "lastName": "Lee", "email": "ann@partner.example",
                   "phoneNumber": "+14255550101", "title": "Account manager"}],
            inviteContext={"notes": "Please help" if incoming or shared else "",
                           "assistanceRequestCode": "GeneralOrOther" if shared else "Unknown",
                           "invitedBy": {"organizationId": "msft", "organizationName": "Microsoft"} if incoming else
                           {"organizationId": self.organization_id, "organizationName": self.organization_name}})
        if shared or incoming:
            document["type"] = "Shared"
        return document

    def microsoft_card(self, document):
        now = self._moment()
        card = {**document, "id": str(uuid4()), "organizationId": "msft", "organizationName": "Microsoft",
                "createdDateTime": now, "status": "New", "substatus": "Pending", "statusReason": None,
                "direction": "Incoming", "acceptedDateTime": None, "closedDateTime": None, "externalReferenceId": None,
                "type": "Shared", "target": [{"type": "BusinessProfileLocation", "id": "msft"}], "mpnId": None,
                "expirationDateTime": iso(self.sim.now() + ANSWER_DAYS * 86400), "team": [], "registrations": [],
                "inviteContext": {**(document.get("inviteContext") or {}),
                                  "invitedBy": {"organizationId": self.organization_id,
                                                "organizationName": self.organization_name}},
                "trackingInfo": {"microsoftMsxId": None, "microsoftUSFedOpportunityId": None,
                                 "microsoftUSFedLeadId": None, "migratedPSCDealId": None,
                                 "migratedPSCPartnerDealId": None}}
        return card
