"""Handler cosell-crm for Salesforce: outbound messages, the JSON of a Flow, who may send them. Nothing is worked on but where a test says so: CosellWorkers 0."""

import datetime
import http.client
import json
import os
import ssl
from urllib.parse import quote
from xml.etree import ElementTree

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from harness import post, wait_for
from harness.paths import apxs
from harness.server import free_port
from harness.world import CRM

CRMS = ("salesforce",)
HOOK = "/crm"
SECRET = "a4/b+c&d=e%41 f-0123456789"
QUERY = "?secret=" + quote(SECRET, safe="")
ONE_CHILD = ["StartServers 1", "ServerLimit 1", "ThreadLimit 16", "ThreadsPerChild 16", "MinSpareThreads 1", "MaxSpareThreads 16",
             "MaxRequestWorkers 16"]
OUTBOUND = "http://soap.sforce.com/2005/09/outbound"
ACK = ('<?xml version="1.0" encoding="UTF-8"?>\n<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>'
       '<notificationsResponse xmlns="%s"><Ack>true</Ack></notificationsResponse></soapenv:Body></soapenv:Envelope>' % OUTBOUND).encode()


def hooked(world, secret=SECRET, workers=0, **options):
    options = "".join(" %s=%s" % item for item in options.items())
    if secret:
        options += " webhook-secret=" + world.server.secret("webhook", secret)
    world.replace("CosellCrm", world.directive("CosellCrm") + options)
    world.server.locations += ['<Location "%s">' % HOOK, "  SetHandler cosell-crm", "</Location>"]
    if workers == 0:
        world.server.globals_.append("CosellWorkers 0")
    world.hook = world.server.base + HOOK
    return world


@pytest.fixture(scope="module")
def world(world_of):
    """Its organisation is configured, by its short id: what is learnt at the first contact needs somebody at work."""
    world = world_of("outbound", mpm_lines=ONE_CHILD, preloads=["fault_io"])
    hooked(world, organization=world.crm.info["organization"][:15])
    world.fault = world.server.path("tmp/fault")
    with open(world.fault, "wb") as file:
        file.write(b"\0" * 64)
    os.chmod(world.fault, 0o644)
    world.server.env.update({"COSELL_FAULT_FILE": world.fault, "COSELL_FAULT_DIR": world.server.state})
    return world.start()


@pytest.fixture
def crm(world):
    """The simulator, which forgets the test's registrations."""
    world.crm.post("options", {"OutboundRetry": 1})
    yield world.crm
    world.crm.raw("DELETE", "outbound")


def identity(number, prefix="006"):
    """An id of 15 characters, as Salesforce shows it in older places."""
    return "%s5g%010d" % (prefix, number)


def message(ids=None, organization=None, table="Opportunity", fields=""):
    ids = ids or [identity(1)]
    rows = "".join('<Notification><Id>04l5g%010dAAA</Id><sObject xsi:type="sf:%s" xmlns:sf="urn:sobject.enterprise.soap.sforce.com"><sf:Id>%s</sf:Id>%s</sObject>'
                   "</Notification>" % (n, table, id, fields) for n, id in enumerate(ids))
    return ('<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" '
            'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body><notifications xmlns="%s"><OrganizationId>%s</OrganizationId>'
            '<ActionId>04k5g0000000001AAA</ActionId><SessionId xsi:nil="true"/><EnterpriseUrl>https://x/</EnterpriseUrl><PartnerUrl>https://x/</PartnerUrl>'
            "%s</notifications></soapenv:Body></soapenv:Envelope>" % (OUTBOUND, organization, rows)).encode()


def send(world, body=None, query=QUERY, type_="text/xml; charset=UTF-8", method="POST", headers=None):
    body = message(organization=world.crm.info["organization"]) if body is None else body
    return post(world.hook + query, body, {**({"Content-Type": type_} if type_ else {}), **(headers or {})}, method=method)


def deliveries(world):
    return world.server.sql("SELECT * FROM delivery ORDER BY id") if os.path.exists(world.server.database) else []


def looks(world):
    return {row["name"]: row for row in world.server.sql("SELECT * FROM work WHERE kind = 'look'")} if os.path.exists(world.server.database) else {}


def refused(world, status, **request):
    before = len(deliveries(world))
    answer = send(world, **request)
    assert answer.status == status, (answer.status, answer.body)
    assert len(deliveries(world)) == before and b"Ack" not in answer.body
    return answer


def sent(crm, count=1, deadline=15, **wanted):
    """Messages that the simulator sent, once there are so many."""
    def done():
        found = [m for m in crm.raw("GET", "outbound")["sent"] if all(m[k] == v for k, v in wanted.items())]
        return found if len(found) >= count else None
    return wait_for(done, deadline, "%d messages of %s" % (count, wanted))


