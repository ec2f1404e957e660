"""No request can make the server connect to, or look up, anything it was not configured to."""

import os
import uuid
from urllib.parse import urlsplit

from harness import Event, wait_for

CRMS = ("dynamics365", "salesforce")
API = {"dynamics365": "/api/data/", "salesforce": "/services/data/"}


def test_only_configured_addresses(new_world):
    world = new_world("network", preloads=["record_net"])
    recording = world.server.path("tmp/network")
    open(recording, "w").close()
    os.chmod(recording, 0o666)
    world.server.env.update({"COSELL_NET_LOG": recording, "http_proxy": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9",
                             "ALL_PROXY": "http://127.0.0.1:9"})
    world.start().ready()
    world.server.log.announce("CS2012", "certificate")
    referral = world.refer()
    world.looked(referral)
    assert world.record(referral)
    for event in (Event("referral-updated", uri="https://attacker.example/engagements/v1/referrals/%s" % referral["id"]),
                  Event("referral-updated", uri="http://127.0.0.1:9/" + referral["id"]),
                  Event("referral-updated", uri="file:///" + referral["id"], AuditUri="http://127.0.0.1:9/audit")):
        assert world.send(event).status == 200
    for url in ("https://attacker.example/cert/a.cer", "http://127.0.0.1:9/cert/a.cer", world.cert_url + "/../x.cer",
                world.cert_url.replace("http://", "http://attacker.example@")):
        assert world.send(Event(referral=uuid.uuid4()), cert_url=url).status == 401
    world.settled()
    # Redirects of the APIs are not followed either.
    world.partner.edit(referral["id"], {"details": {"notes": "Redirected"}})
    for simulator, path in ((world.partner, "/v1.0/"), (world.crm, API[world.kind])):
        simulator.fault(path=path, fault="status", status=302, headers={"Location": "http://127.0.0.1:9/elsewhere"}, times=1)
    world.server.log.announce("CS2040", "CS2003.*302 Found")
    world.notify(referral)
    wait_for(lambda: all(f["hits"] for f in world.partner.faults().values()), 10, "the redirect")
    world.server.graceful()
    second = world.refer()
    world.notify(second)
    # A redirect of the CRM suspends it until a probe, minutes later, finds it well.
    world.advanced(lambda: world.record(second), what="the opportunity after the reload")
    with open(recording) as file:
        lines = [line.split() for line in file]
    allowed = {urlsplit(base).netloc for base in (world.partner.base, world.crm.base, world.server.base)}
    connects = {fields[2] for fields in lines if fields[1] == "connect"}
    lookups = {fields[2] for fields in lines if fields[1] == "lookup"}
    assert connects <= allowed, connects - allowed
    assert lookups <= {"127.0.0.1", "-"}, lookups
    assert {urlsplit(world.partner.base).netloc, urlsplit(world.crm.base).netloc} <= connects, "the recorder saw the calls that are meant"


def test_request_threads_make_no_connection(new_world):
    """Only the runner talks to the outside."""
    world = new_world("quiet", preloads=["record_net"])
    recording = world.server.path("tmp/network")
    open(recording, "w").close()
    os.chmod(recording, 0o666)
    world.server.env["COSELL_NET_LOG"] = recording
    world.start().ready()
    runner = world.server.runner()
    world.looked(world.refer())
    world.server.log.announce("CS2012", "certificate")
    with open(recording) as file:
        pids = {int(line.split()[0]) for line in file if line.split()[1] == "connect"}
    assert pids == {runner}
