"""What the service itself does when rows of the standard sObjects change."""
from . import countries, values
from .errors import data_error

ADDRESSES = {"Account": ("Billing", "Shipping"), "Contact": ("Mailing",), "Lead": ("",)}


# Derived values

def opportunity(org, vals, changes, before):
    stage = org.stages.get(vals.get("StageName"))
    if before is None or "StageName" in changes:
        vals["IsClosed"] = bool(stage and stage["IsClosed"])
        vals["IsWon"] = bool(stage and stage["IsWon"])
        moved = before is None or before.get("StageName") != vals.get("StageName")
        if moved and changes.get("Probability") is None:
            vals["Probability"] = stage["DefaultProbability"] if stage else 0.0
        if moved and changes.get("ForecastCategoryName") is None:
            vals["ForecastCategoryName"] = stage["ForecastCategoryName"] if stage else "Pipeline"
    names = vals.get("ForecastCategoryName", "Pipeline")
    vals["ForecastCategory"] = {"Commit": "Forecast"}.get(names, names.replace(" ", ""))
    if before is not None and before.get("HasOpportunityLineItem"):
        if "Amount" in changes and changes["Amount"] != before.get("Amount"):
            if org.options["AmountWithProducts"] == "refuse":
                raise data_error("FIELD_INTEGRITY_EXCEPTION", "The amount of an opportunity with products cannot be "
                                 "edited.", "Amount")
            put(vals, "Amount", before.get("Amount"))
        if changes.get("CurrencyIsoCode") not in (None, before.get("CurrencyIsoCode")):
            raise data_error("FIELD_INTEGRITY_EXCEPTION", "The currency of an opportunity with products cannot be "
                             "changed.", "CurrencyIsoCode")
    amount = vals.get("Amount")
    put(vals, "ExpectedRevenue", None if amount is None else round(amount * vals.get("Probability", 0.0) / 100, 2))
    if vals.get("CloseDate"):
        year, month = int(vals["CloseDate"][:4]), int(vals["CloseDate"][5:7])
        vals["FiscalYear"], vals["FiscalQuarter"] = year, (month + 2) // 3
        vals["Fiscal"] = "%d %d" % (year, (month + 2) // 3)


def put(vals, name, value):
    if value is None:
        vals.pop(name, None)
    else:
        vals[name] = value


def address(org, table, vals, changes):
    if not org.options["StateCountryPicklists"]:
        return
    for prefix in ADDRESSES[table]:
        name, code = prefix + "Country", prefix + "CountryCode"
        if changes.get(code) is not None:
            right = countries.NAMES[changes[code]]
            if changes.get(name) is not None and changes[name].lower() not in (right.lower(), changes[code].lower()):
                raise data_error("FIELD_INTEGRITY_EXCEPTION", "A mismatch between the integration values and ISO codes "
                                 "was detected. Please select a country/territory from the list of valid countries.",
                                 name)
            vals[name] = right
        elif changes.get(name) is not None:
            text = changes[name]
            found = text.upper() if text.upper() in countries.NAMES else countries.CODES.get(text.lower())
            if found is None:
                raise data_error("FIELD_INTEGRITY_EXCEPTION", "There's a problem with this country, even though it may "
                                 "appear correct. Please select a country/territory from the list of valid countries.",
                                 name)
            vals[name], vals[code] = countries.NAMES[found], found
        elif name in changes or code in changes:
            vals.pop(name, None)
            vals.pop(code, None)
        state = changes.get(prefix + "State") or changes.get(prefix + "StateCode")
        if state is not None and name not in vals:
            raise data_error("FIELD_INTEGRITY_EXCEPTION", "A country/territory must be specified before specifying a "
                             "state value for field: %s" % (prefix + "State"), prefix + "State")


def named(vals):
    vals["Name"] = " ".join(filter(None, (vals.get("FirstName"), vals.get("LastName"))))


def account(org, vals, changes, before):
    address(org, "Account", vals, changes)


def contact(org, vals, changes, before):
    named(vals)
    address(org, "Contact", vals, changes)


def lead(org, vals, changes, before):
    named(vals)
    address(org, "Lead", vals, changes)


def user(org, vals, changes, before):
    named(vals)


def team_member(org, vals, changes, before):
    row = org.get("User", vals["UserId"])
    vals["Name"] = row["Name"]
    put(vals, "Title", row.get("Title"))
    vals.setdefault("OpportunityAccessLevel", "Read")


def line_item(org, vals, changes, before):
    price, total, count = vals.get("UnitPrice"), changes.get("TotalPrice"), vals.get("Quantity") or 0.0
    if total is not None and "UnitPrice" not in changes and count:
        vals["UnitPrice"] = round(total / count, 2)
    else:
        vals["TotalPrice"] = round((price or 0.0) * count, 2)
    row = org.get("Opportunity", vals["OpportunityId"])
    vals.setdefault("Name", "%s %s" % (row["Name"], vals.get("ProductCode") or "Product"))


def stage(org, vals, changes, before):
    vals.setdefault("ApiName", vals.get("MasterLabel", vals["Id"]))
    vals.setdefault("MasterLabel", vals["ApiName"])
    vals.setdefault("SortOrder", len(org.rows["OpportunityStage"].now) + 1)
    vals.setdefault("ForecastCategoryName", "Closed" if vals["IsWon"] else "Pipeline")
    vals.setdefault("DefaultProbability", 100.0 if vals["IsWon"] else 0.0)


def lead_status(org, vals, changes, before):
    vals.setdefault("ApiName", vals.get("MasterLabel", vals["Id"]))
    vals.setdefault("MasterLabel", vals["ApiName"])
    vals.setdefault("SortOrder", len(org.rows["LeadStatus"].now) + 1)


def solution(org, vals, changes, before):
    vals.setdefault("Name", vals["Id"])


DERIVE = {"Opportunity": opportunity, "Account": account, "Contact": contact, "Lead": lead, "User": user,
          "OpportunityTeamMember": team_member, "OpportunityLineItem": line_item, "Microsoft_Solution__c": solution,
          "OpportunityStage": stage, "LeadStatus": lead_status}


# What else happens

def before_create(org, table, vals, changes, actor):
    """The id of the row that a create falls together with, or None."""
    if table.name != "OpportunityTeamMember":
        return None
    rows = org.rows[table.name]
    for id in rows.index("OpportunityId").get(values.fold(vals.get("OpportunityId")), ()):
        if rows.now[id]["UserId"] == vals.get("UserId"):
            org.change(table, id, {k: v for k, v in changes.items() if k not in ("OpportunityId", "UserId")}, actor)
            return id
    return None


def after_write(org, table, id, before, vals, changes, actor):
    if table.name == "OpportunityContactRole":
        if vals["IsPrimary"]:
            one_primary(org, table, id, vals, actor)
    elif table.name == "OpportunityLineItem":
        total(org, vals["OpportunityId"], actor)
    elif table.name == "Opportunity" and before is None and changes.get("ContactId"):
        role = org.tables["OpportunityContactRole"]
        org.insert(role, {"OpportunityId": id, "ContactId": changes["ContactId"], "IsPrimary": True}, actor)


def one_primary(org, table, id, vals, actor):
    """An opportunity has one primary contact; the former one is none any more."""
    rows = org.rows[table.name]
    for other in list(rows.index("OpportunityId").get(values.fold(vals["OpportunityId"]), ())):
        if other != id and rows.now[other]["IsPrimary"]:
            org.touch(table, other, {"IsPrimary": False}, actor, False)
    primary_contact(org, vals["OpportunityId"], vals["ContactId"])


def primary_contact(org, id, contact):
    """Opportunity.ContactId only mirrors the role; it moves no time."""
    parent = org.get("Opportunity", id)
    if parent is not None and parent.get("ContactId") != contact:
        vals = dict(parent)
        put(vals, "ContactId", contact)
        org.rows["Opportunity"].put(id, vals)


def after_delete(org, table, before, actor):
    if table.name == "OpportunityLineItem" and org.get("Opportunity", before["OpportunityId"]):
        total(org, before["OpportunityId"], actor)
    elif table.name == "OpportunityContactRole" and before["IsPrimary"]:
        primary_contact(org, before["OpportunityId"], None)


def total(org, id, actor):
    items = org.rows["OpportunityLineItem"].find("OpportunityId", id)
    changes = {"HasOpportunityLineItem": bool(items)}
    if items:
        changes["Amount"] = round(sum(i.get("TotalPrice", 0.0) for i in items), 2)
        changes["TotalOpportunityQuantity"] = sum(i.get("Quantity", 0.0) for i in items)
        row = org.get("Opportunity", id)
        changes["ExpectedRevenue"] = round(changes["Amount"] * row.get("Probability", 0.0) / 100, 2)
    org.touch(org.tables["Opportunity"], id, changes, actor, False)