# Delivered by the simulator


def test_a_message_is_acknowledged(world, crm):
    row = crm.post("opportunities", {"name": world.unique()})["opportunityid"]
    crm.notify_to(world.hook + QUERY, "opportunity")
    crm.edit("opportunities", row, {"name": "Changed"})
    assert sent(crm, records=[row])[0]["ack"] is True
    kept = deliveries(world)[-1]
    assert (kept["site"], kept["source"], kept["kind"]) == ("contoso", CRM, "look")
    assert looks(world)["%s:%s" % (CRM, row)]["wanted"] == 1
    assert set(json.loads(looks(world)["%s:%s" % (CRM, row)]["hints"])) == {CRM, "table:Opportunity"}


def test_a_flow_tells_by_json(world, crm):
    row = crm.post("opportunities", {"name": world.unique()})["opportunityid"]
    crm.raw("POST", "outbound", {"url": world.hook + QUERY, "object": "Opportunity", "format": "json"})
    crm.edit("opportunities", row, {"name": "Changed"})
    assert sent(crm, records=[row])[0]["status"] == 200
    assert looks(world)["%s:%s" % (CRM, row)]["wanted"] == 1


def test_wrong_secret(world, crm):
    row = crm.post("opportunities", {"name": world.unique()})["opportunityid"]
    crm.notify_to(world.hook + QUERY[:-1], "opportunity")
    before = len(deliveries(world))
    crm.edit("opportunities", row, {"name": "Changed"})
    wrong = sent(crm, records=[row])[0]
    assert wrong["status"] == 401 and wrong["ack"] is False
    assert len(deliveries(world)) == before and "%s:%s" % (CRM, row) not in looks(world)


def test_hundred_notifications_are_one_commit_and_one_ack(world, crm):
    rows = [r["opportunityid"] for r in crm.post("bulk/opportunities", [{"name": world.unique()} for _ in range(100)])]
    before = len(deliveries(world))
    crm.post("options", {"OutboundPause": True})
    crm.notify_to(world.hook + QUERY, "opportunity")
    crm.patch("bulk/opportunities", {"ids": rows, "change": {"description": "Changed at once"}})
    crm.post("options", {"OutboundPause": False})
    messages = wait_for(lambda: (lambda found: found if {r for m in found for r in m["records"]} >= set(rows) else None)(crm.raw("GET", "outbound")["sent"]), 15,
                        "all rows to be told")
    whole = [m for m in messages if len(m["records"]) > 1]
    assert len(whole) == 1 and all(m["ack"] for m in messages), messages
    # One message, one delivery, whatever it holds.
    assert len(deliveries(world)) == before + len(messages)
    told = looks(world)
    assert all(told["%s:%s" % (CRM, row)]["wanted"] == 1 for row in rows)


def test_not_durable_is_not_acknowledged(world, crm):
    """503 and no Ack: Salesforce sends it again, and then it is kept."""
    world.server.log.announce(r"CS220[0-9]:", r"CS3\d\d\d:", r"runner:")
    row = crm.post("opportunities", {"name": world.unique()})["opportunityid"]
    set_fault(world, b"ENOSPC")
    try:
        crm.notify_to(world.hook + QUERY, "opportunity")
        crm.edit("opportunities", row, {"name": "Changed"})
        first = sent(crm, records=[row])[0]
        assert first["status"] == 503 and first["ack"] is False
        answer = send(world)
        assert answer.status == 503 and b"Ack" not in answer.body and answer.headers["retry-after"].isdigit()
    finally:
        set_fault(world, b"")
    assert sent(crm, records=[row], ack=True)[0]["attempt"] > 1
    assert looks(world)["%s:%s" % (CRM, row)]["wanted"] == 1


def set_fault(world, fault):
    with open(world.fault, "r+b") as file:
        file.write(fault.ljust(64, b"\0"))


# The contract, by hand


def test_the_words_of_the_acknowledgement(world):
    answer = send(world)
    assert answer.status == 200 and answer.headers["content-type"] == "text/xml; charset=UTF-8"
    assert answer.body == ACK
    assert ElementTree.fromstring(answer.body).find(".//{%s}Ack" % OUTBOUND).text == "true"


@pytest.mark.parametrize("type_", ["text/xml", "text/xml;charset=utf-8", "Text/XML; charset=UTF-8"])
def test_types_of_xml(world, type_):
    assert send(world, type_=type_).body == ACK


@pytest.mark.parametrize("type_", [None, "text/plain", "application/x-www-form-urlencoded", "text/xmlx"])
def test_other_types(world, type_):
    refused(world, 415, type_=type_)


