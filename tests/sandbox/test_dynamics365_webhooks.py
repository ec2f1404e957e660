"""Webhooks of the Dynamics 365 simulator against what Microsoft documents."""
import http.server
import json
import os
import queue
import re
import sys
import threading
import urllib.parse

import pytest

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from d365_client import (  # noqa: E402
    EUR, FABRIKAM, GUID, ORG_USER, PERSON, Server, batch, http_part, unique, wait_for,
)

MEMBERS = {"BusinessUnitId", "CorrelationId", "Depth", "InitiatingUserId", "InputParameters", "IsExecutingOffline",
           "IsInTransaction", "IsOfflinePlayback", "IsolationMode", "MessageName", "Mode", "OperationCreatedOn",
           "OperationId", "OrganizationId", "OrganizationName", "OutputParameters", "OwningExtension", "ParentContext",
           "PostEntityImages", "PreEntityImages", "PrimaryEntityId", "PrimaryEntityName", "RequestId",
           "SecondaryEntityName", "SharedVariables", "Stage", "UserId"}
HEADERS = {"X-Secret": "s3cret & <more>", "X-Other": "1"}


class Receiver:
    """Keeps what arrives and answers with the statuses wanted, 200 when there are none left."""

    def __init__(self):
        self.calls, self.statuses = queue.Queue(), []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.calls.put((self.path, self.headers, body))
                status = outer.statuses.pop(0) if outer.statuses else 200
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = "http://127.0.0.1:%d/hook" % self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def next(self):
        path, headers, body = self.calls.get(timeout=5)
        return path, headers, json.loads(body), body

    def context(self):
        return self.next()[2]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def server():
    one = Server()
    yield one
    assert one.stop() == 0


@pytest.fixture
def d365(server):
    yield server
    server.control("DELETE", "webhooks")
    server.reset()


@pytest.fixture
def receiver():
    one = Receiver()
    yield one
    one.close()


def hook(server, receiver, **more):
    return server.control("POST", "webhooks", {"url": receiver.url, "values": HEADERS, **more})


def attributes(context):
    target = context["InputParameters"][0]
    assert target["key"] == "Target"
    return {a["key"]: a["value"] for a in target["value"]["Attributes"]}


def done(server):
    return server.control("GET", "webhooks")


def test_create(d365, receiver):
    hook(d365, receiver)
    id = d365.make("opportunities", name="a/b", estimatedvalue=5000, estimatedclosedate="2026-03-31",
                   **{"parentaccountid@odata.bind": "/accounts(%s)" % FABRIKAM})
    path, headers, context, raw = receiver.next()
    assert set(context) == MEMBERS and path == "/hook"
    assert headers["Content-Type"] == "application/json"
    assert headers["x-ms-dynamics-organization"] == "contoso.crm.dynamics.com"
    assert headers["x-ms-dynamics-entity-name"] == "opportunity"
    assert headers["x-ms-dynamics-request-name"] == "Create"
    assert headers["x-ms-correlation-request-id"] == context["CorrelationId"]
    assert headers["x-ms-dynamics-msg-size-exceeded"] is None
    assert (headers["X-Secret"], headers["X-Other"]) == ("s3cret & <more>", "1")
    assert b"/" not in raw.replace(b"\\/", b"") and b'"a\\/b"' in raw
    assert re.match(r"/Date\(\d+[+-]\d{4}\)/\Z", context["OperationCreatedOn"])
    assert (context["PrimaryEntityId"], context["PrimaryEntityName"]) == (id, "opportunity")
    assert (context["Depth"], context["Mode"], context["Stage"]) == (1, 1, 40)
    assert context["InitiatingUserId"] == context["UserId"] == ORG_USER
    assert context["OutputParameters"] == [{"key": "id", "value": id}]
    found = attributes(context)
    assert found["estimatedvalue"] == {"__type": "Money:http://schemas.microsoft.com/xrm/2011/Contracts",
                                       "Value": 5000}
    assert found["estimatedclosedate"] == "/Date(1774915200000)/"
    assert found["parentaccountid"]["LogicalName"] == "account" and found["parentaccountid"]["Id"] == FABRIKAM
    assert b'{"__type":"EntityReference:' in raw
    image, = context["PostEntityImages"]
    assert image["key"] == "AsynchronousStepPrimaryName"


