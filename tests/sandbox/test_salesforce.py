"""The Salesforce simulator against what Salesforce documents: signing in, rows, external ids, conditions, describe."""
import base64
import os
import re
import socket
import sys
import threading
import time

import pytest
import requests

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from sf_client import (  # noqa: E402
    ADA, APP, BEN, CLEO, CONNECTOR, DEAL, DORA, ELI, FABRIKAM, ID, LITWARE, SECRET, SEEDED, STAMP, Server, Signer,
    http_date, refused, seconds_of, unique, wait_for,
)

BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"


@pytest.fixture(scope="module")
def sf():
    server = Server()
    yield server
    assert server.stop() == 0


@pytest.fixture(scope="module")
def signer(sf):
    found = Signer()
    sf.control("POST", "tokens", {"certificate": found.pem})
    return found


@pytest.fixture(autouse=True)
def clean(sf):
    sf.reset()


def suffix(id15):
    """The documented checksum, written anew."""
    out = ""
    for chunk in (id15[:5], id15[5:10], id15[10:]):
        bits = "".join("1" if c.isupper() else "0" for c in reversed(chunk))
        out += "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"[int(bits, 2)]
    return out


# Signing in

def test_start_line(sf):
    assert sf.line["name"] == "salesforce" and sf.line["pid"] == sf.process.pid
    assert sf.line["organization"].startswith("00D") and sf.line["user"] == CONNECTOR


def test_client_credentials(sf):
    found = sf.token().json()
    assert found["token_type"] == "Bearer" and found["instance_url"] == sf.base
    assert found["id"].endswith("/id/%s/%s" % (sf.line["organization"], CONNECTOR))
    assert found["access_token"].startswith(sf.line["organization"][:15] + "!") and found["issued_at"].isdigit()
    assert "expires_in" not in found and "refresh_token" not in found


def test_client_credentials_by_basic(sf):
    basic = base64.b64encode(("%s:%s" % (APP, SECRET)).encode()).decode()
    answer = requests.post(sf.line["token"], data={"grant_type": "client_credentials"},
                           headers={"Authorization": "Basic " + basic})
    assert answer.status_code == 200


@pytest.mark.parametrize("form,error", [
    ({"client_secret": "wrong"}, "invalid_client"), ({"client_id": "nobody"}, "invalid_client_id"),
    ({"grant_type": "password"}, "unsupported_grant_type"), ({"client_secret": None}, "invalid_client"),
    ({"client_id": "3MVG9.sandbox.consumer.key.2", "client_secret": "not-enabled"}, "invalid_grant")])
def test_refused_sign_in(sf, form, error):
    answer = sf.token(**form)
    assert answer.status_code == 400 and answer.json()["error"] == error and answer.json()["error_description"]


def test_login_host_has_no_client_credentials(sf):
    sf.options(LoginHost=True)
    assert sf.token().json() == {"error": "invalid_grant", "error_description": "request not supported on this domain"}


def signed(sf, assertion):
    return requests.post(sf.line["token"], data={"grant_type": BEARER, "assertion": assertion})


def test_jwt_bearer(sf, signer):
    for audience in ("https://login.salesforce.com", "https://test.salesforce.com", sf.base):
        answer = signed(sf, signer.assertion(aud=audience))
        assert answer.status_code == 200, answer.text
        assert "refresh_token" not in answer.json() and "expires_in" not in answer.json()
        head = {"Authorization": "Bearer " + answer.json()["access_token"]}
        assert requests.get(sf.api + "/limits", headers=head).status_code == 200


@pytest.mark.parametrize("change,text", [
    ({"aud": "https://example.com"}, "audience is invalid"), ({"exp": int(time.time()) - 5}, "expired"),
    ({"exp": int(time.time()) + 4000}, "invalid assertion"), ({"exp": None}, "expired"),
    ({"sub": "ada.seller@contoso.example"}, "user hasn't approved this consumer"),
    ({"sub": "nobody@contoso.example"}, "user hasn't approved this consumer")])
def test_jwt_refused(sf, signer, change, text):
    answer = signed(sf, signer.assertion(**change))
    assert answer.status_code == 400 and answer.json()["error"] == "invalid_grant"
    assert text in answer.json()["error_description"]


def test_jwt_of_another_key_or_client(sf, signer):
    assert signed(sf, Signer().assertion()).json()["error"] == "invalid_grant"
    assert signed(sf, signer.assertion({"alg": "none"})).json()["error"] == "invalid_grant"
    assert signed(sf, signer.assertion(iss="nobody")).json() == {
        "error": "invalid_client_id", "error_description": "client identifier invalid"}
    assert signed(sf, "a.b").json()["error"] == "invalid_grant"


def test_refresh_token(sf):
    form = {"grant_type": "refresh_token", "refresh_token": "sandbox-refresh-token"}
    found = sf.token(**form)
    assert found.status_code == 200 and "refresh_token" not in found.json()
    assert sf.token(**{**form, "refresh_token": "other"}).json()["error"] == "invalid_grant"
    sf.control("POST", "apps", {"client_id": "rotating", "run_as": CONNECTOR, "refresh_tokens": ["first"]})
    sf.control("POST", "tokens", {"rotate": True})
    form = {"grant_type": "refresh_token", "client_id": "rotating", "client_secret": None}
    new = sf.token(**form, refresh_token="first").json()["refresh_token"]
    assert sf.token(**form, refresh_token="first").json()["error"] == "invalid_grant"
    assert sf.token(**form, refresh_token=new).status_code == 200


