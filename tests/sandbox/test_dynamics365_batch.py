"""$batch of the Dynamics 365 simulator against what Microsoft documents, asked by an independent client."""
import os
import sys
import threading

import pytest
import requests

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from d365_client import (  # noqa: E402
    FABRIKAM, LITWARE, Server, batch, batch_body, http_part as part, parts_of, refused, unique, wait_for,
)


@pytest.fixture(scope="module")
def server():
    one = Server()
    yield one
    assert one.stop() == 0


@pytest.fixture
def d365(server):
    yield server
    server.reset()


def url(path):
    return "/api/data/v9.2/" + path


def opportunity(server, **columns):
    return server.make("opportunities", name=unique(), **columns)


def exists(server, name):
    return len(server.list("opportunities?$select=name&$filter=name eq '%s'" % name)) == 1


def tag(server, id):
    return server.row("opportunities(%s)?$select=name" % id)["@odata.etag"]


# Operations without change sets


@pytest.mark.parametrize("quoted", [True, False])
def test_operations_are_answered_in_order(d365, quoted):
    name = unique()
    answer = batch(d365, part("POST", url("opportunities"), {"name": name}, content_id="7"),
                   part("GET", url("opportunities?$select=name&$filter=name%%20eq%%20'%s'" % name)),
                   part("GET", d365.api + "/WhoAmI"), part("GET", "accounts(%s)?$select=name" % FABRIKAM),
                   quoted=quoted)
    assert answer.status_code == 200 and answer.headers["OData-Version"] == "4.0"
    made, found, who, account = parts_of(answer)
    assert made.status == 204 and made.content_id == "7" and made.text.strip() == ""
    assert made.headers["OData-Version"] == "4.0"
    assert made.headers["OData-EntityId"] == made.headers["Location"]
    assert made.headers["OData-EntityId"].startswith(d365.api + "/opportunities(")
    assert [r["name"] for r in found.json()["value"]] == [name]
    assert found.headers["Content-Type"].startswith("application/json")
    assert who.json()["UserId"] and account.json()["name"] == "Fabrikam Ltd"
    assert account.headers["ETag"] == account.json()["@odata.etag"]


def test_line_feeds_alone_and_parts_without_headers_are_read(d365):
    body = batch_body([part("POST", url("opportunities"), {"name": unique()}),
                       "Content-Type: application/http\r\n\r\nGET /api/data/v9.2/WhoAmI HTTP/1.1\r\n\r\n\r\n"])
    answer = d365.ask("POST", "$batch", body.replace("\r\n", "\n").encode(),
                      **{"Content-Type": "multipart/mixed;boundary=batch_1"})
    assert [p.status for p in parts_of(answer)] == [204, 200]


def test_the_first_error_ends_the_batch(d365):
    first, last = unique(), unique()
    answer = batch(d365, part("POST", url("opportunities"), {"name": first}),
                   part("POST", url("opportunities"), {"name": "x" * 301}),
                   part("POST", url("opportunities"), {"name": last}))
    assert answer.status_code == 400
    made, failed = parts_of(answer)
    assert made.status == 204 and failed.status == 400
    assert failed.json()["error"]["code"] == "0x80044331" and failed.headers["REQ_ID"]
    assert exists(d365, first) and not exists(d365, last)


def test_continue_on_error(d365):
    last = unique()
    answer = batch(d365, part("GET", url("opportunities(00000000-0000-0000-0000-00000000dead)")),
                   part("PATCH", url("opportunities(00000000-0000-0000-0000-00000000dead)"), {"name": "x"},
                        {"If-Match": "*"}),
                   part("POST", url("opportunities"), {"name": last}), prefer="odata.continue-on-error")
    assert answer.status_code == 200
    assert [p.status for p in parts_of(answer)] == [404, 404, 204]
    assert exists(d365, last)


def test_conditions_belong_to_their_part(d365):
    id, other = opportunity(d365), opportunity(d365)
    old = tag(d365, id)
    d365.patch("opportunities(%s)" % id, name="moved")
    answer = batch(
        d365, part("PATCH", url("opportunities(%s)" % id), {"description": "late"}, {"If-Match": old}),
        part("PATCH", url("opportunities(%s)" % other), {"description": "fits"}, {"If-Match": tag(d365, other)}),
        part("PATCH", url("opportunities(%s)" % other), {"name": "again"}, {"If-None-Match": "*"}),
        part("GET", url("opportunities(%s)?$select=name" % id), None, {"If-None-Match": tag(d365, id)}),
        prefer="odata.continue-on-error")
    late, fits, again, same = parts_of(answer)
    assert (late.status, late.json()["error"]["code"]) == (412, "0x80060882")
    assert fits.status == 204
    assert (again.status, again.json()["error"]["code"]) == (412, "0x80040237")
    assert same.status == 304


