"""SOQL, the replication calls, composite calls and collections of the Salesforce simulator against what Salesforce documents."""
import datetime
import json
import os
import re
import sys
import threading
import time

import pytest
import requests

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from sf_client import (  # noqa: E402
    CONNECTOR, DEAL, DORA, FABRIKAM, LITWARE, SEEDED, Server, http_date, refused, seconds_of, unique, wait_for,
)

OTHER = "0065g0000000002AAA"
HALTED = [{"errorCode": "PROCESSING_HALTED",
           "message": "The transaction was rolled back since another operation in the same transaction failed."}]


@pytest.fixture(scope="module")
def sf():
    server = Server()
    yield server
    assert server.stop() == 0


@pytest.fixture(scope="module")
def sample(sf):
    """A few opportunities to look for; all carry the same NextStep."""
    mark = unique()
    make = lambda **values: sf.make(NextStep=mark, **values)
    ids = {"low": make(Name="Low O'Brien", Amount=10, AccountId=FABRIKAM, CloseDate="2030-01-01"),
           "mid": make(Name="mid_50% \\ \"q\"", Amount=20, StageName="Closed Won", CloseDate="2030-06-01"),
           "high": make(Name="High", Amount=30, AccountId=LITWARE, Sync_with_Partner_Center__c=True),
           "none": make(Name="none", Type="New Business")}
    return mark, ids


@pytest.fixture(autouse=True)
def clean(sf):
    sf.reset()


def picked(sf, sample, where, tail=""):
    mark, ids = sample
    names = {id: name for name, id in ids.items()}
    found = sf.column("SELECT Id FROM Opportunity WHERE NextStep = '%s' AND (%s) %s" % (mark, where, tail))
    return [names[id] for id in found]


# Conditions

@pytest.mark.parametrize("where,names", [
    ("Amount = 20", "mid"), ("Amount > 10", "mid high"), ("Amount >= 10.0", "low mid high"), ("Amount < 2e1", "low"),
    ("Amount <= 20", "low mid"), ("Amount = null", "none"), ("Amount != null", "low mid high"),
    ("Amount != 10", "mid high none"), ("Amount <> 10", "mid high none"), ("NOT Amount > 10", "low none"),
    ("Name = 'HIGH'", "high"), ("Name = 'low o\\'brien'", "low"), ("Name LIKE 'lo%'", "low"),
    ("Name LIKE '%\\_50\\%%'", "mid"), ("Name LIKE '_igh'", "high"), ("NOT (Name LIKE '%o%')", "mid high"),
    ("Name = 'mid_50% \\\\ \\\"q\\\"'", "mid"), ("Amount IN (10, 30)", "low high"),
    ("Amount NOT IN (10, 30)", "mid none"), ("Name IN ('low o\\'brien','none')", "low none"),
    ("IsClosed = true", "mid"), ("Sync_with_Partner_Center__c = TRUE", "high"), ("IsWon = false", "low high none"),
    ("CloseDate < 2030-02-01", "low high none"), ("CloseDate = 2030-06-01", "mid"),
    ("CreatedDate > 2020-01-01T00:00:00Z", "low mid high none"), ("CreatedDate < 2020-01-01T00:00:00+02:00", ""),
    ("CreatedDate = TODAY", "low mid high none"), ("CreatedDate < LAST_N_DAYS:3", ""),
    ("Account.Name = 'fabrikam ltd'", "low"), ("Account.BillingCountryCode IN ('GB','US')", "low high"),
    ("Account.Name = null", "mid none"), ("Owner.Username = 'cosell@contoso.example'", "low mid high none"),
    ("AccountId = '%s'" % FABRIKAM[:15], "low"), ("(Amount = 10 OR Amount = 20) AND IsWon = true", "mid"),
    ("Amount = 10 OR (Amount = 30 AND Name = 'High')", "low high"), ("Opportunity.Amount = 10", "low"),
    ("AccountId IN (SELECT Id FROM Account WHERE Name LIKE 'Lit%')", "high"),
    ("Id NOT IN (SELECT OpportunityId FROM OpportunityContactRole)", "low mid high none")])
