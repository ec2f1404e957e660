"""Actions: closing and qualifying, bulk messages, merging, and the teams of a record."""
from . import life, quirks, values
from .errors import ApiError, bad_argument, bad_payload, bad_status, no_row
from .payload import read_payload
from .wire import Answer

TYPE = "Microsoft.Dynamics.CRM."


class Actions:
    def __init__(self, service):
        self.service = service
        self.org = service.org
        self.unbound = {"WinOpportunity": self.win, "LoseOpportunity": self.lose, "Merge": self.merge,
                        "ReactivateEntityKey": self.reactivate_key}
        self.bound = {("lead", "QualifyLead"): self.qualify,
                      ("systemuser", "AddUserToRecordTeam"): self.join_team,
                      ("systemuser", "RemoveUserFromRecordTeam"): self.leave_team}
        self.collection = {"CreateMultiple": self.create_many, "UpdateMultiple": self.update_many,
                           "UpsertMultiple": self.upsert_many}

    # Parameters

    def parameters(self, call, action, allowed):
        doc = self.service.body(call, action)
        for name in doc:
            if name not in allowed and not name.startswith("@"):
                raise bad_payload(action, "Microsoft.OData.ODataException: The parameter '%s' in the request "
                                  "payload is not a valid parameter for the operation '%s'" % (name, action))
        return doc

    def entity(self, doc, action, name):
        """The row a parameter names by its type and key -> (table, row)."""
        given = doc.get(name)
        if not isinstance(given, dict):
            raise bad_payload(action, "Microsoft.OData.ODataException: The parameter '%s' is missing from the "
                              "request payload" % name)
        if "@odata.id" in given:
            return self.service.resolve_reference(given["@odata.id"])
        kind = given.get("@odata.type", "").lstrip("#")
        table = self.org.schema.tables.get(kind[len(TYPE):]) if kind.startswith(TYPE) else None
        if table is None:
            raise bad_payload(action, "Microsoft.OData.ODataException: The parameter '%s' needs '@odata.type', the "
                              "type '%s' is not known" % (name, kind))
        id = given.get(table.pk)
        row = self.org.get(table.name, id.lower()) if isinstance(id, str) else None
        if row is None:
            raise no_row(table.name, id)
        return table, row

    # Closing

    def win(self, call):
        return self.close(call, "WinOpportunity", 1)

    def lose(self, call):
        return self.close(call, "LoseOpportunity", 2)

    def close(self, call, action, state):
        doc = self.service.body(call, action)
        for name in doc:
            if name not in ("Status", "OpportunityClose"):
                raise bad_payload(action, "Microsoft.OData.ODataException: The parameter '%s' in the request "
                                  "payload is not a valid parameter for the operation '%s'" % (name, action))
        close = doc.get("OpportunityClose")
        if not isinstance(close, dict):
            raise bad_payload(action, "Microsoft.OData.ODataException: The parameter 'OpportunityClose' is "
                              "missing from the request payload")
        table = self.org.schema.tables["opportunity"]
        activity = self.org.schema.tables["opportunityclose"]
        payload = read_payload(self.service, activity, close, True)
        row = self.org.get("opportunity", payload.changes.get("opportunityid"))
        if row is None:
            raise bad_argument("Required field 'opportunityid' is missing for %s." % action)
        status = self.close_status(table, row, doc.get("Status", -1), state)
        self.service.allowed(call, table, "write")
        if row.vals.get("statecode", 0) != 0:
            raise ApiError(
                400, self.org.options["ClosedRowCode"],
                "The state transition requested is not valid for the current state. Current state: %d, "
                "current status: %d, target state: %d"
                % (row.vals["statecode"], row.vals.get("statuscode", -1), state))
        with self.org.atomic():
            self.store_close(call, table, activity, row, payload.changes, state, status)
        return Answer(204, "", {}, None)

    def close_status(self, table, row, status, state):
        if isinstance(status, bool) or not isinstance(status, int):
            raise bad_payload(table.set_name, "Microsoft.OData.ODataException: Cannot convert the literal "
                              "'%s' to the expected type 'Edm.Int32'" % status)
        if status == -1:
            return table.state_default_status[state]
        if table.columns["statuscode"].states.get(status) != state:
            raise bad_status(status, table.name, self.org._state_label(table, state), row.id)
        return status

    def store_close(self, call, table, activity, row, changes, state, status):
        changes.pop("activityid", None)
        changes.setdefault("subject", "Opportunity Close - %s" % table.columns["statecode"].labels[state])
        currency = row.vals.get("transactioncurrencyid")
        if currency:
            changes.setdefault("transactioncurrencyid", currency)
        changes["statecode"], changes["statuscode"] = 1, 2
        end = changes.get("actualend") or self.org.now_text()
        changes["actualend"] = end
        id = self.org.new_id()
        if activity.quirks:
            changes = quirks.treated(activity, changes, id, True)
        made = self.org.create(activity, id, changes, call.actor, checked=False)
        sent = {"statecode": state, "statuscode": status, "actualclosedate": end[:10]}
        revenue = changes.get("actualrevenue")
        if revenue is None and state == 1:
            revenue = row.vals.get("estimatedvalue")
        if revenue is not None:
            sent["actualvalue"] = revenue
        if table.quirks:
            sent = quirks.treated(table, sent, row.id, False)
        after = self.org.update(table, row, sent, call.actor, checked=False)
        self.org.tell("Win" if state == 1 else "Lose", table, row.id, (), row, after, call.actor, made)

    # Qualifying

    def qualify(self, call, row):
        lead = self.org.schema.tables["lead"]
        doc = self.parameters(call, "QualifyLead", (
            "CreateAccount", "CreateContact", "CreateOpportunity", "Status", "OpportunityCurrencyId",
            "OpportunityCustomerId", "SourceCampaignId", "ProcessInstanceId", "SuppressDuplicateDetection"))
        self.service.allowed(call, lead, "write")
        if row.vals.get("statecode", 0) != 0:
            raise bad_argument("The lead is already closed.")
        status = doc.get("Status", -1)
        status = 3 if status == -1 else status
        if lead.columns["statuscode"].states.get(status) != 1:
            raise bad_status(status, "lead", "Qualified", row.id)
        with self.org.atomic():
            made = self.qualified(call, doc, row, status)
        view = self.service.views.get
        text = ",".join(
            self.service.renderer.row(view(table, None, None), self.org.get(table.name, id), self.org.get, call.prefs,
                                      '"@odata.type":"#Microsoft.Dynamics.CRM.%s",' % table.name)
            for table, id in made)
        return Answer(200, '{"@odata.context":"%s/$metadata#Collection(Microsoft.Dynamics.CRM.crmbaseentity)",'
                      '"value":[%s]}' % (call.root, text))

    def qualified(self, call, doc, row, status):
        vals, made, links = row.vals, [], {}

        def add(name, changes):
            table = self.org.schema.tables[name]
            self.service.allowed(call, table, "create")
            changes = {k: v for k, v in changes.items() if v is not None}
            if self.service.checks_duplicates(call) and doc.get("SuppressDuplicateDetection") is not True:
                self.org.check_duplicates(table, changes, None)
            one = self.org.create(table, self.org.new_id(), changes, call.actor)
            made.append((table, one.id))
            return one.id
        address = {n: v for n, v in vals.items() if n.startswith("address1_")}
        if doc.get("CreateAccount"):
            links["parentaccountid"] = add("account", {
                "name": vals.get("companyname"), "websiteurl": vals.get("websiteurl"), **address})
        account = links.get("parentaccountid", vals.get("parentaccountid"))
        if doc.get("CreateContact"):
            links["parentcontactid"] = add("contact", {
                **{n: vals.get(n) for n in ("firstname", "lastname", "emailaddress1", "telephone1", "mobilephone",
                                            "jobtitle")}, **address,
                "parentcustomerid": account, "parentcustomerid@": account and "account"})
        if doc.get("CreateOpportunity"):
            links["qualifyingopportunityid"] = self.opportunity(add, doc, row, links)
        lead, changes = self.org.schema.tables["lead"], {"statecode": 1, "statuscode": status, **links}
        if lead.quirks:
            changes = quirks.treated(lead, changes, row.id, False)
        self.org.update(lead, self.org.get("lead", row.id), changes, call.actor, checked=False)
        return made

    def opportunity(self, add, doc, row, links):
        vals = row.vals
        changes = {"name": vals.get("subject"), "originatingleadid": row.id,
                   "parentaccountid": links.get("parentaccountid", vals.get("parentaccountid")),
                   "parentcontactid": links.get("parentcontactid", vals.get("parentcontactid")),
                   "estimatedvalue": vals.get("estimatedamount"), "description": vals.get("description"),
                   "estimatedclosedate": vals.get("estimatedclosedate"), "budgetamount": vals.get("budgetamount"),
                   "transactioncurrencyid": vals.get("transactioncurrencyid"), "ownerid": vals.get("ownerid"),
                   "ownerid@": vals.get("ownerid@")}
        if doc.get("OpportunityCustomerId"):
            table, customer = self.entity(doc, "QualifyLead", "OpportunityCustomerId")
            if table.name not in ("account", "contact"):
                raise bad_argument("OpportunityCustomerId must be an account or a contact.")
            changes["customerid"], changes["customerid@"] = customer.id, table.name
            changes["parent%sid" % table.name] = customer.id
        if doc.get("OpportunityCurrencyId"):
            changes["transactioncurrencyid"] = self.entity(doc, "QualifyLead", "OpportunityCurrencyId")[1].id
        return add("opportunity", changes)

    # Merging

    def merge(self, call):
        doc = self.parameters(call, "Merge", ("Target", "Subordinate", "UpdateContent", "PerformParentingChecks"))
        table, target = self.entity(doc, "Merge", "Target")
        other, loser = self.entity(doc, "Merge", "Subordinate")
        if other is not table:
            raise bad_argument("Rows of %s and %s cannot be merged." % (table.name, other.name))
        self.service.allowed(call, table, "write")
        content = doc.get("UpdateContent") or {}
        changes = read_payload(self.service, table, content, False).changes
        changes.pop(table.pk, None)
        life.merge(self.org, table, target, loser, changes, call.actor)
        return Answer(204, "", {}, None)

    def reactivate_key(self, call):
        """Starts the index job of an alternate key again."""
        doc = self.parameters(call, "ReactivateEntityKey", ("EntityLogicalName", "EntityKeyLogicalName"))
        table = self.org.schema.tables.get(doc.get("EntityLogicalName"))
        key = table and next((k for k in table.keys if k.name == doc.get("EntityKeyLogicalName")), None)
        if key is None:
            raise bad_argument("The key '%s' of the table '%s' does not exist."
                               % (doc.get("EntityKeyLogicalName"), doc.get("EntityLogicalName")))
        key.status, key.active_at = "Pending", self.org.clock() + self.org.options["KeyIndexSeconds"]
        return Answer(204, "", {}, None)

    # Teams of a record

    def team_parameters(self, call, action):
        doc = self.parameters(call, action, ("Record", "TeamTemplate"))
        table, record = self.entity(doc, action, "Record")
        kind, template = self.entity(doc, action, "TeamTemplate")
        if kind.name != "teamtemplate":
            raise bad_argument("TeamTemplate must be a team template, not a %s." % kind.name)
        if template.vals.get("objecttypecode") != table.object_type_code:
            raise bad_argument("The team template '%s' is not for the table %s."
                               % (template.vals.get("teamtemplatename"), table.name))
        return table, record, template

    def join_team(self, call, user):
        table, record, template = self.team_parameters(call, "AddUserToRecordTeam")
        if user.vals.get("isdisabled"):
            raise ApiError(400, "0x80040225", "The specified user(Id = %s) is disabled. Consider enabling this user."
                           % user.id)
        self.service.allowed(call, self.org.schema.tables["team"], "write")
        team = life.join_record_team(self.org, user.id, table.name, record.id, template.id, call.actor)
        return self.team_answer(call, "AddUserToRecordTeamResponse", team)

    def leave_team(self, call, user):
        table, record, template = self.team_parameters(call, "RemoveUserFromRecordTeam")
        self.service.allowed(call, self.org.schema.tables["team"], "write")
        team = life.leave_record_team(self.org, user.id, table.name, record.id, template.id)
        return self.team_answer(call, "RemoveUserFromRecordTeamResponse", team)

    @staticmethod
    def team_answer(call, kind, team):
        return Answer(200, '{"@odata.context":"%s/$metadata#Microsoft.Dynamics.CRM.%s","AccessTeamId":"%s"}'
                      % (call.root, kind, team or "00000000-0000-0000-0000-000000000000"))

    # Many rows at once

    def targets(self, call, table, message):
        doc = self.parameters(call, message, ("Targets",))
        if not self.org.takes_many(table, message):
            raise ApiError(400, "0x80040800", "The '%s' method does not support entities of type '%s'. "
                           "MessageProcessorCache returned MessageProcessor.Empty." % (message, table.name))
        found = doc.get("Targets")
        if not isinstance(found, list) or not all(isinstance(t, dict) for t in found):
            raise bad_payload(table.set_name, "Microsoft.OData.ODataException: The parameter 'Targets' must be a "
                              "list of objects")
        if not found:
            raise bad_argument("The parameter 'Targets' of %s is empty." % message)
        for one in found:
            if one.get("@odata.type", "").lstrip("#") != TYPE + table.name:
                raise bad_payload(table.set_name, "Microsoft.OData.ODataException: A type named '%s' is not "
                                  "possible here; every target needs '@odata.type' of '%s%s'"
                                  % (one.get("@odata.type", ""), TYPE, table.name))
        return found

    def key_of(self, table, target):
        """The row a target means: by '@odata.id', else by its primary key."""
        text = target.get("@odata.id")
        if isinstance(text, str):
            name, _, key = text.rpartition("/")[2].partition("(")
            if name != table.set_name or not key.endswith(")"):
                raise bad_payload(table.set_name, "Microsoft.OData.ODataException: '%s' names no row of the set"
                                  % text)
            return self.service.read_key(table, key[:-1])
        id = target.get(table.pk)
        if not isinstance(id, str) or not values.GUID.match(id):
            raise bad_argument("Every target needs its primary key '%s' or '@odata.id'." % table.pk)
        return ("id", id.lower(), None)

    def create_many(self, call, table):
        with self.org.atomic():
            ids = [self.service.make(call, table, one, None).id
                   for one in self.targets(call, table, "CreateMultiple")]
        return Answer(200, '{"@odata.context":"%s/$metadata#Microsoft.Dynamics.CRM.CreateMultipleResponse",'
                      '"Ids":[%s]}' % (call.root, ",".join('"%s"' % i for i in ids)))

    def update_many(self, call, table):
        with self.org.atomic():
            for one in self.targets(call, table, "UpdateMultiple"):
                key = self.key_of(table, one)
                row = self.service.find(table, key)
                if row is None:
                    raise self.service.missing(table, key)
                self.service.change(call, table, row, one)
        return Answer(204, "", {}, None)

    def upsert_many(self, call, table):
        with self.org.atomic():
            for one in self.targets(call, table, "UpsertMultiple"):
                key = self.key_of(table, one)
                row = self.service.find(table, key)
                if row is None:
                    self.service.upsert_missing(call, table, key, one)
                else:
                    doc = {n: v for n, v in one.items() if n not in (key[2] or ())}
                    self.service.change(call, table, row, doc)
        return Answer(204, "", {}, None)
