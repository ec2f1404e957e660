"""What a whole deal needs of Dynamics 365: the simulator against the documents, asked by an independent client."""
import base64
import datetime
import hashlib
import json
import os
import sys
import urllib.parse
import uuid

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from d365_client import (  # noqa: E402
    APP, BEN, DORA, EUR, FABRIKAM, GUID, LITWARE, PERSON, USD, Server, batch, http_part, parts_of, refused, unique, wait_for,
)

TEMPLATE = "00000000-0000-4000-8000-000000000091"
TYPE = "Microsoft.Dynamics.CRM."
CATALOGUE = "00000000-0000-4000-8000-000000000061"


@pytest.fixture(scope="module")
def server():
    one = Server()
    yield one
    assert one.stop() == 0


@pytest.fixture
def d365(server):
    yield server
    server.control("DELETE", "quirks")
    server.reset()


def opportunity(server, **columns):
    return server.make("opportunities", **{"name": unique(), **columns})


def entity(table, id, key=None):
    return {"@odata.type": TYPE + table, (key or table + "id"): id}


# Many rows at once


def test_create_multiple(d365):
    names = [unique() for _ in range(3)]
    answer = d365.ask("POST", "opportunities/%sCreateMultiple" % TYPE, {
        "Targets": [{"@odata.type": TYPE + "opportunity", "name": n} for n in names]})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["@odata.context"].endswith("#Microsoft.Dynamics.CRM.CreateMultipleResponse")
    assert [d365.row("opportunities(%s)?$select=name" % i)["name"] for i in body["Ids"]] == names


@pytest.mark.parametrize("bad", [{"name": "x" * 301}, {"nonsense": 1}])
def test_create_multiple_is_all_or_nothing(d365, bad):
    name = unique()
    kind = {"@odata.type": TYPE + "opportunity"}
    answer = d365.ask("POST", "opportunities/%sCreateMultiple" % TYPE,
                      {"Targets": [{**kind, "name": name}, {**kind, **bad}]})
    assert answer.status_code == 400
    assert d365.list("opportunities?$filter=name eq '%s'" % name) == []


def test_every_target_names_its_type(d365):
    refused(d365.ask("POST", "opportunities/%sCreateMultiple" % TYPE, {"Targets": [{"name": "x"}]}), 400,
            "0x80048d19")
    refused(d365.ask("POST", "opportunities/%sCreateMultiple" % TYPE,
                     {"Targets": [{"@odata.type": TYPE + "lead", "name": "x"}]}), 400, "0x80048d19")


def test_update_multiple(d365):
    ids = [opportunity(d365) for _ in range(2)]
    kind = {"@odata.type": TYPE + "opportunity"}
    answer = d365.ask("POST", "opportunities/%sUpdateMultiple" % TYPE, {"Targets": [
        {**kind, "opportunityid": ids[0], "description": "a"},
        {**kind, "@odata.id": "opportunities(%s)" % ids[1], "description": "b"}]})
    assert answer.status_code == 204
    assert [d365.row("opportunities(%s)?$select=description" % i)["description"] for i in ids] == ["a", "b"]
    answer = d365.ask("POST", "opportunities/%sUpdateMultiple" % TYPE, {"Targets": [
        {**kind, "opportunityid": ids[0], "description": "c"},
        {**kind, "opportunityid": str(uuid.uuid4()), "description": "d"}]})
    refused(answer, 404, "0x80040217")
    assert d365.row("opportunities(%s)?$select=description" % ids[0])["description"] == "a"


def test_upsert_multiple_where_it_exists(d365):
    def offered(message, table):
        return d365.list("sdkmessagefilters?$select=sdkmessagefilterid&$filter=sdkmessageid/name eq @m and "
                         "primaryobjecttypecode eq @t&@m='%s'&@t='%s'" % (message, table)) != []
    assert offered("CreateMultiple", "opportunity") and not offered("UpsertMultiple", "opportunity")
    assert offered("UpsertMultiple", "msft_microsoftsolutiondetail")
    kind = {"@odata.type": TYPE + "opportunity"}
    refused(d365.ask("POST", "opportunities/%sUpsertMultiple" % TYPE, {"Targets": [{**kind, "name": "x"}]}), 400,
            "0x80040800")
    kind = {"@odata.type": TYPE + "msft_microsoftsolutiondetail"}
    new = "SOL-%s" % uuid.uuid4().hex[:8]
    answer = d365.ask("POST", "msft_microsoftsolutiondetails/%sUpsertMultiple" % TYPE, {"Targets": [
        {**kind, "@odata.id": "msft_microsoftsolutiondetails(msft_solutionidentifier='%s')" % new,
         "msft_solutionname": "New"},
        {**kind, "@odata.id": "msft_microsoftsolutiondetails(msft_solutionidentifier='SOL-24100-GWB')",
         "msft_type": "3P"}]})
    assert answer.status_code == 204, answer.text
    found = d365.row("msft_microsoftsolutiondetails(msft_solutionidentifier='%s')?$select=msft_solutionname" % new)
    assert found["msft_solutionname"] == "New"
    assert d365.row("msft_microsoftsolutiondetails(%s)?$select=msft_type" % CATALOGUE)["msft_type"] == "3P"


# Change tracking


TRACK = "odata.track-changes"


