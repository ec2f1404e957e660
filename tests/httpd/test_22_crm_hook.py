"""Handler cosell-crm: who may tell of a change, what is kept of it, and each row of its contract. Nothing is worked on here: CosellWorkers 0."""

import json
import os
import socket
import sqlite3
import uuid
from urllib.parse import quote

import pytest

from harness import post, wait_for
from harness.storm import request_bytes
from harness.world import CRM

HOOK = "/crm"
SECRET = "a4/b+c&d=e%41 f-0123456789"  # what a query or a header may do to it
OTHER_SECRET = "the-second-environment-has-its-own"
ONE_CHILD = ["StartServers 1", "ServerLimit 1", "ThreadLimit 16", "ThreadsPerChild 16", "MinSpareThreads 1", "MaxSpareThreads 16",
             "MaxRequestWorkers 16"]
CHILD_TABLE, CHILDREN = "msft_microsoftsolution", "msft_microsoftsolutions"


def hooked(world, secret=SECRET, name="webhook", **options):
    """The site with a secret, a Location, and nobody at work."""
    reference = world.server.secret(name, secret)
    options = "".join(" %s=%s" % item for item in options.items())
    world.replace("CosellCrm", world.directive("CosellCrm") + " webhook-secret=" + reference + options)
    world.server.locations += ['<Location "%s">' % HOOK, "  SetHandler cosell-crm", "</Location>"]
    world.server.globals_.append("CosellWorkers 0")
    world.hook = world.server.base + HOOK
    return world


@pytest.fixture(scope="module")
def world(world_of):
    world = hooked(world_of("crm-hook", mpm_lines=ONE_CHILD, preloads=["fault_io"]))
    second = world.directive("CosellCrm").replace("CosellCrm %s " % CRM, "CosellCrm emea ")
    first, own = second.rsplit("webhook-secret=", 1)
    world.server.site.append(first + "webhook-secret=" + world.server.secret("webhook-emea", OTHER_SECRET))
    world.fault = world.server.path("tmp/fault")
    with open(world.fault, "wb") as file:
        file.write(b"\0" * 64)
    os.chmod(world.fault, 0o644)
    world.server.env.update({"COSELL_FAULT_FILE": world.fault, "COSELL_FAULT_DIR": world.server.state})
    return world.start()


@pytest.fixture
def crm(world):
    """The simulator, which forgets the test's registrations."""
    yield world.crm
    world.crm.delete("webhooks")


def context(table="opportunity", identity=None, message="Update", organization=None, **more):
    identity = identity or str(uuid.uuid4())
    document = {"MessageName": message, "PrimaryEntityName": table, "PrimaryEntityId": identity, "InputParameters": [],
                "OperationCreatedOn": "/Date(1793527203456+0000)/", "OrganizationId": organization or str(uuid.uuid4()), **more}
    return json.dumps(document).encode()


def send(world, body=None, headers=None, query="", method="POST", secret=SECRET, type_="application/json"):
    shown = {} if secret is None else {"X-Cosell-Secret": secret}
    return post(world.hook + query, context() if body is None else body, {**({"Content-Type": type_} if type_ else {}), **shown,
                                                                         **(headers or {})}, method=method)


def deliveries(world):
    return world.server.sql("SELECT * FROM delivery ORDER BY id") if os.path.exists(world.server.database) else []


def look(world, identity, crm=CRM):
    rows = world.server.sql("SELECT * FROM work WHERE kind = 'look' AND name = ?", "%s:%s" % (crm, identity))
    return rows[0] if rows else None


def hints(world, identity):
    return json.loads(look(world, identity)["hints"])


def delivered(crm, count=1, deadline=10):
    def done():
        found = crm.get("webhooks")
        return found if len(found) >= count and all(d["done"] for d in found) else None
    return wait_for(done, deadline, "the simulator to have delivered")


def statuses(delivery):
    return [attempt["status"] for attempt in delivery["attempts"]]


