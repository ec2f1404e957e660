"""Webhooks: who wants to hear of what, the serialized execution context, and one or two attempts to deliver it.

Registered as at the service, by rows of serviceendpoint (contract 8), sdkmessageprocessingstep and
sdkmessageprocessingstepimage; steps run asynchronously whatever their mode says.
"""
import asyncio
import json
import random
import uuid
from collections import deque
from datetime import datetime, timezone
from decimal import Decimal
from urllib.parse import urlencode
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

import aiohttp

from .schema import LOOKUPS

CONTRACTS = ":http://schemas.microsoft.com/xrm/2011/Contracts"
LARGEST = 256 * 1024
AGAIN = (502, 503, 504)
KEY, HEADER, QUERY = 4, 5, 6
AUTH = {"WebhookKey": KEY, "HttpHeader": HEADER, "HttpQueryString": QUERY}
HEAVY = ("ParentContext", "InputParameters", "PreEntityImages", "PostEntityImages")
MESSAGES = ("Create", "Update", "Delete", "Win", "Lose")


class Event:
    __slots__ = ("message", "table", "id", "sent", "before", "after", "actor", "close")

    def __init__(self, message, table, id, sent, before, after, actor, close=None):
        self.message, self.table, self.id, self.sent = message, table, id, sent
        self.before, self.after, self.actor, self.close = before, after, actor, close


def epoch(text):
    at = datetime.strptime(text[:19], "%Y-%m-%dT%H:%M:%S") if len(text) > 10 else datetime.strptime(text, "%Y-%m-%d")
    return int(at.replace(tzinfo=timezone.utc).timestamp() * 1000)


def reference(kind, id):
    return {"__type": "EntityReference" + CONTRACTS, "Id": id, "KeyAttributes": [], "LogicalName": kind, "Name": None,
            "RowVersion": None}


def shown(col, vals):
    """One column in the encoding of a DataContract."""
    value = vals.get(col.name)
    if value is None:
        return None
    if col.type in LOOKUPS:
        return reference(vals.get(col.name + "@", col.targets[0]), value)
    if col.type == "money":
        return {"__type": "Money" + CONTRACTS, "Value": float(value)}
    if col.type in ("choice", "state", "status"):
        return {"__type": "OptionSetValue" + CONTRACTS, "Value": value}
    if col.type == "multichoice":
        return [{"__type": "OptionSetValue" + CONTRACTS, "Value": int(v)} for v in value.split(",")]
    if col.type in ("date", "datetime"):
        return "/Date(%d)/" % epoch(value)
    return float(value) if isinstance(value, Decimal) else value


def entity(table, id, vals, names):
    attributes = [{"key": c.name, "value": shown(c, vals)} for c in table.columns.values() if c.name in names]
    return {"__type": "Entity" + CONTRACTS, "Attributes": attributes, "EntityState": None, "FormattedValues": [],
            "Id": id, "KeyAttributes": [], "LogicalName": table.name, "RelatedEntities": [], "RowVersion": None}