def test_representation_in_a_part(d365):
    made, = parts_of(batch(d365, part("POST", url("opportunities?$select=name"), {"name": "shown"},
                                      {"Prefer": "return=representation"})))
    assert made.status == 201 and made.json()["name"] == "shown"
    assert made.headers["Preference-Applied"] == "return=representation"


def test_long_urls_fit_into_a_batch(d365):
    wanted = " or ".join("name eq '%s'" % unique() for _ in range(1000))
    path = "opportunities?$select=name&$filter=" + wanted.replace(" ", "%20")
    assert 32768 < len(path) < 65536
    assert d365.get(path).status_code == 414
    assert parts_of(batch(d365, part("GET", url(path))))[0].json()["value"] == []
    refused(batch(d365, part("GET", url(path + "x" * 65536))), 400, "0x80060888")


# Change sets


def test_change_set(d365):
    one, two = unique(), unique()
    answer = batch(d365, [part("POST", url("opportunities"), {"name": one}, content_id=1),
                          part("POST", url("opportunities"), {"name": two}, content_id=2)],
                   part("GET", url("opportunities?$select=name&$filter=name%%20eq%%20'%s'" % two)))
    assert answer.status_code == 200
    inside, found = parts_of(answer)
    assert [(p.status, p.content_id) for p in inside] == [(204, "1"), (204, "2")]
    assert all(p.headers["OData-EntityId"] for p in inside)
    assert len(found.json()["value"]) == 1


@pytest.mark.parametrize("onward", [True, False])
def test_change_set_is_all_or_nothing(d365, onward):
    id, made, after = opportunity(d365, description="before"), unique(), unique()
    doomed = opportunity(d365)
    old = tag(d365, id)
    answer = batch(
        d365, [part("POST", url("opportunities"), {"name": made}, content_id=1),
               part("PATCH", url("opportunities(%s)" % id), {"description": "after"}, content_id=2),
               part("DELETE", url("opportunities(%s)" % doomed), content_id=3),
               part("PATCH", url("opportunities(%s)" % id), {"closeprobability": 101}, content_id=4)],
        part("POST", url("opportunities"), {"name": after}),
        **({"prefer": "odata.continue-on-error"} if onward else {}))
    parts = parts_of(answer)
    assert parts[0].status == 400 and parts[0].json()["error"]["code"] == "0x8004432F"
    if onward:
        assert answer.status_code == 200 and [p.status for p in parts] == [400, 204]
    else:
        assert answer.status_code == 400 and len(parts) == 1
    assert exists(d365, after) is onward
    assert not exists(d365, made)
    row = d365.row("opportunities(%s)?$select=description" % id)
    assert row["description"] == "before" and row["@odata.etag"] == old
    assert d365.get("opportunities(%s)" % doomed).status_code == 200


def test_undone_change_set_leaves_no_trace_in_order_or_keys(d365):
    ids = [opportunity(d365, description=unique()) for _ in range(3)]
    batch(d365, [part("PATCH", url("opportunities(%s)" % ids[0]), {"emailaddress": "gone@x.example"}, content_id=1),
                 part("PATCH", url("opportunities(%s)" % ids[0]), {"closeprobability": -1}, content_id=2)])
    assert d365.list("opportunities?$filter=emailaddress eq 'gone@x.example'") == []
    since = d365.row("opportunities(%s)?$select=modifiedon" % ids[0])["modifiedon"]
    found = d365.list("opportunities?$select=name&$filter=modifiedon ge %s" % since)
    assert set(ids) <= {r["opportunityid"] for r in found}