def test_update_sends_what_was_sent(d365, receiver):
    id = d365.make("opportunities", name=unique())
    hook(d365, receiver, messages=["Update"], filter=["name", "statecode"],
         image={"name": "post", "columns": ["name", "statuscode"]})
    d365.patch("opportunities(%s)" % id, description="not heard of")
    d365.patch("opportunities(%s)" % id, name="heard of")
    context = receiver.context()
    assert set(attributes(context)) == {"name", "modifiedon", "modifiedby", "opportunityid"}
    image, = context["PostEntityImages"]
    assert image["key"] == "post"
    assert {a["key"]: a["value"] for a in image["value"]["Attributes"]}["statuscode"]["Value"] == 1
    d365.control("PATCH", "opportunities/%s" % id, {"name": "by hand"})
    assert receiver.context()["InitiatingUserId"] == PERSON
    d365.control("PATCH", "opportunities/%s?silent=1" % id, {"name": "quietly"})
    wait_for(lambda: all(d["done"] for d in done(d365)))
    assert receiver.calls.empty() and len(done(d365)) == 2


def test_delete_and_closing(d365, receiver):
    hook(d365, receiver, messages=["Delete", "Win", "Lose", "Update"], filter=["statecode"])
    id = d365.make("opportunities", name=unique())
    assert d365.ask("POST", "WinOpportunity", {"Status": 3, "OpportunityClose": {
        "subject": "s", "opportunityid@odata.bind": "/opportunities(%s)" % id}}).status_code == 204
    got = {c["MessageName"]: c for c in (receiver.context(), receiver.context())}
    assert set(got) == {"Update", "Win"}
    assert [p["key"] for p in got["Win"]["InputParameters"]] == ["OpportunityClose", "Status"]
    d365.ask("DELETE", "opportunities(%s)" % id)
    context = receiver.context()
    assert context["MessageName"] == "Delete" and context["PostEntityImages"] == []
    assert context["InputParameters"][0]["value"]["__type"].startswith("EntityReference:")


@pytest.mark.parametrize("auth, values, query", [
    ("WebhookKey", "k&y", {"code": ["k&y"]}), ("HttpQueryString", {"a": "1", "b": "x y"}, {"a": ["1"], "b": ["x y"]}),
])
def test_secrets_in_the_query(d365, receiver, auth, values, query):
    hook(d365, receiver, auth=auth, values=values, messages=["Create"])
    d365.make("opportunities", name=unique())
    path = receiver.next()[0]
    assert urllib.parse.parse_qs(urllib.parse.urlsplit(path).query) == query
    endpoint = d365.list("serviceendpoints?$select=authtype,authvalue,contract")[-1]
    assert endpoint["contract"] == 8 and endpoint["authvalue"] is None


@pytest.mark.parametrize("statuses, attempts, failed", [
    ([200], 1, False), ([503], 2, False), ([502, 504], 2, True), ([500], 1, True), ([429], 1, True), ([302], 1, True),
])
def test_one_more_attempt_after_502_503_504(d365, receiver, statuses, attempts, failed):
    step = hook(d365, receiver, messages=["Create"])["steps"][0]
    receiver.statuses = list(statuses)
    d365.make("opportunities", name=unique())
    wait_for(lambda: done(d365) and done(d365)[0]["done"])
    delivery = done(d365)[0]
    assert [a["status"] for a in delivery["attempts"]] == (statuses + [200])[:attempts]
    assert delivery["failed"] is failed
    jobs = d365.list("asyncoperations?$filter=statuscode eq 31 and _owningextensionid_value eq %s" % step)
    assert len(jobs) == failed


def test_timeout_is_not_repeated(d365):
    import socket
    with socket.create_server(("127.0.0.1", 0)) as silent:
        d365.options(WebhookTimeout=0.2)
        d365.control("POST", "webhooks", {"url": "http://127.0.0.1:%d/" % silent.getsockname()[1],
                                          "messages": ["Create"]})
        d365.make("opportunities", name=unique())
        wait_for(lambda: done(d365) and done(d365)[0]["done"])
        assert [a["status"] for a in done(d365)[0]["attempts"]] == ["timeout"]


