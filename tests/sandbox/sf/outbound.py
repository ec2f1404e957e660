"""Outbound messages: which rows to tell about, and sending until somebody acknowledges.

A definition is JSON: {"url","object"} and
  fields        names shown besides Id (of the row as it is when it is sent, not as it was)
  on            ["create","update"] (default both); deleting sends nothing
  when          {field: value}: only rows that have these then
  changed       [fields]: updates only when one of these changed
  format        "soap" (default) or "json", the callout of a Flow: {"id","table",<fields>}, any 2xx is success
  batch         rows in one message: soap up to OutboundBatch, json 1 (an object) unless more are asked for (a list)
  retries       json: how often a failed callout is repeated (default 0; soap repeats until OutboundExpire)
  headers       {name: value} sent along
  client        {"cert": file, "key": file}: the client certificate
  ca            file of authorities the receiver's certificate must come from; "verify": false takes any
  silent        true = also rows that users without "Send Outbound Messages" write
"""
import asyncio
import json
import random
import ssl
import time
from collections import deque
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import aiohttp

from . import ids
from .values import fold

MEMBERS = {"url", "object", "table", "fields", "on", "when", "changed", "format", "batch", "retries", "headers",
           "client", "ca", "verify", "name", "silent"}
AT_ONCE = 5
KEPT = 20000
ACK = "{http://schemas.xmlsoap.org/soap/envelope/}Body/{http://soap.sforce.com/2005/09/outbound}notificationsResponse/" \
      "{http://soap.sforce.com/2005/09/outbound}Ack"
HEAD = ('<?xml version="1.0" encoding="UTF-8"?>\n<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/'
        'envelope/" xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">\n'
        ' <soapenv:Body>\n  <notifications xmlns="http://soap.sforce.com/2005/09/outbound">\n'
        '   <OrganizationId>%s</OrganizationId>\n   <ActionId>%s</ActionId>\n   <SessionId xsi:nil="true"/>\n'
        '   <EnterpriseUrl>%s/services/Soap/c/60.0/%s</EnterpriseUrl>\n'
        '   <PartnerUrl>%s/services/Soap/u/60.0/%s</PartnerUrl>\n')
TAIL = "  </notifications>\n </soapenv:Body>\n</soapenv:Envelope>\n"


class Notification:
    __slots__ = ("id", "record", "queued", "due", "attempts")

    def __init__(self, id, record, queued, due):
        self.id, self.record, self.queued, self.due, self.attempts = id, record, queued, due, 0


class Definition:
    def __init__(self, id, doc, table):
        unknown = set(doc) - MEMBERS
        if unknown:
            raise ValueError("unknown member %s; allowed: %s" % (", ".join(sorted(unknown)), ", ".join(sorted(MEMBERS))))
        self.id, self.doc, self.table, self.url = id, doc, table, doc["url"]
        self.on = set(doc.get("on", ("create", "update")))
        if self.on - {"create", "update"}:
            raise ValueError("on may hold create and update")
        self.json = doc.get("format", "soap") == "json"
        if doc.get("format", "soap") not in ("soap", "json"):
            raise ValueError("format must be soap or json")
        self.fields = sorted({self.field(name).name for name in doc.get("fields", ())} - {"Id"})
        self.when = {self.field(n).name: fold(v) for n, v in doc.get("when", {}).items()}
        self.changed = {self.field(n).name for n in doc.get("changed", ())}
        self.waiting = []
        self.busy = 0
        self.ssl = self.context(doc)

    def field(self, name):
        found = self.table.field(name)
        if found is None:
            raise ValueError("%s has no field %s" % (self.table.name, name))
        return found

    @staticmethod
    def context(doc):
        if not doc["url"].lower().startswith("https:"):
            return None
        context = ssl.create_default_context(cafile=doc.get("ca"))
        if doc.get("verify") is False:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if doc.get("client"):
            context.load_cert_chain(doc["client"]["cert"], doc["client"]["key"])
        return context

    def wants(self, kind, vals, changed):
        if kind not in self.on or (kind == "update" and self.changed and not self.changed & changed):
            return False
        return all(fold(vals.get(name)) == value for name, value in self.when.items())

    def state(self):
        return {**self.doc, "id": self.id, "waiting": len(self.waiting), "sending": self.busy}