def test_conditions(sf, sample, where, names):
    assert picked(sf, sample, where) == names.split()


def test_order_limit_offset(sf, sample):
    assert picked(sf, sample, "Id != null", "ORDER BY Amount") == ["none", "low", "mid", "high"]
    assert picked(sf, sample, "Id != null", "ORDER BY Amount DESC NULLS LAST") == ["high", "mid", "low", "none"]
    assert picked(sf, sample, "Id != null", "ORDER BY Amount DESC NULLS FIRST") == ["none", "high", "mid", "low"]
    assert picked(sf, sample, "Id != null", "ORDER BY Amount ASC NULLS LAST LIMIT 2 OFFSET 1") == ["mid", "high"]
    assert picked(sf, sample, "Amount != null", "ORDER BY StageName, Name DESC") == ["low", "high", "mid"]
    mark = sample[0]
    assert sf.query("SELECT COUNT() FROM Opportunity WHERE NextStep = '%s'" % mark) == {
        "totalSize": 4, "done": True, "records": []}


def test_shape_of_records(sf, sample):
    found = sf.rows("select id, account.name, ACCOUNT.Website, Account.Owner.Name, recordtype.developername from opportunity "
                    "where id = '%s'" % sample[1]["low"])[0]
    assert found["attributes"] == {"type": "Opportunity", "url": sf.root + "/sobjects/Opportunity/" + sample[1]["low"]}
    assert list(found) == ["attributes", "Id", "Account", "RecordType"]
    assert found["Account"]["attributes"]["type"] == "Account" and found["Account"]["Owner"]["Name"] == "Ada Seller"
    assert found["RecordType"]["DeveloperName"] == "Software"
    assert sf.rows("SELECT Account.Name FROM Opportunity WHERE Id = '%s'" % sample[1]["none"])[0]["Account"] is None


def test_child_queries(sf):
    found = sf.rows("SELECT Id, (SELECT ContactId, Contact.Email, IsPrimary FROM OpportunityContactRoles WHERE IsPrimary "
                    "= true), (SELECT Id FROM OpportunityLineItems) FROM Opportunity WHERE Id = '%s'" % SEEDED)[0]
    assert found["OpportunityLineItems"] is None
    roles = found["OpportunityContactRoles"]
    assert roles["totalSize"] == 1 and roles["done"] and roles["records"][0]["Contact"]["Email"] == "dora@fabrikam.example"


@pytest.mark.parametrize("query,code", [
    ("SELECT Nope FROM Opportunity", "INVALID_FIELD"), ("SELECT Id FROM Nope", "INVALID_TYPE"),
    ("SELECT Nope__r.Name FROM Opportunity", "INVALID_FIELD"), ("SELECT Account.Nope FROM Opportunity", "INVALID_FIELD"),
    ("SELECT Id FROM Opportunity WHERE", "MALFORMED_QUERY"), ("SELECT Id Opportunity", "MALFORMED_QUERY"),
    ("SELECT Id FROM Opportunity WHERE Amount = '10'", "INVALID_FIELD"),
    ("SELECT Id FROM Opportunity WHERE Name = 10", "INVALID_FIELD"),
    ("SELECT Id FROM Opportunity WHERE CloseDate = '2030-01-01'", "INVALID_FIELD"),
    ("SELECT Id FROM Opportunity WHERE SystemModstamp > 2030-01-01", "INVALID_FIELD"),
    ("SELECT Id FROM Opportunity WHERE Description = 'x'", "INVALID_FIELD"),
    ("SELECT Id FROM Opportunity WHERE Amount LIKE '1%'", "INVALID_QUERY_FILTER_OPERATOR"),
    ("SELECT Id FROM Opportunity WHERE AccountId = 'what'", "INVALID_QUERY_FILTER_OPERATOR"),
    ("SELECT Id FROM Opportunity WHERE Name = 'a\\x'", "MALFORMED_QUERY"),
    ("SELECT Id FROM Opportunity WHERE Amount = 1 OR Amount = 2 AND Name = 'x'", "MALFORMED_QUERY"),
    ("SELECT Id FROM Opportunity WHERE Name = 'open", "MALFORMED_QUERY"),
    ("SELECT Id FROM Opportunity ORDER BY Description", "MALFORMED_QUERY"),
    ("SELECT Id FROM Opportunity LIMIT 1 OFFSET 2001", "NUMBER_OUTSIDE_VALID_RANGE"),
    ("SELECT Id, Id FROM Opportunity", "MALFORMED_QUERY")])
