"""What the service itself does with sales rows, and the messages it sends, against what Salesforce documents."""
import http.server
import json
import os
import queue
import re
import ssl
import subprocess
import sys
import threading
from xml.etree import ElementTree

import pytest
import requests

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from sf_client import (  # noqa: E402
    ADA, BEN, CONNECTOR, DEAL, DORA, ELI, FABRIKAM, HERE, SEEDED, Server, refused, seconds_of, unique, wait_for,
)

NS = {"s": "http://schemas.xmlsoap.org/soap/envelope/", "o": "http://soap.sforce.com/2005/09/outbound",
      "f": "urn:sobject.enterprise.soap.sforce.com"}
NIL = "{http://www.w3.org/2001/XMLSchema-instance}"
ACK = ('<?xml version="1.0" encoding="UTF-8"?>\n<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/">'
       '<soapenv:Body><notificationsResponse xmlns="http://soap.sforce.com/2005/09/outbound"><Ack>%s</Ack>'
       '</notificationsResponse></soapenv:Body></soapenv:Envelope>')
YES, NO = (200, ACK % "true"), (200, ACK % "false")


@pytest.fixture(scope="module")
def sf():
    server = Server()
    yield server
    assert server.stop() == 0


@pytest.fixture(autouse=True)
def clean(sf):
    sf.reset()


# Opportunities

def test_the_stage_decides(sf):
    id = sf.make(StageName="Qualification", Amount=1000)
    look = lambda: sf.row("Opportunity", id, "IsClosed,IsWon,Probability,ForecastCategoryName,ExpectedRevenue")
    row = look()
    assert (row["IsClosed"], row["IsWon"], row["Probability"], row["ExpectedRevenue"]) == (False, False, 10, 100)
    sf.patch("Opportunity", id, StageName="Closed Won")
    row = look()
    assert (row["IsClosed"], row["IsWon"], row["Probability"]) == (True, True, 100)
    assert row["ForecastCategoryName"] == "Closed" and row["ExpectedRevenue"] == 1000
    sf.patch("Opportunity", id, StageName="Closed Lost", Amount=5)
    row = look()
    assert (row["IsClosed"], row["IsWon"], row["Probability"]) == (True, False, 0)
    sf.patch("Opportunity", id, StageName="Needs Analysis", Probability=33)
    row = look()
    assert (row["IsClosed"], row["IsWon"], row["Probability"]) == (False, False, 33)
    sf.patch("Opportunity", id, NextStep="x")
    assert look()["Probability"] == 33
    sf.patch("Opportunity", id, Probability=50)
    assert look()["Probability"] == 50