def refused(world, status, **request):
    before = len(deliveries(world))
    answer = send(world, **request)
    assert answer.status == status, (answer.status, answer.body)
    assert len(deliveries(world)) == before
    return answer


def organization(crm):
    return crm.get("organizations")[0]["organizationid"]


# Delivered by the simulator


FORMS = {"header": dict(auth="HttpHeader", values={"X-Whatever-It-Is-Called": SECRET}),
         "one header of several": dict(auth="HttpHeader", values={"X-One": "1", "X-Two": SECRET, "X-Three": "3"}),
         "webhook key": dict(auth="WebhookKey", values=SECRET),
         "query": dict(auth="HttpQueryString", values={"a": "1", "any name": SECRET, "b": "2"})}


@pytest.mark.parametrize("form", FORMS)
def test_three_forms_of_authentication(world, crm, form):
    row = crm.post("opportunities", {"name": world.unique()})
    crm.post("webhooks", {"url": world.hook, "table": "opportunity", "messages": ["Update"], **FORMS[form]})
    crm.edit("opportunities", row["opportunityid"], {"name": "Changed"})
    assert statuses(delivered(crm)[0]) == [200]
    kept = deliveries(world)[-1]
    assert (kept["site"], kept["source"], kept["event"], kept["kind"]) == ("contoso", CRM, "Update", "look")
    assert look(world, row["opportunityid"])["wanted"] == 1


@pytest.mark.parametrize("form", FORMS)
def test_wrong_secret(world, crm, form):
    before = len(deliveries(world))
    row = crm.post("opportunities", {"name": world.unique()})
    wrong = {k: (v.replace(SECRET, SECRET[:-1]) if isinstance(v, str) else {n: x.replace(SECRET, SECRET[:-1]) for n, x in v.items()})
             for k, v in FORMS[form].items()}
    crm.post("webhooks", {"url": world.hook, "table": "opportunity", "messages": ["Update"], **wrong})
    crm.edit("opportunities", row["opportunityid"], {"name": "Changed"})
    assert statuses(delivered(crm)[0]) == [401]
    assert len(deliveries(world)) == before and look(world, row["opportunityid"]) is None


def test_every_message_of_a_record(world, crm):
    crm.post("webhooks", {"url": world.hook, "table": "opportunity", "values": {"X-Key": SECRET},
                          "messages": ["Create", "Update", "Delete", "Win", "Lose"]})
    made = crm.post("opportunities", {"name": world.unique()})["opportunityid"]
    crm.edit("opportunities", made, {"name": "Changed"})
    crm.delete("opportunities/" + made)
    done = delivered(crm, 3)
    assert {d["message"]: statuses(d) for d in done} == {"Create": [200], "Update": [200], "Delete": [200]}
    assert look(world, made)["wanted"] == 3
    # Which row version they speak of, and which table it is.
    assert set(hints(world, made)) == {CRM, "table:opportunity"}


def test_delete_of_a_child(world, crm):
    opportunity = crm.post("opportunities", {"name": world.unique()})["opportunityid"]
    detail = crm.post("msft_microsoftsolutiondetails", {"msft_solutionidentifier": uuid.uuid4().hex[:12]})
    child = crm.post(CHILDREN, {"msft_opportunityid": {"table": "opportunity", "id": opportunity},
                                "msft_solutiondetailid": {"table": "msft_microsoftsolutiondetail",
                                                          "id": detail["msft_microsoftsolutiondetailid"]}})[CHILD_TABLE + "id"]
    crm.post("webhooks", {"url": world.hook, "table": CHILD_TABLE, "values": {"X-Key": SECRET}, "messages": ["Delete"]})
    crm.delete("%s/%s" % (CHILDREN, child))
    assert statuses(delivered(crm)[0]) == [200]
    assert deliveries(world)[-1]["event"] == "Delete"
    assert hints(world, child).keys() >= {"table:" + CHILD_TABLE}