def test_delta_links(d365):
    kept, gone = opportunity(d365), opportunity(d365)
    answer = d365.get("opportunities?$select=name", prefer=TRACK)
    assert answer.headers["Preference-Applied"] == TRACK
    first = answer.json()
    assert {kept, gone} <= {r["opportunityid"] for r in first["value"]}
    assert "$deltatoken=" in first["@odata.deltaLink"] and "@odata.nextLink" not in first
    again = d365.row(first["@odata.deltaLink"])
    assert again["value"] == [] and again["@odata.context"].endswith("#opportunities(name)/$delta")
    d365.patch("opportunities(%s)" % kept, name="changed")
    made = opportunity(d365, name="made")
    brief = opportunity(d365)
    for id in (gone, brief):
        assert d365.ask("DELETE", "opportunities(%s)" % id).status_code == 204
    delta = d365.row(again["@odata.deltaLink"])
    assert [(r.get("name"), r.get("opportunityid")) for r in delta["value"][:2]] == [("changed", kept), ("made", made)]
    assert [(r["id"], r["reason"]) for r in delta["value"][2:]] == [(gone, "deleted"), (brief, "deleted")]
    assert delta["value"][2]["@odata.context"].endswith("#opportunities/$deletedEntity")
    token = urllib.parse.urlsplit(again["@odata.deltaLink"]).query.partition("$deltatoken=")[2]
    assert int(d365.get("opportunities/$count?$deltatoken=" + token).content.decode("utf-8-sig")) == 4
    assert d365.row(delta["@odata.deltaLink"])["value"] == []


def test_tracking_in_pages(d365):
    ids = [d365.make("leads", subject=unique(), lastname="x") for _ in range(5)]
    prefer = TRACK + ", odata.maxpagesize=2"
    page = d365.row("leads?$select=subject", prefer=prefer)
    seen = [r["leadid"] for r in page["value"]]
    assert len(seen) == 2 and "@odata.deltaLink" not in page
    d365.patch("leads(%s)" % ids[4], subject="moved")
    late = d365.make("leads", subject="late", lastname="x")
    while "@odata.nextLink" in page:
        page = d365.row(page["@odata.nextLink"], prefer=prefer)
        seen += [r["leadid"] for r in page["value"]]
    assert len(seen) == len(set(seen)) and set(ids[:4]) <= set(seen)
    delta = d365.row(page["@odata.deltaLink"])
    assert {ids[4], late} <= set(seen) | {r["leadid"] for r in delta["value"]}
    assert {r["subject"] for r in delta["value"]} == {"moved", "late"}


@pytest.mark.parametrize("option", ["$filter=statecode eq 0", "$orderby=name", "$top=1",
                                    "$expand=parentaccountid($select=name)"])
def test_tracking_takes_no_other_options(d365, option):
    message = refused(d365.get("opportunities?$select=name&" + option, prefer=TRACK), 400, "0x80060888")
    assert option.partition("=")[0].lstrip("$") in message


def test_token_expiry_and_tables_without_tracking(d365):
    link = d365.row("accounts?$select=name", prefer=TRACK)["@odata.deltaLink"]
    d365.control("POST", "clock", {"offset": 6.9 * 86400})
    d365.login()
    assert d365.get(link).status_code == 200
    d365.control("POST", "clock", {"offset": 7.1 * 86400})
    d365.login()
    assert d365.get(link).status_code == 400
    d365.control("POST", "clock", {"offset": 0})
    assert d365.get(link.partition("$deltatoken")[0] + "$deltatoken=x").status_code == 400
    d365.control("POST", "table-options", {"table": "contact", "change_tracking": False})
    try:
        assert d365.row("EntityDefinitions(LogicalName='contact')?$select=ChangeTrackingEnabled")[
            "ChangeTrackingEnabled"] is False
        assert d365.get("contacts?$select=fullname", prefer=TRACK).status_code == 400
    finally:
        d365.control("POST", "table-options", {"table": "contact", "change_tracking": True})


def test_undone_change_set_is_not_in_the_delta(d365):
    id = opportunity(d365)
    link = d365.row("opportunities?$select=name", prefer=TRACK)["@odata.deltaLink"]
    url = "/api/data/v9.2/opportunities(%s)" % id
    batch(d365, [http_part("PATCH", url, {"name": "no"}, content_id=1),
                 http_part("DELETE", url, content_id=2),
                 http_part("PATCH", url, {"name": "no"}, {"If-Match": "*"}, content_id=3)])
    assert d365.row(link)["value"] == []
    d365.patch("opportunities(%s)" % id, name="yes")
    assert [r["name"] for r in d365.row(link)["value"]] == ["yes"]


# Queries


def test_collections(d365):
    id = opportunity(d365)
    for n in range(3):
        d365.make("msft_microsoftsolutions", **{"msft_name": "s%d" % n,
                                                "msft_OpportunityId@odata.bind": "/opportunities(%s)" % id,
                                                "msft_SolutionDetailId@odata.bind":
                                                "/msft_microsoftsolutiondetails(%s)" % CATALOGUE})
    nav = "msft_opportunity_microsoftsolutions"
    rows = d365.list("opportunities(%s)/%s?$select=msft_name&$orderby=msft_name desc" % (id, nav))
    assert [r["msft_name"] for r in rows] == ["s2", "s1", "s0"]
    page = d365.row("opportunities(%s)/%s?$select=msft_name" % (id, nav), prefer="odata.maxpagesize=2")
    assert len(page["value"]) == 2
    assert len(d365.list(page["@odata.nextLink"], prefer="odata.maxpagesize=2")) == 1
    row = d365.row("opportunities(%s)?$select=name&$expand=%s($select=msft_name;$filter=msft_name ne 's1';"
                   "$orderby=msft_name desc;$top=1)" % (id, nav))
    assert [r["msft_name"] for r in row[nav]] == ["s2"]
    found = d365.list("opportunities?$select=name&$filter=%s/any(s:s/msft_name eq 's1' and "
                      "s/_msft_opportunityid_value eq %s)" % (nav, id))
    assert [r["opportunityid"] for r in found] == [id]
    found = d365.list("msft_microsoftsolutions?$select=msft_name&$expand=msft_SolutionDetailId($select="
                      "msft_solutionidentifier)&$filter=(_msft_opportunityid_value eq %s or msft_name eq 'none') and "
                      "(startswith(msft_name,'s') or contains(msft_name,'x'))&$count=true" % id)
    assert {r["msft_SolutionDetailId"]["msft_solutionidentifier"] for r in found} == {"SOL-24100-GWB"}
    assert len(d365.list("msft_microsoftsolutions?$filter=Microsoft.Dynamics.CRM.In(PropertyName='msft_opportunityid',"
                         "PropertyValues=['%s'])" % id)) == 3