def test_ids_of_fifteen_and_eighteen_are_one_row(world, crm):
    row = crm.post("opportunities", {"name": world.unique()})["opportunityid"]
    for one in (row[:15], row):
        assert send(world, message([one], crm.info["organization"])).status == 200
        assert send(world, json.dumps({"id": one}).encode(), type_="application/json").status == 200
    assert looks(world)["%s:%s" % (CRM, row)]["wanted"] == 4
    assert "%s:%s" % (CRM, row[:15]) not in looks(world)


@pytest.mark.parametrize("organization, status", [("own", 200), ("own15", 200), ("00D5g0000BADBAD", 401)])
def test_the_organisation_is_pinned(world, organization, status):
    """A copied sandbox keeps the registration and its secret."""
    world.server.log.announce("CS1073")
    own = world.crm.info["organization"]
    organization = {"own": own, "own15": own[:15]}.get(organization, organization)
    answer = send(world, message(organization=organization))
    assert answer.status == status, answer.body
    assert (b"<Ack>true</Ack>" in answer.body) == (status == 200)


def test_an_array_of_a_flow(world):
    ids = [identity(n) for n in range(5000, 5100)]
    before = len(deliveries(world))
    answer = send(world, json.dumps([{"id": i, "table": "Opportunity"} for i in ids]).encode(), type_="application/json")
    assert answer.status == 200 and answer.body == b""
    assert len(deliveries(world)) == before + 1
    assert len([name for name in looks(world) if name[len(CRM) + 1:][:15] in set(ids)]) == 100


DOCTYPE = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
BODIES = {"empty": b"", "cut": message(organization="x")[:-20], "no envelope": b"<x/>", "json as xml": b'{"id":"0065g0000000001AAA"}',
          "doctype": message(organization="x").replace(b"?>", b"?>" + DOCTYPE, 1), "no id": message([""], "x"),
          "a wrong id": message(["006!!"], "x"), "a wrong check sum": message(["0065g0000000001ZZZ"], "x"), "deep": b"<a>" * 5000,
          "garbage": bytes(range(256)), "too many": message([identity(n) for n in range(300)], "x")}


@pytest.mark.parametrize("name", BODIES)
def test_no_message(world, name):
    refused(world, 400, body=BODIES[name])


@pytest.mark.parametrize("body", [b"", b"{", b"[]x", b"null", b'"x"', b"{}", b'{"id":1}', b'{"id":"0065g"}', b'[{"id":"0065g0000000001AAA"},{}]'])
def test_no_json_of_a_flow(world, body):
    refused(world, 400, body=body, type_="application/json")


def test_sizes(world):
    own = world.crm.info["organization"]
    padding = "<sf:Description>%s</sf:Description>"
    assert send(world, message(organization=own, fields=padding % ("x" * 900000))).status == 200
    refused(world, 413, body=message(organization=own, fields=padding % ("x" * 1048576)))


def test_stranger_is_refused_before_the_body(world):
    refused(world, 401, query="", body=b"<")
    refused(world, 401, query="?secret=nothing", body=b"<")


def test_table_that_nobody_watches(world):
    works = world.server.count("work")
    assert send(world, message([identity(1, "701")], world.crm.info["organization"], table="Campaign")).body == ACK
    assert deliveries(world)[-1]["kind"] is None and world.server.count("work") == works


# With somebody at work


def test_resent_writes_nothing(new_world):
    """A message of a hundred deals' notifications, then the same message again: acknowledged, and no write at either side."""
    world = hooked(new_world("outbound-resent"), workers=None).start().ready()
    world.ages = True
    referrals = [world.refer(world.unique("Resent")) for _ in range(100)]
    for referral in referrals:
        world.notify(referral, "referral-created")
    world.settled(90)
    rows = [world.record(r)["opportunityid"] for r in referrals]
    world.crm.post("clock", {"advance": 3})
    edits = {row: "Edit of " + row for row in rows}
    world.crm.patch("bulk/opportunities", [{"id": row, "description": text} for row, text in edits.items()], silent=1)
    world.crm.post("clock", {"advance": 3})
    body = message(rows, world.crm.info["organization"])
    assert send(world, body).body == ACK
    world.settled(60)
    wait_for(lambda: all(world.partner.referral(r["id"])["details"]["notes"] == edits[row] for r, row in zip(referrals, rows)), 60, "the edits to travel")
    world.settled(60)
    since = [s.last_request() for s in (world.crm, world.partner)]
    for _ in range(2):
        assert send(world, body).body == ACK
        world.settled(60)
    assert world.crm.writes(since[0]) == [] and world.partner.writes(since[1], "/v1.0/") == []