class Webhooks:
    def __init__(self, org, sim):
        self.org = org
        self.sim = sim
        self.deliveries = deque(maxlen=20000)
        self.count = 0
        self.session = None
        self.step_rows = org.rows["sdkmessageprocessingstep"]
        self.steps = {}
        self.known = -1
        org.listener = self.take

    # Registering

    def register(self, doc):
        """The rows of one webhook out of a short form."""
        unknown = set(doc) - {"url", "name", "auth", "values", "table", "messages", "filter", "image", "images"}
        if unknown or not doc.get("url"):
            raise ValueError("a webhook has url, name, auth, values, table, messages, filter, image")
        auth = doc.get("auth", "HttpHeader")
        if auth not in AUTH:
            raise ValueError("auth must be one of %s" % ", ".join(AUTH))
        make = lambda table, **vals: self.org.person_creates(self.org.table(table), vals).id
        endpoint = make("serviceendpoint", name=doc.get("name", "webhook"), url=doc["url"], contract=8,
                        authtype=AUTH[auth], authvalue=auth_value(auth, doc.get("values", {})))
        table, steps = self.org.table(doc.get("table", "opportunity")).name, []
        for message in doc.get("messages", ("Create", "Update", "Delete")):
            found = self.org.rows["sdkmessage"].index("name").get(message.lower(), ())
            if message not in MESSAGES or not found:
                raise ValueError("messages may be %s" % ", ".join(MESSAGES))
            step = make("sdkmessageprocessingstep", name="%s of %s" % (message, table), mode=1, stage=40,
                        sdkmessageid=next(iter(found)), eventhandler={"table": "serviceendpoint", "id": endpoint},
                        sdkmessagefilterid=self.filter_of(next(iter(found)), table), asyncautodelete=True,
                        filteringattributes=",".join(doc["filter"]) if doc.get("filter") and message == "Update"
                        else None)
            if "image" in doc and message != "Delete":
                make("sdkmessageprocessingstepimage", entityalias=doc["image"].get("name", "image"), imagetype=1,
                     attributes=",".join(doc["image"].get("columns", ())) or None, sdkmessageprocessingstepid=step,
                     messagepropertyname="Target")
            steps.append(step)
        return {"endpoint": endpoint, "steps": steps}

    def filter_of(self, message, table):
        rows = self.org.rows["sdkmessagefilter"]
        for id in rows.index("primaryobjecttypecode").get(table, ()):
            if rows.now[id].vals.get("sdkmessageid") == message:
                return id
        raise ValueError("the table %s has no such message" % table)

    def clear(self):
        for name in ("sdkmessageprocessingstepimage", "sdkmessageprocessingstep", "serviceendpoint"):
            for id in list(self.org.rows[name].now):
                self.org.rows[name].delete(id, next(self.org.versions))
        self.deliveries.clear()

    # Events

    def by_event(self):
        """(table, message) -> steps, made anew when a step changed."""
        rows = self.step_rows
        if self.known != rows.changes:
            self.known, self.steps = rows.changes, {}
            for row in rows.now.values():
                vals = row.vals
                message = self.org.get("sdkmessage", vals.get("sdkmessageid"))
                wanted = self.org.get("sdkmessagefilter", vals.get("sdkmessagefilterid"))
                if message is None or vals.get("statecode", 0) != 0:
                    continue
                key = (wanted.vals["primaryobjecttypecode"] if wanted else None, message.vals["name"])
                self.steps.setdefault(key, []).append(row)
        return self.steps

    def take(self, event):
        steps = self.by_event()
        for step in steps.get((event.table.name, event.message), []) + steps.get((None, event.message), []):
            columns = step.vals.get("filteringattributes")
            if columns and event.message == "Update" and not set(columns.split(",")) & set(event.sent):
                continue
            if event.actor.bypass is True or (event.actor.bypass and step.id in event.actor.bypass):
                continue
            endpoint = self.org.get("serviceendpoint", step.vals.get("eventhandler"))
            if endpoint is not None:
                self.start(event, step, endpoint)

    def images(self, step, event):
        out = []
        rows = self.org.rows["sdkmessageprocessingstepimage"]
        for id in rows.index("sdkmessageprocessingstepid").get(step.id, ()):
            vals = rows.now[id].vals
            names = set((vals.get("attributes") or "").split(",")) - {""} or set(event.table.columns)
            if event.after is not None and vals.get("imagetype") in (1, 2):
                out.append({"key": vals.get("entityalias"),
                            "value": entity(event.table, event.id, event.after.vals, names)})
        if not out and event.after is not None:
            names = {event.table.primary_name, event.table.pk}
            out.append({"key": "AsynchronousStepPrimaryName",
                        "value": entity(event.table, event.id, event.after.vals, names)})
        return out

    def context(self, event, step, correlation):
        org, now = self.org, "/Date(%d+0000)/" % int(self.sim.now() * 1000)
        actor, table = event.actor, event.table
        if event.close is not None:
            activity = org.schema.tables["opportunityclose"]
            inputs = [{"key": "OpportunityClose", "value": entity(activity, event.close.id, event.close.vals,
                                                                  set(activity.columns))},
                      {"key": "Status", "value": {"__type": "OptionSetValue" + CONTRACTS,
                                                  "Value": event.after.vals.get("statuscode")}}]
        elif event.message == "Delete":
            inputs = [{"key": "Target", "value": reference(table.name, event.id)}]
        else:
            inputs = [{"key": "Target", "value": entity(table, event.id, event.after.vals, set(event.sent))}]
        shared = [{"key": "IsAutoTransact", "value": True}]
        if actor.tag is not None:
            shared.append({"key": "tag", "value": actor.tag})
        return {
            "BusinessUnitId": org.unit, "CorrelationId": correlation, "Depth": 1,
            "InitiatingUserId": actor.behind or actor.user, "InputParameters": inputs, "IsExecutingOffline": False,
            "IsInTransaction": False, "IsOfflinePlayback": False, "IsolationMode": 1, "MessageName": event.message,
            "Mode": 1, "OperationCreatedOn": now, "OperationId": str(uuid.uuid4()), "OrganizationId": org.id,
            "OrganizationName": "contoso",
            "OutputParameters": [{"key": "id", "value": event.id}] if event.message == "Create" else [],
            "OwningExtension": {"Id": step.id, "KeyAttributes": [], "LogicalName": "sdkmessageprocessingstep",
                                "Name": step.vals.get("name"), "RowVersion": None},
            "ParentContext": None, "PostEntityImages": self.images(step, event), "PreEntityImages": [],
            "PrimaryEntityId": event.id, "PrimaryEntityName": table.name, "RequestId": str(uuid.uuid4()),
            "SecondaryEntityName": "none", "SharedVariables": shared, "Stage": step.vals.get("stage", 40),
            "UserId": actor.user}

    # Delivering

    def start(self, event, step, endpoint):
        correlation = str(uuid.uuid4())
        context = self.context(event, step, correlation)
        headers = {"Content-Type": "application/json", "x-ms-dynamics-organization": "contoso.crm.dynamics.com",
                   "x-ms-dynamics-entity-name": event.table.name, "x-ms-dynamics-request-name": event.message,
                   "x-ms-correlation-request-id": correlation, "x-request-id": str(uuid.uuid4())}
        body = encode(context)
        if len(body) > LARGEST:
            body = encode({k: v for k, v in context.items() if k not in HEAVY})
            headers["x-ms-dynamics-msg-size-exceeded"] = "true"
        self.count += 1
        delivery = {"n": self.count, "step": step.id, "message": event.message, "table": event.table.name,
                    "id": event.id, "attempts": [], "failed": False, "done": False}
        self.deliveries.append(delivery)
        url, extra = self.signed(endpoint.vals)
        self.sim.spawn(self.deliver(delivery, url, {**headers, **extra}, body))

    @staticmethod
    def signed(vals):
        """The three ways a webhook proves who it is."""
        url, kind, value = vals.get("url", ""), vals.get("authtype"), vals.get("authvalue") or ""
        join = "&" if "?" in url else "?"
        if kind == KEY:
            return url + join + urlencode({"code": value}), {}
        pairs = pairs_of(value)
        if kind == QUERY:
            return (url + join + urlencode(pairs)) if pairs else url, {}
        return url, pairs

    async def deliver(self, delivery, url, headers, body):
        options = self.sim.options
        await asyncio.sleep(options["WebhookDelay"] + random.random() * options["WebhookReorder"])
        while options["WebhookPause"]:
            await asyncio.sleep(0.02)
        if self.session is None:
            self.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=64, ssl=False), trust_env=False)
        for _ in range(2):
            status = await self.attempt(url, headers, body)
            delivery["attempts"].append({"t": self.sim.now(), "status": status})
            if status not in AGAIN:
                break
        delivery["failed"] = not (isinstance(status, int) and 200 <= status < 300)
        if delivery["failed"]:
            self.job(delivery, status)
        delivery["done"] = True

    async def attempt(self, url, headers, body):
        try:
            limit = aiohttp.ClientTimeout(total=self.sim.options["WebhookTimeout"])
            async with self.session.post(url, data=body, headers=headers, timeout=limit,
                                         allow_redirects=False) as answer:
                return answer.status
        except asyncio.TimeoutError:
            return "timeout"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return type(error).__name__

    def job(self, delivery, status):
        self.org.person_creates(self.org.table("asyncoperation"), {
            "name": "webhook", "statecode": 3, "statuscode": 31, "owningextensionid": delivery["step"],
            "message": "The webhook call failed: %s" % status})


def encode(context):
    """DataContract JSON escapes every slash; it occurs nowhere outside strings."""
    return json.dumps(context, ensure_ascii=False, separators=(",", ":")).replace("/", "\\/").encode()


def auth_value(auth, given):
    if auth == "WebhookKey":
        return given if isinstance(given, str) else given.get("code", "")
    return "<settings>%s</settings>" % "".join(
        "<setting name=%s value=%s />" % (quoteattr(k), quoteattr(v)) for k, v in given.items())


def pairs_of(text):
    try:
        return {e.get("name"): e.get("value") for e in ElementTree.fromstring(text)} if text else {}
    except ElementTree.ParseError:
        return {}