def test_collections_lag_like_rows(d365):
    id = opportunity(d365)
    path = "opportunities(%s)?$select=name&$expand=msft_opportunity_microsoftsolutions($select=msft_name)" % id
    bind = {"msft_OpportunityId@odata.bind": "/opportunities(%s)" % id}
    old = d365.make("msft_microsoftsolutions", **bind)
    d365.control("POST", "lag", {"seconds": 30})
    wait_for(lambda: d365.get(path).status_code == 404)
    d365.control("POST", "clock", {"advance": 31})
    d365.login()
    assert [r["msft_microsoftsolutionid"] for r in d365.row(path)["msft_opportunity_microsoftsolutions"]] == [old]
    new = d365.make("msft_microsoftsolutions", **bind)
    d365.ask("DELETE", "msft_microsoftsolutions(%s)" % old)
    assert [r["msft_microsoftsolutionid"] for r in d365.row(path)["msft_opportunity_microsoftsolutions"]] == [old]
    d365.control("POST", "clock", {"advance": 31})
    assert [r["msft_microsoftsolutionid"] for r in d365.row(path)["msft_opportunity_microsoftsolutions"]] == [new]


def test_long_or_chain_is_quick_and_right(d365):
    names = [unique() for _ in range(20)]
    for name in names[:10]:
        opportunity(d365, name=name)
    text = " or ".join("name eq '%s'" % n for n in names)
    assert {r["name"] for r in d365.list("opportunities?$select=name&$filter=" + text)} == set(names[:10])
    text += " or estimatedvalue gt 99999999"
    assert {r["name"] for r in d365.list("opportunities?$select=name&$filter=" + text)} == set(names[:10])


# Metadata


def definition(server, table, rest=""):
    return server.row("EntityDefinitions(LogicalName='%s')%s" % (table, rest))


def test_tables_of_the_connector(d365):
    for table in ("opportunity", "lead", "account", "contact", "systemuser", "team", "teamtemplate",
                  "transactioncurrency", "opportunityclose", "msft_microsoftsolution", "msft_microsoftsolutiondetail"):
        found = definition(d365, table, "?$select=EntitySetName,PrimaryIdAttribute,PrimaryNameAttribute")
        assert d365.get(found["EntitySetName"] + "?$top=1").status_code == 200
    found = d365.list("EntityDefinitions?$select=LogicalName,EntitySetName&$filter=LogicalName eq 'team' or "
                      "LogicalName eq 'lead'&$expand=Attributes($select=LogicalName;$filter=LogicalName eq 'name' or "
                      "LogicalName eq 'subject'),Keys($select=KeyAttributes)")
    assert {t["LogicalName"]: [a["LogicalName"] for a in t["Attributes"]] for t in found} == {
        "team": ["name"], "lead": ["subject"]}
    solution = d365.make("msft_microsoftsolutions", **{"msft_OpportunityId@odata.bind":
                                                       "/opportunities(%s)" % opportunity(d365)})
    assert d365.row("msft_microsoftsolutions(%s)" % solution)["msft_name"][:2] == "20"


@pytest.mark.parametrize("cast, column, members", [
    ("StringAttributeMetadata", "name", {"MaxLength": 300}),
    ("MemoAttributeMetadata", "description", {"MaxLength": 2000}),
    ("MoneyAttributeMetadata", "estimatedvalue", {"Precision": 2, "PrecisionSource": 2, "MinValue": -1e12}),
    ("DecimalAttributeMetadata", "exchangerate", {"Precision": 10}),
    ("IntegerAttributeMetadata", "closeprobability", {"MinValue": 0, "MaxValue": 100}),
    ("DateTimeAttributeMetadata", "estimatedclosedate", {"Format": "DateOnly", "DateTimeBehavior":
                                                         {"Value": "DateOnly"}}),
    ("LookupAttributeMetadata", "parentaccountid", {"Targets": ["account"]}),
])
def test_casts(d365, cast, column, members):
    path = "/Attributes(LogicalName='%s')/%s%s?$select=%s" % (column, TYPE, cast, ",".join(members))
    found = definition(d365, "opportunity", path)
    assert {m: found[m] for m in members} == members and GUID.match(found["MetadataId"])
    many = definition(d365, "opportunity", "/Attributes/%s%s?$select=LogicalName" % (TYPE, cast))["value"]
    assert column in [a["LogicalName"] for a in many]