def test_revoked_token(sf):
    token = sf.token().json()["access_token"]
    assert requests.post(sf.base + "/services/oauth2/revoke", data={"token": token}).status_code == 200
    answer = requests.get(sf.api + "/limits", headers={"Authorization": "Bearer " + token})
    assert refused(answer, 401, "INVALID_SESSION_ID") == "Session expired or invalid"


def test_sessions_end(sf):
    sf.control("POST", "tokens", {"expires_in": 60})
    sf.login()
    assert sf.get("limits").status_code == 200
    sf.control("POST", "clock", {"offset": 61})
    refused(sf.get("limits"), 401, "INVALID_SESSION_ID")
    sf.control("POST", "tokens", {"expires_in": None, "idle": 100})
    sf.login()
    for at in (150, 240, 330):
        sf.control("POST", "clock", {"offset": at})
        assert sf.get("limits").status_code == 200
    sf.control("POST", "clock", {"offset": 431})
    refused(sf.get("limits"), 401, "INVALID_SESSION_ID")
    sf.control("POST", "clock", {"offset": 0})
    sf.login()


def test_all_sessions_revoked_and_sign_in_failing(sf):
    sf.control("POST", "tokens", {"revoke": True, "fail": "inactive_user"})
    refused(sf.get("limits"), 401, "INVALID_SESSION_ID")
    assert sf.token().json()["error"] == "inactive_user"
    sf.control("POST", "tokens", {"fail": "server_error"})
    assert sf.token().status_code == 503
    sf.control("POST", "tokens", {"fail": None})
    sf.login()
    refused(requests.get(sf.api + "/limits"), 401, "INVALID_AUTH_HEADER")


# Versions, limits

def test_versions_need_no_session(sf):
    found = requests.get(sf.base + "/services/data/").json()
    assert found[-1] == {"label": "Summer '26", "url": "/services/data/v67.0", "version": "67.0"}
    assert {"label": "Spring '24", "url": "/services/data/v60.0", "version": "60.0"} in found
    refused(sf.get("/services/data/v99.0/limits"), 404, "NOT_FOUND")
    refused(sf.get("/services/data/v22.0/limits"), 410, "UNSUPPORTED_API_VERSION")


def test_every_call_counts_once(sf):
    used = sf.used()
    sf.get("sobjects/Nothing")
    sf.make()
    sf.query("SELECT Id FROM Opportunity")
    sf.composite(*[sf.sub("GET", "sobjects/Account/" + FABRIKAM, "r%d" % n) for n in range(10)])
    sf.ask("POST", "composite/sobjects", {"records": [{"attributes": {"type": "Opportunity"}, **DEAL}] * 50})
    assert sf.used() == used + 6
    assert "Sforce-Limit-Info" not in requests.get(sf.base + "/services/data/").headers


def test_daily_limit(sf):
    sf.control("POST", "limits", {"used": 98, "max": 100})
    answer = sf.get("limits")
    assert answer.headers["Sforce-Limit-Info"] == "api-usage=99/100"
    assert answer.json()["DailyApiRequests"] == {"Max": 100, "Remaining": 1}
    assert sf.get("limits").status_code == 200
    answer = sf.get("limits")
    assert refused(answer, 403, "REQUEST_LIMIT_EXCEEDED") == "TotalRequests Limit exceeded."
    assert answer.headers["Sforce-Limit-Info"] == "api-usage=100/100" and "Retry-After" not in answer.headers
    assert sf.control("GET", "limits")["refused"] >= 1
    sf.control("POST", "clock", {"offset": 3600})
    sf.login()
    refused(sf.get("limits"), 403, "REQUEST_LIMIT_EXCEEDED")
    sf.control("POST", "clock", {"offset": 25 * 3600})
    sf.login()
    assert sf.get("limits").headers["Sforce-Limit-Info"] == "api-usage=1/100"
    sf.control("POST", "clock", {"offset": 0})
    sf.login()


def test_concurrent_limit(sf):
    sf.control("POST", "limits", {"concurrent": 2})
    for _ in range(2):
        assert refused(sf.get("limits"), 403, "REQUEST_LIMIT_EXCEEDED").startswith("ConcurrentRequests")
    assert sf.get("limits").status_code == 200


def test_long_calls_side_by_side(sf):
    sf.options(LatencyMilliseconds=60000, ConcurrentLimit=2, ConcurrentSeconds=0)
    head = dict(sf.http.headers)
    found = []
    threads = [threading.Thread(target=lambda: found.append(requests.get(sf.api + "/limits", headers=head)))
               for _ in range(4)]
    for thread in threads:
        thread.start()
    wait_for(lambda: len(found) == 2)
    for answer in found:
        assert refused(answer, 403, "REQUEST_LIMIT_EXCEEDED").startswith("ConcurrentRequests")
    sf.control("POST", "clock", {"advance": 61})
    for thread in threads:
        thread.join(5)
    assert [answer.status_code for answer in found] == [403, 403, 200, 200]


def test_long_url(sf):
    assert sf.get("query?q=" + "x" * 17000).status_code == 414


# Rows

@pytest.mark.parametrize("id15,id18", [("001D000000IqhSL", "001D000000IqhSLIAZ"),
                                       ("001D000000INjVe", "001D000000INjVeIAL")])
def test_checksum_of_documented_ids(id15, id18):
    sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
    from sf import ids
    assert ids.canonical(id15) == id18 == id15 + suffix(id15) and ids.canonical(id18.lower()) == id18
    assert ids.canonical(id15 + "!!!") is None and ids.canonical("short") is None


