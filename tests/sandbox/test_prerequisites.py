"""What tells an integration whether it may work: privileges, keys, tracking, flows, how often a value stands in a table."""
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import d365_client  # noqa: E402
import sf_client  # noqa: E402

FUNCTION = "Microsoft.Dynamics.CRM.RetrieveUserPrivileges()"


@pytest.fixture(scope="module")
def d365():
    server = d365_client.Server()
    yield server
    assert server.stop() == 0


@pytest.fixture(scope="module")
def sf():
    server = sf_client.Server()
    yield server
    assert server.stop() == 0


# Dataverse


def mine(d365):
    return d365.row("systemusers(%s)/%s" % (d365.row("WhoAmI")["UserId"], FUNCTION))["RolePrivileges"]


def ids_of(d365, table, *kinds):
    listed = d365.row("EntityDefinitions(LogicalName='%s')?$select=Privileges" % table)["Privileges"]
    found = {one["PrivilegeType"]: one["PrivilegeId"] for one in listed}
    return [found[kind] for kind in kinds]


def test_privileges_of_a_user(d365):
    listed = mine(d365)
    assert {one["Depth"] for one in listed} == {"Global"}
    assert "prvReadOpportunity" in {one["PrivilegeName"] for one in listed}
    assert {one["PrivilegeId"] for one in listed} >= set(ids_of(d365, "opportunity", "Create", "Read", "Write", "Append", "AppendTo", "Assign", "Share"))


def test_privileges_taken_away(d365):
    read, write, share = ids_of(d365, "lead", "Read", "Write", "Share")
    d365.control("POST", "privileges", {"table": "lead", "deny": ["write", "share"], "depth": {"read": "Basic"}})
    try:
        listed = {one["PrivilegeId"]: one["Depth"] for one in mine(d365)}
        assert listed.get(read) == "Basic" and write not in listed and share not in listed
    finally:
        d365.control("POST", "privileges", {"table": "lead", "deny": []})
    assert {one["PrivilegeId"]: one["Depth"] for one in mine(d365)}[read] == "Global"


def test_privileges_are_a_users(d365):
    user = d365.row("WhoAmI")["UserId"]
    assert d365.get("systemusers(00000000-0000-4000-8000-00000000dead)/" + FUNCTION).status_code == 404
    assert d365.get("accounts(%s)/%s" % (user, FUNCTION)).status_code in (400, 404)
    assert d365.ask("POST", "systemusers(%s)/%s" % (user, FUNCTION), {}).status_code == 405


def test_organisation_tables_are_nobodys_to_give(d365):
    listed = d365.row("EntityDefinitions(LogicalName='transactioncurrency')?$select=Privileges")["Privileges"]
    assert not {"Assign", "Share"} & {one["PrivilegeType"] for one in listed}


@pytest.mark.parametrize("status", ["Active", "Pending", "Failed"])
def test_key_status(d365, status):
    d365.control("POST", "keys", {"table": "opportunity", "name": "t_key", "columns": ["stepname"], "status": status})
    try:
        listed = d365.row("EntityDefinitions(LogicalName='opportunity')?$select=LogicalName&$expand=Keys($select=KeyAttributes,"
                          "EntityKeyIndexStatus)")["Keys"]
        assert [(k["KeyAttributes"], k["EntityKeyIndexStatus"]) for k in listed if k["KeyAttributes"] == ["stepname"]] == [(["stepname"], status)]
    finally:
        d365.control("DELETE", "keys/opportunity.t_key")


def test_tracking_is_told(d365):
    path = "EntityDefinitions(LogicalName='contact')?$select=ChangeTrackingEnabled"
    assert d365.row(path)["ChangeTrackingEnabled"] is True
    d365.control("POST", "table-options", {"table": "contact", "change_tracking": False})
    assert d365.row(path)["ChangeTrackingEnabled"] is False
    d365.control("POST", "table-options", {"table": "contact", "change_tracking": True})


def test_flows(d365):
    for name, state in (("Partner Center to Dynamics 365 (Insider Preview)", 1), ("Dynamics 365 to Partner Center", 0)):
        d365.control("POST", "workflows", {"name": name, "category": 5, "type": 1, "statecode": state})
    found = d365.list("workflows?$select=name,category,statecode&$filter=category eq 5 and statecode eq 1 and "
                      "contains(name,'Partner Center')")
    assert [one["name"] for one in found] == ["Partner Center to Dynamics 365 (Insider Preview)"]


def test_grouped_values(d365):
    for name in ("g-1", "G-1", "g-2"):
        d365.make("leads", subject="grouped", lastname="x", description=name, companyname=name)
    found = d365.list("leads?$apply=filter(subject eq 'grouped')/groupby((companyname),aggregate($count as rows))")
    assert sorted((one["companyname"].lower(), one["rows"]) for one in found) == [("g-1", 2), ("g-2", 1)]


def test_too_many_to_group(d365):
    d365.options(AggregateLimit=1)
    try:
        d365_client.refused(d365.get("accounts?$apply=groupby((name),aggregate($count as rows))"), 400, "0x8004E023")
    finally:
        d365.options(AggregateLimit=50000)
    assert d365.get("accounts?$apply=groupby((nonsense),aggregate($count as rows))").status_code == 400
    assert d365.get("accounts?$apply=concat(a,b)").status_code == 400


# Salesforce


def test_object_permissions_are_described(sf):
    def flags():
        doc = sf.get("sobjects/Contact/describe").json()
        return doc["queryable"], doc["createable"], doc["updateable"], doc["deletable"]
    assert flags() == (True, True, True, True)
    sf.control("POST", "privileges", {"table": "Contact", "deny": ["write", "delete"]})
    assert flags() == (True, True, False, False)
    sf.control("POST", "privileges", {"table": "Contact", "deny": ["read"]})
    assert sf.get("sobjects/Contact/describe").status_code == 404
    sf.control("POST", "privileges", {"table": "Contact", "deny": []})


def test_group_by(sf):
    for name in ("Same", "same", "Other"):
        sf.make(NextStep=name, Name="grouped")
    found = sf.rows("SELECT NextStep, COUNT(Id) n FROM Opportunity WHERE Name = 'grouped' GROUP BY NextStep HAVING COUNT(Id) > 1")
    assert [(one["attributes"], one["NextStep"].lower(), one["n"]) for one in found] == [({"type": "AggregateResult"}, "same", 2)]
    found = sf.rows("SELECT NextStep, COUNT(Id) FROM Opportunity WHERE Name = 'grouped' GROUP BY NextStep")
    assert sorted(one["expr0"] for one in found) == [1, 2]


@pytest.mark.parametrize("text", [
    "SELECT Name, COUNT(Id) n FROM Opportunity", "SELECT Name FROM Opportunity HAVING COUNT(Id) > 1",
    "SELECT Description, COUNT(Id) n FROM Opportunity GROUP BY Description", "SELECT SUM(Amount) FROM Opportunity",
])
def test_not_grouped(sf, text):
    answer = sf.http.get(sf.api + "/query", params={"q": text}, timeout=10)
    sf_client.refused(answer, 400, "MALFORMED_QUERY")