def test_labels_in_two_languages(d365):
    def options():
        path = "/Attributes(LogicalName='msft_howcanmicrosofthelp')/%sPicklistAttributeMetadata?$select=LogicalName" \
               "&$expand=OptionSet,GlobalOptionSet" % TYPE
        return definition(d365, "opportunity", path)["OptionSet"]["Options"]
    found = options()
    assert len(found) == 6 and found[3]["Label"]["UserLocalizedLabel"]["Label"] == "Quotes Or Licensing"
    every = {e["LanguageCode"]: e["Label"] for e in found[3]["Label"]["LocalizedLabels"]}
    assert set(every) == {1033, 1031} and every[1031] != every[1033]
    d365.options(UserLanguage=1031)
    mine = options()[3]["Label"]["UserLocalizedLabel"]
    assert (mine["LanguageCode"], mine["Label"]) == (1031, every[1031])
    id = opportunity(d365, msft_howcanmicrosofthelp=found[3]["Value"])
    row = d365.row("opportunities(%s)?$select=msft_howcanmicrosofthelp,statuscode" % id,
                   prefer='odata.include-annotations="*"')
    assert row["msft_howcanmicrosofthelp@OData.Community.Display.V1.FormattedValue"] == every[1031]
    assert row["statuscode@OData.Community.Display.V1.FormattedValue"] == "In Bearbeitung"
    assert d365.list("organizations?$select=languagecode")[0]["languagecode"] == 1033


def test_states_booleans_and_relationships(d365):
    status = definition(d365, "lead", "/Attributes(LogicalName='statuscode')/%sStatusAttributeMetadata?$expand="
                        "OptionSet($select=Options)" % TYPE)["OptionSet"]["Options"]
    assert {o["Value"]: o["State"] for o in status} == {1: 0, 2: 0, 3: 1, 4: 2, 5: 2, 6: 2, 7: 2}
    flag = definition(d365, "opportunity", "/Attributes(LogicalName='msft_referralvisibility')/"
                      "%sBooleanAttributeMetadata?$expand=OptionSet" % TYPE)["OptionSet"]
    assert flag["TrueOption"]["Label"]["UserLocalizedLabel"]["Label"] == "Visible to Microsoft sellers"
    state = definition(d365, "opportunity", "/Attributes/%sStateAttributeMetadata?$expand=OptionSet" % TYPE)["value"]
    assert [o["Value"] for o in state[0]["OptionSet"]["Options"]] == [0, 1, 2]
    related = definition(d365, "opportunity", "/OneToManyRelationships")["value"]
    assert {"msft_microsoftsolution", "opportunityclose"} <= {r["ReferencingEntity"] for r in related}
    assert definition(d365, "team", "/ManyToManyRelationships")["value"][0]["SchemaName"] == \
        "teammembership_association"


def test_global_choices_and_filters(d365):
    d365.control("POST", "columns", {"table": "opportunity", "name": "new_Shared", "type": "choice", "global": True,
                                     "options": [{"value": 1, "label": "One", "labels": {"1031": "Eins"}},
                                                 {"value": 2, "label": "Two"}]})
    found = definition(d365, "opportunity", "/Attributes(LogicalName='new_shared')/%sPicklistAttributeMetadata?"
                       "$select=LogicalName&$expand=OptionSet($select=Options),GlobalOptionSet($select=Options,IsGlobal)"
                       % TYPE)
    assert found["OptionSet"] is None and found["GlobalOptionSet"]["IsGlobal"] is True
    labels = [[e["Label"] for e in o["Label"]["LocalizedLabels"]] for o in found["GlobalOptionSet"]["Options"]]
    assert sorted(labels[0]) == ["Eins", "One"] and labels[1] == ["Two"]
    names = definition(d365, "opportunity", "/Attributes?$select=LogicalName&$filter=(LogicalName eq 'name' or "
                       "AttributeType eq Microsoft.Dynamics.CRM.AttributeTypeCode'State') and not "
                       "(IsValidForUpdate eq false)")["value"]
    assert {a["LogicalName"] for a in names} == {"name", "statecode"}
    d365.control("DELETE", "columns/opportunity.new_shared")


def test_failed_key_is_started_again(d365):
    d365.control("POST", "keys", {"table": "opportunity", "name": "new_Mail", "columns": ["emailaddress"],
                                  "status": "Failed"})
    keys = "EntityDefinitions(LogicalName='opportunity')/Keys"

    def status():
        return {k["SchemaName"]: k["EntityKeyIndexStatus"] for k in d365.list(keys)}["new_Mail"]
    assert status() == "Failed"
    body = {"EntityLogicalName": "opportunity", "EntityKeyLogicalName": "new_mail"}
    assert d365.ask("POST", "ReactivateEntityKey", body).status_code == 204
    assert status() == "Active"
    d365.control("DELETE", "keys/opportunity.new_mail")
    refused(d365.ask("POST", "ReactivateEntityKey", body), 400, "0x80040203")


# Quirks


def quirk(server, column, kind, table="opportunity", **more):
    return server.control("POST", "quirks", {"table": table, "column": column, "quirk": kind, **more})["id"]


@pytest.mark.parametrize("column, kind, more, sent, kept", [
    ("estimatedvalue", "round", {"digits": 0}, 10.5, 11), ("estimatedvalue", "truncate", {"digits": 0}, 10.99, 10),
    ("estimatedvalue", "round", {"digits": -3}, 12600, 13000), ("closeprobability", "round", {"digits": -1}, 44, 40),
    ("name", "truncate", {"length": 5}, "abcdefg", "abcde"), ("name", "trim", {}, "  a b  ", "a b"),
    ("name", "uppercase", {}, "straße", "STRASSE"), ("name", "nfc", {}, "e\u0301", "\u00e9"),
    ("description", "crlf", {}, "a\nb", "a\r\nb"), ("name", "ignore", {}, "new", "old"),
])
def test_values_stored_another_way(d365, column, kind, more, sent, kept):
    id = opportunity(d365, name="old")
    quirk(d365, column, kind, **more)
    d365.patch("opportunities(%s)" % id, **{column: sent})
    assert d365.row("opportunities(%s)?$select=%s" % (id, column))[column] == kept
    if kind != "ignore":
        made = d365.make("opportunities", **{column: sent})
        assert d365.row("opportunities(%s)?$select=%s" % (made, column))[column] == kept
    assert d365.control("GET", "quirks")[0]["hits"] >= 1