def test_large_messages_are_stripped(d365, receiver):
    d365.control("POST", "columns", {"table": "opportunity", "name": "new_Long", "type": "memo", "max": 1000000})
    hook(d365, receiver, messages=["Create"])
    id = d365.make("opportunities", name=unique(), new_long="x" * 300000)
    _, headers, context, raw = receiver.next()
    assert headers["x-ms-dynamics-msg-size-exceeded"] and len(raw) < 256 * 1024
    assert context["PrimaryEntityId"] == id
    assert not {"ParentContext", "InputParameters", "PreEntityImages", "PostEntityImages"} & set(context)
    d365.control("DELETE", "columns/opportunity.new_long")


def test_undone_change_sets_are_not_told(d365, receiver):
    hook(d365, receiver, messages=["Create"])
    url, last = "/api/data/v9.2/opportunities", unique()
    batch(d365, [http_part("POST", url, {"name": "x"}, content_id=1),
                 http_part("POST", url, {"closeprobability": 101}, content_id=2)])
    batch(d365, [http_part("POST", url, {"name": "y"}, content_id=1),
                 http_part("POST", url, {"name": last}, content_id=2)])
    names = {attributes(receiver.context())["name"] for _ in range(2)}
    assert names == {"y", last} and len(done(d365)) == 2


def test_bypassing_and_tagging(d365, receiver):
    step = hook(d365, receiver, messages=["Create"])["steps"][0]
    body = {"name": unique()}
    d365.ask("POST", "opportunities", body, **{"MSCRM.BypassBusinessLogicExecutionStepIds": step})
    d365.ask("POST", "opportunities", body, **{"MSCRM.BypassBusinessLogicExecution": "CustomSync,CustomAsync"})
    d365.ask("POST", "opportunities?tag=from%20us", body)
    context = receiver.context()
    assert {"key": "tag", "value": "from us"} in context["SharedVariables"]
    assert len(done(d365)) == 1


def test_registration_through_the_web_api(d365, receiver):
    message = d365.list("sdkmessages?$select=name&$filter=name eq 'Update'")[0]["sdkmessageid"]
    wanted = d365.list("sdkmessagefilters?$select=sdkmessagefilterid&$filter=_sdkmessageid_value eq %s and "
                       "primaryobjecttypecode eq 'account'" % message)[0]["sdkmessagefilterid"]
    endpoint = d365.make("serviceendpoints", name="hook", url=receiver.url, contract=8, authtype=5,
                         authvalue='<settings><setting name="K" value="V" /></settings>')
    step = d365.make("sdkmessageprocessingsteps", name="s", mode=1, stage=40, filteringattributes="name", **{
        "sdkmessageid@odata.bind": "/sdkmessages(%s)" % message,
        "sdkmessagefilterid@odata.bind": "/sdkmessagefilters(%s)" % wanted,
        "eventhandler_serviceendpoint@odata.bind": "/serviceendpoints(%s)" % endpoint})
    d365.patch("accounts(%s)" % FABRIKAM, name="Fabrikam Ltd", **{"transactioncurrencyid@odata.bind":
                                                                  "/transactioncurrencies(%s)" % EUR})
    _, headers, context, _ = receiver.next()
    assert headers["K"] == "V" and context["PrimaryEntityId"] == FABRIKAM
    assert context["OwningExtension"]["Id"] == step and GUID.match(context["OperationId"])
    d365.patch("sdkmessageprocessingsteps(%s)" % step, statecode=1, statuscode=2)
    d365.patch("accounts(%s)" % FABRIKAM, name="Fabrikam Ltd")
    assert len(done(d365)) == 1


def test_pausing_and_order(d365, receiver):
    hook(d365, receiver, messages=["Create"])
    d365.options(WebhookPause=True)
    names = [unique() for _ in range(5)]
    for name in names:
        d365.make("opportunities", name=name)
    assert receiver.calls.empty() and len(done(d365)) == 5
    d365.options(WebhookPause=False)
    assert {attributes(receiver.context())["name"] for _ in names} == set(names)