def test_references(d365):
    name = unique()
    answer = batch(d365, [
        part("POST", url("accounts"), {"name": name}, content_id="a"),
        part("POST", url("contacts"), {"lastname": name}, content_id="c"),
        part("PATCH", "$a", {"primarycontactid@odata.bind": "$c"}, content_id="3"),
        part("PUT", "$c/firstname", {"value": "Set"}, content_id="4"),
        part("POST", url("opportunities"), {"name": name, "parentaccountid@odata.bind": "$a"}, content_id="5"),
        part("PUT", "$5/parentcontactid/$ref", {"@odata.id": "$c"}, content_id="6"),
    ], part("GET", "$5?$select=name&$expand=parentaccountid($select=name),parentcontactid($select=firstname)"))
    assert answer.status_code == 200, answer.text
    row = parts_of(answer)[1].json()
    assert row["parentaccountid"]["name"] == name and row["parentcontactid"]["firstname"] == "Set"
    account = d365.row("accounts(%s)?$select=name&$expand=primarycontactid($select=lastname)"
                       % row["parentaccountid"]["accountid"])
    assert account["primarycontactid"]["lastname"] == name


def test_reference_before_its_definition(d365):
    answer = batch(d365, [part("POST", url("opportunities"), {"name": "x", "parentaccountid@odata.bind": "$1"},
                               content_id=2),
                          part("POST", url("accounts"), {"name": "x"}, content_id=1)])
    assert answer.status_code == 400
    assert "Content-ID Reference: '$1' does not exist in the batch context." in answer.text


def test_a_value_that_looks_like_a_reference_is_text(d365):
    made, = parts_of(batch(d365, part("POST", url("opportunities?$select=name"), {"name": "$1"},
                                      {"Prefer": "return=representation"})))
    assert made.json()["name"] == "$1"


# Refused as a whole


def body_of(server, body, kind='multipart/mixed; boundary="batch_1"'):
    return server.ask("POST", "$batch", body.encode(), **{"Content-Type": kind})


@pytest.mark.parametrize("items", [
    [[part("POST", url("accounts"), {"name": "x"})]],
    [[part("GET", url("WhoAmI"), content_id=1)]],
    [part("POST", url("$batch"))],
    [part("GET", url("WhoAmI"), content_id=1), part("GET", url("WhoAmI"), content_id=1)],
    [[part("POST", url("accounts"), {"name": "x"}, content_id=1)],
     [part("POST", url("accounts"), {"name": "x"}, content_id=1)]],
    ["Content-Type: application/json\r\n\r\n{}\r\n"],
    ["Content-Type: application/http\r\n\r\nnonsense\r\n\r\n"],
    [],
])
def test_wrong_forms(d365, items):
    name = unique()
    answer = body_of(d365, batch_body([part("POST", url("opportunities"), {"name": name}), *items])
                     if items else batch_body([]))
    refused(answer, 400, "0x80060888")
    assert not exists(d365, name)


def test_wrong_envelopes(d365):
    good = batch_body([part("GET", url("WhoAmI"))])
    refused(body_of(d365, good[:-5]), 400, "0x80060888")
    refused(body_of(d365, good, "multipart/mixed"), 400, "0x80060888")
    refused(body_of(d365, good, "application/json"), 415, "0x80060888")


def test_1000_operations_and_no_more(d365):
    answer = batch(d365, *[part("GET", url("WhoAmI"))] * 1000)
    assert answer.status_code == 200 and len(parts_of(answer)) == 1000
    refused(batch(d365, *[part("GET", url("WhoAmI"))] * 1001), 400, "0x80060888")


def test_parts_may_have_to_say_their_length(d365):
    d365.options(BatchNeedsContentLength=True)
    name = unique()
    body = {"name": name}
    answer = batch(d365, part("POST", url("opportunities"), body),
                   part("POST", url("opportunities"), body, {"Content-Length": len('{"name": "%s"}' % name)}),
                   prefer="odata.continue-on-error")
    bare, told = parts_of(answer)
    assert bare.status == 400 and bare.json()["error"]["code"] == "0x80048d19"
    assert told.status == 204


# Limits, log, faults


def test_a_batch_counts_once_for_the_limit(d365):
    d365.options(LimitRequests=2)
    assert batch(d365, *[part("GET", url("WhoAmI"))] * 50).status_code == 200
    assert batch(d365, *[part("GET", url("WhoAmI"))] * 50).status_code == 200
    refused(batch(d365, part("GET", url("WhoAmI"))), 429, "0x80072322")