def test_an_unknown_stage(sf):
    row = sf.row("Opportunity", sf.make(StageName="Dreaming"))
    assert (row["StageName"], row["IsClosed"], row["Probability"]) == ("Dreaming", False, 0)
    sf.options(RestrictStages=True)
    refused(sf.ask("POST", "sobjects/Opportunity", {**DEAL, "StageName": "Dreaming"}), 400,
            "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "StageName")
    assert [f for f in sf.get("sobjects/Opportunity/describe").json()["fields"]
            if f["name"] == "StageName"][0]["restrictedPicklist"]


def test_stages_that_an_administrator_adds(sf):
    made = sf.control("POST", "OpportunityStage", {"MasterLabel": "Verbal", "DefaultProbability": 85, "SortOrder": 9})
    row = sf.row("Opportunity", sf.make(StageName="Verbal"))
    assert row["Probability"] == 85 and row["IsClosed"] is False
    value = lambda: {p["value"]: p["active"] for f in sf.get("sobjects/Opportunity/describe").json()["fields"]
                     if f["name"] == "StageName" for p in f["picklistValues"]}
    assert value()["Verbal"] is True
    sf.control("PATCH", "OpportunityStage/" + made["Id"], {"IsActive": False})
    assert value()["Verbal"] is False
    sf.control("DELETE", "OpportunityStage/" + made["Id"])
    assert "Verbal" not in value()


def test_products_make_the_amount(sf):
    id = sf.make(Amount=5)
    first = sf.make("OpportunityLineItem", OpportunityId=id, Quantity=2, UnitPrice=50.25)
    sf.make("OpportunityLineItem", OpportunityId=id, Quantity=4, TotalPrice=100)
    row = sf.row("Opportunity", id)
    assert row["HasOpportunityLineItem"] is True and row["Amount"] == 200.5 and row["TotalOpportunityQuantity"] == 6
    sf.patch("Opportunity", id, Amount=7, NextStep="kept")
    row = sf.row("Opportunity", id)
    assert row["Amount"] == 200.5 and row["NextStep"] == "kept"
    sf.options(AmountWithProducts="refuse")
    refused(sf.ask("PATCH", "sobjects/Opportunity/" + id, {"Amount": 7}), 400, "FIELD_INTEGRITY_EXCEPTION", "Amount")
    refused(sf.ask("PATCH", "sobjects/Opportunity/" + id, {"CurrencyIsoCode": "EUR"}), 400,
            "FIELD_INTEGRITY_EXCEPTION", "CurrencyIsoCode")
    sf.ask("DELETE", "sobjects/OpportunityLineItem/" + first)
    assert sf.row("Opportunity", id)["Amount"] == 100


def test_currency_does_not_convert(sf):
    id = sf.make(Amount=100, CurrencyIsoCode="EUR")
    sf.patch("Opportunity", id, CurrencyIsoCode="GBP")
    assert sf.row("Opportunity", id)["Amount"] == 100 and sf.row("Opportunity", id)["CurrencyIsoCode"] == "GBP"
    part = sf.make("Microsoft_Solution__c", Opportunity__c=id, Name="Azure")
    assert sf.row("Microsoft_Solution__c", part)["CurrencyIsoCode"] == "GBP"


def test_one_primary_contact(sf):
    id = sf.make(ContactId=DORA)
    roles = lambda: {r["ContactId"]: (r["IsPrimary"], r["Role"]) for r in sf.rows(
        "SELECT ContactId, IsPrimary, Role FROM OpportunityContactRole WHERE OpportunityId = '%s'" % id)}
    assert roles() == {DORA: (True, None)} and sf.row("Opportunity", id)["ContactId"] == DORA
    stamp = sf.row("Opportunity", id)["SystemModstamp"]
    sf.control("POST", "clock", {"offset": 5})
    second = sf.make("OpportunityContactRole", OpportunityId=id, ContactId=ELI, IsPrimary=True, Role="Evaluator")
    assert roles() == {DORA: (False, None), ELI: (True, "Evaluator")}
    row = sf.row("Opportunity", id)
    assert row["ContactId"] == ELI and row["SystemModstamp"] == stamp
    refused(sf.ask("PATCH", "sobjects/OpportunityContactRole/" + second, {"OpportunityId": SEEDED}), 400,
            "INVALID_FIELD_FOR_INSERT_UPDATE", "OpportunityId")
    refused(sf.ask("PATCH", "sobjects/Opportunity/" + id, {"ContactId": DORA}), 400,
            "INVALID_FIELD_FOR_INSERT_UPDATE", "ContactId")
    sf.ask("DELETE", "sobjects/OpportunityContactRole/" + second)
    assert sf.row("Opportunity", id)["ContactId"] is None
    assert sf.rows("SELECT Id FROM OpportunityContactRole WHERE Id = '%s'" % second, True) == []


def test_addresses_of_mail_are_kept_in_lower_case(sf):
    id = sf.make("Contact", LastName="Case", Email="Mixed.Case@Example.COM")
    assert sf.row("Contact", id)["Email"] == "mixed.case@example.com"
    assert sf.column("SELECT Id FROM Contact WHERE Email = 'MIXED.case@example.com'") == [id]


def test_team_members_are_one_for_each_user(sf):
    id = sf.make()
    first = sf.make("OpportunityTeamMember", OpportunityId=id, UserId=BEN, TeamMemberRole="Co-sell")
    again = sf.make("OpportunityTeamMember", OpportunityId=id, UserId=BEN, TeamMemberRole="Sales Rep")
    assert again == first
    rows = sf.rows("SELECT Id, Name, TeamMemberRole, OpportunityAccessLevel, User.Email FROM OpportunityTeamMember WHERE "
                   "OpportunityId = '%s'" % id)
    assert len(rows) == 1 and rows[0]["TeamMemberRole"] == "Sales Rep" and rows[0]["Name"] == "Ben Partner"
    assert rows[0]["OpportunityAccessLevel"] == "Read" and rows[0]["User"]["Email"] == "ben.partner@contoso.example"
    assert sf.ask("DELETE", "sobjects/OpportunityTeamMember/" + first).status_code == 204
    assert sf.rows("SELECT Id FROM OpportunityTeamMember WHERE Id = '%s'" % first, True) == []
    assert sf.make("OpportunityTeamMember", OpportunityId=id, UserId=BEN) != first


# Deleting

def family(sf):
    id = sf.make(Referral_Identifier__c=unique()[:36])
    return id, {"OpportunityContactRole": sf.make("OpportunityContactRole", OpportunityId=id, ContactId=DORA),
                "OpportunityTeamMember": sf.make("OpportunityTeamMember", OpportunityId=id, UserId=ADA),
                "Microsoft_Solution__c": sf.make("Microsoft_Solution__c", Opportunity__c=id, Name="S")}


def test_deleting_takes_the_children_along(sf):
    id, children = family(sf)
    assert sf.ask("DELETE", "sobjects/Opportunity/" + id).status_code == 204
    refused(sf.get("sobjects/Opportunity/" + id), 404, "NOT_FOUND")
    assert refused(sf.ask("PATCH", "sobjects/Opportunity/" + id, {"Name": "x"}), 404, "ENTITY_IS_DELETED") \
        == "entity is deleted"
    refused(sf.ask("DELETE", "sobjects/Opportunity/" + id), 404, "ENTITY_IS_DELETED")
    refused(sf.ask("POST", "sobjects/Microsoft_Solution__c", {"Opportunity__c": id, "Name": "x"}), 400,
            "ENTITY_IS_DELETED")
    for table, child in children.items():
        refused(sf.get("sobjects/%s/%s" % (table, child)), 404, "NOT_FOUND")
        assert sf.column("SELECT IsDeleted FROM %s WHERE Id = '%s'" % (table, child), True) == [True]
    assert sf.column("SELECT IsDeleted FROM Opportunity WHERE Id = '%s' AND IsDeleted = true" % id, True) == [True]
    assert sf.rows("SELECT Id FROM Opportunity WHERE Id = '%s'" % id) == []
    sf.control("POST", "restore", {"table": "Opportunity", "id": id})
    assert sf.row("Opportunity", id)["IsDeleted"] is False
    for table, child in children.items():
        assert sf.row(table, child)["IsDeleted"] is False


def test_a_key_is_free_while_its_row_lies_in_the_bin(sf):
    id, _ = family(sf)
    key = sf.row("Opportunity", id)["Referral_Identifier__c"]
    sf.ask("DELETE", "sobjects/Opportunity/" + id)
    answer = sf.ask("PATCH", "sobjects/Opportunity/Referral_Identifier__c/" + key, DEAL)
    assert answer.status_code == 201
    bad = requests.post(sf.box + "/restore", json={"table": "Opportunity", "id": id})
    assert bad.status_code == 400 and "DUPLICATE_VALUE" in bad.json()["error"]
    assert sf.column("SELECT IsDeleted FROM Opportunity WHERE Id = '%s'" % id, True) == [True]


def test_deleting_an_account(sf):
    account = sf.make("Account", Name="Leaving")
    child = sf.make("Account", Name="Stays", ParentId=account)
    contact = sf.make("Contact", LastName="Goes", AccountId=account)
    deal = sf.make(AccountId=account)
    assert sf.ask("DELETE", "sobjects/Account/" + account).status_code == 204
    for path in ("Contact/" + contact, "Opportunity/" + deal):
        refused(sf.get("sobjects/" + path), 404, "NOT_FOUND")
    assert sf.row("Account", child)["ParentId"] is None


# Merging, converting

def test_merge(sf):
    winner, loser = sf.make("Account", Name="Winner"), sf.make("Account", Name="Loser")
    deal = sf.make(AccountId=loser)
    before = sf.row("Opportunity", deal)
    sf.control("POST", "clock", {"offset": 5})
    sf.control("POST", "merge", {"table": "Account", "target": winner, "subordinate": loser})
    row = sf.row("Opportunity", deal)
    assert row["AccountId"] == winner and row["LastModifiedDate"] == before["LastModifiedDate"]
    assert seconds_of(row["SystemModstamp"]) > seconds_of(before["SystemModstamp"])
    refused(sf.ask("PATCH", "sobjects/Account/" + loser, {"Name": "x"}), 404, "ENTITY_IS_DELETED")
    gone = sf.rows("SELECT IsDeleted, MasterRecordId FROM Account WHERE Id = '%s'" % loser, True)[0]
    assert gone["IsDeleted"] is True and gone["MasterRecordId"] == winner
    assert sf.row("Account", winner)["Name"] == "Winner"
    bad = requests.post(sf.box + "/merge", json={"table": "Opportunity", "target": deal, "subordinate": SEEDED})
    assert bad.status_code == 400


def test_merge_of_contacts_and_leads(sf):
    first, second = (sf.make("Contact", LastName=n) for n in ("A", "B"))
    role = sf.make("OpportunityContactRole", OpportunityId=SEEDED, ContactId=second)
    sf.control("POST", "merge", {"table": "Contact", "target": first, "subordinate": second})
    assert sf.row("OpportunityContactRole", role)["ContactId"] == first
    first, second = (sf.make("Lead", LastName=n, Company="C") for n in ("A", "B"))
    sf.control("POST", "merge", {"table": "Lead", "target": first, "subordinate": second})
    assert sf.column("SELECT MasterRecordId FROM Lead WHERE Id = '%s'" % second, True) == [first]


def test_leads(sf):
    id = sf.make("Lead", FirstName="Lea", LastName="Der", Company="Leading", Email="lea@lead.example")
    row = sf.row("Lead", id)
    assert row["Name"] == "Lea Der" and row["Status"] == "Open - Not Contacted" and row["IsConverted"] is False
    for values, missing in (({"LastName": "x"}, "Company"), ({"Company": "x"}, "LastName")):
        refused(sf.ask("POST", "sobjects/Lead", values), 400, "REQUIRED_FIELD_MISSING", missing)
    refused(sf.ask("PATCH", "sobjects/Lead/" + id, {"Email": "lea"}), 400, "INVALID_EMAIL_ADDRESS", "Email")


def test_conversion(sf):
    id = sf.make("Lead", FirstName="Con", LastName="Verted", Company="Conv Ltd", Referral_Identifier__c=unique()[:36])
    key = sf.row("Lead", id)["Referral_Identifier__c"]
    made = sf.control("POST", "convert", {"lead": id, "map": {"Referral_Identifier__c": "Referral_Identifier__c"}})
    row = sf.row("Lead", id)
    assert row["IsConverted"] is True and row["Status"] == "Closed - Converted" and row["ConvertedDate"]
    assert (row["ConvertedAccountId"], row["ConvertedContactId"], row["ConvertedOpportunityId"]) == (
        made["account"], made["contact"], made["opportunity"])
    deal = sf.row("Opportunity", made["opportunity"])
    assert deal["Name"] == "Conv Ltd-" and deal["Referral_Identifier__c"] == key and deal["ContactId"] == made["contact"]
    assert deal["StageName"] == "Prospecting" and sf.row("Account", made["account"])["Name"] == "Conv Ltd"
    refused(sf.ask("PATCH", "sobjects/Lead/" + id, {"Title": "x"}), 400, "CANNOT_UPDATE_CONVERTED_LEAD")
    path = "sobjects/Lead/Referral_Identifier__c/" + key
    refused(sf.ask("PATCH", path, {"Title": "x"}), 400, "CANNOT_UPDATE_CONVERTED_LEAD")
    other = sf.make("Lead", LastName="No", Company="Deal")
    made = sf.control("POST", "convert", {"lead": other, "account": FABRIKAM, "contact": DORA, "opportunity": False})
    row = sf.row("Lead", other)
    assert made["opportunity"] is None and row["ConvertedOpportunityId"] is None
    assert row["ConvertedAccountId"] == FABRIKAM and row["ConvertedContactId"] == DORA


def test_assignment_rules(sf):
    sf.control("POST", "assignment", {"Lead": BEN})
    assert sf.row("Lead", sf.make("Lead", LastName="x", Company="y"))["OwnerId"] == BEN
    answer = sf.ask("POST", "sobjects/Lead", {"LastName": "x", "Company": "y"}, Sforce_Auto_Assign="FALSE")
    assert sf.row("Lead", answer.json()["id"])["OwnerId"] == CONNECTOR
    queue_id = sf.column("SELECT Id FROM Group WHERE Type = 'Queue'")[0]
    sf.patch("Lead", answer.json()["id"], OwnerId=queue_id)
    refused(sf.ask("PATCH", "sobjects/Opportunity/" + SEEDED, {"OwnerId": queue_id}), 400, "MALFORMED_ID", "OwnerId")


# Outbound messages

class Receiver:
    """Keeps what arrives and answers as wanted, with an acknowledgement when nothing else is."""

    def __init__(self, context=None):
        self.calls, self.answers, self.default = queue.Queue(), [], YES
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                peer = self.connection.getpeercert() if context else None
                outer.calls.put((self.path, self.headers, body, peer))
                status, text = outer.answers.pop(0) if outer.answers else outer.default
                self.send_response(status)
                self.send_header("Content-Type", "text/xml")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        if context:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = "%s://127.0.0.1:%d/hook?key=1" % ("https" if context else "http", self.server.server_address[1])
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def next(self):
        return self.calls.get(timeout=5)

    def message(self):
        return Message(self.next()[2])

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Message:
    def __init__(self, body):
        self.root = ElementTree.fromstring(body)
        self.head = self.root.find("s:Body/o:notifications", NS)
        self.ids = [n.findtext("o:Id", None, NS) for n in self.head.findall("o:Notification", NS)]
        self.rows = [{f.tag.partition("}")[2]: f.text for f in n.find("o:sObject", NS)}
                     for n in self.head.findall("o:Notification", NS)]


@pytest.fixture
def receiver():
    found = Receiver()
    yield found
    found.close()


def settled(sf):
    wait_for(lambda: sf.control("GET", "outbound")["waiting"] == 0)


def test_message(sf, receiver):
    action = sf.control("POST", "outbound", {"url": receiver.url, "object": "Opportunity", "fields": [
        "Amount", "CloseDate", "IsClosed", "SystemModstamp", "Name", "NextStep", "LastModifiedById"]})["id"]
    made = sf.control("POST", "Opportunity", {**DEAL, "Name": "A & B <c>", "Amount": 1200})
    path, headers, body, _ = receiver.next()
    assert path == "/hook?key=1" and headers["Content-Type"] == "text/xml; charset=UTF-8"
    assert headers["SOAPAction"] == '""'
    message = Message(body)
    assert message.head.findtext("o:OrganizationId", None, NS) == sf.line["organization"]
    assert message.head.findtext("o:ActionId", None, NS) == action and action.startswith("04k") and len(action) == 18
    session = message.head.find("o:SessionId", NS)
    assert session.get(NIL + "nil") == "true" and not session.text
    assert [child.tag.partition("}")[2] for child in message.head][:6] == [
        "OrganizationId", "ActionId", "SessionId", "EnterpriseUrl", "PartnerUrl", "Notification"]
    assert message.ids[0].startswith("04l") and len(message.ids[0]) == 18
    row = message.rows[0]
    assert row == {"Id": made["Id"], "Amount": "1200.0", "CloseDate": "2030-01-31", "IsClosed": "false",
                   "LastModifiedById": ADA, "Name": "A & B <c>", "SystemModstamp": row["SystemModstamp"]}
    assert list(row)[0] == "Id" and re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000Z\Z", row["SystemModstamp"])
    kind = message.head.find("o:Notification/o:sObject", NS).get(NIL + "type")
    assert kind == "sf:Opportunity" and b'xmlns:sf="urn:sobject.enterprise.soap.sforce.com"' in body
    settled(sf)
    sent = sf.control("GET", "outbound")["sent"]
    assert len(sent) == 1 and sent[0]["ack"] is True and sent[0]["records"] == [made["Id"]]


def test_when_messages_are_sent(sf, receiver):
    sf.control("POST", "outbound", {"url": receiver.url, "object": "Opportunity", "on": ["update"],
                                    "when": {"Sync_with_Partner_Center__c": True}, "changed": ["Amount"]})
    id = sf.control("POST", "Opportunity", {**DEAL, "Sync_with_Partner_Center__c": True})["Id"]
    sf.control("PATCH", "Opportunity/" + id, {"NextStep": "x"})
    sf.control("PATCH", "Opportunity/%s?silent=1" % id, {"Amount": 1})
    sf.control("PATCH", "Opportunity/" + SEEDED, {"Amount": 1})
    sf.control("PATCH", "Opportunity/" + id, {"Amount": 2})
    assert receiver.message().rows == [{"Id": id}]
    sf.control("POST", "Account", {"Name": "other object"})
    sf.control("DELETE", "Opportunity/" + id)
    settled(sf)
    assert [s["records"] for s in sf.control("GET", "outbound")["sent"]] == [[id]]


def test_users_without_the_permission_send_nothing(sf, receiver):
    sf.control("POST", "outbound", {"url": receiver.url, "object": "Opportunity"})
    sf.patch("Opportunity", SEEDED, NextStep=unique())
    receiver.message()
    sf.control("POST", "outbound/silent", {"users": [CONNECTOR]})
    sf.patch("Opportunity", SEEDED, NextStep=unique())
    sf.control("PATCH", "Opportunity/" + SEEDED, {"NextStep": unique()})
    assert receiver.message().rows[0]["Id"] == SEEDED
    settled(sf)
    assert len(sf.control("GET", "outbound")["sent"]) == 2


def test_rolled_back_writes_send_nothing(sf, receiver):
    sf.control("POST", "outbound", {"url": receiver.url, "object": "Opportunity"})
    sf.composite(sf.sub("PATCH", "sobjects/Opportunity/" + SEEDED, "a", {"NextStep": "never"}),
                 sf.sub("PATCH", "sobjects/Opportunity/" + SEEDED, "b", {"Name": None}), allOrNone=True)
    sf.composite(sf.sub("PATCH", "sobjects/Opportunity/" + SEEDED, "a", {"NextStep": "once"}), allOrNone=True)
    receiver.message()
    settled(sf)
    assert len(sf.control("GET", "outbound")["sent"]) == 1


def test_batches_hold_what_is_true_when_sent(sf, receiver):
    sf.control("POST", "outbound", {"url": receiver.url, "object": "Opportunity", "fields": ["NextStep"]})
    sf.options(OutboundPause=True)
    ids = [r["Id"] for r in sf.control("POST", "bulk/Opportunity", [DEAL] * 230)]
    sf.control("PATCH", "bulk/Opportunity", {"ids": ids, "change": {"NextStep": "one"}})
    sf.control("PATCH", "bulk/Opportunity?silent=1", {"ids": ids, "change": {"NextStep": "two"}})
    sf.options(OutboundPause=False)
    messages = [receiver.message() for _ in range(3)]
    assert sorted(len(m.rows) for m in messages) == [30, 100, 100]
    rows = [row for m in messages for row in m.rows]
    assert {row["Id"] for row in rows} == set(ids) and {row["NextStep"] for row in rows} == {"two"}
    assert len({id for m in messages for id in m.ids}) == 230


@pytest.mark.parametrize("answer", [NO, (503, ACK % "true"), (200, ""), (200, "<a/>"), (204, "")])
def test_repeated_until_acknowledged(sf, receiver, answer):
    sf.options(OutboundRetry=60)
    sf.control("POST", "outbound", {"url": receiver.url, "object": "Opportunity", "fields": ["NextStep"]})
    receiver.answers[:] = [answer, answer]
    sf.control("PATCH", "Opportunity/" + SEEDED, {"NextStep": unique()})
    first = receiver.message()
    sent = lambda n: wait_for(lambda: len(sf.control("GET", "outbound")["sent"]) == n)
    sent(1)
    mark = unique()
    sf.control("PATCH", "Opportunity/%s?silent=1" % SEEDED, {"NextStep": mark})
    sf.control("POST", "clock", {"advance": 61})
    second = receiver.message()
    assert second.ids == first.ids and second.rows[0]["NextStep"] == mark
    sent(2)
    sf.control("POST", "clock", {"advance": 61})
    assert receiver.calls.empty()
    sf.control("POST", "clock", {"advance": 61})
    assert receiver.message().ids == first.ids
    settled(sf)
    assert [s["ack"] for s in sf.control("GET", "outbound")["sent"]] == [False, False, True]


def test_given_up_after_a_day(sf, receiver):
    sf.options(OutboundRetry=7200)
    sf.control("POST", "outbound", {"url": receiver.url, "object": "Opportunity"})
    receiver.default = NO
    sf.control("PATCH", "Opportunity/" + SEEDED, {"NextStep": unique()})
    ids = receiver.message().ids
    for n in range(20):
        wait_for(lambda: len(sf.control("GET", "outbound")["sent"]) == n + 1)
        if sf.control("GET", "outbound")["failed"]:
            break
        sf.control("POST", "clock", {"advance": 7201})
    found = sf.control("GET", "outbound")
    assert found["waiting"] == 0 and [f["id"] for f in found["failed"]] == ids and n in (10, 11, 12)
    receiver.default = YES
    assert sf.control("POST", "outbound/requeue") == {"requeued": 1}
    wait_for(lambda: sf.control("GET", "outbound")["sent"][-1]["ack"])


def test_duplicates_and_order(sf, receiver):
    sf.options(OutboundDuplicates=1)
    sf.control("POST", "outbound", {"url": receiver.url, "object": "Opportunity"})
    sf.control("PATCH", "Opportunity/" + SEEDED, {"NextStep": unique()})
    assert receiver.message().ids == receiver.message().ids
    sf.options(OutboundDuplicates=0, OutboundReorder=30, OutboundBatch=1)
    settled(sf)
    while not receiver.calls.empty():
        receiver.next()
    ids = [r["Id"] for r in sf.control("POST", "bulk/Opportunity", [DEAL] * 20)]
    sf.control("PATCH", "bulk/Opportunity", {"ids": ids, "change": {"NextStep": "x"}})
    sf.control("POST", "clock", {"rate": 100})
    got = [receiver.message().rows[0]["Id"] for _ in ids]
    assert set(got) == set(ids) and got != ids


def test_flow_callouts(sf, receiver):
    sf.control("POST", "outbound", {"url": receiver.url, "object": "Opportunity", "format": "json", "fields": ["Name"],
                                    "headers": {"X-Secret": "s"}, "retries": 1})
    sf.options(OutboundRetry=0)
    receiver.answers[:] = [(503, ""), (202, "")]
    sf.control("PATCH", "Opportunity/" + SEEDED, {"NextStep": unique()})
    for _ in range(2):
        path, headers, body, _ = receiver.next()
        assert json.loads(body) == {"id": SEEDED, "table": "Opportunity", "Name": "Fabrikam data platform"}
        assert headers["Content-Type"] == "application/json" and headers["X-Secret"] == "s"
    settled(sf)
    assert sf.control("GET", "outbound")["failed"] == []
    receiver.default = (500, "")
    sf.control("PATCH", "Opportunity/" + SEEDED, {"NextStep": unique()})
    wait_for(lambda: len(sf.control("GET", "outbound")["failed"]) == 1)


def test_client_certificate(sf):
    pki = os.path.join(HERE, "..", "..", "build", "sandbox", "pki")
    subprocess.run([os.path.join(HERE, "pki"), pki], check=True, stdout=subprocess.DEVNULL)
    file = lambda name: os.path.join(pki, name)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file("server.pem"), file("server.key"))
    context.load_verify_locations(file("ca.pem"))
    context.load_verify_locations(file("intermediates.pem"))
    context.verify_mode = ssl.CERT_OPTIONAL
    receiver = Receiver(context)
    try:
        add = lambda **more: sf.control("POST", "outbound", {"url": receiver.url, "object": "Opportunity", **more})
        add(ca=file("server-ca.pem"), client={"cert": file("leaf.pem"), "key": file("leaf.key")})
        sf.control("PATCH", "Opportunity/" + SEEDED, {"NextStep": unique()})
        peer = receiver.next()[3]
        assert ("commonName", "pcnotifications-dispatch.microsoft.com") in [p[0] for p in peer["subject"]]
        settled(sf)
        sf.control("DELETE", "outbound")
        add(verify=False)
        sf.control("PATCH", "Opportunity/" + SEEDED, {"NextStep": unique()})
        assert not receiver.next()[3]
        settled(sf)
        sf.control("DELETE", "outbound")
        add()
        sf.control("PATCH", "Opportunity/" + SEEDED, {"NextStep": unique()})
        wait_for(lambda: sf.control("GET", "outbound")["sent"])
        assert sf.control("GET", "outbound")["sent"][0]["ack"] is False and receiver.calls.empty()
    finally:
        receiver.close()


def test_definitions_are_checked(sf):
    for doc in ({"object": "Opportunity"}, {"url": "http://x/", "object": "Nope"},
                {"url": "http://x/", "object": "Lead", "fields": ["Nope"]},
                {"url": "http://x/", "object": "Lead", "on": ["delete"]}, {"url": "http://x/", "colour": 1}):
        assert requests.post(sf.box + "/outbound", json=doc).status_code == 400
    assert sf.control("GET", "outbound")["definitions"] == []