def test_create_and_read(sf):
    answer = sf.ask("POST", "sobjects/Opportunity/", {**DEAL, "Amount": 1200.5, "AccountId": FABRIKAM})
    assert answer.status_code == 201
    made = answer.json()
    assert made == {"id": made["id"], "success": True, "errors": []} and ID.match(made["id"])
    id = made["id"]
    assert id.startswith("006") and id[15:] == suffix(id[:15])
    assert answer.headers["Location"] == "/services/data/v60.0/sobjects/Opportunity/" + id
    row = sf.row("Opportunity", id)
    assert row["attributes"] == {"type": "Opportunity", "url": "/services/data/v60.0/sobjects/Opportunity/" + id}
    assert row["Name"] == "Deal" and row["Amount"] == 1200.5 and row["AccountId"] == FABRIKAM
    assert row["OwnerId"] == row["CreatedById"] == row["LastModifiedById"] == CONNECTOR
    assert STAMP.match(row["SystemModstamp"]) and row["SystemModstamp"] == row["LastModifiedDate"] == row["CreatedDate"]
    assert row["NextStep"] is None and row["IsDeleted"] is False
    few = sf.row("Opportunity", id[:15], "Name,closedate")
    assert set(few) == {"attributes", "Id", "Name", "CloseDate"} and few["Id"] == id


def test_neighbouring_ids_differ_by_case(sf):
    made = [sf.make()[:15] for _ in range(60)]
    assert len({id.lower() for id in made}) < len(set(made)) == 60


def test_update_answers_nothing(sf):
    id = sf.make(NextStep="call")
    answer = sf.ask("PATCH", "sobjects/Opportunity/" + id, {"NextStep": None, "name": "Other"})
    assert answer.status_code == 204 and answer.content == b""
    row = sf.row("Opportunity", id)
    assert row["NextStep"] is None and row["Name"] == "Other"
    assert "specified in the sobject data" in refused(
        sf.ask("PATCH", "sobjects/Opportunity/" + id, {"Id": id, "Name": "x"}), 400, "INVALID_FIELD")


def test_missing_and_foreign_ids(sf):
    refused(sf.get("sobjects/Opportunity/0065g0000zzzzzzAAA"), 404, "NOT_FOUND")
    refused(sf.get("sobjects/Opportunity/nonsense"), 404, "NOT_FOUND")
    refused(sf.get("sobjects/Opportunity/" + FABRIKAM), 400, "MALFORMED_ID")
    refused(sf.get("sobjects/Unknown/" + FABRIKAM), 404, "NOT_FOUND")
    refused(sf.ask("PUT", "sobjects/Opportunity/" + SEEDED, {}), 405, "METHOD_NOT_ALLOWED")