def test_refused_columns(d365):
    id, other = opportunity(d365), opportunity(d365)
    first = quirk(d365, "description", "refuse", code="0x80044331", values=["bad"])
    message = refused(d365.ask("PATCH", "opportunities(%s)" % id, {"description": "bad"}, match="*"), 400,
                      "0x80044331")
    assert "The length of the 'description' attribute of the 'opportunity' entity exceeded" in message
    d365.patch("opportunities(%s)" % id, description="good")
    d365.control("DELETE", "quirks/%d" % first)
    d365.patch("opportunities(%s)" % id, description="bad")
    quirk(d365, "estimatedvalue", "refuse-unnamed", rows=[id], times=1)
    message = refused(d365.ask("PATCH", "opportunities(%s)" % id, {"estimatedvalue": 1, "name": "n"}, match="*"), 400,
                      "0x80040265")
    assert "estimatedvalue" not in message
    d365.patch("opportunities(%s)" % other, estimatedvalue=1)
    d365.patch("opportunities(%s)" % id, estimatedvalue=1)
    quirk(d365, "msft_solutiondetailid", "refuse", "msft_microsoftsolution", values=[CATALOGUE], code="0x80040203")
    answer = d365.ask("POST", "msft_microsoftsolutions", {
        "msft_OpportunityId@odata.bind": "/opportunities(%s)" % id,
        "msft_SolutionDetailId@odata.bind": "/msft_microsoftsolutiondetails(%s)" % CATALOGUE})
    assert "msft_solutiondetailid" in refused(answer, 400, "0x80040203")


def test_calculated_column(d365):
    id = opportunity(d365, estimatedvalue=100, description="old")
    quirk(d365, "budgetamount", "calculated", columns=["estimatedvalue"], factor=0.1)
    quirk(d365, "description", "calculated", template="{name}!")
    path = "opportunities(%s)?$select=budgetamount,description,name" % id
    row = d365.row(path)
    assert (row["budgetamount"], row["description"]) == (10, row["name"] + "!")
    d365.patch("opportunities(%s)" % id, estimatedvalue=50, budgetamount=7, name="n", description="mine")
    row = d365.row(path)
    assert (row["budgetamount"], row["description"]) == (5, "n!")
    found = definition(d365, "opportunity", "/Attributes(LogicalName='budgetamount')")
    assert (found["SourceType"], found["IsValidForCreate"], found["IsValidForUpdate"]) == (1, False, False)
    d365.control("DELETE", "quirks")
    assert definition(d365, "opportunity", "/Attributes(LogicalName='budgetamount')")["SourceType"] == 0
    d365.patch("opportunities(%s)" % id, budgetamount=7)
    assert d365.row(path)["budgetamount"] == 7


def test_column_security(d365):
    id = opportunity(d365, description="secret")
    quirk(d365, "description", "unreadable", write=False)
    row = d365.row("opportunities(%s)?$select=name,description" % id)
    assert "description" not in row and "name" in row
    assert "description" not in d365.row("opportunities(%s)" % id)
    assert definition(d365, "opportunity", "/Attributes(LogicalName='description')")["IsValidForRead"] is False
    refused(d365.ask("PATCH", "opportunities(%s)" % id, {"description": "x"}, match="*"), 403, "0x8004F504")
    d365.control("DELETE", "quirks")
    quirk(d365, "description", "unreadable", **{"as": "null"})
    assert d365.row("opportunities(%s)?$select=description" % id)["description"] is None
    d365.control("DELETE", "quirks")
    assert d365.row("opportunities(%s)?$select=description" % id)["description"] == "secret"


def test_read_only_table(d365):
    id = opportunity(d365)
    quirk(d365, None, "read-only")
    for method, path in (("POST", "opportunities"), ("PATCH", "opportunities(%s)" % id),
                         ("DELETE", "opportunities(%s)" % id)):
        body = {"name": "x"} if method != "DELETE" else None
        refused(d365.ask(method, path, body, match="*"), 403, "0x80040220")
    assert d365.get("opportunities(%s)" % id).status_code == 200


@pytest.mark.parametrize("table, column", [("opportunityclose", None), ("opportunity", "statecode")])
def test_refused_closing_leaves_the_opportunity_open(d365, table, column):
    id = opportunity(d365)
    quirk(d365, column, "refuse-unnamed", table)
    refused(d365.ask("POST", "WinOpportunity", {"Status": 3, "OpportunityClose": {
        "subject": "s", "opportunityid@odata.bind": "/opportunities(%s)" % id}}), 400, "0x80040265")
    assert d365.row("opportunities(%s)?$select=statecode" % id)["statecode"] == 0
    assert d365.list("opportunities(%s)/Opportunity_OpportunityClose" % id) == []


def test_quirks_are_checked(d365):
    for doc in ({"table": "opportunity", "quirk": "dance"}, {"table": "nowhere", "quirk": "read-only"},
                {"table": "opportunity", "quirk": "round"}, {"table": "opportunity", "column": "x", "quirk": "trim"}):
        assert requests.post(d365.box + "/quirks", json=doc).status_code == 400