def test_refused_queries(sf, query, code):
    answer = requests.get(sf.api + "/query", params={"q": query}, headers=dict(sf.http.headers))
    refused(answer, 400, code)


def test_set_up_tables(sf):
    stages = sf.rows("SELECT ApiName, MasterLabel, IsActive, IsClosed, IsWon, DefaultProbability, ForecastCategoryName, "
                     "SortOrder FROM OpportunityStage ORDER BY SortOrder")
    by_name = {s["ApiName"]: s for s in stages}
    assert by_name["Closed Won"]["IsWon"] and by_name["Closed Won"]["DefaultProbability"] == 100
    assert by_name["Closed Lost"]["IsClosed"] and not by_name["Closed Lost"]["IsWon"]
    assert not by_name["Partner Center - not accepted"]["IsClosed"]
    assert sf.column("SELECT ApiName FROM LeadStatus WHERE IsConverted = true") == ["Closed - Converted"]
    money = {r["IsoCode"]: r for r in sf.rows("SELECT IsoCode, DecimalPlaces, IsActive, IsCorporate FROM CurrencyType")}
    assert money["USD"]["IsCorporate"] and money["JPY"]["DecimalPlaces"] == 0 and not money["CHF"]["IsActive"]
    assert sf.column("SELECT Id FROM Organization") == [sf.line["organization"]]
    assert sf.column("SELECT DeveloperName FROM RecordType WHERE SobjectType = 'Opportunity' ORDER BY DeveloperName") \
        == ["Services", "Software"]


def test_pages(sf):
    mark = unique()
    sf.control("POST", "bulk/Opportunity", [{**DEAL, "Name": "P%04d" % n, "NextStep": mark} for n in range(450)])
    found = sf.query("SELECT Name FROM Opportunity WHERE NextStep = '%s' ORDER BY Name" % mark,
                     Sforce_Query_Options="batchSize=200")
    assert found["totalSize"] == 450 and found["done"] is False and len(found["records"]) == 200
    assert re.match(r"/services/data/v60\.0/query/01g\w{15}-200\Z", found["nextRecordsUrl"])
    names = [r["Name"] for r in found["records"]]
    while not found["done"]:
        found = sf.get(found["nextRecordsUrl"]).json()
        names += [r["Name"] for r in found["records"]]
    assert names == ["P%04d" % n for n in range(450)] and "nextRecordsUrl" not in found
    found = sf.query("SELECT Name FROM Opportunity WHERE NextStep = '%s'" % mark)
    assert found["done"] and len(found["records"]) == 450


def test_lost_cursors(sf):
    mark = unique()
    sf.control("POST", "bulk/Opportunity", [{**DEAL, "NextStep": mark} for n in range(250)])
    text = "SELECT Name FROM Opportunity WHERE NextStep = '%s'" % mark
    ask = lambda: sf.query(text, Sforce_Query_Options="batchSize=200")["nextRecordsUrl"]
    first = ask()
    refused(sf.get("query/01g5g0000zzzzzzAAA-200"), 400, "INVALID_QUERY_LOCATOR")
    sf.options(QueryCursors=1)
    second = ask()
    refused(sf.get(first), 400, "INVALID_QUERY_LOCATOR")
    sf.control("POST", "clock", {"offset": 2 * 86400 + 60})
    sf.login()
    refused(sf.get(second), 400, "INVALID_QUERY_LOCATOR")
    sf.control("POST", "clock", {"offset": 0})
    sf.login()