def test_learnt_organization(new_world):
    """Nothing is configured: the first contact tells which organisation it is; from then on a copy is refused."""
    world = hooked(new_world("outbound-learnt"), workers=None).start().ready()
    world.server.log.announce("CS1073")
    world.looked(world.refer())
    wait_for(lambda: world.server.sql("SELECT * FROM meta WHERE name = ?", "organization:" + CRM), 10, "the organisation to be known")
    wait_for(lambda: send(world, message(organization="00D5g0000BADBAD")).status == 401, 15, "a copy to be refused", every=0.5)
    assert send(world, message(organization=world.crm.info["organization"])).status == 200


# By a client certificate


def certificate(directory, name, issuer=None, days=10, client=True):
    """(certificate, key) files; `issuer` is another such pair, None = of its own."""
    key = rsa.generate_private_key(65537, 2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.utcnow()
    signer, by = (key, subject) if issuer is None else (issuer[1], issuer[0].subject)
    builder = (x509.CertificateBuilder().subject_name(subject).issuer_name(by).public_key(key.public_key()).serial_number(x509.random_serial_number())
               .not_valid_before(now - datetime.timedelta(days=20)).not_valid_after(now + datetime.timedelta(days=days))
               .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True))
    if issuer is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    made = builder.sign(signer, hashes.SHA256())
    paths = os.path.join(directory, name + ".pem"), os.path.join(directory, name + ".key")
    for path, data in zip(paths, (made.public_bytes(serialization.Encoding.PEM),
                                  key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))):
        with open(path, "wb") as file:
            file.write(data)
    return made, key, paths


@pytest.fixture(scope="module")
def secured(world_of, world, pki):
    """A site without webhook-secret=, whose Location asks for a certificate of Salesforce's authority."""
    secured = hooked(world_of("outbound-tls", partner=world.partner, crm=world.crm, mpm_lines=ONE_CHILD), secret=None, organization=world.crm.info["organization"])
    server, directory = secured.server, apxs("LIBEXECDIR")
    conf = server.path("conf")
    authority = certificate(conf, "client-ca")
    secured.sender = certificate(conf, "salesforce", authority)[2]
    secured.stranger = certificate(conf, "stranger", certificate(conf, "other-ca"))[2]
    secured.port = free_port()
    server.globals_ += ["LoadModule ssl_module %s/mod_ssl.so" % directory, "SSLSessionCache none", 'SSLRandomSeed startup builtin']
    certificate_, key = (server.write("conf/" + name, pki.read(name).decode(), 0o600) for name in ("server.pem", "server.key"))
    server.tail += ["Listen 127.0.0.1:%d" % secured.port, "<VirtualHost 127.0.0.1:%d>" % secured.port, "ServerName 127.0.0.1", "SSLEngine on",
                    "SSLCertificateFile " + certificate_, "SSLCertificateKeyFile " + key, "SSLCACertificateFile " + os.path.join(conf, "client-ca.pem"),
                    "SSLVerifyClient optional", *server.site, '<Location "%s">' % HOOK, "SetHandler cosell-crm", "</Location>", "</VirtualHost>"]
    # The plain host is no site of its own: one virtual host has it.
    del server.site[:], server.locations[:]
    secured.start()
    return secured


def send_tls(secured, pki, shown=None, body=None):
    context = ssl.create_default_context(cafile=pki.path("server-ca.pem"))
    if shown:
        context.load_cert_chain(*shown)
    connection = http.client.HTTPSConnection("127.0.0.1", secured.port, timeout=15, context=context)
    try:
        connection.request("POST", HOOK, body or message(organization=secured.crm.info["organization"]), {"Content-Type": "text/xml; charset=UTF-8"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_a_verified_certificate_is_enough(secured, pki):
    assert send_tls(secured, pki, secured.sender) == (200, ACK)


def test_the_simulator_shows_its_certificate(secured, pki):
    crm = secured.crm
    row = crm.post("opportunities", {"name": secured.unique()})["opportunityid"]
    crm.raw("POST", "outbound", {"url": "https://127.0.0.1:%d%s" % (secured.port, HOOK), "object": "Opportunity", "ca": pki.path("server-ca.pem"),
                                 "client": dict(zip(("cert", "key"), secured.sender))})
    try:
        crm.edit("opportunities", row, {"name": "Changed"})
        assert sent(crm, records=[row])[0]["ack"] is True
    finally:
        crm.raw("DELETE", "outbound")


def test_no_certificate(secured, pki):
    assert send_tls(secured, pki)[0] == 401


def test_certificate_of_a_stranger(secured, pki):
    try:
        status = send_tls(secured, pki, secured.stranger)[0]
    except (OSError, http.client.HTTPException):
        return  # refused in the handshake already
    assert status == 401


def test_certificate_and_another_organisation(secured, pki):
    secured.server.log.announce("CS1073")
    assert send_tls(secured, pki, secured.sender, message(organization="00D5g0000BADBAD"))[0] == 401