# Leads


def lead(server, **columns):
    return server.make("leads", **{"subject": unique(), "lastname": "Smith", **columns})


def test_qualify_lead(d365):
    id = lead(d365, firstname="Sue", companyname="Proseware", estimatedamount=1000, description="why",
              **{"transactioncurrencyid@odata.bind": "/transactioncurrencies(%s)" % EUR})
    answer = d365.ask("POST", "leads(%s)/%sQualifyLead" % (id, TYPE), {
        "CreateAccount": False, "CreateContact": False, "CreateOpportunity": True, "Status": 3,
        "OpportunityCurrencyId": entity("transactioncurrency", EUR),
        "OpportunityCustomerId": entity("account", FABRIKAM)})
    assert answer.status_code == 200, answer.text
    made, = answer.json()["value"]
    assert made["@odata.type"] == "#Microsoft.Dynamics.CRM.opportunity"
    assert made["_originatingleadid_value"] == id and made["_parentaccountid_value"] == FABRIKAM
    row = d365.row("leads(%s)?$select=statecode,statuscode&$expand=qualifyingopportunityid($select=name)" % id)
    assert (row["statecode"], row["statuscode"]) == (1, 3)
    assert row["qualifyingopportunityid"]["opportunityid"] == made["opportunityid"]
    assert d365.ask("PATCH", "leads(%s)" % id, {"description": "late"}, match="*").status_code == 400
    assert d365.ask("POST", "leads(%s)/%sQualifyLead" % (id, TYPE), {"CreateAccount": False, "CreateContact": False,
                    "CreateOpportunity": True, "Status": 3}).status_code == 400
    assert d365.list("leads(%s)/opportunity_originating_lead?$select=name" % id)[0]["opportunityid"] == \
        made["opportunityid"]


def test_qualify_with_account_and_contact(d365):
    id = lead(d365, firstname="Sue", companyname=unique())
    value = d365.ask("POST", "leads(%s)/%sQualifyLead" % (id, TYPE), {
        "CreateAccount": True, "CreateContact": True, "CreateOpportunity": True, "Status": -1}).json()["value"]
    account, contact, deal = value
    assert contact["_parentcustomerid_value"] == account["accountid"]
    assert deal["_parentaccountid_value"] == account["accountid"]
    assert deal["_parentcontactid_value"] == contact["contactid"]


def test_refused_qualification_changes_nothing(d365):
    id = lead(d365, companyname=unique())
    company = d365.row("leads(%s)?$select=companyname" % id)["companyname"]
    quirk(d365, "name", "refuse", "opportunity")
    answer = d365.ask("POST", "leads(%s)/%sQualifyLead" % (id, TYPE), {
        "CreateAccount": True, "CreateContact": False, "CreateOpportunity": True, "Status": 3})
    assert answer.status_code == 400
    assert d365.list("accounts?$filter=name eq '%s'" % company) == []
    assert d365.row("leads(%s)?$select=statecode" % id)["statecode"] == 0


def test_disqualify(d365):
    id = lead(d365)
    d365.patch("leads(%s)" % id, statecode=2, statuscode=7)
    assert d365.ask("PATCH", "leads(%s)" % id, {"subject": "late"}, match="*").status_code == 400
    d365.patch("leads(%s)" % id, statecode=0, statuscode=1)
    d365.patch("leads(%s)" % id, subject="again")


# Teams of a record


def add(server, user, record, action="AddUserToRecordTeam", template=TEMPLATE):
    return server.ask("POST", "systemusers(%s)/%s%s" % (user, TYPE, action), {
        "Record": entity("opportunity", record), "TeamTemplate": entity("teamtemplate", template)})


def test_record_team(d365):
    template = d365.list("teamtemplates?$select=teamtemplatename,objecttypecode&$filter=teamtemplatename eq "
                         "'Opportunity Sales Team'")[0]
    assert (template["teamtemplateid"], template["objecttypecode"]) == (TEMPLATE, 3)
    id = opportunity(d365)
    teams = "teams?$select=name,teamtype,_teamtemplateid_value,_regardingobjectid_value&$filter=" \
            "_regardingobjectid_value eq %s&$expand=teammembership_association($select=internalemailaddress)" % id
    assert d365.list(teams) == []
    answer = add(d365, PERSON, id)
    assert answer.status_code == 200, answer.text
    team = answer.json()["AccessTeamId"]
    for user in (BEN, BEN):
        assert add(d365, user, id).json()["AccessTeamId"] == team
    found, = d365.list(teams)
    assert (found["teamid"], found["teamtype"], found["_teamtemplateid_value"]) == (team, 1, TEMPLATE)
    assert {u["systemuserid"] for u in found["teammembership_association"]} == {PERSON, BEN}
    assert team in [t["teamid"] for t in d365.list("systemusers(%s)/teammembership_association?$select=name" % BEN)]
    assert len(d365.list("teammemberships?$filter=teamid eq " + team)) == 2
    assert [t["teamid"] for t in d365.list(
        "teams?$select=name&$filter=_regardingobjectid_value eq %s and teammembership_association/any(u:"
        "u/systemuserid eq %s)" % (id, BEN))] == [team]
    assert add(d365, BEN, id, "RemoveUserFromRecordTeam").status_code == 200
    assert [u["systemuserid"] for u in d365.list("teams(%s)/teammembership_association" % team)] == [PERSON]
    assert d365.ask("DELETE", "opportunities(%s)" % id).status_code == 204
    assert d365.get("teams(%s)" % team).status_code == 404