def test_poll_by_system_time(sf):
    id = sf.make()
    last = sf.row("Opportunity", id)["SystemModstamp"]
    sf.control("POST", "clock", {"offset": 5})
    sf.patch("Opportunity", SEEDED, NextStep="polled")
    found = sf.rows("SELECT Id, SystemModstamp FROM Opportunity WHERE SystemModstamp > %s ORDER BY SystemModstamp, Id"
                    % last.replace("+0000", "Z"))
    assert [r["Id"] for r in found] == [SEEDED]
    found = sf.column("SELECT Id FROM Opportunity WHERE SystemModstamp >= %s" % last.replace("+0000", "Z"))
    assert {id, SEEDED} <= set(found)


# Replication

def span(sf, table, what, start, end):
    show = lambda t: datetime.datetime.utcfromtimestamp(t).strftime("%Y-%m-%dT%H:%M:%S%%2B00:00")
    return sf.get("sobjects/%s/%s/?start=%s&end=%s" % (table, what, show(start), show(end)))


def test_updated_and_deleted(sf):
    changed, gone = sf.make(), sf.make()
    sf.ask("DELETE", "sobjects/Opportunity/" + gone)
    now = time.time()
    sf.control("POST", "clock", {"offset": 120})
    answer = span(sf, "Opportunity", "updated", now - 60, now + 120)
    assert answer.status_code == 200
    assert changed in answer.json()["ids"] and gone not in answer.json()["ids"]
    covered = seconds_of(answer.json()["latestDateCovered"])
    assert covered % 60 == 0 and now < covered <= now + 120
    found = span(sf, "Opportunity", "deleted", now - 60, now + 120).json()
    assert gone in [r["id"] for r in found["deletedRecords"]] and "earliestDateAvailable" in found
    assert abs(seconds_of(found["deletedRecords"][-1]["deletedDate"]) - now) < 5
    for start, end in ((now, now), (now + 60, now), (now - 31 * 86400, now)):
        refused(span(sf, "Opportunity", "updated", start, end), 400, "INVALID_REPLICATION_DATE")
    refused(span(sf, "Opportunity", "deleted", now - 16 * 86400, now), 400, "INVALID_REPLICATION_DATE")
    refused(sf.get("sobjects/Opportunity/updated/?start=x&end=y"), 400, "INVALID_REPLICATION_DATE")


# Composite

def test_composite_with_references(sf):
    key = unique()[:36]
    found = sf.composite(
        sf.sub("PATCH", "sobjects/Account/Co_sell_Row_Key__c/" + key, "acc", {"Name": "Composed"}),
        sf.sub("POST", "sobjects/Opportunity", "opp", {**DEAL, "AccountId": "@{acc.id}", "NextStep": "of @{acc.id}"}),
        sf.sub("GET", "query?q=SELECT+Id,Account.Name,NextStep+FROM+Opportunity+WHERE+Id='@{opp.id}'", "back"),
        sf.sub("GET", "sobjects/Account/@{back.records[0].Id}", "wrong"), collateSubrequests=False)
    assert [f["httpStatusCode"] for f in found] == [201, 201, 200, 400]
    assert found[0]["body"]["created"] is True and found[1]["httpHeaders"]["Location"].endswith(found[1]["body"]["id"])
    row = found[2]["body"]["records"][0]
    assert row["Account"]["Name"] == "Composed" and row["NextStep"] == "of " + found[0]["body"]["id"]
    assert found[3]["body"][0]["errorCode"] == "MALFORMED_ID"


def test_composite_goes_on_after_a_failure(sf):
    found = sf.composite(sf.sub("POST", "sobjects/Account", "acc", {"Nope": 1}),
                         sf.sub("POST", "sobjects/Opportunity", "opp", {**DEAL, "AccountId": "@{acc.id}"}),
                         sf.sub("PATCH", "sobjects/Contact/" + DORA, "con", {"Title": "CEO"}))
    assert [f["httpStatusCode"] for f in found] == [400, 400, 204]
    assert found[1]["body"][0]["errorCode"] == "PROCESSING_HALTED"
    assert found[1]["body"][0]["message"] == "Invalid reference specified. No value for acc.id found in acc"
    assert found[2]["body"] is None and sf.row("Contact", DORA)["Title"] == "CEO"