class Outbound:
    def __init__(self, org, sim, origin):
        self.org, self.sim, self.origin = org, sim, origin
        self.definitions = {}
        self.sent = deque(maxlen=KEPT)
        self.failed = []
        self.count = self.messages = self.made = 0
        self.session = None
        org.listener = self.take

    # Definitions

    def define(self, doc):
        table = self.org.table(doc.get("object") or doc.get("table") or "Opportunity")
        self.made += 1
        definition = Definition(ids.make("04k", self.made), doc, table)
        self.definitions[definition.id] = definition
        return {"id": definition.id}

    def remove(self, id=None):
        gone = [d for d in self.definitions.values() if id in (None, d.id)]
        for definition in gone:
            del self.definitions[definition.id]
            definition.waiting.clear()
        if id is None:
            self.sent.clear()
            self.failed.clear()
        return len(gone)

    def state(self):
        return {"definitions": [d.state() for d in self.definitions.values()],
                "waiting": sum(len(d.waiting) + d.busy for d in self.definitions.values()), "sent": list(self.sent),
                "failed": [{"id": n.id, "record": n.record, "attempts": n.attempts, "definition": d.id}
                           for d, n in self.failed]}

    def requeue(self):
        """What an administrator does with the list of failed messages."""
        again, self.failed = self.failed, []
        for definition, one in again:
            one.queued = one.due = self.sim.now()
            one.attempts = 0
            self.wait(definition, one)
        return {"requeued": len(again)}

    # Events

    def take(self, table, id, kind, changed, actor):
        for definition in self.definitions.values():
            if definition.table is not table:
                continue
            if actor.user in self.org.silent_users and not definition.doc.get("silent"):
                continue
            if definition.wants(kind, self.org.get(table.name, id), changed):
                self.queue(definition, id)

    def queue(self, definition, record):
        options, now = self.sim.options, self.sim.now()
        self.count += 1
        due = now + options["OutboundDelay"] + random.random() * options["OutboundReorder"]
        self.wait(definition, Notification(ids.make("04l", self.count), record, now, due))

    def wait(self, definition, one):
        definition.waiting.append(one)
        if one.due <= self.sim.now():
            if len(definition.waiting) == 1 or definition.busy == 0:
                asyncio.get_running_loop().call_soon(self.pump, definition)
        else:
            self.sim.at(one.due, lambda: self.pump(definition))

    def pump(self, definition):
        """Sends what is due, as much as may be under way at a time."""
        if definition.id not in self.definitions or not definition.waiting:
            return
        if self.sim.options["OutboundPause"]:
            asyncio.get_running_loop().call_later(0.02, self.pump, definition)
            return
        most = int(self.sim.options["OutboundBatch"])
        most = int(definition.doc.get("batch", 1 if definition.json else most)) or 1
        while definition.busy < AT_ONCE:
            now = self.sim.now()
            due = sorted((n for n in definition.waiting if n.due <= now), key=lambda n: n.due)[:most]
            if not due:
                return
            chosen = {id(n) for n in due}
            definition.waiting = [n for n in definition.waiting if id(n) not in chosen]
            definition.busy += 1
            self.sim.spawn(self.deliver(definition, due))

    # Delivering

    async def deliver(self, definition, batch):
        try:
            live = [(n, vals) for n in batch for vals in [self.org.get(definition.table.name, n.record)] if vals]
            if not live:
                return
            body = (self.callout if definition.json else self.message)(definition, live)
            began = time.monotonic()
            status, acknowledged = await self.post(definition, body)
            self.note(definition, live, status, acknowledged, time.monotonic() - began)
            for one, _ in live:
                one.attempts += 1
                if not acknowledged:
                    self.again(definition, one)
                elif random.random() < self.sim.options["OutboundDuplicates"]:
                    one.due = self.sim.now()
                    definition.waiting.append(one)
        finally:
            definition.busy -= 1
            self.pump(definition)

    def note(self, definition, live, status, acknowledged, seconds):
        self.messages += 1
        self.sent.append({"n": self.messages, "t": self.sim.now(), "definition": definition.id,
                          "ids": [n.id for n, _ in live], "records": [n.record for n, _ in live],
                          "attempt": live[0][0].attempts + 1, "status": status, "ack": acknowledged,
                          "ms": round(seconds * 1000, 2)})

    def again(self, definition, one):
        options, now = self.sim.options, self.sim.now()
        pause = min(options["OutboundRetry"] * 2 ** min(one.attempts - 1, 20), options["OutboundRetryMost"])
        one.due = now + pause
        over = one.attempts > definition.doc.get("retries", 0) if definition.json \
            else one.due > one.queued + options["OutboundExpire"]
        if definition.id not in self.definitions:
            return
        if over:
            self.failed.append((definition, one))
            return
        self.wait(definition, one)

    async def post(self, definition, body):
        """-> (status or what went wrong, whether it was acknowledged)"""
        if self.session is None:
            self.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=64), trust_env=False)
        headers = {"Content-Type": "application/json"} if definition.json else {
            "Content-Type": "text/xml; charset=UTF-8", "SOAPAction": '""', "Accept": "text/xml"}
        headers.update(definition.doc.get("headers", {}))
        limit = aiohttp.ClientTimeout(total=self.sim.options["OutboundTimeout"])
        try:
            async with self.session.post(definition.url, data=body, headers=headers, timeout=limit,
                                         allow_redirects=False, ssl=definition.ssl) as answer:
                text = await answer.read()
                if definition.json:
                    return answer.status, 200 <= answer.status < 300
                return answer.status, answer.status == 200 and acknowledges(text)
        except asyncio.TimeoutError:
            return "timeout", False
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return type(error).__name__, False

    def message(self, definition, live):
        org, base = self.org.id, self.origin()
        out = [HEAD % (org, definition.id, base, org[:15], base, org[:15])]
        name = definition.table.name
        for one, vals in live:
            out.append('   <Notification>\n    <Id>%s</Id>\n    <sObject xsi:type="sf:%s" xmlns:sf="urn:sobject.enterprise'
                       '.soap.sforce.com">\n     <sf:Id>%s</sf:Id>\n' % (one.id, name, vals["Id"]))
            for field in definition.fields:
                value = vals.get(field)
                if value is not None:
                    out.append("     <sf:%s>%s</sf:%s>\n" % (field, in_xml(value), field))
            out.append("    </sObject>\n   </Notification>\n")
        return ("".join(out) + TAIL).encode()

    @staticmethod
    def callout(definition, live):
        docs = [{"id": vals["Id"], "table": definition.table.name, **{f: vals.get(f) for f in definition.fields}}
                for _, vals in live]
        return json.dumps(docs if definition.doc.get("batch", 1) > 1 else docs[0], ensure_ascii=False).encode()


def in_xml(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and value.endswith(".000+0000") and len(value) == 28:
        return value[:23] + "Z"
    return escape(value) if isinstance(value, str) else str(value)


def acknowledges(text):
    try:
        found = ElementTree.fromstring(text).find(ACK)
    except ElementTree.ParseError:
        return False
    return found is not None and (found.text or "").strip() == "true"