def test_record_team_refusals(d365):
    id = opportunity(d365)
    refused(add(d365, PERSON, str(uuid.uuid4())), 404, "0x80040217")
    refused(add(d365, str(uuid.uuid4()), id), 404, "0x80040217")
    refused(add(d365, "00000000-0000-4000-8000-000000000013", id), 400, "0x80040225")
    refused(add(d365, PERSON, id, template="00000000-0000-4000-8000-000000000092"), 400, "0x80040203")
    assert d365.ask("GET", "systemusers(%s)/%sAddUserToRecordTeam" % (PERSON, TYPE)).status_code == 405


def test_members_of_owner_teams(d365):
    team = "teams(00000000-0000-4000-8000-000000000032)"
    path = team + "/teammembership_association"
    assert d365.ask("POST", path + "/$ref", {"@odata.id": d365.api + "/systemusers(%s)" % BEN}).status_code == 204
    assert [u["systemuserid"] for u in d365.list(path + "?$select=fullname")] == [BEN]
    assert d365.ask("DELETE", "%s(%s)/$ref" % (path, BEN)).status_code == 204
    assert d365.list(path) == []


# Deleting, undeleting, merging


def test_delete_takes_child_rows_along_and_undelete_brings_them_back(d365):
    id = opportunity(d365, **{"parentaccountid@odata.bind": "/accounts(%s)" % LITWARE})
    child = d365.make("msft_microsoftsolutions", **{"msft_OpportunityId@odata.bind": "/opportunities(%s)" % id})
    assert d365.ask("DELETE", "opportunities(%s)" % id).status_code == 204
    assert d365.get("msft_microsoftsolutions(%s)" % child).status_code == 404
    refused(d365.ask("PATCH", "opportunities(%s)" % id, {"name": "x"}, match="*"), 404, "0x80040217")
    row = d365.control("POST", "restore", {"table": "opportunity", "id": id})
    assert row["opportunityid"] == id and row["_parentaccountid_value"] == LITWARE
    assert d365.row("msft_microsoftsolutions(%s)?$select=_msft_opportunityid_value" % child)[
        "_msft_opportunityid_value"] == id
    assert requests.post(d365.box + "/restore", json={"table": "opportunity", "id": id}).status_code == 400


def test_deleting_what_others_look_up(d365):
    contact = d365.make("contacts", lastname="Gone")
    id = opportunity(d365, **{"parentaccountid@odata.bind": "/accounts(%s)" % LITWARE,
                              "parentcontactid@odata.bind": "/contacts(%s)" % contact})
    assert d365.ask("DELETE", "contacts(%s)" % contact).status_code == 204
    assert d365.row("opportunities(%s)?$select=_parentcontactid_value" % id)["_parentcontactid_value"] is None
    detail = d365.make("msft_microsoftsolutiondetails", msft_solutionidentifier=unique(), msft_solutionname="x")
    d365.make("msft_microsoftsolutions", **{"msft_SolutionDetailId@odata.bind":
                                            "/msft_microsoftsolutiondetails(%s)" % detail})
    refused(d365.ask("DELETE", "msft_microsoftsolutiondetails(%s)" % detail), 405, "0x80040227")


@pytest.mark.parametrize("by_person", [True, False])
def test_merge_of_accounts(d365, by_person):
    winner, loser = d365.make("accounts", name="Winner"), d365.make("accounts", name="Loser")
    contact = d365.make("contacts", lastname="Mover", **{"parentcustomerid_account@odata.bind":
                                                         "/accounts(%s)" % loser})
    id = opportunity(d365, **{"parentaccountid@odata.bind": "/accounts(%s)" % loser})
    if by_person:
        d365.control("POST", "merge", {"table": "account", "target": winner, "subordinate": loser})
    else:
        answer = d365.ask("POST", "Merge", {
            "Target": entity("account", winner), "Subordinate": entity("account", loser),
            "UpdateContent": {"@odata.type": TYPE + "account", "telephone1": "1"}, "PerformParentingChecks": False})
        assert answer.status_code == 204, answer.text
        assert d365.row("accounts(%s)?$select=telephone1" % winner)["telephone1"] == "1"
    gone = d365.row("accounts(%s)?$select=statecode,statuscode,merged,_masterid_value" % loser)
    assert (gone["statecode"], gone["statuscode"], gone["merged"], gone["_masterid_value"]) == (1, 2, True, winner)
    row = d365.row("opportunities(%s)?$select=_parentaccountid_value,_customerid_value" % id)
    assert (row["_parentaccountid_value"], row["_customerid_value"]) == (winner, winner)
    assert d365.row("contacts(%s)?$select=_parentcustomerid_value" % contact)["_parentcustomerid_value"] == winner


def test_merge_of_leads_and_contacts(d365):
    one, two = lead(d365), lead(d365)
    body = {"Target": entity("lead", one), "Subordinate": entity("lead", two), "PerformParentingChecks": False}
    assert d365.ask("POST", "Merge", body).status_code == 204
    row = d365.row("leads(%s)?$select=statecode,merged,_masterid_value" % two)
    assert (row["statecode"], row["merged"], row["_masterid_value"]) == (2, True, one)
    assert d365.ask("POST", "Merge", body).status_code == 400
    body = {"Target": entity("contact", DORA), "Subordinate": entity("contact", d365.make("contacts", lastname="D"))}
    assert d365.ask("POST", "Merge", body).status_code == 204
    body["Subordinate"] = entity("account", FABRIKAM)
    assert d365.ask("POST", "Merge", body).status_code == 400