def test_composite_all_or_none(sf):
    mark = unique()
    before = sf.row("Opportunity", SEEDED)
    found = sf.composite(sf.sub("POST", "sobjects/Opportunity", "a", {**DEAL, "NextStep": mark}),
                         sf.sub("PATCH", "sobjects/Opportunity/" + SEEDED, "b", {"NextStep": mark}),
                         sf.sub("DELETE", "sobjects/Opportunity/" + OTHER, "c"),
                         sf.sub("PATCH", "sobjects/Contact/" + DORA, "d", {"LastName": None}),
                         sf.sub("PATCH", "sobjects/Contact/" + DORA, "e", {"Title": "x"}), allOrNone=True)
    assert [f["httpStatusCode"] for f in found] == [400] * 5
    assert [f["body"] == HALTED for f in found] == [True, True, True, False, True]
    assert found[3]["body"][0]["errorCode"] == "REQUIRED_FIELD_MISSING"
    assert sf.rows("SELECT Id FROM Opportunity WHERE NextStep = '%s'" % mark) == []
    assert sf.row("Opportunity", SEEDED) == before and sf.row("Opportunity", OTHER)["IsDeleted"] is False
    assert sf.rows("SELECT Id FROM OpportunityContactRole WHERE OpportunityId = '%s'" % OTHER)
    found = sf.composite(sf.sub("POST", "sobjects/Opportunity", "a", {**DEAL, "NextStep": mark}),
                         sf.sub("GET", "sobjects/Opportunity/@{a.id}?fields=NextStep", "b"), allOrNone=True)
    assert found[1]["body"]["NextStep"] == mark


def test_composite_conditions(sf):
    id = sf.make()
    changed = seconds_of(sf.row("Opportunity", id)["LastModifiedDate"])
    guard = lambda t: {"If-Unmodified-Since": http_date(t)}
    found = sf.composite(sf.sub("PATCH", "sobjects/Opportunity/" + id, "old", {"Name": "a"}, guard(changed - 1)),
                         sf.sub("PATCH", "sobjects/Opportunity/" + id, "new", {"Name": "b"}, guard(changed)),
                         sf.sub("GET", "sobjects/Account/" + FABRIKAM, "acc"))
    assert [f["httpStatusCode"] for f in found] == [412, 204, 200]
    assert "ETag" in found[2]["httpHeaders"] and sf.row("Opportunity", id)["Name"] == "b"


def test_limits_of_composite(sf):
    many = [sf.sub("GET", "sobjects/Account/" + FABRIKAM, "r%d" % n) for n in range(26)]
    assert sf.ask("POST", "composite", {"compositeRequest": many}).status_code == 400
    assert sf.composite(*many[:25])
    queries = [sf.sub("GET", "query?q=SELECT+Id+FROM+Account", "q%d" % n) for n in range(6)]
    assert sf.ask("POST", "composite", {"compositeRequest": queries}).status_code == 400
    assert sf.composite(*queries[:5])
    for bad in ([many[0], many[0]], [sf.sub("GET", "limits", "a-b")], [], [{"method": "GET"}],
                [sf.sub("GET", "sobjects/Account/" + FABRIKAM, "a", headers={"Accept": "text/xml"})],
                [sf.sub("POST", "composite", "a", {"compositeRequest": []})]):
        assert sf.ask("POST", "composite", {"compositeRequest": bad}).status_code == 400
    found = sf.composite(sf.sub("GET", "/elsewhere", "x"), sf.sub("GET", "nothing", "y"))
    assert [f["httpStatusCode"] for f in found] == [404, 404]


def test_collated_subrequests_may_run_early(sf):
    sf.patch("Contact", DORA, Title="before")
    read = "query?q=SELECT+Title+FROM+Contact+WHERE+Id='%s'" % DORA
    subs = [sf.sub("GET", read, "one"), sf.sub("PATCH", "sobjects/Contact/" + DORA, "write", {"Title": "after"}),
            sf.sub("GET", read, "two")]
    title = lambda found: found[2]["body"]["records"][0]["Title"]
    assert title(sf.composite(*subs)) == "before"
    sf.patch("Contact", DORA, Title="before")
    assert title(sf.composite(*subs, collateSubrequests=False)) == "after"


