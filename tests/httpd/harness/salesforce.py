"""The Salesforce simulator in the words of the suite.

One suite serves both CRMs. Its words for tables and columns are those of Dynamics ("opportunities", "estimatedvalue"); this is the
dictionary by which a test reads and edits a Salesforce organisation. What the product sends and is sent is never translated.
"""

import json
import re

from .sims import WRITING, Crm

# Values that tests name by the ids of the other simulator's seed.
USERS = {"00000000-0000-4000-8000-000000000011": "ada.seller@contoso.example", "00000000-0000-4000-8000-000000000012": "ben.partner@contoso.example"}
CURRENCIES = {"00000000-0000-4000-8000-000000000021": "USD", "00000000-0000-4000-8000-000000000022": "EUR"}
HELP = ["Workload Specific Value Proposition", "Customer Technical Architecture", "Proof Of Concept Or Demo", "Quotes Or Licensing",
        "Post Sales Customer Success", "General Or Other"]
FIRST_HELP = 861980000
AZURE = "00000000-0000-4000-8000-000000000061"
HOLD = "Partner Center - not accepted"
OPEN, WON, LOST = 0, 1, 2
IN_PROGRESS, ON_HOLD, STATUS_WON, CANCELED, OUT_SOLD = 1, 2, 3, 4, 5
REASONS = {CANCELED: "Other", OUT_SOLD: "Competition"}


class Table:
    def __init__(self, name, key, columns, lookups=(), flags=()):
        self.name, self.key, self.columns, self.lookups, self.flags = name, key, columns, dict(lookups), set(flags)


TABLES = {
    "opportunities": Table("Opportunity", "opportunityid", {
        "name": "Name", "description": "Description", "estimatedvalue": "Amount", "estimatedclosedate": "CloseDate", "closeprobability": "Probability",
        "modifiedon": "LastModifiedDate", "createdon": "CreatedDate", "isrevenuesystemcalculated": "HasOpportunityLineItem",
        "msft_syncwithpartnercenter": "Sync_with_Partner_Center__c", "msft_referralidentifier": "Referral_Identifier__c",
        "msft_referrallink": "Referral_Link__c", "msft_howcanmicrosofthelp": "How_can_Microsoft_help__c",
        "msft_referralvisibility": "Referral_Visibility__c", "msft_audit": "Audit__c", "msft_microsoftcrmidentifier": "Microsoft_CRM_Identifier__c",
        "msft_referralprogram": "Referral_Program__c"},
        {"parentaccountid": "AccountId", "ownerid": "OwnerId"}),
    "accounts": Table("Account", "accountid", {
        "name": "Name", "accountnumber": "AccountNumber", "telephone1": "Phone", "address1_line1": "BillingStreet", "address1_city": "BillingCity",
        "address1_stateorprovince": "BillingState", "address1_postalcode": "BillingPostalCode", "address1_country": "BillingCountry"},
        {"ownerid": "OwnerId"}),
    "contacts": Table("Contact", "contactid", {
        "firstname": "FirstName", "lastname": "LastName", "emailaddress1": "Email", "telephone1": "Phone", "jobtitle": "Title"},
        {"parentcustomerid": "AccountId"}),
    "systemusers": Table("User", "systemuserid", {
        "firstname": "FirstName", "lastname": "LastName", "internalemailaddress": "Email", "address1_telephone1": "Phone", "title": "Title"}),
    "leads": Table("Lead", "leadid", {
        "subject": "Co_sell_Referral_Name__c", "companyname": "Company", "firstname": "FirstName", "lastname": "LastName", "jobtitle": "Title",
        "emailaddress1": "Email", "telephone1": "Phone", "description": "Description", "address1_line1": "Street", "address1_city": "City",
        "address1_stateorprovince": "State", "address1_postalcode": "PostalCode", "address1_country": "Country",
        "msft_syncwithpartnercenter": "Sync_with_Partner_Center__c", "msft_referralidentifier": "Referral_Identifier__c",
        "msft_referrallink": "Referral_Link__c", "modifiedon": "LastModifiedDate"},
        {"ownerid": "OwnerId", "qualifyingopportunityid": "ConvertedOpportunityId"}),
}
SINGULAR = {"opportunity": "opportunities", "account": "accounts", "contact": "contacts", "systemuser": "systemusers", "lead": "leads",
            "msft_microsoftsolution": "msft_microsoftsolutions", "msft_microsoftsolutiondetail": "msft_microsoftsolutiondetails"}