@pytest.mark.parametrize("values,code,fields", [
    ({"Name": "x" * 121}, "STRING_TOO_LONG", ["Name"]),
    ({"Loss_Reason__c": "Weather"}, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", ["Loss_Reason__c"]),
    ({"Amount": 10 ** 17}, "NUMBER_OUTSIDE_VALID_RANGE", ["Amount"]),
    ({"StageName": None}, "REQUIRED_FIELD_MISSING", ["StageName"]),
    ({"Name": "  "}, "REQUIRED_FIELD_MISSING", ["Name"]),
    ({"IsClosed": True}, "INVALID_FIELD_FOR_INSERT_UPDATE", ["IsClosed"]),
    ({"AccountId": "0015g0000zzzzzzAAA"}, "INVALID_CROSS_REFERENCE_KEY", []),
    ({"AccountId": DORA}, "MALFORMED_ID", ["AccountId"]), ({"AccountId": "what"}, "MALFORMED_ID", ["AccountId"]),
    ({"CurrencyIsoCode": "XXX"}, "INVALID_CURRENCY_ISO", ["CurrencyIsoCode"]),
    ({"CurrencyIsoCode": "CHF"}, "INVALID_CURRENCY_ISO", ["CurrencyIsoCode"]),
    ({"OwnerId": CLEO}, "INACTIVE_OWNER_OR_USER", []),
    ({"Sync_with_Partner_Center__c": None}, "INVALID_TYPE_ON_FIELD_IN_RECORD", ["Sync_with_Partner_Center__c"]),
    ({"RecordTypeId": "0125g0000000009AAA"}, "INVALID_CROSS_REFERENCE_KEY", [])])
def test_refused_values(sf, values, code, fields):
    answer = sf.ask("POST", "sobjects/Opportunity", {**DEAL, **values})
    refused(answer, 400, code)
    assert answer.json()[0]["fields"] == fields


@pytest.mark.parametrize("values", [{"Amount": "lots"}, {"CloseDate": "31.01.2030"}, {"CloseDate": "2030-02-31"},
                                    {"Name": 5}, {"Sync_with_Partner_Center__c": "maybe"}, {"CloseDate": 5}])
def test_values_of_the_wrong_kind(sf, values):
    refused(sf.ask("POST", "sobjects/Opportunity", {**DEAL, **values}), 400, "JSON_PARSER_ERROR")


def test_unknown_columns_and_bad_json(sf):
    assert refused(sf.ask("POST", "sobjects/Opportunity", {**DEAL, "Nope__c": 1}), 400, "INVALID_FIELD") \
        == "No such column 'Nope__c' on sobject of type Opportunity"
    refused(sf.ask("POST", "sobjects/Opportunity", "{"), 400, "JSON_PARSER_ERROR")
    refused(sf.ask("POST", "sobjects/Opportunity", "<x/>", Content_Type="application/xml"), 415,
            "UNSUPPORTED_MEDIA_TYPE")
    refused(sf.get("sobjects/Opportunity/%s?fields=Nope" % SEEDED), 400, "INVALID_FIELD")
    assert refused(sf.ask("POST", "sobjects/Opportunity", {"Name": "x"}), 400, "REQUIRED_FIELD_MISSING", "StageName",
                   "CloseDate") == "Required fields are missing: [StageName, CloseDate]"


def test_what_is_kept_of_a_value(sf):
    id = sf.make(Name="  Deal with blanks\t", Amount=10.005, NextStep="", Description=" a\nb ", CloseDate="2030-05-06")
    row = sf.row("Opportunity", id)
    assert row["Name"] == "Deal with blanks" and row["NextStep"] is None and row["Description"] == "a\nb"
    assert row["Amount"] == 10.01 and row["CloseDate"] == "2030-05-06"
    sf.patch("Opportunity", id, Amount="12.5")
    assert sf.row("Opportunity", id)["Amount"] == 12.5


def test_types_of_custom_columns(sf):
    for doc in ({"name": "When__c", "type": "datetime"}, {"name": "Many__c", "type": "multipicklist", "options": [
            "A", "B", "C"], "restricted": True}, {"name": "Count__c", "type": "int", "precision": 4},
            {"name": "Rate__c", "type": "percent", "precision": 5, "scale": 2}, {"name": "Mail__c", "type": "email"}):
        sf.control("POST", "columns", {"table": "Opportunity", **doc})
    id = sf.make(When__c="2026-01-31T12:00:00.5+02:00", Many__c="C; A", Count__c=7, Rate__c=12.345, Mail__c="a@b.example")
    row = sf.row("Opportunity", id)
    assert row["When__c"] == "2026-01-31T10:00:00.000+0000" and row["Many__c"] == "A;C"
    assert row["Count__c"] == 7 and row["Rate__c"] == 12.35
    assert [r["Id"] for r in sf.rows("SELECT Id FROM Opportunity WHERE Many__c INCLUDES ('A;C', 'B')")] == [id]
    assert sf.rows("SELECT Id FROM Opportunity WHERE Many__c INCLUDES ('A;B')") == []
    for values, code in (({"Many__c": "A;Z"}, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"),
                         ({"Mail__c": "a b"}, "INVALID_EMAIL_ADDRESS"), ({"Count__c": 1.5}, "JSON_PARSER_ERROR"),
                         ({"Count__c": 12345}, "NUMBER_OUTSIDE_VALID_RANGE"), ({"When__c": "2026-01-31"},
                                                                              "JSON_PARSER_ERROR")):
        refused(sf.ask("PATCH", "sobjects/Opportunity/" + id, values), 400, code)
    assert sf.control("DELETE", "columns/Opportunity.Mail__c") == {"removed": True}
    refused(sf.ask("PATCH", "sobjects/Opportunity/" + id, {"Mail__c": "a@b.example"}), 400, "INVALID_FIELD")


def test_link_by_external_id(sf):
    key = unique()
    sf.make("Account", Name="Keyed", Co_sell_Row_Key__c=key[:36])
    id = sf.make(Account={"Co_sell_Row_Key__c": key[:36].upper()})
    assert sf.query("SELECT Account.Name FROM Opportunity WHERE Id = '%s'" % id)["records"][0]["Account"]["Name"] == "Keyed"
    refused(sf.ask("POST", "sobjects/Opportunity", {**DEAL, "Account": {"Co_sell_Row_Key__c": "none"}}), 400,
            "INVALID_FIELD")
    refused(sf.ask("POST", "sobjects/Opportunity", {**DEAL, "Account": {"Name": "Keyed"}}), 400, "INVALID_FIELD")


# External ids

def test_upsert(sf):
    key = unique()[:36]
    path = "sobjects/Opportunity/Referral_Identifier__c/" + key
    refused(sf.get(path), 404, "NOT_FOUND")
    answer = sf.ask("PATCH", path, DEAL)
    assert answer.status_code == 201
    made = answer.json()
    assert made == {"id": made["id"], "success": True, "errors": [], "created": True}
    answer = sf.ask("PATCH", path.upper().replace("SOBJECTS", "sobjects"), {"Name": "Again"})
    assert answer.status_code == 200 and answer.json() == {**made, "created": False}
    assert sf.get(path).json()["Referral_Identifier__c"] == key and sf.get(path).json()["Name"] == "Again"
    old = sf.ask("PATCH", sf.base + "/services/data/v45.0/" + path, {"Name": "Old"})
    assert old.status_code == 204 and old.content == b""
    sf.options(UpsertNoContent=True)
    assert sf.ask("PATCH", path, {"Name": "Option"}).status_code == 204
    assert "should not be specified" in refused(
        sf.ask("PATCH", path, {"Referral_Identifier__c": key}), 400, "INVALID_FIELD")


def test_upsert_never_creating(sf):
    key = unique()[:36]
    refused(sf.ask("PATCH", "sobjects/Opportunity/Referral_Identifier__c/%s?updateOnly=true" % key, DEAL), 404,
            "NOT_FOUND")
    refused(sf.ask("PATCH", "sobjects/Opportunity/NextStep/x", DEAL), 404, "NOT_FOUND")


def test_ambiguous_key(sf):
    sf.control("POST", "columns", {"table": "Account", "name": "Old_Number__c", "length": 20, "external": True})
    made = [sf.make("Account", Name="Twin %d" % n, Old_Number__c="77") for n in range(2)]
    for answer in (sf.get("sobjects/Account/Old_Number__c/77"),
                   sf.ask("PATCH", "sobjects/Account/Old_Number__c/77", {"Name": "One"})):
        assert answer.status_code == 300
        assert answer.json() == ["/services/data/v60.0/sobjects/Account/" + id for id in made]
    assert sf.row("Account", made[0])["Name"] == "Twin 0"


def test_unique_values(sf):
    key = unique()[:36]
    first = sf.make(Referral_Identifier__c=key)
    text = refused(sf.ask("POST", "sobjects/Opportunity", {**DEAL, "Referral_Identifier__c": key.upper()}), 400,
                   "DUPLICATE_VALUE")
    assert text == "duplicate value found: Referral_Identifier__c duplicates value on record with id: " + first[:15]
    assert sf.ask("DELETE", "sobjects/Opportunity/" + first).status_code == 204
    sf.make(Referral_Identifier__c=key)


def test_key_that_needs_encoding(sf):
    answer = sf.ask("PATCH", "sobjects/Opportunity/Referral_Identifier__c/a%2Fb%20%C3%A9", DEAL)
    assert answer.status_code == 201
    assert sf.row("Opportunity", answer.json()["id"])["Referral_Identifier__c"] == "a/b é"


# Conditions

def test_if_unmodified_since(sf):
    id = sf.make()
    changed = seconds_of(sf.row("Opportunity", id)["LastModifiedDate"])
    path = "sobjects/Opportunity/" + id
    answer = sf.ask("PATCH", path, {"Name": "Old"}, If_Unmodified_Since=http_date(changed - 1))
    assert answer.status_code == 412 and sf.row("Opportunity", id)["Name"] == "Deal"
    assert sf.ask("PATCH", path, {"Name": "New"}, If_Unmodified_Since=http_date(changed)).status_code == 204
    assert sf.ask("PATCH", path, {"Name": "x"}, If_Unmodified_Since="yesterday").status_code == 400
    assert sf.get(path, If_Unmodified_Since=http_date(changed - 10)).status_code == 412
    key = unique()[:36]
    sf.patch("Opportunity", id, Referral_Identifier__c=key)
    answer = sf.ask("PATCH", "sobjects/Opportunity/Referral_Identifier__c/" + key, {"Name": "y"},
                    If_Unmodified_Since=http_date(changed - 1))
    assert answer.status_code == 412


def test_the_guard_has_a_grain_of_a_second(sf):
    """Two writes in one second: the second one passes the guard of the first."""
    sf.control("POST", "clock", {"rate": 0})
    id = sf.make()
    changed = seconds_of(sf.row("Opportunity", id)["LastModifiedDate"])
    sf.control("PATCH", "Opportunity/" + id, {"Name": "By a person"})
    answer = sf.ask("PATCH", "sobjects/Opportunity/" + id, {"NextStep": "z"}, If_Unmodified_Since=http_date(changed))
    assert answer.status_code == 204
    sf.control("POST", "clock", {"offset": 5})
    sf.control("PATCH", "Opportunity/" + id, {"Name": "Later"})
    answer = sf.ask("PATCH", "sobjects/Opportunity/" + id, {"NextStep": "y"}, If_Unmodified_Since=http_date(changed))
    assert answer.status_code == 412


def test_system_changes_move_only_the_system_time(sf):
    id = sf.make()
    before = sf.row("Opportunity", id)
    sf.control("POST", "clock", {"offset": 10})
    sf.control("PATCH", "Opportunity/%s?system=1" % id, {"NextStep": "batch"})
    after = sf.row("Opportunity", id)
    assert after["LastModifiedDate"] == before["LastModifiedDate"] and after["LastModifiedById"] == CONNECTOR
    assert seconds_of(after["SystemModstamp"]) >= seconds_of(before["SystemModstamp"]) + 9
    then = http_date(seconds_of(before["LastModifiedDate"]))
    assert sf.ask("PATCH", "sobjects/Opportunity/" + id, {"Name": "x"}, If_Unmodified_Since=then).status_code == 204


def test_if_modified_since(sf):
    id = sf.make()
    changed = seconds_of(sf.row("Opportunity", id)["LastModifiedDate"])
    answer = sf.get("sobjects/Opportunity/" + id, If_Modified_Since=http_date(changed))
    assert answer.status_code == 304 and answer.content == b""
    assert sf.get("sobjects/Opportunity/" + id, If_Modified_Since=http_date(changed - 1)).status_code == 200


def test_etags_only_of_accounts(sf):
    assert "ETag" not in sf.get("sobjects/Opportunity/" + SEEDED).headers
    id = sf.make("Account", Name="Tagged")
    tag = sf.get("sobjects/Account/" + id).headers["ETag"]
    assert re.match(r'".+"\Z', tag)
    assert sf.get("sobjects/Account/" + id, If_None_Match=tag).status_code == 304
    assert sf.ask("PATCH", "sobjects/Account/" + id, {"Name": "T2"}, If_Match=tag).status_code == 204
    assert sf.ask("PATCH", "sobjects/Account/" + id, {"Name": "T3"}, If_Match=tag).status_code == 412
    assert sf.ask("PATCH", "sobjects/Account/" + id, {"Name": "T3"}, If_Match="bare").status_code == 400


# Describe

def fields_of(sf, table):
    answer = sf.get("sobjects/%s/describe" % table)
    assert answer.status_code == 200
    return answer.json(), {f["name"]: f for f in answer.json()["fields"]}


def test_describe(sf):
    found, fields = fields_of(sf, "Opportunity")
    assert found["keyPrefix"] == "006" and found["replicateable"] and found["createable"] and found["queryable"]
    wanted = {"Name": ("string", 120), "StageName": ("picklist", 255), "Description": ("textarea", 32000),
              "Referral_Identifier__c": ("string", 36), "Referral_Link__c": ("url", 255), "AccountId": ("reference", 18)}
    for name, (kind, length) in wanted.items():
        assert (fields[name]["type"], fields[name]["length"]) == (kind, length), name
    assert (fields["Amount"]["precision"], fields["Amount"]["scale"]) == (18, 2)
    assert (fields["Probability"]["precision"], fields["Probability"]["scale"]) == (3, 0)
    key = fields["Referral_Identifier__c"]
    assert key["externalId"] and key["unique"] and key["idLookup"] and not key["caseSensitive"] and key["custom"]
    assert fields["AccountId"]["referenceTo"] == ["Account"] and fields["AccountId"]["relationshipName"] == "Account"
    assert not fields["IsClosed"]["updateable"] and not fields["ContactId"]["updateable"]
    assert fields["ContactId"]["createable"]
    must = {n for n, f in fields.items() if not f["nillable"] and not f["defaultedOnCreate"] and f["createable"]}
    assert must == {"Name", "StageName", "CloseDate"}
    assert fields["Loss_Reason__c"]["restrictedPicklist"] and not fields["StageName"]["restrictedPicklist"]
    assert {"active": True, "defaultValue": False, "label": "Price", "validFor": None, "value": "Price"} \
        in fields["Loss_Reason__c"]["picklistValues"]


def test_describe_of_relations_and_record_types(sf):
    found, _ = fields_of(sf, "Opportunity")
    children = {c["relationshipName"]: c for c in found["childRelationships"]}
    assert children["Microsoft_Solutions__r"]["childSObject"] == "Microsoft_Solution__c"
    assert children["Microsoft_Solutions__r"]["field"] == "Opportunity__c"
    assert children["OpportunityContactRoles"]["cascadeDelete"]
    kinds = {r["developerName"]: r for r in found["recordTypeInfos"]}
    assert set(kinds) == {"Software", "Services", "Master"}
    assert kinds["Software"]["defaultRecordTypeMapping"] and kinds["Master"]["master"]
    _, parts = fields_of(sf, "Microsoft_Solution__c")
    assert parts["Opportunity__c"]["relationshipName"] == "Opportunity__r" and not parts["Opportunity__c"]["updateable"]


def test_describe_unchanged(sf):
    stamp = sf.get("sobjects/Lead/describe").headers["Last-Modified"]
    assert sf.get("sobjects/Lead/describe", If_Modified_Since=stamp).status_code == 304
    sf.control("POST", "clock", {"offset": 100})
    sf.control("POST", "columns", {"table": "Lead", "name": "New__c", "length": 10})
    assert sf.get("sobjects/Lead/describe", If_Modified_Since=stamp).status_code == 200


def test_describe_global_and_basic(sf):
    found = {t["name"]: t for t in sf.get("sobjects").json()["sobjects"]}
    assert found["Microsoft_Solution__c"]["custom"] and found["Lead"]["keyPrefix"] == "00Q"
    assert {"Account", "Contact", "User", "OpportunityStage", "CurrencyType"} <= set(found)
    assert sf.get("sobjects/Account").json()["objectDescribe"]["name"] == "Account"


def test_switches_of_the_organisation(sf):
    sf.options(MultiCurrency=False, TeamSelling=False, RecordTypes=False, StateCountryPicklists=False)
    _, fields = fields_of(sf, "Opportunity")
    assert "CurrencyIsoCode" not in fields and "RecordTypeId" not in fields
    refused(sf.ask("POST", "sobjects/Opportunity", {**DEAL, "CurrencyIsoCode": "USD"}), 400, "INVALID_FIELD")
    refused(sf.get("query?q=SELECT+IsoCode+FROM+CurrencyType"), 400, "INVALID_TYPE")
    refused(sf.get("sobjects/OpportunityTeamMember/describe"), 404, "NOT_FOUND")
    refused(sf.ask("POST", "sobjects/Account", {"Name": "x", "BillingCountryCode": "DE"}), 400, "INVALID_FIELD")
    assert sf.row("Account", sf.make("Account", Name="x", BillingCountry="Wherever"))["BillingCountry"] == "Wherever"
    sf.options(**sf.before)
    row = sf.row("Opportunity", sf.make())
    assert row["CurrencyIsoCode"] == "USD" and row["RecordTypeId"] == "0125g0000000001AAA"


def test_country_picklists(sf):
    row = sf.row("Account", sf.make("Account", Name="x", BillingCountryCode="DE"))
    assert row["BillingCountry"] == "Germany"
    row = sf.row("Account", sf.make("Account", Name="x", BillingCountry="germany"))
    assert (row["BillingCountry"], row["BillingCountryCode"]) == ("Germany", "DE")
    for values, code in (({"BillingCountry": "Wherever"}, "FIELD_INTEGRITY_EXCEPTION"),
                         ({"BillingState": "Bavaria"}, "FIELD_INTEGRITY_EXCEPTION"),
                         ({"BillingCountry": "France", "BillingCountryCode": "DE"}, "FIELD_INTEGRITY_EXCEPTION"),
                         ({"BillingCountryCode": "XX"}, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST")):
        refused(sf.ask("POST", "sobjects/Account", {"Name": "x", **values}), 400, code)


# Faults and quirks

def test_faults(sf):
    def meet(**fault):
        sf.control("POST", "faults", {"path": "sobjects/Opportunity", "times": 1, **fault})
        return sf.get("sobjects/Opportunity/" + SEEDED)
    assert "exclusive access" in refused(meet(status=400), 400, "UNABLE_TO_LOCK_ROW")
    assert refused(meet(), 503, "SERVER_UNAVAILABLE")
    assert refused(meet(status=401), 401, "INVALID_SESSION_ID")
    assert refused(meet(status=403), 403, "REQUEST_LIMIT_EXCEEDED") == "TotalRequests Limit exceeded."
    assert refused(meet(status=500, message="odd"), 500, "UNKNOWN_EXCEPTION") == "odd"
    assert meet(fault="html").headers["Content-Type"].startswith("text/html")
    assert sf.get("sobjects/Opportunity/" + SEEDED).status_code == 200


def test_dropped_after_the_commit(sf):
    sf.control("POST", "faults", {"method": "PATCH", "path": "Referral_Identifier__c", "fault": "drop-after-commit",
                                  "times": 1})
    key = unique()[:36]
    with pytest.raises((requests.ConnectionError, socket.error)):
        sf.ask("PATCH", "sobjects/Opportunity/Referral_Identifier__c/" + key, DEAL)
    answer = sf.ask("PATCH", "sobjects/Opportunity/Referral_Identifier__c/" + key, DEAL)
    assert answer.status_code == 200 and answer.json()["created"] is False


def test_quirks(sf):
    add = lambda **doc: sf.control("POST", "quirks", {"table": "Opportunity", **doc})
    add(column="Amount", quirk="round", digits=0)
    add(column="NextStep", quirk="uppercase")
    add(column="Type", quirk="ignore")
    add(column="Audit__c", quirk="crlf")
    row = sf.row("Opportunity", sf.make(Amount=10.5, NextStep="call", Type="New Business", Audit__c="a\nb"))
    assert (row["Amount"], row["NextStep"], row["Type"], row["Audit__c"]) == (11, "CALL", None, "a\r\nb")
    add(column="StageName", quirk="refuse", values=["Closed Won"], message="Not before the order is in.")
    answer = sf.ask("PATCH", "sobjects/Opportunity/" + SEEDED, {"StageName": "Closed Won"})
    assert refused(answer, 400, "FIELD_CUSTOM_VALIDATION_EXCEPTION", "StageName") == "Not before the order is in."
    add(column="LeadSource", quirk="refuse-unnamed")
    answer = sf.ask("PATCH", "sobjects/Opportunity/" + SEEDED, {"LeadSource": "Web"})
    refused(answer, 400, "FIELD_CUSTOM_VALIDATION_EXCEPTION")
    assert answer.json()[0]["fields"] == []
    add(quirk="lock", times=2)
    for _ in range(2):
        refused(sf.ask("PATCH", "sobjects/Opportunity/" + SEEDED, {"NextStep": "x"}), 400, "UNABLE_TO_LOCK_ROW")
    sf.patch("Opportunity", SEEDED, NextStep="x")
    assert [q["hits"] for q in sf.control("GET", "quirks")] == [1, 2, 1, 1, 1, 1, 2]


def test_fields_that_are_hidden_fixed_or_calculated(sf):
    add = lambda **doc: sf.control("POST", "quirks", {"table": "Opportunity", **doc})
    add(column="Audit__c", quirk="unreadable")
    _, fields = fields_of(sf, "Opportunity")
    assert "Audit__c" not in fields and "Audit__c" not in sf.row("Opportunity", SEEDED)
    refused(sf.ask("PATCH", "sobjects/Opportunity/" + SEEDED, {"Audit__c": "x"}), 400, "INVALID_FIELD")
    refused(sf.get("query?q=SELECT+Audit__c+FROM+Opportunity"), 400, "INVALID_FIELD")
    add(column="NextStep", quirk="read-only")
    refused(sf.ask("PATCH", "sobjects/Opportunity/" + SEEDED, {"NextStep": "x"}), 400, "INVALID_FIELD_FOR_INSERT_UPDATE",
            "NextStep")
    add(column="Co_sell_Status__c", quirk="calculated", template="{Name}!")
    id = sf.make(Name="Formula")
    assert sf.row("Opportunity", id)["Co_sell_Status__c"] == "Formula!"
    _, fields = fields_of(sf, "Opportunity")
    assert fields["Co_sell_Status__c"]["calculated"] and not fields["NextStep"]["updateable"]
    add(quirk="read-only")
    refused(sf.ask("PATCH", "sobjects/Opportunity/" + SEEDED, {"Name": "x"}), 403, "INSUFFICIENT_ACCESS_OR_READONLY")
    sf.control("DELETE", "quirks")
    _, fields = fields_of(sf, "Opportunity")
    assert "Audit__c" in fields and fields["NextStep"]["updateable"]


def test_privileges(sf):
    sf.control("POST", "privileges", {"table": "Contact", "deny": ["create", "write", "delete"]})
    for method, path, body in (("POST", "sobjects/Contact", {"LastName": "x"}),
                               ("PATCH", "sobjects/Contact/" + DORA, {"Title": "x"}),
                               ("DELETE", "sobjects/Contact/" + DORA, None)):
        refused(sf.ask(method, path, body), 403, "INSUFFICIENT_ACCESS_OR_READONLY")
    sf.control("POST", "privileges", {"table": "Contact", "deny": ["read"]})
    refused(sf.get("sobjects/Contact/" + DORA), 404, "NOT_FOUND")
    refused(sf.get("query?q=SELECT+Id+FROM+Contact"), 400, "INVALID_TYPE")
    sf.control("POST", "privileges", {"table": "Contact", "deny": []})


def test_duplicate_rules(sf):
    sf.control("POST", "duplicate-rules", {"table": "Account", "rules": [["Name"]], "allowSave": True})
    answer = sf.ask("POST", "sobjects/Account", {"Name": "fabrikam ltd"})
    assert refused(answer, 400, "DUPLICATES_DETECTED") == "Use one of these records?"
    result = answer.json()[0]["duplicateResut"]
    assert result["allowSave"] and result["duplicateRuleEntityType"] == "Account"
    assert result["matchResults"][0]["matchRecords"][0]["record"]["Id"] == FABRIKAM
    answer = sf.ask("POST", "sobjects/Account", {"Name": "fabrikam ltd"},
                    Sforce_Duplicate_Rule_Header="allowSave=true")
    assert answer.status_code == 201
    sf.control("DELETE", "Account/" + answer.json()["id"])
    sf.control("POST", "duplicate-rules", {"table": "Account", "rules": [["Name"]], "allowSave": False})
    refused(sf.ask("POST", "sobjects/Account", {"Name": "fabrikam ltd"}, Sforce_Duplicate_Rule_Header="allowSave=true"),
            400, "DUPLICATES_DETECTED")
    sf.control("POST", "duplicate-rules", {"table": "Account", "rules": []})


def test_read_lag(sf):
    id = sf.make(Name="Early")
    sf.control("POST", "lag", {"seconds": 30, "list_seconds": 30})
    refused(sf.get("sobjects/Opportunity/" + id), 404, "NOT_FOUND")
    assert sf.rows("SELECT Id FROM Opportunity WHERE Name = 'Early'") == []
    sf.control("POST", "clock", {"offset": 31})
    sf.patch("Opportunity", id, Name="Late")
    assert sf.row("Opportunity", id)["Name"] == "Early"
    assert sf.column("SELECT Name FROM Opportunity WHERE Id = '%s'" % id) == ["Early"]
    sf.control("POST", "lag", {"seconds": 0, "list_seconds": 0})
    assert sf.row("Opportunity", id)["Name"] == "Late"


def test_control_rows(sf):
    made = sf.control("POST", "Opportunity", {**DEAL, "Name": "By Ada", "LastModifiedDate": "2020-01-01T00:00:00Z"})
    assert made["OwnerId"] == made["CreatedById"] == ADA and made["LastModifiedDate"] == "2020-01-01T00:00:00.000+0000"
    row = sf.control("PATCH", "Opportunity/%s?user=%s" % (made["Id"][:15], BEN), {"Amount": 5, "AccountId": LITWARE})
    assert row["LastModifiedById"] == BEN and row["Amount"] == 5.0
    assert sf.control("GET", "Opportunity/" + made["Id"])["AccountId"] == LITWARE
    many = sf.control("POST", "bulk/Opportunity", [{**DEAL, "Name": "B%d" % n} for n in range(300)])
    assert len({r["Id"] for r in many}) == 300
    done = sf.control("PATCH", "bulk/Opportunity", {"ids": [r["Id"] for r in many], "change": {"NextStep": "all"}})
    assert done == {"changed": 300}
    assert len(sf.rows("SELECT Id FROM Opportunity WHERE NextStep = 'all'")) == 300
    sf.control("DELETE", "Opportunity/" + made["Id"])
    refused(sf.get("sobjects/Opportunity/" + made["Id"]), 404, "NOT_FOUND")
    bad = requests.post(sf.box + "/Opportunity", json={**DEAL, "Nope": 1})
    assert bad.status_code == 400 and "no field Nope" in bad.json()["error"]
    assert {"Opportunity", "Account", "User"} <= set(sf.control("GET", "state"))


def test_request_log(sf):
    sf.control("DELETE", "requests")
    sf.get("sobjects/Opportunity/" + SEEDED)
    sf.composite(sf.sub("GET", "sobjects/Account/" + FABRIKAM, "a"), sf.sub("PATCH", "sobjects/Contact/" + ELI, "b",
                                                                          {"Title": "CTO"}))
    found = sf.control("GET", "requests/summary")
    assert found["total"] == 2 and found["by"]["POST /services/data/{version}/composite"] == {"200": 1}
    assert found["operations"]["total"] == 3 and found["operations"]["in_batches"] == 2
    assert found["operations"]["by"]["PATCH /services/data/{version}/sobjects/Contact/{id}"] == {"204": 1}
    inner = sf.control("GET", "requests?batch=true")
    assert [one["method"] for one in inner] == ["GET", "PATCH"] and inner[1]["body"] == '{"Title":"CTO"}'


def test_new_sobjects(sf):
    sf.control("POST", "tables", {"name": "Plan__c", "fields": [
        {"name": "Deal__c", "type": "reference", "refs": ["Opportunity"], "child": "Plans__r"},
        {"name": "Key__c", "length": 10, "external": True, "unique": True}]})
    answer = sf.ask("PATCH", "sobjects/Plan__c/Key__c/k1", {"Name": "P", "Deal__c": SEEDED})
    assert answer.status_code == 201
    found = sf.rows("SELECT Name, Deal__r.Name, Deal__r.Account.Name FROM Plan__c WHERE Deal__r.Name != null")
    assert found[0]["Deal__r"]["Account"]["Name"] == "Fabrikam Ltd"
    assert sf.rows("SELECT Id, (SELECT Name FROM Plans__r) FROM Opportunity WHERE Id = '%s'" % SEEDED)[0][
        "Plans__r"]["records"][0]["Name"] == "P"