def test_faults_inside_composite(sf):
    sf.control("POST", "faults", {"method": "PATCH", "path": "sobjects/Contact", "status": 400, "times": 1,
                                  "inside": True})
    assert sf.ask("PATCH", "sobjects/Contact/" + DORA, {"Title": "out"}).status_code == 204
    subs = [sf.sub("PATCH", "sobjects/Contact/" + DORA, "a", {"Title": "in"}),
            sf.sub("PATCH", "sobjects/Opportunity/" + SEEDED, "b", {"NextStep": "in"})]
    found = sf.composite(*subs)
    assert found[0]["httpStatusCode"] == 400 and found[0]["body"][0]["errorCode"] == "UNABLE_TO_LOCK_ROW"
    assert found[1]["httpStatusCode"] == 204 and sf.row("Contact", DORA)["Title"] == "out"
    sf.control("POST", "faults", {"path": "Opportunity", "status": 503, "times": 1})
    found = sf.composite(*subs, allOrNone=True)
    assert found[0]["body"] == HALTED and found[1]["body"][0]["errorCode"] == "SERVER_UNAVAILABLE"
    assert sf.row("Contact", DORA)["Title"] == "out"
    sf.control("POST", "faults", {"path": "Opportunity", "fault": "drop-after-commit", "times": 1})
    with pytest.raises(requests.ConnectionError):
        sf.composite(*subs)
    assert sf.row("Contact", DORA)["Title"] == "in" and sf.row("Opportunity", SEEDED)["NextStep"] == "in"


def test_composite_held(sf):
    sf.control("POST", "faults", {"path": "sobjects/Contact", "fault": "hold", "inside": True, "times": 1})
    found = []
    thread = threading.Thread(target=lambda: found.append(requests.post(
        sf.api + "/composite", headers=dict(sf.http.headers), json={"compositeRequest": [
            sf.sub("PATCH", "sobjects/Contact/" + DORA, "a", {"Title": "held"})]})))
    thread.start()
    wait_for(lambda: sf.control("GET", "faults")[0]["held"] == 1)
    assert sf.row("Contact", DORA)["Title"] != "held"
    sf.control("DELETE", "faults")
    thread.join(5)
    assert found[0].status_code == 200 and sf.row("Contact", DORA)["Title"] == "held"


def test_graph(sf):
    mark = unique()
    graphs = [{"graphId": "1", "compositeRequest": [
        sf.sub("POST", "sobjects/Account", "a", {"Name": "G"}),
        sf.sub("POST", "sobjects/Opportunity", "o", {**DEAL, "NextStep": mark, "AccountId": "@{a.id}"})]},
        {"graphId": "2", "compositeRequest": [sf.sub("POST", "sobjects/Opportunity", "o", {**DEAL, "NextStep": mark}),
                                              sf.sub("POST", "sobjects/Opportunity", "p", {"Name": "x"})]}]
    found = sf.ask("POST", "composite/graph", {"graphs": graphs}).json()["graphs"]
    assert [(g["graphId"], g["isSuccessful"]) for g in found] == [("1", True), ("2", False)]
    assert len(sf.rows("SELECT Id FROM Opportunity WHERE NextStep = '%s'" % mark)) == 1
    assert found[1]["graphResponse"]["compositeResponse"][0]["body"] == HALTED


def test_batch(sf):
    found = sf.ask("POST", "composite/batch", {"haltOnError": True, "batchRequests": [
        {"method": "PATCH", "url": "v60.0/sobjects/Contact/" + DORA, "richInput": {"Title": "batched"}},
        {"method": "GET", "url": "v60.0/sobjects/Contact/%s?fields=Title" % DORA},
        {"method": "GET", "url": "v60.0/sobjects/Nope"}, {"method": "GET", "url": "v60.0/limits"}]}).json()
    assert found["hasErrors"] and [r["statusCode"] for r in found["results"]] == [204, 200, 404, 412]
    assert found["results"][1]["result"]["Title"] == "batched"


# Collections

def of(table, **values):
    return {"attributes": {"type": table}, **values}