def test_a_child_names_its_record(world, crm):
    opportunity = crm.post("opportunities", {"name": world.unique()})["opportunityid"]
    crm.post("webhooks", {"url": world.hook, "table": CHILD_TABLE, "values": {"X-Key": SECRET}, "messages": ["Create"]})
    child = crm.post(CHILDREN, {"msft_opportunityid": {"table": "opportunity", "id": opportunity}})[CHILD_TABLE + "id"]
    assert statuses(delivered(crm)[0]) == [200]
    assert look(world, child) and look(world, opportunity)
    assert CRM not in hints(world, opportunity)  # nothing is known of a version of the record


def test_largest_and_truncated(world, crm):
    crm.columns("opportunity", acme_minutes=("memo", {"max": 1048576}))
    row = crm.post("opportunities", {"name": world.unique()})["opportunityid"]
    crm.post("webhooks", {"url": world.hook, "table": "opportunity", "values": {"X-Key": SECRET}, "messages": ["Update"],
                          "image": {"name": "image", "columns": ["acme_minutes"]}})
    for length, problem in ((100000, False), (300000, True)):
        crm.edit("opportunities", row, {"acme_minutes": "é" * (length // 4)})
        assert statuses(delivered(crm)[-1]) == [200]
        assert bool(deliveries(world)[-1]["problem"]) == problem
    assert look(world, row)["wanted"] == 2


def test_table_that_nobody_watches(world, crm):
    works = world.server.count("work")
    crm.post("webhooks", {"url": world.hook, "table": "team", "values": {"X-Key": SECRET}, "messages": ["Create"]})
    crm.post("teams", {"name": world.unique("Team")})
    assert statuses(delivered(crm)[0]) == [200]
    assert deliveries(world)[-1]["kind"] is None and world.server.count("work") == works


def test_store_in_trouble(world, crm):
    """503, which Dataverse repeats once; later all is well again."""
    world.server.log.announce(r"CS220[0-9]:", r"CS3\d\d\d:", r"runner:")
    row = crm.post("opportunities", {"name": world.unique()})["opportunityid"]
    assert send(world).status == 200
    crm.post("webhooks", {"url": world.hook, "table": "opportunity", "values": {"X-Key": SECRET}, "messages": ["Update"]})
    set_fault(world, b"ENOSPC")
    try:
        crm.edit("opportunities", row, {"name": "Changed"})
        assert statuses(delivered(crm)[0]) == [503, 503]
        answer = send(world)
        assert answer.status == 503 and answer.headers["retry-after"].isdigit()
    finally:
        set_fault(world, b"")
    wait_for(lambda: send(world).status == 200, 10, "the store to be good again")
    crm.edit("opportunities", row, {"name": "Changed again"})
    assert statuses(delivered(crm, 2)[-1]) == [200]
    assert look(world, row)["wanted"] == 1


def set_fault(world, fault):
    with open(world.fault, "r+b") as file:
        file.write(fault.ljust(64, b"\0"))


# The contract, by hand


def test_which_crm_it_is(world):
    identity = str(uuid.uuid4())
    assert send(world, context(identity=identity), secret=OTHER_SECRET).status == 200
    assert deliveries(world)[-1]["source"] == "emea"
    assert look(world, identity, "emea") and not look(world, identity)


@pytest.mark.parametrize("query", ["?code=" + quote(SECRET, safe=""), "?code=" + quote(SECRET, safe="/+="),
                                   "?code=" + quote(SECRET, safe="").replace("%20", "+"), "?" + quote(SECRET, safe=""),
                                   "?a=1&&b&code=" + quote(SECRET, safe="") + "&c=%zz%"])
def test_how_a_query_may_write_it(world, query):
    assert send(world, query=query, secret=None).status == 200


@pytest.mark.parametrize("secret", [None, "", SECRET[:-1], SECRET + "x", SECRET.upper(), SECRET.replace(" ", "  "), "x" * 4000])
def test_not_quite_the_secret(world, secret):
    answer = refused(world, 401, secret=secret)
    assert answer.body == b"not authentic\n"
    wait_for(lambda: world.server.log.matching("no header and no parameter .* webhook-secret") or
             world.server.log.matching("CS1050"), 5, "the log to say why")


def test_name_of_the_parameter_is_not_the_secret(world):
    refused(world, 401, secret=None, query="?%s=1" % quote(SECRET, safe=""))


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_other_methods(world, method):
    answer = refused(world, 405, body=b"", method=method)
    assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize("type_", [None, "text/plain", "application/jsonx", "text/xml", "application/x-www-form-urlencoded"])
def test_other_types(world, type_):
    refused(world, 415, type_=type_)


@pytest.mark.parametrize("type_", ["application/json; charset=utf-8", "Application/JSON"])
def test_type_with_more(world, type_):
    assert send(world, type_=type_).status == 200


def test_sizes(world):
    """Much more than Dataverse sends is taken; then there is an end, announced or not."""
    assert send(world, context(Padding="x" * 900000)).status == 200
    refused(world, 413, body=context(Padding="x" * 1048576))
    chunks = [b"400\r\n" + b" " * 1024 + b"\r\n"] * 1100
    head = ("POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nX-Key: %s\r\nTransfer-Encoding: chunked\r\n"
            "Connection: close\r\n\r\n" % (HOOK, SECRET)).encode()
    assert raw(world, head + b"".join(chunks) + b"0\r\n\r\n").startswith(b"HTTP/1.1 413 ")


def raw(world, data, timeout=10):
    with socket.create_connection(("127.0.0.1", world.server.port), timeout) as sock:
        try:
            sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass
        answer = b""
        while b"\r\n\r\n" not in answer:
            piece = sock.recv(65536)
            if not piece:
                break
            answer += piece
        return answer


def test_stranger_is_refused_before_the_body(world):
    """No byte of a body that somebody announces without the secret is waited for."""
    head = request_bytes(world.hook, b"", {"Content-Type": "application/json", "X-Key": "wrong", "Expect": "100-continue"})
    answer = raw(world, head.replace(b"Content-Length: 0", b"Content-Length: 500000"), timeout=5)
    assert answer.startswith(b"HTTP/1.1 401 "), answer[:100]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"x"', b"{}", b"\xef\xbb\xbf" + context(), context() + b"x", b'{"a":"\xff"}',
                                  b"<soap/>", b"[" * 5000],
                         ids=["empty", "cut", "array", "null", "text", "no-members", "bom", "more-behind", "no-utf-8", "xml", "deep"])
def test_no_context(world, body):
    refused(world, 400, body=body)


def test_nonsense_of_a_stranger_is_not_looked_at(world):
    refused(world, 401, body=b"{", secret="wrong")


def test_header_and_body_disagree(world):
    identity = str(uuid.uuid4())
    assert send(world, context("opportunity", identity), {"x-ms-dynamics-entity-name": "account"}).status == 200
    assert "the body counts" in deliveries(world)[-1]["problem"]
    assert set(hints(world, identity)) == {CRM, "table:opportunity"}


def test_counted_and_silent(world):
    before = world.server.status()["counters"]
    assert send(world).status == 200
    refused(world, 401, secret="wrong", query="?code=" + "wrong-secret-of-somebody")
    after = world.server.status()["counters"]
    assert after["notified"] == before["notified"] + 1 and after["accepted"] == before["accepted"]
    assert after["rejected_401"] == before["rejected_401"] + 1
    for name in os.listdir(world.server.path("logs")):
        with open(world.server.path("logs/" + name), "rb") as file:
            text = file.read()
        for secret in (SECRET.encode(), quote(SECRET, safe="").encode(), OTHER_SECRET.encode(), b"wrong-secret-of-somebody"):
            assert secret not in text, name


def test_secrets_are_not_in_memory_that_children_share(world):
    """Children compare digests; what root read is wiped before they are forked."""
    for pid in [*world.server.children(), world.server.runner()]:
        assert SECRET.encode() not in heap(pid) and OTHER_SECRET.encode() not in heap(pid)


def heap(pid):
    """What the process inherited: its heap and private anonymous memory, stacks of threads left out."""
    out = b""
    with open("/proc/%d/maps" % pid) as maps, open("/proc/%d/mem" % pid, "rb") as memory:
        for line in maps:
            if "[heap]" in line:
                low, high = (int(x, 16) for x in line.split()[0].split("-"))
                memory.seek(low)
                out += memory.read(high - low)
    assert out
    return out


# Configurations


def test_no_secret_configured(world, new_world):
    other = new_world("crm-none", partner=world.partner, crm=world.crm)
    hooked(other)
    other.replace("CosellCrm", other.directive("CosellCrm").split(" webhook-secret=")[0])
    other.start()
    refused(other, 401)
    wait_for(lambda: other.server.log.matching("no CRM of this site has a webhook-secret="), 5, "the log to say why")


def test_secret_that_cannot_be_read(world, new_world):
    """Nobody can say that a notification is false: 503. Everything else works."""
    other = new_world("crm-unread", partner=world.partner, crm=world.crm)
    hooked(other)
    line = other.directive("CosellCrm").split(" webhook-secret=")[0]
    other.replace("CosellCrm", line + ' "webhook-secret=exec:/bin/false"')
    other.start()
    other.server.log.announce("CS1070")
    refused(other, 503)
    assert other.server.static_served()
    assert other.server.log.matching("CS1070.*webhook secret of %s" % CRM)


def test_secret_of_a_command(world, new_world):
    other = new_world("crm-exec", partner=world.partner, crm=world.crm)
    hooked(other)
    line = other.directive("CosellCrm").split(" webhook-secret=")[0]
    other.replace("CosellCrm", line + ' "webhook-secret=exec:/bin/echo the-secret-of-a-command"')
    other.start()
    refused(other, 401)
    assert send(other, secret="the-secret-of-a-command").status == 200


def test_changed_secret_with_a_reload(world, new_world):
    other = new_world("crm-reload", partner=world.partner, crm=world.crm)
    hooked(other).start()
    assert send(other).status == 200
    other.server.secret("webhook", "another-secret-from-now-on")
    assert send(other).status == 200
    other.server.graceful()
    wait_for(lambda: send(other).status == 401, 10, "the old secret to be refused")
    assert send(other, secret="another-secret-from-now-on").status == 200


# A copy of the environment


def test_configured_organization(world, new_world):
    mine = str(uuid.uuid4())
    other = new_world("crm-organization", partner=world.partner, crm=world.crm)
    hooked(other, organization=mine).start()
    other.server.log.announce("CS1073")
    assert send(other, context(organization=mine.upper())).status == 200
    for _ in range(3):
        refused(other, 401, body=context(organization=str(uuid.uuid4())))
    copies = other.server.log.matching("CS1073")
    assert 1 <= len(copies) <= len(other.server.children()) and mine in copies[0]


def test_learnt_organization(world, crm):
    """Not known yet: hints are taken from anybody with the secret. Then only from the one."""
    world.server.log.announce("CS1073")
    mine = organization(crm)
    assert send(world, secret=OTHER_SECRET).status == 200
    connection = sqlite3.connect(world.server.database, timeout=10)
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('contoso', 'organization:emea', ?)", (mine,))
    connection.commit()
    connection.close()
    stranger = str(uuid.uuid4())
    wait_for(lambda: send(world, context(organization=stranger), secret=OTHER_SECRET).status == 401, 15, "a copy to be refused", every=0.5)
    assert send(world, context(organization=mine), secret=OTHER_SECRET).status == 200
    assert send(world, context(organization=stranger)).status == 200  # the other CRM is somebody else
    assert len(world.server.log.matching("CS1073")) == 1