def test_log_and_summary(d365):
    d365.control("DELETE", "requests")
    batch(d365, part("GET", url("WhoAmI")), [part("POST", url("opportunities"), {"name": "x"}, content_id=1)],
          part("GET", url("opportunities(00000000-0000-0000-0000-00000000dead)")))
    d365.get("WhoAmI")
    lines = d365.control("GET", "requests")
    outer = lines[0]
    assert outer["path"] == "/api/data/v9.2/$batch" and outer["status"] == 404 and "batch" not in outer
    assert [(x["method"], x["path"], x["status"], x["batch"]) for x in lines[1:4]] == [
        ("GET", "/api/data/v9.2/WhoAmI", 200, outer["n"]), ("POST", "/api/data/v9.2/opportunities", 204, outer["n"]),
        ("GET", "/api/data/v9.2/opportunities(00000000-0000-0000-0000-00000000dead)", 404, outer["n"])]
    assert "batch" not in lines[4]
    assert len(d365.control("GET", "requests?batch=%d" % outer["n"])) == 3
    assert len(d365.control("GET", "requests?batch=true")) == 3
    assert len(d365.control("GET", "requests?batch=false")) == 2
    told = d365.control("GET", "requests/summary")
    assert told["total"] == 2 and told["operations"]["total"] == 4 and told["operations"]["in_batches"] == 3
    assert told["by"]["POST /api/data/v9.2/$batch"] == {"404": 1}
    assert told["operations"]["by"]["GET /api/data/v9.2/WhoAmI"] == {"200": 2}


def test_fault_of_one_operation(d365):
    one, two = unique(), unique()
    d365.control("POST", "faults", {"method": "POST", "path": "/opportunities$", "match": one, "inside": True,
                                    "status": 500, "code": "0x80044150"})
    d365.control("POST", "faults", {"method": "GET", "path": "WhoAmI", "fault": "html", "status": 502})
    answer = batch(d365, part("POST", url("opportunities"), {"name": one}),
                   part("POST", url("opportunities"), {"name": two}), part("GET", url("WhoAmI")),
                   prefer="odata.continue-on-error")
    failed, made, page = parts_of(answer)
    assert (failed.status, failed.json()["error"]["code"]) == (500, "0x80044150")
    assert made.status == 204 and page.status == 502 and "<html>" in page.text
    assert [x["fault"] for x in d365.control("GET", "requests?batch=true")[-3:]] == ["status", None, "html"]


def test_fault_inside_a_change_set_undoes_it(d365):
    one, two = unique(), unique()
    d365.control("POST", "faults", {"match": two, "inside": True, "status": 500, "code": "0x80044150", "times": 1})
    items = [[part("POST", url("opportunities"), {"name": one}, content_id=1),
              part("POST", url("opportunities"), {"name": two}, content_id=2)]]
    answer = batch(d365, *items)
    assert answer.status_code == 500 and parts_of(answer)[0].status == 500
    assert not exists(d365, one)
    assert batch(d365, *items).status_code == 200
    assert exists(d365, one) and exists(d365, two)


@pytest.mark.parametrize("kind, committed", [("drop-after-commit", True), ("reset-after", True),
                                             ("reset-before", False)])
def test_connection_lost_in_the_middle(d365, kind, committed):
    names = [unique() for _ in range(3)]
    d365.control("POST", "faults", {"method": "POST", "match": names[1], "inside": True, "fault": kind, "times": 1})
    with pytest.raises(requests.ConnectionError):
        batch(d365, *[part("POST", url("opportunities"), {"name": n}) for n in names])
    assert [exists(d365, n) for n in names] == [True, committed, False]


def test_truncated_batch(d365):
    name = unique()
    d365.control("POST", "faults", {"match": name, "inside": True, "fault": "truncate", "times": 1})
    try:
        answer = batch(d365, part("POST", url("opportunities"), {"name": name}), part("GET", url("WhoAmI")))
        assert len(answer.content) < int(answer.headers["Content-Length"])
    except requests.exceptions.RequestException:
        pass
    assert exists(d365, name)


def test_held_operation(d365):
    name, later = unique(), unique()
    held = d365.control("POST", "faults", {"match": name, "inside": True, "fault": "hold"})["id"]
    answers = []
    thread = threading.Thread(target=lambda: answers.append(batch(
        d365, part("POST", url("opportunities"), {"name": later}), part("POST", url("opportunities"), {"name": name}))))
    thread.start()
    wait_for(lambda: d365.control("GET", "faults")[0]["held"] == 1)
    rows = [r["name"] for r in d365.control("GET", "opportunities")]
    assert later in rows and name not in rows
    d365.control("DELETE", "faults/%d" % held)
    thread.join(5)
    assert answers[0].status_code == 200 and exists(d365, name) and LITWARE