def test_create_and_update_many(sf):
    records = [of("Opportunity", **DEAL), of("Opportunity", Name="no stage"), of("Account", Name="Many")]
    answer = sf.ask("POST", "composite/sobjects", {"allOrNone": False, "records": records})
    assert answer.status_code == 200
    first, second, third = answer.json()
    assert first == {"id": first["id"], "success": True, "errors": []} and third["id"].startswith("001")
    assert second == {"success": False, "errors": [{
        "statusCode": "REQUIRED_FIELD_MISSING", "message": "Required fields are missing: [StageName, CloseDate]",
        "fields": ["StageName", "CloseDate"]}]}
    answer = sf.ask("PATCH", "composite/sobjects", {"records": [
        of("Opportunity", id=first["id"], Name="New"), of("Opportunity", Name="who"),
        of("Opportunity", id="0065g0000zzzzzzAAA", Name="x")]}).json()
    assert [r["success"] for r in answer] == [True, False, False]
    assert answer[1]["errors"][0]["statusCode"] == "MISSING_ARGUMENT"
    assert answer[2]["errors"][0]["statusCode"] == "INVALID_CROSS_REFERENCE_KEY"
    assert sf.row("Opportunity", first["id"])["Name"] == "New"


def test_collections_all_or_none(sf):
    mark = unique()
    records = [of("Opportunity", NextStep=mark, **DEAL), of("Opportunity", Name="no stage")]
    found = sf.ask("POST", "composite/sobjects", {"allOrNone": True, "records": records}).json()
    assert found[0]["errors"][0]["statusCode"] == "ALL_OR_NONE_OPERATION_ROLLED_BACK"
    assert found[1]["errors"][0]["statusCode"] == "REQUIRED_FIELD_MISSING"
    assert sf.rows("SELECT Id FROM Opportunity WHERE NextStep = '%s'" % mark) == []


def test_upsert_many(sf):
    key = unique()[:36]
    path = "composite/sobjects/Opportunity/Referral_Identifier__c"
    body = {"records": [of("Opportunity", Referral_Identifier__c=key, **DEAL)]}
    first = sf.ask("PATCH", path, body).json()[0]
    assert first["created"] is True and first["success"]
    assert sf.ask("PATCH", path, body).json() == [{**first, "created": False}]
    mixed = {"records": [of("Opportunity", **DEAL), of("Opportunity", Referral_Identifier__c=key, Name="x" * 200)]}
    found = sf.ask("PATCH", path, mixed).json()
    assert [r["errors"][0]["statusCode"] for r in found] == ["MISSING_ARGUMENT", "STRING_TOO_LONG"]
    refused(sf.ask("PATCH", path, {"records": [of("Account", Name="x")]}), 400, "INVALID_TYPE")
    refused(sf.ask("PATCH", "composite/sobjects/Opportunity/NextStep", body), 404, "NOT_FOUND")


def test_read_and_delete_many(sf):
    made = [sf.make(Name="D%d" % n) for n in range(3)]
    found = sf.ask("POST", "composite/sobjects/Opportunity", {
        "ids": [made[0], "0065g0000zzzzzzAAA", made[2]], "fields": ["Name"]}).json()
    assert found[0]["Name"] == "D0" and found[0]["Id"] == made[0] and found[1] is None and found[2]["Name"] == "D2"
    refused(sf.ask("POST", "composite/sobjects/Opportunity", {"ids": made, "fields": ["Nope"]}), 400, "INVALID_FIELD")
    found = sf.ask("DELETE", "composite/sobjects?ids=%s,%s&allOrNone=false" % (made[0], made[0])).json()
    assert found[0] == {"id": made[0], "success": True, "errors": []}
    assert found[1]["errors"][0]["statusCode"] == "ENTITY_IS_DELETED"
    found = sf.ask("DELETE", "composite/sobjects?ids=%s,%s&allOrNone=true" % (made[1], made[0])).json()
    assert not found[0]["success"] and sf.row("Opportunity", made[1])


def test_limits_of_collections(sf):
    assert sf.ask("POST", "composite/sobjects", {"records": [of("Opportunity", **DEAL)] * 201}).status_code == 400
    assert sf.ask("POST", "composite/sobjects", {"records": "x"}).status_code == 400
    assert sf.ask("POST", "composite/sobjects/Opportunity", {"ids": [SEEDED] * 2001, "fields": ["Id"]}).status_code == 400
    found = sf.ask("POST", "composite/sobjects", {"records": [of("Nope", **DEAL)]}).json()
    assert found[0]["errors"][0]["statusCode"] == "INVALID_TYPE"