OWN = re.compile(r"acme_(?!.*__c$)[a-z0-9_]+$", re.I)


def column(table, name):
    """Salesforce's name of a column; what is no word of the suite stays as it is."""
    if OWN.match(name):
        return name.lower() + "__c"
    if "/" in name:
        first, rest = name.split("/", 1)
        target = {"parentaccountid": "accounts", "parentcontactid": "contacts", "parentcustomerid": "accounts", "ownerid": "systemusers"}.get(first)
        return column(table, first) + "/" + column(target, rest) if target else name
    known = TABLES.get(SINGULAR.get(table, table))
    if not known:
        return name
    return known.columns.get(name) or known.lookups.get(name) or ("Id" if name == known.key else name)


class Salesforce(Crm):
    name = "salesforce"
    kind = "salesforce"
    api_path = "/services/data/"
    win_request = {"method": "PATCH", "path": "/sobjects/Opportunity/006", "match": "Closed Won"}
    refusals = {"throttled": {"status": 403, "code": "REQUEST_LIMIT_EXCEEDED", "message": "ConcurrentRequests (Concurrent API Requests) Limit exceeded."},
                "forbidden": {"status": 403, "code": "INSUFFICIENT_ACCESS_OR_READONLY"}, "rule": {"status": 400, "code": "FIELD_CUSTOM_VALIDATION_EXCEPTION"},
                "deadlock": {"status": 400, "code": "UNABLE_TO_LOCK_ROW"}}
    locking = None

    def __init__(self, *options, **more):
        super().__init__(*options, **more)
        self.people = {row["Email"]: row["Id"] for row in self.raw("GET", "User") if row.get("Email")}
        self.post("options", {"StateCountryPicklists": False})  # as the shipped profile has it
        # Solutions by the id that a test uses for them: there is no catalogue, a row names its solution.
        self.catalogue = {AZURE: {"msft_microsoftsolutiondetailid": AZURE, "msft_solutionidentifier": "SOL-24100-GWB", "msft_solutionname": "Azure"}}

    # The simulator's own words

    def raw(self, method, path, body=None, /, **query):
        return super().call(method, path, body, None, **query)

    # The suite's words

    def call(self, method, path, body=None, data=None, /, **query):
        head, _, key = path.partition("/")
        if head == "bulk":
            return self._bulk(method, key, body, query)
        if head == "columns":
            return super().call(method, path, self._field(body))
        if head == "quirks" and body:
            return super().call(method, path, self._quirk(body))
        virtual = getattr(self, "_" + head, None)
        if virtual:
            return virtual(method, key, body, query)
        table = TABLES.get(head)
        if not table:
            return super().call(method, path, body, data, **query)
        key = self.identity(key)
        reply = super().call(method, table.name + ("/" + key if key else ""), self.to_sf(head, body, key) if body is not None else None, data, **query)
        if head == "opportunities" and body and "parentcontactid" in body:
            self._primary(reply["Id"], body["parentcontactid"])
        return self._read(head, reply)

    def _read(self, head, reply):
        if isinstance(reply, list):
            roles = self._roles() if head == "opportunities" else {}
            return [self.from_sf(head, row, roles) for row in reply]
        if isinstance(reply, dict) and reply.get("Id"):
            return self.from_sf(head, reply, self._roles() if head == "opportunities" else {})
        return reply

    def _bulk(self, method, head, body, query):
        table = TABLES[head]
        if isinstance(body, dict):
            body = {"ids": body["ids"], "change": self.to_sf(head, body["change"], None)}
        else:
            body = [({"id": row.get("id", row.get(table.key))} if method == "PATCH" else {}) |
                    self.to_sf(head, {k: v for k, v in row.items() if k not in ("id", table.key)}, None) for row in body]
        reply = super().call(method, "bulk/" + table.name, body, None, **query)
        return [self.from_sf(head, row, {}) for row in reply] if isinstance(reply, list) else reply

    @staticmethod
    def _field(body):
        types = {"text": "string", "memo": "textarea", "flag": "boolean", "money": "currency", "integer": "int", "decimal": "double", "choice": "picklist",
                 "instant": "datetime"}
        more = {k: v for k, v in body.items() if k not in ("table", "name", "type", "max")}
        if "max" in body:
            more["length"] = min(body["max"], 255 if body["type"] == "text" else 131072)
        return {**more, "table": TABLES[SINGULAR[body["table"]]].name, "name": column(body["table"], body["name"]), "type": types.get(body["type"], body["type"])}

    def _quirk(self, spec):
        if isinstance(spec, list):
            return [self._quirk(one) for one in spec]
        if spec["table"] == "msft_microsoftsolutiondetail":
            return {**spec, "table": "Microsoft_Solution__c", "column": "Solution_Identifier__c"}
        changed = {**spec, "table": TABLES[SINGULAR[spec["table"]]].name}
        if spec.get("column"):
            changed["column"] = column(spec["table"], spec["column"])
        if spec.get("template"):
            changed["template"] = re.sub(r"\{(\w+)\}", lambda m: "{%s}" % column(spec["table"], m.group(1)), spec["template"])
        if spec.get("columns"):
            changed["columns"] = [column(spec["table"], name) for name in spec["columns"]]
        return changed

    # Rows

    def identity(self, value):
        """A row's id, where a test names it by the id of the other simulator's seed."""
        return self.people.get(USERS.get(value), value) if value else value

    def reference(self, value):
        return self.identity(value["id"] if isinstance(value, dict) else value)

    def to_sf(self, head, row, key):
        table, out = TABLES[head], {}
        for name, value in row.items():
            if name in table.lookups:
                out[table.lookups[name]] = self.reference(value)
            elif name == "transactioncurrencyid":
                out["CurrencyIsoCode"] = CURRENCIES.get(value["id"], value["id"]) if value else None
            elif name == "msft_howcanmicrosofthelp":
                out["How_can_Microsoft_help__c"] = None if value is None else HELP[value - FIRST_HELP]
            elif name == "isdisabled":
                out["IsActive"] = not value
            elif name not in ("statecode", "statuscode", "parentcontactid", table.key):
                out[column(head, name)] = value
        if head == "opportunities":
            out.update(self._stage(row))
            if not key:
                out.setdefault("StageName", "Qualification")
                out.setdefault("CloseDate", "2030-12-31")
        if head == "systemusers" and not key:
            out.setdefault("Username", out.get("Email"))
        if head == "leads" and "statuscode" in row:
            out["Status"] = "Closed - Not Converted" if row.get("statecode") == 2 else "Open - Not Contacted"
        return out

    def _stage(self, row):
        state, status = row.get("statecode"), row.get("statuscode")
        if status == ON_HOLD:
            return {"StageName": HOLD}
        if state == WON or status == STATUS_WON:
            return {"StageName": "Closed Won"}
        if state == LOST or status in REASONS:
            return {"StageName": "Closed Lost", "Loss_Reason__c": REASONS.get(status, "Other")}
        return {"StageName": "Qualification"} if status == IN_PROGRESS or state == OPEN else {}

    def from_sf(self, head, row, roles):
        table = TABLES[head]
        out = {**row, table.key: row["Id"]}
        for mine, theirs in table.columns.items():
            out[mine] = row.get(theirs)
        for mine, theirs in table.lookups.items():
            out["_%s_value" % mine] = row.get(theirs)
        for name, value in row.items():
            if name.startswith("acme_") and name.endswith("__c"):
                out[name[:-3]] = value
        if head == "opportunities":
            state = WON if row.get("IsWon") else LOST if row.get("IsClosed") else OPEN
            out["statecode"] = state
            out["statuscode"] = (STATUS_WON if state == WON else next((s for s, r in REASONS.items() if r == row.get("Loss_Reason__c")), CANCELED)
                                 if state == LOST else ON_HOLD if row.get("StageName") == HOLD else IN_PROGRESS)
            code = row.get("CurrencyIsoCode")
            out["_transactioncurrencyid_value"] = next((k for k, v in CURRENCIES.items() if v == code), code)
            help = row.get("How_can_Microsoft_help__c")
            out["msft_howcanmicrosofthelp"] = FIRST_HELP + HELP.index(help) if help in HELP else None
            out["_parentcontactid_value"] = roles.get(row["Id"])
        if head == "leads":
            out["statecode"] = 1 if row.get("IsConverted") else 2 if row.get("Status") == "Closed - Not Converted" else 0
        if head == "systemusers":
            out["isdisabled"] = not row.get("IsActive", True)
            out["applicationid"] = row["Id"] if row["Id"] == self.info["user"] else None
        return out

    def _roles(self):
        return {role["OpportunityId"]: role["ContactId"] for role in sorted(self.raw("GET", "OpportunityContactRole"), key=lambda r: bool(r.get("IsPrimary")))}

    def _primary(self, opportunity, contact):
        if contact:
            self.raw("POST", "OpportunityContactRole", {"OpportunityId": opportunity, "ContactId": self.reference(contact), "IsPrimary": True})

    # Tables that Salesforce has otherwise

    def _transactioncurrencies(self, method, key, body, query):
        rows = [{"transactioncurrencyid": k, "isocurrencycode": v} for k, v in CURRENCIES.items()]
        return next(r for r in rows if r["transactioncurrencyid"] == key) if key else rows

    def _restore(self, method, key, body, query):
        return self.raw("POST", "restore", {**body, "table": TABLES[SINGULAR[body["table"]]].name})

    def _merge(self, method, key, body, query):
        return self.raw("POST", "merge", {**body, "table": TABLES[SINGULAR[body["table"]]].name})

    def _opportunitycloses(self, method, key, body, query):
        return []

    def _msft_microsoftsolutiondetails(self, method, key, body, query):
        if method == "POST":
            identity = body["msft_solutionidentifier"]
            self.catalogue[identity] = {**body, "msft_microsoftsolutiondetailid": identity}
            return self.catalogue[identity]
        named = {r["Solution_Identifier__c"]: r["Name"] for r in self.raw("GET", "Microsoft_Solution__c") if r.get("Solution_Identifier__c")}
        rows = [{"msft_microsoftsolutiondetailid": k, "msft_solutionidentifier": k, "msft_solutionname": v} for k, v in named.items()]
        return rows + list(self.catalogue.values())

    def _msft_microsoftsolutions(self, method, key, body, query):
        if method == "GET":
            rows = [self._solution(row) for row in self.raw("GET", "Microsoft_Solution__c")]
            return next(r for r in rows if r["msft_microsoftsolutionid"] == key) if key else rows
        if method == "DELETE":
            return self.raw("DELETE", "Microsoft_Solution__c/" + key, **query)
        detail = self.catalogue.get(body["msft_solutiondetailid"]["id"], {})
        row = {"Opportunity__c": body["msft_opportunityid"]["id"],
               "Solution_Identifier__c": detail.get("msft_solutionidentifier", body["msft_solutiondetailid"]["id"]),
               "Name": detail.get("msft_solutionname", "Solution")}
        return self._solution(self.raw("POST", "Microsoft_Solution__c", row, **query))

    @staticmethod
    def _solution(row):
        return {"msft_microsoftsolutionid": row["Id"], "SystemModstamp": row["SystemModstamp"], "_msft_opportunityid_value": row["Opportunity__c"],
                "_msft_solutiondetailid_value": row.get("Solution_Identifier__c")}

    def _teams(self, method, key, body, query):
        return [{"teamid": "team of " + identity, "_regardingobjectid_value": identity}
                for identity in sorted({m["OpportunityId"] for m in self.raw("GET", "OpportunityTeamMember")})]

    def _teammemberships(self, method, key, body, query):
        return [{"teamid": "team of " + m["OpportunityId"], "systemuserid": m["UserId"]} for m in self.raw("GET", "OpportunityTeamMember")]

    def convert(self, lead):
        """As a seller does; the opportunity that it makes."""
        self.raw("POST", "convert", {"lead": lead})
        return self.raw("GET", "Lead/" + lead)["ConvertedOpportunityId"]

    def notify_to(self, url, table):
        """Changes of this table are sent there as outbound messages."""
        name = TABLES[SINGULAR[table]].name if SINGULAR[table] in TABLES else "Microsoft_Solution__c"
        fields = {"Microsoft_Solution__c": ["Id", "Opportunity__c"]}.get(name, ["Id", "SystemModstamp"])
        return self.raw("POST", "outbound", {"url": url, "object": name, "fields": fields})

    def notified(self):
        """Every message was acknowledged."""
        return not self.raw("GET", "outbound")["waiting"]

    # What the product sent

    def writes(self, since=0, path=None):
        """Rows written: lone requests and subrequests, never an envelope, a query nor signing in."""
        return [r for r in self.requests(None, since=since) if r["method"] in WRITING and "/oauth2/" not in r["path"]
                and not re.search(r"/composite(/|$)(?!sobjects/?$)", r["path"]) and (path is None or re.search(path, r["path"]))]

    def round_trips(self, since=0):
        return [r for r in self.requests(since=since) if "/oauth2/" not in r["path"] and not r.get("batch")]

    def row_path(self, table, identity=""):
        """What the path of a write to a row of this table looks like."""
        return r"/sobjects/%s/?%s" % (TABLES[table].name, re.escape(identity))

    def column(self, table, name):
        return column(table, name)

    @staticmethod
    def version(row):
        return row["SystemModstamp"]

    def table_path(self, table):
        return r"/sobjects/%s\b" % TABLES[table].name

    def lock_out(self, locked):
        """Whether the organisation's edition is without the API."""
        if self.locking is not None:
            self.remove_faults(self.locking)
        self.locking = self.fault(path=self.api_path, fault="status", status=403, code="API_DISABLED_FOR_ORG",
                                  message="API is not enabled for this Organization or Partner") if locked else None

    def closings(self, opportunity):
        """Writes that moved it to a stage that closes."""
        return [r for r in self.writes(path=self.row_path("opportunities", opportunity))
                if json.loads(r["body"] or "{}").get("StageName", "").startswith("Closed") and r["status"] != 412]

    def changed_columns(self, request, table="opportunities"):
        """The columns a write has, in the suite's words."""
        back = {theirs: mine for mine, theirs in {**TABLES[table].columns, **TABLES[table].lookups}.items()}
        back["CurrencyIsoCode"] = "transactioncurrencyid"
        return {back.get(name, name[:-3] if name.startswith("acme_") else name) for name in json.loads(request["body"] or "{}")}


def translate_mapping(document):
    """Columns that a test has put into the shipped mapping, in Salesforce's names. What the profile has of its own stays."""
    names = document.get("names", {})
    for name, value in names.items():
        if isinstance(value, str):
            names[name] = column("opportunities", value) if OWN.match(value) else value
    for kind in document.get("records", {}).values():
        _columns(kind, "leads" if kind.get("table") == "Lead" else "opportunities")
    return document


def _columns(node, table):
    if isinstance(node, list):
        for item in node:
            _columns(item, table)
    elif isinstance(node, dict):
        for key, value in list(node.items()):
            if key in ("crm", "column") and isinstance(value, str):
                node[key] = column(table, value)
            elif key == "crm" and isinstance(value, list) and all(isinstance(v, str) for v in value):
                node[key] = [column(table, v) for v in value]
            elif key == "crm" and isinstance(value, dict):
                node[key] = {(column(table, k) if k not in ("amount", "currency") else k): (column(table, v) if k in ("amount", "currency") and isinstance(v, str) else v)
                             for k, v in value.items()}
                _columns(node[key], table)
            else:
                _columns(value, table)