def test_many_edits_by_a_person_in_one_request(d365):
    ids = [r["opportunityid"] for r in d365.control("POST", "bulk/opportunities", [{"name": unique()}] * 1000)]
    before = d365.row("opportunities(%s)?$select=name" % ids[0])["@odata.etag"]
    assert d365.control("PATCH", "bulk/opportunities", [{"id": i, "estimatedvalue": n} for n, i in enumerate(ids)]) == {
        "changed": 1000}
    row = d365.row("opportunities(%s)?$select=estimatedvalue,_modifiedby_value" % ids[999])
    assert row["estimatedvalue"] == 999 and row["_modifiedby_value"] == PERSON
    assert d365.row("opportunities(%s)?$select=name" % ids[0])["@odata.etag"] != before
    assert d365.control("PATCH", "bulk/opportunities", {"ids": ids, "change": {"name": "all"}}) == {"changed": 1000}
    assert len(d365.list("opportunities?$select=name&$filter=name eq 'all'")) == 1000


# Duplicates


def test_duplicate_rules_are_switched(d365):
    name, mail = unique(), unique() + "@x.example"
    account = {"name": name, "address1_postalcode": "98052"}
    contact = {"lastname": "D", "emailaddress1": mail}
    d365.make("accounts", **account)
    d365.make("contacts", **contact)
    d365.control("POST", "duplicate-rules", {"table": "contact", "rules": []})
    asking = {"MSCRM.SuppressDuplicateDetection": "false"}
    assert d365.ask("POST", "accounts", account, **asking).status_code == 204
    assert d365.ask("POST", "contacts", contact, **asking).status_code == 204
    d365.options(AccountDuplicates=True, ContactDuplicates=True)
    refused(d365.ask("POST", "accounts", account, **asking), 412, "0x80040333")
    refused(d365.ask("POST", "contacts", contact, **asking), 412, "0x80040333")
    assert d365.ask("POST", "accounts", {**account, "address1_postalcode": "1"}, **asking).status_code == 204
    assert d365.ask("POST", "accounts", account).status_code == 204


# Signing in by certificate


def certificate(name="connector"):
    key = rsa.generate_private_key(65537, 2048)
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (x509.CertificateBuilder().subject_name(who).issuer_name(who).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=9)).sign(key, hashes.SHA256()))
    return key, made


def url64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def assertion(server, key, cert, alg="PS256", thumb="x5t#S256"):
    der = cert.public_bytes(serialization.Encoding.DER)
    digest = hashlib.sha256(der) if thumb == "x5t#S256" else hashlib.sha1(der)
    now = int(datetime.datetime.now().timestamp())
    head = {"alg": alg, "typ": "JWT", thumb: url64(digest.digest())}
    claims = {"aud": server.line["token"], "iss": APP, "sub": APP, "jti": str(uuid.uuid4()), "nbf": now,
              "exp": now + 300}
    text = "%s.%s" % (url64(json.dumps(head).encode()), url64(json.dumps(claims).encode()))
    pad = padding.PSS(padding.MGF1(hashes.SHA256()), 32) if alg == "PS256" else padding.PKCS1v15()
    return "%s.%s" % (text, url64(key.sign(text.encode(), pad, hashes.SHA256())))


def by_assertion(server, text):
    return server.token(client_secret=None, client_assertion=text, client_assertion_type="urn:ietf:params:oauth:"
                        "client-assertion-type:jwt-bearer")


def test_assertions(tmp_path):
    key, cert = certificate()
    other, stranger = certificate("other")
    (tmp_path / "c.pem").write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    server = Server("--client-cert", str(tmp_path / "c.pem"))
    try:
        assert by_assertion(server, assertion(server, key, cert)).status_code == 200
        assert by_assertion(server, assertion(server, key, cert, "RS256", "x5t")).status_code == 200
        for bad in (assertion(server, other, cert), assertion(server, other, stranger),
                    assertion(server, key, cert, "PS256", "x5t")):
            answer = by_assertion(server, bad)
            assert answer.status_code == 401 and answer.json()["error"] == "invalid_client"
            assert answer.json()["error_description"].startswith("AADSTS700027:")
        server.control("POST", "tokens", {"certificate": stranger.public_bytes(serialization.Encoding.PEM).decode()})
        assert by_assertion(server, assertion(server, other, stranger)).status_code == 200
    finally:
        assert server.stop() == 0


def test_batch_of_a_whole_deal(d365):
    """Opportunity, child rows and a look-up in one change set, by references."""
    name, root = unique(), "/api/data/v9.2/"
    id = str(uuid.uuid4())
    ops = [http_part("PATCH", root + "opportunities(%s)" % id, {
        "name": name, "transactioncurrencyid@odata.bind": "/transactioncurrencies(%s)" % USD,
        "parentaccountid@odata.bind": "accounts(%s)" % FABRIKAM}, {"If-None-Match": "*"}, content_id=1)]
    ops += [http_part("POST", root + "msft_microsoftsolutions", {
        "msft_OpportunityId@odata.bind": "$1",
        "msft_SolutionDetailId@odata.bind": "/msft_microsoftsolutiondetails(%s)" % CATALOGUE}, content_id=n)
        for n in range(2, 14)]
    answer = batch(d365, ops)
    assert answer.status_code == 200, answer.text
    assert [p.status for p in parts_of(answer)[0]] == [204] * 13
    assert len(d365.list("opportunities(%s)/msft_opportunity_microsoftsolutions" % id)) == 12
    again = batch(d365, ops)
    assert again.status_code == 412 and parts_of(again)[0].json()["error"]["code"] == "0x80040237"