def test_collections_inside_composite(sf):
    found = sf.composite(sf.sub("POST", "composite/sobjects", "many", {"records": [of("Opportunity", **DEAL)] * 2}),
                         sf.sub("GET", "sobjects/Opportunity/@{many[1].id}?fields=LastModifiedById", "one"))
    assert found[1]["body"]["LastModifiedById"] == CONNECTOR and json.dumps(found[0]["body"]).count('"success": true') == 2


GARBAGE = [None, 1, "x", [], {}, [1], {"records": [1]}, {"records": [{}]}, {"records": [{"attributes": "x"}]},
           {"records": [{"attributes": {"type": 5}, "Name": []}]}, {"compositeRequest": [1]},
           {"compositeRequest": [{"method": "GET", "url": "x", "referenceId": "a", "httpHeaders": 7}]},
           {"compositeRequest": [{"method": "PATCH", "url": "/services/data/v60.0/sobjects/Account/x/y/z", "referenceId":
                                  "a", "body": []}]}, {"graphs": [1]}, {"batchRequests": [1]}, {"batchRequests": [{}]},
           {"ids": [1], "fields": [1]}, {"Name": {}}, {"Account": 5}, {"Account": {"Id": 5}}, {"AccountId": []},
           {"Name": True, "CloseDate": {}}, {"Amount": "NaN"}, {"Amount": 1e308}, {"attributes": 5}]
PLACES = ["sobjects/Opportunity", "sobjects/Opportunity/" + SEEDED, "sobjects/Opportunity/Referral_Identifier__c/g",
          "composite", "composite/graph", "composite/batch", "composite/sobjects", "composite/sobjects/Opportunity",
          "composite/sobjects/Opportunity/Referral_Identifier__c", "query", "limits", "sobjects/x/y/z/w"]


@pytest.mark.parametrize("place", PLACES)
def test_garbage_is_refused_in_order(sf, place):
    for method in ("POST", "PATCH", "DELETE", "PUT"):
        for body in GARBAGE[:1] if method in ("DELETE", "PUT") else GARBAGE:
            if method == "DELETE" and place.endswith(SEEDED):
                continue
            answer = sf.ask(method, place, json.dumps(body))
            assert answer.status_code < 500, (method, body, answer.text)
            if answer.status_code >= 400:
                assert isinstance(answer.json(), list) and answer.json()[0]["errorCode"], (method, body, answer.text)


@pytest.mark.parametrize("text", [
    "", "SELECT", "SELECT FROM", "SELECT Id FROM", "SELECT Id, FROM Opportunity", "SELECT (SELECT) FROM Opportunity",
    "SELECT Id FROM Opportunity WHERE ()", "SELECT Id FROM Opportunity WHERE Id IN ()", "SELECT COUNT( FROM Opportunity",
    "SELECT Id FROM Opportunity WHERE Amount = 2030-01-01", "SELECT Id FROM Opportunity ORDER BY",
    "SELECT Id FROM Opportunity WHERE Id IN (SELECT Id, Name FROM Account)", "SELECT Id FROM Opportunity LIMIT x",
    "SELECT Id FROM Opportunity WHERE CreatedDate > 2030-99-01T00:00:00Z", "SELECT Id FROM Opportunity WHERE IsWon > true",
    "SELECT Id FROM Opportunity GROUP BY Name", "SELECT Id FROM Opportunity WHERE Name INCLUDES ('x')", "\u00e9",
    "SELECT Id FROM Opportunity WHERE Owner = 'x'", "SELECT Owner FROM Opportunity", "SELECT A.B.C.D.E.F.G FROM Lead"])
def test_broken_queries_are_refused_in_order(sf, text):
    answer = requests.get(sf.api + "/query", params={"q": text}, headers=dict(sf.http.headers))
    assert answer.status_code == 400 and answer.json()[0]["errorCode"], answer.text
